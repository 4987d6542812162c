"""Ranked search over short texts in memory (BM25), fast enough for a step of an environment.

Everything that does not depend on the query is worked out when the index is made: for each word the texts that hold it and
what it adds to their score. A query adds up a few arrays.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W_]+(?:\.[0-9]+)?")
MOST_WORDS = 64
"""Words of a query that count; more are left unread, so that no query is slow."""


def search_words(text: str) -> list[str]:
    """The words by which texts are found: runs of letters and digits in small letters, a final plural s taken off."""
    return [word[:-1] if len(word) > 3 and word[-1] == "s" and word[-2] != "s" else word for word in _split(text)]


def _split(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


class SearchIndex:
    """Texts ranked by BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", equation 3.15).

    Args:
        texts: what is searched.
        k1: how soon repeating a word stops to add.
        b: how much long texts are held back, in [0, 1].
    """

    def __init__(self, texts: Sequence[str], *, k1: float = 1.2, b: float = 0.75) -> None:
        counts = [Counter(search_words(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float64)
        mean = lengths.mean() if lengths.size and lengths.any() else 1.0
        self.size = len(counts)
        places: dict[str, list[int]] = {}
        frequencies: dict[str, list[int]] = {}
        for place, count in enumerate(counts):
            for word, frequency in count.items():
                places.setdefault(word, []).append(place)
                frequencies.setdefault(word, []).append(frequency)
        self._postings: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        for word, found in places.items():
            where = np.array(found, dtype=np.int64)
            often = np.array(frequencies[word], dtype=np.float64)
            rarity = np.log1p((self.size - where.size + 0.5) / (where.size + 0.5))
            gain = rarity * often * (k1 + 1) / (often + k1 * (1 - b + b * lengths[where] / mean))
            self._postings[word] = (where, gain)

    def __len__(self) -> int:
        return self.size

    def search(self, query: str, most: int = 50) -> list[int]:
        """The places of the best texts, best first; equal ones in the order in which they stand.

        Args:
            query: any text; words that no text has count for nothing.
            most: how many at most.

        Returns:
            Fewer than `most`, or none, where fewer texts hold a word of the query.
        """
        scores = np.zeros(self.size)
        for word in dict.fromkeys(search_words(query)[:MOST_WORDS]):
            posting = self._postings.get(word)
            if posting is not None:
                scores[posting[0]] += posting[1]
        found = np.flatnonzero(scores)
        if found.size > most:
            least = np.partition(scores[found], found.size - most)[found.size - most]
            found = found[scores[found] >= least]
        order = np.argsort(-scores[found], kind="stable")
        return [int(place) for place in found[order[:most]]]
