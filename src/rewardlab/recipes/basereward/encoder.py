"""A small vision-language trunk: patches of an image and words of a dialogue in one transformer, read at the last word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.types import Trajectory


class PatchTextEncoder(Encoder):
    """Reads chats whose user messages may hold one image array, and is trained from scratch.

    Args:
        words: the vocabulary; others are an error.
        width: of the features.
        layers: of the transformer.
        heads: of its attention.
        image: height and width of an image, which has three channels.
        patch: side of a patch.
        context: the most words.
        frozen: whether the random weights stay as they are, so that only a head is trained.
        seed: of the weights.
    """

    kind = "rewardlab.recipes.basereward.encoder:PatchTextEncoder"

    def __init__(
        self,
        words: Sequence[str],
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        image: int = 16,
        patch: int = 8,
        context: int = 32,
        frozen: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._options = {
            "words": list(words),
            "width": width,
            "layers": layers,
            "heads": heads,
            "image": image,
            "patch": patch,
            "context": context,
            "frozen": frozen,
            "seed": seed,
        }
        self.width, self.image, self.patch, self.context, self.frozen = width, image, patch, context, frozen
        self._place = {word: place for place, word in enumerate(words)}
        patches = (image // patch) ** 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.words = nn.Embedding(len(words), width)
            self.patches = nn.Linear(3 * patch * patch, width)
            self.places = nn.Embedding(patches + context, width)
            self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
            self.norm = nn.LayerNorm(width)
        if frozen:
            self.requires_grad_(False)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """Patches float32[patch, number] (none for a text alone) and the numbers of the words of each trajectory.

        Raises:
            ValueError: an image that is missing or of another shape, a word that is not known, or too many words.
        """
        return [self._read(one, index) for index, one in enumerate(trajectories)]

    def _read(self, trajectory: Trajectory, index: int) -> tuple[np.ndarray, list[int]]:
        picture: np.ndarray | None = None
        words: list[str] = []
        for message in trajectory.messages:
            content = message["content"]
            for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                if part["type"] == "text":
                    words += part["text"].split()
                elif part.get("image") is None:
                    raise ValueError(
                        f"trajectory {index} names an image that is not there; give the array of its numbers"
                    )
                elif picture is not None:
                    raise ValueError(f"trajectory {index} has several images, this encoder reads one; give one of them")
                else:
                    picture = np.asarray(part["image"], dtype=np.float32)
        if picture is not None and picture.shape != (self.image, self.image, 3):
            raise ValueError(
                f"trajectory {index} has an image of shape {picture.shape}, expected {(self.image, self.image, 3)}"
            )
        unknown = [word for word in words if word not in self._place]
        if unknown:
            raise ValueError(f"trajectory {index} has the unknown word {unknown[0]!r}; add it to words")
        if not 0 < len(words) <= self.context:
            raise ValueError(
                f"trajectory {index} has {len(words)} words, expected 1 to {self.context}; a longer one would be "
                "scored on a cut answer, so raise context"
            )
        if picture is None:
            return np.zeros((0, 3 * self.patch**2), dtype=np.float32), [self._place[word] for word in words]
        side = self.image // self.patch
        cut = picture.reshape(side, self.patch, side, self.patch, 3).transpose(0, 2, 1, 3, 4)
        return cut.reshape(side * side, -1), [self._place[word] for word in words]

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """Patches, words, which of both are there, and the place of the last word."""
        side = (self.image // self.patch) ** 2
        longest = max(len(words) for _, words in prepared)
        patches = np.zeros((len(prepared), side, 3 * self.patch**2), dtype=np.float32)
        ids = np.zeros((len(prepared), longest), dtype=np.int64)
        there = np.zeros((len(prepared), side + longest), dtype=np.bool_)
        for row, (cut, words) in enumerate(prepared):
            patches[row, : len(cut)] = cut
            ids[row, : len(words)] = words
            there[row, : len(cut)] = True
            there[row, side : side + len(words)] = True
        last = np.array([side + len(words) - 1 for _, words in prepared])
        columns = {"patches": patches, "ids": ids, "there": there, "last": last}
        return {name: torch.from_numpy(column) for name, column in columns.items()}

    def forward(self, batch: Batch) -> Encoded:
        """Features at the last word."""
        hidden = torch.cat([self.patches(batch["patches"]), self.words(batch["ids"])], dim=1)
        hidden = hidden + self.places.weight[: hidden.shape[1]]
        mask = batch["there"][:, None, None, :]
        for block in self.blocks:
            hidden = block(hidden, mask)
        return Encoded(response=self.norm(hidden[torch.arange(len(hidden)), batch["last"]]))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inward, self.outward = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        rows, length, width = hidden.shape
        parts = self.inward(self.first(hidden)).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        hidden = hidden + self.outward(mixed.transpose(1, 2).reshape(rows, length, width))
        out: Tensor = hidden + self.feed(self.second(hidden))
        return out
