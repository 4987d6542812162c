"""Writing, refining and feedback, against a scripted server that answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rewardlab as rl
from rewardlab.learning.programs import (
    LeakedExample,
    NoRecordedAnswer,
    RecordedAnswers,
    extract_program,
    feedback,
    lineage,
    refine,
)
from rewardlab.policies import EndpointPolicy
from tests.learning.programs.adapter import View, program, states
from tests.policies.server import ChatServer

GOOD, BAD = program("return -self.arm.height"), program("return -self.arm.hight")


def block(source: str, tag: str = "python") -> str:
    return f"First I think.\n\n```{tag}\n{source}```\nThat is all.\n"


def writer(answers: list[str], **options: Any) -> tuple[rl.RewardWriter, list[str]]:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return answers[len(asked) - 1]

    return rl.RewardWriter(model=answer, abstraction=View, **options), asked


def test_a_server_writes_and_corrects_over_http() -> None:
    texts = [block(BAD), block(GOOD)]
    with ChatServer(lambda body, number: {"content": texts[number]}) as server:
        model = EndpointPolicy("coder", base_url=server.url, api_key="k", retries=0)
        author = rl.RewardWriter(model=model, abstraction=View, temperature=0.3)
        (first,) = author.write("Lower the arm.")
        assert (first.model, first.source) == ("coder", BAD)
        report = first.check(states(), view=View)
        assert report.errors[0].kind == "unknown attribute"
        second = refine(author, first, report)
        assert author.write("Lower the arm.")[0] == first  # remembered: the same prompt is not asked again
    assert second.check(states(), view=View).passed
    assert second.parent == first.hash
    assert [body["temperature"] for body in server.bodies] == [0.3, 0.3]
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert "did you mean 'height'" in prompts[1]
    assert BAD.strip() in prompts[1]
    order = ["You are an expert", "usually consists", "class View", "What you should know", "The task: Lower the arm."]
    places = [prompts[0].index(words) for words in order]
    assert places == sorted(places)


def test_an_answer_without_code_is_asked_for_again_and_then_failed() -> None:
    author, asked = writer(["no", "still no", block(GOOD)], retries=2)
    assert author.write("Lower the arm.")[0].answers == 3
    assert len(asked) == 3
    author, _ = writer(["no", "never"], retries=1)
    (program_,) = author.write("Lower the arm.")
    assert program_.failed
    assert program_.failure == "no code block in 2 answers; the last began 'never'"
    report = program_.check(states(), view=View)
    assert report.errors[0].kind == "no code"
    with pytest.raises(ValueError, match="there is no program to improve"):
        feedback(author, program_, "it fell", "do not fall")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (block("x = 1\n"), "x = 1\n"),
        (block("x = 1\n", tag=""), "x = 1\n"),
        ("```python\r\nx = 1\r\n```\r\nmore", "x = 1\n"),
        ("```\ndef f():\n\treturn 1\n```", "def f():\n    return 1\n"),
        ("  ```py\n  x = 1\n  ```", "x = 1\n"),
        ("```python\nx = 1\n```\n```python\ny = 2\n```", "x = 1\n"),
        ("```python\nx = 1", "x = 1\n"),
        ("x = 1", None),
        ("```python\n```", None),
    ],
)
def test_programs_are_taken_out_of_answers(answer: str, expected: str | None) -> None:
    assert extract_program(answer) == expected


def test_examples_are_near_and_never_the_task_itself() -> None:
    pool = {"Lower the arm.": "SECRET", "Raise the arm slowly.": "RAISE", "Push the cube away.": "PUSH"}
    author, _ = writer([], examples=pool, k=1)
    prompt = author.prompt("lower  the ARM")
    assert "RAISE" in prompt
    assert "SECRET" not in prompt
    assert "PUSH" not in prompt
    with pytest.raises(LeakedExample, match=r"'Lower the arm.' is almost the task 'Lower the arms.'"):
        author.prompt("Lower the arms.")
    chosen, _ = writer([], examples=pool, k=1, embed=lambda texts: [[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
    assert "PUSH" in chosen.prompt("Lower the arm.")


def test_feedback_tells_all_rounds_and_draws_a_tree() -> None:
    author, asked = writer(
        [block(GOOD), block(program("return -2.0 * self.arm.height")), block(GOOD.replace("-", "+"))]
    )
    (first,) = author.write("Lower the arm.")
    second = feedback(author, first, "it is slow", "be faster")
    third = feedback(author, second, "it hits the table", "be slower")
    assert third.rounds == (
        (first.source, "it is slow", "be faster"),
        (second.source, "it hits the table", "be slower"),
    )
    assert asked[2].index("be faster") < asked[2].index("be slower") < asked[2].index("the newest holds")
    lines = lineage([first, second, third]).split("\n")
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4]
    assert lines[1].startswith(f"  {second.hash}  feedback: be faster")
    with pytest.raises(ValueError, match="description and text are both empty"):
        feedback(author, first, "", " ")


def test_recordings_answer_only_what_was_asked(tmp_path: Path) -> None:
    author, _ = writer([])
    key = rl.RewardProgram(source="", prompt=author.prompt("Lower the arm.")).prompt_hash
    RecordedAnswers({key: [block(GOOD)]}, name="someone").save(tmp_path / "answers.json")
    model = RecordedAnswers.load(tmp_path / "answers.json")
    again = rl.RewardWriter(model=model, abstraction=View)
    assert again.write("Lower the arm.")[0].source == GOOD
    with pytest.raises(NoRecordedAnswer, match=f"no answer is recorded to the prompt .*; recorded: {key}"):
        again.write("Raise the arm.")
    with pytest.raises(NoRecordedAnswer, match="answer 1 to the prompt"):
        again.write("Lower the arm.", 2)


def test_wrong_options_are_named() -> None:
    with pytest.raises(TypeError, match="model must be an EndpointPolicy, a function of the prompt"):
        rl.RewardWriter(model=3, abstraction=View)
    author, _ = writer([])
    with pytest.raises(ValueError, match="the instruction is empty"):
        author.write(" ")
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        author.write("Lower the arm.", 0)
    made = rl.RewardProgram(source=BAD)
    report = made.check(states(), view=View)
    with pytest.raises(ValueError, match="rounds=2 needs check="):
        refine(author, made, report, rounds=2)
