"""An environment that runs programs, with an instrumentor before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewardlab.environments.base import Environment, Split, Step
from rewardlab.environments.instrumentation.check import only_prints
from rewardlab.environments.instrumentation.rules import PHRASES, ASTInstrumentor
from rewardlab.rewards.verifiers.milestones import phrases_in
from rewardlab.types import Message, Task, Trajectory, call_arguments

Instrumentor = Callable[[str, str], str | None]
"""Code and a token in, the code with prints of lines that begin with the token out; None where it cannot."""


class Instrumented(Environment):
    """Lets an instrumentor put prints into the programs that an agent runs. The agent's own message stays as it is.

    Each printed line begins with a token that is drawn anew for every program. These lines are taken out of what the agent
    gets to see, so that it does not learn to print them itself (a program that reads its own source could; `PartialCredit`
    makes sure that it would not pay). `info` has `milestone_tokens` for `RegexMilestones`, `milestones_abstain` (no program
    could be instrumented) and `milestone_phrases` (how many phrases the agent's own code holds, a sign of trying).

    Args:
        environment: what runs the programs: an environment, a factory of one, a name of `ENVIRONMENTS`, or a mapping with
            `type` and options.
        instrumentor: `ASTInstrumentor()` unless another is given.
        tool: the tool whose argument is the program.
        argument: the name of that argument.
        trained: the policy that is being trained; an instrumentor that shares weights with it is refused.
    """

    def __init__(
        self,
        environment: Any,
        instrumentor: Any = None,
        *,
        tool: str = "program",
        argument: str = "code",
        trained: Any = None,
    ) -> None:
        self.environment = _built(environment)
        self.instrumentor: Instrumentor = instrumentor or ASTInstrumentor()
        if trained is not None and hasattr(self.instrumentor, "refuse"):
            self.instrumentor.refuse(trained)
        self.tool, self.argument = tool, argument
        self._tokens: list[str] = []

    @property
    def tools(self) -> Sequence[dict[str, Any]]:  # type: ignore[override]  # those of the environment inside
        """The tools of the environment inside."""
        return self.environment.tools

    @property
    def blocking(self) -> bool:  # type: ignore[override]  # as the environment inside
        """Whether the environment inside waits outside the interpreter."""
        return self.environment.blocking

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin an attempt."""
        self._seed, self._tokens, self._programs, self._failed, self._phrases = seed, [], 0, 0, 0
        return self.environment.reset(task, seed)

    def step(self, action: Message) -> Step:
        """Rewrite the programs of a message, and let the environment answer it."""
        calls = action.get("tool_calls")
        rewritten = action
        if isinstance(calls, list):
            rewritten = {**action, "tool_calls": [self._rewrite(call) for call in calls]}
        step = self.environment.step(rewritten)
        step.observation = [self._without_tokens(message) for message in step.observation]
        step.info.update(
            milestone_tokens=list(self._tokens),
            milestones_abstain=bool(self._programs) and self._failed == self._programs,
            milestone_phrases=self._phrases,
        )
        return step

    def close(self) -> None:
        """Close the environment inside."""
        self.environment.close()

    def tasks(self, split: Split, count: int, seed: int = 0) -> list[Task]:
        """The tasks of the environment inside."""
        made: list[Task] = self.environment.tasks(split, count, seed)  # type: ignore[attr-defined]
        return made

    def demonstrations(self, tasks: Sequence[Task]) -> list[Trajectory]:
        """The demonstrations of the environment inside, which are not instrumented."""
        made: list[Trajectory] = self.environment.demonstrations(tasks)  # type: ignore[attr-defined]
        return made

    def _rewrite(self, call: Any) -> Any:
        if not isinstance(call, Mapping):
            return call
        try:
            name, arguments = call_arguments(call)
        except ValueError:
            return call
        code = arguments.get(self.argument) if name == self.tool and isinstance(arguments, Mapping) else None
        if not isinstance(code, str):
            return call
        self._programs += 1
        self._phrases += phrases_in(code, PHRASES)
        token = hashlib.sha256(f"{self._seed}/{self._programs}/{code}".encode("utf-8", "replace")).hexdigest()[:16]
        better = self.instrumentor(code, token)
        if better is None or not only_prints(code, better, token):
            self._failed += 1
            return call
        self._tokens.append(token)
        changed = json.dumps({**arguments, self.argument: better})
        if isinstance(call.get("function"), Mapping):
            return {**call, "function": {**call["function"], "arguments": changed}}
        return {**call, "arguments": changed}

    def _without_tokens(self, message: Message) -> Message:
        text = message.get("content")
        if not isinstance(text, str) or not any(token in text for token in self._tokens):
            return message
        lines = [line for line in text.split("\n") if not any(token in line for token in self._tokens)]
        return {**message, "content": "\n".join(lines)}


def _built(environment: Any) -> Environment:
    if isinstance(environment, (str, Mapping)):
        from rewardlab.environments import ENVIRONMENTS

        target, options = ENVIRONMENTS.target(environment)
        environment = target(**options)
    built = environment if isinstance(environment, Environment) else environment()
    if not isinstance(built, Environment):
        raise TypeError(f"environment must be an environment, its factory or its name, got {type(built).__name__}")
    return built
