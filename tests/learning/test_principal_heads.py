"""Heads along principal directions, and rewards of prompts from logs."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier

from rewardlab.learning.principal_heads import PrincipalHeads, principal_heads
from rewardlab.learning.prompt_reward import Trial, best_prompt, prompt_reward

DRAW = np.random.default_rng(0)
SPREAD = DRAW.standard_normal((2000, 4)) * np.array([0.5, 3.0, 1.0, 0.1]) + 2.0


def test_heads_are_the_axes_along_which_differences_spread() -> None:
    heads = principal_heads(SPREAD, 2)
    assert np.abs(heads.directions) == pytest.approx(np.eye(4)[[1, 2]], abs=0.05)
    assert heads.spread == pytest.approx([3.0, 1.0], rel=0.1)
    assert heads.explained == pytest.approx(10 / 10.26, abs=0.02)
    assert heads.values(np.eye(4)).shape == (4, 2)


def test_a_few_labels_fix_signs_and_weights() -> None:
    heads = principal_heads(SPREAD, 3)
    taste = np.array([0.0, -1.0, 2.0, 0.0])
    rows = SPREAD[:60] - 2.0
    labels = (rows @ taste > 0).astype(float)
    assert (heads.signs(rows, labels) * heads.directions.sum(1))[:2] @ [1, 0] < 0
    likes = heads.weights(rows, labels) @ heads.directions
    held_out = SPREAD[100:] - 2.0
    assert np.mean((held_out @ likes > 0) == (held_out @ taste > 0)) > 0.9
    # which response stands first says nothing, so a user all of whose labels are 1 is no special case
    turned = rows * (2 * labels - 1)[:, None]
    assert heads.weights(turned, np.ones(60)) @ heads.directions == pytest.approx(likes)


def test_heads_are_saved_and_read(tmp_path) -> None:
    heads = principal_heads(SPREAD, 2)
    again = PrincipalHeads.load(heads.save(tmp_path / "heads.npz"))
    assert (again.directions == heads.directions).all()
    assert again.explained == heads.explained


def test_too_little_to_find_directions_in_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be between 1 and 3 for 3 pairs of 4 features, got 4"):
        principal_heads(SPREAD[:3], 4)
    with pytest.raises(ValueError, match="all pairs have the same difference"):
        principal_heads(np.ones((5, 2)), 1)
    with pytest.raises(ValueError, match="row 1 is not"):
        principal_heads([[0.0, 1.0], [np.inf, 0.0]], 1)
    heads = principal_heads(SPREAD, 2)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\], got 2"):
        heads.signs(SPREAD[:1], [2.0])
    with pytest.raises(ValueError, match="at least one"):
        heads.weights(np.zeros((0, 4)), [])


KINDS = {"sum": 0, "word": 1}


def embed(texts: list[str]) -> np.ndarray:
    """A toy embedding: what kind of query a text is or is good for, +1 or -1, and its length."""
    return np.array([[1.0 if "sum" in text else -1.0, len(text) / 20] for text in texts])


def log(count: int = 300, seed: int = 0) -> list[Trial]:
    draw = np.random.default_rng(seed)
    trials = []
    for number in range(count):
        query, prompt = (
            f"{draw.choice(['sum', 'word'])} {number % 60}",
            str(draw.choice(["step by step sum", "recall"])),
        )
        suits = ("sum" in query) == ("sum" in prompt)
        trials.append(Trial(query=query, prompt=prompt, right=float(draw.uniform() < (0.85 if suits else 0.2))))
    return trials


@pytest.mark.parametrize("estimator", [None, GradientBoostingClassifier(n_estimators=30, random_state=0)])
def test_the_prompt_that_suits_a_query_is_found_without_a_model(estimator) -> None:
    reward = prompt_reward(log(), embed, estimator)
    assert reward.held_out > 0.7
    for query, wanted in (("sum 1000", "count the sum"), ("word 1000", "memory")):  # prompts that were never tried
        assert best_prompt(query, ["memory", "count the sum"], reward) == wanted
    assert reward(["sum 1"], []).shape == (1, 0)
    assert best_prompt("sum 1", ["recall", "recall"], reward) == "recall"


def test_prompts_that_were_always_right_are_kept_and_named() -> None:
    trials = [*log(), *(Trial(query=f"sum {number}", prompt="just answer", right=0.0) for number in range(20))]
    assert prompt_reward(trials, embed).certain == ("just answer",)


def test_a_log_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="the log is empty"):
        prompt_reward([], embed)
    with pytest.raises(ValueError, match=r"trial 0 has right=0.5, expected 0 or 1"):
        prompt_reward([Trial(query="q", prompt="p", right=0.5)], embed)
    with pytest.raises(ValueError, match="all 2 trials have the outcome 1"):
        prompt_reward([Trial(query="q", prompt=name, right=1.0) for name in "ab"], embed)
    with pytest.raises(ValueError, match=r"embed must return float\[\d+, feature\]"):
        prompt_reward(log(), lambda texts: np.zeros(len(texts)))
    with pytest.raises(ValueError, match="there are no prompts"):
        best_prompt("q", [], prompt_reward(log(), embed))
