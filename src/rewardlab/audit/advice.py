"""Which way to specify a reward, from what is at hand: rules with reasons, and what each way is known to fail at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardlab.registry import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is at hand.

    Args:
        demonstrations: transitions of somebody who does the task well.
        contiguous: whether they are whole stretches of trajectories, not single transitions far apart.
        simulator: whether an agent may act while it learns.
        preferences: comparisons of trajectories that people made.
        indicators: behaviours that can be named as "shown on this step, or not".
        success: whether it can be told that a trajectory succeeded.
        dense_terms: quantities that get better on the way, such as a distance.
        objectives: how many goals pull against each other.
        order: whether what counts is an order of events ("first A, then B, never C").
        words: whether the task can be said in words to a language model, with a description of the environment.
        agents: how many act together.
    """

    demonstrations: int = 0
    contiguous: bool = True
    simulator: bool = True
    preferences: int = 0
    indicators: int = 0
    success: bool = False
    dense_terms: int = 0
    objectives: int = 1
    order: bool = False
    words: bool = False
    agents: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One way that fits the facts.

    Args:
        route: its name.
        part: where it is in the library.
        reason: why it fits.
        caution: what it is known to fail at.
    """

    route: str
    part: str
    reason: str
    caution: str


def choose(facts: Facts | Mapping[str, Any] | None = None, **more: Any) -> list[Advice]:
    """Ways to specify a reward that fit what is at hand, the most direct first.

    Args:
        facts: a `Facts`, or a mapping of its fields.
        more: fields by name.

    Raises:
        ValueError: a field that there is not; the nearest is named.
    """
    given: dict[str, Any] = dict(facts) if isinstance(facts, Mapping) else {}
    if isinstance(facts, Facts):
        given = {entry.name: getattr(facts, entry.name) for entry in dataclasses.fields(Facts)}
    given |= more
    known = dict.fromkeys(entry.name for entry in dataclasses.fields(Facts))
    for name in given:
        if name not in known:
            raise ValueError(f"there is no fact {name!r}{nearest(name, known)}; the facts are {', '.join(known)}")
    at_hand = Facts(**given)
    found = [*_written(at_hand), *_inferred(at_hand)]
    if found:
        return found
    nothing = "nothing at hand says what is wanted"
    return [
        Advice(
            route="gather comparisons",
            part="rewardlab.learning.demonstrations:ControlPreferences",
            reason=f"{nothing}, and choosing between two short clips is the least that can be asked of a person",
            caution="the first comparisons are of an agent that knows nothing yet; go on asking while it learns",
        )
    ]


def _written(facts: Facts) -> list[Advice]:
    found = []
    if facts.order:
        found.append(
            Advice(
                route="a reward machine, or temporal logic",
                part="rewardlab.rewards.formal:RewardMachine",
                reason="an order of events has no reward of single transitions; a machine remembers where one is",
                caution="the policy must see the machine's state",
            )
        )
    if facts.indicators and facts.simulator:
        also = ", with success as the bootstrap constraint" if facts.success else ""
        found.append(
            Advice(
                route=f"constraints on rates{also}",
                part="rewardlab.rewards.formal:Lagrangian",
                reason=f"{facts.indicators} behaviours can be named, so thresholds say what is wanted",
                caution="a policy that never moves breaks few bounds: always constrain success too"
                if not facts.success
                else "without the bootstrap a success that was never seen takes the weight of what leads to it",
            )
        )
    if facts.objectives > 1:
        found.append(
            Advice(
                route="directions among objectives",
                part="rewardlab.functional.focus_region:focus_factor",
                reason=f"weights over {facts.objectives} objectives slide to the ends of a front that is dented",
                caution="objectives must not be negative; shift them first",
            )
        )
    if facts.dense_terms and facts.success:
        found.append(
            Advice(
                route="success, shaped by potentials",
                part="rewardlab.rewards.shaping:potential",
                reason="a difference of potentials shows the way and cannot change which policy is best",
                caution="a sum of terms that is no potential can be farmed in a loop; ask the checker",
            )
        )
    elif facts.dense_terms:
        found.append(
            Advice(
                route="a sum of terms",
                part="rewardlab.rewards.algebra:Sum",
                reason="quantities that get better on the way are there, and nothing says when the task is done",
                caution="weights that suit one layout fail on another; see `audit.weight_search` for how many do",
            )
        )
    elif facts.success and facts.simulator:
        found.append(
            Advice(
                route="the success itself, explored with a bonus",
                part="rewardlab.rewards.intrinsic",
                reason="it can be told that a trajectory succeeded, and nothing shows the way there",
                caution="a bonus that does not fade goes on being earned in place of the task",
            )
        )
    if facts.words and facts.simulator:
        found.append(
            Advice(
                route="a reward written by a language model",
                part="rewardlab.learning.programs:RewardWriter",
                reason="the task can be said in words",
                caution="what it wrote is a guess: read it, and look at rollouts",
            )
        )
    if facts.agents > 1:
        found.append(
            Advice(
                route="auxiliary losses of a team",
                part="rewardlab.functional.team_losses",
                reason=f"{facts.agents} agents share a reward that says little about who should do what",
                caution="being predictable is of no use to agents that compete",
            )
        )
    return found


def _inferred(facts: Facts) -> list[Advice]:
    found = []
    if facts.demonstrations and not facts.simulator:
        found.append(
            Advice(
                route="behaviour cloning",
                part="rewardlab.learning.demonstrations:BehaviourCloning",
                reason="there are demonstrations, and an agent may not act while it learns",
                caution="errors add up along a trajectory, the more the fewer demonstrations there are",
            )
        )
    elif facts.demonstrations and facts.contiguous:
        found.append(
            Advice(
                route="ASAF",
                part="rewardlab.learning.demonstrations:ASAF",
                reason="demonstrations are stretches of trajectories, and neither reward nor critic is needed",
                caution="with many epochs on few pairs it overfits; keep updates small, or use GAIL",
            )
        )
    elif facts.demonstrations:
        found.append(
            Advice(
                route="adversarial imitation",
                part="rewardlab.learning.demonstrations:GAIL",
                reason="single transitions say little alone, and credit through the dynamics joins them",
                caution="a reward of one sign pays for surviving or for ending; choose the form, or absorbing states",
            )
        )
    if facts.preferences:
        found.append(
            Advice(
                route="a reward from comparisons",
                part="rewardlab.learning.demonstrations:ControlPreferences",
                reason=f"{facts.preferences} comparisons of trajectories are there",
                caution="where the policy leaves what was compared, the reward is a guess; an ensemble shows it",
            )
        )
    return found
