"""What becomes of the true reward when a proxy is optimised: both against how many samples the proxy chose from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rewardlab.functional.selection import best_of_kl_bound
from rewardlab.learning.items import prompt_key
from rewardlab.rewards.base import Reward
from rewardlab.types import Trajectory

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overoptimisation:
    """Curves of a proxy and of the true reward ("gold"), each in units of its own deviation over plain samples.

    Args:
        ns: from how many samples the proxy chose.
        kl: the most that choosing moves the policy, in nats: `log n - (n - 1) / n`.
        proxy: mean of the proxy's choice, by the proxy.
        gold: mean of the proxy's choice, by gold.
        best: mean of gold's own choice, by gold: what could be had.
        prompts: how many prompts the means are over.
        left_out: samples that one of the two could not score.
    """

    ns: tuple[int, ...]
    kl: tuple[float, ...]
    proxy: tuple[float, ...]
    gold: tuple[float, ...]
    best: tuple[float, ...]
    prompts: int
    left_out: int

    @property
    def gap(self) -> tuple[float, ...]:
        """Proxy minus gold: how much of the gain is not there."""
        return tuple(one - other for one, other in zip(self.proxy, self.gold, strict=True))

    @property
    def turn(self) -> int | None:
        """The n after which gold falls though the proxy rises; None where it never does."""
        place = int(np.argmax(self.gold))
        return self.ns[place] if place < len(self.ns) - 1 else None

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "gap": self.gap, "turn": self.turn}

    def to_markdown(self) -> str:
        """The curves as a table."""
        lines = ["| n | KL at most | proxy | gold | best by gold |", "|---|---|---|---|---|"]
        for n, *numbers in zip(self.ns, self.kl, self.proxy, self.gold, self.best, strict=True):
            lines.append(f"| {n} | " + " | ".join(f"{number:.2f}" for number in numbers) + " |")
        return "\n".join(lines) + "\n"


def overoptimisation(
    reward: Reward, gold: Reward, samples: Sequence[Trajectory], ns: Sequence[int] = (1, 4, 16, 64, 256, 1024)
) -> Overoptimisation:
    """Choose the best of n by a proxy, for many n, and see what the true reward says.

    Source: Gao, Schulman and Hilton 2023, "Scaling Laws for Reward Model Overoptimization" (ICML 2023, arXiv 2210.10760).

    Args:
        reward: the proxy.
        gold: the true reward, or the best judge there is.
        samples: of one policy. Those with one `group` stand beside one another, and where there is none, those with one
            prompt; each needs as many as the largest n.
        ns: how many samples the proxy chooses from; those above the smallest group are left out.

    Raises:
        ValueError: no n is possible, or the rewards do not vary.
    """
    proxies, golds = reward(samples).values, gold(samples).values
    good = np.isfinite(proxies) & np.isfinite(golds)
    names = [one.group if one.group is not None else prompt_key(one) for one in samples]
    _, places = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    groups = [np.flatnonzero((places == place) & good) for place in range(max(places, default=-1) + 1)]
    smallest = min((len(members) for members in groups), default=0)
    possible = tuple(n for n in ns if n <= smallest)
    if not possible:
        raise ValueError(
            f"the smallest group has {smallest} samples that both rewards can score, so none of n = "
            f"{', '.join(map(str, ns))} is possible; sample more for each prompt"
        )
    return curves(
        [proxies[members] for members in groups], [golds[members] for members in groups], possible, int((~good).sum())
    )


def curves(
    proxies: Sequence[ArrayLike], golds: Sequence[ArrayLike], ns: Sequence[int], left_out: int = 0
) -> Overoptimisation:
    """`overoptimisation` on arrays: the scores of each prompt's samples, by the proxy and by gold.

    Means over all subsets of n samples are exact: with samples in the proxy's order, that of rank i (from 1) of m is the
    choice with probability `C(i - 1, n - 1) / C(m, n)`; equal samples share their places.

    Raises:
        ValueError: an n is out of its range, or the scores do not vary.
    """
    if len(proxies) != len(golds) or not len(proxies):
        raise ValueError(f"proxies and golds must have one entry for each prompt, got {len(proxies)} and {len(golds)}")
    pairs = [
        (np.asarray(one, np.float64), np.asarray(other, np.float64)) for one, other in zip(proxies, golds, strict=True)
    ]
    for place, (one, other) in enumerate(pairs):
        if one.shape != other.shape or one.ndim != 1:
            raise ValueError(
                f"prompt {place} has scores of shapes {one.shape} and {other.shape}, expected one for each sample"
            )
    low = min(len(one) for one, _ in pairs)
    for n in ns:
        if not 1 <= n <= low:
            raise ValueError(f"n must be between 1 and the {low} samples of the smallest group, got {n}")
    scales = []
    for name, column in (("reward", 0), ("gold", 1)):
        joined = np.concatenate([pair[column] for pair in pairs])
        if not joined.std() > 0:
            raise ValueError(f"{name} gives all samples the same score, so nothing can be chosen by it")
        scales.append((joined.mean(), joined.std()))
    found: dict[str, list[float]] = {"proxy": [], "gold": [], "best": []}
    standard = [
        tuple((side - mean) / spread for side, (mean, spread) in zip(pair, scales, strict=True)) for pair in pairs
    ]
    for n in ns:
        chosen = [(best_of(one, one, n), best_of(one, other, n), best_of(other, other, n)) for one, other in standard]
        for name, value in zip(found, np.mean(chosen, axis=0), strict=True):
            found[name].append(float(value))
    return Overoptimisation(
        ns=tuple(ns),
        kl=tuple(best_of_kl_bound(n) for n in ns),
        prompts=len(pairs),
        left_out=left_out,
        **{name: tuple(column) for name, column in found.items()},
    )


def best_of(scores: Floats, outcome: Floats, n: int) -> float:
    """Expected outcome of the best of n by some scores, over all subsets of n samples; equal scores share their places."""
    total = len(scores)
    ranks = np.arange(1, total + 1)
    log_factorial = np.array([math.lgamma(k + 1) for k in range(total + 1)])

    def log_choose(many: NDArray[np.int64], few: int) -> Floats:
        held = np.maximum(many, few)
        return log_factorial[held] - log_factorial[few] - log_factorial[held - few]

    chance = np.where(ranks >= n, np.exp(log_choose(ranks - 1, n - 1) - log_choose(np.array(total), n)), 0.0)
    order = np.argsort(scores, kind="stable")
    _, level = np.unique(scores[order], return_inverse=True)
    shared = (np.bincount(level, chance) / np.bincount(level))[level]
    return float(shared @ outcome[order] / shared.sum())
