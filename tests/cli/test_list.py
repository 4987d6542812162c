"""`rewardlab list` and `rewardlab doctor`."""

from __future__ import annotations

import json
import sys

import pytest

from rewardlab.cli import listing
from rewardlab.registry import Registry
from rewardlab.rewards.spec import REWARDS
from tests.cli.running import start


def test_everything_that_can_be_named_is_listed_with_what_it_is(run) -> None:
    table = run("list", "--json").json
    assert set(table) == {kind.value for kind in listing.Kind} - {"all"}
    assert {row["name"] for row in table["rewards"]} == set(REWARDS)
    for kind, rows in table.items():
        for row in rows:
            assert row["summary"], f"{kind}: {row['name']} says nothing about itself"
            assert "not installed" not in row["summary"]
            assert set(row) == {"name", "summary", "defined"}


def test_one_kind_is_listed_alone_and_markup_in_a_summary_is_text(run) -> None:
    shown = run("list", "rewards")
    assert "A reward limited to [low, high]." in shown.out
    assert "tool_desk " not in shown.out
    wrong = run("list", "reward")
    assert wrong.status == 2
    assert "rewards" in wrong.err


def test_names_of_other_packages_are_listed_without_importing_them(tmp_path, monkeypatch) -> None:
    package = tmp_path / "outside"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "scores.py").write_text(
        'from outside.inner import moved\nfrom .inner import near\n\n\ndef plain():\n    """A plain one.\n\n    More.\n    """\n\n\n'
        'VALUE = 1\n"""A value\nof two lines."""\n'
    )
    (package / "inner.py").write_text('"""The module."""\nclass moved:\n    """One that moved."""\nnear = 2\n')
    monkeypatch.syspath_prepend(tmp_path)
    places = {
        "plain": "outside.scores:plain",
        "value": "outside.scores:VALUE",
        "moved": "outside.scores:moved",
        "near": "outside.scores:near",
        "gone": "nowhere.at.all:thing",
        "file": f"{package / 'scores.py'}:plain",
    }
    rows = {row["name"]: row["summary"] for row in listing.describe(Registry("reward", places, group="none"))}
    assert rows == {
        "plain": "A plain one.",
        "value": "A value of two lines.",
        "moved": "One that moved.",
        "near": "The module.",
        "gone": "(its module is not installed)",
        "file": "A plain one.",
    }
    assert "outside" not in sys.modules


def test_the_doctor_knows_extras_sandbox_and_devices(run) -> None:
    report = run("doctor", "--json").json
    assert set(report) == {"rewardlab", "python", "system", "cores", "extras", "beside", "sandbox", "devices"}
    assert report["extras"]["lm"]["installed"]["torch"]
    assert set(report["extras"]["lm"]) == {"installed", "missing"}
    assert {"all", "test", "dev", "docs"} & set(report["extras"]) == set()
    assert report["devices"][0].startswith("cpu: ")
    shown = run("doctor")
    assert shown.status == 0
    assert "Sandbox" in shown.out


def test_the_doctor_says_that_nothing_isolates_without_bubblewrap(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # in a process of its own: what isolates is found out once
    out, _ = start("doctor", "--json", cwd=tmp_path).communicate()
    sandbox = json.loads(out)["sandbox"]
    assert sandbox["isolated"] is False
    assert "NOT isolated" in sandbox["summary"]
    assert "bubblewrap" in sandbox["summary"]


def test_the_doctor_names_the_command_that_installs_a_missing_package(run, monkeypatch) -> None:
    from importlib.metadata import PackageNotFoundError

    from rewardlab.cli import doctor

    def version(name: str) -> str:
        if name == "matplotlib":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    assert doctor.extras()["plot"] == {"installed": {}, "missing": ["matplotlib"]}
    assert 'missing: matplotlib; pip install "rewardlab[plot]"' in run("doctor").out


@pytest.mark.parametrize("document", ["train", "reward"])
def test_schemas_are_printed_as_json(run, document) -> None:
    schema = run("schema", document).json
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert run("schema", document, "--json").json == schema
