"""The job at scale, in small: programs of a scripted model, checked on Hopper, corrected, trained with and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rewardlab.recipes
from rewardlab.learning.programs import RewardWriter
from rewardlab.recipes.text2reward.hopper import HopperView
from rewardlab.recipes.text2reward.scale import main, read_job, run

FILE = Path(rewardlab.recipes.__file__).parent / "scale" / "text2reward.yaml"
WRONG = "```python\ndef compute_dense_reward(self, action):\n    return self.torso.speed\n```"
RIGHT = "```python\ndef compute_dense_reward(self, action):\n    return self.torso.forward_velocity\n```"


def test_the_job_runs_in_small(tmp_path: Path) -> None:
    pytest.importorskip("mujoco")
    pytest.importorskip("stable_baselines3")
    job = replace(
        read_job(FILE),
        programs=1,
        sample=50,
        learner={"type": "ppo", "n_steps": 16, "batch_size": 16, "n_epochs": 1},
        environments=2,
        steps=32,
        seeds=[0],
        evaluation_episodes=1,
    )
    answers = iter([WRONG, RIGHT])
    writer = RewardWriter(model=lambda prompt: next(answers), abstraction=HopperView)
    found = run(job, tmp_path, writer)
    assert found.failures == {}
    assert len(found.names) == 2
    assert (tmp_path / "comparison.md").read_text().startswith("| reward | mean | seeds |")
    assert "passed on 50 transitions" in (tmp_path / "program_0.txt").read_text()


def test_the_file_is_checked_without_a_model(capsys: Any) -> None:
    pytest.importorskip("mujoco")
    pytest.importorskip("openai")
    main([str(FILE), "--check"])
    shown = capsys.readouterr().out
    assert "class HopperView:" in shown
    assert '"runs": 55' in shown


def test_wrong_options_are_named(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text("control: {instructions: x}\n")
    with pytest.raises(ValueError, match=r"control has no option 'instructions'; did you mean 'instruction'"):
        read_job(path)
    path.write_text("other: 1\n")
    with pytest.raises(ValueError, match="needs the key 'control'"):
        read_job(path)
