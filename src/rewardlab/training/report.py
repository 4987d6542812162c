"""One self-contained page about a training: success on held-out tasks, a curve for every part of the reward, and attempts.

The page is made from the files of the run folder alone, so it can be made again at any time, for any run, without torch.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rewardlab.extras import require
from rewardlab.functional.intervals import share_interval
from rewardlab.storage import Problems, read_trajectories
from rewardlab.training import report_html as write
from rewardlab.training.report_html import number, percent
from rewardlab.training.report_plots import plot
from rewardlab.types import Trajectory

Lines = Sequence[Mapping[str, Any]]

ATTEMPTS = 3
"""How many attempts of each kind are shown."""
_LOOKED_AT = 10
"""In how many of the newest steps failures are looked for."""
_CAPTIONS = {
    "samples/failed": "failed samples",
    "samples/abstained": "samples that abstained",
    "groups/zero_variance": "share of groups whose scores are all equal",
    "groups/single": "share of groups with one scored member",
    "advantage/abs_mean": "mean size of an advantage",
    "trajectory/turns": "actions",
    "trajectory/tokens": "tokens that the policy wrote",
    "trajectory/truncated": "share that a limit ended",
}
_PHASES = {"initial": "as given", "start": "before training", "training": "training"}


def write_report(folder: str | Path, output: str | Path | None = None) -> Path:
    """Write the report of a run folder.

    Args:
        folder: what a training wrote; see `rewardlab.training.metrics`.
        output: where the page goes; `report.html` in the folder when not given.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: the folder holds no metrics.
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", extra="plot", why="A report's pictures")
    folder = Path(folder)
    logs = {name: read_lines(folder / f"{name}.jsonl") for name in ("metrics", "evaluations", "warm_start")}
    if not any(logs.values()):
        raise FileNotFoundError(f"{str(folder)!r} holds no metrics.jsonl; give the folder that a training wrote")
    target = folder / "report.html" if output is None else Path(output)
    target.parent.mkdir(parents=True, exist_ok=True)
    text = _page(folder, logs["metrics"], logs["evaluations"], logs["warm_start"])
    unfinished = target.with_name(f".{os.getpid()}.{target.name}")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, target)
    return target


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; none where there is no file. A last line that a crash has torn is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.strip() and line.endswith("\n")]


def _page(folder: Path, metrics: Lines, evaluations: Lines, warm_start: Lines) -> str:
    sections = [
        ("Success on held-out tasks", _success(evaluations)),
        ("Reward", _reward(metrics)),
        ("Parts of the reward", _parts(metrics)),
        ("What could be scored, and what could be learned from", _outcomes(folder, metrics)),
        ("What the policy did", _attempts(folder)),
        ("Length of attempts", _figures(metrics, ("trajectory/turns", "trajectory/tokens", "trajectory/truncated"))),
        ("Update", _figures(metrics, _keys(metrics, "update/"))),
        ("Warm start", _figures(warm_start, [key for key in _keys(warm_start, "") if key not in ("step", "seconds")])),
        ("Time", _time(metrics)),
        ("Configuration", _configuration(folder)),
    ]
    steps = f"{len(metrics)} steps" if len(metrics) != 1 else "1 step"
    return write.page(folder.resolve().name, f"{steps} · {folder}", _tiles(metrics, evaluations), sections)


# ---- the headline ---------------------------------------------------------------------------------------------------------


def _tiles(metrics: Lines, evaluations: Lines) -> list[str]:
    tiles = []
    before = next((line for line in evaluations if line["phase"] == "start"), None)
    after = evaluations[-1] if evaluations and evaluations[-1]["phase"] == "training" else None
    if before is not None and after is not None:
        note = f"{_interval(before)} → {_interval(after)}, held-out tasks"
        tiles.append(write.tile("Success", f"{percent(before.get('success'))} → {percent(after.get('success'))}", note))
    elif evaluations:
        last = evaluations[-1]
        tiles.append(write.tile("Success", percent(last.get("success")), f"{_interval(last)}, held-out tasks"))
    if metrics:
        first, newest = metrics[0].get("reward/mean"), metrics[-1].get("reward/mean")
        tiles.append(write.tile("Mean reward", f"{number(first)} → {number(newest)}", "first step → last step"))
        totals = _totals(metrics)
        lost = ", ".join(f"{totals[name]} {name}" for name in ("failed", "abstained"))
        tiles.append(write.tile("Samples scored", str(totals["scored"]), lost))
        equal = [line["groups/zero_variance"] for line in metrics if line.get("groups/zero_variance") is not None]
        if equal:
            mean = sum(equal) / len(equal)
            tiles.append(write.tile("Groups whose scores are all equal", percent(mean), "nothing to learn from them"))
        seconds = sum(_seats(metrics).values())
        tiles.append(
            write.tile("Time in the loop", _duration(seconds), f"{seconds / len(metrics):.2f} s for each step")
        )
    return tiles


def _totals(metrics: Lines) -> dict[str, int]:
    names = ("scored", "abstained", "failed")
    return {name: int(sum(line.get(f"samples/{name}") or 0 for line in metrics)) for name in names}


def _interval(line: Mapping[str, Any]) -> str:
    if line.get("success") is None:
        return "no task could be scored"
    low, high = share_interval(line["success"], int(line.get("samples/scored") or 0))
    return f"[{low:.0%}, {high:.0%}]"


# ---- sections -------------------------------------------------------------------------------------------------------------


def _success(evaluations: Lines) -> str:
    if not evaluations:
        return ""
    rows = [
        (
            _PHASES.get(str(line["phase"]), str(line["phase"])),
            line["step"],
            percent(line.get("success")),
            _interval(line),
            number(line.get("reward/mean")),
            *(int(line.get(f"samples/{name}") or 0) for name in ("scored", "abstained", "failed")),
        )
        for line in evaluations
    ]
    shown = [line for line in evaluations if line["phase"] != "initial" and line.get("success") is not None]
    curve = ""
    if shown:
        intervals = [share_interval(line["success"], int(line.get("samples/scored") or 0)) for line in shown]
        values = [line["success"] for line in shown]
        steps = [line["step"] for line in shown]
        curve = write.figure(
            "share of tasks solved",
            plot(steps, values, intervals=intervals, smooth=False, bottom=0.0, top=1.0, wide=True, percent=True),
            "bars: 95% interval",
        )
    header = ["", "step", "success", "95% interval", "mean reward", "scored", "abstained", "failed"]
    return curve + write.table(header, rows)


def _reward(metrics: Lines) -> str:
    if not metrics:
        return ""
    steps, values = [line["step"] for line in metrics], [line.get("reward/mean") for line in metrics]
    picture = plot(steps, values, band=[line.get("reward/std") for line in metrics], wide=True)
    return write.figure("reward", picture, "mean of a step's scored samples; band: one standard deviation")


def _parts(metrics: Lines) -> str:
    """A picture for every part, those that never had a value included."""
    return _figures(metrics, _keys(metrics, "parts/"), empty="never scored")


def _outcomes(folder: Path, metrics: Lines) -> str:
    if not metrics:
        return ""
    words = ", ".join(f"{count} {name}" for name, count in _totals(metrics).items())
    text = write.paragraph(
        f"{words} over {len(metrics)} steps. A failed or abstained sample has no value: it leaves the mean and "
        "the gradient. "
        "A group whose scores are all equal has no advantage to learn from."
    )
    reasons = _reasons(folder)
    if reasons:
        text += write.table(["", f"samples in the newest {_LOOKED_AT} stored steps", "reason"], reasons)
    always, sometimes = ("samples/failed", "groups/zero_variance"), ("samples/abstained", "groups/single")
    keys = [*always, *(key for key in sometimes if any(line.get(key) for line in metrics)), "advantage/abs_mean"]
    return text + _figures(metrics, keys)


def _reasons(folder: Path) -> list[tuple[str, int, str]]:
    """The most frequent reasons why samples of the newest steps have no value."""
    found: Counter[tuple[str, str]] = Counter()
    for file in _files(folder, "step")[-_LOOKED_AT:]:
        for entry in _read(file):
            about = entry.info.get("training") or {}
            if about.get("value") is None:
                found[str(about.get("status")), str(about.get("note") or "no reason given")[:300]] += 1
    return [(status, count, note) for (status, note), count in found.most_common(8)]


def _figures(lines: Lines, keys: Iterable[str], empty: str = "") -> str:
    """A small picture for each key that has a number anywhere; for the others `empty`, where it is given."""
    figures = []
    for key in keys:
        values = [line.get(key) for line in lines]
        caption = key.partition("/")[2] or key
        if key in _CAPTIONS:
            caption = _CAPTIONS[key]
        there = [value for value in values if value is not None]
        if there:
            shown = f"{number(there[0])} → {number(there[-1])}" if len(there) > 1 else number(there[0])
            figures.append(write.figure(caption, plot([line["step"] for line in lines], values), shown))
        elif empty:
            figures.append(write.figure(caption, write.paragraph(empty)))
    return write.grid(figures)


def _keys(lines: Lines, prefix: str) -> list[str]:
    return list(dict.fromkeys(key for line in lines for key in line if key.startswith(prefix)))


def _seats(metrics: Lines) -> dict[str, float]:
    names = [key for key in _keys(metrics, "seconds/") if key != "seconds/trajectory"]
    return {key.removeprefix("seconds/"): sum(line.get(key) or 0.0 for line in metrics) for key in names}


def _time(metrics: Lines) -> str:
    totals = _seats(metrics)
    whole = sum(totals.values())
    if not whole:
        return ""
    ordered = sorted(totals.items(), key=lambda entry: -entry[1])
    rows = [(name, _duration(seconds), f"{seconds / whole:.0%}") for name, seconds in ordered]
    return write.table(["seat of the loop", "time", "share"], rows)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 120 else f"{minutes} min {rest} s"


def _attempts(folder: Path) -> str:
    """Failures with their reasons first, then the best and the worst of the newest step, then held-out attempts."""
    steps, held_out = (
        _files(folder, "step"),
        _files(folder, "evaluation-training") or _files(folder, "evaluation-start"),
    )
    text = ""
    failed: list[Trajectory] = []
    for file in reversed(steps[-_LOOKED_AT:]):
        failed += [entry for entry in _read(file) if _value(entry) is None]
        if len(failed) >= ATTEMPTS:
            break
    if failed:
        text += write.heading("could not be scored (newest steps)") + _blocks(failed[:ATTEMPTS])
    for label, files in (("newest step of training", steps), ("newest evaluation, held-out tasks", held_out)):
        if not files:
            continue
        scored = sorted((entry for entry in _read(files[-1]) if _value(entry) is not None), key=_value, reverse=True)  # type: ignore[arg-type]
        best = scored[: min(ATTEMPTS, (len(scored) + 1) // 2)]
        worst = scored[max(len(best), len(scored) - ATTEMPTS) :]
        if best:
            text += write.heading(f"best ({label})") + _blocks(best)
        if worst:
            text += write.heading(f"worst ({label})") + _blocks(worst)
    return text


def _blocks(trajectories: Sequence[Trajectory]) -> str:
    return "".join(write.attempt(entry, opened=place == 0) for place, entry in enumerate(trajectories))


def _files(folder: Path, kind: str) -> list[Path]:
    """The stored trajectories of one kind, oldest first."""
    return sorted(path for path in (folder / "trajectories").glob(f"{kind}-*.jsonl") if path.stat().st_size)


def _read(file: Path) -> list[Trajectory]:
    return list(read_trajectories(file, problems=Problems()))


def _value(trajectory: Trajectory) -> float | None:
    value = (trajectory.info.get("training") or {}).get("value")
    return None if value is None or not math.isfinite(value) else float(value)


def _configuration(folder: Path) -> str:
    file = folder / "config.yaml"
    return write.preformatted(file.read_text(encoding="utf-8")) if file.is_file() else ""
