from __future__ import annotations

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.audit import weight_search
from rewardlab.audit.advice import Facts


@rl.reward(per="transition")
def gain(action: np.ndarray) -> np.ndarray:
    return action.astype(float)


@rl.reward(per="transition")
def cost(action: np.ndarray) -> np.ndarray:
    return -2.0 * (action == 2)


GENTLE = rl.Constraint(lambda action: (action == 2).astype(float), at_most=0.1, name="rough")
MOVES = rl.Constraint(lambda action: (action > 0).astype(float), at_least=0.9, name="moves")


def learn(reward: rl.Reward, seed: int) -> list[rl.Trajectory]:
    """The best of three actions, taken for ever."""
    walks = [
        rl.Trajectory(observations=np.zeros((6, 1)), actions=np.full(5, action), truncated=True) for action in range(3)
    ]
    scores = reward(walks).values
    return [walks[int(scores.argmax())]]


def test_every_weight_is_tried_and_the_share_that_will_do_is_told():
    found = weight_search({"gain": gain, "cost": cost}, {"cost": [0.0, 0.1, 0.6, 1.0]}, [GENTLE, MOVES], learn)
    assert [trial.acceptable for trial in found.trials] == [False, False, True, True]
    assert found.share == 0.5
    assert found.interval[0] < 0.5 < found.interval[1]
    assert "0.50 [" in found.table()
    assert "4 of 4 combinations" in found.table()
    some = weight_search(
        {"gain": gain, "cost": cost}, {"cost": [0, 1, 2], "gain": [0, 1]}, [MOVES], learn, budget=3, seed=1
    )
    assert len(some.trials) == 3
    assert some.size == 6


def test_bad_searches_are_named():
    with pytest.raises(ValueError, match=r"the grid names \['price'\], which is no term; they are gain"):
        weight_search({"gain": gain}, {"price": [1.0]}, [MOVES], learn)
    with pytest.raises(ValueError, match="without constraints every run is acceptable"):
        weight_search({"gain": gain}, {"gain": [1.0]}, [], learn)
    with pytest.raises(ValueError, match="has no combination"):
        weight_search({"gain": gain}, {"gain": []}, [MOVES], learn)


@pytest.mark.parametrize(
    ("facts", "first"),
    [
        ({"order": True, "demonstrations": 100}, "a reward machine, or temporal logic"),
        ({"indicators": 3, "success": True}, "constraints on rates, with success as the bootstrap constraint"),
        ({"objectives": 2}, "directions among objectives"),
        ({"dense_terms": 1, "success": True}, "success, shaped by potentials"),
        ({"demonstrations": 50, "simulator": False}, "behaviour cloning"),
        ({"demonstrations": 50}, "ASAF"),
        ({"demonstrations": 22, "contiguous": False}, "adversarial imitation"),
        ({"preferences": 10}, "a reward from comparisons"),
        ({}, "gather comparisons"),
    ],
)
def test_advice_follows_the_facts(facts, first):
    assert rl.choose(facts)[0].route == first
    assert rl.choose(**facts) == rl.choose(Facts(**facts))


def test_every_part_that_advice_names_is_there():
    import importlib

    everything = Facts(
        demonstrations=1, preferences=1, indicators=1, success=True, dense_terms=1, objectives=2, order=True, words=True, agents=2
    )  # fmt: skip
    others = [
        Facts(demonstrations=1, contiguous=False, dense_terms=1),
        Facts(demonstrations=1, simulator=False),
        Facts(success=True),
        Facts(),
    ]
    for facts in (everything, *others):
        for advice in rl.choose(facts):
            module, _, name = advice.part.partition(":")
            assert importlib.util.find_spec(module) is not None
            if name:
                assert hasattr(importlib.import_module(module), name), advice.part


def test_an_unknown_fact_is_named():
    with pytest.raises(ValueError, match="there is no fact 'demos'"):
        rl.choose(demos=3)
