"""The policy of DeepTravel's proof: a log-linear clerk who plans trips at the travel desk, choice by choice.

It acts in the real environment and its answers are scored by the library's own verifiers. What it chooses between (which
tool to call next, which name to write into which field, whether to go on) is given to it as features: whether a name stands
in an answer, whether it was used before, which way a flight goes. So it learns in tens of updates, and it can make the
mistakes that language models make here: calling too few tools, making names up, writing too short a trip.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewardlab.environments.base import Environment
from rewardlab.environments.travel_desk.database import Database
from rewardlab.environments.travel_desk.tables import SIGHTS
from rewardlab.types import Message, Task, Tokens, Trajectory, call_message

MOST_DAYS = 4
MOST_OPTIONS, MOST_FEATURES = 9, 6
CALLS = ("there", "back", "hotels", "places", "write")


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice.

    Args:
        labels: what there is to choose from.
        features: int64[option, feature], rows of the clerk's weights; 0 is no feature.
    """

    labels: tuple[str, ...]
    features: NDArray[np.int64]


class Features:
    """Numbers for features, given out as they are first met; 0 stands for none.

    Args:
        shared: whether trips of all lengths have habits in common, beside those that each length has of its own.
    """

    def __init__(self, *, shared: bool = True) -> None:
        self.shared = shared
        self.numbers: dict[str, int] = {"": 0}

    def habit(self, name: str, days: int) -> list[str]:
        """A feature of all trips and of those of one length, or of those of one length alone."""
        return [name, f"{name}/{days}"] if self.shared else [f"{name}/{days}"]

    def choice(self, options: dict[str, list[str]]) -> Choice:
        """A choice between options, by what is said of each."""
        rows = np.zeros((len(options), MOST_FEATURES), dtype=np.int64)
        for row, said in zip(rows, options.values(), strict=True):
            for place, name in enumerate(said):
                row[place] = self.numbers.setdefault(name, len(self.numbers))
        return Choice(tuple(options), rows)


Moves = Generator["Choice | Message", Any, None]
"""What a clerk does with one task: yields choices and is sent labels, yields messages and is sent what came back."""


def moves(task: Task, features: Features) -> Moves:
    """Search as often as chosen, then write the itinerary field by field."""
    wish = task.metadata["wish"]
    origin, (city,), days = wish["origin"], wish["destinations"], int(wish["days"])
    database = Database(task.metadata["world"], task.metadata["level"])
    known: dict[str, set[str]] = {"there": set(), "back": set(), "hotels": set(), "places": set()}
    made: list[str] = []
    while len(made) < 4:
        mask = "".join(str(int(name in made)) for name in CALLS[:4])
        chosen = yield features.choice(
            {name: features.habit(f"call/{mask}/{name}", days) for name in CALLS if name not in made}
        )
        if chosen == "write":
            break
        made.append(chosen)
        observation = yield _call(chosen, wish, len(made))
        known[chosen] = _names(observation)
    answer = yield from _write(features, database, known, (origin, city), days)
    yield {"role": "assistant", "content": json.dumps({"days": answer})}


def _write(
    features: Features, database: Database, known: dict[str, set[str]], ends: tuple[str, str], days: int
) -> Generator[Choice, str, list[dict[str, Any]]]:
    """The days of the itinerary."""
    origin, city = ends
    flights = {
        "there": database.flight_ids(origin, city),
        "back": database.flight_ids(city, origin),
    }
    written: list[dict[str, Any]] = []
    used: set[str] = set()
    hotel: str | None = None
    away = False
    while len(written) < MOST_DAYS:
        left = days - len(written) - 1
        when = "last" if left == 0 else "more" if left > 0 else "beyond"
        day: dict[str, Any] = {}
        legs: list[str] = []
        for place in range(2):
            where = f"{'away' if away else 'home'}/{when}/{place}"
            options = {"none": [f"leg/none/{where}"]}
            for way, numbers in flights.items():
                right = (way == "back") == away
                for number in numbers:
                    options[number] = [
                        *_said(features, "leg", days, number in known[way], number in legs),
                        f"leg/right/{right}",
                    ]
            chosen = yield features.choice(options)
            if chosen == "none":
                break
            legs.append(chosen)
            away = chosen in flights["there"]
        if legs:
            day["travel"] = legs[0] if len(legs) == 1 else legs
        chosen = yield features.choice(
            {
                "none": ["visit/none"],
                **{name: _said(features, "visit", days, name in known["places"], name in used) for name in SIGHTS},
            }
        )
        if chosen != "none":
            day["visit"] = chosen
            used.add(chosen)
        chosen = yield features.choice(
            {
                "none": [f"bed/none/{when}"],
                **{
                    name: [
                        *_said(features, "bed", days, name in known["hotels"], False),
                        f"bed/{'first' if hotel is None else 'same' if name == hotel else 'other'}",
                    ]
                    for name in database.hotel_names(city)
                },
            }
        )
        if chosen != "none":
            day["lodging"] = hotel = chosen
        written.append(day)
        chosen = yield features.choice({"next": [], "end": features.habit(f"end/{when}", days)})
        if chosen == "end":
            break
    return written


def _said(features: Features, kind: str, days: int, known: bool, used: bool) -> list[str]:
    """What is said of a name: whether it stands in an answer, and whether it was used."""
    said = features.habit(f"{kind}/in/{known}", days)
    return [*said, *features.habit(f"{kind}/used", days)] if used else said


def _call(name: str, wish: dict[str, Any], number: int) -> Message:
    origin, (city,), start = wish["origin"], wish["destinations"], wish["start"]
    if name in ("there", "back"):
        ends, nights = ((origin, city), 0) if name == "there" else ((city, origin), int(wish["days"]) - 1)
        day = str(date.fromisoformat(start) + timedelta(days=nights))
        return call_message(
            "flights", {"origin": ends[0], "destination": ends[1], "date": day}, identity=f"call_{number}"
        )
    return call_message(name, {"city": city, "date": start}, identity=f"call_{number}")


def _names(observation: list[Message]) -> set[str]:
    """The numbers and names in an answer; none where it is an error."""
    try:
        rows = json.loads(observation[0]["content"]) if observation else []
    except ValueError:
        return set()
    return {row.get("id") or row.get("name") for row in rows}


@dataclass
class Clerk:
    """A policy over `moves`.

    Args:
        features: names of the weights; shared by copies, so that they mean the same.
        weights: float64[weight], one for each feature, room for more behind them.
    """

    features: Features
    weights: NDArray[np.float64]

    @classmethod
    def new(cls, *, shared: bool = True, size: int = 1_024) -> Clerk:
        """A clerk who chooses everything alike."""
        return cls(Features(shared=shared), np.zeros(size))

    def copy(self) -> Clerk:
        """Another clerk with the same habits."""
        return Clerk(self.features, self.weights.copy())

    def logits(self, choice: Choice) -> NDArray[np.float64]:
        """float64[option]."""
        return self.weights[choice.features].sum(1)


Chooser = Callable[[Choice], tuple[str, float]]
"""Chooses a label, and says with what log-probability."""


def attempt(
    task: Task, environment: Environment, clerk: Clerk, choose: Chooser, *, group: str, seed: int
) -> Trajectory:
    """Let a chooser go through `moves` in an environment.

    Returns:
        A trajectory with tokens, of which each stands for one choice (its id is the option's place), and with
        `info["choices"]`, their features.
    """
    observations = [environment.reset(task, seed)]
    actions: list[Message] = []
    made: list[tuple[Choice, int, int, float]] = []
    script = moves(task, clerk.features)
    move = next(script)
    terminated = truncated = False
    while not (terminated or truncated):
        if isinstance(move, Choice):
            label, logprob = choose(move)
            made.append((move, move.labels.index(label), len(actions), logprob))
            move = script.send(label)
            continue
        step = environment.step(move)
        actions.append(move)
        observations.append(step.observation)
        terminated, truncated = step.terminated, step.truncated
        if not step.ended:
            move = script.send(step.observation)
    return Trajectory(
        observations=observations,
        actions=actions,
        terminated=terminated,
        truncated=truncated,
        task=task,
        group=group,
        tokens=Tokens(
            ids=np.array([place for _, place, _, _ in made]),
            step=np.array([step for _, _, step, _ in made]),
            logprobs=np.array([logprob for *_, logprob in made]),
        ),
        info={"choices": [choice.features for choice, *_ in made]},
    )


def trips(
    policy: Clerk,
    environment: Callable[[], Environment],
    tasks: Sequence[Task],
    *,
    group_size: int = 1,
    seed: int = 0,
    sampling: Any = None,
    limits: Any = None,
) -> list[Trajectory]:
    """What `rollout` is for language models: attempts at each task, the members of a group beside each other.

    Args:
        policy: the clerk.
        environment: a factory.
        tasks: what to attempt.
        group_size: attempts at each.
        seed: of all draws.
        sampling: its temperature counts: 0 is greedy.
        limits: not used; the moves are few.
    """
    rng = np.random.default_rng(seed)
    greedy = sampling is not None and sampling.temperature == 0

    def choose(choice: Choice) -> tuple[str, float]:
        logits = policy.logits(choice)
        weights = np.exp(logits - logits.max())
        weights /= weights.sum()
        place = int(weights.argmax()) if greedy else int(np.searchsorted(weights.cumsum(), rng.random()))
        place = min(place, len(weights) - 1)
        return choice.labels[place], float(np.log(weights[place]))

    world = environment()
    return [
        attempt(task, world, policy, choose, group=f"{task.id}/{occurrence}", seed=seed)
        for occurrence, task in enumerate(tasks)
        for _ in range(group_size)
    ]


def replayed(clerk: Clerk, demonstration: Trajectory, environment: Environment) -> Trajectory:
    """A demonstration as the choices that the clerk would have made."""
    assert demonstration.task is not None
    labels = iter(_labels(demonstration))
    return attempt(
        demonstration.task, environment, clerk, lambda choice: (next(labels), 0.0), group=demonstration.task.id, seed=0
    )


def _labels(demonstration: Trajectory) -> list[str]:
    """What was chosen, in the order of `moves`."""
    assert demonstration.task is not None
    origin = demonstration.task.metadata["wish"]["origin"]
    labels: list[str] = []
    for action in demonstration.actions[:-1]:
        function = action["tool_calls"][0]["function"]
        given = json.loads(function["arguments"])
        ways = {True: "there", False: "back"}
        labels.append(ways[given["origin"] == origin] if function["name"] == "flights" else function["name"])
    if len(labels) < 4:
        labels.append("write")
    days = json.loads(demonstration.completion)["days"]
    for number, day in enumerate(days):
        travel = day.get("travel", [])
        legs = [travel] if isinstance(travel, str) else list(travel)
        labels += [*legs, *(["none"] if len(legs) < 2 else []), day.get("visit", "none"), day.get("lodging", "none")]
        labels.append("end" if number == len(days) - 1 else "next")
    return labels[:-1] if len(days) == MOST_DAYS else labels
