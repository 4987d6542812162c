"""The claims about duration weights and milestones, each beside the counter-world in which the same idea should fail.

The trials in which duration weights failed are part of the proof: what is gated is that the paper's weight helps where its
argument applies, that dropping what was started too late is right in both worlds, and that milestones tell more than as much
credit given at random. Everything else is reported.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.rl_mle_agents.choices import WORLDS, Arm, Baseline, Choices
from rewardlab.recipes.rl_mle_agents.programs import Credit, Programs, Weight

RIGHT = 0.15
"""How often the starting policy gets a slot of the plumbing right: .05% of its programs are valid."""
TUNED: dict[str, dict[str, Any]] = {
    "sparse": {"step": 3.0},
    "milestones": {"step": 3.0},
    "permuted": {"step": 3.0},
}
"""Of the steps .3, 1, 3, 6 and 10, with milestones normalised apart or not, what scored best on the tuning seeds."""
WEIGHED: dict[str, Any] = {"split": True, "step": 1.0}
"""The same for the comparison of weights: of the steps 1 and 3, it scored best with each weight and in each world."""

_SHARE = "expected reward, as a share of the best action's"
_SCORE = "mean true score of a program, invalid ones 0"


def _claim(name: str, statement: str, unit: str, margin: float = 0.0, gated: bool = False) -> Claim:
    return Claim(name=name, statement=statement, unit=unit, margin=margin, gated=gated)


CLAIMS = (
    _claim("slow_best", "work is lost, slow is best, no baseline: the paper's weight beats none", _SHARE, 0.10, True),
    _claim(
        "both_worlds", "the worse of slow best and fast best: the cut-off beats the paper's weight", _SHARE, 0.10, True
    ),
    _claim("milestones", "0.05% of programs run at first: milestones beat the sparse reward", _SCORE, 0.05, True),
    _claim("permuted", "0.05% of programs run at first: milestones beat the same credit at random", _SCORE, 0.03, True),
    _claim("completion", "the worse of slow best and fast best: 1 / P(finished) beats the paper's weight", _SHARE),
    _claim("fast_best", "fast is best, no baseline: the paper's weight beats none", _SHARE),
    _claim("mean_baseline", "slow is best, mean baseline: the paper's weight beats none", _SHARE),
    _claim("carried", "nothing is lost, fast is best, no baseline: the paper's weight beats none", _SHARE),
    _claim("programs_slow", "programs, slow is best: the paper's weight beats none", _SCORE),
    _claim("programs_completion", "programs, slow is best: 1 / P(finished) beats no weight", _SCORE),
    _claim("programs_fast", "programs, fast is best: 1 / P(finished) loses at most .02", _SCORE, -0.02),
    _claim("easy_start", "0.4% of programs run at first: milestones beat the sparse reward", _SCORE),
)


def proof(seed: int, *, windows: int = 150, copies: int = 8) -> dict[str, Outcome]:
    """The tables of one seed; the options are for tests of the plumbing."""

    def share(world: str, arm: Arm, baseline: Baseline = "none", restarts: bool = True) -> float:
        choices = Choices(rewards=WORLDS[world], windows=windows, copies=copies, restarts=restarts)
        return choices.value(arm, baseline, seed)

    def programs(credit: Credit, weight: Weight = "plain", **options: Any) -> float:
        world = Programs(windows=max(2, windows * 80 // 150), copies=max(1, copies // 2), **options)
        return world.score(credit, weight, seed)["score"]

    plain, mean, cutoff, completion = (
        {world: share(world, arm) for world in ("slow best", "fast best")}
        for arm in ("plain", "mean", "cutoff", "completion")
    )
    credits: tuple[Credit, ...] = ("sparse", "milestones", "permuted")
    arms = {credit: programs(credit, right=RIGHT, **TUNED[credit]) for credit in credits}
    slow, fast = ({**WEIGHED, "world": world} for world in ("slow best", "fast best"))
    unweighted = programs("milestones", **slow)
    return {
        "slow_best": Outcome(method=mean["slow best"], baseline=plain["slow best"]),
        "both_worlds": Outcome(method=min(cutoff.values()), baseline=min(mean.values())),
        "milestones": Outcome(method=arms["milestones"], baseline=arms["sparse"]),
        "permuted": Outcome(method=arms["milestones"], baseline=arms["permuted"]),
        "completion": Outcome(method=min(completion.values()), baseline=min(mean.values())),
        "fast_best": Outcome(method=mean["fast best"], baseline=plain["fast best"]),
        "mean_baseline": Outcome(
            method=share("slow best", "mean", "mean"), baseline=share("slow best", "plain", "mean")
        ),
        "carried": Outcome(
            method=share("fast best", "mean", restarts=False), baseline=share("fast best", "plain", restarts=False)
        ),
        "programs_slow": Outcome(method=programs("milestones", "mean", **slow), baseline=unweighted),
        "programs_completion": Outcome(method=programs("milestones", "completion", **slow), baseline=unweighted),
        "programs_fast": Outcome(
            method=programs("milestones", "completion", **fast), baseline=programs("milestones", **fast)
        ),
        "easy_start": Outcome(
            method=programs("milestones", **TUNED["milestones"]), baseline=programs("sparse", **TUNED["sparse"])
        ),
    }


REAL = ("iris", "wine", "breast_cancer", "diabetes")
BENCH_CLAIMS = (
    _claim("bench_weight", "real scores of the bench, no baseline: the paper's weight beats none", _SHARE),
    _claim("bench_cutoff", "real scores of the bench, no baseline: the cut-off loses at most .02", _SHARE, -0.02),
    _claim("bench_baseline", "real scores of the bench, mean baseline: the paper's weight beats none", _SHARE),
    _claim("bench_system", "the whole system with a tiny transformer ends above its start", "reward of held-out tasks"),
    _claim("bench_plain", "the whole system: the cut-off beats plain advantages", "reward of held-out tasks"),
)


def bench_proof(
    seed: int,
    *,
    data_sets: tuple[str, ...] = REAL,
    windows: int = 150,
    updates: int = 20,
    warm: int = 60,
    held_out: int = 6,
    window: float = 30.0,
) -> dict[str, Outcome]:
    """What the bench itself says in one seed; the options are for tests of the plumbing."""
    import torch

    from rewardlab.recipes.rl_mle_agents.bench import bench_choices, bench_run

    torch.set_num_threads(1)

    def share(arm: Arm, baseline: Baseline = "none") -> float:
        found = []
        for data_set in data_sets:
            choices = bench_choices(data_set, 1000 + 10 * seed, splits=2, windows=windows)
            found.append(choices.value(arm, baseline, seed))
        return float(np.mean(found))

    plain = share("plain")
    start, with_cutoff = bench_run(seed, "cutoff", updates, warm, held_out, window)
    _, without = bench_run(seed, None, updates, warm, held_out, window)
    return {
        "bench_weight": Outcome(method=share("mean"), baseline=plain),
        "bench_cutoff": Outcome(method=share("cutoff"), baseline=plain),
        "bench_baseline": Outcome(method=share("mean", "mean"), baseline=share("plain", "mean")),
        "bench_system": Outcome(method=with_cutoff, baseline=start),
        "bench_plain": Outcome(method=with_cutoff, baseline=without),
    }


_SOURCE = "Yang, He-Yueya and Liang, Reinforcement Learning for Machine Learning Engineering Agents (arXiv 2509.01684)"

RECIPE = Recipe(title="RL for ML engineering agents", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=0.4)
"""Duration-aware credit and milestones, each beside the counter-world in which it should fail."""

BENCH = Recipe(
    title="RL for ML engineering agents: on the model bench",
    source=_SOURCE,
    claims=BENCH_CLAIMS,
    proof=bench_proof,
    minutes=0.8,
)
"""Real data, reported: `rewardlab prove rewardlab.recipes.rl_mle_agents:BENCH`."""
