from __future__ import annotations

import math

import pytest
import torch

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.recipes.retroformer import RECIPE, Arms, World, slot_tasks
from rewardlab.recipes.retroformer.arms import with_actor
from rewardlab.recipes.retroformer.writer import Writer, weak_reflections


def test_the_table_names_the_right_action_and_the_flaky_slot_does_not() -> None:
    world = World(seed=3)
    attempts = world.first(4000, 1)
    for taken, codes in enumerate(world.table.tolist()):
        assert codes[taken] == 0
        others = [code for right, code in enumerate(codes) if right != taken]
        assert len(set(others)) == 4
        assert set(others) <= set(range(1, 6))
    rows = torch.arange(4000)
    honest = torch.ones(4000, 5, dtype=torch.bool)
    honest[rows, world.flaky[attempts.kind]] = False
    right = attempts.taken == attempts.right
    assert bool(((attempts.codes == 0) == right)[honest].all())
    assert float(((attempts.codes == 0) == right)[~honest].float().mean()) < 0.6
    assert float(right.float().mean()) == pytest.approx(0.6 + 0.4 / 5, abs=0.02)
    again = world.again(attempts, None, None, torch.Generator())
    assert bool((again.taken == attempts.taken).all())


def test_worlds_repeat_and_streams_differ() -> None:
    first, second, other = World(seed=1).first(50, 7), World(seed=1).first(50, 7), World(seed=1).first(50, 8)
    assert bool((first.right == second.right).all())
    assert not bool((first.right == other.right).all())
    assert [task.id for task in slot_tasks(World(seed=1), 3)] == ["slots/1/0/0", "slots/1/0/1", "slots/1/0/2"]


def test_obeyed_reflections_change_their_slot_alone() -> None:
    world = World(seed=2, obedience=1.0)
    attempts = world.first(100, 1)
    slot, action = world.oracle(attempts)
    after = world.again(attempts, slot, action, torch.Generator().manual_seed(0))
    repaired = ~attempts.solved
    assert torch.allclose(after.returns[repaired], attempts.returns[repaired] + 0.2)
    assert int((after.taken != attempts.taken).sum(-1).max()) == 1


def test_writers_give_distributions() -> None:
    writer, attempts = Writer(seed=1), World(seed=1).first(20, 1)
    slots, actions = writer(attempts.features)
    assert torch.allclose(slots.exp().sum(-1), torch.ones(20))
    assert torch.allclose(actions.exp().sum(-1), torch.ones(20, 5))
    slot, action = writer.write(attempts, torch.Generator().manual_seed(0))
    both = writer.logprobs(attempts.features, slot, action)
    assert both[3, 0] == slots[3, slot[3]]
    assert both[3, 1] == actions[3, slot[3], action[3]]
    named, _ = weak_reflections(World(seed=1).first(2000, 2), torch.Generator().manual_seed(0))
    assert named.unique().numel() == 5


def test_area_under_the_curve_by_hand() -> None:
    assert area_under_curve(torch.tensor([3.0, 1.0, 2.0, 2.0]), torch.tensor([True, False, True, False])) == 0.875


def test_deaf_actors_hear_nothing_and_the_oracle_is_heard() -> None:
    arms = Arms(world=World(seed=100), ratings=128, pretraining=5, tests=300)
    deaf = with_actor(arms, obedience=0.0)
    assert deaf.success(arms.frozen) == deaf.success(None) == arms.success(None)
    assert arms.success(None, oracle=True) > 0.9


def test_the_proof_returns_every_claim() -> None:
    outcomes = RECIPE.proof(100, ratings=256, pretraining=20, effort=0.02)  # type: ignore[call-arg]
    assert set(outcomes) == {claim.name for claim in RECIPE.claims}
    assert all(math.isfinite(entry.method) and math.isfinite(entry.baseline) for entry in outcomes.values())
