"""What a transition is called: captions out of `info` or the observation, brought to clean text."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

ARGUMENTS = ("observation", "action", "next_observation", "terminated", "info")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class InfoCaption:
    """The caption that simulators give under a name of `info`; empty where one gives none.

    It may be text, or bytes (uint8[length], closed by zeros).

    Args:
        name: such as "message".
    """

    name: str

    def __call__(self, info: Mapping[str, Any] | None, terminated: Any) -> Sequence[Any]:
        """N captions."""
        given = None if info is None else info.get(self.name)
        return [""] * len(terminated) if given is None else ["" if one is None else one for one in given]


@dataclass(frozen=True)
class ObservationCaption:
    """The caption that is a part of the observation, as text or as bytes (uint8[N, length], closed by zeros).

    Args:
        name: of the part of a Dict observation, such as "message".
    """

    name: str

    def __call__(self, next_observation: Any) -> Sequence[Any]:
        """N captions.

        Raises:
            ValueError: observations have no such part.
        """
        if not isinstance(next_observation, Mapping) or self.name not in next_observation:
            has = sorted(next_observation) if isinstance(next_observation, Mapping) else type(next_observation).__name__
            raise ValueError(
                f"the observation has no part {self.name!r} to take captions from, it is {has}; give another name, or a "
                "function of the transition as caption"
            )
        return list(next_observation[self.name])


def mask_numbers(caption: str) -> str:
    """A caption with every number as #, so that counters and coordinates do not make each one new."""
    return _NUMBER.sub("#", caption)


def caption_arguments(caption: Callable[..., Any]) -> tuple[str, ...]:
    """Which columns of a transition a caption function asks for.

    Raises:
        ValueError: it asks for something else.
    """
    names = tuple(inspect.signature(caption).parameters)
    unknown = [name for name in names if name not in ARGUMENTS]
    if unknown or not names:
        raise ValueError(
            f"the caption function asks for {', '.join(unknown) or 'nothing'}; name its arguments among "
            f"{', '.join(ARGUMENTS)}"
        )
    return names


def clean(captions: Any, count: int, longest: int) -> tuple[list[str], int, int]:
    """Captions as text.

    Args:
        captions: N of str, bytes, uint8 arrays, or None.
        count: N.
        longest: bytes of a caption that are kept.

    Returns:
        N captions (empty for none), how many were cut, and how many were no UTF-8 (what cannot be read becomes a mark).

    Raises:
        TypeError: a caption is no text.
        ValueError: another number of captions.
    """
    if isinstance(captions, (str, bytes)) or not hasattr(captions, "__len__") or len(captions) != count:
        what = len(captions) if hasattr(captions, "__len__") and not isinstance(captions, (str, bytes)) else captions
        raise ValueError(f"the caption function returned {what!r:.80} for {count} transitions; return {count} captions")
    texts, cut, broken = [], 0, 0
    for row, one in enumerate(captions):
        if one is None:
            texts.append("")
            continue
        if isinstance(one, np.ndarray) and one.dtype == np.uint8:
            one = one.tobytes().split(b"\0", 1)[0]
        if isinstance(one, bytes):
            text = one.decode("utf-8", errors="replace")
            broken += "\ufffd" in text
        elif isinstance(one, str):
            text = str(one)
        else:
            raise TypeError(
                f"the caption of transition {row} is {one!r:.60} ({type(one).__name__}), expected text (str, bytes, or a "
                "uint8 array), or None for no caption"
            )
        short, was_cut = _short(text, longest)
        texts.append(short)
        cut += was_cut
    return texts, cut, broken


@functools.lru_cache(maxsize=65_536)
def _short(text: str, longest: int) -> tuple[str, bool]:
    text = text.strip()
    encoded = text.encode("utf-8", errors="replace")
    if len(encoded) <= longest:
        return encoded.decode("utf-8"), False
    return encoded[:longest].decode("utf-8", errors="ignore").rstrip(), True
