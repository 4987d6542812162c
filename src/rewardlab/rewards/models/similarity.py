"""How near an answer stands to a reference answer in the space of an encoder: a stand-in for a reward model."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rewardlab.rewards.base import EMPTY_TRAJECTORY, Reward, ScoringFailure, attempt, scores_from_verdicts
from rewardlab.rewards.spec import register
from rewardlab.rewards.verifiers.answers import Where, find_answer
from rewardlab.types import Scores, Trajectory


@register("embedding_similarity")
@dataclass(frozen=True, kw_only=True)
class EmbeddingReward(Reward):
    """Cosine between the embedding of an answer and that of its reference; the best of several references.

    Args:
        encoder: an encoder of texts, its spec (`{"type": "sentence"}`), or a function from a list of texts to
            float[text, width].
        scale: "unit" maps a cosine `c` to `(1 + c) / 2`; "cosine" leaves it as it is.
        where: where in the completion the answer stands; see `ExactMatch`. An answer that is not there is worth the lowest
            value.
        tag: name of the tag for `where="tag"`.
        least_words: a shorter reference gives a warning, since the cosine of a word or two says little; 0 for none.
    """

    encoder: Any
    scale: Literal["unit", "cosine"] = "unit"
    where: Where = "whole"
    tag: str = "answer"
    least_words: int = 3

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        asked = [attempt(self._read, one) if len(one.actions) else EMPTY_TRAJECTORY for one in trajectories]
        texts = sorted({text for one in asked if one[0] == "compare" for text in one[1]})
        places = {text: place for place, text in enumerate(texts)}
        short = [text for one in asked if one[0] == "compare" for text in one[1][1:] if self._is_short(text)]
        if short:
            warnings.warn(
                f"{len(short)} references have fewer than {self.least_words} words (such as {short[0]!r:.40}): the cosine "
                "of so short a text is unreliable; use a rule for them, or set least_words=0",
                stacklevel=2,
            )
        vectors = self._embed(texts) if texts else np.empty((0, 1))
        outcomes: list[Any] = []
        for one in asked:
            if one[0] == "compare":
                answer, *references = (places[text] for text in one[1])
                outcomes.append(self._scaled(float((vectors[references] @ vectors[answer]).max())))
            elif one[0] == "nothing":
                outcomes.append(self._scaled(-1.0))
            else:
                outcomes.append(one)
        return scores_from_verdicts(outcomes)

    def _read(self, trajectory: Trajectory) -> tuple[str, list[str]]:
        """The answer, followed by its references."""
        reference = trajectory.reference
        references = [reference] if isinstance(reference, str) else reference
        if not (
            isinstance(references, (list, tuple))
            and references
            and all(isinstance(text, str) and text.strip() for text in references)
        ):
            name = "the trajectory" if trajectory.task is None else f"task {trajectory.task.id!r}"
            raise ScoringFailure(
                f"{name} has the reference {reference!r:.60}, expected a text, or a list of acceptable texts"
            )
        answer = find_answer(trajectory.completion, self.where, tag=self.tag)
        return ("compare", [answer, *references]) if answer else ("nothing", [])

    def _is_short(self, text: str) -> bool:
        return len(text.split()) < self.least_words

    def _scaled(self, cosine: float) -> float:
        return (1.0 + cosine) / 2.0 if self.scale == "unit" else cosine

    def _embed(self, texts: list[str]) -> NDArray[np.float64]:
        vectors = np.asarray(self._function(texts), dtype=np.float64)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise ValueError(
                f"the encoder gave an array of shape {vectors.shape} for {len(texts)} texts, expected (texts, width)"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(lengths > 0, lengths, 1.0)

    @functools.cached_property
    def _function(self) -> Callable[[list[str]], Any]:
        """The encoder as a function of texts."""
        encoder = self.encoder
        if isinstance(encoder, (str, Mapping)):
            from rewardlab.rewards.models.base import ENCODERS

            target, options = ENCODERS.target(encoder)
            encoder = target(**options)
        if hasattr(encoder, "prepare"):
            from rewardlab.rewards.models.heads.scalar import ScalarHead
            from rewardlab.rewards.models.network import Network

            network = Network(encoder, ScalarHead(encoder.width))

            def embed(texts: list[str]) -> Any:
                found = network.encode([Trajectory.from_text("", text) for text in texts])
                return found.response.double().cpu().numpy()

            return embed
        if not callable(encoder):
            raise TypeError(
                f"encoder must be an encoder, its spec, or a function of texts, got a {type(encoder).__name__}"
            )
        function: Callable[[list[str]], Any] = encoder
        return function
