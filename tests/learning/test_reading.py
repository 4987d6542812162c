"""Reading judgements: every layout is recognised or asked about, and a bad row is set aside with its number and reason."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.learning import PreferenceData, RankingData, RatingData, UnclearLayout
from rewardlab.storage.problems import BadRow, Problems


def read(rows, **options):
    problems = Problems()
    data = rl.read_preferences(rows, problems=problems, **options)
    return data


def told(data: PreferenceData) -> list[tuple[str, str, float]]:
    """First, second and label of every comparison."""
    return [
        (data.items[a].completion, data.items[b].completion, float(label))
        for a, b, label in zip(data.first, data.second, data.label, strict=True)
    ]


def asked(data, row: int = 0) -> list[dict]:
    return data.items[data.first_items()[row]].observations[0]


# ---- comparisons ----------------------------------------------------------------------------------------------------------

CHAT = [{"role": "user", "content": "q"}]
GOOD, POOR = {"role": "assistant", "content": "good"}, {"role": "assistant", "content": "poor"}


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


# ---- bad rows -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "q", "chosen": "same", "rejected": "same"}, "'chosen' and 'rejected' are equal ('same')"),
        ({"prompt": "q", "chosen": "", "rejected": "b"}, "'chosen' is an empty text"),
        ({"prompt": "q", "chosen": "a", "rejected": "  "}, "'rejected' is an empty text"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "'prompt' is an empty text"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "'chosen' must be a text or a list of messages, got None"),
        ({"prompt": "q", "rejected": "b"}, "the column 'chosen' is missing; the row has 'prompt', 'rejected'"),
        ({"prompt": "q", "chosen": CHAT, "rejected": "b"}, "'chosen' must end with a message of the assistant"),
        ({"prompt": "q", "chosen": {"x": 1}, "rejected": "b"}, "an object without a text: it has the keys 'x'"),
        (
            {"prompt": "q", "chosen": [{"role": "user", "content": "p"}, GOOD], "rejected": "b"},
            "begins with 'p', which is not the prompt 'q'",
        ),
    ],
)
def test_a_bad_row_is_set_aside_with_its_number_and_reason(row, message) -> None:
    good = {"prompt": "q", "chosen": "a", "rejected": "b"}
    data = read([good, row, good])
    assert len(data) == 2
    assert [(one.line, len(data.problems)) for one in data.problems] == [(2, 1)]
    assert message in str(data.problems)
    with pytest.raises(BadRow, match="iterable:2"):
        read([good, row], on_problem="raise")


def test_labels_outside_their_vocabulary_are_set_aside() -> None:
    rows = [{"response_a": "a", "response_b": str(n), "label": v} for n, v in enumerate((0.5, 1.5, "x", None))]
    problems = str(read(rows, labels="probability").problems)
    assert "'label' must be in [0, 1], got 1.5; a margin belongs into the column strength" in problems
    assert "'label' must be a probability in [0, 1], got 'x'" in problems
    assert "'label' is missing" in problems


def test_conversations_about_different_prompts_are_no_pair() -> None:
    other = [{"role": "user", "content": "p"}, POOR]
    good = {"chosen": [*CHAT, GOOD], "rejected": [*CHAT, POOR]}
    data = read([good, {"chosen": [*CHAT, GOOD], "rejected": other}])
    assert "do not answer the same prompt" in str(data.problems)


def test_broken_lines_of_a_file_are_counted_and_warned_about(tmp_path) -> None:
    file = tmp_path / "pairs.jsonl"
    good = json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"})
    file.write_text("\n".join([good, '{"prompt": "q", ', "[1, 2]", "", good]))
    with pytest.warns(
        UserWarning, match="2 rows were set aside: .*pairs.jsonl:2: not JSON.*pairs.jsonl:3: expected an object"
    ):
        data = rl.read_preferences(file)
    assert len(data) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problems = Problems()
        rl.read_preferences(file, problems=problems)
    assert problems.count == 2
    file.write_text("nonsense")
    with pytest.raises(ValueError, match="holds no row that can be read: line 1 is not JSON"):
        rl.read_preferences(file)
    file.write_text("")
    with pytest.raises(ValueError, match="holds no row that can be read: it is empty"):
        rl.read_preferences(file)
    file.write_text(json.dumps({"prompt": "q", "chosen": "a", "rejected": "a"}))
    with pytest.raises(ValueError, match="no row fits: 1 row was set aside"):
        rl.read_preferences(file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "answer", "x"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    st.fixed_dictionaries(
        {"prompt": JSON, "chosen": JSON, "rejected": JSON, "label": JSON, "margin": JSON, "images": JSON}
    )
)
def test_whatever_stands_in_a_row_it_is_read_or_set_aside(row) -> None:
    good = {"prompt": "q", "chosen": "a", "rejected": "b", "label": 0.75, "margin": 1.0, "images": None}
    data = read([good, row])
    assert len(data) + len(data.problems) >= 2
    assert len(data.problems) <= 1


# ---- where rows come from -------------------------------------------------------------------------------------------------

ROWS = [{"prompt": f"q{n}", "chosen": "a", "rejected": "b", "user": "u"} for n in range(5)]


def test_the_same_rows_from_every_kind_of_file(tmp_path) -> None:
    datasets = pytest.importorskip("datasets")
    lines = "\n".join(map(json.dumps, ROWS))
    (tmp_path / "plain.jsonl").write_text(lines)
    (tmp_path / "list.json").write_text(json.dumps(ROWS))
    (tmp_path / "lines.json").write_text(lines)
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "part-2.jsonl").write_text(json.dumps(ROWS[-1]))
    (folder / "part-1.jsonl").write_text("\n".join(map(json.dumps, ROWS[:-1])))
    whole = datasets.Dataset.from_list(ROWS)
    whole.to_parquet(str(tmp_path / "rows.parquet"))
    wanted = told(read(ROWS))
    for source in ("plain.jsonl", "list.json", "lines.json", "packed.jsonl.gz", "folder", "rows.parquet"):
        data = read(tmp_path / source)
        assert told(data) == wanted, source
        assert data.annotators == ["u"] * 5
        assert [asked(data, row)[0]["content"] for row in range(5)] == [f"q{n}" for n in range(5)], source
    assert told(read(whole)) == wanted
    assert told(read(str(tmp_path / "plain.jsonl"), limit=2)) == wanted[:2]
    parts = datasets.DatasetDict({"train": whole, "test": whole.select([0])})
    assert told(read(parts, split="test")) == wanted[:1]
    with pytest.raises(ValueError, match="the splits 'train', 'test', and none was chosen; give split="):
        read(parts)
    with pytest.raises(ValueError, match="there is no 'dev'"):
        read(parts, split="dev")


def test_a_source_that_is_none_says_so(tmp_path, monkeypatch) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(FileNotFoundError, match="did you mean .*pairs.jsonl"):
        read(tmp_path / "pair.jsonl")
    with pytest.raises(TypeError, match="expected a path, .* got a int"):
        read(3)
    with pytest.raises(
        ValueError, match="split='train' chooses a part of a data set, but .* is a path; leave split out"
    ):
        read(tmp_path / "pairs.jsonl", split="train")
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        read(ROWS, limit=0)
    with pytest.raises(ValueError, match='on_problem must be "collect" or "raise"'):
        read(ROWS, on_problem="ignore")


def test_a_name_of_the_hub_that_cannot_be_had_is_no_file_either(monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")

    def refuse(*_, **__):
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(FileNotFoundError, match="no file 'owner/pairs', and no data set .*the hub cannot be reached"):
        read("owner/pairs")
    monkeypatch.setattr(datasets, "load_dataset", lambda name, part, split: {"train": datasets.Dataset.from_list(ROWS)})
    assert len(read("owner/pairs")) == 5


def test_neither_torch_nor_datasets_is_imported_for_a_file(tmp_path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(ROWS[0]))
    code = (
        "import sys, rewardlab as rl\nassert 'datasets' not in sys.modules\n"
        f"rl.read_preferences({str(tmp_path / 'pairs.jsonl')!r})\n"
        "print(sorted({'torch', 'datasets', 'pyarrow', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
