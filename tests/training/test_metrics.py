from __future__ import annotations

import json
import math
import sys
import types

import numpy as np
import pytest

from rewardlab.training.credit import Advantages
from rewardlab.training.metrics import Clock, RunFolder, step_metrics
from rewardlab.training.trackers import (
    TRACKERS,
    ProgressTracker,
    TensorBoardTracker,
    Tracker,
    TrackioTracker,
    WandbTracker,
)
from rewardlab.types import Scores, Status, Tokens, Trajectory


def trajectory(turns, written, truncated=False, seconds=None):
    action = {"role": "assistant", "content": "x"}
    return Trajectory(
        observations=[[] for _ in range(turns + 1)],
        actions=[action] * turns,
        truncated=truncated,
        tokens=Tokens(ids=np.zeros(written + 2), step=[-1, -1] + [0] * written, logprobs=np.zeros(written + 2)),
        seconds=seconds,
    )


def test_numbers_of_a_step_by_hand():
    part = Scores(values=[1.0, 0.0, math.nan], status=[Status.SCORED, Status.SCORED, Status.ABSTAINED])
    scores = Scores(
        values=[3.0, 1.0, math.nan],
        status=[Status.SCORED, Status.SCORED, Status.FAILED],
        parts={"tools": Scores(values=[0.0, 2.0, math.nan], status=[0, 0, 2], parts={"name": part})},
    )
    advantages = Advantages(
        values=[np.array([2.0, 2.0]), np.array([-1.0]), np.array([9.0])],
        included=np.array([True, True, False]),
        statistics={"groups": 2.0, "zero_variance_groups": 1.0, "single_member_groups": 0.0},
    )
    rows = [trajectory(2, 4, truncated=True, seconds=[1.0, 2.0]), trajectory(1, 2, seconds=[0.5]), trajectory(3, 0)]
    got = step_metrics(rows, scores, advantages, {"loss": 0.5})
    assert got["reward/mean"] == 2.0
    assert got["reward/std"] == 1.0
    assert got["parts/tools"] == 1.0
    assert got["parts/tools.name"] == 0.5
    assert (got["samples/scored"], got["samples/abstained"], got["samples/failed"]) == (2, 0, 1)
    assert (got["groups/count"], got["groups/zero_variance"], got["groups/single"]) == (2, 0.5, 0.0)
    assert got["advantage/abs_mean"] == 1.5
    assert got["trajectory/tokens"] == 2.0
    assert got["trajectory/turns"] == 2.0
    assert got["trajectory/truncated"] == pytest.approx(1 / 3)
    assert got["seconds/trajectory"] == 1.75
    assert got["update/loss"] == 0.5


def test_numbers_that_do_not_exist_are_nan_and_written_as_null(tmp_path):
    nothing = Advantages(values=[], included=np.zeros(0, dtype=bool))
    got = step_metrics([], Scores(values=[]), nothing, {})
    assert math.isnan(got["reward/mean"])
    assert math.isnan(got["groups/zero_variance"])
    folder = RunFolder(tmp_path / "run")
    folder.append("metrics.jsonl", {"step": 1, **got, "inf": math.inf, "small": np.float32(0.5)})
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    line = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert line["reward/mean"] is None
    assert line["inf"] is None
    assert line["small"] == 0.5


def test_rewinding_cuts_torn_and_later_lines(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append("metrics.jsonl", {"step": 1})
    kept = folder.write_trajectories("step", 1, [trajectory(1, 1)], Scores(values=[1.0]))
    sizes, files = folder.sizes(), folder.trajectory_files()
    folder.append("metrics.jsonl", {"step": 2})
    folder.append("evaluations.jsonl", {"step": 2})
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 3, "rew')
    folder.write_trajectories("step", 2, [trajectory(1, 1)], Scores(values=[1.0]))
    folder.rewind(sizes, files)
    assert folder.read("metrics.jsonl") == [{"step": 1}]
    assert folder.read("evaluations.jsonl") == []
    assert list((tmp_path / "trajectories").iterdir()) == [kept]


def test_clock_adds_up():
    clock = Clock()
    for _ in range(2):
        with clock("a"):
            pass
    with clock("b"):
        pass
    assert set(clock.seconds) == {"a", "b"}
    assert all(seconds >= 0 for seconds in clock.seconds.values())


METRICS = {"reward/mean": 0.5, "update/loss": math.nan, "samples/failed": 2.0}


def test_tensorboard_holds_the_numbers(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tracker = TensorBoardTracker()
    tracker.start(folder=tmp_path, config={}, step=0, steps=3)
    tracker.log("training", 1, METRICS)
    tracker.log("training", 2, {"reward/mean": 0.75})
    tracker.log("evaluation", 2, {"success": 0.25})
    tracker.close()
    resumed = TensorBoardTracker()  # step 2 was lost in a crash, and is done again
    resumed.start(folder=tmp_path, config={}, step=1, steps=3)
    resumed.log("training", 2, {"reward/mean": 0.8})
    resumed.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {"reward/mean", "samples/failed", "evaluation/success"}
    assert [(event.step, round(event.value, 4)) for event in found.Scalars("reward/mean")] == [(1, 0.5), (2, 0.8)]


@pytest.mark.parametrize(("name", "kind"), [("wandb", WandbTracker), ("trackio", TrackioTracker)])
def test_services_get_the_numbers(monkeypatch, tmp_path, name, kind):
    calls = []

    class Service(types.ModuleType):
        def init(self, **options):
            calls.append(("init", options))
            return self

        def log(self, numbers):
            calls.append(("log", numbers))

        def finish(self):
            calls.append(("finish", None))

    monkeypatch.setitem(sys.modules, name, Service(name))
    tracker = kind(project="mine")
    tracker.start(folder=tmp_path, config={"seed": 1}, step=0, steps=3)
    tracker.log("training", 1, METRICS)
    tracker.close()
    tracker.close()
    assert [call[0] for call in calls] == ["init", "log", "finish"]
    assert calls[0][1]["project"] == "mine"
    assert calls[0][1]["config"] == {"seed": 1}
    assert calls[1][1] == {"reward/mean": 0.5, "samples/failed": 2.0, "training/step": 1}


def test_services_that_are_not_installed_say_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match="the wandb tracker needs the package 'wandb', which is not installed"):
        WandbTracker().start(folder=tmp_path, config={}, step=0, steps=1)


def test_progress_without_a_terminal_prints_a_few_lines(capsys):
    tracker = ProgressTracker()
    tracker.start(folder=None, config={}, step=0, steps=20)
    tracker.log("warm_start", 1, {"loss": 2.0})
    for step in range(1, 21):
        tracker.log("training", step, METRICS)
    tracker.log("evaluation", 20, {"success": 0.25, "reward/mean": 0.5})
    tracker.close()
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 11
    assert shown[0].startswith("training 2/20  reward 0.5")
    assert "failed 2" in shown[0]
    assert shown[-1].startswith("evaluation 20/20")
    assert "success 0.25" in shown[-1]


def test_progress_in_a_terminal_draws_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    tracker = ProgressTracker()
    tracker.start(folder=None, config={}, step=3, steps=20)
    tracker.log("training", 4, METRICS)
    tracker.close()
    assert "4/20" in capsys.readouterr().err


def test_trackers_by_name():
    assert set(TRACKERS) >= {"progress", "tensorboard", "wandb", "trackio"}
    for name in TRACKERS:
        assert isinstance(TRACKERS.resolve(name)(), Tracker)
