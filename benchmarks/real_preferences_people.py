"""What models of people buy over one Bradley-Terry model: three annotators of the same pairs, many users with few labels.

The users of the second table are ours, their answers are not: every user stands for one of the behaviours of persona_evals,
and says which of two statements such a person would rather make. Half of the pairs set a statement that the person agrees
with against one that the person does not agree with; the other half against one that a person of another behaviour agrees
with, about which users disagree.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_preferences_data import Statements, majority
from real_preferences_models import HIDDEN, OPTIONS, SCALE, log_odds, right, with_vectors
from sentence_vectors import WIDTH, Vectors

from rewardlab.learning import PreferenceData
from rewardlab.learning.fitting import fit
from rewardlab.learning.hedge import adapt
from rewardlab.learning.latent_users import infer_users
from rewardlab.learning.users import add_users
from rewardlab.learning.variational import fit_latent
from rewardlab.rewards.models.encoders.prompted import prompted
from rewardlab.rewards.models.model import RewardModel
from rewardlab.scoring.statistics import Mean, clustered_mean

Floats = NDArray[np.float64]

PEOPLE_RATES = {"head.user_logits": 10.0, "head.points": 10.0}
"""Users and prototypes learn faster than the projector, as in the recipe `pal`."""

LABELS = (4, 16)
"""Labels of each user."""

KNOWN, NEW, ASKED = 6, 2, 20
"""Of each behaviour: users that are fitted, users that come later with their labels; and test pairs of each."""


def share(values: Floats, clusters: NDArray[Any]) -> Mean:
    """A mean with its interval over clusters."""
    _, place = np.unique(clusters, return_inverse=True)
    return clustered_mean(np.bincount(place, values), np.bincount(place).astype(np.float64))


def told(mean: Mean) -> str:
    """Percent with the interval."""
    return f"{100 * mean.value:.1f} [{100 * mean.low:.1f}, {100 * mean.high:.1f}]"


# ---- three annotators ---------------------------------------------------------------------------------------------------


def annotator_table(parts: dict[str, PreferenceData], vectors: Vectors, seeds: int) -> str:
    """Accuracy and log-loss on the annotators' own votes, by what the model knows of them."""
    train, dev = (with_vectors(parts[part], vectors) for part in ("train", "dev"))
    decided = dev.label != 0.5
    asked = dev.select(decided)
    prompts = np.asarray(asked.prompts())
    who = [str(name) for name in asked.annotators or ()]
    users = sorted(set(who))
    encoder = {"type": "prompt_response", "prompt": WIDTH, "response": len(dev.items[0].actions[0])}
    sure = train.select(train.label != 0.5)

    def plain(data: PreferenceData, seed: int) -> Floats:
        model = RewardModel.make(encoder, {"type": "two_layer", "hidden": HIDDEN, "seed": seed})
        options = {**OPTIONS, "epochs": OPTIONS["epochs"] * len(train) / len(data)}  # as many steps for all
        return log_odds(fit(model, data, seed=seed, **options).model, asked)

    def ideal(seed: int) -> Floats:
        head = {"type": "ideal_point", "users": users, "prototypes": 2, "latent": 8, "hidden": HIDDEN, "seed": seed}
        model = RewardModel.make(encoder, head)
        return log_odds(fit(model, train, seed=seed, rates=PEOPLE_RATES, **OPTIONS).model, asked, who)

    def mixed(seed: int) -> Floats:
        head = {"type": "mixture", "heads": 4, "prompt_width": WIDTH, "router_hidden": 32, "seed": seed}
        model = fit(RewardModel.make(encoder, head), train, loss="mixture", seed=seed, **OPTIONS).model
        return log_odds(adapt(model, train).model, asked, who)

    def latent(seed: int) -> Floats:
        head = {
            "type": "latent",
            "latent": 4,
            "hidden": HIDDEN,
            "pair": "difference",
            "decoder": "linear",
            "seed": seed,
        }
        model = fit_latent(RewardModel.make(encoder, head), sure, steps=400, context=(0, 16), seed=seed).model
        known = infer_users(model, sure)
        return log_odds(model, asked, latent=torch.stack([known[name].mean for name in who]))

    arms: dict[str, Callable[[int], Floats]] = {
        "two layers, fitted to the majority": lambda seed: plain(majority(train), seed),
        "two layers, fitted to every vote": lambda seed: plain(train, seed),
        "ideal point, 2 prototypes": ideal,
        "mixture of 4, adapted to each annotator": mixed,
        "latent user": latent,
    }
    lines = ["| model | own votes, accuracy | log-loss |", "|---|---|---|"]
    for name, arm in arms.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            odds = np.stack([arm(seed) for seed in range(seeds)])
        hits = np.mean([right(one, asked.label) for one in odds], 0)
        loss = np.logaddexp(0.0, -odds * np.where(asked.label > 0.5, 1.0, -1.0)).mean(0)
        log_loss = share(loss, prompts)
        lines.append(
            f"| {name} | {told(share(hits, prompts))} | {log_loss.value:.3f} [{log_loss.low:.3f}, {log_loss.high:.3f}] |"
        )
        print(lines[-1], flush=True)
    people = parts["dev"].report().people
    agree = np.average([one.with_others for one in people], weights=[one.in_common for one in people])
    held_out = f"{len(asked)} decided votes on {len(majority(parts['dev']))} held-out pairs"
    size = f"{len(majority(train))} training pairs, {held_out}"
    return "\n".join([*lines, "", f"{size}; an annotator agrees with the other two's majority in {100 * agree:.1f}%."])


# ---- many users with few labels -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class World:
    """Users and their pairs.

    Args:
        train, later: labels of the users that are fitted, and of those that come later.
        known, new: test pairs of both.
    """

    train: PreferenceData
    later: PreferenceData
    known: PreferenceData
    new: PreferenceData


def world(kinds: list[Statements], vectors: Vectors, labels: int, seed: int) -> World:
    """Users of every behaviour with so many labels each, and test pairs over other statements."""
    drawn = np.random.default_rng([seed, labels])
    items = [text for kind in kinds for text in (*kind.yes, *kind.no)]
    trajectories = prompted(np.ones((len(items), 1)), SCALE * vectors.of(items))
    size = len(kinds[0].yes)
    halves = [drawn.permutation(size) for _ in range(2 * len(kinds))]  # statements to learn from, and to be tested on

    def one_of(kind: int, no: bool, test: bool) -> int:
        half = halves[2 * kind + no]
        return int(2 * size * kind + size * no + drawn.choice(half[size // 2 :] if test else half[: size // 2]))

    def pairs(names: list[tuple[int, str]], count: int, test: bool) -> PreferenceData:
        first, second, who = [], [], []
        for kind, name in names:
            for number in range(count):
                other = (kind + int(drawn.integers(1, len(kinds)))) % len(kinds)
                first.append(one_of(kind, False, test))
                second.append(one_of(kind, True, test) if number % 2 else one_of(other, False, test))
                who.append(name)
        turned = drawn.random(len(first)) < 0.5
        one, two = np.where(turned, second, first), np.where(turned, first, second)
        return PreferenceData(items=trajectories, first=one, second=two, label=(~turned).astype(float), annotators=who)

    known = [(kind, f"{kind}/{number}") for kind in range(len(kinds)) for number in range(KNOWN)]
    new = [(kind, f"{kind}/new {number}") for kind in range(len(kinds)) for number in range(NEW)]
    return World(
        train=pairs(known, labels, False),
        later=pairs(new, labels, False),
        known=pairs(known, ASKED, True),
        new=pairs(new, ASKED, True),
    )


ENCODER = {"type": "prompt_response", "prompt": 1, "response": WIDTH}
Answers = tuple[Floats, Floats]
"""Log-odds of the test pairs of known users, and of new ones."""


def one_for_all(given: World, seed: int, steps: int = 600) -> Answers:
    """One Bradley-Terry model for everybody."""
    model = RewardModel.make(ENCODER, {"type": "two_layer", "hidden": HIDDEN, "seed": seed})
    model = fit(model, given.train, steps=steps, batch_size=64, learning_rate=1e-3, weight_decay=1.0, seed=seed).model
    return log_odds(model, given.known), log_odds(model, given.new)


def one_each(given: World, strength: float = 1e-3) -> Answers:
    """A logistic regression for each user alone."""
    from sklearn.linear_model import LogisticRegression

    rows = np.asarray([item.actions[0] for item in given.train.items], np.float32)

    def answers(told: PreferenceData, asked: PreferenceData) -> Floats:
        odds = np.zeros(len(asked))
        names, wanted = np.asarray(told.annotators), np.asarray(asked.annotators)
        for name in np.unique(names):
            own = told.select(names == name)
            inputs = (rows[own.first] - rows[own.second]) * np.where(own.label > 0.5, 1.0, -1.0)[:, None]
            both = np.concatenate([inputs, -inputs])
            label = np.arange(len(both)) < len(inputs)
            found = LogisticRegression(C=strength, fit_intercept=False, max_iter=500).fit(both, label)
            mine = wanted == name
            odds[mine] = (rows[asked.first[mine]] - rows[asked.second[mine]]) @ found.coef_[0]
        return odds

    return answers(given.train, given.known), answers(given.later, given.new)


def pal(
    given: World, seed: int, prototypes: int = 16, latent: int = 16, steps: int = 1500, decay: float = 0.01
) -> Answers:
    """Ideal points as mixtures of shared prototypes; new users get weights of their own from their labels."""
    users = sorted(set(map(str, given.train.annotators or ())))
    head = {
        "type": "ideal_point",
        "users": users,
        "prototypes": prototypes,
        "latent": latent,
        "hidden": HIDDEN,
        "seed": seed,
    }
    options: dict[str, Any] = {"steps": steps, "batch_size": 64, "learning_rate": 1e-3, "weight_decay": decay}
    model = fit(RewardModel.make(ENCODER, head), given.train, rates=PEOPLE_RATES, seed=seed, **options).model
    known = log_odds(model, given.known, list(map(str, given.known.annotators or ())))
    model = add_users(model, given.later)
    return known, log_odds(model, given.new, list(map(str, given.new.annotators or ())))


def micro(
    given: World, seed: int, heads: int = 16, steps: int = 1500, decay: float = 0.1, entropy: float = 0.0
) -> Answers:
    """A mixture fitted without users, whose weights are then adapted to each user's labels."""
    head = {"type": "mixture", "heads": heads, "prompt_width": 1, "router_hidden": 0, "seed": seed}
    loss = {"type": "mixture_likelihood", "entropy": entropy}
    options: dict[str, Any] = {"steps": steps, "batch_size": 64, "learning_rate": 3e-3, "weight_decay": decay}
    model = fit(RewardModel.make(ENCODER, head), given.train, loss=loss, seed=seed, **options).model
    both = []
    for labels, asked in ((given.train, given.known), (given.later, given.new)):
        adapted = adapt(model, labels).model
        both.append(log_odds(adapted, asked, list(map(str, asked.annotators or ()))))
    return both[0], both[1]


def vpl(
    given: World,
    seed: int,
    latent: int = 16,
    steps: int = 800,
    decay: float = 1.0,
    beta: float = 0.05,
    decoder: str = "linear",
) -> Answers:
    """A user vector read off each user's labels; no user is fitted by name."""
    head = {
        "type": "latent",
        "latent": latent,
        "hidden": HIDDEN,
        "pair": "difference",
        "decoder": decoder,
        "seed": seed,
    }
    count = len(given.train) // len(set(given.train.annotators or ()))
    model = fit_latent(
        RewardModel.make(ENCODER, head), given.train, steps=steps, context=(1, count - 1), beta=beta, weight_decay=decay,
        learning_rate=1e-3, seed=seed,
    ).model  # fmt: skip
    both = []
    for labels, asked in ((given.train, given.known), (given.later, given.new)):
        known = infer_users(model, labels)
        both.append(
            log_odds(model, asked, latent=torch.stack([known[str(name)].mean for name in asked.annotators or ()]))
        )
    return both[0], both[1]


ARMS: dict[str, Callable[[World, int], Answers]] = {
    "one Bradley-Terry model for all": one_for_all,
    "a logistic regression for each user": lambda given, seed: one_each(given),
    "PAL: ideal points, 16 prototypes": pal,
    "MiCRo: mixture of 16, adapted": micro,
    "VPL: latent user of 16 numbers": vpl,
}


def persona_table(kinds: list[Statements], vectors: Vectors, seeds: int) -> str:
    """Accuracy on new statements, for users that were fitted and for users that came later, by labels of each user."""
    columns = [f"{labels} labels, {who}" for labels in LABELS for who in ("known users", "new users")]
    lines = ["| model | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    worlds = {(labels, seed): world(kinds, vectors, labels, seed) for labels in LABELS for seed in range(seeds)}
    for name, arm in ARMS.items():
        cells = []
        for labels in LABELS:
            hits: tuple[list[Floats], list[Floats]] = ([], [])
            groups: tuple[list[str], list[str]] = ([], [])
            for seed in range(seeds):
                given = worlds[labels, seed]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    answers = arm(given, seed)
                for place, asked in enumerate((given.known, given.new)):
                    hits[place].append(right(answers[place], asked.label))
                    groups[place].extend(str(who).partition("/")[0] for who in asked.annotators or ())
            cells += [
                told(share(np.concatenate(part), np.asarray(kind))) for part, kind in zip(hits, groups, strict=True)
            ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    size = f"{len(kinds)} behaviours, {KNOWN} known and {NEW} new users of each, {ASKED} test pairs of each user"
    return "\n".join([*lines, "", f"{size}, {seeds} seeds; intervals over behaviours."])
