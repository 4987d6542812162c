from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.learning.programs import ViewError, abstraction, check_source, check_view, schema_of
from rewardlab.learning.programs.views import view_values
from tests.learning.programs.adapter import View, program, states


def test_the_description_comes_from_hints_and_docstrings() -> None:
    text = abstraction(View)
    assert 'class View:\n    """A table."""\n    self.arm : Arm  # An arm.\n    self.cube : Cube  # A cube.\n' in text
    assert "self.height : float  # above the table" in text
    assert "def touches(self, obj: Cube) -> bool: ...  # whether it touches the object" in text
    assert "self.place : ndarray[(2,)]  # in metres" in text
    assert "_secret" not in text
    assert "self.place : ndarray[(N, 2)] of float" in abstraction(View, form="vectorised")
    assert rl.abstraction is abstraction


def test_values_are_those_of_the_real_object_and_methods_are_asked_about_every_object() -> None:
    observations, _ = states(5)
    values = view_values(schema_of(View), View(observations), 5)
    assert set(values) == {"arm.height", "arm.touches(cube)", "cube.pose.place"}
    np.testing.assert_array_equal(values["cube.pose.place"], observations[:, 1:])
    assert values["arm.touches(cube)"].dtype == bool


def test_an_object_and_what_it_holds_are_told_apart() -> None:
    """`self.cube.pose` and `self.cube` are looked up one by one, and never replaced as text."""
    schema = schema_of(View)
    assert check_source(program("return float(self.cube.pose.place[0])"), schema) == []
    (problem,) = check_source(program("return self.cube.place"), schema)
    assert "self.cube is a Cube, which has no attribute 'place'" in problem.message


def test_hints_that_cannot_be_read_are_named() -> None:
    class NoHint:
        @property
        def height(self):  # type: ignore[no-untyped-def]
            return 0.0

    class Asks:
        def near(self, distance: float) -> bool:
            return True

    with pytest.raises(ViewError, match=r"NoHint.height must be hinted with Scalar, Flag, .*got None"):
        schema_of(NoHint)
    with pytest.raises(ViewError, match=r"parameter 'distance' of Asks.near must be hinted with a class of the view"):
        schema_of(Asks)


def test_an_adapter_that_drifts_from_its_hints_is_refused() -> None:
    class Flat(View):
        def __init__(self, observation: Any) -> None:
            super().__init__(observation)
            self.arm._height = observation

    with pytest.raises(ViewError, match=r"arm.height of the view has shape \(4, 3\), but its hint says \(4,\) for 4"):
        check_view(Flat, states(4)[0], 4)
