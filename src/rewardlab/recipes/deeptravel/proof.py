"""DeepTravel's claims: two stages are not hacked where each alone is, and replayed failures help with rare long trips."""

from __future__ import annotations

from typing import Any

import torch

from rewardlab.recipes.deeptravel.arms import EVEN, RARE, Arms
from rewardlab.recipes.proof import Claim, Outcome, Recipe

UPDATES, REPLAY_UPDATES = 30, 40
REPLAY: dict[str, Any] = {"every": 2, "share": 1.0, "enter": "most_failed", "leave": "mostly_solved", "max_tries": 8}
"""Every second batch comes from the buffer."""
IMPOSSIBLE = 0.15
"""Share of the training trips in the counter-world, where about half of what fails at first is then impossible."""

_PASS = "share of held-out trips that are feasible and grounded"
_MADE_UP = "share of written names that no tool had answered"

CLAIMS = (
    Claim(
        name="over_trajectory",
        statement="the cascade passes more trips than the trajectory stage alone",
        margin=0.25,
        unit=_PASS,
    ),
    Claim(name="over_start", statement="the cascade passes more trips than the cold start", margin=0.15, unit=_PASS),
    Claim(
        name="over_turn", statement="the cascade passes more trips than the turn stage alone", margin=0.05, unit=_PASS
    ),
    Claim(
        name="makes_nothing_up",
        statement="the cascade makes fewer names up than the cold start (shares of names that are real)",
        margin=0.1,
        unit=_MADE_UP,
    ),
    Claim(
        name="trajectory_makes_up",
        statement="the trajectory stage alone makes more names up than the cold start",
        unit=_MADE_UP,
    ),
    Claim(
        name="turn_shortens",
        statement="the turn stage alone writes fewer feasible trips than the cascade (shares of trips)",
        margin=0.05,
        unit="share of held-out trips that are feasible",
    ),
    Claim(
        name="replay_long",
        statement="lengths learned apart: failures that come back pass more trips of three days than none",
        margin=0.02,
        unit="share of held-out trips of three days that pass",
    ),
    Claim(
        name="replay_all",
        statement="lengths learned apart: failures that come back pass more trips than none",
        gated=False,
        unit=_PASS,
    ),
    Claim(
        name="turn_checks_saved",
        statement="the cascade asks for fewer turn checks than there are trips",
        gated=False,
        unit="share of trips whose turns are checked",
    ),
)

ABLATION_CLAIMS = (
    Claim(
        name="even",
        statement="lengths apart: replay against training on all lengths alike (trips of three days)",
        gated=False,
    ),
    Claim(
        name="all_failed",
        statement="lengths apart: replay of what failed wholly against none (three days)",
        gated=False,
    ),
    Claim(name="idle", statement="lengths apart: replay against none, groups without any difference", gated=False),
    Claim(name="shared", statement="lengths learned together: replay against none (three days)", gated=False),
    Claim(
        name="impossible_capped",
        statement="some trips impossible: replay that gives up after 8 tries against none",
        margin=-0.03,
        gated=False,
        unit=_PASS,
    ),
    Claim(
        name="impossible_endless",
        statement="some trips impossible: replay that never gives up against replay that gives up after 8 tries",
        gated=False,
        unit=_PASS,
    ),
    Claim(
        name="dense", statement="the cascade with the mean of the turns against all or nothing", gated=False, unit=_PASS
    ),
)


def proof(
    seed: int, *, updates: int = UPDATES, replay_updates: int = REPLAY_UPDATES, **options: Any
) -> dict[str, Outcome]:
    """The gated arms of one seed; the options are for tests of the plumbing."""
    torch.set_num_threads(1)
    arms = Arms(seed=seed, **options)
    start = arms.untrained()
    both, trajectory, turn = (arms.train(name, updates=updates) for name in ("hierarchical", "trajectory", "turn"))
    apart = Arms(seed=seed, shared=False, **options)
    plain = apart.train(updates=replay_updates, shares=RARE)
    replayed = apart.train(updates=replay_updates, shares=RARE, replay=REPLAY)
    return {
        "over_trajectory": Outcome(method=both.passes, baseline=trajectory.passes),
        "over_start": Outcome(method=both.passes, baseline=start.passes),
        "over_turn": Outcome(method=both.passes, baseline=turn.passes),
        "makes_nothing_up": Outcome(method=1 - both.made_up, baseline=1 - start.made_up),
        "trajectory_makes_up": Outcome(method=trajectory.made_up, baseline=start.made_up),
        "turn_shortens": Outcome(method=both.feasible, baseline=turn.feasible),
        "replay_long": Outcome(method=replayed.by_days[3], baseline=plain.by_days[3]),
        "replay_all": Outcome(method=replayed.passes, baseline=plain.passes),
        "turn_checks_saved": Outcome(method=1.0, baseline=both.asked),
    }


def ablations(
    seed: int, *, updates: int = UPDATES, replay_updates: int = REPLAY_UPDATES, **options: Any
) -> dict[str, Outcome]:
    """The reported arms of one seed."""
    torch.set_num_threads(1)
    together, apart = Arms(seed=seed, **options), Arms(seed=seed, shared=False, **options)
    common: dict[str, Any] = {"updates": replay_updates, "shares": RARE}
    plain, replayed = apart.train(**common), apart.train(**common, replay=REPLAY)
    wholly = apart.train(**common, replay={**REPLAY, "enter": "all_failed", "leave": "solved"})
    even = apart.train(updates=replay_updates, shares=EVEN)
    alike, alike_replayed = together.train(**common), together.train(**common, replay=REPLAY)
    impossible: dict[str, Any] = {**common, "impossible": IMPOSSIBLE}
    without = apart.train(**impossible)
    capped = apart.train(**impossible, replay=REPLAY)
    endless = apart.train(**impossible, replay={**REPLAY, "max_tries": None})
    both, dense = (together.train(name, updates=updates) for name in ("hierarchical", "dense"))
    return {
        "even": Outcome(method=replayed.by_days[3], baseline=even.by_days[3]),
        "all_failed": Outcome(method=wholly.by_days[3], baseline=plain.by_days[3]),
        "idle": Outcome(method=replayed.idle, baseline=plain.idle),
        "shared": Outcome(method=alike_replayed.by_days[3], baseline=alike.by_days[3]),
        "impossible_capped": Outcome(method=capped.passes, baseline=without.passes),
        "impossible_endless": Outcome(method=endless.passes, baseline=capped.passes),
        "dense": Outcome(method=dense.passes, baseline=both.passes),
    }


_SOURCE = "Ning et al. 2025, DeepTravel: An End-to-End Agentic Reinforcement Learning Framework (arXiv 2509.21842)"

RECIPE = Recipe(title="DeepTravel", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=0.8)
"""Itineraries checked in two stages, and failures that are replayed."""

ABLATIONS = Recipe(
    title="DeepTravel: replay, its control and its counter-world",
    source=_SOURCE,
    claims=ABLATION_CLAIMS,
    proof=ablations,
    minutes=1.5,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.deeptravel:ABLATIONS`."""
