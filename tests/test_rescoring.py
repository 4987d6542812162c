from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rescoring import RescoringRefused, rescore
from rewardlab.rewards.base import Abstention, Reward, Verdict, Verifier
from rewardlab.scoring import score
from rewardlab.scoring.ranks import average_ranks, inversions, kendall, spearman
from rewardlab.storage import write_trajectories
from rewardlab.types import Scores, Task, Trajectory


@dataclass(frozen=True, kw_only=True)
class Key(Verifier):
    """The number that the trajectory holds under a key; abstains where there is none."""

    key: str = "a"

    def verify(self, trajectory: Trajectory) -> Verdict:
        value = trajectory.info.get(self.key)
        if value is None:
            raise Abstention("no value")
        return Verdict(value=value, parts={f"half_{self.key}": value / 2})


@dataclass(frozen=True, kw_only=True)
class Dice(Key):
    @property
    def deterministic(self) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Door(Key):
    @property
    def needs_environment(self) -> bool:
        return True


@dataclass(frozen=True, kw_only=True)
class Outer(Reward):
    first: Reward
    second: Reward

    def children(self) -> dict[str, Reward]:
        return {"first": self.first, "second": self.second}

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        parts = {name: child(trajectories) for name, child in self.children().items()}
        return Scores(values=sum(part.values for part in parts.values()), parts=parts)


def sample(index: int, group: str | None, **values: float) -> Trajectory:
    prompt = [{"role": "user", "content": "q"}]
    messages = [*prompt, {"role": "assistant", "content": "a"}]
    return Trajectory.from_messages(messages, task=Task(id=f"t{index}", prompt=prompt), group=group, info=dict(values))


def samples(rows: list[tuple[str | None, float | None, float | None]]) -> list[Trajectory]:
    return [
        sample(index, group, **{key: value for key, value in (("a", a), ("b", b)) if value is not None})
        for index, (group, a, b) in enumerate(rows)
    ]


def test_a_comparison_worked_out_by_hand() -> None:
    rows = [
        ("x", 0.0, 1.0),  # x: means 0.5 and 0.5; signs -,+ against +,-: both change
        ("x", 1.0, 0.0),
        ("y", 1.0, 1.0),  # y: means 0.5 and 0.75; signs +,- against +,-: nothing changes
        ("y", 0.0, 0.5),
        ("z", 5.0, 5.0),  # alone: no advantage
        ("w", None, 1.0),  # abstained before
        ("w", 1.0, None),  # abstains now
    ]
    found = rescore(samples(rows), Key(key="a"), Key(key="b"))
    assert (found.count, found.both) == (7, 5)
    assert (found.baseline, found.compared, found.sign_changes) == ("group", 4, 2)
    assert found.sign_change_share == 0.5
    assert [entry.index for entry in found.changed] == [0, 1]
    assert (found.changed[0].old_advantage, found.changed[0].new_advantage) == (-0.5, 0.5)
    assert (found.groups_compared, found.best_changes) == (2, 1)
    assert found.status_changes == {
        ("abstained", "scored"): 1,
        ("scored", "abstained"): 1,
        ("scored", "scored"): 5,
    }
    # old values 0 1 1 0 5 have ranks 1.5 3.5 3.5 1.5 5, new values 1 0 1 .5 5 have ranks 3.5 1 3.5 2 5
    assert [entry.index for entry in found.movers] == [1, 0, 3]
    assert (found.movers[0].old_rank, found.movers[0].new_rank) == (2.5 / 4, 0.0)
    assert found.spearman == pytest.approx(np.corrcoef([1.5, 3.5, 3.5, 1.5, 5], [3.5, 1, 3.5, 2, 5])[0, 1])
    assert found.old_total.mean.value == pytest.approx(8 / 6)
    assert found.new_parts["half_b"].mean.value == pytest.approx(8.5 / 12)
    assert found.difference.value == pytest.approx(0.1)


def test_the_same_reward_changes_nothing() -> None:
    batch = samples([(f"g{index // 4}", float(index * 7 % 5), None) for index in range(40)])
    found = rescore(batch, Key(), Key())
    assert (found.spearman, found.kendall) == pytest.approx((1.0, 1.0))
    assert (found.sign_changes, found.best_changes, found.movers) == (0, 0, [])
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_the_opposite_reward_changes_every_sign() -> None:
    batch = samples([(f"g{index // 4}", float(index % 4), float(-(index % 4))) for index in range(40)])
    found = rescore(batch, Key(key="a"), Key(key="b"))
    assert (found.spearman, found.kendall) == pytest.approx((-1.0, -1.0))
    assert found.sign_change_share == 1.0
    assert found.best_changes == found.groups_compared == 10


def test_rounding_is_no_change_of_sign() -> None:
    batch = samples([("g", 0.1 + 0.2, 0.3), ("g", 0.3, 0.1 + 0.2), ("g", 0.3, 0.3)])
    assert rescore(batch, Key(key="a"), Key(key="b")).sign_changes == 0


def test_without_groups_the_mean_of_all_is_the_baseline() -> None:
    found = rescore(samples([(None, 0.0, 1.0), (None, 1.0, 0.0), (None, 1.0, 0.9)]), Key(key="a"), Key(key="b"))
    assert (found.baseline, found.compared, found.sign_changes, found.groups_compared) == ("all", 3, 2, 0)


@pytest.mark.parametrize("rows", [[], [("g", 1.0, None)], [("g", None, None), ("g", 1.0, None)], [(None, 1.0, 1.0)]])
def test_too_little_to_compare_gives_no_number(rows: list) -> None:
    found = rescore(samples(rows), Key(key="a"), Key(key="b"))
    assert math.isnan(found.spearman)
    assert math.isnan(found.kendall)
    assert found.sign_changes == 0
    said = json.loads(found.to_json())
    assert said["spearman"] is None
    assert said["sign_change_share"] is None
    assert "none to compare" in str(found)


def test_the_tables_and_the_json_say_it_all(tmp_path: Path) -> None:
    batch = samples([("x", 0.0, 1.0), ("x", 1.0, 0.0), ("y", 1.0, None)])
    found = rescore(batch, Key(key="a", name="before"), Key(key="b", name="after"))
    text = str(found)
    for word in (
        "old: before",
        "new: after",
        "half_b",
        "2 of 2 (100.0%)",
        "Kendall -1.0000",
        "1 of 1",
        "scored -> abstained: 1",
    ):
        assert word in text
    said = json.loads(found.to_json())
    assert said["old"]["reward"] == "before"
    assert said["new"]["abstained"] == 1
    assert said["changed"][0]["id"] == "t0"
    assert said["status_changes"][0] == {"old": "scored", "new": "abstained", "count": 1}


# ---- where the old scores come from ---------------------------------------------------------------------------------


def test_old_scores_may_come_from_anywhere(tmp_path: Path) -> None:
    rows = [(f"g{index // 3}", float(index * 5 % 7), float(index * 3 % 7)) for index in range(30)]
    batch = samples(rows)
    path = tmp_path / "batch.jsonl"
    write_trajectories(path, batch)
    (tmp_path / "a.yaml").write_text('{"type": "tests.test_rescoring:Key", "key": "a"}')
    score(Key(key="a"), path, tmp_path / "scores.jsonl")
    score(Key(key="a"), path, tmp_path / "scores.parquet")
    olds = [
        Key(key="a"),
        Key(key="a")(batch),
        tmp_path / "scores.jsonl",
        str(tmp_path / "scores.parquet"),
        tmp_path / "a.yaml",
    ]
    results = [rescore(path, old, Key(key="b"), batch_size=4).to_dict() for old in olds]
    for result in results:
        assert result["old"].pop("reward")
        assert result == results[0]
    assert results[0]["old"]["hash"] == Key(key="a").spec_hash


def test_rewards_recorded_in_the_trajectories() -> None:
    batch = samples([("g", 0.0, 1.0), ("g", 1.0, 0.0), ("g", 1.0, 0.0)])
    batch[0].rewards[0] = 2.0
    batch[1].rewards[0] = 1.0
    batch[0].info["rewards"] = {"style": 0.25}
    batch[1].info["rewards"] = {"style": float("nan")}
    found = rescore(batch, "recorded", Key())
    assert (found.old_label, found.both, found.old_total.abstained) == ("recorded", 2, 1)
    assert found.sign_changes == 2
    named = rescore(batch, "recorded:style", Key())
    assert (named.old_total.mean.value, named.old_total.abstained) == (0.25, 2)


def test_scores_of_other_trajectories_are_refused(tmp_path: Path) -> None:
    batch = samples([("g", float(index), 1.0) for index in range(6)])
    score(Key(), batch, tmp_path / "scores.jsonl")
    with pytest.raises(ValueError, match=r"number 0 was task 't0' .* is task 't1'"):
        rescore(batch[1:], tmp_path / "scores.jsonl", Key())
    with pytest.raises(ValueError, match="there are 6 old scores for 4 trajectories"):
        rescore(batch[:4], tmp_path / "scores.jsonl", Key())
    with pytest.raises(ValueError, match="there are 3 old scores, and more trajectories than that"):
        rescore(batch, Key()(batch[:3]), Key())


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_rewards_that_cannot_score_again_are_refused() -> None:
    batch = samples([("g", 1.0, 1.0), ("g", 0.0, 1.0)])
    hidden = Outer(first=Key(), second=Dice(name="dice"))
    for old, new, side in ((Key(), hidden, "new"), (hidden, Key(), "old")):
        with pytest.raises(RescoringRefused, match=rf"the {side} reward may score .* differently .*\(Outer\.dice\)"):
            rescore(batch, old, new)
    assert rescore(batch, Key(), hidden, allow_nondeterministic=True).count == 2
    assert rescore(batch, hidden(batch), Key()).count == 2, "scores that are there already are what they are"
    for allow in (False, True):
        with pytest.raises(RescoringRefused, match=r"Outer\.Door looks at a live environment"):
            rescore(batch, Key(), Outer(first=Key(), second=Door()), allow_nondeterministic=allow)


# ---- rank correlations ----------------------------------------------------------------------------------------------

columns = st.integers(0, 60).flatmap(
    lambda count: st.tuples(*[st.lists(st.integers(-4, 4), min_size=count, max_size=count) for _ in range(2)])
)


def slow_kendall(left: list[int], right: list[int]) -> float:
    concordant = discordant = left_free = right_free = 0
    for i in range(len(left)):
        for j in range(i):
            a, b = np.sign(left[i] - left[j]), np.sign(right[i] - right[j])
            concordant += a * b > 0
            discordant += a * b < 0
            left_free += a != 0
            right_free += b != 0
    return (concordant - discordant) / math.sqrt(left_free * right_free) if left_free * right_free else math.nan


@given(columns)
@settings(max_examples=200, deadline=None)
def test_kendall_is_what_counting_pairs_gives(pair: tuple[list[int], list[int]]) -> None:
    left, right = pair
    fast = kendall(np.array(left, dtype=float), np.array(right, dtype=float))
    assert fast == pytest.approx(slow_kendall(left, right), nan_ok=True)


@given(st.lists(st.integers(0, 30), max_size=100))
@settings(max_examples=200, deadline=None)
def test_inversions_are_what_counting_gives(ranks: list[int]) -> None:
    assert inversions(np.array(ranks, dtype=np.int64)) == sum(
        ranks[i] > ranks[j] for j in range(len(ranks)) for i in range(j)
    )


@given(columns)
@settings(max_examples=100, deadline=None)
def test_spearman_and_ranks_agree_with_pandas(pair: tuple[list[int], list[int]]) -> None:
    import pandas

    left, right = (np.array(column, dtype=float) for column in pair)
    assert np.array_equal(average_ranks(left), pandas.Series(left).rank().to_numpy())
    expected = pandas.DataFrame({"l": left, "r": right}).corr("spearman").iloc[0, 1]
    if len(set(pair[0])) < 2 or len(set(pair[1])) < 2:
        expected = math.nan
    assert spearman(left, right) == pytest.approx(expected, nan_ok=True)


def test_rank_correlations_want_finite_columns_of_one_length() -> None:
    with pytest.raises(ValueError, match="equal length"):
        kendall(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="finite"):
        spearman(np.array([0.0, np.nan]), np.zeros(2))
