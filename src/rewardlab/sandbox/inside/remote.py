"""Two processes that call into each other's objects over a pair of pipes; neither can make the other run its code.

The tests live in one process and the program in another. A test that calls `add(1, 2)` sends the arguments, the program
answers with a value, and the comparison happens on the side of the tests, with plain values (`values.py`). A `Remote`
therefore never says that it equals plain data: an object whose `==` always says yes would otherwise pass every test.
"""

from __future__ import annotations

import builtins
import collections
import operator
import os
from collections.abc import Callable, Iterator
from typing import Any

from rewardlab.sandbox.inside.frames import BrokenFrame, read_frame, write_frame
from rewardlab.sandbox.inside.values import CHANGEABLE, BadValue, decode, encode

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
_NOT_RAISED = (SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration, StopAsyncIteration)


class ProgramError(Exception):
    """The program raised something that is no ordinary exception here: `SystemExit`, or a class of its own."""


class ProgramGone(Exception):
    """The program ended, or broke the protocol, before it answered."""


class Remote:
    """Stands for an object of the other process."""

    __slots__ = ("_kind", "_number", "_peer")

    def __init__(self, peer: Peer, number: int, kind: str) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_kind", kind)

    def __call__(self, *values: Any, **named: Any) -> Any:
        """Call it there."""
        return self._peer.call(self, values, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{name!r} of an object of the program cannot be read from a test")
        return self._peer.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.ask("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._peer.ask("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._peer.ask("delitem", self, key)

    def __len__(self) -> int:
        return int(self._peer.ask("len", self))

    def __bool__(self) -> bool:
        return bool(self._peer.ask("bool", self))

    def __str__(self) -> str:
        return str(self._peer.ask("str", self))

    def __repr__(self) -> str:
        return f"<{self._kind} of the program>"

    def __iter__(self) -> Iterator[Any]:
        iterator = self._peer.ask("iter", self)
        if not isinstance(iterator, Remote):
            raise TypeError(f"{self._kind} cannot be iterated over")
        while True:
            more = self._peer.ask("next", iterator)
            if not (isinstance(more, list) and len(more) <= 1):
                raise BadValue("the program sent a malformed iteration")
            if not more:
                return
            yield more[0]

    def __contains__(self, wanted: Any) -> bool:
        return any(entry == wanted for entry in self)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Remote) and bool(self._peer.ask("isinstance", instance, self))

    def _compare(self, how: str, other: Any) -> Any:
        if not isinstance(other, Remote):
            if how in ("eq", "ne"):
                return how == "ne"
            return NotImplemented
        return bool(self._peer.ask("compare", self, how, other))

    def __eq__(self, other: object) -> Any:
        return self._compare("eq", other)

    def __ne__(self, other: object) -> Any:
        return self._compare("ne", other)

    def __lt__(self, other: Any) -> Any:
        return self._compare("lt", other)

    def __le__(self, other: Any) -> Any:
        return self._compare("le", other)

    def __gt__(self, other: Any) -> Any:
        return self._compare("gt", other)

    def __ge__(self, other: Any) -> Any:
        return self._compare("ge", other)

    def __hash__(self) -> int:
        return hash((id(self._peer), self._number))


class Peer:
    """One end of the connection.

    Args:
        incoming: descriptor to read from.
        outgoing: descriptor to write to.
        operations: what the other side may ask for besides calls into objects that we sent it.
    """

    def __init__(self, incoming: int, outgoing: int, operations: dict[str, Callable[..., Any]] | None = None) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.errors: dict[str, type[BaseException]] = {}
        self.operations: dict[str, Callable[..., Any]] = {**_OPERATIONS, **(operations or {})}

    # ---- asking -----------------------------------------------------------------------------------------------------

    def ask(self, operation: str, *values: Any) -> Any:
        """Have the other side do something, and wait for what it says; meanwhile its own questions are answered.

        Raises:
            ProgramGone: the other side has ended, or does not keep to the protocol.
            BaseException: whatever was raised there, as the built-in exception nearest to it.
        """
        return self._exchange(operation, [self.encode(value) for value in values])

    def call(self, function: Remote, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Call a function there; lists, sets and dicts that it changed are changed here too."""
        encoded = [self.encode(value) for value in values]
        names = {name: self.encode(value) for name, value in named.items()}
        answer = self._exchange("call", [self.encode(function), encoded, names])
        if not isinstance(answer, Call):
            raise ProgramGone("the program sent a malformed answer to a call")
        for position, content in answer.changed.items():
            if 0 <= position < len(values) and type(content) is type(values[position]):
                _replace(values[position], content)
        return answer.value

    def _exchange(self, operation: str, encoded: list[Any]) -> Any:
        token = os.urandom(8).hex()  # an answer that was written before the question cannot know it
        try:
            write_frame(self.outgoing, ["ask", token, operation, encoded])
            while True:
                message = read_frame(self.incoming)
                if not isinstance(message, list) or not message:
                    raise BrokenFrame("a message is not a list")
                if message[0] == "ask":
                    self._answer(message)
                elif message[0] in ("value", "call", "error") and message[1] == token:
                    break
                else:
                    raise BrokenFrame("an answer to no question")
        except (EOFError, BrokenPipeError):
            raise ProgramGone("the program ended before it answered") from None
        except (BrokenFrame, IndexError) as error:
            raise ProgramGone(f"the program broke the protocol: {error}") from None
        if message[0] == "value":
            return self.decode(message[2])
        if message[0] == "call":
            try:
                changed = {int(position): self.decode(content) for position, content in message[3]}
            except (TypeError, ValueError, IndexError):
                raise ProgramGone("the program sent a malformed answer to a call") from None
            return Call(self.decode(message[2]), changed)
        raise self._error(message[2:])

    def _error(self, parts: list[Any]) -> BaseException:
        """The exception to raise here for one that was raised there."""
        if len(parts) != 3 or not all(isinstance(part, (str, list)) for part in parts):
            return ProgramGone("the program sent a malformed exception")
        name, bases, text = parts
        for base in [name, *bases]:
            known = self.errors.get(str(base)) or getattr(builtins, str(base), None)
            if isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, _NOT_RAISED):
                with Caught() as caught:
                    error = known(text)
                    error.__dict__["program_error"] = str(name)[:100]
                if caught.error is None:  # a few take more than a text; for them the next base will do
                    return error
        gone = ProgramError(text)
        gone.__dict__["program_error"] = str(name)[:100]
        return gone

    # ---- answering --------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answer questions until the other side closes the pipe."""
        while True:
            try:
                message = read_frame(self.incoming)
            except EOFError:
                return
            self._answer(message)

    def _answer(self, message: list[Any]) -> None:
        _, token, operation, encoded = message
        caught = Caught()
        answer: list[Any] = []
        with caught:
            if operation == "call" or operation in _OPERATIONS:
                _own(encoded[0])
            if operation == "call":
                answer = ["call", token, *self._called(*encoded)]
            else:
                values = [self.decode(value) for value in encoded]
                answer = ["value", token, self.encode(self.operations[operation](*values))]
        if caught.error is not None:
            answer = ["error", token, *describe(caught.error)]
        write_frame(self.outgoing, answer)

    def _called(self, function: Any, values: list[Any], named: dict[str, Any]) -> list[Any]:
        target = self.decode(function)
        arguments = [self.decode(value) for value in values]
        result = target(*arguments, **{name: self.decode(value) for name, value in named.items()})
        changed = []
        for position, (before, argument) in enumerate(zip(values, arguments, strict=True)):
            if isinstance(argument, CHANGEABLE) and (after := self.encode(argument)) != before:
                changed.append([position, after])
        return [self.encode(result), changed]

    # ---- values -----------------------------------------------------------------------------------------------------

    def encode(self, value: Any) -> Any:
        """A value for the other side."""
        return encode(value, self._refer)

    def decode(self, data: Any) -> Any:
        """A value from the other side."""
        return decode(data, self._resolve)

    def _refer(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["there", value._number]
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)  # kept alive, so that its id stays its own
        return ["here", number, type(value).__name__]

    def _resolve(self, data: list[Any]) -> Any:
        if data[0] == "there" and isinstance(data[1], int) and data[1] >= 0:
            return self.objects[data[1]]
        if data[0] == "here" and isinstance(data[1], int):
            return Remote(self, data[1], str(data[2]))
        raise ValueError(f"unknown kind {data[0]!r:.40}")


class Call:
    """What came of a call: its value, and the arguments that it changed, by position."""

    def __init__(self, value: Any, changed: dict[int, Any]) -> None:
        self.value, self.changed = value, changed


def _replace(target: Any, content: Any) -> None:
    """Give a changeable object of ours the content that its copy over there has now."""
    if isinstance(target, (list, bytearray)):
        target[:] = content
    else:
        target.clear()
        (target.extend if isinstance(target, collections.deque) else target.update)(content)


class Caught:
    """Keeps what foreign code raises, whatever it is: it is the answer, and must not unwind our own frames."""

    error: BaseException | None = None

    def __enter__(self) -> Caught:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        self.error = error
        return True


def describe(error: BaseException) -> list[Any]:
    """The class of an exception, the names of its bases, and its text, which foreign code may refuse to give."""
    with Caught() as caught:
        text = str(error)[:2000]
    if caught.error is not None:
        text = "(its text cannot be had)"
    kind = type(error)
    return [kind.__name__, [base.__name__ for base in kind.__mro__[1:-1]], text]


def _own(data: Any) -> None:
    """Only what we sent may be asked about: a module or a type that the other side names would be a way to run our code."""
    if not (isinstance(data, list) and data and data[0] == "there"):
        raise BadValue("an operation on something that was never sent")


def _public(target: Any, name: str) -> str:
    if not isinstance(name, str) or name.startswith("_"):
        raise AttributeError(f"{name!r} of {type(target).__name__} cannot be reached from the other process")
    return name


def _next(iterator: Iterator[Any]) -> list[Any]:
    for entry in iterator:
        return [entry]
    return []


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "getattr": lambda target, name: getattr(target, _public(target, name)),
    "setattr": lambda target, name, value: setattr(target, _public(target, name), value),
    "getitem": operator.getitem,
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "len": len,
    "bool": bool,
    "str": str,
    "iter": lambda target: _Iterator(iter(target)),
    "next": _next,
    "isinstance": isinstance,
    "compare": lambda left, how, right: bool(_COMPARISONS[how](left, right)),
}


class _Iterator:
    """An iterator that travels as a reference, whatever its type."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self.iterator = iterator

    def __iter__(self) -> Iterator[Any]:
        return self.iterator
