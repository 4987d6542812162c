"""What a purchase is worth, and what a search finds."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.environments.shop import SearchIndex, ShopScore, score_purchase
from rewardlab.environments.shop.search_index import search_words
from rewardlab.rewards.spec import from_spec
from rewardlab.rewards.verifiers.fixtures import Fixture, check_fixtures
from rewardlab.types import Task, Trajectory, call_message

# ---- the score --------------------------------------------------------------------------------------------------------

GOAL = {
    "category": "mug",
    "title": "mug",
    "attributes": ["hand made", "non toxic"],
    "options": {"color": "red"},
    "price": 20,
    "item": "A1",
    "text": None,
}
RIGHT = {
    "item": "A1",
    "title": "Norvik mug",
    "category": "mug",
    "attributes": ["non toxic", "hand made", "heavy duty"],
    "chosen": {"color": "Red"},
    "price": 20,
}


def purchase(reference: Any = GOAL, **changes: Any) -> Trajectory:
    bought = None if changes.get("item", "") is None else {**RIGHT, **changes}
    return Trajectory.from_messages(
        [{"role": "user", "content": "a mug"}, call_message("buy", {}, identity="c")],
        task=Task(id="t", prompt=[{"role": "user", "content": "a mug"}], reference=reference),
        terminated=True,
        info={"bought": bought},
    )


def test_the_score_keeps_its_fixtures() -> None:
    nothing, cut = purchase(), purchase()
    nothing.info = cut.info = {}
    cut.terminated, cut.truncated = False, True
    check_fixtures(
        ShopScore(),
        [
            Fixture("full", purchase(), 1.0),
            Fixture("full", purchase(reference={**GOAL, "price": None}, price=10**6), 1.0),
            Fixture("full", purchase(reference={**GOAL, "price": None, "attributes": [], "options": {}}), 1.0),
            Fixture("full", purchase(attributes=[], title="hand made non-toxic mugs"), 1.0),
            Fixture("zero", purchase(item=None), 0.0),
            Fixture("zero", cut, 0.0),
            Fixture("zero", purchase(category="lamp", title="Norvik lamp"), 0.0),
            Fixture("zero", purchase(attributes=[], chosen={}, price=21), 0.0),
            Fixture("malformed", purchase(reference=None), "failed"),
            Fixture("malformed", purchase(reference={"price": 3}), "failed"),
            Fixture("malformed", nothing, "failed"),
            Fixture("hostile", purchase(attributes=["hand made"] * 100), 0.75),
            Fixture("hostile", purchase(chosen={"color": "blue", "Color": "red"}), 0.75),
        ],
    ).assert_ok()


def test_parts_say_what_was_missed() -> None:
    scores = ShopScore()([purchase(attributes=["hand made"], chosen={}, price=30), purchase(item=None)])
    assert scores.values.tolist() == [0.25, 0]
    parts = {name: part.values.tolist() for name, part in scores.parts.items()}
    assert {name: values[0] for name, values in parts.items()} == {
        "type": 1, "attributes": 0.5, "options": 0, "price": 0, "bought": 1, "exact": 0,
    }  # fmt: skip
    assert math.isnan(parts["type"][1])
    assert scores.note(0) == "not right: attributes, options, price"
    assert from_spec({"type": "shop_score", "strict": True})([purchase(price=21), purchase()]).values.tolist() == [0, 1]


def test_titles_that_share_few_words_count_less() -> None:
    wanted = {**GOAL, "title": "a b c d e f g h i j k l", "category": "x"}
    shares = {"a": 0.1, "a b": 0.5, "a b c": 1.0, "z": 0.0}
    for title, kind in shares.items():
        assert score_purchase(wanted, {**RIGHT, "title": title, "category": "y"}).type == kind


# ---- search -----------------------------------------------------------------------------------------------------------

TEXTS = ["red wool scarf", "red mug", "blue mug mug", "green tea, 2.5 oz", "Schöne Tasse"]


def test_search_ranks_by_bm25() -> None:
    """The definition, written out."""
    index = SearchIndex(TEXTS)
    documents = [search_words(text) for text in TEXTS]
    mean = sum(map(len, documents)) / len(documents)

    def score(query: str, place: int) -> float:
        total = 0.0
        for word in dict.fromkeys(search_words(query)):
            often = documents[place].count(word)
            holding = sum(word in document for document in documents)
            rarity = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            total += rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * len(documents[place]) / mean))
        return total

    for query in ("red mug", "MUGS", "tea scarf red", "schöne", "2.5", "nothing"):
        ranked = sorted(
            (place for place in range(5) if score(query, place) > 0), key=lambda place: -score(query, place)
        )
        assert index.search(query) == ranked
        assert index.search(query, 2) == ranked[:2]
    assert SearchIndex([]).search("red") == []


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_no_query_breaks_the_search(query: str) -> None:
    found = SearchIndex(TEXTS).search(query)
    assert len(set(found)) == len(found)
    assert set(found) <= set(range(5))
