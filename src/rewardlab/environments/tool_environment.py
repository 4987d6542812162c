"""The environment of most tool-using agents: call tools as often as the limit allows, then write the answer.

A message with tool calls is answered call by call. A message with text and no tool calls is the final answer and ends the
attempt. What is neither, or is malformed, is answered in words and costs a call, so that no attempt goes on for ever.
"""

from __future__ import annotations

from typing import Any

from rewardlab.environments.base import Environment, Step
from rewardlab.environments.tools import Toolbox
from rewardlab.parsing.tool_calls import parse_tool_calls
from rewardlab.types import Message, Task, check_message, message_text

EMPTY_REPLY = "Your reply is empty: call a tool, or write the answer."


class ToolEnvironment(Environment):
    """Lets a policy call the tools of a toolbox, several at once if it likes, until it writes its answer.

    Args:
        toolbox: the tools. A subclass whose tools depend on the task overrides `toolbox_for` and passes None.
        max_calls: how many calls an attempt may make. The answer may still follow the last one; a call beyond it is not
            run, and truncates the attempt.
        show_tools: whether the policy is shown the descriptions of the tools (`Environment.tools`). A policy that was
            trained on one fixed set can do without, which keeps its prompts short.
        answer_unreadable: whether a tool call that cannot be parsed is answered with what is wrong, and costs a call;
            else it is text like any other, and so the final answer.

    Raises:
        ValueError: `max_calls` is not positive.
    """

    def __init__(
        self,
        toolbox: Toolbox | None = None,
        *,
        max_calls: int = 8,
        show_tools: bool = True,
        answer_unreadable: bool = True,
    ) -> None:
        if isinstance(max_calls, bool) or not isinstance(max_calls, int) or max_calls < 1:
            raise ValueError(f"max_calls must be a whole number of at least 1, got {max_calls!r}")
        self.max_calls = max_calls
        self.answer_unreadable = answer_unreadable
        self.tools = toolbox.schemas if toolbox is not None and show_tools else []
        self._toolbox = toolbox
        self._task: Task | None = None
        self._ended = True
        self._calls = 0
        self._errors = 0

    def toolbox_for(self, task: Task) -> Toolbox:
        """The tools for one task: the toolbox that was given, unless a subclass makes another."""
        if self._toolbox is None:
            raise ValueError(f"{type(self).__name__} was made without a toolbox; pass one, or override toolbox_for")
        return self._toolbox

    def finish(self, task: Task, answer: str) -> dict[str, Any]:
        """What to report of a final answer in `Step.info`; nothing unless a subclass knows more."""
        return {}

    def reset(self, task: Task, seed: int) -> list[Message]:
        """Begin an attempt with the prompt of the task; tools that need chance must take it from their own arguments."""
        if not task.prompt:
            raise ValueError(
                f'task {task.id!r} has no prompt to show; give it prompt=[{{"role": "user", "content": ...}}]'
            )
        self._active = self.toolbox_for(task)
        self._task, self._ended, self._calls, self._errors = task, False, 0, 0
        return list(task.prompt)

    def step(self, action: Message) -> Step:
        """Run the calls of a message, or take its text as the final answer.

        Returns:
            One tool message for each call, in order. `info` of the last step of an attempt holds `calls` (how many were
            made) and `call_errors` (how many of them gave an error); `tool_defects` of any step lists tools that raised.

        Raises:
            RuntimeError: the attempt has ended, or `reset` was never called.
            ValueError: the action is not an assistant message.
        """
        if self._task is None:
            raise RuntimeError("no attempt was begun; call reset(task, seed) first")
        if self._ended:
            raise RuntimeError(
                f"the attempt at task {self._task.id!r} has ended; call reset(task, seed) to begin another"
            )
        check_message(action, where="the action")
        if action["role"] != "assistant":
            raise ValueError(f"the action must be an assistant message, got role {action['role']!r}")
        calls = action.get("tool_calls") or []
        answer = message_text(action).strip()
        trouble = None if calls else self._trouble(answer)
        if calls:
            step = self._run(calls)
        elif trouble is None:
            step = Step(terminated=True, info=self.finish(self._task, answer))
        else:
            self._calls += 1
            self._errors += 1
            over = self._calls > self.max_calls
            step = Step(observation=[{"role": "user", "content": trouble}], truncated=over)
        if step.ended:
            self._ended = True
            step.info.update(calls=self._calls, call_errors=self._errors)
        return step

    def _trouble(self, answer: str) -> str | None:
        """What is wrong with a text, or None where it is an answer."""
        if not answer:
            return EMPTY_REPLY
        errors = parse_tool_calls(answer).errors if self.answer_unreadable else []
        if not errors:
            return None
        return f"Error: your tool call cannot be read: {errors[0]:.200}. Write it again, or write the answer."

    def _run(self, calls: list[Any]) -> Step:
        step = Step()
        defects = []
        for call in calls:
            if self._calls == self.max_calls:
                step.truncated = True
                break
            self._calls += 1
            message, result = self._active.answer(call, identity=f"call_{self._calls}")
            self._errors += result.trouble is not None
            step.observation.append(message)
            if result.defect is not None:
                defects.append(result.defect)
        if defects:
            step.info["tool_defects"] = defects
        return step
