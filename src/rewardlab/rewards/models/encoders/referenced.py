"""An encoder that lets another one read the reference answer beside question and completion, each in tags.

What is cut is part of the model and saved with it, so that answers are read alike while it is fitted and while it is used.

Source: VerifyRM of Cooper (arXiv 2508.05613 and its repository).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from rewardlab.rewards.models.base import ENCODERS, Batch, Encoded, Encoder
from rewardlab.types import Task, Trajectory, message_text


class WithReference(Encoder):
    """Reads `<question>`, `<reference>` and `<completion>` of a trajectory through an encoder of text.

    Several acceptable references stand in lines of their own. A text longer than `limit` characters keeps its first
    `first` and its last `last`, since final answers stand at the end.

    Args:
        encoder: what reads the text: an encoder, or its spec.
        limit: characters of a reference or a completion that are read whole.
        first, last: how many characters are kept of a longer one.
        reads_reference: False leaves the reference out, for a comparison with a model that does not see it.
    """

    kind = "with_reference"

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any] | str,
        *,
        limit: int = 1500,
        first: int = 500,
        last: int = 1000,
        reads_reference: bool = True,
    ) -> None:
        super().__init__()
        if last < 1 or first < 0 or first + last > limit:
            raise ValueError(
                f"first ({first}) and last ({last}) must fit into limit ({limit}), and last must not be 0: a final answer "
                "stands there"
            )
        if not isinstance(encoder, Encoder):
            target, options = ENCODERS.target(encoder)
            encoder = target(**options)
        assert isinstance(encoder, Encoder)
        self.inner = encoder
        self.limit, self.first, self.last, self.reads_reference = limit, first, last, reads_reference
        self.width, self.frozen = encoder.width, encoder.frozen

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, the inner encoder by its own."""
        return {"encoder": {"type": type(self.inner).kind, **self.inner.options()}, **self._cuts()}

    def _cuts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("limit", "first", "last", "reads_reference")}

    @classmethod
    def build(cls, options: Mapping[str, Any], directory: Path) -> WithReference:
        """Make the inner encoder in its own way, and this around it."""
        given = dict(options)
        inner = dict(given.pop("encoder"))
        return cls(ENCODERS.resolve(inner.pop("type")).build(inner, directory), **given)

    def save_files(self, directory: Path) -> None:
        """Those of the inner encoder."""
        self.inner.save_files(directory)

    def weights(self) -> dict[str, Tensor]:
        """Those of the inner encoder."""
        return self.inner.weights()

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `weights` gave."""
        self.inner.load_weights(weights)

    def prepare(self, trajectories: Sequence[Trajectory]) -> list[Any]:
        """What the inner encoder makes of the rewritten trajectories."""
        self.inner.wants_prompt = self.inner.wants_prompt or self.wants_prompt
        self.inner.wants_steps = self.inner.wants_steps or self.wants_steps
        return self.inner.prepare([self.rewritten(one, index) for index, one in enumerate(trajectories)])

    def rewritten(self, trajectory: Trajectory, index: int = 0) -> Trajectory:
        """The trajectory as the inner encoder reads it.

        Raises:
            ValueError: it is no chat with an answer, or its task has no reference.
        """
        if not trajectory.is_chat or not len(trajectory):
            raise ValueError(f"trajectory {index} is not a chat with an answer, which is what can be verified")
        question = "\n".join(message_text(message) for message in trajectory.observations[0])
        text = f"<question>\n{question}\n</question>"
        if self.reads_reference:
            text += f"\n<reference>\n{self.cut(_reference(trajectory, index))}\n</reference>"
        messages = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": f"<completion>\n{self.cut(trajectory.completion)}\n</completion>"},
        ]
        return Trajectory.from_messages(
            messages, task=Task(id=text, prompt=messages[:1]), terminated=trajectory.terminated
        )

    def cut(self, text: str) -> str:
        """A text as far as it is read."""
        return text if len(text) <= self.limit else text[: self.first] + text[-self.last :]

    def length(self, prepared: Any) -> int:
        """That of the inner encoder."""
        return self.inner.length(prepared)

    def collate(self, prepared: Sequence[Any]) -> Batch:
        """That of the inner encoder."""
        return self.inner.collate(prepared)

    def forward(self, batch: Batch) -> Encoded:
        """That of the inner encoder."""
        encoded: Encoded = self.inner(batch)
        return encoded


def _reference(trajectory: Trajectory, index: int) -> str:
    reference = trajectory.reference
    entries = reference if isinstance(reference, (list, tuple)) else [reference]
    if not entries or any(entry is None or entry == "" for entry in entries):
        name = "" if trajectory.task is None else f" (task {trajectory.task.id[:80]!r})"
        raise ValueError(
            f"trajectory {index}{name} has the reference {reference!r:.60}; a model that compares answers with "
            f"references needs "
            "one: a text, a number, or a list of acceptable ones"
        )
    return "\n".join(str(entry) for entry in entries)
