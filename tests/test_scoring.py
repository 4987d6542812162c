from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewardlab.rewards.base import Abstention, Reward, ScoringFailure, Verdict, Verifier
from rewardlab.rewards.functions import reward as as_reward
from rewardlab.scoring import ResumeRefused, ScatteredGroups, read_scores, score
from rewardlab.scoring.batches import adjacent_groups, count_groups, gathered_groups
from rewardlab.scoring.statistics import clustered_mean, t_quantile
from rewardlab.storage import Problems, read_trajectories, write_trajectories
from rewardlab.types import Scores, Status, Task, Trajectory


@dataclass(frozen=True, kw_only=True)
class Graded(Verifier):
    """Answers are numbers; "skip" abstains, "break" fails, and only even ones have the part `even`."""

    limit: float = 10.0

    def verify(self, trajectory: Trajectory) -> Verdict:
        if trajectory.completion == "skip":
            raise Abstention(f"nothing to say about {trajectory.task.id!r}")
        if trajectory.completion == "break":
            raise ScoringFailure(f"could not reach host {trajectory.task.id}: code 503")
        number = int(trajectory.completion)
        parts: dict[str, float | None] = {"size": number / 100}
        if number % 2 == 0:
            parts["even"] = 1.0
        return Verdict(value=min(number, self.limit), parts=parts, confidence=0.5)


@dataclass(frozen=True, kw_only=True)
class Relative(Reward):
    """How far an answer is above the mean of its group: the kind that needs the whole group."""

    group_wise = True

    def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        numbers = np.array([float(entry.completion) for entry in trajectories])
        values = np.empty(len(numbers))
        for index, entry in enumerate(trajectories):
            same = [place for place, other in enumerate(trajectories) if other.group == entry.group]
            values[index] = numbers[index] - numbers[same].mean()
        return Scores(values=values)


def answer(index: int, text: str, group: str | None = None) -> Trajectory:
    prompt = [{"role": "user", "content": f"question {index}"}]
    task = Task(id=f"task{index}", prompt=prompt, metadata={"level": "hard" if index % 3 == 0 else "easy"})
    return Trajectory.from_messages([*prompt, {"role": "assistant", "content": text}], task=task, group=group)


def answers(count: int) -> list[Trajectory]:
    texts = ["skip" if index % 10 == 9 else "break" if index % 10 == 8 else str(index % 7) for index in range(count)]
    return [answer(index, text, f"group{index // 4}") for index, text in enumerate(texts)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_trajectories(tmp_path / "source.jsonl", answers(100))
    return tmp_path / "source.jsonl"


# ---- what is written and what is said -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_scores_in_a_file_are_the_scores_of_the_reward(ending: str, source: Path, tmp_path: Path) -> None:
    output = tmp_path / f"scores.{ending}"
    summary = score(Graded(), source, output, batch_size=7)
    direct = Graded()(answers(100))
    stored = read_scores(output)
    assert np.array_equal(stored.values, direct.values, equal_nan=True)
    assert np.array_equal(stored.status, direct.status)
    assert stored.notes == direct.notes
    assert stored.reward_hash == Graded().spec_hash is not None
    assert np.array_equal(stored.confidence, direct.confidence, equal_nan=True)
    for name in ("size", "even"):
        assert np.array_equal(stored.parts[name].values, direct.parts[name].values, equal_nan=True)
        assert np.array_equal(stored.parts[name].scored, direct.parts[name].scored)
    assert summary.counts == direct.counts() == {"scored": 80, "abstained": 10, "failed": 10}
    assert summary.mean == pytest.approx(direct.mean())
    assert summary.parts["size"].mean.value == pytest.approx(direct.parts["size"].mean())
    assert summary.parts["even"].scored == direct.parts["even"].scored.sum()
    assert summary.groups == 25
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [source.name, output.name, f"{output.name}.run.json"]
    )


def test_rows_name_their_trajectory(source: Path, tmp_path: Path) -> None:
    score(Graded(), source, tmp_path / "scores.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(100))
    assert (rows[5]["id"], rows[5]["group"], rows[5]["value"], rows[5]["status"]) == ("task5", "group1", 5.0, "scored")
    assert rows[4]["parts"] == {"size": {"value": 0.04, "status": "scored"}, "even": {"value": 1.0, "status": "scored"}}
    assert (rows[8]["value"], rows[8]["status"], rows[8]["note"]) == (
        None,
        "failed",
        "could not reach host task8: code 503",
    )


def test_nested_parts_keep_their_dotted_names(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Nested(Reward):
        def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
            inner = Scores(
                values=np.arange(len(trajectories)), parts={"x.y": Scores(values=np.ones(len(trajectories)))}
            )
            return Scores(values=np.zeros(len(trajectories)), parts={"a": inner, "a2": inner})

    for ending in ("jsonl", "parquet"):
        summary = score(Nested(), answers(4), tmp_path / f"scores.{ending}")
        assert list(summary.parts) == ["a", "a.x.y", "a2", "a2.x.y"]
        stored = read_scores(tmp_path / f"scores.{ending}")
        assert [name for name, _ in stored.flat_parts()] == ["a", "a.x.y", "a2", "a2.x.y"]
        assert list(stored.parts) == ["a", "a2"]


def test_the_summary_reads_well_and_is_strict_json(source: Path) -> None:
    summary = score(Graded(), source, by="task.metadata.level")
    said = json.loads(summary.to_json())
    assert said["count"] == 100
    assert said["failed"] == 10
    assert said["parts"]["even"]["scored"] == summary.parts["even"].scored
    assert {name: part["scored"] + part["abstained"] + part["failed"] for name, part in said["by"].items()} == {
        "easy": 66,
        "hard": 34,
    }
    assert [(reason["status"], reason["count"]) for reason in said["reasons"]] == [("failed", 10), ("abstained", 10)]
    text = str(summary)
    for word in ("Graded", "  even", "hard", "could not reach host task8", "bootstrap over groups", "25 groups"):
        assert word in text
    assert "\x1b" not in text


def test_nothing_scored_gives_no_number() -> None:
    summary = score(Graded(), [answer(0, "skip")])
    assert math.isnan(summary.mean)
    assert json.loads(summary.to_json())["mean"] is None
    assert score(Graded(), [answer(0, "4")]).total.mean.method == "none"


def test_unreadable_rows_are_counted_and_the_rest_is_scored(source: Path, tmp_path: Path) -> None:
    lines = source.read_text().splitlines()
    lines[3] = "{oops"
    source.write_text("\n".join(lines) + "\n")
    problems = Problems()
    for _ in range(2):  # the second time from the finished file
        summary = score(Graded(), source, tmp_path / "scores.jsonl", problems=problems)
        assert (summary.count, summary.set_aside) == (99, 1)
        assert "source.jsonl:4: not JSON" in summary.problems[0]
        assert "1 rows of the source could not be read" in str(summary)
    assert problems.count == 1


def test_a_spec_or_its_file_will_do(source: Path, tmp_path: Path) -> None:
    spec = {"type": "tests.test_scoring:Graded", "limit": 2.0}
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    means = {
        score(form, source).mean
        for form in (Graded(limit=2.0), spec, tmp_path / "spec.yaml", str(tmp_path / "spec.yaml"))
    }
    assert len(means) == 1
    assert means != {score(Graded(), source).mean}


# ---- going on after a crash -----------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
from dataclasses import dataclass
from tests.test_scoring import Graded
from rewardlab.scoring import score

score(Graded(), sys.argv[1], sys.argv[2], batch_size=5, progress_bar=False)
"""

SLOW = """
import time
import tests.test_scoring as here

plain = here.Graded.verify
def verify(self, trajectory):
    time.sleep(0.01)
    return plain(self, trajectory)
here.Graded.verify = verify
"""


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_killed_runs_go_on_and_give_the_same_file(ending: str, source: Path, tmp_path: Path) -> None:
    whole, output = tmp_path / f"whole.{ending}", tmp_path / f"scores.{ending}"
    score(Graded(), source, whole, batch_size=5)
    partial = output.with_name(output.name + ".partial")
    kept = [0]
    for _ in range(3):
        run = subprocess.Popen([sys.executable, "-c", SLOW + SCRIPT, str(source), str(output)], cwd=Path.cwd())
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and run.poll() is None:
            if partial.exists() and partial.read_bytes().count(b"\n") >= kept[-1] + 20:
                break
            time.sleep(0.002)
        os.kill(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "it was to be killed while it was at work"
        kept.append(partial.read_bytes().count(b"\n"))
        assert not output.exists()
    assert kept == sorted(set(kept)), "each run gets further than the one before"
    summary = score(Graded(), source, output, batch_size=5)
    assert output.read_bytes() == whole.read_bytes()
    assert summary.reused >= kept[-1] - 4
    assert (summary.reused + summary.scored_now, summary.count) == (100, 100)
    assert not partial.exists()


@given(cut=st.integers(0, 30_000))
@settings(max_examples=40, deadline=None)
def test_a_partial_file_cut_anywhere_is_completed(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cut")
    batch = answers(60)
    score(Graded(), batch, folder / "whole.jsonl", batch_size=8)
    whole = (folder / "whole.jsonl").read_bytes()
    score(Graded(), batch, folder / "scores.jsonl", batch_size=8)
    (folder / "scores.jsonl").unlink()
    (folder / "scores.jsonl.partial").write_bytes(whole[:cut])
    summary = score(Graded(), batch, folder / "scores.jsonl", batch_size=3)  # the size it began with is kept
    assert (folder / "scores.jsonl").read_bytes() == whole
    rows = whole[:cut].count(b"\n") + (whole[:cut].endswith(b"}") and whole[cut : cut + 1] == b"\n")
    assert summary.reused == (60 if rows == 60 else rows // 8 * 8)


def test_a_finished_file_is_not_scored_again(source: Path, tmp_path: Path) -> None:
    first = score(Graded(), source, tmp_path / "scores.jsonl")
    stamp = (tmp_path / "scores.jsonl").stat().st_mtime_ns
    second = score(Graded(), source, tmp_path / "scores.jsonl")
    assert (tmp_path / "scores.jsonl").stat().st_mtime_ns == stamp
    assert (second.reused, second.scored_now) == (100, 0)
    assert second.to_dict() | {"reused": 0, "scored_now": 100} == first.to_dict()
    third = score(Graded(), source, tmp_path / "scores.jsonl", resume=False)
    assert third.scored_now == 100


def test_another_reward_source_or_option_is_refused(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "scores.jsonl"
    score(Graded(), source, output)
    kept = output.read_bytes()
    with pytest.raises(ResumeRefused, match=r"with hash .*, this is 'Graded' with hash .*resume=False"):
        score(Graded(limit=3.0), source, output)
    write_trajectories(tmp_path / "other.jsonl", answers(50))
    with pytest.raises(ResumeRefused, match="holds scores of 1 file"):
        score(Graded(), tmp_path / "other.jsonl", output)
    with pytest.raises(ResumeRefused, match="options"):
        score(Graded(), source, output, by="group")
    source.rename(tmp_path / "moved.jsonl")
    assert score(Graded(), tmp_path / "moved.jsonl", output).reused == 100, "the same contents under another name"
    assert output.read_bytes() == kept


def test_other_trajectories_in_a_list_are_noticed(tmp_path: Path) -> None:
    score(Graded(), answers(20), tmp_path / "scores.jsonl", batch_size=5)
    (tmp_path / "scores.jsonl").rename(tmp_path / "scores.jsonl.partial")
    with pytest.raises(ResumeRefused, match=r"task 'task0' .* but the source has task 'task7'"):
        score(Graded(), answers(30)[7:], tmp_path / "scores.jsonl")


def test_files_that_are_something_else_stay(source: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("mine")
    for resume in (True, False):
        with pytest.raises(FileExistsError, match=r"notes\.jsonl.*give another output"):
            score(Graded(), source, tmp_path / "notes.jsonl", resume=resume)
    assert (tmp_path / "notes.jsonl").read_text() == "mine"
    with pytest.raises(ValueError, match="is the source itself"):
        score(Graded(), source, source)
    with pytest.raises(ValueError, match="would be read as part of the source folder"):
        score(Graded(), tmp_path, tmp_path / "scores.jsonl")
    with pytest.raises(ValueError, match=r"written to \.jsonl or \.parquet"):
        score(Graded(), source, tmp_path / "scores.jsonl.gz")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_failed_samples_are_scored_again_alone(
    ending: str, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / f"scores.{ending}"
    before = score(Graded(), source, output)
    seen: list[str] = []

    def mended(self: Graded, trajectory: Trajectory) -> Verdict:
        seen.append(trajectory.task.id)
        return Verdict(value=9.0, parts={"late": 1.0})

    monkeypatch.setattr(Graded, "verify", mended)
    after = score(Graded(), source, output, retry_failed=True)
    assert seen == [f"task{index}" for index in range(8, 100, 10)]
    assert before.counts["failed"] == 10
    assert after.counts == {"scored": 90, "abstained": 10, "failed": 0}
    assert (after.reused, after.scored_now) == (90, 10)
    stored = read_scores(output)
    assert stored.values[8] == 9.0
    assert stored.values[7] == 0.0
    assert stored.parts["late"].scored.sum() == 10
    assert score(Graded(), source, output).counts == after.counts
    again = score(Graded(), source, output, retry_failed=True)
    assert (again.scored_now, len(seen)) == (0, 10)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_reward_that_raises_leaves_what_it_scored(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Graded._score
    calls = itertools.count()

    def breaks(self: Graded, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        if next(calls) == 3:
            raise RuntimeError("the judge is gone")
        return plain(self, trajectories, progress)

    monkeypatch.setattr(Graded, "_score", breaks)
    with pytest.raises(RuntimeError, match="the judge is gone"):
        score(Graded(), source, tmp_path / "scores.jsonl", batch_size=10)
    summary = score(Graded(), source, tmp_path / "scores.jsonl", batch_size=10)
    assert (summary.reused, summary.scored_now) == (30, 70)


# ---- groups ---------------------------------------------------------------------------------------------------------


def in_groups(order: list[int]) -> list[Trajectory]:
    return [answer(index, str(index * index % 11), f"g{number}") for index, number in enumerate(order)]


@given(order=st.lists(st.integers(0, 5), max_size=40), size=st.integers(1, 10))
@settings(max_examples=60, deadline=None)
def test_group_wise_rewards_get_whole_groups(
    order: list[int], size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("groups")
    batch = in_groups(order)
    score(Relative(), batch, folder / "scores.jsonl", batch_size=size)
    stored = read_scores(folder / "scores.jsonl")
    assert np.array_equal(stored.values, Relative()(batch).values if batch else np.empty(0))
    rows = [json.loads(line)["index"] for line in (folder / "scores.jsonl").read_text().splitlines()]
    assert rows == list(range(len(order))), "the rows stand in the order of the source"
    pieces = list(gathered_groups(batch, size, count_groups(batch, 1000)))
    assert sorted(index for indices, _ in pieces for index in indices) == list(range(len(order)))
    assert all(len(indices) >= size for indices, _ in pieces[:-1])


def test_a_killed_run_over_scattered_groups_goes_on(tmp_path: Path) -> None:
    batch = in_groups([0, 1, 2, 0, 1, 2, 3, 4, 3, 4, 5, 5])
    score(Relative(), batch, tmp_path / "whole.jsonl", batch_size=2)
    lines = {json.loads(line)["index"]: line for line in (tmp_path / "whole.jsonl").read_text().splitlines()}
    score(Relative(), batch, tmp_path / "scores.jsonl", batch_size=2)
    (tmp_path / "scores.jsonl").unlink()
    order = [index for indices, _ in gathered_groups(batch, 2, count_groups(batch, 99)) for index in indices]
    assert order != sorted(order)
    partial = "".join(lines[index] + "\n" for index in order[:5])
    (tmp_path / "scores.jsonl.partial").write_text(partial)
    summary = score(Relative(), batch, tmp_path / "scores.jsonl", batch_size=2)
    assert summary.reused == 4
    assert (tmp_path / "scores.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_groups_too_far_apart_are_refused() -> None:
    batch = in_groups([0, *range(10, 40), 0])
    with pytest.raises(ScatteredGroups, match="sort the source by group, or allow it with window="):
        score(Relative(), batch, window=2)
    assert score(Relative(), batch, window=40).count == 32


def test_a_stream_needs_its_groups_together() -> None:
    assert score(Relative(), iter(in_groups([0, 0, 1, 1, 1, 2])), batch_size=2).count == 6
    with pytest.raises(ScatteredGroups, match="group 'g0' comes up again at trajectory 3, after it ended at 1"):
        score(Relative(), iter(in_groups([0, 0, 1, 0])), batch_size=1)
    sizes = [len(indices) for indices, _ in adjacent_groups(in_groups([0, 0, 1, 1, 1, 2]), 2)]
    assert sizes == [2, 3, 1]


def test_a_reward_inside_another_may_need_the_group(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Outer(Reward):
        inner: Reward

        def children(self) -> dict[str, Reward]:
            return {"inner": self.inner}

        def _score(self, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
            return self.inner(trajectories)

    batch = in_groups([0, 1, 0, 1])
    score(Outer(inner=Relative()), batch, tmp_path / "scores.jsonl", batch_size=1)
    assert np.array_equal(read_scores(tmp_path / "scores.jsonl").values, Relative()(batch).values)


def test_the_whole_group_of_a_failed_member_is_scored_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = in_groups([0, 1, 0, 1])
    plain = Relative._score

    def partly(self: Relative, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        scores = plain(self, trajectories, progress)
        status = [Status.FAILED if entry.task.id == "task1" else Status.SCORED for entry in trajectories]
        return Scores(values=scores.values, status=np.array(status))

    seen: list[list[str]] = []

    def watched(self: Relative, trajectories: Sequence[Trajectory], progress: float | None) -> Scores:
        seen.append([entry.task.id for entry in trajectories])
        return plain(self, trajectories, progress)

    monkeypatch.setattr(Relative, "_score", partly)
    assert score(Relative(), batch, tmp_path / "scores.jsonl").counts["failed"] == 1
    monkeypatch.setattr(Relative, "_score", watched)
    assert score(Relative(), batch, tmp_path / "scores.jsonl", retry_failed=True).counts["failed"] == 0
    assert seen == [["task1", "task3"]]
    assert np.array_equal(read_scores(tmp_path / "scores.jsonl").values, Relative()(batch).values)


# ---- intervals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [(1, 12.706205), (2, 4.302653), (3, 3.182446), (4, 2.776445), (10, 2.228139), (30, 2.042272), (120, 1.979930)],
)
def test_t_quantiles_as_in_the_tables(degrees: int, expected: float) -> None:
    assert t_quantile(0.975, degrees) == pytest.approx(expected, abs=1e-6)


def test_t_quantiles_go_over_into_the_expansion_without_a_step() -> None:
    assert t_quantile(0.975, 1000) == pytest.approx(t_quantile(0.975, 1001), abs=1e-5)
    assert t_quantile(0.975, 10**9) == pytest.approx(1.959964, abs=1e-6)
    with pytest.raises(ValueError, match="degrees of at least 1"):
        t_quantile(0.975, 0)


def test_without_groups_the_interval_is_the_usual_one() -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0])
    mean = clustered_mean(values, np.ones(4))
    half = 3.182446 * values.std(ddof=1) / 2
    assert (mean.low, mean.value, mean.high) == pytest.approx((3.5 - half, 3.5, 3.5 + half), abs=1e-5)
    assert mean.method == "t"


@pytest.mark.parametrize("limit", [5000, 0])
def test_intervals_over_groups_cover_the_truth(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 groups of 5 that share most of their variance: 95% intervals must cover the true mean in about 95% of 400 draws."""
    monkeypatch.setattr("rewardlab.scoring.statistics.MOST_CLUSTERS_RESAMPLED", limit)
    monkeypatch.setattr("rewardlab.scoring.statistics.RESAMPLES", 400)
    generator = np.random.default_rng(7)
    covered = naive = 0
    for _ in range(400):
        values = generator.normal(size=(40, 1)) + 0.5 * generator.normal(size=(40, 5))
        found = clustered_mean(values.sum(axis=1), np.full(40, 5.0))
        covered += found.low <= 0.0 <= found.high
        flat = clustered_mean(values.ravel(), np.ones(200))
        naive += flat.low <= 0.0 <= flat.high
    # binomial(400, 0.95) lies in [366, 392] with probability above 0.998; the bootstrap with 40 clusters is a little narrow
    assert 360 <= covered <= 394
    assert naive < 320, "samples of a group taken for independent give an interval that is far too narrow"


# ---- size and speed -------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr("rewardlab.scoring.journal._BLOCK", 4096)  # a source smaller than a block would count in full
    peaks = []
    for count in (400, 2000):
        write_trajectories(tmp_path / f"{count}.jsonl", (answer(index, "3", f"g{index % 5}") for index in range(count)))
        tracemalloc.start()
        score(Graded(), tmp_path / f"{count}.jsonl", tmp_path / f"scores{count}.jsonl", batch_size=50)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 100_000


@as_reward
def words(completion: str) -> float:
    return float(len(completion.split()))


def test_a_plain_function_scores_a_file_of_another_tool(tmp_path: Path) -> None:
    found = score(words, Path(__file__).parent / "storage" / "data" / "nemo_gym.jsonl", tmp_path / "scores.jsonl")
    direct = words(list(read_trajectories(Path(__file__).parent / "storage" / "data" / "nemo_gym.jsonl")))
    assert found.mean == pytest.approx(direct.mean())
    assert found.label == "words"


def test_wrong_arguments_are_named(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        score(Graded(), source, batch_size=0)
    with pytest.raises(ValueError, match='by must begin with "task", "info" or "group"'):
        score(Graded(), source, by="level")
    with pytest.raises(ValueError, match="retry_failed=True needs the output"):
        score(Graded(), source, retry_failed=True)
    with pytest.raises(FileNotFoundError, match="did you mean"):
        score(Graded(), source.with_name("sourc.jsonl"))
    with pytest.raises(FileNotFoundError, match="nearest folder"):
        read_scores(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"source\.jsonl:1 is no row of scores"):
        read_scores(source)
