"""`rewardlab imitate` on a few demonstrations in an npz file."""

from __future__ import annotations

import numpy as np
import pytest

from rewardlab.learning.demonstrations import DemonstrationFit
from tests.learning.demonstrations.worlds_for_tests import balancing


@pytest.fixture
def demonstrations(tmp_path):
    found = balancing(3, length=100)
    columns = {
        "obs": np.concatenate([one.observations[:-1] for one in found]),
        "actions": np.concatenate([one.actions for one in found]),
        "rewards": np.concatenate([one.rewards for one in found]),
        "traj_id": np.repeat(np.arange(3), [len(one) for one in found]),
    }
    np.savez(tmp_path / "demos.npz", **columns)
    return tmp_path / "demos.npz"


def test_a_policy_is_cloned_judged_and_kept(run, demonstrations, tmp_path):
    asked = ("imitate", demonstrations, "-e", "CartPole-v1", "-m", "behaviour_cloning", "--steps", "200")
    ran = run(*asked, "--option", "hidden=[32]", "--episodes", "5", "-o", tmp_path / "out", "--json")
    assert ran.status == 0, ran.err
    assert ran.json["return"] > 100
    assert ran.json["demonstrations"] == 3
    assert "held_out_loss" in ran.err
    loaded = DemonstrationFit.load(tmp_path / "out")
    assert loaded.options["hidden"] == [32]
    assert loaded.steps == ran.json["steps"] == 200


def test_wrong_input_is_named(run, demonstrations):
    assert "did you mean" in run("imitate", demonstrations, "-e", "CartPole-v1", "--option", "updated=3").err
    for arguments, message in (
        ((demonstrations,), "give --environment, a Gymnasium id"),
        ((demonstrations, "-e", "CartPole-v1", "-m", "gial"), "unknown method 'gial'; known: airl"),
        (("-e", "CartPole-v1"), "gail needs demonstrations"),
        ((demonstrations, "-e", "CartPole-v1", "--option", "updates"), "--option must be NAME=VALUE, got 'updates'"),
        ((demonstrations, "-e", "Pendulum-v1"), "another environment"),
        (("nothing.npz", "-e", "CartPole-v1"), "there is no file 'nothing.npz'"),
    ):
        ran = run("imitate", *arguments)
        assert ran.status == 2
        assert message in " ".join(ran.err.replace("│", " ").split()), ran.err
