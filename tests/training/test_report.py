"""The report of a run folder, rendered by a real browser: what it shows, what it refers to, and that hostile text is inert."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rewardlab.extras import MissingExtra
from rewardlab.functional import share_interval
from rewardlab.training import report_plots
from rewardlab.training.credit.base import Advantages
from rewardlab.training.metrics import RunFolder, step_metrics
from rewardlab.training.report import read_lines, write_report
from rewardlab.training.report_plots import smoothed
from rewardlab.types import Scores, Status, Task, Trajectory

HOSTILE = "</pre></script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"><svg onload=alert(1)>"


def chat(text: str, name: str = "t") -> Trajectory:
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": '{"row": "' + "Ann" + '"}'}}
    messages = [
        {"role": "user", "content": f"question {name}"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "assistant", "content": text},
    ]
    return Trajectory.from_messages(messages, task=Task(id=name), group="g", terminated=True)


def scores(values, note="the judge is away", part_of=None) -> Scores:
    numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
    status = np.where(np.isnan(numbers), Status.FAILED, Status.SCORED)
    notes = [note if np.isnan(number) else None for number in numbers]
    inner = Scores(values=numbers / 2, status=status, notes=notes)
    never = Scores(values=np.full(len(values), np.nan), status=np.full(len(values), Status.ABSTAINED))
    outer = Scores(values=numbers, status=status, notes=notes, parts={part_of or "exact": inner, "silent": never})
    return Scores(values=numbers, status=status, notes=notes, parts={"calls": outer, "format": inner})


def run_folder(path: Path, steps: int = 10, *, evaluations: bool = True, warm: bool = True, **options) -> Path:
    """A run folder as a training writes it."""
    folder = RunFolder(path)
    (path / "config.yaml").write_text(f"seed: 0\nnote: {json.dumps(options.get('text', 'fine'))}\n")
    if warm:
        for step in range(1, 4):
            folder.append("warm_start.jsonl", {"step": step, "loss": 1 / step})
    if evaluations:
        folder.append(
            "evaluations.jsonl",
            {"step": 0, "phase": "start", "success": 0.25, "samples/scored": 40.0, "samples/failed": 1.0},
        )
    for step in range(1, steps + 1):
        trajectories = [chat(options.get("text", f"answer {step}"), f"t{place}") for place in range(4)]
        found = scores(
            [0.1 * step, 0.5, None, 0.2], note=options.get("note", "the judge is away"), part_of=options.get("part")
        )
        advantages = Advantages(
            values=[np.full(2, 0.5)] * 4,
            included=found.scored,
            statistics={"groups": 1, "zero_variance_groups": 0, "single_member_groups": 0},
        )
        folder.append(
            "metrics.jsonl",
            {
                "step": step,
                **step_metrics(trajectories, found, advantages, {"loss": 0.1, "kl": 0.01}),
                "seconds/rollout": 1.0,
            },
        )
        folder.write_trajectories("step", step, trajectories, found, advantages)
    if evaluations:
        folder.append(
            "evaluations.jsonl", {"step": steps, "phase": "training", "success": 0.75, "samples/scored": 40.0}
        )
        folder.write_trajectories("evaluation-training", steps, [chat("held out")], scores([1.0]))
    return path


class Browser:
    """Headless chromium; CI installs it with apt."""

    def __init__(self, profile: Path) -> None:
        self.program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        self.profile = profile

    def __call__(self, page: Path, *options: str) -> str:
        if self.program is None:
            pytest.fail("these tests render the report in chromium, which is not installed: apt-get install chromium")
        command = [
            self.program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--disable-background-networking", "--no-first-run", f"--user-data-dir={self.profile}", *options, page.as_uri(),
        ]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout


@pytest.fixture
def browser(tmp_path) -> Browser:
    return Browser(tmp_path / "profile")


class Outline(HTMLParser):
    """Tags, their attributes, and the headings and captions of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"h2": [], "h3": [], "title": []}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append((tag, dict(attributes)))
        self.inside = tag

    def handle_data(self, data) -> None:
        if self.inside in self.texts:
            self.texts[self.inside].append(data)
            self.inside = ""

    @property
    def captions(self) -> list[str]:
        return [attributes["aria-label"] for tag, attributes in self.tags if tag == "figure"]


def test_a_browser_renders_the_whole_page(tmp_path, browser) -> None:
    page = write_report(run_folder(tmp_path / "first run"))
    assert page == tmp_path / "first run" / "report.html"
    seen = Outline(browser(page, "--dump-dom"))
    assert seen.texts["title"] == ["first run - rewardlab"]
    assert seen.texts["h2"] == [
        "Success on held-out tasks",
        "Reward",
        "Parts of the reward",
        "What could be scored, and what could be learned from",
        "What the policy did",
        "Length of attempts",
        "Update",
        "Warm start",
        "Time",
        "Configuration",
    ]
    parts = ["calls", "calls.exact", "calls.silent", "format"]
    at = seen.captions.index("calls")
    assert (
        seen.captions[at : at + 4] == parts
    )  # a figure for every part of the reward, nested ones and silent ones included
    assert {"share of tasks solved", "reward", "share of groups whose scores are all equal", "failed samples"} <= set(
        seen.captions
    )
    assert (
        sum(tag == "svg" for tag, _ in seen.tags) == len(seen.captions) - 1
    )  # the silent part has words in place of a curve
    picture = tmp_path / "picture.png"
    browser(page, f"--screenshot={picture}", "--window-size=1200,2000")
    from matplotlib.image import imread

    pixels = imread(picture)
    assert pixels.shape[:2] == (2000, 1200)
    assert (
        len(np.unique(pixels[::4, ::4, :3].reshape(-1, 3), axis=0)) > 50
    )  # text, curves and colours, not a blank page


def test_the_headline_has_success_with_intervals_counts_and_reasons(tmp_path) -> None:
    text = write_report(run_folder(tmp_path / "run")).read_text()
    low, high = share_interval(0.25, 40)
    assert "25.0% → 75.0%" in text
    assert f"[{low:.0%}, {high:.0%}] → " in text
    assert "30 scored, 0 abstained, 10 failed over 10 steps" in text
    assert "<td>failed</td><td>10</td><td>the judge is away</td>" in text
    assert (
        text.index("could not be scored") < text.index("best (newest step of training)") < text.index("worst (newest")
    )
    assert "look_up(row=&quot;Ann&quot;)" in text


def test_hostile_text_is_inert(tmp_path, browser) -> None:
    page = write_report(run_folder(tmp_path / "<b>run", 2, text=HOSTILE, note=HOSTILE, part=HOSTILE.replace(".", "")))
    dom = browser(page, "--dump-dom", "--virtual-time-budget=2000")
    seen = Outline(dom)
    tags = {tag for tag, _ in seen.tags}
    assert "script" not in tags
    assert "img" not in tags
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    assert seen.texts["title"] == ["<b>run - rewardlab"]
    assert "b" in tags  # our own
    assert any("document" in caption for caption in seen.captions)  # it is shown, as text


def test_the_page_refers_to_nothing_outside_itself(tmp_path) -> None:
    text = write_report(run_folder(tmp_path / "run")).read_text()
    assert "default-src 'none'" in text
    for _, attributes in Outline(text).tags:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert (attributes.get(name) or "#").startswith("#")
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text


@pytest.mark.parametrize(
    "options",
    [
        {"evaluations": False},
        {"warm": False},
        {"steps": 1},
        {"steps": 0},
        {"steps": 1, "evaluations": False, "warm": False},
    ],
    ids=str,
)
def test_runs_that_lack_something_have_a_report(tmp_path, options) -> None:
    headings = Outline(write_report(run_folder(tmp_path / "run", **options)).read_text()).texts["h2"]
    assert ("Success on held-out tasks" in headings) == options.get("evaluations", True)
    assert ("Warm start" in headings) == options.get("warm", True)
    assert ("Parts of the reward" in headings) == (options.get("steps") != 0)


def test_numbers_that_do_not_exist_are_dashes_and_gaps(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    line = {
        "step": 1,
        "reward/mean": float("nan"),
        "reward/std": float("nan"),
        "samples/failed": 2.0,
        "parts/a": float("nan"),
    }
    folder.append("metrics.jsonl", line)
    folder.append("evaluations.jsonl", {"step": 0, "phase": "start", "success": float("nan"), "samples/scored": 0.0})
    text = write_report(folder.path).read_text()
    assert "no task could be scored" in text
    assert "never scored" in text
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)


def test_arrays_have_no_chat_to_show(tmp_path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.append("metrics.jsonl", {"step": 1, "reward/mean": 1.0})
    folder.write_trajectories(
        "step", 1, [Trajectory(observations=np.zeros((4, 2)), actions=np.zeros((3, 1)))], Scores(values=np.ones(1))
    )
    assert "3 actions" in write_report(folder.path).read_text()


def test_a_line_that_a_crash_has_torn_is_left_out(tmp_path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n\n{"step": 2, "rew')
    assert read_lines(path) == [{"step": 1}]
    assert read_lines(tmp_path / "none.jsonl") == []


def test_the_same_folder_gives_the_same_page_wherever_it_is_written(tmp_path) -> None:
    folder = run_folder(tmp_path / "run", 2)
    first = write_report(folder).read_text()
    other = write_report(folder, tmp_path / "elsewhere" / "page.html")
    assert other.read_text() == first
    assert not list((tmp_path / "elsewhere").glob(".*"))


def test_a_folder_without_a_training_is_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no metrics\.jsonl; give the folder that a training wrote"):
        write_report(tmp_path)


def test_missing_matplotlib_names_its_extra(tmp_path, monkeypatch) -> None:
    folder = run_folder(tmp_path / "run", 1)
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r'pip install "rewardlab\[plot\]"'):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_a_smoothed_curve_begins_at_its_first_value_and_passes_over_gaps() -> None:
    nan = float("nan")
    assert smoothed([2.0, 2.0, nan, 2.0]) == pytest.approx([2.0] * 4)
    assert np.isnan(smoothed([nan, 1.0])[0])
    assert smoothed([0.0, 1.0], weight=0.5) == pytest.approx([0.0, 0.5 / 0.75])


def test_ticks_of_a_share_are_in_percent() -> None:
    assert ">40%</text>" in report_plots.plot([0, 1], [0.0, 1.0], percent=True, bottom=0.0, top=1.0)
