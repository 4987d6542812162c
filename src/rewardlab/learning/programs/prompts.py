"""The prompt for a reward program, in the order of Text2Reward: role, usual parts, abstraction, knowledge, examples, task.

The wording is our own; the order and what each part says follow the paper (Xie et al. 2024, arXiv 2309.11489).
"""

from __future__ import annotations

from collections.abc import Sequence

from rewardlab.learning.programs.allowed import FUNCTION
from rewardlab.learning.programs.views import Form

ROLE = """You are an expert in robotics, reinforcement learning and Python. You write dense reward functions, from which an \
agent learns a task by ordinary reinforcement learning."""

USUAL = """Such a reward usually consists of some of these parts:
1. the distance between the gripper and the object that it has to move;
2. the difference between the state of the object and the state that it should reach;
3. a small penalty on the action, so that movements stay smooth;
4. where the instruction implies them, further constraints on the object or the robot."""

KNOWLEDGE = (
    "Rewards in stages help: what a later stage gives should be more than all that an earlier stage can give, so that the "
    "agent never gains by going back.",
    "The learner normalises the scale of the reward; what matters is how its parts compare with one another.",
)
"""Background knowledge that holds for most tasks; pass your own with `knowledge=`."""

SCALAR_RULES = """Write one Python function with exactly this signature. It is called with the state after each action, and \
returns one float:

```python
def {function}(self, action) -> float:
    ...
```"""

VECTORISED_RULES = """Write one Python function with exactly this signature. It is called with the states of N independent \
copies of the environment at once, after each action: every attribute has a leading axis of length N, and so has `action`. \
It returns an array of shape (N,), whose entry i depends on copy i alone. Use `np.where` for stages, in place of if and else:

```python
def {function}(self, action) -> np.ndarray:
    ...
```"""

RULES = """Rules:
1. First reason step by step about what the task means and how it is solved. Then give the code, in one block.
2. Use only the attributes and methods that are listed above, and mind their types and shapes. `self` is the environment.
3. Import what you use; numpy, math and scipy are there, and nothing else. No random numbers, files, printing or global \
state.
4. Put helpers inside of the function, and comment the code."""


def build_prompt(
    instruction: str,
    *,
    robot: str,
    actions: str,
    abstraction: str,
    knowledge: Sequence[str] = KNOWLEDGE,
    examples: Sequence[tuple[str, str]] = (),
    form: Form = "scalar",
) -> str:
    """Join the parts of a prompt.

    Args:
        instruction: the task in a sentence.
        robot: what is controlled.
        actions: the action space in words, such as `Box(-1, 1, (3,))` with the meaning of every entry.
        abstraction: the text of the view.
        knowledge: background, one sentence or paragraph each.
        examples: (instruction, code) of other tasks.
        form: whether the function sees one state or many.
    """
    parts = [f"{ROLE}\n\nThe robot: {robot}\nThe action: {actions}", USUAL]
    parts.append(f"The environment, as far as the reward may know it:\n\n```python\n{abstraction.rstrip()}\n```")
    if knowledge:
        parts.append("What you should know:\n" + "\n".join(f"- {entry}" for entry in knowledge))
    if examples:
        shown = [f"Task: {task}\n\n```python\n{code.rstrip()}\n```" for task, code in examples]
        parts.append("Rewards of other tasks with the same robot:\n\n" + "\n\n".join(shown))
    rules = (SCALAR_RULES if form == "scalar" else VECTORISED_RULES).format(function=FUNCTION)
    parts.append(f"The task: {instruction}\n\n{rules}\n\n{RULES}")
    return "\n\n".join(parts) + "\n"


def error_prompt(prompt: str, source: str, report: str) -> str:
    """The prompt after an error: the same, the code, what was found, and the request to fix it."""
    return (
        f"{prompt}\nYour code was:\n\n```python\n{source.rstrip()}\n```\n\nIt was tried, and this was found:\n\n{report}\n\n"
        "Find the cause, and give the whole corrected function in one block.\n"
    )


def feedback_prompt(prompt: str, rounds: Sequence[tuple[str, str, str]]) -> str:
    """The prompt after training: the same, then code, description and feedback of every round, the oldest first."""
    parts = [prompt]
    for number, (source, description, feedback) in enumerate(rounds, start=1):
        parts.append(
            f"Round {number}. The code was:\n\n```python\n{source.rstrip()}\n```\n\nWhat the trained agent did: "
            f"{description or '(no description)'}\nFeedback: {feedback or '(none)'}\n"
        )
    parts.append(
        "Where feedback contradicts the task or earlier feedback, the newest holds. Find the steps that were missed or "
        "wrong, and give the whole improved function in one block.\n"
    )
    return "\n".join(parts)
