from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from rewardlab.environments.base import Environment, Step, play
from rewardlab.environments.instrumentation import PHRASES, ASTInstrumentor, Instrumented, LMInstrumentor, only_prints
from rewardlab.environments.model_bench.demonstrator import PROGRAM
from rewardlab.rewards.verifiers.milestones import PROGRAM_MILESTONES, RegexMilestones
from rewardlab.types import Message, Task

CODE = PROGRAM.replace("{module}", "svm").replace("{model}", "SVC")
INSIDE = """\
from __future__ import annotations
import csv, sys

def main():
    rows = list(csv.reader(open("train.csv")))
    model = SVC(
        C=3,
    )
    model.fit(rows, rows); x = 1
    if x: found = model.predict(rows)
    with open("submission.csv", "w") as out:
        out.write("1")  # all of it

if __name__ == "__main__":
    main()
"""


def printed(code: str) -> list[str]:
    return [
        node.args[0].value
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        if isinstance(node.args[0], ast.Constant)
    ]


def test_rules_find_every_step_of_a_program_and_change_nothing_else() -> None:
    better = ASTInstrumentor()(CODE, "tok")
    assert better is not None
    assert only_prints(CODE, better, "tok")
    assert sorted(printed(better)) == sorted(f"tok {phrase}" for phrase in PHRASES.values())
    lines = better.splitlines()
    assert lines[lines.index('print("tok model trained", flush=True)') - 1].startswith("model.fit(")
    assert [line for line in lines if "tok" not in line] == CODE.splitlines()


def test_prints_stand_in_the_block_of_their_statement_and_shared_lines_are_left_alone() -> None:
    better = ASTInstrumentor()(INSIDE, "tok")
    assert better is not None
    ast.parse(better)
    # fit shares its line with another statement, and predict with its `if`
    assert sorted(printed(better)) == [
        "tok data loaded",
        "tok imports done",
        "tok model defined",
        "tok submission written",
    ]
    assert '        print("tok submission written", flush=True)' in better.splitlines()
    assert better.index("imports done") > better.index("import csv")


@pytest.mark.parametrize("code", ["", "x = = 1", "x = 1", "\x00", "print('model trained')", "(" * 500])
def test_what_cannot_be_read_or_has_no_such_step_is_given_back_as_nothing(code: str) -> None:
    assert ASTInstrumentor()(code, "tok") is None


def test_rewriting_that_does_more_than_print_is_refused() -> None:
    code = "import os\nx = fit(1)\n"
    good = 'import os\nprint("tok imports done", flush=True)\nx = fit(1)\n'
    assert only_prints(code, good, "tok")
    for bad in (
        "import os\nx = fit(2)\n",
        "x = fit(1)\nimport os\n",
        "import os\n",
        good + "print('done')\n",
        good + 'print("tok", os.listdir())\n',
        good + 'print("tok done", file=os)\n',
        good + "= 3",
    ):
        assert not only_prints(code, bad, "tok")


class Echo(Environment):
    """Answers every program with a line for each milestone that it holds."""

    tools = ()

    def reset(self, task: Task, seed: int) -> list[Message]:
        self.ran: list[str] = []
        return list(task.prompt or [])

    def step(self, action: Message) -> Step:
        calls = action.get("tool_calls") or []
        if not calls:
            return Step(terminated=True, info={"log": "\n".join(self.ran)})
        code = json.loads(calls[0]["function"]["arguments"]).get("code", "")
        self.ran += printed(code) if isinstance(code, str) and code and "= =" not in code else []
        return Step(observation=[{"role": "tool", "content": "\n".join(["output", *self.ran])}])


def call(code: Any) -> Message:
    function = {"name": "program", "arguments": json.dumps({"code": code})}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def attempt(environment: Environment, *codes: Any, seed: int = 0) -> Any:
    waiting = iter([*map(call, codes), {"role": "assistant", "content": "done"}])
    return play(
        environment, Task(id="t", prompt=[{"role": "user", "content": "?"}]), lambda _: next(waiting), seed=seed
    )


def test_milestones_reach_the_log_and_not_the_agent() -> None:
    done = attempt(Instrumented(Echo), CODE)
    assert RegexMilestones(milestones=PROGRAM_MILESTONES)([done]).values[0] == pytest.approx(0.6)
    assert done.observations[1][0]["content"] == "output"
    assert json.loads(done.actions[0]["tool_calls"][0]["function"]["arguments"])["code"] == CODE
    assert len(done.info["milestone_tokens"][0]) == 16
    other = attempt(Instrumented(Echo), CODE, seed=1)
    assert other.info["milestone_tokens"] != done.info["milestone_tokens"]


def test_an_agent_that_prints_the_phrases_itself_gets_nothing_and_is_noticed() -> None:
    hack = "import os\n" + "\n".join(f'print("{phrase}")' for phrase in PHRASES.values())
    done = attempt(Instrumented(Echo), hack)
    scores = RegexMilestones(milestones=PROGRAM_MILESTONES)([done])
    assert scores.values[0] == pytest.approx(0.1)  # its import, which is real
    assert done.info["milestone_phrases"] == 6


def test_programs_that_cannot_be_instrumented_run_as_they_are_and_abstain() -> None:
    done = attempt(Instrumented(Echo), "x = = 1", 7)
    assert done.info["milestones_abstain"]
    assert not RegexMilestones()([done]).scored.any()
    nothing = attempt(Instrumented(Echo))
    assert not nothing.info["milestones_abstain"]


def test_a_model_may_instrument_and_its_answer_is_checked() -> None:
    def good(messages: list[Message]) -> str:
        text = messages[0]["content"]
        token = text.partition('print("')[2].partition(" ")[0]
        return f'Here it is:\n```python\n{CODE}print("{token} model trained", flush=True)\n```\nDone.'

    assert (
        RegexMilestones(milestones=PROGRAM_MILESTONES)([attempt(Instrumented(Echo, LMInstrumentor(good)), CODE)])
        .parts["trained"]
        .values[0]
    )
    for bad in (lambda _: "no code", lambda _: "```python\nprint('x')\n```"):
        assert attempt(Instrumented(Echo, LMInstrumentor(bad)), CODE).info["milestones_abstain"]
    with pytest.raises(TypeError, match="policy or a function"):
        LMInstrumentor(3)


def test_an_instrumentor_that_shares_weights_with_the_trained_policy_is_refused() -> None:
    from rewardlab.recipes.pieces import piece_policy

    policy = piece_policy(["a", "b"], hidden=8, layers=1, heads=1)
    with pytest.raises(ValueError, match="shares weights"):
        Instrumented(Echo, LMInstrumentor(policy, frozen=False), trained=policy)
    Instrumented(Echo, LMInstrumentor(policy), trained=policy)  # a copy
    done = attempt(Instrumented(Echo, LMInstrumentor(policy, max_new_tokens=2)), CODE)
    assert done.info["milestones_abstain"]  # an untrained policy writes no program
