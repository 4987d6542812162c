"""What a training of a control policy goes on from, as tensors and plain values: nothing of it is pickled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rewardlab.extras import require
from rewardlab.types.trees import tree_map

COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls")
BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def training_state(model: Any, world: Any) -> dict[str, Any]:
    """The state of a learner and of the reward in its environments.

    Args:
        model: a learner of Stable-Baselines3.
        world: its `RewardVecEnv`.
    """
    torch = require("torch", extra="control", why="a checkpoint")
    world.settle()
    _, keys, position, *_ = np.random.get_state()
    state: dict[str, Any] = {
        "parameters": {name: _named(part) for name, part in model.get_parameters().items()},
        "variables": {name: getattr(model, name).detach() for name in model._get_torch_save_params()[1]},
        "counters": {name: int(getattr(model, name)) for name in COUNTERS if hasattr(model, name)},
        "random": {
            "torch": torch.get_rng_state(),
            "numpy": np.asarray(keys, dtype=np.int64),
            "position": int(position),
        },
        "reward": world.reward.state_dict(),
    }
    buffer = getattr(model, "replay_buffer", None)
    if buffer is not None:
        count = buffer.size()
        state["buffer"] = {
            "position": int(buffer.pos),
            "full": bool(buffer.full),
            **{
                name: tree_map(lambda column: column[:count], getattr(buffer, name))
                for name in BUFFER
                if getattr(buffer, name, None) is not None
            },
        }
    return state


def read_state(model: Any, world: Any, state: Mapping[str, Any]) -> None:
    """Put back, in place, what `training_state` gave."""
    torch = require("torch", extra="control", why="a checkpoint")
    model.set_parameters({name: _numbered(part) for name, part in state["parameters"].items()}, device=model.device)
    with torch.no_grad():
        for name, value in state["variables"].items():
            getattr(model, name).copy_(value)
    for name, value in state["counters"].items():
        setattr(model, name, value)
    torch.set_rng_state(state["random"]["torch"])
    keys = np.asarray(state["random"]["numpy"]).astype(np.uint32)
    np.random.set_state(("MT19937", keys, state["random"]["position"], 0, 0.0))
    world.reward.load_state_dict(state["reward"])
    world.swap(world.reward)  # begins with the statistics that were just read
    stored = state.get("buffer")
    if stored is not None:
        buffer = model.replay_buffer
        for name in BUFFER:
            if name in stored:
                tree_map(_put, getattr(buffer, name), stored[name])
        buffer.pos, buffer.full = stored["position"], stored["full"]


def _put(column: Any, rows: Any) -> None:
    column[: len(rows)] = np.asarray(rows)


def _named(part: Any) -> Any:
    """State dicts of optimisers number their entries; files have names."""
    if isinstance(part, Mapping):
        return {str(key): _named(value) for key, value in part.items()}
    return [_named(entry) for entry in part] if isinstance(part, (list, tuple)) else part


def _numbered(part: Any) -> Any:
    if isinstance(part, Mapping) and set(part) == {"state", "param_groups"}:
        groups = [
            {**group, **({"betas": tuple(group["betas"])} if "betas" in group else {})}
            for group in part["param_groups"]
        ]
        return {"state": {int(key): value for key, value in part["state"].items()}, "param_groups": groups}
    return part
