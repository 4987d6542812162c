from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

import rewardlab as rl
from rewardlab.registry import Registry, UnknownName
from rewardlab.rewards.spec import REWARDS, SpecError, UnwritableReward, load_reward
from rewardlab.yaml_file import YAMLError, parse_yaml
from tests.rewards.samples import answer, exact, halving, length, picky, rank_in_group

BATCH = [
    answer("gold", "gold", group="g"),
    answer("no", "gold", group="g"),
    answer("skip", "x", group="h"),
    answer("break"),
]


REWARDS_TO_WRITE = {
    "function": length,
    "function with options": exact.with_options(credit=0.25),
    "function with a name": length.named("len"),
    "sum": 0.8 * length + 0.2 * exact - 1.5,
    "sum inside": (length + exact).named("style") + 3 * picky,
    "product": length * exact,
    "gate": length.gated_by(exact, threshold=0.5, otherwise=-1),
    "cascade": rl.cascade(exact, length, threshold=(0.5, 0.1), combine="mean"),
    "hybrid": rl.hybrid(picky, length, confidence=0.25),
    "ensemble": rl.ensemble(length, exact, reduce="mean_minus_std", k=0.5, least=1),
    "clip": length.clipped(high=2),
    "schedule": length.scheduled(rl.Linear(1.0, 0.25, begin=0.5)),
    "schedule by a function": length.scheduled(halving),
    "normalise": rank_in_group.normalised(by="group", limit=0.5),
    "cache": length.cached(size=10),
    "kinesthetic": rl.kinesthetic(length, exact, weights=[1, 2], sign="product"),
    "environment": rl.EnvironmentReturn(discount=0.9),
}


@pytest.mark.parametrize("name", REWARDS_TO_WRITE)
def test_a_reward_is_rebuilt_from_its_yaml_equal_in_behaviour(name: str) -> None:
    reward = REWARDS_TO_WRITE[name]
    rebuilt = rl.from_spec(yaml.safe_load(reward.to_yaml()))
    first, second = reward(BATCH, progress=0.75), rebuilt(BATCH, progress=0.75)
    assert np.array_equal(first.values, second.values, equal_nan=True)
    assert first.status.tolist() == second.status.tolist()
    assert [part for part, _ in first.flat_parts()] == [part for part, _ in second.flat_parts()]
    assert reward.spec_hash == rebuilt.spec_hash == first.reward_hash
    assert rebuilt.to_spec() == reward.to_spec()


def test_a_running_normalisation_is_written_with_what_it_learned() -> None:
    reward = length.normalised()
    reward.observe(BATCH, reward(BATCH))
    rebuilt = rl.from_spec(reward.to_spec())
    assert np.array_equal(rebuilt(BATCH).values, reward(BATCH).values)


def test_the_hash_changes_with_whatever_changes_scores() -> None:
    hashes = {
        reward.spec_hash
        for reward in (
            length,
            exact,
            2 * length,
            3 * length,
            length + 1,
            length.clipped(0, 1),
            exact.with_options(credit=2),
        )
    }
    assert len(hashes) == 7
    assert None not in hashes


def test_every_short_name_in_the_table_is_there_and_knows_its_name() -> None:
    for short_name in REWARDS.places():
        target = REWARDS.resolve(short_name)
        assert issubclass(target, rl.Reward)
        assert target.short_name == short_name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: sume", r"reward.yaml:1: unknown reward 'sume'; did you mean 'sum'\?"),
        ("parts: {}", "reward.yaml:1: a reward needs the key 'type', got the keys parts"),
        ("type: clip\nreward: environment_return\nhihg: 3", r"reward.yaml:3: reward 'clip' has no option 'hihg'; did you mean 'high'\?"),
        ("type: clip\nhigh: 3", "reward.yaml:1: reward 'clip' needs the option 'reward'"),
        ("type: clip\nreward: environment_return\nhigh: tall", "reward.yaml:3: Clip: option 'high' must be float \\| None, got 'tall'"),
        ("type: sum\nparts:\n  a: environment_return\n  b:\n    type: clip\n    low: 1\n    rewrd: x", "reward.yaml:7: .*did you mean 'reward'"),
        ("type: tests.rewards.samples:lenght", "has no 'lenght'; did you mean 'length'"),
        ("type: no_such_module_here:x", "there is no module 'no_such_module_here' to import"),
        ("type: tests.rewards.samples:exact\ncredits: 3", "no option 'credits'; did you mean 'credit'"),
        ("type: json:dumps", "is a function, expected a Reward class or a function with @rewardlab.reward"),
        ("type: missing.py:f", "there is no file 'missing.py'"),
        ("- 1", "a reward must be a mapping with the key 'type', or a name, got \\[1\\]"),
        ("type: scheduled\nreward: environment_return\nschedule: {type: linnear}", "unknown schedule 'linnear'; did you mean 'linear'"),
        ("type: sum\ntype: clip", "reward.yaml:2: the key 'type' stands here again; it is already on line 1"),
        ("type: [", "reward.yaml:1: not valid YAML"),
        ("type: sum\nparts: &loop\n  a: *loop", "reward.yaml:2: an alias here refers to what it stands in"),
    ],
)  # fmt: skip
def test_errors_name_the_line_the_key_and_the_nearest_valid_one(
    tmp_path: Path, text: str, message: str, monkeypatch: object
) -> None:
    monkeypatch.chdir(tmp_path)  # type: ignore[attr-defined]
    Path("reward.yaml").write_text(text)
    with pytest.raises((SpecError, YAMLError), match=message):
        load_reward("reward.yaml")


def test_a_file_may_hold_the_spec_under_the_key_reward(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("steps: 3\nreward:\n  type: tests.rewards.samples:length\n")
    assert load_reward(file)([answer("abc")]).values.tolist() == [3]
    assert load_reward("tests.rewards.samples:length")([answer("abc")]).values.tolist() == [3]


def test_a_function_in_a_file_of_the_users_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import rewardlab as rl\n\n@rl.reward\ndef shout(completion):\n    return float(completion.isupper())\n"
    )
    reward = rl.from_spec({"type": f"{file}:shout"})
    assert reward([answer("LOUD"), answer("quiet")]).values.tolist() == [1, 0]
    assert reward.to_spec() == {"type": f"{file}:shout"}


def test_what_a_file_cannot_name_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        UnwritableReward, match=r"define it with `def` at the top of a module \(for schedules, use rewardlab.Linear"
    ):
        length.scheduled(lambda progress: 1 - progress).to_spec()

    def factory(factor: float) -> rl.Reward:
        @rl.reward
        def scaled(completion: str) -> float:
            return factor * len(completion)

        return scaled

    assert factory(2).spec_hash is None  # its source is that of factory(3)
    assert factory(2)([answer("a")]).reward_hash is None


def test_another_package_adds_names_by_an_entry_point(tmp_path: Path) -> None:
    (tmp_path / "other_rewards.py").write_text(
        "import rewardlab as rl\n\n@rl.reward\ndef polite(completion):\n    return 1.0\n"
    )
    metadata = tmp_path / "other-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[rewardlab.rewards]\npoliteness = other_rewards:polite\n")
    code = "import rewardlab as rl; r = rl.from_spec('politeness');print(r([rl.Trajectory.from_text('q', 'a')]).mean())"
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert result.stdout.strip() == "1.0", result.stderr


def test_registry_messages() -> None:
    registry = Registry("thing", {"alpha": "json:dumps"}, group="rewardlab.none")
    assert registry.resolve("alpha").__name__ == "dumps"
    with pytest.raises(UnknownName, match="unknown thing 'zzz'; known: alpha"):
        registry.resolve("zzz")
    with pytest.raises(UnknownName, match="must be a string, got 3"):
        registry.resolve(3)  # type: ignore[arg-type]


def test_yaml_keeps_the_line_of_every_key() -> None:
    file = parse_yaml("a: 1\nb:\n  - c: 2\n  - d: 3\n")
    assert file.data == {"a": 1, "b": [{"c": 2}, {"d": 3}]}
    assert file.where(("b", 1, "d")) == "<text>:4"
    assert file.where(("b", 0, "missing")) == "<text>:3"
    assert parse_yaml("").data is None


@pytest.mark.parametrize(
    "statement", ["import rewardlab", "import rewardlab.rewards", "import rewardlab as rl; rl.reward; rl.cascade"]
)
def test_importing_the_core_brings_in_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print([m for m in ('torch', 'transformers', 'sympy', 'pyarrow', 'matplotlib') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
