r"""The symbolic path: sympy in child processes that are stopped, replace themselves, and never evaluate text."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from rewardlab.rewards.base import ScoringFailure
from rewardlab.rewards.verifiers.math import MathAnswer, answers_equal, symbolic
from rewardlab.rewards.verifiers.math.symbolic import ChildFailed, SymbolicPool, Verdict
from rewardlab.types import Status, Trajectory

pytestmark = pytest.mark.xdist_group("math")  # one process, so that they share its child

TOWER = r"9^{9^{9^{9}}}"
EASY = [(r"\sin^2 x", r"1-\cos^2 x"), (r"\sqrt{3+2\sqrt2}", r"1+\sqrt2"), (r"\int_0^1 x\,dx", r"\frac{1}{2}")]


@pytest.fixture(scope="module")
def pool():
    made = SymbolicPool()
    yield made
    made.close()


def sample(answer: str, reference: object) -> Trajectory:
    return Trajectory.from_text("?", answer, reference=reference)


def in_thread(work):
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_decides_what_the_fast_path_leaves_open(pool):
    assert pool.compare(EASY) == [Verdict(True)] * 3
    assert pool.compare([(r"\sin^2 x", r"\cos^2 x")]) == [Verdict(False)]


def test_unreadable_answers_are_wrong_and_unreadable_references_are_open(pool):
    answer, reference = pool.compare([("5", r"\foo{"), (r"\foo{", "5")])
    assert answer == Verdict(False, "the answer cannot be read as mathematics")
    assert reference.equal is None
    assert "reference cannot be read" in reference.reason


def test_a_power_tower_in_a_thread_is_stopped_and_the_rest_of_the_batch_decided(pool):
    pairs = [EASY[0], (r"x+1", rf"(x+1)^{{{TOWER}}}"), EASY[1]]
    first, tower, second = in_thread(lambda: pool.compare(pairs, seconds=0.5))
    assert first == second == Verdict(True)
    assert tower == Verdict(None, "timeout: the comparison took more than 0.5 processor seconds and was stopped")


def test_fifty_hung_pairs_in_a_row_cost_the_pool_nothing(pool):
    pool.compare(EASY)
    (process,) = pool.processes()
    hung = [(str(number), rf"\cos({TOWER}+{number})") for number in range(50)]
    assert all("timeout" in verdict.reason for verdict in pool.compare(hung, seconds=0.02))
    assert pool.processes() == [process]  # no restart: a fork stands ready again
    after = [(str(number), rf"\int_0^{{{number}}} 1\,dx") for number in range(1, 21)]
    assert pool.compare(after) == [Verdict(True)] * 20
    assert pool.processes() == [process]


def test_same_pairs_are_compared_once(pool, monkeypatch):
    asked = []
    monkeypatch.setattr(symbolic._Child, "ask", lambda child, pair, seconds: asked.append(pair) or Verdict(True))
    pair = ("a", "b")
    assert pool.compare([pair, pair, ("c", "d"), pair]) == [Verdict(True)] * 4
    pool.compare([pair])
    assert asked == [pair, ("c", "d")]
    pool.forget()
    pool.compare([pair])
    assert asked == [pair, ("c", "d"), pair]
    pool.forget()


def test_a_process_that_dies_is_replaced(pool):
    pool.compare(EASY[:1])
    pool.forget()
    (process,) = pool.processes()
    os.killpg(process, signal.SIGKILL)
    first, second = (pool.compare([pair])[0] for pair in EASY[:2])
    assert first.equal in (True, None)  # whether the end was noticed before the pair was handed over
    assert second == Verdict(True)
    assert pool.processes() != [process]


def test_more_workers_serve_one_call_and_many_threads():
    own = SymbolicPool()
    try:
        pairs = [(str(number), rf"\int_0^{{{number}}} 1\,dx") for number in range(1, 9)]
        assert own.compare(pairs, workers=2) == [Verdict(True)] * 8
        assert len(own.processes()) == 2
        own.forget()
        results: list[list[Verdict]] = []
        threads = [threading.Thread(target=lambda: results.append(own.compare(pairs))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [[Verdict(True)] * 8] * 4
    finally:
        own.close()
    assert own.processes() == []


def test_no_text_is_ever_evaluated(pool, tmp_path):
    trace = tmp_path / "owned"
    for text in (
        f"__import__('os').system('touch {trace}')",
        rf"\operatorname{{eval}}(\text{{__import__('os').system('touch {trace}')}})",
        f"exec(open('{trace}', 'w'))",
        rf"f(__import__('os').system('touch {trace}'))",
        "().__class__.__bases__[0].__subclasses__()",
        "lambda: 1",
    ):
        (verdict,) = pool.compare([("x", text)])
        assert verdict.equal is not True
        assert answers_equal("0", text) is False
        (score,) = MathAnswer()([sample(rf"\boxed{{{text}}}", 0)]).values
        assert score == 0.0
    assert not trace.exists()


def test_worker_reads_numbers_and_refuses_all_other_text():
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import worker; worker.prepare(4 << 30); import sympy\n"
        "assert sympy.sympify('12') == 12 and sympy.sympify('1.5') == 1.5\n"
        "for text in ('1+1', 'x', '__import__(\"os\").getcwd()'):\n"
        "    for read in (sympy.sympify, sympy.parse_expr):\n"
        "        try: read(text)\n"
        "        except Exception as error: assert 'never evaluated' in str(error), error\n"
        "        else: raise SystemExit(f'{text} was evaluated')\n"
        "print(len(worker.refused))\n"
    )
    folder = os.path.dirname(symbolic.__file__)
    run = subprocess.run([sys.executable, "-P", "-c", script, folder], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    assert int(run.stdout) > 0


def test_a_script_without_a_main_guard_works_and_so_does_a_fork():
    script = (
        "import os, sys\n"
        "from rewardlab.rewards.verifiers.math import answers_equal\n"
        "assert answers_equal(r'\\sin^2 x', r'1-\\cos^2 x')\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if answers_equal(r'\\cos^2 x', r'1-\\sin^2 x') else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert answers_equal(r'\\tan x', r'\\frac{\\sin x}{\\cos x}')\n"
        "print('fine')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=240)
    assert (run.stdout, run.returncode) == ("fine\n", 0), run.stderr


def test_without_the_extra_only_open_samples_fail(monkeypatch):
    monkeypatch.setattr(symbolic, "available", lambda module: False)
    monkeypatch.setitem(sys.modules, "math_verify", None)
    scores = MathAnswer()([sample("18", 18), sample(r"\boxed{1-\cos^2 y}", r"\sin^2 y"), sample("19", 18)])
    assert list(scores.status) == [Status.SCORED, Status.FAILED, Status.SCORED]
    assert 'pip install "rewardlab[math]"' in scores.note(1)
    with pytest.raises(ScoringFailure, match="rewardlab\\[math\\]"):
        answers_equal(r"\sin^2 z", r"1-\cos^2 z")


def test_a_child_that_does_not_start_says_what_to_try(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    own = SymbolicPool()
    with pytest.raises(ChildFailed, match="did not start .exit status 1.*import math_verify"):
        own.compare(EASY[:1])
    with pytest.raises(ChildFailed):
        own.compare(EASY[:1])  # and the place in the pool is free again
    monkeypatch.setattr(symbolic, "_pool", own)
    scores = MathAnswer()([sample(r"\boxed{1-\cos^2 w}", r"\sin^2 w")])
    assert scores.failed.all()
    assert "did not start" in scores.note(0)
