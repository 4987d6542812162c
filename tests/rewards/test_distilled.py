from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.rewards.models import DistilledReward, Preconditioned, TransitionBatch
from tests.rewards.test_adversarial import BOX, TORQUE, batch, reward


@rl.reward(per="transition")
def speed(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
    return observation[:, 0] + action[:, 0]


class Sine(rl.TransitionReward):
    """A reward without a network."""

    def transition(self, observation, action, next_observation, terminated):  # type: ignore[no-untyped-def]
        return np.sin(observation[:, 0])


def test_what_the_expert_did_is_known_and_the_rest_is_not(tmp_path: Path) -> None:
    expert = batch(60, shift=1.0)
    one = DistilledReward.for_spaces(BOX, TORQUE, hidden=(32, 32), epochs=60)
    with pytest.raises(ValueError, match="has learned nothing; call fit"):
        one.of(expert)
    metrics = one.fit(expert)
    assert metrics["error_after"] < 0.1 * metrics["error_before"]
    known, unknown = one.of(expert), one.of(batch(60, shift=-2.0))
    assert known.mean() > 0.8 > unknown.mean()
    assert ((known > 0) & (known <= 1)).all()
    assert one.deterministic
    again = DistilledReward.load(one.save(tmp_path))
    assert again.of(expert) == pytest.approx(known)
    one.fit(expert)
    assert one.of(expert) == pytest.approx(known)


def test_preconditioning_by_a_function() -> None:
    one = rl.precondition(Sine(), lambda observation, **_: np.where(observation[:, 0] > 0, 1.0, 0.1), floor=0.5)
    seen = np.array([[1.0, 0.0], [-1.0, 0.0]])
    columns = (seen, np.zeros((2, 1)), seen, np.zeros(2, bool))
    assert one.transition(*columns) == pytest.approx(np.sin([1.0, -1.0]) * [1.0, 0.5])
    wrong = rl.precondition(Sine(), lambda **_: np.array([2.0, 0.5]))
    with pytest.raises(ValueError, match=r"kappa must return 2 numbers in \(0, 1\], got shape \(2,\) from 0.5 to 2.0"):
        wrong.transition(*columns)


def test_preconditioning_by_learned_dynamics() -> None:
    """Steep dynamics on one side: the multiplier is smaller there."""
    draw = np.random.default_rng(0)
    seen = draw.uniform(-1, 1, (256, 1))
    done = draw.uniform(-1, 1, (256, 1))
    following = np.where(seen > 0, 4.0 * seen, 0.2 * seen) + 0.1 * done
    columns = TransitionBatch(
        observation=seen, action=done, next_observation=following, terminated=np.zeros(256, dtype=bool)
    )
    one = rl.precondition(Sine(), "dynamics", target=1.0, learning_rate=1e-2, hidden=(32,))
    assert (one.multiplier(columns) == 1).all()
    for _ in range(150):
        metrics = one.fit_step(columns)
    kappa = one.multiplier(columns)
    steep = seen[:, 0] > 0.2
    assert metrics["dynamics_loss"] < 0.05
    assert ((kappa >= 0.7) & (kappa <= 1)).all()
    assert kappa[steep].mean() < 0.75 < 0.95 < kappa[seen[:, 0] < -0.2].mean()
    again = rl.precondition(Sine(), "dynamics", target=1.0, hidden=(32,))
    again.load_state_dict(one.state_dict())
    assert again.multiplier(columns) == pytest.approx(kappa)


def test_preconditioning_by_the_rewards_own_gradient() -> None:
    inner = reward(penalty=None, learning_rate=1e-2)
    one = rl.precondition(inner, "reward")
    for _ in range(60):
        one.fit_step(batch(32, shift=-0.3), batch(32, shift=0.3, seed=1))
    kappa, norms = one.multiplier(batch(32)), inner.gradient_norms(batch(32))
    assert kappa == pytest.approx(np.maximum(0.7, np.exp(-(np.maximum(0, norms - 1) ** 2))))
    assert not one.deterministic
    with pytest.raises(TypeError, match="needs a reward that knows its gradient"):
        rl.precondition(Sine(), "reward")
    with pytest.raises(ValueError, match="option 'kappa' must be 'dynamics', 'reward' or a function, got 'world'"):
        Preconditioned(reward=Sine(), kappa="world")
    with pytest.raises(TypeError, match="needs a TransitionReward .* got 'speed'"):
        rl.precondition(speed)  # type: ignore[arg-type]
