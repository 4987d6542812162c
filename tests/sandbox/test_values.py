"""Values between two processes that do not trust each other: plain data is the same afterwards, and nothing hostile gets through."""

from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.sandbox.inside.frames import BrokenFrame, read_frame, write_frame
from rewardlab.sandbox.inside.remote import Peer, ProgramGone, Remote
from rewardlab.sandbox.inside.values import BadValue, decode, encode

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
plain = st.recursive(
    hashable
    | st.complex_numbers(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.dates()
    | st.timedeltas(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(hashable, inner, max_size=4) | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "list",
            "dict",
            "set",
            "int",
            "range",
            "module",
            "type",
            "here",
            "there",
            "array",
            "Decimal",
            "Fraction",
            "bytes",
            "date",
            "os",
        ]
    ),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def refuse(value):
    raise AssertionError(f"{value!r} was not taken for plain data")


@given(plain)
@settings(max_examples=80, deadline=None)
def test_plain_data_comes_back_equal_and_of_the_same_type(value):
    back = decode(encode(value, refuse), refuse)
    assert back == value
    assert type(back) is type(value)


@given(json_values)
@settings(max_examples=150, deadline=None)
def test_hostile_data_is_a_value_or_refused(data):
    def resolve(reference):
        raise ValueError("nothing was sent")

    try:
        value = decode(data, resolve)
    except BadValue:
        return
    assert not callable(value) or isinstance(value, type)


@pytest.mark.parametrize(
    "data",
    [
        ["module", "numpy"],
        ["module", "_thread"],
        ["module", "rewardlab"],
        ["type", "eval"],
        ["type", "open"],
        ["range", 0, 1, 0],
        ["Fraction", "1", "0"],
        ["set", ["list"]],
        ["array", "|O", [1], ""],
        {"a": 1},
        ["nonsense"],
        [],
    ],
)
def test_what_stands_for_nothing_is_refused(data):
    with pytest.raises(BadValue, match="stands for nothing"):
        decode(data, lambda reference: (_ for _ in ()).throw(ValueError(reference)))


def test_a_value_that_contains_itself_is_refused():
    loop = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        encode(loop, refuse)


def test_numpy_arrays_and_numbers_travel():
    numpy = pytest.importorskip("numpy")
    for array in (numpy.arange(6).reshape(2, 3), numpy.array([1.5, numpy.inf]), numpy.array([True])):
        back = decode(encode(array, refuse), refuse)
        assert numpy.array_equal(back, array)
        assert back.dtype == array.dtype
    assert encode(numpy.float64(1.5), refuse) == 1.5
    assert encode(numpy.int8(3), refuse) == 3


class Ends:
    """Two connected peers, the second served by a thread."""

    def __init__(self, operations):
        a, b = os.pipe(), os.pipe()
        self.near = Peer(a[0], b[1])
        self.far = Peer(b[0], a[1], operations)
        self.near_out, self.far_out = b[1], a[1]
        self.thread = threading.Thread(target=self.far.serve, daemon=True)
        self.thread.start()


def test_nobody_can_be_asked_about_what_was_never_sent():
    ends = Ends({})
    for operation, target in [("getattr", os), ("getattr", type), ("len", [1]), ("call", type), ("call", [1])]:
        rest = [[], {}] if operation == "call" else []
        with pytest.raises(Exception, match="never sent"):
            ends.near._exchange(operation, [ends.near.encode(target), *rest])


def test_private_names_cannot_be_reached():
    ends = Ends({"give": lambda: lambda: 1})
    function = ends.near.ask("give")
    assert isinstance(function, Remote)
    assert function() == 1
    with pytest.raises(AttributeError, match="cannot be reached"):
        ends.near.ask("getattr", function, "__globals__")
    with pytest.raises(AttributeError, match="cannot be read"):
        _ = function.__globals__


def test_an_answer_to_no_question_breaks_the_protocol():
    incoming, outgoing = os.pipe(), os.pipe()
    peer = Peer(incoming[0], outgoing[1])
    write_frame(incoming[1], ["value", "0" * 16, 5])
    with pytest.raises(ProgramGone, match="no question"):
        peer.ask("anything")


def test_the_end_of_the_other_side_is_noticed():
    incoming, outgoing = os.pipe(), os.pipe()
    peer = Peer(incoming[0], outgoing[1])
    os.close(incoming[1])
    with pytest.raises(ProgramGone, match="ended before it answered"):
        peer.ask("anything")


def test_frames():
    read, write = os.pipe()
    write_frame(write, {"a": [1, "é", None]})
    assert read_frame(read) == {"a": [1, "é", None]}
    os.write(write, b"\xff\xff\xff\xff")
    with pytest.raises(BrokenFrame, match="over the limit"):
        read_frame(read)
    os.write(write, b"\0\0\0\3{]}")
    with pytest.raises(BrokenFrame, match="not JSON"):
        read_frame(read)
    os.close(write)
    with pytest.raises(EOFError):
        read_frame(read)
