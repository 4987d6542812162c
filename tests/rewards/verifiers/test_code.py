"""The code verifier: what is taken as the program, what a reference may hold, and what each ending is worth."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab import sandbox
from rewardlab.rewards import from_spec, to_spec
from rewardlab.rewards.verifiers.code import CodeTests, extract_code
from rewardlab.rewards.verifiers.fixtures import check_fixtures, shipped_fixtures
from rewardlab.types import Scores, Status, Trajectory

pytestmark = pytest.mark.xdist_group("sandbox")

ADD = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(2, 2) == 4"]


def sample(completion: str, reference: object) -> Trajectory:
    return Trajectory.from_text("Write it.", completion, reference=reference)


def score(completion: str, reference: object, **options: object) -> Scores:
    return CodeTests(**options)([sample(completion, reference)])


def outcome(scores: Scores, index: int = 0) -> tuple[str, float, str | None]:
    return Status(scores.status[index]).name.lower(), float(scores.values[index]), scores.note(index)


# ---- extraction ------------------------------------------------------------------------------------------------------

TWO = "First:\n```python\na = 1\n```\nthen\n```py\nb = 2\n```\nand it prints\n```text\n3\n```\n"


@pytest.mark.parametrize(
    ("text", "extract", "expected"),
    [
        (TWO, "auto", "b = 2\n"),
        (TWO, "last", "b = 2\n"),
        (TWO, "first", "a = 1\n"),
        (TWO, "joined", "a = 1\n\nb = 2\n"),
        (TWO, "whole", TWO),
        ("```\nx = 1\n```", "auto", "x = 1\n"),
        ("```js\nx\n```\n```\ny\n```", "auto", "y\n"),
        ("x = 1", "auto", "x = 1"),
        ("x = 1", "last", None),
        ("x = 1", "first", None),
        ("x = 1", "joined", None),
        ("cut off\n```python\nx = 1\ny =", "auto", "x = 1\ny =\n"),
        ("````python\n'''\n```\n'''\n````", "auto", "'''\n```\n'''\n"),
        ("  ```Python3\n  x = 1\n  ```", "auto", "  x = 1\n"),
        ("```python title=x\nx = 1\n```", "auto", "x = 1\n"),
        ("Use `x` and ```y``` inline", "auto", "Use `x` and ```y``` inline"),
        ("", "auto", ""),
    ],
)
def test_extraction(text, extract, expected):
    assert extract_code(text, extract) == expected


@given(st.text(alphabet=" `pyx\n", max_size=200), st.sampled_from(["auto", "last", "first", "joined", "whole"]))
@settings(max_examples=200, deadline=None)
def test_extraction_never_fails_and_invents_nothing(text, extract):
    code = extract_code(text, extract)
    assert code is None or set(code) <= set(text) | {"\n"}


@given(st.text(alphabet="abc =\n()", max_size=100))
@settings(max_examples=100, deadline=None)
def test_a_block_comes_out_as_it_was_put_in(code):
    assert extract_code(f"Sure.\n```python\n{code}\n```\nDone.") == code + "\n"


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    [
        {"tests": TESTS},
        {"tests": tuple(TESTS)},
        TESTS,
        json.dumps({"tests": TESTS}),
        json.dumps(TESTS),
        {"test_list": TESTS, "test_setup_code": "", "text": "Add two numbers.", "task_id": 7, "code": "..."},
        {"tests": "\n".join(TESTS)},
        {"test": "def check(candidate):\n    assert candidate(1, 2) == 3\n", "entry_point": "add"},
        {"test": "assert add(1, 2) == 3"},
        {"tests": TESTS, "setup": "offset = 0", "stdin": None},
    ],
)
def test_references(reference):
    assert outcome(score(ADD, reference)) == ("scored", 1.0, None)
    assert outcome(score(ADD.replace("+", "-"), reference))[1] == 0.0


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "the task has no reference; expected a mapping with 'tests'"),
        ({}, "only the keys (none)"),
        ({"answer": 4}, "only the keys answer"),
        ("assert add(1, 2) == 3", "text that is not JSON"),
        (7, "the reference is 7"),
        ({"tests": 7}, "'tests' of the reference must be text or a list of texts, got 7"),
        ({"tests": ["x", 7]}, "must be text or a list of texts"),
        ({"tests": TESTS, "setup": ["x"]}, "'setup' of the reference must be text"),
        ({"stdin": ["1", "2"], "stdout": ["1"]}, "2 texts under 'stdin' and 1 under 'stdout'"),
        ({"tests": TESTS, "files": ["x"]}, "'files' of the reference must be a mapping"),
        ({"tests": ["assert ("]}, "the tests of the reference cannot be used: test 0 does not compile"),
        ({"tests": TESTS, "files": {"../x": ""}}, "relative path without '..'"),
    ],
)
def test_bad_references_fail_and_say_why(reference, message):
    status, value, note = outcome(score(ADD, reference))
    assert status == "failed"
    assert np.isnan(value)
    assert message in str(note)


def test_partial_gives_the_share_and_parts_say_more():
    wrong = "def add(a, b):\n    return 3\n"
    full, part = score(wrong, TESTS), score(wrong, TESTS, partial=True)
    assert (full.values[0], part.values[0]) == (0.0, 0.5)
    for scores in (full, part):
        assert scores.parts["passed"].values[0] == 0.5
        assert scores.parts["compiles"].values[0] == 1.0
        assert scores.note(0) == "AssertionError; in: assert add(2, 2) == 4"
    broken = score("def add(", TESTS)
    assert broken.parts["compiles"].values[0] == 0.0
    assert "SyntaxError" in str(broken.note(0))


def test_partial_counts_the_assert_statements_of_a_script():
    test = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 5\n    assert candidate(0, 0) == 0\n"
    reference = {"test": test, "entry_point": "add"}
    assert score(ADD, reference).values[0] == 0.0
    assert score(ADD, reference, partial=True).values[0] == pytest.approx(2 / 3)


PROMPT = 'import math\n\ndef shift(x):\n    return x + 1\n\ndef area(r):\n    """Area of a circle."""\n'
AREA = {
    "prompt": PROMPT,
    "entry_point": "area",
    "test": "def check(candidate):\n    assert abs(candidate(shift(1)) - 12.566370614359172) < 1e-9\n",
}


@pytest.mark.parametrize(
    ("completion", "value"),
    [
        ("    return math.pi * r * r\n", 1.0),
        ("```python\ndef area(r):\n    return math.pi * r * r\n```", 1.0),
        ("```python\nimport math\n\ndef area(r):\n    return math.pi * r ** 2\n```", 1.0),
        ("```python\n    return math.pi * r * r\n```", 1.0),
        ("    return math.pi * r\n", 0.0),
        ("```python\ndef circle(r):\n    return math.pi * r * r\n```", 0.0),
        (
            "    return 12.566370614359172\n\ndef shift(x):\n    raise ValueError\n",
            1.0,
        ),  # the helper of the tests is the task's
    ],
)
def test_answers_that_continue_the_prompt_and_answers_that_repeat_it(completion, value):
    assert score(completion, AREA).values[0] == value


def test_standard_input_and_output():
    reference = {"inputs": ["1 2", "5 6"], "outputs": ["3\n", "11"]}
    right = "```python\nprint(sum(map(int, input().split())))\n```"
    assert outcome(score(right, reference)) == ("scored", 1.0, None)
    half = "```python\nprint(3)\n```"
    scores = score(half, reference, partial=True)
    assert scores.values[0] == 0.5
    assert scores.note(0) == "WrongOutput: '3\\n', expected '11'"
    crash = score("```python\nprint(1 / 0)\n```", reference)
    assert outcome(crash)[1:] == (0.0, "ZeroDivisionError: division by zero")
    assert crash.parts["compiles"].values[0] != 0
    syntax = score("```python\nprint(\n```", reference)
    assert syntax.parts["compiles"].values[0] == 0.0


@pytest.mark.parametrize(
    ("printed", "expected", "same"),
    [
        ("3\n", "3", True),
        ("3  \n\n", "3\n", True),
        ("a\nb", "a \nb\n\n", True),
        ("a b", "a  b", False),
        ("\n3", "3", False),
        ("3.0", "3", False),
        ("", "", True),
    ],
)
def test_what_counts_as_the_same_output(printed, expected, same):
    assert score(f"print({printed!r}, end='')", {"stdout": expected}).values[0] == float(same)


def test_files_and_several_kinds_of_tests_together():
    program = "import json\nrate = json.load(open('rate.json'))\ndef price(n):\n    return n * rate\nprint(rate)\n"
    reference = {"files": {"rate.json": "3"}, "tests": ["assert price(2) == 6"], "stdout": "3"}
    assert outcome(score(program, reference)) == ("scored", 1.0, None)
    assert score(program, {**reference, "stdout": "4"}, partial=True).values[0] == 0.5
    assert score(program, {**reference, "tests": ["assert price(2) == 7"]}).values[0] == 0.0


# ---- limits and failures ---------------------------------------------------------------------------------------------

SLOW_LATER = "def add(a, b):\n    while a == 2:\n        pass\n    return a + b\n"


def test_a_limit_is_zero_or_failed_as_the_option_says():
    for code, reason in [("while True:\n    pass", "timeout"), ("x = bytearray(10**10)", "memory")]:
        status, value, note = outcome(score(code, TESTS, seconds=0.5))
        assert (status, value) == ("scored", 0.0)
        assert str(note).startswith(reason)
        status, _, note = outcome(score(code, TESTS, seconds=0.5, limit="failed"))
        assert status == "failed"
        assert str(note).startswith(reason)


def test_what_passed_before_the_time_ran_out_counts_as_part():
    scores = score(SLOW_LATER, TESTS, seconds=0.5, partial=True)
    assert outcome(scores)[:2] == ("scored", 0.5)
    assert score(SLOW_LATER, TESTS, seconds=0.5).values[0] == 0.0
    assert outcome(score(SLOW_LATER, TESTS, seconds=0.5, partial=True, limit="failed"))[0] == "failed"


def test_a_time_limit_with_standard_input():
    scores = score("while True:\n    pass", {"stdout": ["1"]}, seconds=0.5)
    assert outcome(scores) == ("scored", 0.0, "timeout: no end within 0.5 s of wall time")


def test_no_code_is_zero():
    for text, options in [("", {}), ("  \n", {}), ("prose", {"extract": "last"}), ("```python\n```", {})]:
        assert outcome(score(text, TESTS, **options)) == ("scored", 0.0, "no code in the answer")


def test_a_sandbox_that_cannot_start_fails_the_samples_and_not_the_batch(monkeypatch):
    def refuse(*_args, **_options):
        raise sandbox.SandboxUnavailable("no sandbox today")

    monkeypatch.setattr(sandbox.Sandbox, "examine_many", refuse)
    batch = [sample(ADD, TESTS), sample("", TESTS), sample(ADD, None)]
    scores = CodeTests()(batch)
    assert outcome(scores, 0)[0::2] == ("failed", "the sandbox could not run: no sandbox today")
    assert outcome(scores, 1)[:2] == ("scored", 0.0)
    assert "no reference" in str(scores.note(2))


def test_a_sandbox_that_breaks_fails_the_sample(monkeypatch):
    lost = sandbox.Result(
        status="lost", returncode=None, stdout="", stderr="", seconds=0, cpu_seconds=0, isolated=True, reason="it broke"
    )
    report = sandbox.Report(result=lost, compiled=None, tests=(), count=1, finished=False)
    monkeypatch.setattr(sandbox.Sandbox, "examine_many", lambda self, batch: [report for _ in batch])
    assert outcome(score(ADD, TESTS))[0::2] == ("failed", "it broke")


# ---- as a reward -----------------------------------------------------------------------------------------------------


def test_a_batch_is_the_same_as_its_samples_one_by_one_and_in_threads():
    batch = [
        sample(ADD, TESTS),
        sample("x", TESTS),
        sample(ADD, None),
        sample("print(1)", {"stdout": "1"}),
        sample("", TESTS),
    ] * 3
    reward = CodeTests()
    together = reward(batch)
    for index, trajectory in enumerate(batch):
        assert outcome(reward([trajectory]))[0::2] == outcome(together, index)[0::2]
    found: list[Scores] = []
    threads = [threading.Thread(target=lambda: found.append(reward(batch))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    for scores in found:
        assert np.array_equal(scores.values, together.values, equal_nan=True)
        assert np.array_equal(scores.status, together.status)
    assert len(reward([])) == 0
    assert reward.verify(batch[0]).value == 1.0


def test_spec_round_trip():
    reward = CodeTests(partial=True, limit="failed", seconds=3, packages=True)
    assert from_spec(to_spec(reward)) == reward
    assert to_spec(CodeTests()) == {"type": "code_tests"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extract": "second"}, "option 'extract' must be"),
        ({"limit": "one"}, "option 'limit' must be"),
        ({"seconds": 0}, "limit 'seconds' must be positive"),
        ({"memory_mb": 8}, "at least 64, got 8"),
        ({"workers": 0}, "'workers' must be at least 1"),
        ({"isolation": "docker"}, "option 'isolation' must be"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        CodeTests(**options)


def test_fixtures_hold_without_isolation():
    for entry in shipped_fixtures("code_tests"):
        plain = dataclasses.replace(entry.reward, isolation="subprocess")
        check_fixtures(plain, entry.fixtures).assert_ok()
