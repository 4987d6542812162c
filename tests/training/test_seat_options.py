"""Options of credit rules and objectives that are out of range: the message names the option, the value and what fits."""

from __future__ import annotations

import math

import pytest

from rewardlab.training.credit import CREDITS
from rewardlab.training.objectives import OBJECTIVES
from rewardlab.training.seats import build_seat

WRONG_CREDIT = [
    ({"type": "group", "epsilon": -1.0}, "epsilon is added to a deviation, .* not negative, got -1"),
    ({"type": "leave_one_out", "ddof": 2}, r"ddof must be 0 \(divide by n\) or 1 \(divide by n - 1\), got 2"),
    ({"type": "batch", "epsilon": math.nan}, "must be finite and not negative, got nan"),
    ({"type": "best", "keep": 0}, "keep must be at least 1, got 0"),
    ({"type": "extremes", "keep": 0}, "keep must be at least 1, or None for the whole group, got 0"),
    ({"type": "threshold", "at_least": math.nan}, "at_least must be a number .* got nan"),
    ({"type": "threshold", "most": 0}, "most must be at least 1, or None for all, got 0"),
    ({"type": "gae", "hidden": -1}, "hidden must be 0 for a linear head, or its width, got -1"),
    ({"type": "gae", "smoothing": 2.0}, r"smoothing must be in \[0, 1\], got 2"),
    ({"type": "return_to_go", "discount": -0.1}, r"discount must be in \[0, 1\], got -0.1"),
    ({"type": "turn_rewards", "baseline": "turns"}, "baseline must be .*turn_index.* got 'turns'"),
    ({"type": "redistributed", "how": "evenly"}, "how must be .*proportional.* got 'evenly'"),
    ({"type": "potential_based", "potential": "state"}, 'potential must be "info.NAME" or a function'),
    ({"type": "anchor_states", "step_weight": math.inf}, "step_weight must be finite, got inf"),
    ({"type": "episode_plus_step", "step_weight": math.nan}, "step_weight must be finite, got nan"),
    (
        {"type": "duration_aware", "base": 3},
        'base must be "outcome", the name or spec of a credit rule, or a rule, got 3',
    ),
    ({"type": "duration_aware", "clip": 0.5}, "clip must be at least 1, got 0.5"),
    ({"type": "reward_rate", "rate": math.nan}, "rate must be finite, got nan"),
    ({"type": "reward_rate", "momentum": 2.0}, r"momentum must be in \[0, 1\], got 2"),
]
WRONG_OBJECTIVES = [
    ({"type": "ppo", "entropy_coefficient": -1.0}, "entropy_coefficient must be finite and not negative, got -1"),
    ({"type": "ppo", "kl_horizon": 0.0}, "kl_horizon must be a positive number of trajectories, got 0"),
    ({"type": "ppo", "kl_in": "nowhere"}, "kl_in must be one of loss, reward, got 'nowhere'"),
    ({"type": "ppo", "value_clip": 0.0}, "value_clip must be positive, or None for no limit, got 0"),
    ({"type": "ppo", "kl_target": 0.1}, "kl_target moves kl_coefficient, which must not begin at 0"),
    ({"type": "step_grpo", "clip_high": math.nan}, "clip_high must not be negative, got nan"),
    ({"type": "step_rloo", "level": "word"}, "level must be one of token, step, .* got 'word'"),
    ({"type": "grpo", "constant": 0}, "constant must be a positive length, got 0"),
    ({"type": "awr", "beta": 0.0}, "beta and limit must be positive, got 0"),
    ({"type": "dpo", "beta": 0.0}, "beta must be .*positive.* got 0"),
    ({"type": "rejection_sampling", "learning_rate": -1.0}, "learning_rate must be finite and not negative, got -1"),
]


@pytest.mark.parametrize(
    ("spec", "message"), WRONG_CREDIT, ids=lambda value: value.get("type") if isinstance(value, dict) else None
)
def test_credit(spec, message):
    with pytest.raises(ValueError, match=message):
        build_seat(spec, CREDITS)


@pytest.mark.parametrize(
    ("spec", "message"), WRONG_OBJECTIVES, ids=lambda value: value.get("type") if isinstance(value, dict) else None
)
def test_objectives(spec, message):
    with pytest.raises(ValueError, match=message):
        build_seat(spec, OBJECTIVES)


def test_every_rule_is_tried():
    assert {spec["type"] for spec, _ in WRONG_CREDIT} == set(CREDITS)
