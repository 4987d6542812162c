"""Reward machines and formulas inside real Gymnasium environments."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

from rewardlab.environments.control import MachineWrapper, RewardWrapper, VectorRewardWrapper
from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.rewards.formal import LTLf, RewardMachine

LAKE = {"goal": [15], "hole": [5, 7, 11, 12], "corner": [3]}


def corner_first() -> RewardMachine:
    return RewardMachine(
        transitions=[("start", "seen", "corner"), ("seen", "done", "goal", 1.0)],
        terminal=("done",),
        otherwise="stay",
        labels=LAKE,
    )


def lake(**options: object) -> gymnasium.Env:
    return gymnasium.make("FrozenLake-v1", is_slippery=False, **options)


def test_the_product_is_sampled_as_it_is_solved() -> None:
    machine = corner_first()
    wrapped = MachineWrapper(lake(), machine)
    assert wrapped.observation_space == spaces.Discrete(16 * 3)
    product = machine.product(MarkovDecisionProcess.from_gymnasium(lake(), discount=0.95))
    plan = product.optimal_policy().argmax(-1)
    observation, info = wrapped.reset(seed=0)
    assert (observation, info["machine_state"]) == (0, "start")
    earned, seen, over = [], [info["machine_state"]], False
    while not over:
        observation, reward, over, truncated, info = wrapped.step(int(plan[observation]))
        assert not truncated
        earned.append(reward)
        seen.append(info["machine_state"])
    assert (seen[3], seen[-1]) == ("seen", "done")
    assert info["environment_reward"] == 1.0
    assert earned == [0.0] * (len(earned) - 1) + [1.0]
    assert product.solve()[0][0] == pytest.approx(0.95 ** (len(earned) - 1))
    assert wrapped.reset()[1]["machine_state"] == "start"


@pytest.mark.filterwarnings("ignore::UserWarning")  # the checker would rather see bare environments
def test_the_state_of_the_machine_is_shown_in_any_space() -> None:
    labels = {"type": f"{__name__}:leaning"}
    pole = RewardMachine(
        transitions=[("up", "low", "right", 1.0), ("low", "up", "!right", 1.0)], otherwise="stay", labels=labels
    )
    wrapped = MachineWrapper(gymnasium.make("CartPole-v1"), pole)
    assert wrapped.observation_space.shape == (6,)
    check_env(wrapped, skip_render_check=True)
    observation, _ = wrapped.reset(seed=1)
    assert observation[4:].tolist() == [1, 0]
    assert MachineWrapper(gymnasium.make("CartPole-v1"), pole, observe=False).reset(seed=1)[0].shape == (4,)

    class Camera(gymnasium.Env):
        observation_space = spaces.Dict({"image": spaces.Box(0, 255, (4, 4, 3), np.uint8), "place": spaces.Discrete(4)})
        action_space = spaces.Discrete(2)

        def _see(self) -> dict[str, object]:
            return {"image": np.zeros((4, 4, 3), np.uint8), "place": np.int64(self.place)}

        def reset(
            self, *, seed: int | None = None, options: object = None
        ) -> tuple[dict[str, object], dict[str, object]]:
            super().reset(seed=seed)
            self.place = 0
            return self._see(), {"rang": False}

        def step(self, action: int) -> tuple[dict[str, object], float, bool, bool, dict[str, object]]:
            self.place = (self.place + 1) % 4
            return self._see(), 0.0, False, False, {"rang": self.place == 2}

    told = LTLf("F rang", labels={"type": "labels_from_info", "names": ["rang"]})
    seen = MachineWrapper(Camera(), told)
    check_env(seen, skip_render_check=True)
    assert seen.reset()[0]["machine"] == 0
    assert [seen.step(0)[1:3] for _ in range(2)] == [(0.0, False), (1.0, True)]
    plain = RewardWrapper(Camera(), told)
    plain.reset()
    assert [plain.step(0)[1] for _ in range(3)] == [0.0, 1.0, 0.0]
    picture = MachineWrapper(gymnasium.wrappers.FilterObservation(Camera(), ["image"]), told)
    assert set(picture.observation_space.spaces) == {"image", "machine"}


def leaning(next_observation: np.ndarray) -> dict[str, np.ndarray]:
    return {"right": next_observation[:, 2] > 0}


def test_each_environment_of_a_vector_has_its_own_machine_and_starts_again_alone() -> None:
    reward = LTLf("F corner & G !hole", labels=LAKE, violated=-1.0)
    vector = VectorRewardWrapper(
        gymnasium.make_vec("FrozenLake-v1", num_envs=3, vector_kwargs={}, is_slippery=False), reward
    )
    singles = [RewardWrapper(lake(), reward) for _ in range(3)]
    vector.reset(seed=0)
    for single in singles:
        single.reset(seed=0)
    generator, ended, episodes = np.random.default_rng(0), np.zeros(3, dtype=bool), 0
    for _ in range(120):
        actions = generator.integers(0, 4, 3)
        _, rewards, terminated, truncated, _ = vector.step(actions)
        for index, single in enumerate(singles):
            if ended[index]:
                single.reset()
                assert rewards[index] == 0.0
            else:
                assert single.step(int(actions[index]))[1] == rewards[index]
        ended = terminated | truncated
        episodes += int(ended.sum())
    assert episodes > 5
    assert {round(entry["return"]) for entry in vector.episodes} <= {-1, 0, 1}


def test_a_limit_is_no_violation_inside_an_environment() -> None:
    wrapped = MachineWrapper(lake(max_episode_steps=2), LTLf("F goal", labels=LAKE, violated=-1.0))
    wrapped.reset(seed=0)
    assert [wrapped.step(0)[1:4] for _ in range(2)] == [(0.0, False, False), (0.0, False, True)]


def test_wrong_machines_and_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="the machine has no labelling"):
        MachineWrapper(lake(), LTLf("F goal"))
    with pytest.raises(ValueError, match="labelling is one of chats"):
        MachineWrapper(lake(), LTLf("F a", labels={"type": "chat_events", "events": {"a": "tool"}}))
    wrapped = MachineWrapper(gymnasium.make("CartPole-v1"), LTLf("F goal", labels=LAKE))
    wrapped.reset(seed=0)
    with pytest.raises(
        ValueError, match="labels by state need the number of a state as observation, got float32\\[1, 4\\]"
    ):
        wrapped.step(0)
