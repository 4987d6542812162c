"""Checkpoints: what a training needs to go on after it was killed, written so that a kill at any moment leaves a whole one.

A checkpoint is a folder with one JSON file and some safetensors files; nothing is pickled. It is written under another name,
flushed to the disk, and renamed; only then are old ones removed. State is any nesting of dicts with string keys whose leaves
are tensors, arrays or JSON values: tensors go to the safetensors files, the rest to JSON.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rewardlab.extras import require

VERSION = 1
_NAME = re.compile(r"checkpoint-(\d{8})")
_REPLACED = ".replaced-"
_MARK = "__tensor__"
_ARRAY = "__array__"


class BrokenCheckpoint(ValueError):
    """A checkpoint that cannot be read; the message names the file and what to do."""


class Checkpoints:
    """The checkpoints of one training, in a folder.

    Args:
        folder: where they are; made when the first is saved.
        keep: how many of the newest stay.

    Raises:
        ValueError: `keep` is below 1.
    """

    def __init__(self, folder: Path | str, *, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1 checkpoint, got {keep}")
        self.folder = Path(folder)
        self.keep = keep

    def numbers(self) -> list[int]:
        """The numbers of all whole checkpoints, in order."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, number: int) -> Path:
        """The folder of one checkpoint."""
        return self.folder / f"checkpoint-{number:08d}"

    def save(self, number: int, state: Mapping[str, Any], *, unchanging: Mapping[str, Any] | None = None) -> Path:
        """Write a checkpoint, and remove the oldest ones.

        Args:
            number: grows from checkpoint to checkpoint (steps done, say); one of the same number is replaced.
            state: by name, what `load` gives back. Each name's tensors get a file of their own.
            unchanging: like `state`, for large things that are the same in all checkpoints of a training (a reference
                policy): they are written once and shared between checkpoints by hard links.
        """
        st = require("safetensors.torch", extra="torch", why="saving checkpoints")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tidy()
        unfinished = self.folder / f".unfinished-{number:08d}"
        unfinished.mkdir()
        described: dict[str, Any] = {"version": VERSION, "number": number, "files": [], "state": {}}
        earlier = self.numbers()
        for name, part in {**state, **(unchanging or {})}.items():
            tensors: dict[str, torch.Tensor] = {}
            described["state"][name] = _take_out(part, tensors, "")
            if not tensors:
                continue
            file = f"{name}.safetensors"
            described["files"].append(file)
            shared = self.path(earlier[-1]) / file if earlier and unchanging and name in unchanging else None
            if shared is not None and shared.is_file():
                _link(shared, unfinished / file)
                continue
            st.save_file(_apart(tensors), unfinished / file)
            _flush(unfinished / file)
        text = json.dumps(described, indent=1, allow_nan=False)
        (unfinished / "state.json").write_text(text, encoding="utf-8")
        _flush(unfinished / "state.json")
        _flush(unfinished)
        final, replaced = self.path(number), self.folder / f"{_REPLACED}{number:08d}"
        if final.exists():
            os.rename(final, replaced)  # `tidy` brings it back if the process is killed before the next line
        os.rename(unfinished, final)
        _flush(self.folder)
        if replaced.exists():
            shutil.rmtree(replaced)
        for old in self.numbers()[: -self.keep]:
            self._remove(self.path(old))
        return final

    def load(self, number: int | None = None) -> dict[str, Any]:
        """Read a checkpoint: the newest, unless a number is given.

        Returns:
            What was given to `save`, `unchanging` things among the rest; tensors are on the CPU.

        Raises:
            FileNotFoundError: there is none.
            BrokenCheckpoint: one of its files is missing or damaged.
        """
        st = require("safetensors.torch", extra="torch", why="loading checkpoints")
        numbers = self.numbers()
        if not numbers:
            raise FileNotFoundError(f"there is no checkpoint in {str(self.folder)!r}")
        chosen = self.path(numbers[-1] if number is None else number)
        advice = f"remove the folder {str(chosen)!r} to go on from the checkpoint before it"
        try:
            described = json.loads((chosen / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BrokenCheckpoint(f"{str(chosen / 'state.json')!r} cannot be read ({error}); {advice}") from error
        if described.get("version") != VERSION:
            raise BrokenCheckpoint(
                f"{str(chosen)!r} has version {described.get('version')!r}, this release reads {VERSION}; "
                "train with the release that wrote it, or start anew in another folder"
            )
        state: dict[str, Any] = {}
        for name, part in described["state"].items():
            tensors: dict[str, torch.Tensor] = {}
            file = f"{name}.safetensors"
            if file in described["files"]:
                try:
                    tensors = st.load_file(chosen / file)
                except (OSError, ValueError, _safetensor_error()) as error:
                    raise BrokenCheckpoint(f"{str(chosen / file)!r} cannot be read ({error}); {advice}") from error
            state[name] = _put_back(part, tensors)
        return state

    def tidy(self) -> None:
        """Remove what a killed process left half-written or half-removed; call it before reading."""
        if not self.folder.is_dir():
            return
        for entry in sorted(self.folder.iterdir()):
            if entry.name.startswith(_REPLACED):
                final = self.path(int(entry.name.removeprefix(_REPLACED)))
                if not final.exists():
                    os.rename(entry, final)
                    continue
            if entry.name.startswith((".unfinished-", ".removed-", _REPLACED)):
                shutil.rmtree(entry)

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint so that no half of it ever stands under its name."""
        aside = path.with_name(f".removed-{path.name}")
        os.rename(path, aside)
        shutil.rmtree(aside)


def module_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes in a module: its trainable weights and its persistent buffers, by name."""
    trainable = {name: weight.detach() for name, weight in module.named_parameters() if weight.requires_grad}
    weights = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    buffers = {name: value for name, value in module.state_dict().items() if name not in weights}
    return {**trainable, **buffers}


def load_module_state(module: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Put `module_state` back, in place.

    Raises:
        ValueError: a name or shape differs, because the checkpoint is of another model; the message names it.
    """
    present = module_state(module)
    different = sorted(set(present) ^ set(state))
    if different:
        where = "checkpoint" if different[0] in state else "policy"
        raise ValueError(f"the checkpoint is of another model: {different[0]!r} is only in the {where}")
    with torch.no_grad():
        for name, value in state.items():
            if present[name].shape != value.shape:
                raise ValueError(
                    f"the checkpoint is of another model: {name!r} has shape {tuple(value.shape)} in the checkpoint and "
                    f"{tuple(present[name].shape)} in the policy"
                )
            present[name].copy_(value)


# ---- helpers ------------------------------------------------------------------------------------------------------------


def _take_out(value: Any, tensors: dict[str, torch.Tensor], path: str) -> Any:
    """JSON with a mark in the place of each tensor; the tensors are added to `tensors` by their path."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        key = path or "value"
        while key in tensors:  # {"a.b": x} and {"a": {"b": x}} have one path
            key += "'"
        if isinstance(value, np.ndarray):
            tensors[key] = torch.from_numpy(np.ascontiguousarray(value))
            return {_ARRAY: key}
        tensors[key] = value.detach()
        return {_MARK: key}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys of a state must be strings, got {list(value)[:3]!r} at {path or 'the top'}")
        return {key: _take_out(entry, tensors, f"{path}.{key}" if path else key) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [
            _take_out(entry, tensors, f"{path}.{index}" if path else str(index)) for index, entry in enumerate(value)
        ]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"__float__": repr(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"a state holds tensors, arrays and JSON values, got a {type(value).__name__} at {path or 'the top'}"
    )


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors on the CPU, in memory of their own, which is what safetensors asks for."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        own = tensor.cpu().contiguous()
        storage = own.untyped_storage()
        if storage.data_ptr() in seen or storage.nbytes() != own.nbytes:
            own = own.clone()
        seen.add(own.untyped_storage().data_ptr())
        result[name] = own
    return result


def _put_back(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_MARK}:
            return tensors[value[_MARK]]
        if set(value) == {_ARRAY}:
            return tensors[value[_ARRAY]].numpy()
        if set(value) == {"__float__"}:
            return float(value["__float__"])
        return {key: _put_back(entry, tensors) for key, entry in value.items()}
    if isinstance(value, list):
        return [_put_back(entry, tensors) for entry in value]
    return value


def _safetensor_error() -> type[Exception]:
    import safetensors

    error: type[Exception] = safetensors.SafetensorError
    return error


def _flush(path: Path) -> None:
    """Ask the operating system to write a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
        _flush(target)
