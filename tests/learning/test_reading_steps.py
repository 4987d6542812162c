"""Reading labels of single steps, in every layout."""

from __future__ import annotations

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.learning import UnclearLayout
from tests.learning.reading_rows import asked

# ---- labels of steps ------------------------------------------------------------------------------------------------------


def test_steps_in_every_layout() -> None:
    steps = ["one", "two", "three"]
    layouts = [
        ({"input": "q", "steps": steps, "mistake_index": 1}, [1, 0, np.nan]),
        ({"input": "q", "steps": steps, "mistake_index": None}, [1, 1, 1]),
        (
            {"question": "q", "model_output_steps": steps, "model_output_solution_first_error_step": 3},
            [1, 1, 0],
        ),
        (
            {"question": "q", "model_output_steps": steps, "model_output_solution_first_error_step": "N/A"},
            [1, 1, 1],
        ),
        ({"problem": "q", "steps": steps, "label": -1}, [1, 1, 1]),
        ({"problem": "q", "steps": steps, "label": 0}, [0, np.nan, np.nan]),
        ({"prompt": "q", "completions": steps, "labels": [True, False, True]}, [1, 0, 1]),
        ({"prompt": "q", "steps": steps, "step_labels": ["+", "-", None]}, [1, 0, np.nan]),
        ({"prompt": "q", "steps": steps, "step_labels": [0.25, 1, -1]}, [0.25, 1, 0]),
    ]
    for row, expected in layouts:
        data = rl.read_step_labels([row])
        np.testing.assert_array_equal(data.labels[0], expected, err_msg=data.layout)
        assert [action["content"] for action in data.items[0].actions] == steps
        assert asked(data)[0]["content"] == "q"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"steps": ["a", "b"], "step_labels": [1]}, "must be a list with an entry for each of the 2"),
        ({"steps": ["a", ""], "step_labels": [1, 1]}, "'steps'\\[1\\] must be a text that is not empty"),
        ({"steps": [], "step_labels": []}, "must be a list of texts, got \\[\\]"),
        ({"steps": ["a"], "step_labels": [None]}, "holds no label"),
        ({"steps": ["a"], "step_labels": [3]}, "must be in \\[0, 1\\], got 3"),
    ],
)
def test_a_bad_row_of_steps_is_set_aside(row, message) -> None:
    good = {"steps": ["a"], "step_labels": [1]}
    with pytest.warns(UserWarning, match=message):
        data = rl.read_step_labels([good, row])
    assert len(data) == 1


def test_a_first_error_beyond_the_steps_is_set_aside() -> None:
    rows = [{"steps": ["a"], "mistake_index": 0}, {"steps": ["a"], "mistake_index": 4}]
    with pytest.warns(UserWarning, match="'mistake_index' is 4, but there are 1 steps"):
        rl.read_step_labels(rows)
    with pytest.raises(UnclearLayout, match="no layout of step labels that is known"):
        rl.read_step_labels([{"steps": ["a"]}])
