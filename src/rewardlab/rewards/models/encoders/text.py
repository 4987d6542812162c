"""Any Hugging Face causal or encoder model as a reader of chat trajectories.

Padding never counts: a causal model's features stand at the last real token, whichever side is padded, and a token that is
padding is never attended to. Responses to one prompt can share its computation: `collate_groups` puts them behind one copy
of what their tokens have in common, each with its own positions and blind to the others, and the features are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from rewardlab.policies.lora import LoraSettings, add_lora, lora_settings
from rewardlab.policies.packing import attention_window, segment_mask
from rewardlab.policies.shared_attention import shared_attention
from rewardlab.rewards.models.base import Batch, Encoded
from rewardlab.rewards.models.encoders import backbones, packing
from rewardlab.rewards.models.encoders.pretrained import PretrainedEncoder
from rewardlab.rewards.models.encoders.text_inputs import PLAIN_TEMPLATE, PreparedText, TextReader, pair_template
from rewardlab.types import Trajectory

Pool = Literal["auto", "last", "cls", "mean", "classifier"]


class TextEncoder(PretrainedEncoder):
    """Features of chat trajectories from a transformers model.

    A conversation is written by the tokenizer's chat template; without one, causal models read `role: text` paragraphs and
    encoder models a pair, `[CLS] prompt [SEP] response [SEP]`. Features of the prompt stand at its last token; encoder
    models read the prompt alone for them, pooled like everything. Features of steps stand at the last token of every
    assistant message, or with `step_separator` at the last token of every piece of it, the separator included; blank pieces
    are no steps.

    Args:
        name: of a model on the Hugging Face hub, or a directory.
        model: instead of a name, a transformers model without a language-model head (one with it is stripped of it).
        tokenizer: of `model`.
        pool: what stands for a trajectory: the `last` token (`auto` for causal models), the first (`cls`, `auto` for encoder
            models), the `mean` over all tokens, or what the architecture's own classifier reads (`classifier`, which is
            what can be exported from encoder models).
        max_length: the most tokens; None for what the model can read. Of a longer text one stretch is cut out: the first
            quarter of the room keeps the beginning of the prompt, the rest keeps the end of the response. `truncated`
            counts such texts.
        truncate: False refuses texts that are too long.
        lora: settings of adapters (`LoraSettings`), which are then trained instead of all weights.
        frozen: the model is not trained, and a fitter computes its features once.
        dtype: of the weights, such as `bfloat16`; None for float32 on a CPU and the checkpoint's own type on a GPU.
        padding: which side of a batch is padded; scores are the same.
        chat_template: a Jinja text or the path of a file, in place of the tokenizer's own.
        template_options: variables for the template, such as `{"enable_thinking": False}`.
        step_separator: what ends a step within a message, such as `"\\n\\n"`; None for one step per assistant message.
        allow_empty: whether responses without any text are scored, or refused.
        ignored_token: id of a token that never counts as the last one (transformers' classifiers skip their padding token
            so, even where it ends a conversation).
        gradient_checkpointing: whether activations are computed again on the way back instead of kept.
        share_prompts: whether responses to one prompt share its computation where the model allows it.
        save_base: whether base weights are saved beside adapters, or with a frozen model; None where they have no name.
        options: passed on to `AutoModel.from_pretrained`.

    Raises:
        ValueError: neither or both of name and model, or options that do not fit the model.
        MissingExtra: transformers or peft is not installed.
    """

    kind = "text"

    def __init__(
        self,
        name: str | Path | None = None,
        *,
        model: Any = None,
        tokenizer: Any = None,
        pool: Pool = "auto",
        max_length: int | None = None,
        truncate: bool = True,
        lora: LoraSettings | Mapping[str, Any] | None = None,
        frozen: bool = False,
        dtype: str | None = None,
        padding: Literal["right", "left"] = "right",
        chat_template: str | Path | None = None,
        template_options: Mapping[str, Any] | None = None,
        step_separator: str | None = None,
        allow_empty: bool = False,
        ignored_token: int | None = None,
        gradient_checkpointing: bool = False,
        share_prompts: bool = True,
        save_base: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if (name is None) == (model is None):
            raise ValueError("a text encoder needs either the name of a model or model= and tokenizer=")
        if padding not in ("right", "left"):
            raise ValueError(f"padding must be right or left, got {padding!r}")
        if pool not in get_args(Pool):
            raise ValueError(f"pool must be one of {', '.join(get_args(Pool))}, got {pool!r}")
        if frozen and lora is not None:
            raise ValueError("frozen=True trains nothing, so lora= has no use; leave one of them out")
        self.source = None if name is None else backbones.full_name(name)
        self.load_options = dict(options or {})
        if model is None:
            model = backbones.from_name(str(self.source), pool == "classifier", dtype, self.load_options)
        if tokenizer is None:
            tokenizer = backbones.tokenizer_of(self.source)
        model, self.width = backbones.without_language_head(model, pool == "classifier")
        self.is_causal = backbones.is_causal(model.config) and pool != "classifier"
        usual = "last" if self.is_causal else "cls"
        self.pool: str = usual if pool == "auto" else pool
        if pool == "cls" and self.is_causal:
            raise ValueError('pool="cls" would read only the first token of a causal model; use "last" or "mean"')
        self.padding = padding
        self.places = backbones.reads(model, "position_ids") and not backbones.counts_positions_itself(model)
        self.types = backbones.reads(model, "token_type_ids") and "token_type_ids" in tokenizer("a", "b")
        if padding == "left" and not self.is_causal and not self.places:
            raise ValueError(
                f'{type(model).__name__} counts its positions from the left itself, so padding="left" would change scores; '
                'use padding="right"'
            )
        if self.pool == "cls" and getattr(model, "pooler", None) is not None:
            model.pooler = None  # nobody reads it, and weights without a gradient confuse distributed training
        if backbones.counts_positions_itself(model) and tokenizer.pad_token_id != model.config.pad_token_id:
            raise ValueError(
                f"{type(model).__name__} counts positions by its padding token {model.config.pad_token_id}, the tokenizer "
                f"pads with {tokenizer.pad_token_id}; set tokenizer.pad_token to that of the model"
            )
        limits = [one for one in (max_length, backbones.most_tokens(model, tokenizer)) if one is not None]
        self.reader = TextReader(
            tokenizer,
            plain=PLAIN_TEMPLATE if self.is_causal else pair_template(tokenizer),
            chat_template=chat_template,
            template_options=template_options,
            step_separator=step_separator,
            limit=min(limits) if limits else None,
            truncate=truncate,
            allow_empty=allow_empty,
            ignored=ignored_token,
        )
        self.frozen = frozen
        self.lora = None if lora is None else lora_settings(lora)
        self.dtype = dtype
        self.share_prompts, self.save_base = share_prompts, save_base
        self.window = attention_window(model.config.get_text_config())
        self._packs: bool | None = None
        self._given = {"max_length": max_length, "template_options": dict(template_options or {})}
        self.gradient_checkpointing = gradient_checkpointing
        self.backbone = model if self.lora is None else add_lora(model, self.lora, task="FEATURE_EXTRACTION")
        if gradient_checkpointing:
            self.backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if frozen:
            self.backbone.requires_grad_(False).eval()

    # ---- reading --------------------------------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, with the chat template that is used."""
        return self.reader.tokenizer

    @property
    def truncated(self) -> int:
        """How many texts were cut since the encoder was made, because they are longer than the model."""
        return self.reader.cut

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One `PreparedText` per trajectory.

        Raises:
            ValueError: a trajectory holds arrays, has no response or an empty one, or is too long with `truncate=False`.
        """
        self.reader.wants_steps = self.wants_steps
        before = self.truncated
        prepared = self.reader.prepare(trajectories)
        if self.truncated and not before:
            warnings.warn(
                f"{self.truncated} of {len(prepared)} texts are longer than the {self.reader.limit} tokens that the model "
                "reads; a stretch before the response's end was cut out of each (encoder.truncated goes on counting)",
                stacklevel=2,
            )
        return list(prepared)

    def length(self, prepared: Any) -> int:
        """Tokens."""
        return len(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """Padded `ids` and `mask` [row, token], and where the features of every trajectory stand."""
        return packing.plain(
            prepared, pad_id=self._filler, left=self.padding == "left", prompts=self._needs_prompt_pass
        )

    def collate_groups(self, prepared: Sequence[Any], groups: Sequence[Sequence[int]]) -> Batch:
        """Like `collate`, but texts that share a beginning share its computation.

        A group becomes one row: the tokens that all of its texts begin with stand once, and what is left of every text
        follows, with positions that go on from the shared part and an attention mask that hides the others. `forward` gives
        the same features as for `collate(prepared)`, up to rounding, one row per text in the order of `prepared`.

        Args:
            prepared: some prepared texts.
            groups: lists of indices into `prepared`, of texts that answer the same prompt; each index at most once, and
                those that stand in none are rows of their own.

        Returns:
            A batch. Where the model cannot do it (`packs` is False), or it would not pay, texts are rows of their own.

        Raises:
            ValueError: an index stands in two groups.
        """
        rows = packing.rows(prepared, groups, self.window) if self.packs else None
        if rows is None or all(len(members) == 1 for members in rows):
            return self.collate(prepared)
        return packing.packed(prepared, rows, pad_id=self._filler)

    def group_length(self, prepared: Sequence[Any]) -> int:
        """Tokens of the row that a group becomes, of the longest row where it becomes several; for batches by length."""
        if not self.packs:
            return max(len(one) for one in prepared)
        rows = packing.rows(prepared, [range(len(prepared))], self.window)
        return max(packing.row_length([prepared[member] for member in members]) for members in rows)

    def groups(self, prepared: Sequence[Any]) -> list[list[int]]:
        """Prepared texts by prompt, as `collate_groups` takes them and no larger than pays; every index once."""
        if not self.packs:
            return [[index] for index in range(len(prepared))]
        same: dict[bytes, list[int]] = {}
        for index, one in enumerate(prepared):
            same.setdefault(one.ids[: one.prompt].tobytes(), []).append(index)
        return packing.rows(prepared, list(same.values()), self.window)

    @property
    def packs(self) -> bool:
        """Whether texts can share the computation of a prompt: tried out once on the model itself."""
        if not self.share_prompts or self.pool != "last" or not self.places:
            return False
        if self._packs is None:
            self._packs = packing.works(self)
        return self._packs

    # ---- computing ------------------------------------------------------------------------------------------------------

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories and of their prompts; of steps where the head wants them."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            if self.pool == "classifier":
                return Encoded(response=self._run(batch).float(), prompt=self._prompts(batch))
            hidden = self._run(batch)
            rows = batch["row"]
            response = self._pooled(hidden, rows, batch["mask"], batch["last"])
            prompt = hidden[rows, batch["prompt"]].float() if self.is_causal else self._prompts(batch)
            if not self.wants_steps:
                return Encoded(response=response, prompt=prompt)
            steps = hidden[rows.unsqueeze(1), batch["steps"]].float()
            return Encoded(response=response, prompt=prompt, steps=steps, step_mask=batch["step_mask"])

    def _pooled(self, hidden: Tensor, rows: Tensor, mask: Tensor, last: Tensor) -> Tensor:
        """One vector for each text out of the last hidden states of the rows."""
        if self.pool == "mean":
            real = mask.unsqueeze(-1)
            return torch.where(real, hidden.float(), 0.0).sum(1) / real.sum(1)
        return hidden[rows, last if self.pool == "last" else mask.long().argmax(1)].float()

    @property
    def _filler(self) -> int:
        """What stands on padding: for causal models not their padding token, which would ask for a mask they can spare."""
        if not self.is_causal:
            return self.reader.pad_id
        return int(self.backbone.config.get_text_config().pad_token_id == 0)

    @property
    def _needs_prompt_pass(self) -> bool:
        return self.wants_prompt and not self.is_causal

    def _prompts(self, batch: Batch) -> Tensor | None:
        """Features of prompts that are read alone."""
        if "prompt_ids" not in batch:
            return None
        mask = batch["prompt_mask"]
        hidden = self._run({"ids": batch["prompt_ids"], "mask": mask, "type": torch.zeros_like(batch["prompt_ids"])})
        if self.pool == "classifier":
            return hidden.float()
        return self._pooled(hidden, torch.arange(len(hidden), device=hidden.device), mask, _last(mask))

    def _run(self, batch: Batch) -> Tensor:
        """The last hidden states [row, token, width], or the classifier's features [row, width]."""
        inputs: dict[str, Any] = {"input_ids": batch["ids"]}
        mask = batch["mask"]
        if "segment" in batch:
            inputs["position_ids"] = batch["position"]
            inputs["attention_mask"] = segment_mask(batch["segment"], self.backbone)
        elif self.padding == "left" and self.places:
            inputs["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
            inputs["attention_mask"] = mask.long()
        elif self.padding == "left" or not self.is_causal:
            inputs["attention_mask"] = mask.long()
        # a causal model that is padded on the right needs no mask: no real token comes after padding
        if self.types:
            inputs["token_type_ids"] = batch["type"]
        if self.is_causal:
            inputs["use_cache"] = False
        if "segment" in batch:
            with shared_attention(self.backbone, batch["segment"]):
                told = self.backbone(**inputs, return_dict=True)
        else:
            told = self.backbone(**inputs, return_dict=True)
        found: Tensor = told.logits if self.pool == "classifier" else told.last_hidden_state
        return found

    # ---- on disk --------------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """What `build` needs; the tokenizer and the model's configuration are files."""
        return {
            "name": self.source,
            "pool": self.pool,
            **self._given,
            "truncate": self.reader.truncate,
            "lora": None if self.lora is None else asdict(self.lora),
            "frozen": self.frozen,
            "dtype": backbones.dtype_name(self.backbone),
            "padding": self.padding,
            "step_separator": self.reader.step_separator,
            "allow_empty": self.reader.allow_empty,
            "ignored_token": self.reader.ignored,
            "gradient_checkpointing": self.gradient_checkpointing,
            "share_prompts": self.share_prompts,
            "save_base": self.save_base,
            "options": self.load_options,
        }

    def save_files(self, directory: Path) -> None:
        """Write the tokenizer, the model's configuration, and base weights that cannot be had again by name."""
        backbones.save_tokenizer(self.tokenizer, directory / "tokenizer")
        self._save_backbone(directory)

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> TextEncoder:
        """Make the encoder again; weights that were trained are loaded later."""
        given = dict(options)
        source = given.pop("name")
        model = cls._backbone_from(directory, source, given, classifier=given["pool"] == "classifier")
        encoder = cls(model=model, tokenizer=backbones.tokenizer_of(directory / "tokenizer"), **given)
        encoder.source = source
        return encoder


def _last(mask: Tensor) -> Tensor:
    """Index of the last real token of every row."""
    return (mask.long() * torch.arange(mask.shape[1], device=mask.device)).argmax(1)


__all__ = ["PreparedText", "TextEncoder"]
