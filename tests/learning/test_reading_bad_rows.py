"""Reading judgements: a bad row is set aside with its number and reason."""

from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.storage.problems import BadRow, Problems
from tests.learning.reading_rows import CHAT, GOOD, POOR, read

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
