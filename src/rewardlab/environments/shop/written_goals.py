"""Goals that people wrote, and a catalogue made to fit them.

The WebShop goals (Yao et al. 2022, arXiv 2207.01206; MIT licence) are sentences without their product table. Plain patterns
read out of each sentence what is wanted: the options (colour, size, count), the attributes, and the words that name the
thing. From that a product is made that fits, one that just does not, and a price. The patterns are simple and miss things;
much of what they miss stays among the words of the title, so that search still finds it.
"""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rewardlab.environments.shop.catalogue import Catalogue, Goal, Product
from rewardlab.environments.shop.search_index import search_words

HELD_OUT = 1500
"""Goals with a smaller index are held out, as WebShop's own order has it."""

# fmt: off
_COLOURS = (
    "black", "white", "blue", "navy", "red", "green", "pink", "purple", "grey", "gray", "brown", "beige", "yellow",
    "orange", "silver", "gold", "ivory", "turquoise", "khaki", "burgundy", "teal", "cream", "walnut", "charcoal",
)
_ATTRIBUTES = (
    r"(?:gluten|sugar|dairy|fragrance|alcohol|sulfate|paraben|cruelty|bpa|gmo|lactose|soy|caffeine|fat|wrinkle|aluminum"
    r"|lead|nut|silicone|oil|hands) free",
    r"easy (?:to )?(?:clean|install|use|apply|carry|assemble|open|care)", r"machine wash(?:able|ed)?", r"hand wash(?:able)?",
    r"long lasting", r"heavy duty", r"high (?:quality|speed|definition|resolution|power|performance|heel|waist|density)",
    r"light ?weight", r"water ?proof", r"water resistant", r"stainless steel", r"rubber sole", r"memory foam",
    r"non[- ](?:slip|toxic|gmo|stick)", r"slim fit", r"relaxed fit", r"regular fit", r"classic fit", r"loose fit",
    r"long sleeved?", r"short sleeved?", r"elastic waist(?:band)?", r"drawstring (?:waist|closure)", r"button closure",
    r"faux (?:leather|fur)", r"low (?:carb|calorie|fat|sodium|sugar)", r"eco[- ]friendly", r"noise cancell?ing",
    r"fast charging", r"hands[- ]free", r"dual band", r"plug and play", r"quick (?:release|dry)", r"moisture wicking",
    r"dry (?:skin|hair)", r"sensitive (?:skin|teeth)", r"dead skin", r"fine lines", r"damaged hair", r"living room",
    r"dining room", r"natural ingredients", r"anti[- ]aging", r"height adjustable", r"wall mounted", r"travel size[d]?",
    r"daily wear", r"tempered glass", r"carbon fiber", r"optical zoom", r"usb port", r"keto friendly",
    r"individually wrapped", r"spot clean", r"vinyl acetate", r"ethylene vinyl", r"polyester spandex", r"nylon spandex",
    r"high protein", r"organic",
    r"vegan", r"kosher", r"tongue scraper", r"blu ?tooth", r"wireless",
)
# fmt: on
_OPENER = re.compile(
    r"^(?:hi|hello|please|so|also|hey)?[ ,]*"
    r"(?:(?:i(?:'?m| am)|im) (?:looking|searching|shopping|interested)(?: for| in| to)?"
    r"|i(?:'d| would|d)? ?(?:need|want|like|love|must have)(?: to)?"
    r"|can you|could you|help me|get me|find me|show me|buy me|looking for)"
    r"(?: (?:to|please|find|buy|get|purchase|order|have|locate|me|looking for|search for|for|some|a|an|the|pair of|set of))*"
    " "
)
_COUNT = r"[0-9]+(?:\.[0-9]+)?"
_OPTION_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("count", re.compile(rf"\b(?:a )?(pack of {_COUNT}|{_COUNT}[ -](?:pack|count|piece|pcs))s?\b")),
    ("size", re.compile(rf"\b({_COUNT}[ -]?(?:fl )?(?:ounces?|oz|pounds?|lbs?|inch(?:es)?|ft|feet|gb|tb|ml)\b)")),
    ("size", re.compile(rf"\b({_COUNT} ?x ?{_COUNT}(?: ?x ?{_COUNT})?)\b")),
    (
        "size",
        re.compile(r"\bsizes? (?:of |in |is |should be |a |an )?(\d+(?:\.\d+)?|(?:x+[- ])?(?:large|small)|medium)\b"),
    ),
    ("size", re.compile(r"\b((?:\d?x+|extra)[- ](?:large|small)|medium|large|small)\b")),
    ("color", re.compile(r"\b(?:in|the|of|choose) ([a-z0-9#]+(?: [a-z0-9#]+)?) colou?r(?:ed)?\b")),
    ("color", re.compile(r"\bcolou?r (?:is |of |should be )?([a-z0-9#]+)\b")),
    ("color", re.compile(rf"\b({'|'.join(_COLOURS)})\b")),
)
_ATTRIBUTE = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in _ATTRIBUTES))
_TAIL = re.compile(
    r"[.,;(]| (?:with|compatible|featuring|that|which|for|made|suitable|and it|it should|in a|in an|in the|in|from|so|but)\b"
)
_FILLERS = re.compile(
    r"\b(?:a|an|the|some|of|any|colou?r(?:ed)?|sized?|pair|set|piece|pack|is|are|its?|my|please|in|and|or|i)\b"
)
_OTHER_VALUES = {
    "color": _COLOURS[:12],
    "size": ("small", "medium", "large", "x-large"),
    "count": ("1 pack", "2 pack", "3 pack", "6 pack", "12 pack"),
}


@dataclass(frozen=True, slots=True)
class WrittenGoals:
    """Goals of people in the two splits, with the shop that was made for them.

    Args:
        catalogue: two products for each goal.
        train: goals to train on; none has the same words as one that is held out.
        test: held-out goals.
    """

    catalogue: Catalogue
    train: tuple[Goal, ...]
    test: tuple[Goal, ...]


def read_written_goals(path: str | Path) -> WrittenGoals:
    """Read goals and make a shop for them; a second call with the same unchanged files gives the same object.

    Args:
        path: a JSONL file (plain or gzip) with rows `{"index", "goal"}`, or a folder whose `goals*.jsonl*` are read.

    Raises:
        FileNotFoundError: there is no such file, or none in the folder.
        ValueError: a row has no whole number `index` or no text `goal`; the message says which line.
    """
    place = Path(path)
    files = sorted(place.glob("goals*.jsonl*")) if place.is_dir() else [place]
    if not files or not all(file.is_file() for file in files):
        raise FileNotFoundError(f"there is no file of goals at {str(path)!r}; expected goals*.jsonl or goals*.jsonl.gz")
    return _read(tuple((str(file), file.stat().st_mtime_ns) for file in files))


@functools.lru_cache(maxsize=4)
def _read(files: tuple[tuple[str, int], ...]) -> WrittenGoals:
    texts: dict[str, int] = {}
    for name, _ in files:
        for index, text in _rows(Path(name)):
            texts[text] = min(index, texts.get(text, index))  # a text in both parts is held out
    products: list[Product] = []
    goals: dict[bool, list[Goal]] = {True: [], False: []}
    numbers = [f"B{10_000 + number}" for number in range(2 * len(texts))]
    Random("shop/numbers").shuffle(numbers)  # so that a number does not say which of two products fits
    for place, (text, index) in enumerate(texts.items()):
        goal, fits, misses = _invent(text, index, numbers[2 * place], numbers[2 * place + 1])
        goals[index < HELD_OUT].append(goal)
        products += [fits, misses]
    Random("shop/order").shuffle(products)
    return WrittenGoals(
        catalogue=Catalogue(f"written/{len(texts)}", products), train=tuple(goals[False]), test=tuple(goals[True])
    )


def _rows(path: Path) -> Iterator[tuple[int, str]]:
    open_text = gzip.open if path.suffix == ".gz" else open
    with open_text(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}:{number}: not JSON: {error}") from error
            index, text = (row.get("index"), row.get("goal")) if isinstance(row, dict) else (None, None)
            if isinstance(index, bool) or not isinstance(index, int) or not isinstance(text, str) or not text.strip():
                raise ValueError(
                    f'{path}:{number}: expected {{"index": 17, "goal": "i need ..."}}, got {line.strip()!r:.80}'
                )
            yield index, " ".join(text.split())


def read_goal(text: str) -> tuple[str, tuple[str, ...], dict[str, str]]:
    """What a sentence asks for.

    Returns:
        The words that name the thing, the attributes, and the options.
    """
    rest = _OPENER.sub("", " ".join(text.casefold().split()), count=1)
    options: dict[str, str] = {}
    for option, pattern in _OPTION_PATTERNS:
        found = pattern.search(rest)
        if found is not None and option not in options:
            options[option] = found[1].strip()
            rest = f"{rest[: found.start()]} {rest[found.end() :]}"
    attributes = tuple(dict.fromkeys(_ATTRIBUTE.findall(rest)))
    named = _ATTRIBUTE.sub(" ", rest).strip(" ,.")
    head = _TAIL.split(named, maxsplit=1)[0]
    title = " ".join(_FILLERS.sub(" ", head).split()[-6:])
    return title or " ".join(_FILLERS.sub(" ", named).split()[:6]) or "thing", attributes, options


def _invent(text: str, index: int, number: str, other: str) -> tuple[Goal, Product, Product]:
    """The goal in a text, a product that fits it, and one of the same kind that misses one point."""
    rng = Random(f"shop/written/{index}")
    title, attributes, options = read_goal(text)
    category = search_words(title)[-1] if search_words(title) else title
    price = rng.randrange(5, 120)
    values = {
        option: tuple(
            sorted({value, *rng.sample([one for one in _OTHER_VALUES[option] if one != value], rng.randint(1, 3))})
        )
        for option, value in options.items()
    }
    fits = Product(number, title, category, attributes, values, price)
    limit = price + rng.choice((10, 20, 30))
    missing = rng.choice(["price", *(["attribute"] if attributes else []), *options])
    misses = Product(
        other,
        title,
        category,
        attributes[1:] if missing == "attribute" else attributes,
        {
            option: tuple(value for value in several if option != missing or value != options[option])
            for option, several in values.items()
        },
        limit + rng.randrange(1, 40) if missing == "price" else price,
    )
    return Goal(category, title, attributes, options, limit, fits.item, text), fits, misses
