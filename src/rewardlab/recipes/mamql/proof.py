"""The claims of MAMQL in the world of two gems, each a mean over four draws of the demonstrations for a seed.

Constants are those of the method's trials; updates were chosen on seeds 100 to 103, the same for all arms of a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rewardlab.recipes.mamql.arms import Critics, train
from rewardlab.recipes.mamql.world import Log, TwoGems, demonstrations
from rewardlab.recipes.proof import Claim, Outcome, Recipe

MANY, FEW = 30, 4
"""Demonstrated games of 25 steps: 750 or 100 joint transitions."""
EARLY = 100
"""Updates at which the released baseline was at its best on seeds 104 and 105; soon after, its own action gives it away."""
FRESH = 80
"""Games of demonstrators, and as many of random agents, on which recovered rewards are compared with true ones."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is computed.

    Args:
        replicates: draws of the demonstrations for each seed.
        updates: of all arms.
        games: in which each arm is measured.
    """

    replicates: int = 4
    updates: int = 400
    games: int = 120


def side_by_side(log: Log) -> Log:
    """A log [T, replicate, game] as [replicate, T x game]."""
    columns = (log.states, log.actions, log.rewards, log.next_states)
    return Log(*(column.movedim(0, 2).flatten(1, 2) for column in columns))


def fresh_transitions(world: TwoGems, seed: int, replicates: int) -> Log:
    """Transitions that no arm has seen, half of demonstrators and half of random agents."""
    halves = [
        side_by_side(demonstrations(world, (replicates, FRESH), seed + number, random=bool(number)))
        for number in (0, 1)
    ]
    pairs = zip(*((half.states, half.actions, half.rewards, half.next_states) for half in halves), strict=True)
    return Log(*(torch.cat(pair, 1) for pair in pairs))


def recovery(critics: Critics, fresh: Log) -> dict[str, tuple[float, float, float]]:
    """How well each arm's recovered reward is like the true one.

    Returns:
        For each arm: correlation, the mean over agents and replicates, and of the agent for which they are closest together
        the mean recovered reward of taking the own gem, and of taking the other's.
    """
    found = critics.rewards(fresh)
    told: dict[str, tuple[float, float, float]] = {}
    for number, arm in enumerate(critics.arms):
        likeness, means = [], []
        for agent in (0, 1):
            recovered, true = found[number, :, agent].numpy(), fresh.rewards[..., agent].numpy()
            likeness += [np.corrcoef(left, right)[0, 1] for left, right in zip(recovered, true, strict=True)]
            means.append((float(recovered[true > 0].mean()), float(recovered[true < 0].mean())))
        own, other = min(means, key=lambda pair: pair[0] - pair[1])
        told[arm] = (float(np.mean(likeness)), own, other)
    return told


def run(seed: int, sizes: Sizes = Sizes()) -> dict[str, Outcome]:
    """All claims at one seed."""
    base = seed * 1_000
    world, apart = TwoGems(), TwoGems(interaction=False)
    many, few, lonely = (
        side_by_side(demonstrations(where, (sizes.replicates, count), base + number))
        for number, (where, count) in enumerate(((world, MANY), (world, FEW), (apart, MANY)))
    )
    offline = train(
        world, many, ("marginal", "joint", "input", "released", "cloning"), updates=sizes.updates, seed=base
    )
    stopped = train(world, many, ("released",), updates=min(EARLY, sizes.updates), seed=base)
    scarce = train(world, few, ("marginal", "joint", "input", "cloning"), updates=sizes.updates, seed=base)
    playing = train(world, many, ("online",), updates=sizes.updates, seed=base)
    scarce_playing = train(world, few, ("online",), updates=sizes.updates, seed=base)
    alone = train(apart, lonely, ("marginal", "joint", "single", "cloning"), updates=sizes.updates, seed=base)
    greedy, sampled = {}, {}
    for name, critics in (
        ("many", offline),
        ("early", stopped),
        ("few", scarce),
        ("many", playing),
        ("few", scarce_playing),
        ("apart", alone),
    ):
        for arm, value in critics.returns(base + 7, games=sizes.games, greedy=True).items():
            greedy[name, arm] = value
        for arm, value in critics.returns(base + 8, games=sizes.games, greedy=False).items():
            sampled[name, arm] = value
    told = recovery(offline, fresh_transitions(world, base + 500, sizes.replicates))

    def against(other: str, where: str = "many", mine: str = "marginal") -> Outcome:
        return Outcome(method=greedy[where, mine], baseline=greedy[where, other])

    gap = max(abs(greedy["apart", "marginal"] - greedy["apart", other]) for other in ("joint", "single"))
    return {
        "released": against("released"),
        "released-early": Outcome(method=greedy["many", "marginal"], baseline=greedy["early", "released"]),
        "joint-average": against("joint"),
        "joint-input": against("input"),
        "sign": Outcome(method=told["marginal"][1], baseline=told["marginal"][2]),
        "independent": Outcome(method=-gap, baseline=0.0),
        "few-cloning": against("cloning", "few"),
        "few-cloning-sampled": Outcome(method=sampled["few", "marginal"], baseline=sampled["few", "cloning"]),
        "few-joint-average": against("joint", "few"),
        "few-joint-input": against("input", "few"),
        "online": against("marginal", mine="online"),
        "few-online": against("marginal", "few", "online"),
        "correlation": Outcome(method=told["marginal"][0], baseline=told["cloning"][0]),
    }


RECIPE = Recipe(
    title="Multi-agent marginal Q-learning from demonstrations (MAMQL)",
    source="Multi-Agent Inverse Q-Learning from Demonstrations, ICRA 2025 (arXiv 2503.04679)",
    minutes=1.0,
    claims=(
        Claim(
            name="released",
            statement=(
                "750 transitions: the marginal critic's greedy return is above that of the released joint baseline by 5"
            ),
            margin=5.0,
            unit="joint return",
        ),
        Claim(
            name="joint-average",
            statement=(
                "750 transitions: marginal is not worse by .3 than a joint critic averaged over a cloned "
                "model of the other"
            ),
            margin=-0.3,
            unit="joint return",
        ),
        Claim(
            name="joint-input",
            statement="750 transitions: marginal is not worse by .3 than a critic with the other's action as input",
            margin=-0.3,
            unit="joint return",
        ),
        Claim(
            name="sign",
            statement="the recovered reward of taking the own gem is above that of taking the other's, for both agents",
            unit="recovered reward",
        ),
        Claim(
            name="independent",
            statement="agents with nothing to do with one another: marginal, joint and single-agent critics agree within .5",
            margin=-0.5,
            unit="largest gap in joint return, negated",
        ),
        Claim(
            name="released-early",
            statement="750 transitions: marginal is above the released baseline stopped at its best, after 100 updates",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="few-cloning",
            statement="100 transitions: marginal is above behaviour cloning, greedy",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="few-cloning-sampled",
            statement="100 transitions: marginal is above behaviour cloning, sampled",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="few-joint-average",
            statement="100 transitions: marginal is above a joint critic averaged over a cloned model of the other",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="few-joint-input",
            statement="100 transitions: marginal is above a critic with the other's action as input (the paper's headline)",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="online",
            statement="750 transitions: learning with play, as published, is above learning without",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="few-online",
            statement="100 transitions: learning with play, as published, is above learning without",
            gated=False,
            unit="joint return",
        ),
        Claim(
            name="correlation",
            statement="the recovered reward correlates more with the true one than what behaviour cloning implies",
            gated=False,
            unit="correlation",
        ),
    ),
    proof=run,
)
