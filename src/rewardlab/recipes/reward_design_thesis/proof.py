"""The claims of the thesis' three designers, each beside the baselines of its paper.

ExploRS is tested where its paper says that exploring alone and exploiting alone fail, with a distractor. Returns are exact
values of the final policies, not samples.
"""

from __future__ import annotations

import numpy as np

from rewardlab.recipes.proof import Claim, Outcome, Recipe
from rewardlab.recipes.reward_design_thesis.chain import ChainArms
from rewardlab.recipes.reward_design_thesis.line_key import LineKeyArms
from rewardlab.recipes.reward_design_thesis.rooms import RoomArms

_RETURN = "discounted return within 40 steps; the best is 13.7"
_EPISODES = "minus episodes until 90% of the best return"
_AREA = "mean return over the learning curve"

CLAIMS = (
    Claim(
        name="explors_original",
        statement="chain with distractor: ExploRS ends above the original reward by 10",
        margin=10.0,
        unit=_RETURN,
    ),
    Claim(
        name="explors_bonus",
        statement="chain with distractor: ExploRS ends above its exploration bonus alone by 10",
        margin=10.0,
        unit=_RETURN,
    ),
    Claim(
        name="explors_self",
        statement="chain with distractor: ExploRS ends above SelfRS alone by 5",
        margin=5.0,
        unit=_RETURN,
    ),
    Claim(
        name="explors_worst",
        statement="chain with distractor: the worst copy of ExploRS ends above 10",
        unit=_RETURN,
    ),
    Claim(
        name="explicable_original",
        statement="four rooms, Q-learning: ExPRD with 5 states takes less than .6 of the original's episodes",
        unit="episodes to 90%: .6 x original against ExPRD",
    ),
    Claim(
        name="explicable_random",
        statement="four rooms, Q-learning: ExPRD takes fewer episodes than random rewards of the same budget and bound",
        unit=_EPISODES,
    ),
    Claim(
        name="explicable_keeps",
        statement="four rooms: ExPRD keeps the optimal policies more often than random rewards do",
        unit="share of rewards",
    ),
    Claim(
        name="adaptive_invariance",
        statement="LineKey: ExPAdaRD learns faster than the invariance constraints alone",
        unit=_AREA,
    ),
    Claim(
        name="adaptive_original",
        statement="LineKey: ExPAdaRD learns faster than the original reward",
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="adaptive_explicable",
        statement="LineKey: ExPAdaRD learns faster than ExPRD on the same leaves",
        gated=False,
        unit=_AREA,
    ),
    Claim(
        name="explicable_potential",
        statement="four rooms, Q-learning: ExPRD takes fewer episodes than a potential of the optimal values",
        gated=False,
        unit=_EPISODES,
    ),
)

ABLATION_CLAIMS = (
    Claim(
        name="explors_sors",
        statement="chain with distractor: ExploRS ends above SORS",
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="explors_lirpg",
        statement="chain with distractor: ExploRS ends above LIRPG",
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="plain_self",
        statement="chain without distractor: ExploRS ends above SelfRS alone",
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="plain_bonus",
        statement="chain without distractor: ExploRS ends above its exploration bonus alone",
        gated=False,
        unit=_RETURN,
    ),
    Claim(
        name="adaptive_smallest",
        statement="LineKey: ExPAdaRD learns faster than the ExPRD reward with the smallest entries",
        gated=False,
        unit=_AREA,
    ),
)


def proof(
    seed: int, *, episodes: int = 6000, room_episodes: int = 400, line_episodes: int = 2000, budget: int = 5
) -> dict[str, Outcome]:
    """All arms of one seed; the options are for tests of the plumbing."""
    chain = ChainArms(seed=seed, episodes=episodes).parts()
    mean = {name: float(values.mean()) for name, values in chain.items()}
    rooms = RoomArms(seed=seed, episodes=room_episodes, budget=budget)
    taken = {name: float(values.mean()) for name, values in rooms.learn().items()}
    line = {name: float(v.mean()) for name, v in LineKeyArms(seed=seed, episodes=line_episodes).learn().items()}
    return {
        "explors_original": Outcome(method=mean["explors"], baseline=mean["original"]),
        "explors_bonus": Outcome(method=mean["explors"], baseline=mean["bonus"]),
        "explors_self": Outcome(method=mean["explors"], baseline=mean["self"]),
        "explors_worst": Outcome(method=float(chain["explors"].min()), baseline=10.0),
        "explicable_original": Outcome(method=-taken["explicable"], baseline=-0.6 * taken["original"]),
        "explicable_random": Outcome(method=-taken["explicable"], baseline=-taken["random"]),
        "explicable_keeps": Outcome(
            method=float(rooms.keeps(rooms.designed.array)),
            baseline=float(np.mean([rooms.keeps(table) for table in rooms.random])),
        ),
        "adaptive_invariance": Outcome(method=line["adaptive"], baseline=line["invariance"]),
        "adaptive_original": Outcome(method=line["adaptive"], baseline=line["original"]),
        "adaptive_explicable": Outcome(method=line["adaptive"], baseline=line["explicable"]),
        "explicable_potential": Outcome(method=-taken["explicable"], baseline=-taken["potential"]),
    }


def ablations(seed: int, *, episodes: int = 6000, line_episodes: int = 2000) -> dict[str, Outcome]:
    """The reported arms; the options are for tests of the plumbing."""
    rivals = {name: float(v.mean()) for name, v in ChainArms(seed=seed, episodes=episodes).rivals().items()}
    line = LineKeyArms(seed=seed, episodes=line_episodes).sizes()
    plain = {
        name: float(v.mean()) for name, v in ChainArms(seed=seed, episodes=episodes, distractor=0.0).parts().items()
    }
    return {
        "explors_sors": Outcome(method=rivals["explors"], baseline=rivals["sors"]),
        "explors_lirpg": Outcome(method=rivals["explors"], baseline=rivals["lirpg"]),
        "plain_self": Outcome(method=plain["explors"], baseline=plain["self"]),
        "plain_bonus": Outcome(method=plain["explors"], baseline=plain["bonus"]),
        "adaptive_smallest": Outcome(method=float(line["adaptive"].mean()), baseline=float(line["smallest"].mean())),
    }


_SOURCE = (
    "Devidze 2025, Reward Design for Reinforcement Learning Agents (PhD thesis; arXiv 2503): ExPRD (NeurIPS 2021), "
    "ExploRS (NeurIPS 2022), ExPAdaRD (AAMAS 2024)"
)

RECIPE = Recipe(title="Reward design for agents", source=_SOURCE, claims=CLAIMS, proof=proof, minutes=0.7)
"""Designed rewards beside those of their papers' baselines."""

ABLATIONS = Recipe(
    title="Reward design for agents: rivals, and the chain without its distractor",
    source=_SOURCE,
    claims=ABLATION_CLAIMS,
    proof=ablations,
    minutes=1.0,
)
"""What is reported and gates nothing: `rewardlab prove rewardlab.recipes.reward_design_thesis:ABLATIONS`."""
