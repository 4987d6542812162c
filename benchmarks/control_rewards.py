"""What a reward inside an environment costs: several HalfCheetah at once, with the wrapper and without.

    python benchmarks/control_rewards.py [--steps 3000] [--environments 8]

CPU time of the process. Environments with and without a reward take turns step by step in one run, and the tenth percentile
of single steps is compared, the same for all: whatever else a machine does only adds to a step. What a reward computes is
part of the overhead; the same arithmetic written by hand after each step, without any wrapper, is measured too, and the
difference between the two is what the wrapper itself costs. The wrapper around an environment that does nothing, which finds
its own code in the cache of the processor, is measured beside it.
"""

from __future__ import annotations

import argparse
import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

import rewardlab as rl
from rewardlab.environments.control import RewardVecEnv, VectorRewardWrapper
from rewardlab.rewards.online import RunningNormalise
from rewardlab.rewards.shaping import Potential

COUNT = 8
BLOCK = 50


@rl.reward
def forward(next_observation: np.ndarray) -> np.ndarray:
    return next_observation[:, 8]


@rl.reward(per="transition")
def effort(action: np.ndarray) -> np.ndarray:
    return np.square(action).sum(-1)


@rl.reward
def upright(next_observation: np.ndarray) -> np.ndarray:
    return np.cos(next_observation[:, 1])


@rl.reward
def brisk(next_observation: np.ndarray) -> np.ndarray:
    return np.tanh(next_observation[:, 8])


@rl.reward
def height(observation: np.ndarray) -> np.ndarray:
    return observation[:, 0]


@dataclass(frozen=True, kw_only=True)
class Laps(rl.StatefulReward):
    """1 whenever the way so far passes another five metres."""

    def start(self, count: int) -> dict[str, np.ndarray]:  # noqa: D102
        return {"way": np.zeros(count), "laps": np.zeros(count)}

    def advance(self, state, observation, action, next_observation, terminated, info=None):  # type: ignore[no-untyped-def]  # noqa: D102
        way = state["way"] + 0.05 * next_observation[:, 8]
        laps = np.maximum(state["laps"], np.floor(way / 5.0))
        return laps - state["laps"], {"way": way, "laps": laps}


def rewards() -> dict[str, rl.Reward]:
    return {
        "sum": forward - 0.1 * effort,
        "kinesthetic and potential": rl.kinesthetic(brisk, upright) + Potential(phi=height, discount=0.99),
        "stateful": RunningNormalise(reward=Laps() + 0.1 * forward - 0.1 * effort),
    }


def by_hand() -> dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], Any]]:
    """What each reward computes, written down without this library."""
    laps = Laps()
    state = laps.start(COUNT)
    never = np.zeros(COUNT, dtype=bool)

    def plain(before: np.ndarray, action: np.ndarray, after: np.ndarray) -> Any:
        return after[:, 8] - 0.1 * np.square(action).sum(-1)

    def shaped(before: np.ndarray, action: np.ndarray, after: np.ndarray) -> Any:
        left, right = np.tanh(after[:, 8]), np.cos(after[:, 1])
        size = np.sqrt(np.abs(left) * np.abs(right))
        return np.where((left >= 0) & (right >= 0), size, -size) + 0.99 * after[:, 0] - before[:, 0]

    def counted(before: np.ndarray, action: np.ndarray, after: np.ndarray) -> Any:
        nonlocal state
        gained, state = laps.advance(state, before, action, after, never)
        return gained + plain(before, action, after)

    return {"sum": plain, "kinesthetic and potential": shaped, "stateful": counted}


def cheetah() -> gymnasium.Env:
    return gymnasium.make("HalfCheetah-v5")


def vector(reward: rl.Reward | None) -> Callable[[np.ndarray], Any]:
    environment: Any = SyncVectorEnv([cheetah] * COUNT)
    if reward is not None:
        environment = VectorRewardWrapper(environment, reward)
    environment.reset(seed=0)
    return environment.step


def stable(reward: rl.Reward | None, keep_parts: bool = True) -> Callable[[np.ndarray], Any]:
    environment: Any = DummyVecEnv([cheetah] * COUNT)
    if reward is not None:
        environment = RewardVecEnv(environment, reward, keep_parts=keep_parts)
    environment.seed(0)
    environment.reset()
    return environment.step


def with_arithmetic(step: Callable[[np.ndarray], Any], compute: Callable[..., Any]) -> Callable[[np.ndarray], Any]:
    """An environment without a wrapper, after whose steps a reward is computed by hand."""
    last = np.zeros((COUNT, 17))

    def both(actions: np.ndarray) -> None:
        nonlocal last
        seen = step(actions)[0]
        compute(last, actions, seen)
        last = seen

    return both


def block(step: Callable[[np.ndarray], Any], actions: np.ndarray) -> float:
    start = time.process_time()
    for row in actions:
        step(row)
    return time.process_time() - start


def measure(make: Callable[[rl.Reward | None], Callable], steps: int) -> None:
    contenders = {"plain": make(None)}
    for name, reward in rewards().items():
        contenders[name] = make(reward)
        contenders[f"{name} by hand"] = with_arithmetic(make(None), by_hand()[name])
    actions = np.random.default_rng(0).uniform(-1, 1, size=(steps, COUNT, 6)).astype(np.float32)
    times = {name: np.empty(steps) for name in contenders}
    for at, row in enumerate(actions):
        for name, step in contenders.items():
            start = time.process_time_ns()
            step(row)
            times[name][at] = (time.process_time_ns() - start) / 1000
    quick = {name: float(np.percentile(spent, 10)) for name, spent in times.items()}
    plain = quick["plain"]
    print(f"  plain: {plain:.0f} microseconds a step of {COUNT} environments")
    for name in rewards():
        mine, bare = quick[name], quick[f"{name} by hand"]
        shares = [100 * (part / plain) for part in (mine - plain, bare - plain, mine - bare)]
        print("  {}: {:+.1f} %, by hand {:+.1f} %, the wrapper itself {:+.1f} %".format(name, *shares))


def alone(steps: int) -> None:
    """The wrapper around an environment that costs nothing, so that nothing else is measured."""
    seen = np.random.default_rng(0).normal(size=(COUNT, 17))
    earned, ended = np.zeros(COUNT), np.zeros(COUNT, dtype=bool)

    class Still(gymnasium.vector.VectorEnv):
        num_envs = len(seen)
        single_observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (17,), np.float64)
        metadata: ClassVar = {"autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP}

        def reset(self, *, seed=None, options=None):  # type: ignore[no-untyped-def]
            return seen, {}

        def step(self, actions):  # type: ignore[no-untyped-def]
            return seen, earned, ended, ended, {}

    actions = np.zeros((steps, COUNT, 6), dtype=np.float32)
    for name, reward in rewards().items():
        environment = VectorRewardWrapper(Still(), reward)
        environment.reset()
        spent = [block(environment.step, actions[:BLOCK]) for _ in range(max(3, steps // BLOCK))]
        print(f"  {name}: {np.percentile(spent, 10) / BLOCK * 1e6:.1f} microseconds a step")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000, help="steps of the vector for each reward")
    parser.add_argument("--environments", type=int, default=8, help="environments in a vector")
    chosen = parser.parse_args()
    global COUNT
    steps, COUNT = chosen.steps, chosen.environments
    gymnasium.logger.min_level = logging.ERROR
    print(f"gymnasium.vector.SyncVectorEnv, {COUNT} x HalfCheetah-v5")
    measure(vector, steps)
    print(f"Stable-Baselines3 DummyVecEnv, {COUNT} x HalfCheetah-v5")
    measure(stable, steps)
    print("the same with keep_parts=False, as train_control has it")
    measure(functools.partial(stable, keep_parts=False), steps)
    print("the wrapper alone, around an environment that does nothing")
    alone(steps)


if __name__ == "__main__":
    main()
