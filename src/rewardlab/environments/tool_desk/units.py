"""Units of length, mass and time: exact factors as fractions, so that going there and back loses nothing."""

from __future__ import annotations

from fractions import Fraction

_LENGTH = {
    "mm": Fraction(1, 1000),
    "cm": Fraction(1, 100),
    "m": Fraction(1),
    "km": Fraction(1000),
    "in": Fraction(254, 10_000),
    "ft": Fraction(3048, 10_000),
    "mi": Fraction(1_609_344, 1000),
}
_MASS = {
    "g": Fraction(1),
    "kg": Fraction(1000),
    "oz": Fraction(45_359_237, 1_600_000),
    "lb": Fraction(45_359_237, 100_000),
}
_TIME = {"s": Fraction(1), "min": Fraction(60), "h": Fraction(3600), "day": Fraction(86_400)}

DIMENSIONS: dict[str, dict[str, Fraction]] = {"length": _LENGTH, "mass": _MASS, "time": _TIME}
"""Factor of every unit to the base unit (m, g, s) of its dimension."""


LARGEST = 10**15
"""Bound on the values that are converted, so that no result overflows."""


class UnitRefusal(ValueError):
    """A conversion that makes no sense; the text says why, for whoever asked."""


def converted(value: float, unit: str, to: str) -> float:
    """A quantity in another unit.

    Args:
        value: how much, in `unit`.
        unit: one of the units in `DIMENSIONS`.
        to: another unit of the same dimension.

    Raises:
        UnitRefusal: a unit is not known, the two measure different things, or the value is beyond `LARGEST`.
    """
    if abs(value) > LARGEST:
        raise UnitRefusal(f"the value is larger than {LARGEST:.0e}")
    source, target = _dimension(unit), _dimension(to)
    if source != target:
        raise UnitRefusal(f"{unit} is a {source} and {to} is a {target}")
    return float(Fraction(value) * DIMENSIONS[source][unit] / DIMENSIONS[source][to])


def _dimension(unit: str) -> str:
    for name, units in DIMENSIONS.items():
        if unit in units:
            return name
    known = ", ".join(unit for units in DIMENSIONS.values() for unit in units)
    raise UnitRefusal(f"unknown unit {unit!r:.30}; known: {known}")
