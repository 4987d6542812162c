"""What a shop sells: products, a catalogue that finds them, and goals that say what a customer wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from rewardlab.environments.shop.search_index import SearchIndex


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on sale.

    Args:
        item: its number in the shop.
        title: as it stands in lists.
        category: what kind of thing it is.
        attributes: what is said of it.
        options: what a customer chooses before buying: option -> values.
        price: in dollars.
    """

    item: str
    title: str
    category: str
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    price: int

    def to_json(self, chosen: Mapping[str, str]) -> dict[str, Any]:
        """What was bought, as JSON values: enough to score the purchase without the catalogue."""
        return {
            "item": self.item,
            "title": self.title,
            "category": self.category,
            "attributes": list(self.attributes),
            "chosen": dict(chosen),
            "price": self.price,
        }


@dataclass(frozen=True, slots=True)
class Goal:
    """What a customer wants.

    Args:
        category: the kind of thing.
        title: words that name the thing wanted.
        attributes: what it must be.
        options: what must be chosen: option -> value.
        price: the most that it may cost, or None for no limit.
        item: a product that fits in every point.
        text: how a person put it, where a person did; None where the shop words it.
    """

    category: str
    title: str
    attributes: tuple[str, ...]
    options: Mapping[str, str]
    price: int | None
    item: str
    text: str | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """As the reference of a task."""
        return {**asdict(self), "attributes": list(self.attributes), "options": dict(self.options)}


class Catalogue:
    """Products with an index over what is written about them.

    Args:
        name: says which catalogue this is; tasks carry it, so that none is played in another shop.
        products: in the order of their numbers.
    """

    def __init__(self, name: str, products: Sequence[Product]) -> None:
        self.name = name
        self.products = tuple(products)
        self.by_item = {product.item: product for product in self.products}
        if len(self.by_item) != len(self.products):
            raise ValueError(f"two products of the catalogue {name!r} have the same number")

    @cached_property
    def index(self) -> SearchIndex:
        """Over title, category, attributes and options."""
        return SearchIndex([_text(product) for product in self.products])

    def search(self, query: str, most: int) -> list[Product]:
        """The products that fit a query best, best first."""
        return [self.products[place] for place in self.index.search(query, most)]


def _text(product: Product) -> str:
    values = [value for values in product.options.values() for value in values]
    return " ".join([product.title, product.category, *product.attributes, *values])
