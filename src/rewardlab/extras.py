"""Optional packages: imported where they are used, with an error that says which extra brings them."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType


class MissingExtra(ImportError):
    """A package that an optional feature needs is not installed."""


def require(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: what to import, such as `pyarrow.parquet`.
        extra: the extra of this project that brings it.
        why: what needs it, to complete the sentence "... needs it".

    Raises:
        MissingExtra: it is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        root = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != root:
            raise  # the package is there, and something inside it is broken: that is another error
        raise MissingExtra(
            f'{why} needs the package {root!r}, which is not installed; run: pip install "rewardlab[{extra}]"'
        ) from error


def available(module: str) -> bool:
    """Whether a package is installed, without importing it."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
