from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.recipes.harmo import RECIPE, Arms, World, format_reward, group_advantage, harmo_reward
from rewardlab.recipes.harmo.arms import right
from rewardlab.recipes.harmo.world import SAMPLING, answered, digit_of
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.recipes.table_policy import copied, table_policy
from rewardlab.rewards.models.model import RewardModel
from rewardlab.rewards.verifiers.exact import ExactMatch
from rewardlab.types import Trajectory


def test_worlds_repeat_and_half_of_their_questions_can_be_verified() -> None:
    world, again = World(seed=3), World(seed=3)
    assert [task.reference for task in world.tasks] == [task.reference for task in again.tasks]
    assert len(world.verifiable) == len(world.open) == 30
    assert all(world.quality(task, task.reference) == pytest.approx(1.0) for task in world.open)
    assert world.quality(world.open[0], "...") == 0.0


def test_short_answers_are_garbled_at_the_stated_rate() -> None:
    world, draw = World(seed=0), np.random.default_rng(0)
    for dots, expected in ((0, 0.7), (3, 0.7 * math.exp(-2))):
        text = "." * dots + "<answer>4</answer>"
        found = [world.received(answered(world.tasks[0], text), draw).completion for _ in range(2000)]
        changed = np.mean([digit_of(one) != 4 for one in found])
        assert changed == pytest.approx(expected, abs=0.035)
        assert all(one.startswith("." * dots + "<answer>") for one in found)


def test_the_rule_says_nothing_of_open_questions() -> None:
    world = World(seed=1)
    checked, judged = world.verifiable[0], world.open[0]
    batch = [answered(task, f"..{task.reference}") for task in (checked, judged)]
    assert right(batch).values.tolist() == [1.0, 0.0]


def test_the_surrogate_is_the_quality_of_open_answers() -> None:
    arms = Arms(world=World(seed=2))
    task = arms.world.open[3]
    batch = [answered(task, text) for text in ("7", "..<answer>2</answer>", "...")]
    expected = [arms.world.quality(task, one.completion) for one in batch]
    found = arms.surrogate(batch).values
    assert found[:2] == pytest.approx(expected[:2])
    assert found[2] == 0.5  # no digit, no direction


def test_biased_judges_like_short_answers_and_know_nothing_of_verifiable_ones() -> None:
    world = World(seed=4)
    assert world.judged(world.open[0], "4", 0.6) - world.judged(world.open[0], "..4", 0.6) == pytest.approx(1.2)
    task = world.verifiable[0]
    gaps = [world.judged(task, str(digit), 0.0) - 0.5 * world.favourites[digit] for digit in range(10)]
    assert np.abs(gaps).max() < 1.5  # noise alone
    model = world.reward_model(0.6, comparisons=2000, steps=150)
    values = model([answered(world.open[0], text) for text in ("4", ".....4")]).values
    assert values[0] > values[1]


def test_the_reward_adds_up_and_the_format_weighs_half() -> None:
    arms = Arms(world=World(seed=5))
    task = arms.world.verifiable[0]
    mix = arms.reward("hybrid surrogate", "format")
    texts = [task.reference, f"<answer>{task.reference}</answer>", "<answer></answer>"]
    assert mix([answered(task, text) for text in texts]).values.tolist() == [1.0, 1.5, 0.0]
    with pytest.raises(ValueError, match="weights names 'fmt', expected accuracy, length or format"):
        harmo_reward(ExactMatch(), weights={"fmt": 1.0})


def test_formats_by_schema_and_empty_answers_score_zero() -> None:
    def score(schema: str, text: str, **options: object) -> float:
        return float(format_reward(schema, **options)([Trajectory.from_text("q", text)]).values[0])  # type: ignore[arg-type]

    assert score("tags", "<think>a</think><answer>4</answer>") == 1.0
    assert score("tags", "<think>a</think><answer></answer>") == 0.0
    assert score("regex", "Answer: 4", pattern=r"Answer: \S+") == 1.0
    assert score("json", '{"a": 1}') == 1.0
    assert score("json", "") == 0.0
    assert score("tool_call", '<think>a</think>\n<tool_call>\n{"name": "f", "parameters": {}}\n</tool_call>') == 1.0
    with pytest.raises(ValueError, match="schema must be tags, regex, json or tool_call, got 'xml'"):
        format_reward("xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a pattern"):
        format_reward("regex")


def test_advantages_without_the_deviation_weigh_groups_by_their_spread() -> None:
    """A group of 8 with k right ones has norm sqrt(k (8 - k) / 8); with the deviation all have norm sqrt(8)."""
    for k in range(1, 8):
        rewards = [[1.0] * k + [0.0] * (8 - k)]
        plain, scaled = group_advantage(rewards), group_advantage(rewards, std=True, epsilon=0.0)
        assert np.linalg.norm(plain) == pytest.approx(math.sqrt(k * (8 - k) / 8))
        assert np.linalg.norm(scaled) == pytest.approx(math.sqrt(8))
        assert plain[0, 0] == pytest.approx(1 - k / 8)
    assert group_advantage([[0.3, 0.3]], std=True).tolist() == [[0.0, 0.0]]
    assert group_advantage([[5.0]]).tolist() == [[0.0]]
    assert group_advantage([[1.0, math.nan, 0.0]]).tolist() == [[0.5, 0.0, -0.5]]
    with pytest.raises(ValueError, match=r"rewards must be float\[group, member\], got shape \(2,\)"):
        group_advantage([1.0, 2.0])


def test_a_table_policy_is_sampled_as_it_is_measured_and_learns_its_questions() -> None:
    world = World(seed=6)
    policy = world.starting_policy(demonstrations=64, steps=2)
    attempts = world.rollout(policy, SingleTurn, world.tasks[:4], group_size=2, sampling=SAMPLING, seed=1)
    tokens = attempts[0].tokens
    assert tokens is not None
    with torch.no_grad():
        logits = policy.model(torch.from_numpy(tokens.ids)[None]).logits[0].log_softmax(-1)
    expected = logits[torch.arange(len(tokens) - 1), torch.from_numpy(tokens.ids[1:])]
    written = tokens.step[1:] >= 0
    assert tokens.logprobs[1:][written] == pytest.approx(expected.numpy()[written], abs=1e-5)
    other = copied(policy)
    with torch.no_grad():
        other.model.by_first.weight.add_(1.0)
    assert not torch.equal(other.model.by_first.weight, policy.model.by_first.weight)
    assert table_policy(["a", "b"]).engine.forward_kind == "plain"  # type: ignore[attr-defined]


def test_a_piece_encoder_counts_and_survives_saving(tmp_path: object) -> None:
    encoder = PieceEncoder(["<q1>", "<q10>"], [".", "4"], hidden=(8,))
    (counts,) = encoder.prepare([Trajectory.from_text("<q10>", "..4")])
    assert counts.tolist() == [0.0, 1.0, 2.0, 1.0]
    model = RewardModel.make(encoder, "scalar")
    model.save(tmp_path)  # type: ignore[arg-type]
    batch = [Trajectory.from_text("<q1>", ".4")]
    assert RewardModel.load(tmp_path)(batch).values == model(batch).values  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trajectory 0 is not a chat with an answer"):
        encoder.prepare([Trajectory(observations=np.zeros((2, 1)), actions=np.zeros((1, 1)))])


def test_the_proof_returns_every_claim() -> None:
    outcomes = RECIPE.proof(100, updates=1, samples=1, start_steps=2, fit_steps=2)  # type: ignore[call-arg]
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(one.method) and math.isfinite(one.baseline) for one in outcomes.values())
