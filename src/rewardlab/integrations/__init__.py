"""Doors into other people's trainers. Each loads on first use, and asks for its package only then."""

from rewardlab.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, {}, rooms=["trl"])
