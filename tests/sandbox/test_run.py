"""Running programs: what comes out, what goes in, and what is refused."""

from __future__ import annotations

import sys

import pytest

from rewardlab import sandbox
from rewardlab.sandbox import Limits, Program, Sandbox, SandboxUnavailable, isolation, worker

pytestmark = pytest.mark.xdist_group("sandbox")


@pytest.mark.parametrize(
    ("code", "status", "returncode", "stdout", "stderr"),
    [
        ("print('hello')", "ok", 0, "hello\n", ""),
        ("import sys; sys.exit(3)", "error", 3, "", ""),
        ("import sys; sys.exit('no')", "error", 1, "", "no\n"),
        ("import sys; sys.exit(0)", "ok", 0, "", ""),
        ("exit()", "ok", 0, "", ""),
        ("raise SystemExit", "ok", 0, "", ""),
        ("import os; os._exit(7)", "error", 7, "", ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed", -15, "", ""),
        ("import os; os.abort()", "killed", -6, "", ""),
        ("print(__name__, __file__)", "ok", 0, "__main__ program.py\n", ""),
        ("import atexit; atexit.register(print, 'bye')", "ok", 0, "bye\n", ""),
        ("import threading\nthreading.Timer(0.05, print, ['late']).start()", "ok", 0, "late\n", ""),
        ("print('\\ud800 é')", "ok", 0, "\\ud800 é\n", ""),
        ("", "ok", 0, "", ""),
    ],
)
def test_how_programs_end(either, code, status, returncode, stdout, stderr):
    result = either.run(code)
    assert (result.status, result.returncode, result.stdout, result.stderr) == (status, returncode, stdout, stderr)
    assert result.isolated == either.isolated
    assert result.seconds >= 0
    assert result.cpu_seconds >= 0


def test_traceback_shows_the_program_and_nothing_of_ours(either):
    result = either.run("def f():\n    return 1 / 0\n\nf()\n")
    assert result.status == "error"
    assert "ZeroDivisionError: division by zero" in result.stderr
    assert "return 1 / 0" in result.stderr
    assert "rewardlab" not in result.stderr
    assert result.stderr.count("File ") == 2


def test_syntax_error(either):
    result = either.run("def f(:")
    assert result.status == "error"
    assert "SyntaxError" in result.stderr


@pytest.mark.parametrize(
    "code",
    [
        "print(input(), input())",
        "import sys; print(*sys.stdin.read().split())",
        "print(*open(0).read().split())",
        "print(*open('/dev/stdin').read().split())",
    ],
)
def test_standard_input(either, code):
    assert either.run(code, stdin="one\ntwo\n").stdout == "one two\n"


def test_no_standard_input_is_empty(either):
    assert either.run("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_bytes_of_any_kind_come_in(either):
    assert either.run("import sys; print(sys.stdin.buffer.read())", stdin=b"\xff\x00").stdout == "b'\\xff\\x00'\n"


def test_files_lie_beside_the_program(either):
    code = "import helper; print(helper.x, open('data/a.bin', 'rb').read(), __import__('os').listdir('.'))"
    result = either.run(code, files={"helper.py": "x = 5", "data/a.bin": b"\xff"})
    assert result.stdout.startswith("5 b'\\xff'")


def test_scratch_folder_is_home_and_vanishes(either):
    code = "import os, tempfile\nprint(os.listdir('.'), os.environ['HOME'] == os.getcwd() == tempfile.gettempdir())\nopen('left', 'w')"
    assert [either.run(code).stdout for _ in range(3)] == ["[] True\n"] * 3


def test_an_executable(either):
    result = either.run(
        Program(argv=[isolation.interpreter(), "-I", "-c", "import sys; print(sys.argv, input())", "x"], stdin="y")
    )
    assert (result.status, result.stdout) == ("ok", "['-c', 'x'] y\n")


def test_an_executable_that_is_not_there(either):
    result = either.run(Program(argv=["/no/such/thing"]))
    assert (result.status, result.returncode) == ("error", 127)
    assert "No such file" in result.stderr


def test_results_come_in_order(either):
    programs = [
        Program(code=f"import time; time.sleep({0.02 * (number % 3)}); print({number})") for number in range(12)
    ]
    assert [result.stdout for result in either.run_many(programs)] == [f"{number}\n" for number in range(12)]


def test_every_program_starts_alike(either):
    code = "import random, os\nprint(random.random(), hash('a'), sorted(k for k in os.environ if 'KEY' in k))"
    assert len({either.run(code).stdout for _ in range(4)}) == 1


def test_the_environment_of_this_process_stays_out(either, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    with Sandbox(1, isolation=either.isolation) as fresh:
        assert "SECRET" not in fresh.run("import os; print(dict(os.environ))").stdout


def test_recursion_has_the_depth_of_a_script(either):
    code = "def f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nprint(f(985))\ntry:\n    f(1100)\nexcept RecursionError:\n    print('deep')"
    assert either.run(code).stdout == "985\ndeep\n"


def test_packages_only_where_they_are_asked_for(box):
    assert "ModuleNotFoundError" in box.run("import numpy").stderr
    with Sandbox(1, packages=True, preload=["numpy"]) as with_packages:
        assert with_packages.run("import numpy; print(numpy.arange(3).sum())").stdout == "3\n"


def test_binds_can_be_read(tmp_path, box):
    (tmp_path / "tool.txt").write_text("a tool")
    tmp_path.chmod(0o755)  # when we are root, programs run as another user
    code = f"print(open({str(tmp_path / 'tool.txt')!r}).read())"
    if box.isolated:
        assert "FileNotFoundError" in box.run(code).stderr
    with Sandbox(1, binds=[str(tmp_path)]) as bound:
        assert bound.run(code).stdout == "a tool\n"


def test_workers_are_replaced_after_their_time():
    with Sandbox(1, recycle=2, isolation="subprocess") as sandbox_:
        assert {sandbox_.run("pass").status for _ in range(5)} == {"ok"}
        assert sandbox_.started == 3


def test_closed_sandbox_says_so():
    closed = Sandbox(1, isolation="subprocess")
    assert closed.run("print(1)").stdout == "1\n"
    closed.close()
    with pytest.raises(RuntimeError, match="closed; make another"):
        closed.run("print(1)")


def test_the_shared_sandbox():
    assert sandbox.run("print(1)", isolation="subprocess").stdout == "1\n"
    assert sandbox.run([sys.executable, "-c", "print(2)"], isolation="subprocess").stdout == "2\n"
    assert sandbox.run(Program(code="print(3)"), isolation="subprocess").isolated is False
    assert sandbox.shared(isolation="subprocess") is sandbox.shared(isolation="subprocess")


def test_limits_of_one_program_go_before_those_of_the_sandbox(either):
    result = either.run("while True: pass", limits=Limits(seconds=0.3))
    assert (result.status, result.reason) == ("timeout", "wall time")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limits(seconds=0), "limit 'seconds' must be positive and finite, got 0"),
        (lambda: Limits(seconds=float("inf")), "must be positive and finite, got inf"),
        (lambda: Limits(memory_mb=10), "at least 64, got 10"),
        (lambda: Limits(processes=1.5), "whole number, got 1.5"),
        (lambda: Program(), "either code= .* or argv="),
        (lambda: Program(code="", argv=["/x"]), "either code= .* or argv="),
        (lambda: Program(argv=["python"]), "must begin with an absolute path, got 'python'"),
        (lambda: Program(code="", files={"../x": ""}), "relative path without '..'"),
        (lambda: Program(code="", files={"/x": ""}), "file name '/x' must be a relative path"),
        (lambda: Sandbox(0), "workers must be a positive whole number or None, got 0"),
        (lambda: Sandbox(isolation="docker"), "'auto', 'bubblewrap' or 'subprocess', got 'docker'"),
        (lambda: Sandbox(recycle=0), "recycle must be at least 1"),
        (lambda: sandbox.Examination(code=""), "needs tests: cases="),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Limits(seconds="5"), "limit 'seconds' must be a number, got '5'"),
        (lambda: Program(code=b"x"), "code must be Python source text, got bytes"),
        (lambda: sandbox.run(Program(code=""), stdin="x"), "stdin belong to the Program"),
        (lambda: sandbox.run(Program(code=""), limits=Limits()), "limits belong to the Program"),
        (lambda: Program(argv="/bin/ls"), "argv must be a list of strings"),
        (lambda: sandbox.Examination(code="", cases="assert True"), "cases must be a list of tests, got one string"),
    ],
)
def test_bad_types_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_demanding_bubblewrap_where_there_is_none(monkeypatch):
    monkeypatch.setattr(isolation, "bubblewrap_path", lambda: None)
    worker.bubblewrap_setting.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match="bubblewrap is not installed .*apt-get install bubblewrap"):
            Sandbox(1, isolation="bubblewrap").run("print(1)")
        with Sandbox(1) as fallen_back:
            result = fallen_back.run("print(1)")
            assert (result.stdout, result.isolated) == ("1\n", False)
            assert "bubblewrap is not installed" in fallen_back.reason
    finally:
        worker.bubblewrap_setting.cache_clear()


def test_bubblewrap_that_does_not_work(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: no permission here' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    worker.bubblewrap_setting.cache_clear()
    try:
        with pytest.raises(SandboxUnavailable, match="installed, but does not work here"):
            Sandbox(1, isolation="bubblewrap").run("print(1)")
    finally:
        worker.bubblewrap_setting.cache_clear()


def test_a_program_too_large_to_send_says_so_and_harms_nothing(plain):
    result = plain.run("x = 1", stdin=b"x" * (60 * 2**20))
    assert result.status == "lost"
    assert "over the limit" in result.reason
    workers = plain.started
    assert plain.run("print(1)").stdout == "1\n"
    assert plain.started == workers


def test_state_says_what_holds():
    state = sandbox.status()
    plain = sandbox.status("subprocess")
    assert plain.isolated is False
    assert "NOT isolated" in str(plain)
    assert any("home folders" in entry for entry in plain.unprotected)
    assert any("kernel" in entry for entry in state.unprotected)
    if state.isolated:
        assert state.mechanism == "bubblewrap"
        assert not any(entry.startswith("missing") for entry in state.unprotected)
    else:
        assert state.reason
