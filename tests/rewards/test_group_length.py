from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.rewards import EmbeddingReward, GroupLength
from rewardlab.rewards.verifiers.group_length import length_penalties
from rewardlab.types import Status, Task, Trajectory


@rl.reward
def right(completion: str) -> float | None:
    return None if completion.startswith("?") else float(completion.startswith("r"))


def group(*texts: str, name: str = "g") -> list[Trajectory]:
    return [Trajectory.from_text("q", text, group=name) for text in texts]


def test_wrong_answers_that_are_shorter_than_right_ones_pay_by_hand() -> None:
    penalty = GroupLength(right=right, unit="characters", p_max=0.5, tolerance=0.2)
    # right answers have 10 and 6 characters: 8 on average
    scores = penalty(group("r" * 10, "r" * 6, "w" * 4, "w" * 7, "w" * 20, ""))
    assert scores.values.tolist() == [0.0, 0.0, -0.5 * 4 / 8, 0.0, 0.0, -0.5]


def test_the_mirror_mode_and_a_fixed_length() -> None:
    batch = group("r" * 4, "r" * 16, "w" * 2)
    mirror = GroupLength(right=right, unit="characters", mode="long_correct")(batch)
    assert mirror.values.tolist() == [0.0, -0.5 * 6 / 10, 0.0]
    both = GroupLength(right=right, unit="characters", mode="both", reference="median")(batch)
    assert both.values.tolist() == [0.0, -0.3, -0.5 * 0.8]
    fixed = GroupLength(right=right, unit="characters", reference=10)(group("w" * 5, "w" * 9))
    assert fixed.values.tolist() == [-0.25, 0.0]


def test_groups_are_apart_and_one_without_a_right_answer_pays_nothing() -> None:
    penalty = GroupLength(right=right, unit="characters")
    scores = penalty([*group("r" * 10, "w"), *group("w", "w" * 10, name="other")])
    assert scores.values.tolist() == [0.0, -0.5 * 0.9, 0.0, 0.0]
    assert penalty.group_wise


def test_empty_right_answers_and_answers_that_nobody_judged() -> None:
    assert length_penalties(np.array([0.0, 0.0]), np.array([True, False])).tolist() == [0.0, 0.0]
    scores = GroupLength(right=right, unit="characters")(group("r" * 10, "?", "w"))
    assert scores.status.tolist() == [Status.SCORED, Status.ABSTAINED, Status.SCORED]
    assert scores.values[2] == pytest.approx(-0.45)
    tokens = GroupLength(right=right)(group("r"))
    assert "the trajectory has no tokens" in str(tokens.note(0))


@given(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=10),
    st.floats(0.1, 2),
    st.floats(0, 0.9),
)
def test_penalties_stay_in_their_range_and_right_short_answers_never_pay(
    members: list[tuple[int, bool]], p_max: float, tolerance: float
) -> None:
    lengths, is_right = np.array([float(length) for length, _ in members]), np.array([flag for _, flag in members])
    found = length_penalties(lengths, is_right, p_max=p_max, tolerance=tolerance)
    assert ((found <= 0) & (found >= -p_max)).all()
    assert (found[is_right] == 0).all()


def test_options_out_of_range() -> None:
    with pytest.raises(ValueError, match="option 'p_max' must be positive, got -1.0; it is taken off"):
        GroupLength(right=right, p_max=-1.0)
    with pytest.raises(ValueError, match=r"option 'tolerance' must be in \[0, 1\), got 1.0"):
        GroupLength(right=right, tolerance=1.0)
    with pytest.raises(ValueError, match="option 'reference' must be at least 1, got 0"):
        GroupLength(right=right, reference=0)


# ---- embeddings -------------------------------------------------------------------------------------------------------------


def letters(texts: list[str]) -> np.ndarray:
    """A text as its counts of a, b and c."""
    return np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=float)


def referenced(text: str, reference: object) -> Trajectory:
    task = Task(id="open-1", prompt=[{"role": "user", "content": "?"}], reference=reference)
    return Trajectory.from_text("?", text, task=task)


def test_the_best_cosine_over_several_references() -> None:
    reward = EmbeddingReward(encoder=letters, least_words=0)
    scores = reward([referenced("aa", "a"), referenced("b", "a"), referenced("c", ["a", "ccc"]), referenced("x", "a")])
    assert scores.values.tolist() == pytest.approx([1.0, 0.5, 1.0, 0.5])
    assert EmbeddingReward(encoder=letters, least_words=0, scale="cosine")([referenced("b", "a")]).values == [0.0]


def test_an_open_task_without_a_reference_is_named() -> None:
    scores = EmbeddingReward(encoder=letters, least_words=0)([referenced("a", None), referenced("a", ["a", ""])])
    assert scores.failed.all()
    assert scores.note(0) == "task 'open-1' has the reference None, expected a text, or a list of acceptable texts"


def test_short_references_are_warned_of_and_missing_answers_are_worth_the_least() -> None:
    with pytest.warns(UserWarning, match=r"1 references have fewer than 3 words \(such as 'a'\)"):
        EmbeddingReward(encoder=letters)([referenced("a", "a")])
    tagged = EmbeddingReward(encoder=letters, where="tag", least_words=0)
    assert tagged([referenced("no tag", "a"), referenced("<answer>a</answer>", "a")]).values.tolist() == [0.0, 1.0]


def test_encoders_of_the_library_and_wrong_ones() -> None:
    from rewardlab.recipes.piece_encoder import PieceEncoder

    encoder = PieceEncoder(["q"], ["a", "b"], hidden=(4,), seed=1)
    values = EmbeddingReward(encoder=encoder, least_words=0)([referenced("a", "a"), referenced("a", "b")]).values
    assert values[0] == pytest.approx(1.0)
    assert values[1] < 1.0
    with pytest.raises(TypeError, match="encoder must be an encoder, its spec, or a function of texts, got a int"):
        EmbeddingReward(encoder=3, least_words=0)([referenced("a", "a")])
    with pytest.raises(ValueError, match=r"gave an array of shape \(2,\) for 2 texts, expected \(texts, width\)"):
        EmbeddingReward(encoder=lambda texts: [1.0] * len(texts), least_words=0)([referenced("a", "b")])
