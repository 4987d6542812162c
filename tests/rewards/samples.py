"""Small trajectories and rewards that the tests of this room share. Module-level, so that specs can name the functions."""

from __future__ import annotations

import numpy as np

import rewardlab as rl


def answer(text: str, reference: object = None, *, group: str | None = None, prompt: str = "question") -> rl.Trajectory:
    """A single-turn trajectory."""
    return rl.Trajectory.from_text(prompt, text, reference=reference, group=group)


@rl.reward
def length(completion: str) -> float:
    return float(len(completion))


@rl.reward
def exact(completion: str, reference: str, *, credit: float = 1.0) -> float:
    return credit if completion == reference else 0.0


@rl.reward
def picky(completion: str) -> float | None:
    """Abstains on 'skip', breaks on 'break', returns NaN on 'nan', else 1."""
    if completion == "skip":
        return None
    if completion == "break":
        raise RuntimeError("no tests could run")
    if completion == "nan":
        return float("nan")
    return 1.0


@rl.reward
def rank_in_group(group: list[rl.Trajectory]) -> list[float]:
    lengths = [len(member.completion) for member in group]
    return [float(sorted(lengths).index(entry)) for entry in lengths]


@rl.reward
def vectorised(trajectories: list[rl.Trajectory]) -> np.ndarray:
    return np.array([len(trajectory.completion) for trajectory in trajectories], dtype=float)


@rl.reward
async def waits(completion: str) -> float:
    import asyncio

    await asyncio.sleep(0)
    return float(len(completion))


def halving(progress: float) -> float:
    return 1.0 - progress / 2


@rl.reward(deterministic=False)
def moody(completion: str) -> float:
    return float(np.random.default_rng().random())


@rl.reward(per="transition")
def forward(observation: np.ndarray, next_observation: np.ndarray) -> np.ndarray:
    return next_observation[:, 0] - observation[:, 0]
