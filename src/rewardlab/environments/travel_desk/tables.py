"""Names and places on the map of the travel desk. Cities are real, everything in them is made up."""

from __future__ import annotations

CITIES: dict[str, tuple[int, int]] = {
    "Rome": (900, 300),
    "Oslo": (700, 1900),
    "Bern": (550, 800),
    "Riga": (1300, 1600),
    "Nice": (520, 520),
    "Graz": (1050, 780),
    "Porto": (-600, 300),
    "Ghent": (300, 1150),
    "Turku": (1250, 1900),
    "Split": (1100, 480),
}
"""City -> where it is, in km east and north; only distances matter."""

COLOURS = ("Blue", "Red", "Gold", "Green", "Grey", "White", "Black", "Pink", "Amber", "Ivory", "Violet", "Silver")
HOUSES = ("Inn", "House", "Lodge", "Court", "Rooms", "Villa")
SIGHTS = ("Fort", "Park", "Zoo", "Pier", "Dome", "Hall", "Lake", "Fair")
"""The places of the small level."""

KINDS: dict[str, tuple[str, ...]] = {
    "museum": ("Clock Museum", "Ship Museum", "Glass Museum", "Coin Museum"),
    "park": ("Rose Garden", "Lime Park", "Deer Park", "Herb Garden"),
    "castle": ("Old Fort", "Star Fort", "Gate Tower", "Hill Castle"),
    "market": ("Fish Market", "Book Market", "Spice Hall", "Flower Market"),
    "church": ("Stone Chapel", "North Abbey", "Twin Church", "Bell Cloister"),
}
"""Kinds of places of the full level, and what they are called; one name may be in several cities."""

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
