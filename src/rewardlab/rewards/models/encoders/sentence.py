"""Sentence embeddings of chats: a model in the manner of sentence-transformers, run by transformers, never trained.

Every text is embedded once: what was computed is kept by content, so that a response which stands in many comparisons, or a
prompt with many responses, costs one pass. The settings that sentence-transformers writes beside its models (pooling,
normalisation, the most tokens) are read from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from rewardlab.policies.batching import micro_batches
from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.rewards.models.encoders import backbones, packing
from rewardlab.rewards.models.encoders.text import TextEncoder
from rewardlab.rewards.models.encoders.text_inputs import PreparedText, TextReader
from rewardlab.types import Trajectory, message_text

Reads = Literal["conversation", "response", "pair"]

_CALLS = '{% for call in message.tool_calls or [] %}{{ "\\ncall: " + call.function | tojson }}{% endfor %}'
_CONVERSATION = (
    "BEFORE{% for message in messages %}{{ message.content }}"
    + _CALLS
    + '{% if not loop.last or add_generation_prompt %}{{ "\\n" }}{% endif %}{% endfor %}'
    + "{% if not add_generation_prompt %}AFTER{% endif %}"
)
_RESPONSE = (
    'BEFORE{% for message in messages if message.role == "assistant" %}{{ message.content }}'
    + _CALLS
    + '{% if not loop.last %}{{ "\\n" }}{% endif %}{% endfor %}{% if not add_generation_prompt %}AFTER{% endif %}'
)


@dataclass(frozen=True, slots=True)
class PreparedVectors:
    """The embeddings of one trajectory.

    Args:
        response: float32[width].
        prompt: float32[prompt width], where somebody wants it.
        note: what a reader of the score should know.
    """

    response: np.ndarray
    prompt: np.ndarray | None = None
    note: str | None = None


class SentenceEncoder(Encoder):
    """Embeddings of texts by a model such as all-MiniLM-L6-v2.

    Args:
        name: of a model on the Hugging Face hub, or a directory.
        model: instead of a name, a transformers model.
        tokenizer: of `model`.
        reads: what is embedded: the whole `conversation`, a line for each message; what the assistant says (`response`); or
            prompt and response each, side by side (`pair`), which doubles the width.
        pool: `mean`, `cls` or `last`; None for what is written beside the model, else `mean`.
        normalise: whether embeddings get length one; None for what is written beside the model, else yes.
        max_length: the most tokens; None for what is written beside the model, else what the model can read. Of longer
            texts the end stays (and a quarter of the room for the prompt's beginning); `truncated` counts them.
        dtype: of the weights; None for float32 on a CPU and the checkpoint's own type on a GPU.
        allow_empty: whether responses without any text are embedded, or refused.
        cache_size: how many embeddings are kept by content; the oldest go first.
        batch_length: the most tokens, padding included, in one batch.
        save_base: whether the model's weights are saved along; None where it has no name.
        options: passed on to `AutoModel.from_pretrained`.

    Raises:
        ValueError: neither or both of name and model, or a pooling that there is not.
        MissingExtra: transformers is not installed.
    """

    kind = "sentence"
    frozen = True

    def __init__(
        self,
        name: str | Path | None = None,
        *,
        model: Any = None,
        tokenizer: Any = None,
        reads: Reads = "conversation",
        pool: Literal["mean", "cls", "last"] | None = None,
        normalise: bool | None = None,
        max_length: int | None = None,
        dtype: str | None = None,
        allow_empty: bool = False,
        cache_size: int = 100_000,
        batch_length: int = 16_384,
        save_base: bool | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if reads not in get_args(Reads):
            raise ValueError(f"reads must be one of {', '.join(get_args(Reads))}, got {reads!r}")
        written = {} if name is None else _written_beside(backbones.full_name(name))
        self.reads: Reads = reads
        self.normalise = bool(written.get("normalise", True)) if normalise is None else normalise
        self.cache_size, self.batch_length = cache_size, batch_length
        self._given: dict[str, Any] = {
            "max_length": max_length or written.get("max_length"),
            "allow_empty": allow_empty,
        }
        if name is not None and tokenizer is None:
            tokenizer = backbones.tokenizer_of(backbones.full_name(name))
        if tokenizer is None:
            raise ValueError("a sentence encoder needs either the name of a model or model= and tokenizer=")
        self.tokenizer = tokenizer
        before, after = _marks(tokenizer)
        response, conversation = (
            text.replace("BEFORE", before).replace("AFTER", after) for text in (_RESPONSE, _CONVERSATION)
        )
        self.inner = TextEncoder(
            name,
            model=model,
            tokenizer=tokenizer,
            pool=pool or written.get("pool") or "mean",
            frozen=True,
            dtype=dtype,
            chat_template=conversation if reads == "conversation" else response,
            save_base=save_base,
            options=options,
            **self._given,
        )
        self.inner.types = False  # a text is one piece, whatever part of it is the prompt
        self.asking = TextReader(tokenizer, chat_template=response, limit=self.inner.reader.limit, allow_empty=True)
        self.width = self.inner.width * (2 if reads == "pair" else 1)
        self._cache: dict[bytes, np.ndarray] = {}

    @property
    def truncated(self) -> int:
        """How many texts were cut since the encoder was made, because they are longer than the model."""
        return self.inner.truncated + self.asking.cut

    def options(self) -> dict[str, Any]:
        """What `build` needs; the tokenizer is a file."""
        return {
            "name": self.inner.source,
            "reads": self.reads,
            "pool": self.inner.pool,
            "normalise": self.normalise,
            **self._given,
            "dtype": backbones.dtype_name(self.inner.backbone),
            "cache_size": self.cache_size,
            "batch_length": self.batch_length,
            "save_base": self.inner.save_base,
            "options": self.inner.load_options,
        }

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of texts that stand alone, float32[text, embedding]; from the cache where they were embedded before."""
        return np.stack(self._vectors(self.asking.prepare([Trajectory.from_text("", text) for text in texts])))

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """The embeddings of trajectories, one `PreparedVectors` each.

        Raises:
            ValueError: a trajectory holds arrays, or has no response or an empty one.
        """
        if not trajectories:
            return []
        texts = self.inner.prepare(trajectories)
        vectors = self._vectors(texts)
        prompts: list[Any] = [None] * len(texts)
        if self.wants_prompt or self.reads == "pair":
            prompts = list(self.embed([_asked(one) for one in trajectories]))
        if self.reads == "pair":
            vectors = [np.concatenate(pair) for pair in zip(prompts, vectors, strict=True)]
        return [
            PreparedVectors(response=vector, prompt=prompt if self.wants_prompt else None, note=text.note)
            for vector, prompt, text in zip(vectors, prompts, texts, strict=True)
        ]

    @torch.no_grad()
    def _vectors(self, texts: Sequence[PreparedText]) -> list[np.ndarray]:
        keys = [text.ids.tobytes() for text in texts]
        found = {key: self._cache[key] for key in keys if key in self._cache}
        new = list({key: text for key, text in zip(keys, texts, strict=True) if key not in found}.items())
        device = next(self.inner.backbone.parameters()).device
        for rows in micro_batches([len(text) for _, text in new], self.batch_length) if new else []:
            batch = packing.plain(
                [new[row][1] for row in rows], pad_id=self.inner.reader.pad_id, left=False, prompts=False
            )
            vectors = self.inner({name: column.to(device) for name, column in batch.items()}).response
            if self.normalise:
                vectors = torch.nn.functional.normalize(vectors, dim=-1)
            for row, vector in zip(rows, vectors.cpu().numpy(), strict=True):
                found[new[row][0]] = self._cache[new[row][0]] = vector.copy()
        while len(self._cache) > self.cache_size:
            del self._cache[next(iter(self._cache))]
        return [found[key] for key in keys]

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`response` float32[trajectory, width], and `prompt` where it is wanted."""
        batch = {"response": torch.from_numpy(np.stack([one.response for one in prepared]))}
        if prepared[0].prompt is not None:
            batch["prompt"] = torch.from_numpy(np.stack([one.prompt for one in prepared]))
        return batch

    def forward(self, batch: Batch) -> Encoded:
        """The embeddings as they are."""
        return Encoded(response=batch["response"], prompt=batch.get("prompt"))

    # ---- on disk --------------------------------------------------------------------------------------------------------

    def save_files(self, directory: Path) -> None:
        """Write the tokenizer, and the model where it has no name."""
        self.inner.save_files(directory)
        backbones.save_tokenizer(self.tokenizer, directory / "tokenizer")

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> SentenceEncoder:
        """Make the encoder again."""
        given = dict(options)
        source = given.pop("name")
        model = backbones.saved(directory, source, False, given["dtype"], given["options"])
        encoder = cls(model=model, tokenizer=backbones.tokenizer_of(directory / "tokenizer"), **given)
        encoder.inner.source = source
        return encoder

    def weights(self) -> dict[str, Tensor]:
        """Nothing: the model never changes, and is had again from its name or from the files."""
        return {}

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Nothing is loaded.

        Raises:
            RuntimeError: there are weights.
        """
        if weights:
            raise RuntimeError(f"a sentence encoder has no weights of its own, got {sorted(weights)[:3]}")


def _asked(one: Trajectory) -> str:
    return "\n".join(message_text(message) for message in one.observations[0])


def _marks(tokenizer: Any) -> tuple[str, str]:
    """What the tokenizer puts before and after a text, as expressions of a template."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    ids = tokenizer("a")["input_ids"]
    start = next((place for place in range(len(ids)) if ids[place : place + len(bare)] == bare), 0)
    sides = ids[:start], ids[start + len(bare) :]
    before, after = ("".join(tokenizer.convert_ids_to_tokens(side)) for side in sides)
    return "{{ " + json.dumps(before) + " }}", "{{ " + json.dumps(after) + " }}"


def _written_beside(source: str) -> dict[str, Any]:
    """What sentence-transformers writes beside a model: `pool`, `normalise` and `max_length`, as far as they are there."""
    modules = _json_beside(source, "modules.json")
    if not isinstance(modules, list):
        return {}
    kinds = {str(one.get("type", "")).rpartition(".")[2]: str(one.get("path", "")) for one in modules}
    unknown = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if unknown:
        raise ValueError(
            f"{source} has the module {unknown[0]} behind its pooling, which this encoder does not compute; embed with "
            "sentence-transformers and give the vectors to an mlp encoder"
        )
    written: dict[str, Any] = {"normalise": "Normalize" in kinds}
    pooling = _json_beside(source, f"{kinds['Pooling']}/config.json") if "Pooling" in kinds else None
    if pooling:
        modes = {
            key.removeprefix("pooling_mode_"): True
            for key, on in pooling.items()
            if key.startswith("pooling_mode_") and on
        }
        if isinstance(pooling.get("pooling_mode"), str):
            modes = {pooling["pooling_mode"]: True}
        names = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last", "mean": "mean", "cls": "cls"}
        found = [names.get(mode) for mode in modes]
        if len(found) != 1 or found[0] is None:
            raise ValueError(
                f"{source} pools by {', '.join(modes) or 'nothing'}; this encoder knows mean, cls and last"
            )
        written["pool"] = found[0]
    settings = _json_beside(source, "sentence_bert_config.json")
    if settings and settings.get("max_seq_length"):
        written["max_length"] = int(settings["max_seq_length"])
    return written


def _json_beside(source: str, file: str) -> Any:
    from transformers.utils import cached_file

    path = cached_file(
        source, file, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))
