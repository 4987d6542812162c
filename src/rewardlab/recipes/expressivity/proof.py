"""The proof: five tasks without a Markov reward, what that costs an agent, and exact answers against sampled ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rewardlab.environments.tabular import MarkovDecisionProcess
from rewardlab.environments.tabular_worlds import grid
from rewardlab.functional import tabular
from rewardlab.recipes.expressivity.patrol import shares
from rewardlab.recipes.expressivity.tasks import DISCOUNTS, control_order, controls, tasks
from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.rewards.formal import LTLf, trace_probability
from rewardlab.rewards.formal.expressivity import markov_expressible
from rewardlab.rewards.formal.objectives import CMDP
from rewardlab.types import Status

LAVA = ("S...", ".L.L", "...L", "L..G")
FORMULA = "F goal & G !lava"


def refused(seed: int) -> tuple[float, float]:
    """Share of refusals over tasks and discounts, and the same for controls that a Markov reward does state."""
    asked = [
        markov_expressible(task, discount=discount).expressible
        for task in tasks(seed).values()
        for discount in DISCOUNTS
    ]
    known = [
        markov_expressible(control_order(*control, discount), discount=discount).expressible
        for control in controls(seed).values()
        for discount in DISCOUNTS
    ]
    return 1.0 - float(np.mean(asked)), 1.0 - float(np.mean(known))


def lava_world() -> tuple[MarkovDecisionProcess, dict[str, list[int]]]:
    """A slippery grid with lava, and the states that its propositions name."""
    world = grid(LAVA, slip=0.15, rewards={"G": 1.0}, terminal="GL", discount=0.95)
    marks = [mark for line in LAVA for mark in line]
    return world, {
        "goal": [state for state, mark in enumerate(marks) if mark == "G"],
        "lava": [state for state, mark in enumerate(marks) if mark == "L"],
    }


def logic_errors(seed: int, *, policies: int = 4, trajectories: int = 2_000, steps: int = 60) -> float:
    """The largest distance in standard errors between exact and sampled probabilities of a formula, over drawn policies."""
    world, labels = lava_world()
    generator = np.random.default_rng(seed)
    reward = LTLf(FORMULA, labels=labels, truncated="as_end")
    worst = 0.0
    for number in range(policies):
        policy = generator.dirichlet(np.ones(world.actions), size=world.states)
        exact = trace_probability(world, policy, FORMULA, labels, steps=steps).satisfied
        scores = reward(world.sample(policy, trajectories, steps=steps, seed=1000 * seed + number))
        if (scores.status != Status.SCORED).any():
            raise ArithmeticError(f"a sampled trajectory was not scored: {scores.note(0)}")
        error = np.sqrt(exact * (1 - exact) / trajectories)
        worst = max(worst, abs(float(scores.values.mean()) - exact) / max(float(error), 1e-12))
    return worst


def constrained(seed: int, *, rounds: int = 4_000) -> tuple[float, float]:
    """A multiplier found by ascent against the linear programme, on a random process.

    Returns:
        How far the return is from the programme's, and by how much the limit is exceeded, as shares of these.
    """
    generator = np.random.default_rng(seed)
    transitions = generator.dirichlet(np.full(6, 0.5), size=(6, 3))
    world = MarkovDecisionProcess(transitions, generator.random((6, 3)), 0.9, np.full(6, 1 / 6))
    cost = generator.random((6, 3))
    # half way between the cost of the best policy and the least cost, so that the limit binds
    free = float((world.occupancy(world.optimal_policy()) * cost).sum())
    least = -float(world.initial @ world.with_rewards(-cost).solve()[0])
    limit = 0.5 * (free + least)
    exact = CMDP({"cost": cost}, {"cost": limit}).solve(world)
    price, total, average = 0.0, 0.0, np.zeros_like(cost)
    for step in range(rounds):
        actions = tabular.value_iteration(transitions, world.rewards - price * cost, world.discount)[1]
        policy = np.eye(3)[actions.argmax(-1)]
        visits = world.occupancy(policy)
        price = max(0.0, price + 0.2 / np.sqrt(step + 1) * (float((visits * cost).sum()) - limit))
        if step >= rounds // 2:
            average += visits
            total += 1
    average /= total
    value, spent = float((average * world.rewards).sum()), float((average * cost).sum())
    return abs(value - exact.value) / exact.value, max(0.0, spent - limit) / limit


def proof(seed: int, *, steps: int = 3_000, rounds: int = 600) -> Mapping[str, Outcome]:
    """The outcome of every claim for one seed."""
    inexpressible, expressible = refused(seed)
    reached = shares(seed, steps=steps)
    rival = max(reached[name] for name in ("pairs", "values", "ends"))
    distance, excess = constrained(seed, rounds=rounds)
    return {
        "refused": Outcome(method=inexpressible, baseline=expressible),
        "reached": Outcome(method=reached["product"], baseline=0.9),
        "out_of_reach": Outcome(method=0.6, baseline=rival),
        "product_or_markov": Outcome(method=reached["product"], baseline=rival),
        "any_memoryless": Outcome(method=reached["product"], baseline=reached["memoryless"]),
        "logic": Outcome(method=3.0, baseline=logic_errors(seed)),
        "multiplier_return": Outcome(method=0.05, baseline=distance),
        "multiplier_limit": Outcome(method=0.02, baseline=excess),
    }


RECIPE = Recipe(
    title="On the Expressivity of Objective-Specification Formalisms in Reinforcement Learning",
    source="Subramani et al., ICLR 2024, arXiv 2310.11840",
    claims=(
        Claim(
            name="refused",
            statement="share of five tasks x nine discounts without a Markov reward, against the same worlds with one",
            margin=0.99,
            unit="share refused",
        ),
        Claim(
            name="reached",
            statement="patrol: Q-learning on environment and machine together reaches .9 of the optimum",
            unit="share of optimum",
        ),
        Claim(
            name="out_of_reach",
            statement="patrol: the best of three Markov rewards stays below .6 of the optimum (method is .6)",
            unit="share of optimum",
        ),
        Claim(
            name="product_or_markov",
            statement="patrol: environment and machine together against the best of three Markov rewards",
            margin=0.3,
            unit="share of optimum",
        ),
        Claim(
            name="any_memoryless",
            statement="patrol: environment and machine together against the best policy that sees the cell alone, exactly",
            margin=0.3,
            unit="share of optimum",
        ),
        Claim(
            name="logic",
            statement="probability of a formula: exact and sampled differ by less than 3 standard errors (method is 3)",
            unit="standard errors",
        ),
        Claim(
            name="multiplier_return",
            statement="constrained: ascent on the multiplier comes within 5% of the linear programme (method is .05)",
            gated=False,
            unit="share of the return",
        ),
        Claim(
            name="multiplier_limit",
            statement="constrained: ascent on the multiplier exceeds the limit by less than 2% (method is .02)",
            gated=False,
            unit="share of the limit",
        ),
    ),
    proof=proof,
    minutes=0.2,
)
