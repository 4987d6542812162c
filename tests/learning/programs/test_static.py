from __future__ import annotations

import pytest

from rewardlab.learning.programs import check_source, schema_of
from tests.learning.programs.adapter import View, program

GOOD = "height = self.arm.height\nreward = -height\nif self.arm.touches(self.cube):\n    reward += 1.0\nreturn reward"


def problems(source: str, form: str = "scalar") -> list[tuple[str, int | None, str]]:
    return [(one.kind, one.line, one.message) for one in check_source(source, schema_of(View), form)]


def test_a_good_program_passes() -> None:
    assert problems(program(GOOD)) == []
    assert problems(program("arm, cube = self.arm, self.cube\nreturn arm.height * arm.touches(obj=cube)")) == []


@pytest.mark.parametrize(
    ("source", "kind", "line", "words"),
    [
        ("def compute_dense_reward(self, action:\n", "syntax", 1, "this is not Python"),
        ("class Reward:\n    pass\n", "signature", 1, "got the class Reward"),
        ("def reward(self, action):\n    return 0.0\n", "signature", 1, "the function is called reward, expected compute"),
        ("def compute_dense_reward(self):\n    return 0.0\n", "signature", 1, "expected def compute_dense_reward(self, action), got (self)"),
        (program("return 0.0") + "\ndef more():\n    return 0\n", "signature", 7, "exactly one function"),
        ("", "signature", None, "got none"),
        (program("return 0.0") + "print('done')\n", "signature", 6, "only imports, constants and one function"),
        (program("yield 1.0"), "signature", 4, "not yield"),
        (program("return 0.0", "import os\n"), "forbidden", 1, "may import numpy, math, scipy, and not 'os'"),
        (program("import time\nreturn time.time()"), "forbidden", 5, "and not 'time'"),
        (program("return np.random.rand()"), "forbidden", 5, "may not use .random"),
        (program("return 0.0", "from numpy.random import rand\n"), "forbidden", 1, "draws random numbers"),
        (program("return float(open('/etc/passwd').read())"), "forbidden", 5, "may not use open"),
        (program("return eval('1.0')"), "forbidden", 5, "may not use eval"),
        (program("exec('x = 1')\nreturn 1.0"), "forbidden", 5, "may not use exec"),
        (program("return getattr(self, 'arm').height"), "forbidden", 5, "may not use getattr"),
        (program("return np.load('weights.npy')"), "forbidden", 5, "may not use .load"),
        (program("return '{0.x}'.format(self)"), "forbidden", 5, "may not use .format"),
        (program("return self.__class__"), "forbidden", 5, "may not use .__class__"),
        (program("return __import__('os')"), "forbidden", 5, "may not use __import__"),
        (program("return self.cube._place"), "forbidden", 5, "may not use ._place"),
        (program("return self.arm.hight"), "unknown attribute", 5, "did you mean 'height'? It has height, touches"),
        (program("arm = self.arm\nreturn arm.speed"), "unknown attribute", 6, "arm is a Arm, which has no attribute 'speed'"),
        (program("return self.cube.pose.place.norm()"), "unknown attribute", 5, "is ndarray[(2,)], which has no attribute 'norm'"),
        (program("return self.arm.height()"), "wrong use", 5, "is float, not a function; leave the parentheses out"),
        (program("return 1.0 if self.arm.touches else 0.0"), "wrong use", 5, "call it: self.arm.touches(obj)"),
        (program("return self.arm.touches(self.arm)"), "wrong use", 5, "takes (obj: Cube), got self.arm"),
        (program("return self.cube - 1.0"), "wrong use", 5, "is a Cube, not a number; use one of its attributes: pose"),
        (program("return self.arm.height[0]"), "wrong use", 5, "is one number, and has no entries"),
        (program("return -math.pi"), "missing import", 5, "the name 'math' is not defined; add `import math`"),
        (program("self.arm.height = 1.0\nreturn 0.0"), "changes", 5, "it assigns self.arm.height"),
        (program("place = self.cube.pose.place\nplace -= 1.0\nreturn 0.0"), "changes", 6, "in place"),
        (program("self.cube.pose.place[0] = 1.0\nreturn 0.0"), "changes", 5, "it writes self.cube.pose.place[0]"),
        (program("global last\nlast = 1.0\nreturn last"), "changes", 5, "global keeps state between calls"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_kind_and_line(source: str, kind: str, line: int | None, words: str) -> None:
    found = problems(source)
    assert any((one[0], one[1] if line else None) == (kind, line) and words in one[2] for one in found), found
