"""Names that load on first use: each one exists, and none is hidden by a module of the same name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import pytest

import rewardlab

LAZY = [
    "rewardlab",
    *(
        module.name
        for module in pkgutil.walk_packages(rewardlab.__path__, "rewardlab.")
        if module.ispkg and ".templates" not in module.name and "sandbox.inside" not in module.name
    ),
]


@pytest.mark.parametrize("name", LAZY)
def test_no_public_name_is_also_a_module(name: str) -> None:
    # importing the module would put it in the name's place, so what a user gets would depend on the order of imports
    package = importlib.import_module(name)
    if not hasattr(package, "__getattr__"):
        return  # its names are bound when it is imported, after its modules
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    for public in modules & set(getattr(package, "__all__", [])):
        assert isinstance(getattr(package, public), ModuleType), f"{name}.{public} is a name and a module"
