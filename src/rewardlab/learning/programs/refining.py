"""Programs are improved: by the errors of a check, and by what a person says about the trained agent.

Every program names its parent, so that a set of them is a forest, which `lineage` draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rewardlab.learning.programs.checking import Report
from rewardlab.learning.programs.program import RewardProgram
from rewardlab.learning.programs.prompts import error_prompt, feedback_prompt
from rewardlab.learning.programs.writer import Progress, RewardWriter

Check = Callable[[RewardProgram], Report]


def refine(
    writer: RewardWriter,
    program: RewardProgram,
    report: Report,
    *,
    check: Check | None = None,
    rounds: int = 1,
    warnings: bool = False,
    number: int = 0,
    progress: Progress | None = None,
) -> RewardProgram:
    """Ask for a corrected program, with what a check found, until it passes or the rounds are spent.

    Args:
        writer: who wrote the program.
        program: what failed.
        report: why.
        check: how the answers are checked; needed for more than one round.
        rounds: how often it is asked at most.
        warnings: ask because of warnings too.
        number: which of several corrections from one prompt.
        progress: called after each round.

    Returns:
        The last program; the one that was given where its report has nothing to correct.

    Raises:
        ValueError: `rounds` is not positive, or needs `check`.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    if rounds > 1 and check is None:
        raise ValueError(f"rounds={rounds} needs check=, such as lambda program: program.check(env, view=MyView)")
    for done in range(rounds):
        wanted = report.problems if warnings else report.errors
        if not wanted:
            return program
        text = "\n".join(f"- {problem}" for problem in wanted)
        prompt = error_prompt(_original(writer, program), program.source, text)
        program = writer.ask(
            prompt,
            instruction=program.instruction,
            number=number,
            parent=program.hash,
            reason=f"error: {wanted[0]}",
            rounds=program.rounds,
        )
        if progress is not None:
            progress(done + 1, rounds)
        if check is not None and done + 1 < rounds:
            report = check(program)
    return program


def feedback(
    writer: RewardWriter, program: RewardProgram, description: str, text: str, *, number: int = 0
) -> RewardProgram:
    """Ask for an improved program, with what the trained agent did and what a person says to it.

    Args:
        writer: who wrote the program.
        program: what the agent was trained with; its earlier rounds are told as well.
        description: what the trained agent did.
        text: what is wrong or preferred; the newest text holds where texts contradict each other.
        number: which of several answers to one prompt.

    Returns:
        The next program; `rounds` holds all that was said, `parent` the hash of the one before.

    Raises:
        ValueError: there is no program to improve, or nothing at all was said.
    """
    if program.failed:
        raise ValueError(f"there is no program to improve: {program.failure}")
    if not description.strip() and not text.strip():
        raise ValueError("description and text are both empty; say what the agent did, or what it should do")
    rounds = (*program.rounds, (program.source, description, text))
    prompt = feedback_prompt(_original(writer, program), rounds)
    return writer.ask(
        prompt,
        instruction=program.instruction,
        number=number,
        parent=program.hash,
        reason=f"feedback: {text or '(none)'}",
        rounds=rounds,
    )


def lineage(programs: Iterable[RewardProgram]) -> str:
    """The tree of programs as text: hash, reason, and what each was made into, indented below it."""
    known = {program.hash: program for program in programs}
    children: dict[str | None, list[RewardProgram]] = {}
    for program in known.values():
        parent = program.parent if program.parent in known and program.parent != program.hash else None
        children.setdefault(parent, []).append(program)
    lines: list[str] = []

    def walk(program: RewardProgram, depth: int, seen: frozenset[str]) -> None:
        state = f"failed: {program.failure}" if program.failed else program.reason or program.instruction
        lines.append(f"{'  ' * depth}{program.hash}  {state[:90]}")
        for child in children.get(program.hash, []):
            if child.hash not in seen:
                walk(child, depth + 1, seen | {child.hash})

    for root in children.get(None, []):
        walk(root, 0, frozenset({root.hash}))
    return "\n".join(lines)


def _original(writer: RewardWriter, program: RewardProgram) -> str:
    """The prompt of the task itself, without the errors and the feedback of earlier rounds."""
    return writer.prompt(program.instruction) if program.instruction else program.prompt
