"""Names that load when they are first used, so that `import rewardlab` stays light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewardlab.registry import nearest


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]], rooms: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """What a package's `__init__` needs to load its names on first use (PEP 562).

    Args:
        package: the package's own `__name__`.
        homes: module -> the names that it defines.
        rooms: sub-packages that can be reached as attributes.

    Returns:
        `__getattr__`, `__dir__` and `__all__` for the package.
    """
    home_of = {name: module for module, names in homes.items() for name in names}
    known = sorted({*home_of, *rooms})

    def load(name: str) -> Any:
        if name in home_of:
            value = getattr(importlib.import_module(home_of[name]), name)
        elif name in rooms:
            value = importlib.import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{nearest(name, dict.fromkeys(known))}")
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: known, known
