"""`rewardlab new`: a project whose own tests pass and whose commands run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest


@pytest.mark.parametrize("template", ["agent", "score"])
def test_the_tests_of_a_new_project_pass(run, tmp_path, template) -> None:
    folder = tmp_path / "my project"
    assert run("new", folder, "--template", template).status == 0
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_the_commands_in_the_readme_of_a_score_project_run(run, tmp_path, monkeypatch) -> None:
    run("new", tmp_path / "mine", "--template", "score")
    monkeypatch.chdir(tmp_path / "mine")
    commands = re.findall(r"^rewardlab (.*?)(?:\s+#.*)?$", (tmp_path / "mine" / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert run(*shlex.split(command)).status == 0
    assert (tmp_path / "mine" / "scores.jsonl").read_text().count("\n") == 3


def test_the_configuration_of_an_agent_project_is_fine(run, tmp_path, monkeypatch) -> None:
    run("new", tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert run("train", "config.yaml", "--check").out == "config.yaml is fine\n"
    assert run("train", "config.yaml", "--check", "--json").json == {"config": "config.yaml", "valid": True}
    readme = (tmp_path / "mine" / "README.md").read_text()
    for line in re.findall(r"^rewardlab (train .*?)(?:\s+#.*)?$", readme, re.MULTILINE):
        assert run(*shlex.split(line), "--check").status == 0
    wrong = run("train", "config.yaml", "--check", "training.stepz=1")
    assert wrong.status == 2
    assert "did you mean 'steps'?" in wrong.err


def test_the_commands_in_the_readme_of_a_model_project_run(run, tmp_path, monkeypatch) -> None:
    run("new", tmp_path / "mine", "--template", "model")
    monkeypatch.chdir(tmp_path / "mine")
    commands = re.findall(r"^rewardlab (.*?)(?:\s+#.*)?$", (tmp_path / "mine" / "README.md").read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["fit", "evaluate"]
    assert run(*shlex.split(commands[0]), "fit.steps=3").status == 0
    assert run(*shlex.split(commands[1])).status == 0


def test_files_are_listed_as_json_and_nothing_is_overwritten(run, tmp_path) -> None:
    made = run("new", tmp_path / "mine", "--json").json
    assert made["folder"] == str(tmp_path / "mine")
    assert str(tmp_path / "mine" / "config.yaml") in made["files"]
    before = (tmp_path / "mine" / "config.yaml").read_text()
    again = run("new", tmp_path / "mine", "--template", "score")
    assert again.status == 2
    assert "exists and is not empty" in again.err
    assert (tmp_path / "mine" / "config.yaml").read_text() == before
    (tmp_path / "empty").mkdir()
    assert run("new", tmp_path / "empty").status == 0
    assert run("new", tmp_path / "other", "--template", "agnet").status == 2
