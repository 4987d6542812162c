"""An encoder for the recipes' small worlds: counts of pieces in the prompt and in the completion, and layers over them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.types import Trajectory, message_text


class PieceEncoder(Encoder):
    """Counts of pieces in the prompt, counts of pieces in the completion, and layers over both.

    Args:
        prompt: pieces that are looked for in the messages before the last action.
        completion: pieces that are looked for in the last action.
        hidden: widths of the layers.
        seed: of the weights.
    """

    kind = "rewardlab.recipes.piece_encoder:PieceEncoder"

    def __init__(
        self, prompt: Sequence[str], completion: Sequence[str], *, hidden: Sequence[int] = (64,), seed: int = 0
    ) -> None:
        super().__init__()
        if not prompt or not completion or not hidden:
            raise ValueError("a piece encoder needs pieces of the prompt, pieces of the completion, and a layer")
        self._options = {"prompt": list(prompt), "completion": list(completion), "hidden": list(hidden), "seed": seed}
        self._places = [{piece: place for place, piece in enumerate(pieces)} for pieces in (prompt, completion)]
        self._patterns = [
            re.compile("|".join(map(re.escape, sorted(pieces, key=lambda piece: (-len(piece), piece)))))
            for pieces in (prompt, completion)
        ]
        self.width = hidden[-1]
        layers: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for size_in, size_out in zip([len(prompt) + len(completion), *hidden], hidden, strict=False):
                layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._options)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One float32[prompt + completion] array of counts per trajectory."""
        return [self._count(one, index) for index, one in enumerate(trajectories)]

    def _count(self, trajectory: Trajectory, index: int) -> np.ndarray:
        if not trajectory.is_chat or not len(trajectory):
            raise ValueError(f"trajectory {index} is not a chat with an answer; a piece encoder reads text")
        asked = "".join(message_text(message) for message in trajectory.observations[0])
        found = []
        for text, places, pattern in zip((asked, trajectory.completion), self._places, self._patterns, strict=True):
            counts = np.zeros(len(places), dtype=np.float32)
            for match in pattern.finditer(text):
                counts[places[match.group()]] += 1.0
            found.append(counts)
        return np.concatenate(found)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`counts` float32[trajectory, piece]."""
        return {"counts": torch.from_numpy(np.stack(prepared))}

    def forward(self, batch: Batch) -> Encoded:
        """Features of the trajectories."""
        return Encoded(response=self.layers(batch["counts"]))
