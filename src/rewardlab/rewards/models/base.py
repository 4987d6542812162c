"""What a learned reward is made of: an encoder that turns trajectories into features, and a head that scores features.

An encoder works in three stages, because they cost differently: `prepare` reads a trajectory once (tokenises a text, stacks
an array), `collate` puts some prepared inputs into tensors, and `forward` is the network. What a head returns is a dict of
tensors with one row per trajectory, so that outputs can be indexed, compared and cached without the head knowing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rewardlab.registry import Registry
from rewardlab.types import Trajectory

Batch = dict[str, Tensor]
"""Collated inputs of an encoder, by name."""

Outputs = dict[str, Tensor]
"""What a head says about a batch, by name; every tensor has one row per trajectory."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Features of a batch of trajectories.

    Args:
        response: float[trajectory, width], of the whole trajectory.
        prompt: float[trajectory, width], of the prompt alone; None where the encoder has none.
        steps: float[trajectory, step, width], at the end of every step (padded); None where nobody asked.
        step_mask: bool[trajectory, step], where `steps` stand.
    """

    response: Tensor
    prompt: Tensor | None = None
    steps: Tensor | None = None
    step_mask: Tensor | None = None

    def __len__(self) -> int:
        return int(self.response.shape[0])

    def select(self, rows: Tensor) -> Encoded:
        """The features of some trajectories, by index."""
        return self._each(lambda column: column[rows])

    def to(self, device: torch.device | str) -> Encoded:
        """The same features on another device."""
        return self._each(lambda column: column.to(device))

    def detach(self) -> Encoded:
        """The same features without their history."""
        return self._each(lambda column: column.detach())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Encoded:
        prompt, steps, mask = (
            None if one is None else change(one) for one in (self.prompt, self.steps, self.step_mask)
        )
        return Encoded(response=change(self.response), prompt=prompt, steps=steps, step_mask=mask)

    @staticmethod
    def concatenate(pieces: Sequence[Encoded]) -> Encoded:
        """The features of several batches; steps are padded to the longest.

        Raises:
            ValueError: there are no pieces, or some have a column that others lack.
        """
        if not pieces:
            raise ValueError("there are no features to concatenate")
        for name in ("prompt", "steps"):
            if len({getattr(piece, name) is None for piece in pieces}) > 1:
                raise ValueError(f"some pieces have {name} features and some have none")
        joined = Encoded(response=torch.cat([piece.response for piece in pieces]))
        if pieces[0].prompt is not None:
            joined = replace(joined, prompt=torch.cat([piece.prompt for piece in pieces]))  # type: ignore[misc]
        if pieces[0].steps is not None:
            longest = max(piece.steps.shape[1] for piece in pieces)  # type: ignore[union-attr]
            steps, masks = [], []
            for piece in pieces:
                assert piece.steps is not None
                assert piece.step_mask is not None
                room = longest - piece.steps.shape[1]
                steps.append(nn.functional.pad(piece.steps, (0, 0, 0, room)))
                masks.append(nn.functional.pad(piece.step_mask, (0, room), value=False))
            joined = replace(joined, steps=torch.cat(steps), step_mask=torch.cat(masks))
        return joined


class Encoder(nn.Module, ABC):
    """Turns trajectories into features. Subclasses say what they need to be built again in `options`."""

    kind: ClassVar[str] = ""
    """The `type` of this encoder in a saved model and in configuration files."""

    width: int
    """Length of a feature vector."""

    frozen: bool = False
    """Whether the features never change, so that a fitter computes them once."""

    wants_prompt: bool = False
    """Whether the head reads features of prompts; `Network` sets it. Where they are free they are given anyway."""

    wants_steps: bool = False
    """Whether the head reads features of steps; `Network` sets it."""

    @abstractmethod
    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """Read trajectories once, on the processor.

        Raises:
            ValueError: a trajectory does not fit; the message names its index.
        """

    @abstractmethod
    def collate(self, prepared: Sequence[Any]) -> Batch:
        """Put prepared inputs into one batch of tensors."""

    @abstractmethod
    def forward(self, batch: Batch) -> Encoded:
        """Compute the features of a batch."""

    def length(self, prepared: Any) -> int:
        """How much work one prepared input is (tokens of a text); 1 where all are alike."""
        return 1

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """What `build` needs to make this encoder again, as JSON values; weights are saved beside it."""

    def save_files(self, directory: Path) -> None:
        """Write what is neither an option nor a weight (a tokenizer) into a directory."""

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> Encoder:
        """Make the encoder that `options` and `save_files` describe, before its weights are loaded."""
        return cls(**options)

    def weights(self) -> dict[str, Tensor]:
        """What has to be saved: all weights, unless they can be had again from elsewhere."""
        return dict(self.state_dict())

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `weights` gave.

        Raises:
            RuntimeError: a weight is missing or does not fit.
        """
        self.load_state_dict(dict(weights))


class NoScalarValue(TypeError):
    """A head that compares two trajectories, but gives no number to one alone."""


@dataclass(frozen=True, slots=True)
class Context:
    """Whose judgement is wanted.

    Args:
        users: int64[row], index into the head's users; -1 for nobody in particular.
        latent: float[row, latent], what is known of the user otherwise.
    """

    users: Tensor | None = None
    latent: Tensor | None = None

    def select(self, rows: Tensor) -> Context:
        """The context of some rows, by index."""
        return Context(*(None if column is None else column[rows] for column in (self.users, self.latent)))


class Head(nn.Module, ABC):
    """Turns features into outputs, and outputs into values and comparisons."""

    kind: ClassVar[str] = ""
    """The `type` of this head in a saved model and in configuration files."""

    needs_prompt: ClassVar[bool] = False
    needs_steps: ClassVar[bool] = False

    @abstractmethod
    def forward(self, encoded: Encoded) -> Outputs:
        """Compute the outputs of a batch: a dict of tensors with one row per trajectory."""

    @abstractmethod
    def value(self, outputs: Outputs, context: Context | None = None) -> Tensor:
        """The scalar reward of every row.

        Args:
            outputs: what `forward` returned, or some rows of it.
            context: whose judgement, one entry per row; None for nobody in particular.

        Returns:
            float[row].

        Raises:
            NoScalarValue: this head only compares.
        """

    def preference(self, first: Outputs, second: Outputs, context: Context | None = None) -> Tensor:
        """Log-odds that the first of two is preferred, row by row; float[row]."""
        return self.value(first, context) - self.value(second, context)

    def confidence(self, outputs: Outputs) -> Tensor | None:
        """How sure the head is of each value, float[row] in [0, 1]; None where it cannot tell."""
        return None

    def step_values(self, outputs: Outputs) -> tuple[Tensor, Tensor] | None:
        """Values of single steps, float[row, step] and where they stand, bool[row, step]; None for other heads."""
        return None

    def parts(self, outputs: Outputs) -> dict[str, Tensor]:
        """Named partial scores, float[row] each; empty for most heads."""
        return {}

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The constructor's arguments as JSON values; weights are saved beside them."""


def rows_of(outputs: Outputs, rows: Tensor) -> Outputs:
    """The outputs of some trajectories, by index."""
    return {name: column[rows] for name, column in outputs.items()}


ENCODERS = Registry(
    "encoder",
    {
        "mlp": "rewardlab.rewards.models.encoders.arrays:MLPEncoder",
        "cnn": "rewardlab.rewards.models.encoders.arrays:CNNEncoder",
        "sequence": "rewardlab.rewards.models.encoders.arrays:SequenceEncoder",
        "text": "rewardlab.rewards.models.encoders.text:TextEncoder",
        "prompt_response": "rewardlab.rewards.models.encoders.prompted:PromptResponseEncoder",
        "with_reference": "rewardlab.rewards.models.encoders.referenced:WithReference",
        "sentence": "rewardlab.rewards.models.encoders.sentence:SentenceEncoder",
        "vision_language": "rewardlab.rewards.models.encoders.vision_language:VisionLanguageEncoder",
        "ensemble": "rewardlab.rewards.models.encoders.ensemble:EnsembleEncoder",
        "text_ensemble": "rewardlab.rewards.models.encoders.text_ensemble:TextEnsembleEncoder",
    },
    group="rewardlab.encoders",
)
"""Every encoder that a saved model or a configuration can name."""

HEADS = Registry(
    "head",
    {
        "scalar": "rewardlab.rewards.models.heads.scalar:ScalarHead",
        "two_layer": "rewardlab.rewards.models.heads.scalar:TwoLayerHead",
        "mlp": "rewardlab.rewards.models.heads.mlp:MLPHead",
        "multi_objective": "rewardlab.rewards.models.heads.multi_objective:MultiObjectiveHead",
        "general_preference": "rewardlab.rewards.models.heads.general_preference:GeneralPreferenceHead",
        "ideal_point": "rewardlab.rewards.models.heads.ideal_point:IdealPointHead",
        "mixture": "rewardlab.rewards.models.heads.mixture:MixtureHead",
        "latent": "rewardlab.rewards.models.heads.latent:LatentHead",
        "quantile": "rewardlab.rewards.models.heads.distribution:QuantileHead",
        "mean_variance": "rewardlab.rewards.models.heads.distribution:MeanVarianceHead",
        "categorical": "rewardlab.rewards.models.heads.distribution:CategoricalHead",
        "process": "rewardlab.rewards.models.heads.process:ProcessHead",
        "ensemble": "rewardlab.rewards.models.heads.ensemble:EnsembleHead",
    },
    group="rewardlab.heads",
)
"""Every head that a saved model or a configuration can name."""
