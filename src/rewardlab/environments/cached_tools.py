"""A sandbox around tools whose answers change or cost money: what was asked once is answered from a store for ever after.

Training wants the same answer to the same call, for all members of a group and for all updates; live services are limited in
rate and inconsistent (two calls, two answers). After DeepTravel (Ning et al. 2025, arXiv 2509.21842), which trains in a
sandbox of cached answers that grows as the agent asks, and is renewed in part.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from rewardlab.environments.tools import Toolbox, ToolResult
from rewardlab.types import call_arguments

OnMiss = Literal["call", "error", "mock"]
Errors = Literal["store", "retry"]

_OUTDATED = "Error: no answer is stored for this call"


def normalised_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The key of a call: the order of arguments, spaces around and inside texts, and 3 or 3.0 make no difference."""
    return json.dumps([name, _normal(arguments)], sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _normal(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normal(entry) for entry in value]
    return value


class CachedTools(Toolbox):
    """A toolbox that answers from a store; goes wherever a `Toolbox` goes, such as `ToolEnvironment(CachedTools(...))`.

    Args:
        tools: a toolbox, or the functions of one; a function may ask a server or a website.
        store: a dict, or a file that several processes may share (one JSON object a line); None for a dict of its own.
        on_miss: what happens to a call that is not in the store: "call" asks the tool and stores its answer, "error" answers
            with an error, "mock" asks `mock` and stores nothing.
        mock: called with a name and arguments, returns the text; for `on_miss="mock"`.
        refresh: share of the entries, in [0, 1], that are asked again once `date` has changed; which ones, a hash of key and
            date says.
        date: of the data; entries keep the date under which they were stored.
        key: what makes two calls the same; by default `normalised_call`.
        errors: whether an answer that is an error is stored like any other ("store"), or the tool is asked again next time
            ("retry"), so that one transient failure is not replayed for ever.

    Raises:
        ValueError: an option has an impossible value, or the store is no such file; the message says which.

    Attributes:
        counts: `hits`, `misses`, `stale` (asked again after a change of date) and `errors` so far, of this process.
    """

    def __init__(
        self,
        tools: Toolbox | Sequence[Callable[..., Any]],
        *,
        store: str | Path | MutableMapping[str, dict[str, Any]] | None = None,
        on_miss: OnMiss = "call",
        mock: Callable[[str, Mapping[str, Any]], str] | None = None,
        refresh: float = 0.0,
        date: str = "",
        key: Callable[[str, Mapping[str, Any]], str] = normalised_call,
        errors: Errors = "retry",
    ) -> None:
        inner = tools if isinstance(tools, Toolbox) else Toolbox(tools)
        super().__init__([])
        self._tools = inner._tools  # the descriptions and names are those of the tools themselves
        self._inner = inner
        for name, value, kind in (("on_miss", on_miss, OnMiss), ("errors", errors, Errors)):
            if value not in get_args(kind):
                raise ValueError(f"{name} must be one of {', '.join(get_args(kind))}, got {value!r}")
        if (on_miss == "mock") != (mock is not None):
            raise ValueError(f'mock goes with on_miss="mock", got on_miss={on_miss!r} and mock={mock!r}')
        if not 0.0 <= refresh <= 1.0:
            raise ValueError(f"refresh must be a share in [0, 1], got {refresh}")
        self.on_miss, self.mock, self.refresh, self.date, self.key, self.errors = (
            on_miss, mock, refresh, date, key, errors,
        )  # fmt: skip
        self.counts: Counter[str] = Counter(hits=0, misses=0, stale=0, errors=0)
        self._path = Path(store) if isinstance(store, (str, Path)) else None
        self._entries: MutableMapping[str, dict[str, Any]] = {}
        if store is not None and self._path is None:
            self._entries = store  # type: ignore[assignment]  # a mapping, as it is no path
        self._read = 0
        if self._path is not None:
            self._catch_up()

    def __len__(self) -> int:
        """How many calls are stored."""
        return len(self._entries)

    def __bool__(self) -> bool:
        """A toolbox is there even where nothing is stored yet."""
        return True

    def freeze(self) -> CachedTools:
        """The same store, never asked beyond: for evaluation. What is not stored is answered with an error."""
        frozen = CachedTools(self._inner, store=self._entries, on_miss="error", key=self.key, errors="store")
        frozen.date = self.date
        return frozen

    def run(self, name: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Answer a call from the store, or as `on_miss` says."""
        try:
            _, given = call_arguments({"name": name, "arguments": arguments})
        except ValueError:
            return self._inner.run(name, arguments)  # it says what is wrong, and there is nothing to store
        if name not in self._tools or not isinstance(given, Mapping):
            return self._inner.run(name, arguments)
        try:
            key = self.key(name, given)
        except (TypeError, ValueError, RecursionError):
            return self._inner.run(name, arguments)
        with self._locked():
            entry = self._entries.get(key)
            stale = entry is not None and self._is_stale(key, entry)
            if entry is not None and not stale:
                self.counts["hits"] += 1
                return ToolResult(entry["text"], entry.get("trouble"))
            self.counts["stale" if stale else "misses"] += 1
            if self.on_miss == "mock" and self.mock is not None:
                return ToolResult(self.mock(name, given))
            if self.on_miss == "error":
                return ToolResult(entry["text"], entry.get("trouble")) if entry else ToolResult(_OUTDATED, "refused")
            result = self._inner.run(name, arguments)
            if result.trouble is not None:
                self.counts["errors"] += 1
            # what the caller got wrong is as wrong tomorrow, so only errors of the tool itself are asked again
            if result.trouble in (None, "arguments") or self.errors == "store":
                self._keep(key, {"text": result.text, "trouble": result.trouble, "date": self.date})
            return result

    def _is_stale(self, key: str, entry: Mapping[str, Any]) -> bool:
        if not self.refresh or entry.get("date", "") == self.date:
            return False
        digest = hashlib.sha256(f"{self.date}/{key}".encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < self.refresh * 2**64

    # ---- the file ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the file against other processes, with what they have written read; nothing for a dict.

        The lock is held while a tool is asked, so that two processes never store two answers to one call.
        """
        if self._path is None:
            yield
            return
        with open(f"{self._path}.lock", "a", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Read the lines that were added since; the last one of a key counts."""
        assert self._path is not None
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._read)
            for line in stream:
                if not line.endswith(b"\n"):
                    break  # the end of a write that was cut off
                self._read += len(line)
                try:
                    row = json.loads(line)
                    self._entries[row.pop("key")] = {**row, "text": str(row["text"])}
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(
                        f"{str(self._path)!r} is no store of cached answers: line {line[:60]!r} cannot be read ({error})"
                    ) from error

    def _keep(self, key: str, entry: dict[str, Any]) -> None:
        self._entries[key] = entry
        if self._path is None:
            return
        line = (json.dumps({"key": key, **entry}, ensure_ascii=True) + "\n").encode()
        with self._path.open("r+b" if self._path.exists() else "w+b") as stream:
            stream.truncate(self._read)  # a line that was cut off by a crash is dropped
            stream.seek(self._read)
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self._read += len(line)
