from __future__ import annotations

import json

import numpy as np
import pytest

from rewardlab.functional.focus_region import positive_directions
from rewardlab.training.goal_sampler import GoalSampler


def test_goals_that_were_tried_in_vain_are_asked_for_less():
    draw = np.random.default_rng(0)
    sampler = GoalSampler(positive_directions(4, 2, draw))
    assert sampler.probabilities == pytest.approx([0.25] * 4)
    sampler.observe(np.array([0, 0, 1, 2]), np.array([False, False, True, False]))
    assert sampler.probabilities == pytest.approx(np.array([0.1, 1.0, 0.1, 1.0]) / 2.2)
    sampler.observe(np.array([0]), np.array([True]))  # reached once, it counts in full again
    assert sampler.probabilities == pytest.approx(np.array([1.0, 1.0, 0.1, 1.0]) / 3.1)
    assert np.bincount(sampler.sample(1000, draw), minlength=4)[2] < 80
    again = GoalSampler(sampler.goals)
    again.load_state_dict(json.loads(json.dumps(sampler.state_dict())))
    assert again.probabilities == pytest.approx(sampler.probabilities)


def test_bad_goals_are_named():
    with pytest.raises(ValueError, match="there are no goals"):
        GoalSampler(np.zeros((0, 2)))
    with pytest.raises(ValueError, match="a goal would never be tried again"):
        GoalSampler(np.ones((2, 2)), in_vain=0.0)
    with pytest.raises(ValueError, match="the state is that of 3 goals, and there are 2"):
        GoalSampler(np.ones((2, 2))).load_state_dict(GoalSampler(np.ones((3, 2))).state_dict())
