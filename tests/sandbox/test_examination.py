"""Tests that run apart from the program: what can travel between the two, and how programs try to pass without being right."""

from __future__ import annotations

import pytest

from rewardlab.sandbox import Examination, Limits, Report, Sandbox

pytestmark = pytest.mark.xdist_group("sandbox")


def examine(box: Sandbox, code: str, *cases: str, **options: object) -> Report:
    return box.examine(Examination(code=code, cases=cases or (), **options))  # type: ignore[arg-type]


ADD = "def add(a, b):\n    return a + b\n"


def test_right_and_wrong(either):
    report = examine(either, ADD, "assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert add('a', 'b') == 'ab'")
    assert [test.passed for test in report.tests] == [True, False, True]
    assert (report.passed, report.share, report.count, report.finished, report.compiled) == (
        False,
        2 / 3,
        3,
        True,
        True,
    )
    assert (report.error, report.tests[1].line) == ("AssertionError", "assert add(1, 2) == 4")
    assert examine(either, ADD, "assert add(1, 2) == 3").passed


@pytest.mark.parametrize(
    ("code", "compiled", "error"),
    [
        ("def add(a, b) return", False, "SyntaxError"),
        ("def add(a, b):\nreturn 1", False, "IndentationError"),
        ("x = '\0'", False, "SyntaxError"),
        ("(" * 5000, False, None),
        ("import nothing_like_this", True, "ModuleNotFoundError"),
        ("1 / 0", True, "ZeroDivisionError"),
        ("", True, "NameError"),
        ("def add(a, b):\n    raise KeyError('no')", True, "KeyError"),
        ("def add(a, b):\n    return add(a, b)", True, "RecursionError"),
        ("def add(a, b):\n    return bytearray(10**10)", True, "MemoryError"),
    ],
)
def test_errors_keep_their_name(box, code, compiled, error):
    report = examine(box, code, "assert add(1, 2) == 3")
    assert not report.passed
    assert report.compiled is compiled
    assert report.error == error or error is None


@pytest.mark.parametrize(
    "expression",
    [
        "None",
        "True",
        "-7",
        "2**200",
        "-(10**5000)",
        "0.1",
        "float('inf')",
        "1e-320",
        "'text \\ud800 \\0'",
        "b'\\xff'",
        "bytearray(b'ab')",
        "(1, [2, {3: {4}}], frozenset({5}))",
        "{(1, 2): [None], 'k': ()}",
        "1 + 2j",
        "range(3, 30, 4)",
        "__import__('decimal').Decimal('1.10')",
        "__import__('fractions').Fraction(1, 3)",
        "__import__('datetime').date(2020, 2, 29)",
        "__import__('datetime').datetime(2020, 2, 29, 1, 2, 3, 4)",
        "__import__('datetime').timedelta(1, 2, 3)",
        "__import__('collections').Counter('aab')",
        "__import__('collections').OrderedDict([(1, 2)])",
        "__import__('collections').defaultdict(int, {1: 2})",
        "__import__('collections').deque([1, 2])",
        "{1: 2}.keys()",
        "{1: 2}.items()",
        "int",
        "...",
    ],
)
def test_values_travel_there_and_back(box, expression):
    code = f"def give():\n    return {expression}\ndef same(x):\n    return x == give() and type(x) is type(give())\ndef echo(x):\n    return x"
    cases = (
        f"assert give() == {expression}",
        f"assert type(give()) is type({expression})",
        f"assert same({expression}) is True",
        f"assert echo({expression}) == {expression}",
    )
    report = examine(box, code, *cases)
    assert report.passed, report


def test_nan_travels(box):
    assert examine(box, "def f():\n    return float('nan')", "x = f()\nassert x != x").passed


def test_plain_values_in_classes_of_the_program_are_unwrapped(box):
    code = (
        "import enum, collections\n"
        "class Colour(enum.IntEnum):\n    RED = 3\n"
        "class Word(str):\n    pass\n"
        "Pair = collections.namedtuple('Pair', 'a b')\n"
        "def colour():\n    return Colour.RED\n"
        "def word():\n    return Word('w')\n"
        "def pair():\n    return Pair(1, 2)\n"
    )
    assert examine(box, code, "assert colour() == 3", "assert word() == 'w'", "assert pair() == (1, 2)").passed


def test_arguments_that_the_program_changes_are_changed_for_the_test(box):
    code = "def work(xs, seen, table, *, out=None):\n    xs.sort()\n    seen.add(9)\n    table['k'] = xs[0]\n    xs.append('end')"
    case = "xs, seen, table = [3, 1], {1}, {}\nassert work(xs, seen, table) is None\nassert (xs, seen, table) == ([1, 3, 'end'], {1, 9}, {'k': 1})"
    assert examine(box, code, case).passed


def test_generators_and_iterators(box):
    code = "def count():\n    n = 0\n    while True:\n        yield n\n        n += 1\ndef pairs(xs):\n    return zip(xs, xs[1:])"
    cases = (
        "import itertools\nassert list(itertools.islice(count(), 3)) == [0, 1, 2]",
        "assert list(pairs([1, 2, 3])) == [(1, 2), (2, 3)]",
        "assert (1, 2) in pairs([1, 2])",
    )
    assert examine(box, code, *cases).passed


def test_functions_are_passed_both_ways(box):
    code = "def apply(f, xs):\n    return [f(x) for x in xs]\ndef adder(n):\n    return lambda x: x + n\ndef compose(f, g):\n    return lambda x: f(g(x))"
    cases = (
        "assert apply(lambda x: x * 2, [1, 2]) == [2, 4]",
        "assert adder(3)(4) == 7",
        "assert compose(lambda x: x + 1, adder(10))(1) == 12",
        "assert apply(len, ['a', 'bb']) == [1, 2]",
    )
    assert examine(box, code, *cases).passed


def test_exceptions_cross_over(box):
    code = "class Broke(ValueError):\n    pass\ndef f(x):\n    raise Broke('no') if x else KeyError('k')\ndef call(g):\n    try:\n        g()\n    except LookupError as e:\n        return type(e).__name__"
    cases = (
        "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no'",
        "try:\n    f(1)\n    assert False\nexcept Broke:\n    pass",
        "try:\n    f(0)\n    assert False\nexcept KeyError:\n    pass",
        "def bad():\n    raise IndexError\nassert call(bad) == 'IndexError'",
    )
    assert examine(box, code, *cases).passed


def test_objects_of_the_program(box):
    code = (
        "class Node:\n"
        "    def __init__(self, value):\n        self.value, self.next = value, None\n"
        "    def __eq__(self, other):\n        return isinstance(other, Node) and self.value == other.value\n"
        "class Stack:\n"
        "    def __init__(self):\n        self.items = []\n"
        "    def push(self, x):\n        self.items.append(x)\n        return self\n"
        "    def __len__(self):\n        return len(self.items)\n"
        "    def __getitem__(self, i):\n        return self.items[i]\n"
        "def total(node):\n    return 0 if node is None else node.value + total(node.next)\n"
    )
    setup = "root = Node(1)\nroot.next = Node(2)\n"
    cases = (
        "assert total(root) == 3",
        "assert root.next.value == 2",
        "assert isinstance(root, Node) and not isinstance(3, Node)",
        "s = Stack().push(5).push(6)\nassert len(s) == 2 and s[1] == 6 and list(s.items) == [5, 6]",
        "assert Node(4) == Node(4) and Node(4) != Node(5)",
        "assert bool(Stack()) is False",
    )
    assert examine(box, code, *cases, setup=setup).passed


def test_a_class_with_a_method_as_entry_point(box):
    code = "class Solution:\n    def double(self, x):\n        return 2 * x\n"
    check = "def check(candidate):\n    assert candidate(2) == 4\n"
    for entry_point in ("Solution.double", "Solution().double"):
        assert examine(box, code, check=check, entry_point=entry_point).passed
    assert not examine(box, code, check=check, entry_point="Solution.triple").passed


def test_a_check_script_and_its_asserts_one_by_one(box):
    check = "def check(candidate):\n    for n in range(3):\n        assert candidate(n, 1) == n + 1\n    assert candidate(0, 0) == 1, 'zero'\n    assert candidate('a', 'b') == 'ab'\n"
    whole = examine(box, ADD, check=check, entry_point="add")
    assert [test.passed for test in whole.tests] == [False]
    assert (whole.error, whole.message, whole.tests[0].line) == (
        "AssertionError",
        "zero",
        "assert candidate(0, 0) == 1, 'zero'",
    )
    split = examine(box, ADD, check=check, entry_point="add", split=True)
    assert [test.passed for test in split.tests] == [True, True, True, False, True]


def test_very_many_asserts(box):
    check = "def check(candidate):\n    for n in range(3000):\n        assert candidate(n, 0) != 2500\n"
    report = examine(box, ADD, check=check, entry_point="add", split=True)
    assert (report.count, report.finished) == (3000, True)
    assert report.share == pytest.approx(2999 / 3000)


def test_a_missing_entry_point(box):
    report = examine(
        box, "def other():\n    pass", check="def check(candidate):\n    assert candidate()", entry_point="add"
    )
    assert (report.passed, report.error, report.message) == (False, "NameError", "name 'add' is not defined")


def test_helpers_of_the_task_are_not_the_programs_to_change(box):
    helpers = "def encode(s):\n    return s[::-1]\n"
    check = "def check(candidate):\n    assert candidate(encode('abc')) == 'abc'\n"
    right = helpers + "def decode(s):\n    return s[::-1]\n"
    cheat = "def encode(s):\n    return s\ndef decode(s):\n    return s\n"
    assert examine(box, right, check=check, entry_point="decode", helpers=helpers).passed
    assert not examine(box, cheat, check=check, entry_point="decode", helpers=helpers).passed


def test_built_in_names_stay_ours_unless_they_are_what_is_asked_for(box):
    cheat = "def area(r):\n    return 0\ndef abs(x):\n    return 0\n"
    assert not examine(box, cheat, "assert abs(area(1) - 3.14) < 0.01").passed
    own_sum = "def sum(a, b):\n    return a * 10 + b\n"
    assert examine(box, own_sum, "assert sum(1, 2) == 12").passed
    assert examine(box, own_sum, check="def check(candidate):\n    assert sum(1, 2) == 12", entry_point="sum").passed


def test_broken_tests_say_nothing_about_the_program(box):
    assert "test 0 does not compile: SyntaxError" in str(examine(box, ADD, "assert ( add").bad_tests)
    assert "check does not compile" in str(examine(box, ADD, check="def check(:").bad_tests)
    assert "helpers do not run: NameError" in str(examine(box, ADD, "assert True", helpers="nothing").bad_tests)


def test_tests_in_the_programs_own_process(box):
    code = "async def add(a, b):\n    return a + b\n"
    case = "import asyncio\nassert asyncio.run(add(1, 2)) == 3"
    assert not examine(box, code, case).passed
    assert examine(box, code, case, apart=False).passed
    assert not examine(box, code, case.replace("3", "4"), apart=False).passed


# ---- programs that want to pass without being right ------------------------------------------------------------------

FRAME = (
    "import json, os, struct\n"
    "def send(message, fd):\n"
    "    body = json.dumps(message).encode()\n"
    "    os.write(fd, struct.pack('>I', len(body)) + body)\n"
)
LOOKS = "def wanted(v):\n    return type(v) is int and 1000 < v < 10**6 and v * v % 1000003 == 4623\n"  # and 31337 stands nowhere in it
CHEATS = {
    "exit": "import sys; sys.exit(0)",
    "exit at the call": "import sys\ndef add(a, b):\n    sys.exit(0)",
    "hard exit": "import os; os._exit(0)",
    "hard exit at the call": "import os\ndef add(a, b):\n    os._exit(0)",
    "raise SystemExit": "raise SystemExit",
    "exit from a thread": "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\nimport time; time.sleep(60)",
    "equal to everything": "class Any(int):\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n    __hash__ = None\ndef add(a, b):\n    return Any(0)",
    "equal object": "class Any:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\ndef add(a, b):\n    return Any()",
    "equal to everything in a list": "class Any:\n    def __eq__(self, o): return True\ndef add(a, b):\n    return [Any()]",
    "patched assertion": "import builtins\nclass Quiet(Exception):\n    pass\nbuiltins.AssertionError = Quiet\nAssertionError = Quiet\ndef add(a, b):\n    return 0",
    "raised assertion": "def add(a, b):\n    raise AssertionError",
    "printed markers": "def add(a, b):\n    print('passed', 'OK', '{\"done\": true}', '{\"test\": 0, \"passed\": true}')\n    return 0",
    "patched equality of int": "import ctypes\ndef add(a, b):\n    return 0\n",
    "frames": LOOKS
    + "import sys\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n        for value in [*frame.f_locals.values(), *frame.f_code.co_consts]:\n            if wanted(value):\n                return value\n        frame = frame.f_back\n    return 0",
    "all objects": LOOKS
    + "import gc\ndef add(a, b):\n    for thing in gc.get_objects():\n        if isinstance(thing, (list, tuple)):\n            for value in thing:\n                if wanted(value):\n                    return value\n    return 0",
    "own memory": LOOKS
    + "import re\ndef add(a, b):\n    for line in open('/proc/self/maps'):\n        match = re.match(r'([0-9a-f]+)-([0-9a-f]+) rw', line)\n        if match:\n            start, end = (int(x, 16) for x in match.groups())\n            with open('/proc/self/mem', 'rb') as memory:\n                try:\n                    memory.seek(start)\n                    for found in re.findall(rb'add\\(1, 2\\) == (\\d+)', memory.read(end - start)):\n                        if wanted(int(found)):\n                            return int(found)\n                except (OSError, ValueError):\n                    pass\n    return 0",
    "answer before the question": FRAME
    + "for fd in range(3, 400):\n    for message in (['value', '0' * 16, 31337], ['value', None, 31337]):\n        try:\n            send(message, fd)\n        except OSError:\n            pass\ndef add(a, b):\n    return 0",
    "report through every descriptor": 'import os\nfor fd in range(400):\n    for _ in range(3):\n        try:\n            os.write(fd, b\'{"test": 0, "passed": true}\\n{"done": true}\\n\')\n        except OSError:\n            pass\ndef add(a, b):\n    return 31337 * 0',
    "reach for modules of the tests": FRAME
    + "def add(a, b):\n    for fd in range(3, 400):\n        for target in (['module', 'os'], ['type', 'type'], ['module', 'builtins']):\n            try:\n                send(['ask', 'x', 'getattr', [target, '_exit']], fd)\n                send(['ask', 'x', 'call', [target, [], {}]], fd)\n            except OSError:\n                pass\n    return 0",
    "garbage to every descriptor": "import os\ndef add(a, b):\n    for fd in range(3, 400):\n        try:\n            os.write(fd, os.urandom(4096))\n        except OSError:\n            pass\n    return 0",
    "deep answer": FRAME + "def add(a, b):\n    x = []\n    for _ in range(100000):\n        x = [x]\n    return x",
    "cycle": "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
    "huge answer": "def add(a, b):\n    return 'x' * (200 * 2**20)",
    "close every descriptor": "import os\ndef add(a, b):\n    os.closerange(0, 400)\n    return 0",
    "kill everybody else": "import os, signal\ndef add(a, b):\n    for target in (os.getppid(), 1, -1):\n        try:\n            os.kill(target, signal.SIGKILL)\n        except OSError:\n            pass\n    return 0",
    "fork and answer twice": "import os\ndef add(a, b):\n    os.fork()\n    return 0",
    "lying container": "class Sly(list):\n    def __eq__(self, o): return True\n    def __contains__(self, o): return True\ndef add(a, b):\n    return Sly()",
    "replace json": "import json, sys\nfor m in list(sys.modules.values()):\n    if hasattr(m, 'dumps'):\n        m.dumps = lambda *a, **k: '[\"value\", \"x\", 31337]'\ndef add(a, b):\n    return 0",
}
UNSAFE_WITHOUT_ISOLATION = {"kill everybody else"}


@pytest.mark.parametrize("name", CHEATS)
def test_cheats_do_not_pass(either, name):
    if name in UNSAFE_WITHOUT_ISOLATION and not either.isolated:
        return  # it would kill processes of this machine
    limits = Limits(seconds=5, memory_mb=512, processes=8, file_mb=8, output_kb=64)
    report = examine(either, CHEATS[name], "assert add(1, 2) == 31337", "assert 31337 in [add(1, 2)]", limits=limits)
    assert not report.passed, report
    assert report.share < 1
    assert report.result.status != "lost", report
    assert report.bad_tests is None
    assert examine(either, ADD, "assert add(1, 2) == 3").passed  # and the worker is as good as before


@pytest.mark.parametrize("name", ["frames", "own memory", "equal object"])
def test_these_cheats_do_work_on_tests_in_their_own_process(box, name):
    assert examine(box, CHEATS[name], "assert add(1, 2) == 31337", apart=False).passed


@pytest.mark.parametrize(
    "name", ["exit", "exit at the call", "hard exit", "printed markers", "answer before the question"]
)
def test_these_cheats_do_not_work_even_there(box, name):
    assert not examine(box, CHEATS[name], "assert add(1, 2) == 31337", apart=False).passed


def test_a_cheat_gains_no_share_of_tests_it_never_reached(box):
    check = "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 5\n    assert candidate(2, 2) == 6\n"
    code = "import os\ncalls = []\ndef add(a, b):\n    calls.append(a)\n    if len(calls) > 1:\n        os._exit(0)\n    return a + b\n"
    report = examine(box, code, check=check, entry_point="add", split=True)
    assert not report.finished
    assert (report.share, report.count) == (1 / 3, 3)


def test_time_runs_out_in_the_middle(box):
    code = "def add(a, b):\n    while a == 2:\n        pass\n    return a + b\n"
    report = examine(
        box, code, "assert add(1, 2) == 3", "assert add(2, 2) == 4", "assert add(3, 2) == 5", limits=Limits(seconds=0.5)
    )
    assert report.result.status == "timeout"
    assert (report.passed, report.finished, report.share) == (False, False, 1 / 3)
