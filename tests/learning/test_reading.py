"""Reading judgements: every layout is recognised or asked about."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rewardlab.learning import RankingData, RatingData, UnclearLayout
from tests.learning.reading_rows import CHAT, GOOD, POOR, asked, read, told

# ---- comparisons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "chosen": "good", "rejected": "poor"},
        {"prompt": CHAT, "chosen": [GOOD], "rejected": [POOR]},
        {"prompt": CHAT, "chosen": [*CHAT, GOOD], "rejected": [*CHAT, POOR]},
        {"chosen": [*CHAT, GOOD], "rejected": [*CHAT, POOR]},
        {"prompt": "q", "chosen": [*CHAT, GOOD], "rejected": [*CHAT, POOR]},
        {"chosen": "\n\nHuman: q\n\nAssistant: good", "rejected": "\n\nHuman: q\n\nAssistant: poor"},
        {"question": "q", "pos_answer": {"answer": "good", "score": 3}, "neg_answer": {"answer": "poor", "score": 1}},
        {"conversation": CHAT, "best": {"llm_name": "x", "answer": "good"}, "losers": [{"answer": "poor"}]},
        {
            "chosen": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "good"}],
            "rejected": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "poor"}],
        },
    ],
    ids=["text", "messages", "whole", "no-prompt", "both", "dialogue", "objects", "best-losers", "sharegpt"],
)
def test_better_and_worse_in_every_dress(row) -> None:
    data = read([row])
    assert told(data) == [("good", "poor", 1.0)]
    assert asked(data) == CHAT
    assert not data.problems


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [
        (
            [{"output_1": "a", "output_2": "b", "label": 1}, {"output_1": "a", "output_2": "c", "label": 2}],
            None,
            [1, 0],
        ),
        (
            [{"response_a": "a", "response_b": "b", "winner": w} for w in ("model_a", "model_b", "tie")],
            None,
            [1, 0, 0.5],
        ),
        ([{"response 1": "a", "response 2": "b", "label": v} for v in (0, 1, 2)], "index", [1, 0, 0.5]),
        ([{"response1": "a", "response2": "b", "label": v} for v in (1, -1, 0)], None, [1, 0, 0.5]),
        ([{"response1": "a", "response2": "b", "preference": v} for v in (0.25, 1.0)], None, [0.25, 1.0]),
        ([{"response1": "a", "response2": "b", "label": v} for v in (True, False)], None, [1, 0]),
        ([{"answer_a": "a", "answer_b": "b", "choice": v} for v in ("x", "y")], {"x": 1, "y": 0.2}, [1, 0.2]),
        ([{"human_ref_A": "a", "human_ref_B": "b", "history": "q", "labels": v} for v in (1, 0)], None, [1, 0]),
        (
            [{"prompt": "q", "response_0": "a", "response_1": "b", "better_response_id": v} for v in (1, 0)],
            None,
            [0, 1],
        ),
        ([{"chosen": "a", "rejected": "b", "soft_label": v} for v in (0.5, 0.9)], None, [0.5, 0.9]),
        ([{"chosen": "a", "rejected": "b", "label": v} for v in (0.75, 1.0)], None, [0.75, 1.0]),
    ],
)
def test_labels_of_two_sides_in_every_vocabulary(rows, labels, expected) -> None:
    data = read(rows, labels=labels)
    assert data.label.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("values", "ways"), [((0, 1), "'probability' .* 'index'"), ((0, 1, 2), "'number' .* 'index'")])
def test_labels_that_can_mean_two_things_are_asked_about(values, ways) -> None:
    rows = [{"response_a": "a", "response_b": "b", "label": value} for value in values]
    with pytest.raises(UnclearLayout, match=f"two things: give labels={ways.replace(' .* ', ' .* or labels=')}"):
        read(rows)


def test_unknown_labels_and_names_are_answered_with_the_fix() -> None:
    rows = [{"response_a": "a", "response_b": "b", "label": "left"}]
    with pytest.raises(UnclearLayout, match="are 'left', which are not known; give labels={label: probability"):
        read(rows)
    with pytest.raises(ValueError, match=r"labels\['left'\] is 2; expected the probability in \[0, 1\]"):
        read(rows, labels={"left": 2})
    with pytest.raises(ValueError, match="unknown vocabulary of labels 'numbr'; did you mean 'number'"):
        read(rows, labels="numbr")
    with pytest.raises(ValueError, match="unknown key 'choosen'.*'chosen'"):
        read(rows, columns={"choosen": "response_a"})
    with pytest.raises(ValueError, match=r"columns\['chosen'\] is 'best', but the first rows have no such column"):
        read(rows, columns={"chosen": "best", "rejected": "response_b"})
    with pytest.raises(UnclearLayout, match="'rejected' is missing"):
        read(rows, columns={"chosen": "response_a"})
    with pytest.raises(UnclearLayout, match="'x' are no layout that is known; say what they are"):
        read([{"x": 1}])


@pytest.mark.parametrize(("usual", "odd"), [(("A", "B"), "N/A"), ((1, 2), "N/A"), (("A", "B"), 7)])
def test_one_odd_label_among_many_is_a_bad_row_and_no_riddle(usual, odd) -> None:
    rows = [{"response_a": "a", "response_b": str(n), "label": usual[n % 2]} for n in range(20)]
    data = read([*rows[:5], {**rows[0], "label": odd}, *rows[5:]])
    assert (len(data), data.label.sum()) == (20, 10)
    assert [one.line for one in data.problems] == [6]
    with pytest.raises(UnclearLayout, match="which are not known"):
        read([rows[0], {**rows[0], "label": odd}])


def test_annotations_of_another_form_are_set_aside() -> None:
    good = {"response": "a", "annotations": {"honesty": {"Rating": "5"}}}
    rows = [{"instruction": "q", "completions": one} for one in ([good], [{**good, "annotations": [5]}])]
    assert "annotations must be an object with a rating for each aspect, got [5]" in str(read(rows).problems)


def test_two_layouts_in_one_file_are_not_chosen_between() -> None:
    row = {"chosen": "a", "rejected": "b", "response_a": "c", "response_b": "d", "label": 1}
    with pytest.raises(UnclearLayout, match="can be read in 2 ways; choose one"):
        read([row])
    assert told(read([row], columns={"chosen": "chosen", "rejected": "rejected", "label": None}))[0][:2] == ("a", "b")


# ---- several annotators ---------------------------------------------------------------------------------------------------


def test_three_annotators_of_one_pair_are_three_rows_of_one_comparison() -> None:
    rows = [
        {"instruction": "do", "input": "this", "response1": "a", "response2": "b", "annotator1": 1, "annotator2": 0, "annotator3": 2},
        {"instruction": "do", "input": "", "response1": "a", "response2": "b", "annotator1": 2, "annotator2": None, "annotator3": 2},
    ]  # fmt: skip
    data = read(rows)
    assert data.annotators == ["annotator1", "annotator2", "annotator3", "annotator1", "annotator3"]
    assert data.label.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0]
    assert [one["comparison"] for one in data.metadata] == [0, 0, 0, 1, 1]
    assert asked(data)[0]["content"] == "do\n\nthis"
    assert asked(data, 3)[0]["content"] == "do"
    assert len(data.items) == 4


def test_a_list_of_labels_is_as_many_rows() -> None:
    row = {"response_a": "a", "response_b": "b", "labels": ["A", "B", "tie"], "annotators": ["x", "y", None]}
    data = read([row])
    assert data.annotators == ["x", "y", None]
    assert data.label.tolist() == [1.0, 0.0, 0.5]
    nobody = read([{key: value for key, value in row.items() if key != "annotators"}])
    assert nobody.annotators == ["annotator 1", "annotator 2", "annotator 3"]
    short = read([row, {**row, "annotators": ["x"]}])
    assert "'annotators' must be a list with an entry for each of the 3 labels" in str(short.problems)


def test_users_stand_beside_their_rows() -> None:
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b", "user_id": who} for who in ("u1", 7, None, "u1")]
    assert read(rows).annotators == ["u1", "7", None, "u1"]


# ---- several responses ----------------------------------------------------------------------------------------------------


def test_rankings_stay_together_and_become_pairs_that_say_so() -> None:
    rows = [
        {"prompt": "q", "responses": ["a", "b", "c"], "ranks": [2, 1, 2]},
        {"prompt": "p", "responses": ["d", "e"], "ranks": [1, 2]},
    ]
    data = read(rows)
    assert isinstance(data, RankingData)
    assert [[data.items[item].completion for item in ranking] for ranking in data.rankings] == [
        ["b", "a", "c"],
        ["d", "e"],
    ]
    assert [tie.tolist() for tie in data.ties] == [[False, True], [False]]
    pairs = data.pairs()
    assert told(pairs) == [("b", "a", 1.0), ("b", "c", 1.0), ("a", "c", 0.5), ("d", "e", 1.0)]
    assert [one["ranking"] for one in pairs.metadata] == [0, 0, 0, 1]
    assert pairs.weight.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])


def test_an_order_names_the_responses_best_first() -> None:
    data = read([{"responses": ["a", "b", "c"], "order": [2, 0, 1]}])
    assert [data.items[item].completion for item in data.rankings[0]] == ["c", "a", "b"]
    bad = {"responses": ["a", "b", "c"], "order": [0, 0, 1]}
    problems = read([{"responses": ["a", "b"], "order": [0, 1]}, bad]).problems
    assert "must name every response once, from 0, best first; got [0, 0, 1]" in str(problems)


def test_one_against_several_shares_the_weight_of_one_row() -> None:
    row = {"conversation": CHAT, "best": {"answer": "a"}, "losers": [{"answer": "b"}, {"answer": "c"}]}
    data = read([row])
    assert told(data) == [("a", "b", 1.0), ("a", "c", 1.0)]
    assert data.weight.tolist() == [0.5, 0.5]
    assert [one["ranking"] for one in data.metadata] == [0, 0]


def test_rm_bench_rows_have_levels() -> None:
    data = read([{"prompt": "q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"], "subset": "chat"}])
    assert "RM-Bench" in data.layout
    levels = [one["level"] for one in data.metadata]
    assert (len(data), levels.count("easy"), levels.count("normal"), levels.count("hard")) == (9, 3, 3, 3)
    assert dict(zip([(a, b) for a, b, _ in told(data)], levels, strict=True))[("a", "f")] == "hard"
    assert data.weight.sum() == pytest.approx(1.0)


def test_ratings_in_columns_and_in_lists() -> None:
    scored = read([{"prompt": "q", "response": "a", "helpfulness": 4, "correctness": 3, "coherence": 4}])
    assert isinstance(scored, RatingData)
    assert scored.aspect == ["helpfulness", "correctness", "coherence"]
    assert scored.value.tolist() == [4.0, 3.0, 4.0]
    listed = read([{"prompt": "q", "responses": ["a", "b"], "scores": [1, None]}])
    assert listed.value.tolist() == [1.0]
    assert listed.aspect is None
    ultra = read(
        [
            {
                "instruction": "q",
                "completions": [
                    {"response": "a", "annotations": {"honesty": {"Rating": "5"}, "truth": {"Rating": "N/A"}}},
                    {"response": "b", "annotations": {"honesty": {"Rating": "2"}}},
                ],
            }
        ]
    )
    assert ultra.value.tolist() == [5.0, 2.0]
    segments = read(
        [{"source": "q", "target": t, "rater": r, "score": s} for t, r, s in (("a", "x", 0.1), ("b", "x", 5))],
        columns={"prompt": "source", "response": "target", "ratings": ["score"]},
    )
    assert segments.pairs(lower_is_better=True).label.tolist() == [1.0]
    assert segments.annotators == ["x", "x"]


# ---- what stands beside ---------------------------------------------------------------------------------------------------


def test_everything_else_is_metadata_with_the_line() -> None:
    row = {"prompt": "q", "chosen": {"answer": "a", "llm_name": "x"}, "rejected": {"answer": "b"}, "subset": "s"}
    assert read([row]).metadata == [{"line": 1, "chosen.llm_name": "x", "subset": "s"}]


def test_strength_and_weight_are_numbers_or_missing() -> None:
    rows = [
        {"chosen": "a", "rejected": "b", "margin": 2, "weight": 0.5},
        {"chosen": "a", "rejected": "c", "margin": None, "weight": None},
    ]
    data = read(rows)
    np.testing.assert_array_equal(data.strength, [2.0, np.nan])
    assert data.weight.tolist() == [0.5, 1.0]  # where nobody says that a row counts for less, it counts
    bad = read([*rows, {**rows[0], "weight": -1}])
    assert "'weight' must not be negative, got -1.0" in str(bad.problems)
    scores = read([{"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 8.0, "score_rejected": 5.5}])
    assert scores.strength.tolist() == [2.5]


def test_images_stand_in_the_prompt_as_paths_or_arrays(tmp_path) -> None:
    (tmp_path / "cat.png").write_bytes(b"not opened before it is used")
    rows = [
        {"prompt": "what?", "images": ["cat.png"], "chosen": "a cat", "rejected": "a dog"},
        {"prompt": "what?", "images": ["dog.png"], "chosen": "a cat", "rejected": "a dog"},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    data = read(file)
    assert asked(data)[0]["content"] == [
        {"type": "image", "image": str(tmp_path / "cat.png")},
        {"type": "text", "text": "what?"},
    ]
    assert "there is no image" in str(data.problems)
    array = np.zeros((4, 4, 3), np.uint8)
    placed = [{"role": "user", "content": [{"type": "text", "text": "what?"}, {"type": "image"}]}]
    both = read([{"prompt": placed, "images": [array], "chosen": "x", "rejected": "y"}])
    assert asked(both)[0]["content"][1]["image"].shape == (4, 4, 3)
    more = read([*[{"prompt": placed, "images": i, "chosen": "x", "rejected": "y"} for i in ([array], [array] * 2)]])
    assert "has places for 1 images, the row holds 2" in str(more.problems)
