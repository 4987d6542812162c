"""Instrumentation by a language model: a frozen one, and never the one in training, which would print the lines itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from rewardlab.environments.instrumentation.rules import PHRASES
from rewardlab.types import Message, Task

_ASK = """\
Rewrite the program below. Change nothing, but add these print statements, each right after the step that it names, where \
the program has such a step:
@LINES@
Answer with the whole program in one code block.

```python
@CODE@
```"""


class LMInstrumentor:
    """Asks a model to put prints into a program.

    What it answers is used only where it passes `only_prints`; else the raw program runs, and its milestones abstain.

    Args:
        model: a policy (its weights are copied, unless `frozen` is False), or any function from messages to text, such as a
            call of a server.
        frozen: keep a copy of the policy as it is now, so that training it later does not change the instrumentor.
        phrases: milestone -> what is printed; those of the rules when not given.
        max_new_tokens: the longest answer of a policy.
    """

    def __init__(
        self, model: Any, *, frozen: bool = True, phrases: dict[str, str] | None = None, max_new_tokens: int = 1024
    ) -> None:
        self.phrases = dict(phrases or PHRASES)
        self.policy: Any = None
        self._write: Callable[[list[Message]], str] | None = None
        self._most = max_new_tokens
        if hasattr(model, "speaker"):
            self.policy = copy.deepcopy(model) if frozen else model
        elif callable(model):
            self._write = model
        else:
            raise TypeError(f"model must be a policy or a function from messages to text, got {type(model).__name__}")

    def refuse(self, trained: Any) -> None:
        """Raise where this instrumentor shares weights with a policy that is being trained.

        Raises:
            ValueError: it does.
        """
        mine, other = (getattr(policy, "model", None) for policy in (self.policy, trained))
        if mine is None or other is None:
            return
        known = {parameter.data_ptr() for parameter in other.parameters()}
        if any(parameter.data_ptr() in known for parameter in mine.parameters()):
            raise ValueError(
                "the instrumentor shares weights with the policy that is trained, which would learn to print the milestones "
                "itself; use LMInstrumentor(policy, frozen=True), which keeps a copy"
            )

    def __call__(self, code: str, token: str) -> str | None:
        """The code with prints, as the model wrote it, or None where it wrote no code."""
        lines = "\n".join(f'print("{token} {phrase}", flush=True)' for phrase in self.phrases.values())
        messages: list[Message] = [{"role": "user", "content": _ASK.replace("@LINES@", lines).replace("@CODE@", code)}]
        text = self._write(messages) if self._write is not None else self._sampled(messages)
        _, fence, rest = text.partition("```")
        if not fence:
            return None
        first, _, body = rest.partition("\n")
        block = body if first.strip() in ("", "python", "py") else rest
        return block.partition("```")[0]

    def _sampled(self, messages: list[Message]) -> str:
        from rewardlab.environments.single_turn import SingleTurn
        from rewardlab.policies.rollout import Sampling, rollout

        task = Task(id="instrument", prompt=messages)
        sampling = Sampling(temperature=0.0, max_new_tokens=self._most)
        trajectory = rollout(self.policy, SingleTurn, [task], sampling=sampling)[0]
        return trajectory.completion if len(trajectory) else ""
