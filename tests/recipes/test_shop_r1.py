from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.pieces import piece_policy
from rewardlab.recipes.shop_r1 import (
    RECIPE,
    Arms,
    World,
    balanced,
    binary,
    binary_reward,
    graded,
    next_action_tasks,
    shop_r1_reward,
    type_shares,
    whole_sessions,
)
from rewardlab.recipes.shop_r1.arms import supervised
from rewardlab.recipes.shop_r1.network import Policies, chosen, used
from rewardlab.recipes.shop_r1.world import SLOTS, action, answer, pieces
from rewardlab.rewards.spec import from_spec
from rewardlab.rewards.verifiers import action_report
from rewardlab.training.credit.baselines import Group
from rewardlab.training.loop import train
from rewardlab.training.objectives.policy_gradient import GRPO
from rewardlab.training.warm_start import WarmStart
from rewardlab.types import Trajectory

SMALL = World(seed=100, demonstrations=40, train=16, test=20)

# ---- the rewards ------------------------------------------------------------------------------------------------------


def test_rewards_of_the_arms_by_hand() -> None:
    pages = World(seed=100, ambiguity=0.0).pages("test")
    right = pages.demonstrations()
    kinds = [one.reference["type"] for one in right]
    paper = {"terminate": 0.8, "click": 1001.0, "type_and_submit": 1001.1}
    assert shop_r1_reward(alpha=0.0)(right).values.tolist() == pytest.approx([paper[kind] for kind in kinds])
    five = {"terminate": 0.8, "click": 6.0, "type_and_submit": 6.1}
    assert shop_r1_reward(factor=5.0, alpha=0.0)(right).values.tolist() == pytest.approx([five[kind] for kind in kinds])
    assert set(binary_reward()(right).values.tolist()) == {1.5}
    end = [Trajectory.from_text("page", answer({"type": "terminate"}), task=one.task) for one in right]
    wrong = [one for one, kind in zip(end, kinds, strict=True) if kind != "terminate"]
    assert set(binary_reward()(wrong).values.tolist()) == set(shop_r1_reward(alpha=0.0)(wrong).values.tolist()) == {0.5}
    half = {"type": "click", "name": right[kinds.index("click")].reference["name"].split()[0] + " way9"}
    nearly = Trajectory.from_text("page", answer(half), task=right[kinds.index("click")].task)
    assert shop_r1_reward(alpha=0.0)([nearly]).values.tolist() == pytest.approx([1.0])
    assert shop_r1_reward(alpha=0.0, threshold=0.5)([nearly]).values.tolist() == pytest.approx([501.0])


def test_the_group_of_the_paper_has_these_advantages() -> None:
    values = rl.Scores(values=np.array([1001, 1, 1, 0.5]))
    group = [Trajectory.from_text("a", "b", group="g") for _ in range(4)]
    found = [float(row[0]) for row in Group(epsilon=0.0)(group, values).values]
    assert found == pytest.approx([1.5, -0.4997, -0.4997, -0.5007], abs=1e-4)


# ---- the world --------------------------------------------------------------------------------------------------------


def test_worlds_repeat_and_people_follow_the_intent_as_often_as_they_are_told() -> None:
    world, again = World(seed=3), World(seed=3)
    for name in ("demonstrations", "train", "test"):
        first, second = world.pages(name), again.pages(name)
        assert [task.prompt for task in first.tasks] == [task.prompt for task in second.tasks]
        assert [task.reference for task in first.tasks] == [task.reference for task in second.tasks]
    pages = World(seed=3, train=6000).pages("train")
    assert (pages.human["type"] == pages.intent).mean() == pytest.approx(1 - 0.35 * 2 / 3, abs=0.02)
    certain = World(seed=3, ambiguity=0.0).pages("train")
    assert (certain.human["type"] == certain.intent).all()
    assert certain.features.sum(axis=1).tolist() == [7.0] * len(certain)


def test_every_answer_is_made_of_the_pieces() -> None:
    policy = piece_policy(pieces(), hidden=16, layers=1)
    for one in SMALL.pages("test").demonstrations():
        tokens = policy.encode_demonstration(one)
        assert policy.template.decode(tokens.ids[tokens.step >= 0].tolist()) == one.completion
        assert policy.tokenizer.unk_token_id not in tokens.ids
        assert (tokens.step >= 0).sum() <= 7


def test_arms_share_a_start_and_nothing_else() -> None:
    network = Policies(1, seed=1)
    copies = network.spread(3)
    features = torch.rand(1, 5, 57)
    for alone, together in zip(network(features), copies(features.expand(3, -1, -1)), strict=True):
        assert torch.allclose(alone.expand(3, -1, -1), together, atol=1e-6)
        assert torch.allclose(alone.exp().sum(-1), torch.ones(1, 5))
    values = torch.tensor([[[0, 1, 2, 0, 3, 4], [1, 1, 2, 0, 3, 4], [2, 1, 2, 0, 3, 4]]])
    assert used(values).sum(-1).tolist() == [[3, 4, 1]]
    picked = chosen(network(features[:, :3]), values)
    assert picked[0, 1, 4] == network(features[:, :3])[4][0, 1, 3]
    arms = Arms(world=SMALL, start_steps=5, updates=2, pages=4, samples=4)
    one, other = arms.train([graded(5.0), binary()])
    again, _ = arms.train([graded(5.0), binary()])
    assert one == again
    assert 0 <= other.exact <= other.type_accuracy <= 1


def test_the_start_learns_people_and_the_slots_read_back() -> None:
    pages = World(seed=100, ambiguity=0.0, demonstrations=300).pages("demonstrations")
    network = supervised(pages, 150, 3e-3, 48, 0)
    arms = Arms(world=World(seed=100, ambiguity=0.0, test=200))
    assert arms.measure(network)[0].type_accuracy > 0.95
    said = action(dict(zip(SLOTS, (1, 0, 0, 2, 7, 3), strict=True)))
    assert said == {"type": "type_and_submit", "name": "field2", "text": "word7 sort3"}


def test_the_proof_returns_every_claim() -> None:
    outcomes = RECIPE.proof(100, updates=1, test=50)  # type: ignore[call-arg]
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())


def test_a_language_model_goes_through_the_ordinary_loop() -> None:
    """Cold start, GRPO with all three parts, and the report of what is predicted."""
    world = World(seed=100, demonstrations=64, train=32, test=16)
    policy = piece_policy(pieces(), hidden=32, layers=1, seed=0)
    seen: list[Any] = []
    result = train(
        policy,
        SingleTurn,
        shop_r1_reward(factor=5.0),
        world.pages("train").tasks,
        warm_start=WarmStart(
            demonstrations=world.pages("demonstrations").demonstrations(), steps=40, batch_size=32, learning_rate=1e-2
        ),
        objective=GRPO(learning_rate=1e-3, epochs=2, entropy=False),
        steps=2,
        tasks_per_step=4,
        group_size=4,
        sampling=Sampling(max_new_tokens=8),
        callbacks=[lambda step: seen.append(action_report(step.trajectories, scores=step.scores))],  # type: ignore[func-returns-value]
        trackers=(),
    )
    assert result.steps == 2
    assert all(row["parts/json_format"] >= 0 for row in result.metrics)
    assert all("(unreadable)" not in report.predicted or report.predicted["(unreadable)"] < 1 for report in seen)


# ---- recorded sessions ------------------------------------------------------------------------------------------------

SESSION = [
    ("<a name=home>", {"type": "type_and_submit", "name": "search", "text": "socks"}, "I need socks."),
    ("<a name=one>", {"type": "click", "name": "one"}, "These look warm."),
    ("<a name=buy>", {"type": "click", "name": ""}),
    ("<a name=back>", {"type": "terminate"}),
]


def test_sessions_become_pairs_with_something_seen_before() -> None:
    cut = next_action_tasks([SESSION, SESSION[:1]])
    assert [task.id for task in cut.tasks] == ["session0/1", "session0/3"]
    assert (cut.left_out, cut.pages_dropped) == (1, 0)
    first = cut.tasks[0]
    assert first.reference == {"type": "click", "name": "one"}
    assert first.prompt is not None
    shown = first.prompt[1]["content"]
    assert "<a name=home>" in shown
    assert shown.endswith("<page>\n<a name=one>\n</page>")
    assert '"text": "socks"' in shown
    assert '"name": "one"' not in shown


def test_old_pages_are_dropped_first_and_actions_stay() -> None:
    full = next_action_tasks([SESSION], instructions="").tasks[-1]
    assert full.prompt is not None
    cut = next_action_tasks([SESSION], instructions="", most=len(full.prompt[1]["content"]) + 8)
    assert cut.pages_dropped == 0
    tight = next_action_tasks([SESSION], instructions="", most=1, length=lambda text: len(text.split()))
    last = tight.tasks[-1]
    assert last.prompt is not None
    assert last.metadata["pages_dropped"] == 3
    assert "<a name=home>" not in last.prompt[1]["content"]
    assert last.prompt[1]["content"].count("<action>") == 3
    assert "<a name=back>" in last.prompt[1]["content"]


def test_whole_sessions_are_conversations() -> None:
    (trajectory,) = whole_sessions([SESSION])
    assert len(trajectory) == 4
    assert json.loads(trajectory.actions[0]["content"]) == {"rationale": "I need socks.", "action": SESSION[0][1]}
    assert json.loads(trajectory.actions[3]["content"])["rationale"] == ""


def test_balanced_draws_keep_their_proportions() -> None:
    tasks = World(seed=1, train=300).pages("train").tasks
    drawn = balanced(tasks, 640, seed=2)
    assert type_shares(drawn) == pytest.approx({"click": 0.34375, "terminate": 0.3125, "type_and_submit": 0.34375})
    assert [task.id for task in drawn] == [task.id for task in balanced(tasks, 640, seed=2)]
    assert len(balanced(tasks, 7)) == 7
    assert set(type_shares(balanced(tasks, 10, weights={"click": 1.0}))) == {"click"}
    with pytest.raises(ValueError, match="no task has an action of the types buy"):
        balanced(tasks, 3, weights={"buy": 1.0})


def test_the_scale_file_is_the_recipe_s_reward() -> None:
    from pathlib import Path

    import yaml

    import rewardlab.recipes

    path = Path(rewardlab.recipes.__file__).parent / "scale" / "shop-r1.yaml"
    reward = from_spec(yaml.safe_load(path.read_text())["reward"])
    batch = SMALL.pages("test").demonstrations()
    assert reward(batch).values.tolist() == shop_r1_reward()(batch).values.tolist()
