"""Names in configuration files, turned into the things they stand for, without importing what nobody asked for.

A name is one of three: a short name (`tool_call_match`), `module:attribute` (`my_package.rewards:politeness`, or a file,
`rewards.py:politeness`), or the name of an entry point that an installed package declares in the registry's group.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]
"""Where a value stands in a document: the keys and list positions that lead to it."""


class UnknownName(ValueError):
    """A name that is in no registry; the message says what the nearest known one is."""


class SpecError(ValueError):
    """A spec that cannot be built. `path` leads to the key at fault, so that a reader of a file can name the line."""

    def __init__(self, message: str, path: KeyPath = ()) -> None:
        super().__init__(message)
        self.path = path


class Registry:
    """Short names of one kind of thing, with the place where each is defined.

    Args:
        kind: what stands in it, for messages ("reward", "environment").
        places: short name -> `module:attribute`.
        group: entry-point group through which other packages add names.
    """

    def __init__(self, kind: str, places: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.group = group
        self._places = dict(places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.places())

    def places(self) -> dict[str, str]:
        """Every known name with its `module:attribute`, entry points included; imports none of them."""
        outside = {point.name: point.value for point in entry_points(group=self.group)}
        return {**outside, **self._places}

    def resolve(self, name: str) -> Any:
        """Import what a name stands for.

        Raises:
            UnknownName: no such short name, module, file or attribute; the nearest known name is given.
        """
        if not isinstance(name, str):
            raise UnknownName(f"the name of this {self.kind} must be a string, got {name!r}")
        # entry points are looked up on disk, so names of our own, which come first anyway, do without
        place = name if ":" in name else self._places.get(name) or self.places().get(name)
        if place is None:
            raise UnknownName(f"unknown {self.kind} {name!r}{nearest(name, self.places())}")
        module_name, _, attribute = place.rpartition(":")
        module = load_file(Path(module_name)) if module_name.endswith(".py") else self._import(module_name, name)
        target: Any = module
        for step in attribute.split("."):
            if not hasattr(target, step):
                raise UnknownName(f"{self.kind} {name!r}: {module_name} has no {step!r}{nearest(step, vars(target))}")
            target = getattr(target, step)
        return target

    def target(
        self, spec: Mapping[str, Any] | str, *, path: KeyPath = (), given: tuple[str, ...] = ()
    ) -> tuple[Any, dict[str, Any]]:
        """Find what a spec stands for, and check that it takes the options given.

        Args:
            spec: `{"type": name, option: value, ...}`, or a bare name.
            path: where the spec stands in a larger document, for messages.
            given: arguments that come from elsewhere, and that the spec may not name.

        Returns:
            The class or function that the name stands for, and the options.

        Raises:
            SpecError: an unknown name, an unknown option (with the nearest valid one), or a missing one.
        """
        if isinstance(spec, str):
            spec = {"type": spec}
        if not isinstance(spec, Mapping):
            raise SpecError(
                f"a spec of the {self.kind} must be a mapping with the key 'type', or a name, got {spec!r:.80}", path
            )
        if "type" not in spec:
            raise SpecError(
                f"the {self.kind} needs the key 'type', got the keys {', '.join(map(str, spec)) or '(none)'}", path
            )
        try:
            target = self.resolve(spec["type"])
        except UnknownName as error:
            raise SpecError(str(error), (*path, "type")) from error
        options = {str(key): value for key, value in spec.items() if key != "type"}
        parameters = {key: value for key, value in inspect.signature(target).parameters.items() if key not in given}
        if not any(entry.kind is entry.VAR_KEYWORD for entry in parameters.values()):
            for key in options:
                if key not in parameters:
                    raise SpecError(
                        f"{self.kind} {spec['type']!r} has no option {key!r}{nearest(key, parameters)}", (*path, key)
                    )
        for name, entry in parameters.items():
            variable = entry.kind in (entry.VAR_KEYWORD, entry.VAR_POSITIONAL)
            if entry.default is entry.empty and not variable and name not in options:
                raise SpecError(f"{self.kind} {spec['type']!r} needs the option {name!r}", path)
        return target, options

    def _import(self, module_name: str, name: str) -> Any:
        try:
            return importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is not None and module_name.startswith(error.name):
                raise UnknownName(f"{self.kind} {name!r}: there is no module {module_name!r} to import") from error
            raise


def load_file(path: Path) -> Any:
    """Import a Python file of the user's by its path; a second call gives the same module."""
    resolved = path.resolve()
    if not resolved.is_file():
        raise UnknownName(f"there is no file {str(path)!r}; the path is relative to the folder that you are in")
    key = f"rewardlab_file_{sha256(str(resolved).encode()).hexdigest()[:16]}"  # the same in every process
    if key not in sys.modules:
        specification = importlib.util.spec_from_file_location(key, resolved)
        assert specification is not None  # it is a .py file that exists
        assert specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        module.__dict__["__rewardlab_file__"] = str(path)
        sys.modules[key] = module
        try:
            specification.loader.exec_module(module)
        except BaseException:
            del sys.modules[key]
            raise
    return sys.modules[key]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or the list of all when none is near."""
    names = sorted(entry for entry in known if not entry.startswith("_"))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if names else ""
