"""The report on data, held against data whose flaws are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.functional.agreement import fleiss_kappa, krippendorff_alpha
from rewardlab.learning.data import PreferenceData, RankingData, RatingData, StepLabelData
from rewardlab.types import Preference, Trajectory


def pair(prompt: str, better: str, worse: str, **columns) -> Preference:
    return Preference(
        chosen=Trajectory.from_text(prompt, better), rejected=Trajectory.from_text(prompt, worse), **columns
    )


def report(*pairs: Preference):
    return PreferenceData.from_preferences(pairs).report()


def test_repeated_and_contradictory_rows_are_found_by_person() -> None:
    found = report(
        pair("q", "a", "b", annotator="x"),
        pair("q", "a", "b", annotator="x"),  # repeats
        pair("q", "b", "a", annotator="x"),  # contradicts
        pair("q", "b", "a", annotator="y"),  # another opinion
        pair("q", "a", "b", label=0.5, annotator="z"),
        pair("p", "a", "b", annotator="x"),  # the same texts, another prompt
    )
    assert found.duplicates.count == 1
    assert found.duplicates.examples == ["row 1 repeats row 0"]
    assert found.contradictions.count == 1
    assert found.contradictions.examples == ["row 0 and row 2"]
    assert (found.rows, found.prompts, found.items, found.annotators) == (6, 2, 4, 3)
    assert found.ties == pytest.approx(1 / 6)
    assert any("decided both ways" in note for note in found.notes)


def test_the_order_of_the_two_does_not_hide_a_repeat_or_a_contradiction() -> None:
    items = [Trajectory.from_text("q", text) for text in "ab"]
    data = PreferenceData(items=items, first=[0, 1, 1], second=[1, 0, 0], label=[1.0, 0.0, 1.0])
    found = data.report()
    assert (found.duplicates.count, found.contradictions.count) == (1, 1)


def test_circles_are_counted_among_triples_compared_all_round() -> None:
    round_one = [pair("q", "a", "b"), pair("q", "b", "c"), pair("q", "c", "a")]
    straight = [pair("p", "a", "b"), pair("p", "b", "c"), pair("p", "a", "c")]
    open_one = [pair("r", "a", "b"), pair("r", "b", "c")]
    found = report(*round_one, *straight, *open_one)
    assert found.circles == (2, 1)
    assert any("general_preference" in note for note in found.notes)
    assert report(*open_one).circles is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=30)
)
def test_longer_wins_is_what_plain_counting_gives(rows) -> None:
    items, first, second, label = [], [], [], []
    for number, (one, other, said) in enumerate(rows):
        items += [Trajectory.from_text(f"q{number}", "x" * one), Trajectory.from_text(f"q{number}", "y" * other)]
        first.append(2 * number)
        second.append(2 * number + 1)
        label.append(said)
    found = PreferenceData(items=items, first=first, second=second, label=label).report().length
    decided = [(a, b, said) for a, b, said in rows if said != 0.5]
    if not decided:
        assert found is None
        return
    apart = [(a > b) == (said == 1.0) for a, b, said in decided if a != b]
    assert (found.compared, found.equal) == (len(apart), len(decided) - len(apart))
    if apart:
        assert found.longer_wins.value == pytest.approx(np.mean(apart))
        assert sum(count for _, _, count, _ in found.by_ratio) == len(apart)
    better = [(a if said else b) - (b if said else a) for a, b, said in decided]
    assert found.difference.value == pytest.approx(np.mean(better))


def test_three_voices_on_one_pair_are_one_comparison_of_lengths() -> None:
    rows = [
        {"prompt": f"q{n}", "response1": "long " * (n + 2), "response2": "short", "annotator1": 1, "annotator2": 1, "annotator3": 2}
        for n in range(20)
    ]  # fmt: skip
    found = rl.report_preferences(rows)
    assert found.rows == 60
    assert (found.length.compared, found.length.longer_wins.value) == (20, 1.0)
    assert any("the longer response wins in 100.0%" in note for note in found.notes)


def test_agreement_is_that_of_the_pure_functions() -> None:
    drawn = np.random.default_rng(0)
    truth = drawn.integers(0, 2, 60)
    votes = np.where(drawn.random((3, 60)) < 0.8, truth, 1 - truth)
    rows = [
        {"prompt": f"q{n}", "response1": "a", "response2": "b"}
        | {f"annotator{judge + 1}": int(2 - votes[judge, n]) for judge in range(3)}
        for n in range(60)
    ]
    found = rl.report_preferences(rows)
    agreement = found.agreement
    assert agreement.named
    assert (agreement.units, agreement.judges, agreement.kappa_judges) == (60, 3, 3)
    assert agreement.alpha.value == pytest.approx(krippendorff_alpha(votes))
    assert agreement.alpha.low < agreement.alpha.value < agreement.alpha.high
    counts = np.stack([(votes == value).sum(0) for value in (0, 1)], 1)
    assert agreement.kappa == pytest.approx(fleiss_kappa(counts))
    assert agreement.unanimous == pytest.approx(float((votes == votes[0]).all(0).mean()))
    for judge, person in enumerate(sorted(found.people, key=lambda one: one.name)):
        others = np.delete(votes, judge, 0)
        same = others[0] == others[1]
        assert (person.rows, person.in_common) == (60, int(same.sum()))
        assert person.with_others == pytest.approx(float((votes[judge] == others[0])[same].mean()))


def test_without_names_two_lines_about_one_pair_are_two_opinions_and_a_stray_repeat_is_none() -> None:
    many = [pair(f"q{n}", *("ab" if n % 3 else "ba")) for n in range(30)] + [pair(f"q{n}", "a", "b") for n in range(30)]
    agreement = report(*many).agreement
    assert not agreement.named
    assert agreement.units == 30
    assert agreement.equal == pytest.approx(20 / 30)
    one = [pair(f"q{n}", "a", "b") for n in range(30)] + [pair("q0", "a", "b")]
    assert report(*one).agreement is None


def test_one_class_and_single_annotator_are_said() -> None:
    row = {"prompt": "q", "response1": "a", "response2": "b", "label": 1, "annotator": "x"}
    same = rl.report_preferences([row, {**row, "prompt": "p"}], labels="number")
    assert "every label is for the first" in same.notes
    assert any("a single annotator, so a mixture" in note for note in same.notes)
    ties = rl.report_preferences([{**row, "label": 0}], labels="number")
    assert "every row is a tie, so there is nothing to learn" in ties.notes
    chosen = rl.report_preferences([{"prompt": "q", "chosen": "a", "rejected": "b"}])
    assert not any("every label" in note for note in chosen.notes)  # the better one stands first by layout
    assert chosen.first_wins is None


def test_a_side_that_wins_too_often_is_noticed() -> None:
    drawn = np.random.default_rng(1)
    rows = [
        {"prompt": f"q{n}", "response1": "a", "response2": "b", "label": 1 if drawn.random() < 0.8 else 2}
        for n in range(100)
    ]
    found = rl.report_preferences(rows)
    assert found.first_wins.value == pytest.approx(np.mean([row["label"] == 1 for row in rows]))
    assert any("stands first wins" in note for note in found.notes)


def test_rankings_ratings_and_steps_have_reports_too() -> None:
    items = [Trajectory.from_text("q", "x" * (n + 1)) for n in range(4)]
    ranking = RankingData(items=items, rankings=[np.array([3, 2, 1, 0])], annotators=["x"]).report()
    assert (ranking.kind, ranking.rows, ranking.counts) == ("rankings", 1, {"comparisons in them": 6})
    assert ranking.length.longer_wins.value == 1.0
    rating = RatingData(
        items=items,
        item=np.array([0, 1, 0, 1, 2]),
        value=np.array([1.0, 2.0, 1.0, 2.0, 5.0]),
        annotators=["x", "x", "y", "y", "y"],
    ).report()
    assert (rating.agreement.level, rating.agreement.alpha.value) == ("interval", 1.0)
    assert math.isnan(rating.agreement.kappa)
    assert rating.spreads["rating"].high == 5.0
    flat = RatingData(items=items, item=np.array([0, 1]), value=np.array([3.0, 3.0])).report()
    assert "every rating of 'rating' is 3, so there is nothing to learn" in flat.notes
    steps = StepLabelData(
        items=items, item=np.array([0, 1]), labels=[np.array([1.0, 0.0, np.nan]), np.array([1.0, 1.0])]
    ).report()
    assert steps.counts == {"with a wrong step": 1, "steps right": 3, "steps wrong": 1, "steps without a label": 1}
    assert steps.spreads["number of the first wrong step"].median == 2
    right = StepLabelData(items=items, item=np.array([0]), labels=[np.array([1.0])]).report()
    assert "every labelled step is right, so there is nothing to learn" in right.notes


def test_vectors_have_a_report_without_length() -> None:
    found = PreferenceData.from_arrays(np.eye(4), -np.eye(4)).report()
    assert found.length is None
    assert "longer" not in str(found)


def test_broken_rows_stand_in_the_report_with_their_lines(tmp_path) -> None:
    good = {"prompt": "q", "chosen": "a", "rejected": "b"}
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join([json.dumps(good), "{", json.dumps({**good, "chosen": ""})]))
    found = rl.report_preferences(file)  # a warning would be an error here
    assert found.set_aside == 2
    assert [problem.split(": ")[0].rpartition(":")[2] for problem in found.problems] == ["2", "3"]
    assert any("could not be read; look at the reasons" in note for note in found.notes)
    shown = str(found)
    assert "2 rows could not be read:" in shown
    assert "'chosen' is an empty text" in shown


def test_json_is_strict_and_says_what_the_report_says() -> None:
    found = report(pair("q", "aa", "b", strength=2.0), pair("p", "a", "bb"))
    told = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["rows"] == 2
    assert told["length"]["longer_wins"]["value"] == 0.5
    assert told["length"]["by_ratio"][0][:2] == [2.0, 4.0]
    assert told["spreads"]["strength"] == {"count": 1, "low": 2.0, "median": 2.0, "high": 2.0}


def test_pictures_are_drawn_of_what_there_is(tmp_path) -> None:
    pytest.importorskip("matplotlib")
    rows = [
        {"prompt": f"q{n}", "response1": "long one", "response2": "short", "annotator1": 1, "annotator2": 1 + n % 2, "annotator3": 1}
        for n in range(5)
    ]  # fmt: skip
    files = rl.report_preferences(rows).save_plots(tmp_path / "plots")
    assert [file.name for file in files] == ["length.png", "labels.png", "annotators.png"]
    assert all(file.read_bytes()[:4] == b"\x89PNG" for file in files)
    vectors = PreferenceData.from_arrays(np.eye(2), -np.eye(2)).report().save_plots(tmp_path, file_type="svg")
    assert [file.name for file in vectors] == ["labels.svg"]
    with pytest.raises(ValueError, match="file_type must be 'png' or 'svg', got 'pdf'"):
        rl.report_preferences(rows).save_plots(tmp_path, file_type="pdf")


def test_what_cannot_be_reported_on_is_refused() -> None:
    data = PreferenceData.from_arrays(np.eye(2), -np.eye(2))
    with pytest.raises(ValueError, match="labels is for a file, and these judgements are read already"):
        rl.report_preferences(data, labels="number")
    with pytest.raises(ValueError, match="there are no rows to report on"):
        data.select([]).report()
    with pytest.raises(ValueError, match="'x' are no layout that is known"):
        rl.report_preferences([{"x": 1}])
    steps = rl.report_preferences([{"steps": ["a", "b"], "mistake_index": 1}])
    assert steps.kind == "steps"


def test_shares_of_few_comparisons_stay_between_0_and_1() -> None:
    rows = [
        {"prompt": "a", "chosen": "long one", "rejected": "no"},
        {"prompt": "b", "chosen": "x", "rejected": "longer"},
    ]
    found = rl.read_preferences(rows).report().length.longer_wins
    assert found.value == 0.5
    assert (found.low, found.high) == pytest.approx((0.0945, 0.9055), abs=1e-3)
