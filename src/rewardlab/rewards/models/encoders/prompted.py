"""Vectors of a prompt and of a response that stand apart, for heads whose weights depend on the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from rewardlab.rewards.models.base import Batch, Encoded, Encoder
from rewardlab.types import Task, Trajectory


class PromptResponseEncoder(Encoder):
    """Passes on the two vectors of a one-step trajectory: the observation is the prompt, the action is the response.

    `prompted` makes such trajectories. The features never change, so a fitter computes them once.

    Args:
        prompt: numbers in a prompt.
        response: numbers in a response.
    """

    kind = "prompt_response"
    frozen = True

    def __init__(self, prompt: int, response: int) -> None:
        super().__init__()
        self.prompt, self.width = prompt, response

    def options(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"prompt": self.prompt, "response": self.width}

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """One pair of float32 vectors per trajectory."""
        return [self._read(one, index) for index, one in enumerate(trajectories)]

    def _read(self, one: Trajectory, index: int) -> tuple[np.ndarray, np.ndarray]:
        if one.is_chat or not len(one.actions):
            raise ValueError(
                f"trajectory {index} is not a prompt vector (its first observation) with a response vector (its first "
                "action); make it with rewardlab.rewards.models.encoders.prompted.prompted(prompts, responses)"
            )
        vectors = (np.asarray(one.observations[0], np.float32), np.asarray(one.actions[0], np.float32))
        for name, vector, size in zip(("prompt", "response"), vectors, (self.prompt, self.width), strict=True):
            if vector.shape != (size,):
                raise ValueError(
                    f"trajectory {index} has a {name} of shape {vector.shape}, the encoder expects ({size},)"
                )
            if not np.isfinite(vector).all():
                raise ValueError(f"trajectory {index} has a {name} with numbers that are not finite")
        return vectors

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """`prompt` float32[trajectory, prompt] and `response` float32[trajectory, response]."""
        return {
            "prompt": torch.from_numpy(np.stack([prompt for prompt, _ in prepared])),
            "response": torch.from_numpy(np.stack([response for _, response in prepared])),
        }

    def forward(self, batch: Batch) -> Encoded:
        """The vectors as they are."""
        return Encoded(response=batch["response"], prompt=batch["prompt"])


def prompted(prompts: ArrayLike, responses: ArrayLike) -> list[Trajectory]:
    """Trajectories that `PromptResponseEncoder` reads; responses to equal prompts share a task.

    Args:
        prompts: float[row, prompt].
        responses: float[row, response].

    Raises:
        ValueError: there is not one prompt for each response.
    """
    asked, answered = np.asarray(prompts, np.float32), np.asarray(responses, np.float32)
    if len(asked) != len(answered):
        raise ValueError(f"every response needs its prompt, got {len(answered)} responses and {len(asked)} prompts")
    nothing = np.zeros_like(asked[:1])
    return [
        Trajectory(
            observations=np.concatenate([prompt[None], nothing]),
            actions=response[None],
            task=Task(id=prompt.tobytes().hex()[:64] or "prompt"),
            terminated=True,
        )
        for prompt, response in zip(asked, answered, strict=True)
    ]
