"""How well what was bought is what was wanted: WebShop's score, with its four questions kept apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardlab.environments.shop.search_index import search_words


@dataclass(frozen=True, slots=True)
class PurchaseScore:
    """The four parts of the score (Yao et al. 2022, WebShop, arXiv 2207.01206, section 3.2).

    Args:
        attributes: share of the wanted attributes that the item has; None where none was wanted.
        options: share of the wanted options that were chosen; None where none was wanted.
        price: 1 within the limit, else 0; None without a limit.
        type: what the rest is multiplied by: 1 for the right kind of thing, 0.5 or 0.1 where the titles share few words, 0
            where they share none.
        value: `type` times the share of all points that hold, in [0, 1].
    """

    attributes: float | None
    options: float | None
    price: float | None
    type: float
    value: float


def score_purchase(goal: Mapping[str, Any], bought: Mapping[str, Any]) -> PurchaseScore:
    """Compare a purchase with a goal.

    WebShop compares attributes and options by the likeness of their letters (above .85), and titles by their nouns; here
    words must be the same, up to letter case and a plural s.

    Args:
        goal: `Goal.to_json()`.
        bought: `Product.to_json(chosen)`.
    """
    said = {_folded(one) for one in bought["attributes"]}
    title = set(search_words(bought["title"]))
    attributes = [_folded(one) in said or set(search_words(one)) <= title for one in goal["attributes"]]
    chosen = {option: _folded(value) for option, value in bought["chosen"].items()}
    options = [chosen.get(option) == _folded(value) for option, value in goal["options"].items()]
    price = None if goal["price"] is None else bought["price"] <= goal["price"]
    points = [*attributes, *options, *([] if price is None else [price])]
    kind = _type(goal, bought, title)
    return PurchaseScore(
        attributes=_share(attributes),
        options=_share(options),
        price=None if price is None else float(price),
        type=kind,
        value=kind * (sum(points) / len(points) if points else 1.0),
    )


def _type(goal: Mapping[str, Any], bought: Mapping[str, Any], title: set[str]) -> float:
    wanted = set(search_words(goal["title"]))
    shared = len(wanted & title) / len(wanted) if wanted else 0.0
    if _folded(goal["category"]) == _folded(bought["category"]) or shared > 0.2:
        return 1.0
    if shared == 0:
        return 0.0
    return 0.1 if shared < 0.1 else 0.5


def _share(points: list[bool]) -> float | None:
    return sum(points) / len(points) if points else None


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
