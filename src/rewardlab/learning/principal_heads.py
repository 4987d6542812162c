"""Diverse preferences from plain comparisons: heads along the principal directions of what was preferred over what.

No label says who judged. Directions in which the differences of features vary most are candidates for what people disagree
about; a few labels of a user then say which way, and how much, each direction counts for that user.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalHeads:
    """Linear heads on the features of an encoder.

    Args:
        directions: float64[head, feature], of length 1 and orthogonal; the sign of each is arbitrary until a user fixes it,
            here its largest entry is positive.
        spread: float64[head], deviation of the differences along each.
        explained: share of the variance of all differences that the heads hold.
    """

    directions: Floats
    spread: Floats
    explained: float

    def values(self, features: ArrayLike) -> Floats:
        """What each head says of responses, float64[response, head]."""
        return np.asarray(features, np.float64) @ self.directions.T

    def signs(self, differences: ArrayLike, labels: ArrayLike) -> Floats:
        """The sign of each head by the majority of a user's labels, float64[head]; 1 where they are even.

        Args:
            differences: float[row, feature], features of the first minus those of the second.
            labels: float[row] in [0, 1], the probability that this user prefers the first.
        """
        along, sign = self._own(differences, labels)
        votes = np.sign(along * sign[:, None]).sum(0)
        return np.where(votes < 0, -1.0, 1.0)

    def weights(self, differences: ArrayLike, labels: ArrayLike, *, ridge: float = 1.0) -> Floats:
        """How much each head counts for a user: a logistic regression on the heads, drawn to equal votes of the signs.

        Args:
            differences, labels: see `signs`. Which response stands first carries nothing, so labels that are all 1 are fine.
            ridge: how strongly weights are drawn to 0, in the unit of one label.

        Returns:
            float64[head]; `features @ (weights @ directions)` is this user's reward.

        Raises:
            ValueError: no labels, shapes differ, or a label lies outside [0, 1].
        """
        along, sign = self._own(differences, labels)
        scaled = along * sign[:, None] / np.maximum(self.spread, 1e-12)
        weight = np.zeros(len(self.directions))
        certain = np.abs(sign)
        for _ in range(
            50
        ):  # Newton's method on -log sigmoid(w x), every pair turned so that the preferred one is first
            chance = 1.0 / (1.0 + np.exp(-np.clip(scaled @ weight, -30, 30)))
            slope = scaled.T @ (certain * (chance - 1.0)) + ridge * weight
            bend = (scaled * (certain * chance * (1.0 - chance))[:, None]).T @ scaled + ridge * np.eye(len(weight))
            step = np.linalg.solve(bend, slope)
            weight = weight - step
            if np.abs(step).max() < 1e-10:
                break
        return weight / np.maximum(self.spread, 1e-12)

    def _own(self, differences: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
        rows, share = np.asarray(differences, np.float64), np.asarray(labels, np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.directions.shape[1]:
            raise ValueError(f"differences must have shape [row, {self.directions.shape[1]}], got {rows.shape}")
        if share.shape != (len(rows),) or not len(rows):
            raise ValueError(
                f"labels must have one entry for each of {len(rows)} rows, at least one, got {share.shape}"
            )
        if not ((share >= 0) & (share <= 1)).all():
            raise ValueError(f"labels must be in [0, 1], got {share[~((share >= 0) & (share <= 1))][0]}")
        return rows @ self.directions.T, 2.0 * share - 1.0

    def save(self, path: str | Path) -> Path:
        """Write the heads to an npz file."""
        target = Path(path)
        with target.open("wb") as stream:
            np.savez(stream, directions=self.directions, spread=self.spread, explained=np.float64(self.explained))
        return target

    @classmethod
    def load(cls, path: str | Path) -> PrincipalHeads:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as held:
            return cls(directions=held["directions"], spread=held["spread"], explained=float(held["explained"]))


def principal_heads(differences: ArrayLike, count: int) -> PrincipalHeads:
    """Heads along the directions in which preferred and other responses differ most.

    Source: Luo et al. 2025, "Rethinking Diverse Human Preference Learning through Principal Component Analysis" (arXiv
    2502.13131).

    Args:
        differences: float[row, feature], features of the preferred response minus those of the other one; they are centred.
        count: how many heads.

    Raises:
        ValueError: fewer rows or features than heads, no differences at all, or a number that is not finite.
    """
    rows = np.asarray(differences, np.float64)
    if rows.ndim != 2:
        raise ValueError(f"differences must have shape [row, feature], got {rows.shape}")
    if not 1 <= count <= min(rows.shape):
        raise ValueError(
            f"count must be between 1 and {min(rows.shape)} for {rows.shape[0]} pairs of {rows.shape[1]} features, "
            f"got {count}; there are no more directions than pairs or features"
        )
    if not np.isfinite(rows).all():
        place = int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
        raise ValueError(f"differences must be finite, and row {place} is not; leave that pair out")
    centred = rows - rows.mean(0)
    _, lengths, directions = np.linalg.svd(centred, full_matrices=False)
    total = float((lengths**2).sum())
    if total <= 0:
        raise ValueError(
            "all pairs have the same difference, so there is no direction in which they vary; give other pairs"
        )
    kept = directions[:count]
    largest = np.abs(kept).argmax(1)
    kept = kept * np.sign(kept[np.arange(count), largest])[:, None]
    spread = lengths[:count] / np.sqrt(len(rows))
    return PrincipalHeads(directions=kept, spread=spread, explained=float((lengths[:count] ** 2).sum() / total))
