"""Comparisons and rankings: what counts as right, drawn, tied, undecided; strata; benchmarks; people."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.functional import krippendorff_alpha
from rewardlab.learning.data import PreferenceData, RankingData
from rewardlab.learning.evaluation.baselines import ResponseLength
from rewardlab.learning.evaluation.benchmarks import REWARD_BENCH
from rewardlab.types import Preference
from tests.learning.evaluation.told import Told, item


def pairs(*rows, **columns) -> PreferenceData:
    """Rows of (value of first, value of second, label), each with a prompt of its own."""
    items, labels = [], []
    for number, (first, second, label) in enumerate(rows):
        items += [item(first, prompt=f"q{number}", text="one"), item(second, prompt=f"q{number}", text="two")]
        labels.append(label)
    places = np.arange(0, len(items), 2)
    return PreferenceData(items=items, first=places, second=places + 1, label=np.asarray(labels), **columns)


def test_right_wrong_drawn_tied_abstained_and_failed_are_told_apart() -> None:
    found = rl.evaluate(
        Told(),
        pairs((2, 1, 1.0), (2, 1, 0.0), (1, 1, 1.0), (5, 1, 0.5), (None, 1, 1.0), (1, "broken", 0.0), (3, 1, 0.8)),
    )
    assert found.main.value == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert found.main.rows == 4
    assert found.counts == {
        "rows": 7, "decided": 5, "abstained": 1, "failed": 1, "labelled ties": 1, "drawn": 1,
    }  # fmt: skip
    assert set(found.reasons) == {("abstained", "nothing to say", 1), ("failed", "it broke", 1)}
    assert found.calibration is None  # differences of a verifier are no log-odds
    assert "nothing to say" in str(found)


def test_a_margin_lets_the_reward_say_tie() -> None:
    data = pairs((2, 1, 1.0), (1.1, 1, 0.5), (2, 1, 0.5), (1.1, 1, 1.0))
    found = rl.evaluate(Told(), data, tie_margin=0.2)
    assert found["accuracy"].value == 1.0
    assert found["accuracy with ties"].value == 0.5
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        rl.evaluate(Told(), data, tie_margin=-1)


def test_weights_of_comparisons_count() -> None:
    found = rl.evaluate(Told(), pairs((2, 1, 1.0), (2, 1, 0.0), weight=np.asarray([3.0, 1.0])))
    assert found.main.value == 0.75


def test_accuracy_is_that_of_the_turned_comparison_too() -> None:
    data = pairs((2, 1, 1.0), (2, 1, 0.0), (3, 1, 0.9))
    turned = PreferenceData(items=data.items, first=data.second, second=data.first, label=1 - data.label)
    assert rl.evaluate(Told(), data).main == rl.evaluate(Told(), turned).main


def test_strata_by_metadata_annotator_and_length() -> None:
    rows = [(2, 1, 1.0), (2, 1, 0.0), (2, 1, 1.0), (2, 1, 0.5)]
    data = pairs(*rows, annotators=["ann", "bob", "ann", None], metadata=[{"set": "a"}, {"set": "a"}, {"set": "b"}, {}])
    found = rl.evaluate(Told(), data, ["set", "annotator"])
    assert {level: one["accuracy"].value for level, one in found.strata["set"].items()} == {"a": 0.5, "b": 1.0}
    assert {level: one["accuracy"].rows for level, one in found.strata["annotator"].items()} == {"ann": 2, "bob": 1}
    long = PreferenceData.from_preferences(
        [
            Preference(chosen=item(1, text="x" * 20), rejected=item(0, text="y")),
            Preference(chosen=item(1, text="x"), rejected=item(0, text="y" * 20)),
            Preference(chosen=item(1, text="x" * 99), rejected=item(0, text="y" * 98)),
        ]
    )
    levels = rl.evaluate(ResponseLength(), long, "length").strata["length"]
    assert {level: one["accuracy"].value for level, one in levels.items()} == {
        "better is longer": 1.0, "better is shorter": 0.0, "about as long": 1.0,
    }  # fmt: skip
    with pytest.raises(ValueError, match="no row has a column 'sett'.*set"):
        rl.evaluate(Told(), data, "sett")


def test_numbers_with_many_values_are_put_into_quarters_in_order() -> None:
    data = pairs(*[(2, 1, float(n < 20)) for n in range(40)], metadata=[{"n": n} for n in range(40)])
    levels = rl.evaluate(Told(), data, "n").strata["n"]
    assert [one["accuracy"].value for one in levels.values()] == [1.0, 1.0, 0.0, 0.0]
    assert next(iter(levels)).startswith("up to")
    data.metadata = [{"id": f"row {n % 40}/{n}"} for n in range(40)]
    assert len(rl.evaluate(Told(), data, "id").strata["id"]) == 40
    many = pairs(*[(2, 1, 1.0)] * 201, metadata=[{"id": f"row {n}"} for n in range(201)])
    with pytest.raises(ValueError, match="the column 'id' has 201 different values, too many"):
        rl.evaluate(Told(), many, "id")


def test_one_against_several_has_a_best_of_n() -> None:
    rows = [
        {"prompt": "a", "chosen": "3", "rejected": ["1", "2"]},
        {"prompt": "b", "chosen": "2", "rejected": ["1", "4"]},
        {"prompt": "c", "chosen": "2", "rejected": ["2.0", "1"]},
    ]

    @rl.reward
    def number(completion: str) -> float:
        """The number that was answered."""
        return float(completion)

    found = rl.evaluate(number, rl.read_preferences(rows))
    assert found["best of n"].value == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["accuracy"].value == pytest.approx((2 + 1 + 1.5) / 6)


@pytest.mark.parametrize(
    ("values", "best", "score"), [((3, 2, 1), 1.0, 1.0), ((2, 3, 1), 0.0, 0.5), ((2, 2, 1), 0.5, 0.75)]
)
def test_rankings_by_hand(values, best, score) -> None:
    data = RankingData(items=[item(value, text=str(n)) for n, value in enumerate(values)], rankings=[np.arange(3)])
    found = rl.evaluate(Told(), data)
    assert found.headline == "best of n"
    assert found["best of n"].value == best
    assert found["score of the pick"].value == score
    pairs_right = np.mean([0.5 + 0.5 * np.sign(a - b) for a, b in itertools.combinations(values, 2)])
    assert found["pairs"].value == pytest.approx(pairs_right)


def test_ties_in_rankings_share_the_first_place() -> None:
    items = [item(value, text=str(value)) for value in (1, 3, 2)]
    data = RankingData(items=items, rankings=[np.arange(3)], ties=[np.asarray([True, False])])
    found = rl.evaluate(Told(), data)
    assert found["best of n"].value == 1.0  # the second is as good as the first
    assert found["score of the pick"].value == 0.75
    assert found["pairs"].value == 0.5
    broken = RankingData(items=[*items, item("broken")], rankings=[np.arange(3), np.asarray([0, 3])])
    assert rl.evaluate(Told(), broken).counts["failed"] == 1


def test_reward_bench_sections_weigh_subsets_by_published_size() -> None:
    told = {"math-prm": (1, 0), "hep-cpp": (0, 1), "hep-rust": (1, 1), "donotanswer": (1, 1), "mt-bench-hard": (0,)}
    rows, subsets = [], []
    for subset, outcomes in told.items():
        for right in outcomes:
            rows.append((2, 1, float(right)))
            subsets.append({"subset": subset})
    found = rl.evaluate(Told(), pairs(*rows, metadata=subsets))
    reasoning = (984 * 0.5 + 164 * 0.5 + 164 * 1.0) / (984 + 2 * 164)
    assert found.benchmark["Reasoning"].value == pytest.approx(reasoning)
    assert found.benchmark["RewardBench score"].value == pytest.approx((reasoning + 1.0 + 0.0) / 3)
    assert any("section Chat has no rows" in note for note in found.benchmark_notes)
    assert any("Reasoning lacks hep-go" in note for note in found.benchmark_notes)
    assert sum(REWARD_BENCH["Reasoning"].values()) == 2 * 984


def test_rm_bench_levels_are_the_triangles_of_the_table() -> None:
    rows = [
        {"prompt": f"q{n}", "chosen": ["aa", "aaaa", "aaaaaa"], "rejected": ["b", "bbb", "bbbbb"], "part": part}
        for n, part in enumerate(["chat", "safety-refuse", "safety-response"])
    ]
    found = rl.evaluate(ResponseLength(), rl.read_preferences(rows))
    levels = {level: found.benchmark[level].value for level in ("easy", "normal", "hard")}
    assert levels == {"easy": 1.0, "normal": 1.0, "hard": 0.0}
    assert found.benchmark["average of levels"].value == pytest.approx(2 / 3)
    assert found.benchmark["domain safety"].rows == 18
    assert any("no rows of the domain math, code" in note for note in found.benchmark_notes)


def test_agreement_with_people_beside_people_among_themselves() -> None:
    told = {"ann": [1, 1, 0, 1, 0.5], "bob": [1, 0, 0, 1, 1], "cat": [1, 1, 1, 0, 1]}
    says = [1, 1, 0, 0, 1]  # what the reward prefers
    rows, who, about = [], [], []
    for name, labels in told.items():
        for number, label in enumerate(labels):
            rows.append((says[number], 0.5, float(label)))
            who.append(name)
            about.append({"comparison": number})
    found = rl.evaluate(Told(), pairs(*rows, annotators=who, metadata=about)).agreement
    assert found is not None
    assert found.comparisons == 5
    assert found.alpha == pytest.approx(krippendorff_alpha([told[name] for name in sorted(told)]))
    assert found.pairwise == pytest.approx(
        np.mean([told[a][n] == told[b][n] for n in range(5) for a, b in itertools.combinations(told, 2)])
    )
    assert found.annotators["ann"].rows == 4
    assert found.annotators["ann"].reward.value == pytest.approx(3 / 4)
    assert found.majority.value == pytest.approx(4 / 5)
    # the others of bob: ann and cat agree on 0, 1 and, ann tied, 4; they differ on 2 and 3
    assert found.annotators["bob"].others.rows == 3
    assert found.annotators["bob"].others.value == pytest.approx(2 / 3)


def test_a_pair_that_is_judged_the_other_way_round_is_the_same_comparison() -> None:
    one, other = item(2, text="one"), item(1, text="two")
    data = PreferenceData(
        items=[one, other],
        first=np.asarray([0, 1]),
        second=np.asarray([1, 0]),
        label=np.asarray([1.0, 0.0]),
        annotators=["a", "b"],
    )
    found = rl.evaluate(Told(), data).agreement
    assert found is not None
    assert found.pairwise == 1.0
    assert math.isnan(found.alpha)  # one category alone
    assert found.majority.value == 1.0
    data.annotators = ["a", "a"]
    assert rl.evaluate(Told(), data).agreement is None


def test_wrong_input_is_named() -> None:
    with pytest.raises(TypeError, match="expected a reward or the name of one, got a int"):
        rl.evaluate(3, pairs((1, 2, 1.0)))
    with pytest.raises(ValueError, match="no rows to evaluate on"):
        rl.evaluate(Told(), pairs((1, 2, 1.0)).select([]))
    with pytest.raises(ValueError, match="own_users needs comparisons and a learned model"):
        rl.evaluate(Told(), pairs((1, 2, 1.0)), own_users=True)
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        rl.evaluate(Told(), pairs((1, 2, 1.0)), bins=0)


def test_what_is_written_is_strict_json() -> None:
    import json

    data = pairs((2, 1, 1.0), annotators=["a"], metadata=[{"subset": "hep-go"}])
    found = json.loads(rl.evaluate(Told(), data, "subset").to_json(), parse_constant=lambda name: pytest.fail(name))
    assert found["measures"]["accuracy"]["low"] is None
    assert found["by"]["subset"]["hep-go"]["accuracy"]["value"] == 1.0
