"""Policies of Stable-Baselines3: called like every other, and saved without pickle.

Its own zip files hold pickled Python, which runs whatever it was made to run when somebody loads it. Here the weights go to
`weights.safetensors`, and everything else (learner, options, spaces) to `policy.json`.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.extras import require
from rewardlab.registry import nearest

LEARNERS = {"a2c": "A2C", "ddpg": "DDPG", "dqn": "DQN", "ppo": "PPO", "sac": "SAC", "td3": "TD3"}
"""Name of a learner -> its class in `stable_baselines3`."""

ACTIVATIONS = {"relu": "ReLU", "tanh": "Tanh", "elu": "ELU", "gelu": "GELU", "silu": "SiLU", "leaky_relu": "LeakyReLU"}
"""What `policy_kwargs.activation_fn` may be called in options."""

_OURS = {
    "self": "",
    "policy": "it is chosen by the observation space",
    "env": "it is the first argument",
    "seed": "give seed= itself",
    "device": "give device= itself",
    "verbose": "progress is shown by progress=",
    "tensorboard_log": "metrics are written to the folder",
    "_init_setup_model": "",
    "stats_window_size": "the log of this library has its own",
}
"""Arguments of a learner that are no options."""


def learner_class(name: str) -> Any:
    """The class of a learner by name.

    Raises:
        ValueError: no such learner; the nearest name is given.
    """
    package = require("stable_baselines3", extra="control", why="training a control policy")
    if name not in LEARNERS:
        raise ValueError(f"unknown learner {name!r}{nearest(str(name), LEARNERS)}")
    return getattr(package, LEARNERS[name])


def check_options(learner: str, options: Mapping[str, Any]) -> None:
    """Check the names of a learner's options, and that a file can hold them.

    Raises:
        ValueError: an unknown option (the nearest is given), one that is given elsewhere, or one that JSON cannot hold.
    """
    cls = learner_class(learner)
    known = [name for name in inspect.signature(cls.__init__).parameters if name not in _OURS]
    for name, value in options.items():
        if name in _OURS:
            raise ValueError(f"option {name!r} of {learner} is not given here: {_OURS[name] or 'it is not an option'}")
        if name not in known:
            raise ValueError(f"{learner} has no option {name!r}{nearest(name, known)}")
        try:
            json.dumps(value)
        except TypeError:
            hint = (
                "give the name of the activation, such as 'tanh'" if name == "policy_kwargs" else "give a plain number"
            )
            raise ValueError(
                f"option {name!r} of {learner} is {value!r:.80}, which no file can hold, so the run could not go on from a "
                f"checkpoint; {hint}, or a list or dict of plain values"
            ) from None
    activation = dict(options.get("policy_kwargs") or {}).get("activation_fn")
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}{nearest(str(activation), ACTIVATIONS)}")


def build_learner(
    learner: str,
    environment: Any,
    options: Mapping[str, Any],
    *,
    spaces: tuple[Any, Any] | None = None,
    seed: int | None = None,
    device: str = "cpu",
) -> Any:
    """A learner of Stable-Baselines3.

    Args:
        learner: its name.
        environment: a `VecEnv`, or None for a policy that only acts; then give `spaces`.
        options: what `check_options` accepts.
        spaces: observation and action space, where there is no environment.
        seed: of everything that it draws.
        device: where it computes.

    Raises:
        ValueError: an unknown learner or option, or actions of a kind that the learner does not take.
    """
    check_options(learner, options)
    torch = require("torch", extra="control", why="training a control policy")
    cls = learner_class(learner)
    observation_space, action_space = spaces or (environment.observation_space, environment.action_space)
    kind = type(action_space).__name__
    if learner == "dqn" and kind != "Discrete":
        raise ValueError(f"dqn needs discrete actions, and the action space is {action_space}; use sac, td3 or ppo")
    if learner in ("sac", "td3", "ddpg") and kind != "Box":
        raise ValueError(
            f"{learner} needs continuous actions (a Box), and the action space is {action_space}; use ppo or dqn"
        )
    chosen = dict(options)
    if chosen.get("policy_kwargs"):
        kwargs = dict(chosen["policy_kwargs"])
        if "activation_fn" in kwargs:
            kwargs["activation_fn"] = getattr(torch.nn, ACTIVATIONS[kwargs["activation_fn"]])
        chosen["policy_kwargs"] = kwargs
    if isinstance(chosen.get("train_freq"), list):
        chosen["train_freq"] = tuple(chosen["train_freq"])
    if environment is None and "buffer_size" in inspect.signature(cls.__init__).parameters:
        chosen["buffer_size"] = 1  # nothing will be stored
    if environment is None and learner == "sac":
        chosen["target_entropy"] = -float(np.prod(action_space.shape))  # else it asks the environment
    model = cls(
        policy_kind(observation_space),
        environment,
        seed=seed,
        device=device,
        _init_setup_model=environment is not None,
        **chosen,
    )
    if environment is None:
        model.observation_space, model.action_space, model.n_envs = observation_space, action_space, 1
        model._setup_model()
    return model


def policy_kind(observation_space: Any) -> str:
    """The name of the network that Stable-Baselines3 uses for an observation space."""
    preprocessing = require(
        "stable_baselines3.common.preprocessing", extra="control", why="choosing a network for observations"
    )
    if type(observation_space).__name__ == "Dict":
        return "MultiInputPolicy"
    return "CnnPolicy" if preprocessing.is_image_space(observation_space) else "MlpPolicy"


class StableBaselinesPolicy:
    """A policy of Stable-Baselines3 behind the interface of this library.

    Args:
        model: a learner of Stable-Baselines3 (PPO, SAC, ...).
        learner: its name, and
        options: its options, where it shall be saved; a model that was built elsewhere is known by its class.
    """

    def __init__(self, model: Any, learner: str | None = None, options: Mapping[str, Any] | None = None) -> None:
        names = {cls: name for name, cls in LEARNERS.items()}
        self.model = model
        self.learner = learner or names.get(type(model).__name__, type(model).__name__)
        self.options = dict(options or {})

    def seed(self, seed: int) -> None:
        """Begin what it draws again."""
        require("stable_baselines3.common.utils", extra="control", why="acting").set_random_seed(seed)

    def act(self, observations: Any, deterministic: bool = False) -> NDArray[Any]:
        """Actions for N observations, within the bounds of the action space."""
        return np.asarray(self.model.predict(observations, deterministic=deterministic)[0])

    def save(self, folder: str | Path) -> Path:
        """Write weights, options and spaces; nothing is pickled.

        Raises:
            ValueError: it is of a learner, or has options, that cannot be named in a file.
        """
        safetensors = require("safetensors.torch", extra="control", why="saving a policy")
        serialization = require("minari.serialization", extra="control", why="writing spaces to a file")
        check_options(self.learner, self.options)
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous().clone() for name, value in self.model.policy.state_dict().items()}
        safetensors.save_file(weights, path / "weights.safetensors")
        described = {
            "learner": self.learner,
            "options": self.options,
            "observation_space": json.loads(serialization.serialize_space(self.model.observation_space)),
            "action_space": json.loads(serialization.serialize_space(self.model.action_space)),
        }
        (path / "policy.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
        return path

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "cpu") -> StableBaselinesPolicy:
        """Read a policy that `save` wrote.

        Raises:
            FileNotFoundError: there is none in the folder.
            ValueError: the files do not fit together.
        """
        safetensors = require("safetensors.torch", extra="control", why="loading a policy")
        serialization = require("minari.serialization", extra="control", why="reading spaces from a file")
        path = Path(folder)
        if not (path / "policy.json").is_file():
            raise FileNotFoundError(
                f"there is no policy in {str(path)!r}: expected policy.json and weights.safetensors in it"
            )
        described = json.loads((path / "policy.json").read_text(encoding="utf-8"))
        spaces = tuple(
            serialization.deserialize_space(json.dumps(described[name]))
            for name in ("observation_space", "action_space")
        )
        model = build_learner(described["learner"], None, described["options"], spaces=spaces, device=device)
        try:
            model.policy.load_state_dict(safetensors.load_file(path / "weights.safetensors", device=device))
        except RuntimeError as error:
            raise ValueError(f"the weights in {str(path)!r} are not those of its policy.json: {error}") from error
        return cls(model, described["learner"], described["options"])
