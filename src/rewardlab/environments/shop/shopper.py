"""The scripted customer: searches, opens what may fit, checks it, chooses and buys. It sees only what the tools show.

A careless one opens the first item of the results and buys it with the first option left unchosen: its records are real and
not good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rewardlab.environments.shop.catalogue import Goal
from rewardlab.environments.shop.search_index import search_words
from rewardlab.environments.shop.store import read_pages, read_results
from rewardlab.types import Message, call_message, message_text

_Call = tuple[str, dict[str, Any]]


class Shopper:
    """Given the conversation so far, writes the next message.

    Args:
        goal: what to buy.
        careless: whether to buy the first item found, without a check.
    """

    def __init__(self, goal: Goal, *, careless: bool = False) -> None:
        self._goal = goal
        self._careless = careless
        self._heard = ""
        self._calls = self._visit()
        self._made = 0

    def __call__(self, conversation: list[Message]) -> Message:
        """The next call; words where nothing was found."""
        self._heard = message_text(conversation[-1])
        call = next(self._calls, None)
        if call is None:
            return {"role": "assistant", "content": "I found nothing that fits."}
        self._made += 1
        return call_message(*call, identity=f"call_{self._made}")

    def _visit(self) -> Iterator[_Call]:
        goal = self._goal
        query = " ".join([goal.title, *goal.attributes, *goal.options.values()])
        wanted = set(search_words(goal.title))
        page, pages = 1, 1
        while page <= pages:
            yield "search", {"query": query} if page == 1 else {"query": query, "page": page}
            results, (_, pages) = read_results(self._heard), read_pages(self._heard)
            for item, title, price in results:
                if not self._careless and not (
                    wanted <= set(search_words(title)) and (goal.price is None or price <= goal.price)
                ):
                    continue
                yield "open", {"item": item}
                if self._careless or self._fits(self._heard):
                    options = list(goal.options.items())
                    for option, value in options[1:] if self._careless else options:
                        yield "choose", {"option": option, "value": value}
                    yield "buy", {}
                    return
            page += 1

    def _fits(self, shown: str) -> bool:
        """Whether an item's page names every attribute, and every value under its option."""
        lines = dict(line.split(": ", 1) for line in shown.splitlines()[1:])
        about = lines.get("about", "").split(", ")
        return all(attribute in about for attribute in self._goal.attributes) and all(
            value in lines.get(option, "").split(", ") for option, value in self._goal.options.items()
        )
