"""A general preference model as one object: fit on comparisons, embed, compare, rank, and turn into a reward.

Everything it does is done by parts that stand alone: the head `general_preference`, the loss of the same name, `rl.fit`, and
`PreferenceAgainst`. A saved model describes itself, so loading it needs no option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.intransitivity import Ranking, Rule
from rewardlab.learning.data import PreferenceData, RankingData
from rewardlab.learning.fitting import FitResult, fit
from rewardlab.learning.losses import GeneralPreferenceLoss
from rewardlab.rewards.models.against import Measure, Opponents, PreferenceAgainst
from rewardlab.rewards.models.answers import answers_to
from rewardlab.rewards.models.base import Encoder, Outputs
from rewardlab.rewards.models.heads.general_preference import GeneralPreferenceHead
from rewardlab.rewards.models.model import RewardModel


@dataclass(kw_only=True)
class PreferenceEmbedding:
    """A preference model that gives each response a vector (Zhang et al. 2024, arXiv 2410.02197).

    Args:
        encoder: an encoder, or its spec.
        dim: of the vectors; even.
        normalise: whether vectors have length 1; see `GeneralPreferenceHead`.
        gate: whether the prompt weights the blocks.
        tau: temperature.
        learn_tau: whether it is fitted.
        seed: of the weights.

    Attributes:
        model: the learned reward beneath, which has no value for one response alone.
    """

    encoder: Encoder | Mapping[str, Any]
    dim: int = 2
    normalise: bool = False
    gate: bool = False
    tau: float = 1.0
    learn_tau: bool = False
    seed: int = 0
    model: RewardModel = field(init=False)

    def __post_init__(self) -> None:
        options = {name: getattr(self, name) for name in ("dim", "normalise", "gate", "tau", "learn_tau", "seed")}
        self.model = RewardModel.make(self.encoder, {"type": "general_preference", **options})

    @classmethod
    def around(cls, model: RewardModel) -> PreferenceEmbedding:
        """A fitted model, whose options are read off its head.

        Raises:
            TypeError: it has another head.
        """
        head = model.network.head
        if not isinstance(head, GeneralPreferenceHead):
            raise TypeError(
                f"a PreferenceEmbedding needs a model with a general_preference head, got one with a {head.kind} head"
            )
        self = cls.__new__(cls)
        self.encoder, self.model = model.network.encoder, model
        for name, value in head.options().items():
            if name != "width":
                setattr(self, name, value)
        return self

    @classmethod
    def load(cls, directory: str | Path) -> PreferenceEmbedding:
        """A model that `save` (or `RewardModel.save`) wrote.

        Raises:
            RuntimeError: what was saved does not say with which options its weights were fitted.
        """
        return cls.around(RewardModel.load(directory))

    def save(self, directory: str | Path) -> PreferenceEmbedding:
        """Write the model to a directory; returns this object, whose rewards can then be written as specs."""
        self.model = self.model.save(directory)
        return self

    def fit(
        self,
        pairs: PreferenceData | RankingData,
        *,
        margin: float | None = None,
        loss: Literal["logistic", "regression"] = "logistic",
        target: float = 10.0,
        **options: Any,
    ) -> FitResult:
        """Fit to comparisons.

        Args:
            pairs: comparisons, or rankings, which become comparisons; contradictions are legal.
            margin: by how much the score of the preferred side must win, for "logistic"; None for 0.
            loss: the likelihood, or the squared distance of log-odds from a target.
            target: that of "regression".
            options: of `rewardlab.learning.fit`.

        Raises:
            ValueError: a margin was given for the regression, which has a target in its place.
        """
        if margin is not None and loss == "regression":
            raise ValueError(
                f'margin={margin} goes with loss="logistic"; the regression has target={target} in its place'
            )
        criterion = GeneralPreferenceLoss(form=loss, margin=(margin or 0.0) / self.tau, target=target)
        result = fit(self.model, pairs, loss=criterion, **options)
        self.model = result.model
        return result

    # ---- asking it ------------------------------------------------------------------------------------------------------

    def embed(self, prompt: Any, responses: Sequence[Any]) -> NDArray[np.float64]:
        """The vectors of some responses, float64[response, dim].

        Args:
            prompt: a text; a vector, for encoders of prompt and response; or None where responses are whole trajectories,
                messages or arrays.
            responses: texts, trajectories, messages or arrays.
        """
        return np.asarray(self._outputs(prompt, responses)["vector"].double().cpu().numpy())

    def score_matrix(self, prompt: Any, responses: Sequence[Any]) -> NDArray[np.float64]:
        """Score of each response against each, before the temperature; float64[response, response], antisymmetric."""
        return np.asarray(self.head.score_matrix(self._outputs(prompt, responses)).double().cpu().numpy())

    def prob(self, prompt: Any, first: Any, second: Any) -> float:
        """Probability that the first of two responses is preferred."""
        score = self.score_matrix(prompt, [first, second])[0, 1]
        return float(0.5 * (1.0 + np.tanh(0.5 * score / self.head.tau)))

    def rank(self, prompt: Any, responses: Sequence[Any], rule: Rule = "mean_score") -> Ranking:
        """Order responses; `note` of the result says where no response beats all the others."""
        with torch.no_grad():
            return self.head.rank(self._outputs(prompt, responses), rule)

    def as_reward(
        self,
        reference_responses: Sequence[Any] = (),
        *,
        opponents: Opponents | None = None,
        measure: Measure = "probability",
    ) -> PreferenceAgainst:
        """A reward for the algebra and the loop: how much a response is preferred to its opponents, on average.

        Args:
            reference_responses: to compare with; texts, or vectors for encoders of arrays.
            opponents: "task" or "group" in their place; see `PreferenceAgainst`.
            measure: "probability", "log_odds" or "wins".

        Raises:
            ValueError: there are no responses where they are asked for, or the other way round.
        """
        if isinstance(reference_responses, str):
            raise ValueError(
                f"reference_responses must be a list, got one text; write [{reference_responses!r:.60}]"
            )  # fmt: skip
        told = tuple(one if isinstance(one, str) else tuple(map(float, one)) for one in reference_responses)
        return PreferenceAgainst(
            model=self.model, opponents=opponents or "responses", responses=told, measure=measure
        )  # fmt: skip

    @property
    def head(self) -> GeneralPreferenceHead:
        """The head, with its temperature as it is now."""
        head = self.model.network.head
        assert isinstance(head, GeneralPreferenceHead)
        return head

    def _outputs(self, prompt: Any, responses: Sequence[Any]) -> Outputs:
        return self.model.outputs(answers_to(prompt, responses))
