"""A learned reward: a fitted network behind the `Reward` contract, so that it goes into the algebra and the loop."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rewardlab.extras import require
from rewardlab.registry import Registry, SpecError
from rewardlab.rewards.base import Reward
from rewardlab.rewards.spec import UnwritableReward, register
from rewardlab.types import Scores, Status, Trajectory

if TYPE_CHECKING:
    from torch import Tensor

    from rewardlab.rewards.models.base import Context, Encoder, Head, Outputs
    from rewardlab.rewards.models.network import Network


@register("reward_model")
@dataclass(frozen=True, kw_only=True)
class RewardModel(Reward):
    """A learned reward, from a directory that `save` wrote, or around a network that is in memory.

    Args:
        path: of the directory that `save` wrote, or of a sequence classifier of transformers; None for a model that has not
            been saved.
        digest: of the files in it; when given, loading refuses other files. `save` and `load` fill it in.
        user: whose judgement is wanted, for models that know several; None for the population.
        batch_length: the most work (tokens, padding included) in one batch; on a processor never more than 2048, which is
            fastest there.
        device: where it runs; None for a GPU when there is one.
    """

    path: str | None = None
    digest: str | None = None
    user: str | None = None
    batch_length: int = 16_384
    device: str | None = None

    # ---- making one -----------------------------------------------------------------------------------------------------

    @classmethod
    def make(
        cls,
        encoder: Encoder | Mapping[str, Any] | str,
        head: Head | Mapping[str, Any] | str = "scalar",
        **options: Any,
    ) -> RewardModel:
        """A new model, to be fitted.

        Args:
            encoder: an encoder, or its spec such as `{"type": "mlp", "inputs": 8}`.
            head: a head, or its spec without the width.
            options: any field of `RewardModel`.

        Raises:
            SpecError: an unknown type or option.
        """
        require("torch", extra="torch", why="A learned reward")
        from rewardlab.rewards.models.base import ENCODERS, HEADS
        from rewardlab.rewards.models.network import Network

        made: Any = encoder if _is_module(encoder) else _build(ENCODERS, encoder)
        top: Any = head if _is_module(head) else _build(HEADS, head, width=made.width)
        return cls.around(Network(made, top), **options)

    @classmethod
    def around(cls, network: Network, **options: Any) -> RewardModel:
        """A model around a network that is in memory."""
        model = cls(**options)
        model.__dict__["network"] = network  # where the cached property keeps it
        return model

    @classmethod
    def load(cls, directory: str | Path, **options: Any) -> RewardModel:
        """Load a model that `save` wrote, or a directory with a sequence classifier of transformers.

        Args:
            directory: where it is.
            options: any other field of `RewardModel`.

        Raises:
            FileNotFoundError: there is no model.
            SpecError: it cannot be built here.
        """
        model = cls(path=str(directory), digest=files_digest(directory), **options)
        _ = model.network
        return model

    def save(self, directory: str | Path) -> RewardModel:
        """Write the model to a directory, with its head, tokenizer, scale and adapters; returns the saved model."""
        self.network.save(directory)
        return self._with(path=str(directory), digest=files_digest(directory))

    def named(self, name: str) -> RewardModel:
        """The same model under another name."""
        return self._with(name=name)

    def for_user(self, user: str | None) -> RewardModel:
        """The same model, which judges as one of the users that its head knows; None for the population."""
        return self._with(user=user)

    def _with(self, **changes: Any) -> RewardModel:
        """The same model with other options; its network, which `replace` would lose, goes along."""
        changed = replace(self, **changes)
        if "network" in self.__dict__:
            changed.__dict__["network"] = self.network
        return changed

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, encoder: Mapping[str, Any] | None = None, **options: Any
    ) -> RewardModel:
        """A reward model of the Hugging Face kind: a sequence classifier with one label.

        Its raw logit is the value. A directory that `export` wrote gives back the values of the model that was exported.

        Args:
            name: on the hub, or a directory.
            encoder: options of the `TextEncoder`, such as `lora`, `frozen`, `dtype` or `max_length`.
            options: any field of `RewardModel`.

        Raises:
            ValueError: the classifier has not exactly one label.
            OSError: there is no such model.
        """
        require("torch", extra="torch", why="A learned reward")
        from rewardlab.rewards.models.hub import read_classifier
        from rewardlab.rewards.models.network import place

        return cls.around(place(read_classifier(name, encoder), options.get("device")), **options)

    def export(self, directory: str | Path) -> Path:
        """Write a text model with a scalar head as a sequence classifier, which transformers, TRL and vLLM load.

        Adapters, the head and the scale of the values are worked into the weights. Classifiers of causal models have no
        constant: there the logits lie a constant above or below the values of this model, which changes no comparison; it
        is written to `rewardlab.json`, and `from_pretrained` takes it off again. A tokenizer whose padding is missing or
        also ends texts gets a padding token of its own, because transformers skips padding at the end of a text.

        Returns:
            The directory.

        Raises:
            ValueError: the encoder or the head have no place in a sequence classifier.
        """
        from rewardlab.rewards.models.hub import write_classifier

        return write_classifier(self.network, directory)

    # ---- what it is -----------------------------------------------------------------------------------------------------

    @functools.cached_property
    def network(self) -> Network:
        """The encoder and the head; read from disk on first use."""
        if self.path is None:
            raise SpecError("a reward_model needs the option 'path': the directory that RewardModel.save wrote")
        require("torch", extra="torch", why="A learned reward")
        from rewardlab.rewards.models.network import FILE, Network, place

        if self.digest is not None and (found := files_digest(self.path)) != self.digest:
            raise SpecError(
                f"the files in {self.path} are not those of this spec: their digest is {found}, expected {self.digest}; "
                "use the model that the spec was written for, or leave digest out"
            )
        if not (Path(self.path) / FILE).is_file() and (Path(self.path) / "config.json").is_file():
            from rewardlab.rewards.models.hub import read_classifier

            return place(read_classifier(self.path), self.device)
        return Network.load(self.path, device=self.device)

    @property
    def deterministic(self) -> bool:
        """Scores do not change while the weights do not."""
        return True

    def to_spec(self) -> dict[str, Any]:
        """The spec, which names the directory and its content.

        Raises:
            UnwritableReward: the model has not been saved.
        """
        if self.path is None:
            raise UnwritableReward("this reward model is only in memory; write it with model.save(directory) first")
        return super().to_spec()

    # ---- scoring --------------------------------------------------------------------------------------------------------

    def outputs(self, trajectories: Sequence[Trajectory]) -> Outputs:
        """What the head says about trajectories, without gradients: a dict of tensors with one row each."""
        import torch

        network = self.network
        with torch.no_grad():
            outputs: Outputs = network.head.eval()(network.encode(trajectories, batch_length=self.batch_length))
        return outputs

    def context(self, rows: int) -> Context | None:
        """Whose judgement is wanted, for so many rows; None for the population."""
        import torch

        from rewardlab.rewards.models.base import Context

        if self.user is None:
            return None
        find = getattr(self.network.head, "user_index", None)
        if find is None:
            raise SpecError(
                f"user={self.user!r} was asked for, but a {type(self.network.head).kind} head knows no users; leave user out"
            )
        return Context(users=torch.full((rows,), find(self.user), device=self.network.device))

    def log_odds(self, first: Sequence[Trajectory], second: Sequence[Trajectory]) -> np.ndarray:
        """Log-odds that each of `first` is preferred to the one of `second` in the same place; float64[pair].

        They are those that the loss was fitted to: the scale of `values`, which is another, does not enter.
        """
        import torch

        if len(first) != len(second):
            raise ValueError(f"first and second must pair up, got {len(first)} and {len(second)}")
        from rewardlab.rewards.models.base import rows_of

        outputs = self.outputs([*first, *second])
        rows = torch.arange(len(first), device=self.network.device)
        with torch.no_grad():
            logits = self.network.head.preference(
                rows_of(outputs, rows), rows_of(outputs, rows + len(first)), self.context(len(first))
            )
        return np.asarray(logits.double().cpu().numpy())

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        import torch

        network, count = self.network, len(trajectories)
        notes: list[str | None] = [None] * count
        readable = _prepared(network.encoder, trajectories, 0, notes)
        good, prepared = [index for index, _ in readable], [one for _, one in readable]
        for index, one in readable:
            notes[index] = getattr(one, "note", None)
        status = np.full(count, Status.FAILED, dtype=np.int8)
        status[good] = Status.SCORED
        if not good:
            return Scores(values=np.full(count, np.nan), status=status, notes=notes)
        with torch.no_grad():
            head = network.head.eval()
            outputs = head(network.encode_prepared(prepared, batch_length=self.batch_length))
            values = network.normalised(head.value(outputs, self.context(len(good))))
            parts = {name: _scatter(column, good, count, status, notes) for name, column in head.parts(outputs).items()}
            sure = head.confidence(outputs)
            steps = head.step_values(outputs)
        scores = _scatter(values, good, count, status, notes)
        scores.parts = parts
        if sure is not None:
            scores.confidence = np.full(count, np.nan)
            scores.confidence[good] = sure.double().cpu().numpy()
        if steps is not None:
            scores.steps = [None] * count
            for row, index in enumerate(good):
                scores.steps[index] = steps[0][row][steps[1][row]].double().cpu().numpy()
        return scores


def files_digest(directory: str | Path) -> str:
    """Sixteen hexadecimal digits over the files of a saved model.

    Raises:
        FileNotFoundError: the directory does not exist.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no directory {folder}, so there is no reward model in it")
    content = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            content.update(str(file.relative_to(folder)).encode())
            with file.open("rb") as stream:
                content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]


def _scatter(values: Tensor, good: list[int], count: int, status: Any, notes: list[str | None]) -> Scores:
    found = np.full(count, np.nan)
    found[good] = values.double().cpu().numpy()
    state, why = status.copy(), list(notes)
    for index in np.flatnonzero((state == Status.SCORED) & ~np.isfinite(found)):
        state[index], why[index] = Status.FAILED, f"the model returned {found[index]}, which is not a finite number"
    return Scores(values=found, status=state, notes=why if any(note is not None for note in why) else None)


def _prepared(
    encoder: Encoder, trajectories: Sequence[Trajectory], start: int, notes: list[str | None]
) -> list[tuple[int, Any]]:
    """What an encoder makes of those that it can read, with their places; the others are noted with the reason.

    Encoders read many at once and name the first that they cannot read, so halves are tried until it stands alone.
    """
    if not trajectories:
        return []
    try:
        return list(enumerate(encoder.prepare(trajectories), start))
    except ValueError as error:
        if len(trajectories) == 1:
            notes[start] = str(error).replace("trajectory 0", f"trajectory {start}", 1)
            return []
    half = len(trajectories) // 2
    first = _prepared(encoder, trajectories[:half], start, notes)
    return first + _prepared(encoder, trajectories[half:], start + half, notes)


def _is_module(thing: Any) -> bool:
    from torch import nn

    return isinstance(thing, nn.Module)


def _build(registry: Registry, spec: Any, **given: Any) -> Any:
    target, options = registry.target(spec, given=tuple(given))
    return target(**options, **given)
