"""The shop's four tools during one attempt: search, open, choose, buy.

An item can only be opened after a search has shown it, so that its number cannot be learnt by heart; opening another item
forgets what was chosen.
"""

from __future__ import annotations

import re
from typing import Any

from rewardlab.environments.shop.catalogue import Catalogue, Product
from rewardlab.environments.tools import Toolbox, ToolError, tool
from rewardlab.registry import nearest

MOST_RESULTS = 50
"""Products that one search gives, over all pages."""
_RESULT = re.compile(r"^(?P<item>\S+) (?P<title>.*), (?P<price>[0-9]+) dollars$", re.MULTILINE)
_PAGES = re.compile(r"^page (?P<page>[0-9]+) of (?P<pages>[0-9]+)$", re.MULTILINE)


class Store:
    """A customer's visit to a catalogue.

    Args:
        catalogue: what is on sale.
        page: results on a page.
    """

    def __init__(self, catalogue: Catalogue, page: int) -> None:
        self._catalogue = catalogue
        self._page = page
        self._shown: set[str] = set()
        self._opened: Product | None = None
        self._chosen: dict[str, str] = {}
        self.bought: dict[str, Any] | None = None

    def toolbox(self) -> Toolbox:
        """The tools under their names."""
        return Toolbox([self.search, self.open_item, self.choose, self.buy])

    def search(self, query: str, page: int = 1) -> str:
        """Find items.

        Args:
            query: words that describe the item.
            page: which page of the results.
        """
        self._check_open()
        found = self._catalogue.search(query, MOST_RESULTS)
        if not found:
            return "no results"
        pages = -(-len(found) // self._page)
        if not 1 <= page <= pages:
            raise ToolError(f"there is no page {page:.0f}; the results have pages 1 to {pages}")
        part = found[(page - 1) * self._page : page * self._page]
        self._shown.update(product.item for product in part)
        return "\n".join([f"page {page} of {pages}", *(_line(product) for product in part)])

    @tool(name="open")
    def open_item(self, item: str) -> str:
        """Show an item of the results: what it is, and what can be chosen.

        Args:
            item: its number, as the results show it.
        """
        self._check_open()
        if item not in self._shown:
            raise ToolError(f"no search has shown an item {item!r:.30}; open one of the results by its number")
        self._opened, self._chosen = self._catalogue.by_item[item], {}
        product = self._opened
        options = [f"{option}: {', '.join(values)}" for option, values in product.options.items()]
        return "\n".join([_line(product), f"about: {', '.join(product.attributes) or 'nothing more'}", *options])

    def choose(self, option: str, value: str) -> str:
        """Choose an option of the open item.

        Args:
            option: what is chosen, such as color.
            value: one of the values that the item has.
        """
        product = self._check_item()
        if option not in product.options:
            known = ", ".join(product.options) or "none"
            raise ToolError(f"{product.item} has no option {option!r:.30}; its options: {known}")
        if value not in product.options[option]:
            raise ToolError(f"{option} cannot be {value!r:.30}{nearest(value, product.options[option])}")
        self._chosen[option] = value
        return "chosen: " + ", ".join(f"{name} {one}" for name, one in self._chosen.items())

    def buy(self) -> str:
        """Buy the open item with the options chosen so far. This ends the visit."""
        product = self._check_item()
        self.bought = product.to_json(self._chosen)
        return f"bought {product.item} for {product.price} dollars"

    def _check_open(self) -> None:
        if self.bought is not None:
            raise ToolError("the item is bought and the visit is over")

    def _check_item(self) -> Product:
        self._check_open()
        if self._opened is None:
            raise ToolError("no item is open; open one of the results first")
        return self._opened


def read_results(text: str) -> list[tuple[str, str, int]]:
    """Number, title and price of each item on a page of results."""
    return [(found["item"], found["title"], int(found["price"])) for found in _RESULT.finditer(text)]


def read_pages(text: str) -> tuple[int, int]:
    """Which page of how many a text of results is; (0, 0) where it is none."""
    found = _PAGES.search(text)
    return (int(found["page"]), int(found["pages"])) if found else (0, 0)


def _line(product: Product) -> str:
    return f"{product.item} {product.title}, {product.price} dollars"
