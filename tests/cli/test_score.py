"""`rewardlab score` on real files: what it writes, counts, refuses and goes on with."""

from __future__ import annotations

import json

import pytest

from rewardlab.scoring import read_scores
from rewardlab.storage import write_trajectories
from rewardlab.types import Task, Trajectory

ROWS = [
    {"prompt": "a", "completion": "yes", "reference": "yes", "group": "g"},
    {"prompt": "b", "completion": "no", "reference": "yes", "group": "g"},
    {"prompt": "c", "completion": "no"},
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "good.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "bad.jsonl").write_text("\n".join([lines[0], '{"prompt": "x", ', *lines[1:]]) + "\n")
    (tmp_path / "rewards.py").write_text(
        "import rewardlab as rl\n\n\n@rl.reward\ndef short(completion: str, *, most: int = 2) -> float:\n"
        '    """Short answers."""\n    return float(len(completion) <= most)\n'
    )
    return tmp_path


def test_scores_go_to_parquet_and_a_bad_line_is_counted(run, here) -> None:
    done = run("score", "--reward", "exact_match", "bad.jsonl", "-o", "scores.parquet")
    assert done.status == 0
    assert "1 rows of the source could not be read" in done.out
    assert "bad.jsonl:2: not JSON" in done.out
    assert "the task has no reference" in done.out  # the most frequent reason
    scores = read_scores("scores.parquet")
    assert scores.values[:2].tolist() == [1.0, 0.0]
    assert scores.failed.tolist() == [False, False, True]


def test_the_summary_is_strict_json_and_says_what_the_table_says(run, here) -> None:
    found = run("score", "--reward", "exact_match", "bad.jsonl", "--json").json
    assert (found["mean"], found["scored"], found["failed"], found["abstained"], found["set_aside"]) == (
        0.5,
        2,
        1,
        0,
        1,
    )
    assert found["reasons"][0]["count"] == 1
    nothing = run("score", "--reward", "rewards.py:short", "good.jsonl", "--json").json
    assert nothing["low"] is not None
    assert nothing["failed"] == 0


def test_strict_ends_with_status_1_only_where_something_is_wrong(run, here) -> None:
    assert run("score", "-r", "rewards.py:short", "good.jsonl", "--strict").status == 0
    assert run("score", "-r", "rewards.py:short", "bad.jsonl", "--strict").status == 1  # a line was set aside
    assert run("score", "-r", "exact_match", "good.jsonl", "--strict").status == 1  # a sample failed
    assert run("score", "-r", "exact_match", "good.jsonl").status == 0


def test_a_finished_run_is_reused_and_another_reward_is_refused(run, here) -> None:
    first = run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl", "--json").json
    second = run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl", "--json").json
    assert (first["scored_now"], first["reused"]) == (3, 0)
    assert (second["scored_now"], second["reused"]) == (0, 3)
    refused = run("score", "-r", "rewards.py:short", "good.jsonl", "-o", "s.jsonl")
    assert refused.status == 2
    assert "holds scores of the reward 'exact_match'" in refused.err
    assert run("score", "-r", "rewards.py:short", "good.jsonl", "-o", "s.jsonl", "--no-resume").status == 0


def test_failed_samples_alone_are_scored_again(run, here) -> None:
    run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl")
    again = run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl", "--retry-failed", "--json").json
    assert (again["scored_now"], again["reused"]) == (1, 2)
    lost = run("score", "-r", "exact_match", "good.jsonl", "--retry-failed")
    assert lost.status == 2
    assert "--output" in lost.err


def test_a_run_goes_on_behind_what_is_there(run, here) -> None:
    run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl", "--batch-size", "1")
    whole = (here / "s.jsonl").read_text()
    (here / "s.jsonl").unlink()
    (here / "s.jsonl.partial").write_text("".join(whole.splitlines(keepends=True)[:2]))  # as a crash leaves it
    found = run("score", "-r", "exact_match", "good.jsonl", "-o", "s.jsonl", "--batch-size", "1", "--json").json
    assert (found["scored_now"], found["reused"]) == (1, 2)
    assert (here / "s.jsonl").read_text() == whole


def test_two_rewards_are_compared(run, here) -> None:
    found = run("score", "-r", "rewards.py:short", "--against", "exact_match", "good.jsonl", "--json").json
    assert (found["old"]["reward"], found["new"]["reward"]) == ("exact_match", "short")
    assert found["both"] == 2
    assert found["sign_changes"] == 2  # in the group, short answers were the wrong ones
    run("score", "-r", "exact_match", "good.jsonl", "-o", "old.jsonl")
    stored = run("score", "-r", "rewards.py:short", "--against", "old.jsonl", "good.jsonl", "--json").json
    assert stored["sign_changes"] == 2
    assert run("score", "-r", "rewards.py:short", "--against", "exact_match", "good.jsonl").status == 0
    for option in (["-o", "x.jsonl"], ["--retry-failed"], ["--by", "group"]):
        assert run("score", "-r", "rewards.py:short", "--against", "exact_match", "good.jsonl", *option).status == 2


def test_a_scheduled_reward_needs_the_progress(run, here) -> None:
    (here / "fading.yaml").write_text(
        "type: scheduled\nreward: 'rewards.py:short'\nschedule: {type: linear, start: 1.0, end: 0.0}\n"
    )
    lost = run("score", "-r", "fading.yaml", "good.jsonl")
    assert lost.status == 2
    assert "progress" in lost.err
    half = run("score", "-r", "fading.yaml", "good.jsonl", "--progress", "0.5", "--json").json
    assert half["mean"] == pytest.approx(0.5 * 2 / 3)
    assert run("score", "-r", "fading.yaml", "good.jsonl", "--progress", "1.5").status == 2


def test_means_by_label_and_folders(run, here) -> None:
    folder = here / "many"
    for level in (1, 2):
        task = Task(id=f"t{level}", reference="yes", metadata={"level": level})
        messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes" if level == 1 else "no"}]
        write_trajectories(folder / f"{level}.jsonl", [Trajectory.from_messages(messages, task=task)])
    found = run("score", "-r", "exact_match", "many", "--by", "task.metadata.level", "--json").json
    assert {name: entry["mean"] for name, entry in found["by"].items()} == {"1": 1.0, "2": 0.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-r", "exact_mach", "good.jsonl"], "unknown reward 'exact_mach'; did you mean 'exact_match'?"),
        (["-r", "nowhere.yaml", "good.jsonl"], "there is no file 'nowhere.yaml'"),
        (["-r", "rewards.py:shrot", "good.jsonl"], "did you mean 'short'?"),
        (["-r", "exact_match", "goood.jsonl"], "did you mean"),
        (["-r", "exact_match", "good.jsonl", "--format", "opnai"], "did you mean 'openai'?"),
        (["-r", "exact_match", "good.jsonl", "-o", "good.jsonl"], "is the source itself"),
        (["-r", "exact_match", "good.jsonl", "-o", "scores.csv"], "ends in .jsonl"),
        (["-r", "exact_match", "rewards.py"], "is not known"),
        (["-r", "exact_match", "good.jsonl", "--batch-size", "0"], "batch-size"),
    ],
)
def test_wrong_input_ends_with_status_2_and_the_way_out(run, here, arguments, message) -> None:
    done = run("score", *arguments)
    assert done.status == 2
    assert message in done.err.replace("\n", " ")
    assert "Traceback" not in done.err


def test_a_typo_in_a_spec_is_named_with_its_line(run, here) -> None:
    (here / "spec.yaml").write_text("type: sum\nwieghts: {a: 1}\nparts: {a: exact_match}\n")
    done = run("score", "-r", "spec.yaml", "good.jsonl")
    assert (done.status, done.out) == (2, "")
    assert "spec.yaml:2: reward 'sum' has no option 'wieghts'; did you mean 'weights'?" in done.err


def test_the_place_of_an_error_is_shown_where_it_is_asked_for(run, here, monkeypatch) -> None:
    monkeypatch.setenv("REWARDLAB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="unknown reward"):
        run("score", "-r", "exact_mach", "good.jsonl")


def test_an_interrupted_run_ends_with_130_and_says_how_to_go_on(run, here) -> None:
    (here / "rewards.py").write_text(
        "import rewardlab as rl\n\n\n@rl.reward\ndef stop(completion: str) -> float:\n    raise KeyboardInterrupt\n"
    )
    done = run("score", "-r", "rewards.py:stop", "good.jsonl", "-o", "s.jsonl")
    assert done.status == 130
    assert "the same command goes on where s.jsonl stopped" in done.err
    assert run("score", "-r", "rewards.py:stop", "good.jsonl").status == 130


def test_a_reward_model_is_named_by_its_folder_or_in_a_spec(run, here) -> None:
    from rewardlab.policies.tiny import tiny_model, tiny_tokenizer
    from rewardlab.rewards.models.encoders.text import TextEncoder
    from rewardlab.rewards.models.model import RewardModel

    tokenizer = tiny_tokenizer(["yes no a b c"])
    encoder = TextEncoder(model=tiny_model(len(tokenizer), hidden=16, layers=1, heads=2), tokenizer=tokenizer)
    model = RewardModel.make(encoder).save(here / "model")
    expected = model([Trajectory.from_text(row["prompt"], row["completion"]) for row in ROWS]).values
    model.export(here / "exported")
    (here / "model.yaml").write_text(f"type: reward_model\npath: model\ndigest: {model.digest}\n")
    for number, reward in enumerate(("model", "model.yaml", "exported")):
        done = run("score", "--reward", reward, "good.jsonl", "-o", f"{number}.parquet", "--json")
        assert done.status == 0, done.err
        assert done.json["failed"] == 0
        assert read_scores(f"{number}.parquet").values == pytest.approx(expected, abs=1e-6)
    (here / "model.yaml").write_text("type: reward_model\npath: model\ndigest: 0123456789abcdef\n")
    refused = run("score", "--reward", "model.yaml", "good.jsonl")
    assert refused.status != 0
    assert "are not those of this spec" in refused.out + refused.err
