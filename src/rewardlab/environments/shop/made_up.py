"""The catalogue that the shop brings: made-up products, drawn once from small tables of words, the same for everybody."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from rewardlab.environments.shop.catalogue import Catalogue, Goal, Product

# fmt: off
BRANDS = (
    "Norvik", "Alder", "Brimo", "Casta", "Delmo", "Ferro", "Gilda", "Hexa", "Ilmar", "Junip", "Kelso", "Lumo",
    "Marva", "Nesto", "Orrin", "Palo", "Quill", "Rovia", "Sorel", "Tamar", "Ulva", "Vento", "Wexo", "Zandt",
)
_COLOURS = ("red", "blue", "green", "black", "white", "grey", "pink", "brown")
_SIZES = ("small", "medium", "large", "x-large")
_SHOE_SIZES = ("6", "7", "8", "9", "10", "11")
_PACKS = ("1 pack", "2 pack", "4 pack", "6 pack", "12 pack")
_SCENTS = ("lavender", "mint", "rose", "citrus", "unscented")
_FLAVOURS = ("vanilla", "cocoa", "lemon", "berry", "plain")
_WEAR = ("machine washable", "long sleeved", "slim fit", "quick drying", "pure cotton")
_SHOE = ("rubber sole", "non slip", "waterproof", "arch support", "lightweight")
_FOOD = ("gluten free", "sugar free", "organic", "non gmo", "low sodium")
_CARE = ("alcohol free", "long lasting", "cruelty free", "fragrance free", "travel size")
_HOME = ("easy to clean", "hand made", "non toxic", "space saving", "heavy duty")
_TECH = ("fast charging", "wireless", "easy to install", "noise cancelling", "water resistant")
CATEGORIES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "mug": (_HOME, {"color": _COLOURS}),
    "shirt": (_WEAR, {"color": _COLOURS, "size": _SIZES}),
    "sandals": (_SHOE, {"color": _COLOURS, "size": _SHOE_SIZES}),
    "granola": (_FOOD, {"flavor": _FLAVOURS}),
    "shampoo": (_CARE, {"scent": _SCENTS}),
    "headphones": (_TECH, {"color": _COLOURS}),
    "rug": (_HOME, {"color": _COLOURS, "size": _SIZES}),
    "cookies": (_FOOD, {"flavor": _FLAVOURS, "count": _PACKS}),
    # the small level ends here
    "jacket": (_WEAR, {"color": _COLOURS, "size": _SIZES}),
    "trousers": (_WEAR, {"color": _COLOURS, "size": _SIZES}),
    "sneakers": (_SHOE, {"color": _COLOURS, "size": _SHOE_SIZES}),
    "boots": (_SHOE, {"color": _COLOURS, "size": _SHOE_SIZES}),
    "tea": (_FOOD, {"flavor": _FLAVOURS, "count": _PACKS}),
    "crackers": (_FOOD, {"flavor": _FLAVOURS, "count": _PACKS}),
    "soap": (_CARE, {"scent": _SCENTS, "count": _PACKS}),
    "candle": (_HOME, {"scent": _SCENTS, "size": _SIZES}),
    "deodorant": (_CARE, {"scent": _SCENTS, "count": _PACKS}),
    "speaker": (_TECH, {"color": _COLOURS}),
    "charger": (_TECH, {"color": _COLOURS, "count": _PACKS}),
    "lamp": (_HOME, {"color": _COLOURS, "size": _SIZES}),
    "basket": (_HOME, {"color": _COLOURS, "size": _SIZES}),
    "keyboard": (_TECH, {"color": _COLOURS}),
    "sweater": (_WEAR, {"color": _COLOURS, "size": _SIZES}),
    "lotion": (_CARE, {"scent": _SCENTS, "size": _SIZES}),
}
"""Kind of thing -> what may be said of it, and what can be chosen."""
# fmt: on


@dataclass(frozen=True, slots=True)
class Range:
    """How large the made-up catalogue of a level is.

    Args:
        categories: how many kinds of things, of the first in `CATEGORIES`.
        products: of each kind.
        attributes: fewest and most that are said of a product.
        values: fewest and most values that an option has.
        wanted: fewest and most attributes that a goal asks for.
        options: the most options that a goal asks for.
        prices: how finely prices go, in dollars.
    """

    categories: int
    products: int
    attributes: tuple[int, int]
    values: tuple[int, int]
    wanted: tuple[int, int]
    options: int
    prices: int


def made_up_catalogue(name: str, size: Range) -> Catalogue:
    """Draw the products of a level; the same ones every time."""
    rng = random.Random(f"shop/{name}")
    products = []
    for category, (attributes, options) in list(CATEGORIES.items())[: size.categories]:
        for brand in rng.sample(BRANDS, size.products):
            said = rng.sample(attributes, rng.randint(*size.attributes))
            chosen = {
                option: tuple(sorted(rng.sample(values, min(len(values), rng.randint(*size.values))), key=values.index))
                for option, values in options.items()
            }
            price = rng.randrange(1, 100 // size.prices) * size.prices
            products.append((f"{brand} {category}", category, tuple(said), chosen, price))
    rng.shuffle(products)  # so that numbers say nothing
    return Catalogue(name, [Product(f"A{100 + place}", *product) for place, product in enumerate(products)])


def made_up_goals(catalogue: Catalogue, size: Range, rng: random.Random) -> Iterator[Goal]:
    """Goals without end, each drawn around a product that fits it."""
    while True:
        product = rng.choice(catalogue.products)
        wanted = rng.sample(product.attributes, min(len(product.attributes), rng.randint(*size.wanted)))
        options = list(product.options)
        asked = sorted(rng.sample(options, rng.randint(1, min(size.options, len(options)))), key=options.index)
        limit = product.price + rng.randrange(1, 3) * 10
        yield Goal(
            category=product.category,
            title=product.category,
            attributes=tuple(wanted),
            options={option: rng.choice(product.options[option]) for option in asked},
            price=limit,
            item=product.item,
        )
