"""Any Hugging Face vision-language model as a reader of chats with pictures.

The model's own processor turns a chat into tokens and pixels, once, when it is prepared. How a batch is put together
depends on what a processor returns: columns with one entry per token are padded on the right, pixels that come as a row for
each chat are padded with blank images (which such models leave out), and pixels that come as one long list are joined.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rewardlab.extras import require
from rewardlab.policies.lora import LoraSettings, add_lora, lora_settings
from rewardlab.rewards.models.base import Batch, Encoded
from rewardlab.rewards.models.encoders import backbones
from rewardlab.rewards.models.encoders.pictures import chat_with_pictures
from rewardlab.rewards.models.encoders.pretrained import PretrainedEncoder
from rewardlab.types import Trajectory, message_text


@dataclass(frozen=True, slots=True)
class PreparedChat:
    """A chat with pictures, ready for the model.

    Args:
        tokens: columns with one entry per token, int64[token].
        pixels: everything else that the processor returned.
        prompt: how many tokens are the prompt; 0 where nobody asked.
        dropped: how many tokens were cut out because the chat is longer than the model.
    """

    tokens: dict[str, Tensor]
    pixels: dict[str, Tensor]
    prompt: int
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.tokens["input_ids"])

    @property
    def note(self) -> str | None:
        """What a reader of the score should know."""
        if not self.dropped:
            return None
        return (
            f"the chat was cut from {len(self) + self.dropped} to {len(self)} tokens, which is all that the model reads"
        )


class VisionLanguageEncoder(PretrainedEncoder):
    """Features of chats with pictures: the last hidden state at the last token.

    Args:
        name: of a model on the Hugging Face hub, or a directory.
        model: instead of a name, a transformers model (one with a language-model head is stripped of it).
        processor: of `model`.
        max_length: the most tokens, those of pictures included; None for what the model can read. Of longer chats text
            tokens are cut out behind the first quarter of the room; the end of the response and all pictures stay.
        lora: settings of adapters (`LoraSettings`), which are then trained instead of all weights.
        frozen: the model is not trained, and a fitter computes its features once.
        dtype: of the weights, such as `bfloat16`; None for float32 on a CPU and the checkpoint's own type on a GPU.
        chat_template: a Jinja text in place of the processor's own.
        allow_empty: whether responses without any text are scored, or refused.
        save_base: whether base weights are saved beside adapters, or with a frozen model; None where they have no name.
        options: passed on to `AutoModel.from_pretrained`.

    Raises:
        ValueError: neither or both of name and model, or a processor without a chat template.
        MissingExtra: transformers, Pillow or peft is not installed.
    """

    kind = "vision_language"

    def __init__(
        self,
        name: str | Path | None = None,
        *,
        model: Any = None,
        processor: Any = None,
        max_length: int | None = None,
        lora: LoraSettings | Mapping[str, Any] | None = None,
        frozen: bool = False,
        dtype: str | None = None,
        chat_template: str | None = None,
        allow_empty: bool = False,
        save_base: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if (name is None) == (model is None):
            raise ValueError("a vision-language encoder needs either the name of a model or model= and processor=")
        if frozen and lora is not None:
            raise ValueError("frozen=True trains nothing, so lora= has no use; leave one of them out")
        self.source = None if name is None else backbones.full_name(name)
        self.load_options = dict(options or {})
        if model is None:
            model = backbones.from_name(str(self.source), False, dtype, self.load_options)
        if processor is None:
            processor = _processor_of(self.source)
        self.processor = copy.deepcopy(processor)
        if chat_template is not None:
            self.processor.chat_template = chat_template
        if not getattr(self.processor, "chat_template", None):
            raise ValueError(
                "the processor has no chat template, so chats cannot be written; give one with chat_template=..."
            )
        model, self.width = backbones.without_language_head(model, False)
        tokenizer = self.processor.tokenizer
        limits = [one for one in (max_length, backbones.most_tokens(model, tokenizer)) if one is not None]
        self.limit = min(limits) if limits else None
        self.image_token = _image_token(model.config)
        self.frozen, self.allow_empty, self.save_base = frozen, allow_empty, save_base
        self.lora = None if lora is None else lora_settings(lora)
        self._given = {"max_length": max_length}
        self.truncated = 0
        self.backbone = model if self.lora is None else add_lora(model, self.lora, task="FEATURE_EXTRACTION")
        if frozen:
            self.backbone.requires_grad_(False).eval()

    # ---- reading --------------------------------------------------------------------------------------------------------

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One `PreparedChat` per trajectory.

        Raises:
            ValueError: a trajectory holds arrays, has no response or an empty one, or a picture that cannot be read.
        """
        prepared = [self._prepare(one, f"trajectory {index}") for index, one in enumerate(trajectories)]
        cut = sum(one.dropped > 0 for one in prepared)
        if cut and not self.truncated:
            warnings.warn(
                f"{cut} of {len(prepared)} chats are longer than the {self.limit} tokens that the model reads; text before "
                "the response's end was cut out of each (encoder.truncated goes on counting)",
                stacklevel=2,
            )
        self.truncated += cut
        return list(prepared)

    def _prepare(self, one: Trajectory, where: str) -> PreparedChat:
        if not one.is_chat:
            raise ValueError(f"{where} holds arrays, a vision-language encoder reads chats; put images into messages")
        if not len(one.actions):
            raise ValueError(f"{where} has no response: none of its messages has the role assistant behind the prompt")
        if not self.allow_empty and not any(message_text(a).strip() or a.get("tool_calls") for a in one.actions):
            raise ValueError(f"{where} has an empty response; leave it out, or pass allow_empty=True")
        told = self._told(one.messages, False, where)
        count = int(told["input_ids"].shape[1])
        tokens = {name: told[name][0] for name in told if _per_token(told[name], count)}
        pixels = {name: told[name] for name in told if name not in tokens}
        prompt = 0
        if self.wants_prompt and one.observations[0]:
            asked = self._told(one.observations[0], True, where)["input_ids"][0]
            shared = min(len(asked), count)
            differ = (asked[:shared] != tokens["input_ids"][:shared]).nonzero()
            prompt = int(differ[0]) if len(differ) else shared
        if self.limit is None or count <= self.limit:
            return PreparedChat(tokens=tokens, pixels=pixels, prompt=prompt)
        kept = self._kept(tokens["input_ids"], count - self.limit, where)
        before = int(kept[:prompt].sum())
        return PreparedChat(
            tokens={name: column[kept] for name, column in tokens.items()},
            pixels=pixels,
            prompt=before,
            dropped=count - self.limit,
        )

    def _told(self, messages: Sequence[Any], answer: bool, where: str) -> dict[str, Tensor]:
        plain, pictures = chat_with_pictures(messages, where)
        text = self.processor.apply_chat_template(plain, tokenize=False, add_generation_prompt=answer)
        more = {"images": [pictures]} if pictures else {}
        return dict(self.processor(text=[text], return_tensors="pt", add_special_tokens=False, **more))

    def _kept(self, ids: Tensor, excess: int, where: str) -> Tensor:
        """Which tokens stay: pictures, the first quarter of the room, and as much as there is room for from the end."""
        assert self.limit is not None
        head = self.limit // 4
        text = (ids != self.image_token) & (torch.arange(len(ids)) >= head) & (torch.arange(len(ids)) < len(ids) - 1)
        places = text.nonzero().squeeze(1)
        if len(places) < excess:
            raise ValueError(
                f"{where} has {len(ids)} tokens, the model reads {self.limit}, and its pictures leave no room; use smaller "
                "or fewer pictures, or a larger max_length"
            )
        kept = torch.ones(len(ids), dtype=torch.bool)
        kept[places[:excess]] = False
        return kept

    def length(self, prepared: Any) -> int:
        """Tokens, those of pictures included."""
        return len(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """What the processor returned, padded or joined, and `last`, `prompt` int64[chat]."""
        longest = max(len(one) for one in prepared)
        batch: Batch = {}
        for name in prepared[0].tokens:
            filler = self._filler if name == "input_ids" else 0
            columns = [one.tokens[name] for one in prepared]
            batch[name] = torch.stack(
                [torch.nn.functional.pad(column, (0, longest - len(column)), value=filler) for column in columns]
            )
        for name in dict.fromkeys(name for one in prepared for name in one.pixels):
            found = [one.pixels.get(name) for one in prepared]
            known = next(column for column in found if column is not None)
            if known.ndim == 5 or name == "pixel_attention_mask":  # a row for each chat: [1, image, ...]
                batch[name] = _blank_padded(found, known)
            else:
                batch[name] = torch.cat([column for column in found if column is not None])
        batch["last"] = torch.tensor([len(one) - 1 for one in prepared])
        batch["prompt"] = torch.tensor([max(one.prompt - 1, 0) for one in prepared])
        return batch

    @property
    def _filler(self) -> int:
        """What stands on padding; any token will do but that of pictures, which is counted."""
        given = self.processor.tokenizer.pad_token_id
        return given if given is not None else int(self.image_token == 0)

    # ---- computing ------------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Encoded:
        """Features of the chats, and of their prompts where the head wants them."""
        inputs = {name: column for name, column in batch.items() if name not in ("last", "prompt")}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            hidden = self.backbone(**inputs, use_cache=False, return_dict=True).last_hidden_state
            rows = torch.arange(len(hidden), device=hidden.device)
            prompt = hidden[rows, batch["prompt"]].float() if self.wants_prompt else None
            return Encoded(response=hidden[rows, batch["last"]].float(), prompt=prompt)

    # ---- on disk --------------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """What `build` needs; the processor and the model's configuration are files."""
        return {
            "name": self.source,
            **self._given,
            "lora": None if self.lora is None else asdict(self.lora),
            "frozen": self.frozen,
            "dtype": backbones.dtype_name(self.backbone),
            "allow_empty": self.allow_empty,
            "save_base": self.save_base,
            "options": self.load_options,
        }

    def save_files(self, directory: Path) -> None:
        """Write the processor, the model's configuration, and base weights that cannot be had again by name."""
        self.processor.save_pretrained(str(directory / "processor"))
        self._save_backbone(directory)

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> VisionLanguageEncoder:
        """Make the encoder again; weights that were trained are loaded later."""
        given = dict(options)
        source = given.pop("name")
        model = cls._backbone_from(directory, source, given, classifier=False)
        encoder = cls(model=model, processor=_processor_of(str(directory / "processor")), **given)
        encoder.source = source
        return encoder


def _processor_of(source: str | None) -> Any:
    transformers = require("transformers", extra="lm", why="A vision-language encoder")
    if source is None:
        raise ValueError(
            "a model that is passed in needs its processor: VisionLanguageEncoder(model=..., processor=...)"
        )
    return transformers.AutoProcessor.from_pretrained(source)


def _image_token(config: Any) -> int | None:
    """The token that stands where a picture is."""
    for name in ("image_token_id", "image_token_index"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    return None


def _per_token(column: Tensor, count: int) -> bool:
    return column.ndim == 2 and column.shape == (1, count) and not column.is_floating_point()


def _blank_padded(found: Sequence[Tensor | None], known: Tensor) -> Tensor:
    """Rows of images [1, image, ...] as one tensor, blank where a chat has fewer, or smaller ones."""
    sizes = [max(column.shape[axis] for column in found if column is not None) for axis in range(1, known.ndim)]
    batch = known.new_zeros((len(found), *sizes))
    for row, column in enumerate(found):
        if column is not None:
            batch[row][tuple(slice(0, size) for size in column.shape[1:])] = column[0]
    return batch
