"""Random trajectories of every kind, for the round-trip properties."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rewardlab.types import Task, Tokens, Trajectory

texts = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["", "\ud83d\ude00", "\udcff", "naïve \u2028 line", "$float", "\x00", "\ufeff", "a\nb"]
)
keys = texts | st.sampled_from(["$float", "$$float", "$array", "$text", "$dict", "$ref"])
floats = st.floats(allow_nan=True, allow_infinity=True)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | floats | texts
dtypes = st.sampled_from(["<f4", "<f8", "<f2", ">f8", "<i8", "<i4", "|u1", "|b1", "<c16", "<U3", "<M8[s]"])
any_array = dtypes.flatmap(
    lambda name: arrays.arrays(np.dtype(name), arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
)
values = st.recursive(
    scalars | any_array,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.integers(-3, 3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=3)


def message(role: str) -> st.SearchStrategy:
    return st.fixed_dictionaries(
        {"role": st.just(role), "content": st.none() | texts},
        optional={"name": texts, "tool_calls": st.lists(objects, max_size=2), "extra": values},
    )


arrived = st.lists(message("user") | message("tool") | message("system") | message("assistant"), max_size=2)


@st.composite
def tasks(draw: st.DrawFn, opening: list | None) -> Task:
    prompt = draw(st.none() | arrived | (st.just(opening) if opening is not None else st.none()))
    return Task(
        id=draw(texts.filter(bool)),
        prompt=prompt,
        reference=draw(values),
        tools=draw(st.lists(objects, max_size=2)),
        metadata=draw(objects),
    )


@st.composite
def tokens(draw: st.DrawFn, steps: int) -> Tokens:
    written = sorted(draw(st.lists(st.integers(0, steps - 1), max_size=4))) if steps else []
    step = [-1, *written, -1]
    logprobs = draw(st.lists(st.floats(-1024, 0, width=32), min_size=len(step), max_size=len(step)))
    ids = draw(st.lists(st.integers(0, 2**40), min_size=len(step), max_size=len(step)))
    return Tokens(ids=np.array(ids), step=np.array(step), logprobs=np.array(logprobs))


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    steps = draw(st.integers(0, 3))
    if draw(st.booleans()):
        observations = [draw(arrived) for _ in range(steps + 1)]
        actions = [draw(message("assistant")) for _ in range(steps)]
        opening = observations[0]
    else:
        kind = draw(dtypes)
        shape = draw(arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))
        observations = draw(
            arrays.arrays(np.dtype(kind), (steps + 1, *shape))
            | st.lists(values, min_size=steps + 1, max_size=steps + 1)
        )
        actions = draw(
            arrays.arrays(np.dtype(draw(dtypes)), (steps, *shape)) | st.lists(scalars, min_size=steps, max_size=steps)
        )
        opening = None
    reward = st.just(math.nan) | st.floats(allow_nan=False, allow_infinity=False)
    return Trajectory(
        observations=observations,
        actions=actions,
        rewards=draw(st.lists(reward, min_size=steps, max_size=steps)),
        seconds=draw(st.none() | st.lists(floats, min_size=steps, max_size=steps)),
        terminated=draw(st.booleans()),
        truncated=draw(st.booleans()),
        task=draw(st.none() | tasks(opening)),
        group=draw(st.none() | texts),
        tokens=draw(st.none() | tokens(steps)),
        info=draw(objects),
    )
