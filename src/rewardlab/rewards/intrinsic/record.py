"""What an intrinsic reward remembers of a run: shares, warnings, and which messages paid most (where farming shows)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 2000
"""Captions over which the share of different ones is taken."""
MOST = 10_000
"""Messages whose sums are kept; of more, the half that paid least is forgotten."""


class Record:
    """Counts of a run, and its warnings, each given once."""

    def __init__(self) -> None:
        self.steps = self.captions = self.known = self.cut = self.broken = 0
        self.agreement = float("nan")
        self.positive = self.labels = 0.0
        self.unique = float("nan")
        self.paid: dict[str, list[float]] = {}
        self._window: set[str] = set()
        self._in_window = 0
        self._told: set[str] = set()

    def enter(
        self, captions: Sequence[str], known: NDArray[np.bool_], rewards: NDArray[np.float64], model: str
    ) -> None:
        """One step of N environments."""
        self.steps += len(captions)
        self.known += int(known.sum())
        for caption, reward in zip(captions, rewards.tolist(), strict=True):
            if not caption:
                continue
            self.captions += 1
            self._in_window += 1
            self._window.add(caption)
            if reward:
                entry = self.paid.setdefault(caption, [0, 0.0])
                entry[0] += 1
                entry[1] += reward
        if len(self.paid) > MOST:
            kept = sorted(self.paid.items(), key=lambda pair: -abs(pair[1][1]))[: MOST // 2]
            self.paid = dict(kept)
        if self._in_window >= WINDOW:
            self.unique = len(self._window) / self._in_window
            example = next(iter(self._window))
            self._window, self._in_window = set(), 0
            if self.unique > 0.5:
                way = "" if model != "retrieval" else ", or model='classifier' (a table of such captions never pays)"
                self.tell(
                    "unique",
                    f"{self.unique:.0%} of the last {WINDOW} captions were all different, such as {example!r:.80}; give "
                    f"normalise=mask_numbers, or a normaliser of your own{way}",
                )
        if self.steps >= WINDOW and not self.captions:
            self.tell(
                "captions",
                f"no caption in the first {self.steps} steps; does the caption function name the right part?",
            )

    def label(self, targets: Sequence[float], pairs: bool) -> None:
        """New labels."""
        self.labels += len(targets)
        self.positive += float(sum(target != 0.5 if pairs else target > 0.5 for target in targets))
        if self.labels < 50:
            return
        if pairs and not self.positive:
            self.tell(
                "ties", f"all {self.labels:.0f} comparisons are ties, so the intrinsic reward is 0; look at the judge"
            )
        elif not self.positive:
            self.tell(
                "none", f"none of {self.labels:.0f} labels is positive, so the intrinsic reward is 0; look at the goal"
            )
        elif not pairs and self.positive == self.labels:
            self.tell(
                "all",
                f"all {self.labels:.0f} labels are positive, so the intrinsic reward only counts messages; look at the goal",
            )

    def tell(self, kind: str, message: str) -> None:
        """Warn, once for each kind."""
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, RuntimeWarning, stacklevel=4)

    def top(self, count: int) -> list[dict[str, Any]]:
        """The messages with the largest sums of intrinsic reward: `caption`, `times`, `total`, and `share` of the whole."""
        whole = sum(abs(total) for _, total in self.paid.values()) or 1.0
        best = sorted(self.paid.items(), key=lambda pair: -abs(pair[1][1]))[:count]
        return [
            {"caption": caption, "times": int(times), "total": total, "share": abs(total) / whole}
            for caption, (times, total) in best
        ]

    def state_dict(self) -> dict[str, Any]:
        """The counts, as plain values; the window begins anew."""
        names = ("steps", "captions", "known", "cut", "broken", "positive", "labels", "agreement", "unique")
        return {
            **{name: getattr(self, name) for name in names},
            "paid": [[caption, *entry] for caption, entry in self.paid.items()],
            "told": sorted(self._told),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        for name, value in state.items():
            if name == "paid":
                self.paid = {caption: [times, total] for caption, times, total in value}
            elif name == "told":
                self._told = set(value)
            else:
                setattr(self, name, value)
