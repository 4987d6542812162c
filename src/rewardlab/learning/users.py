"""Users of a fitted model: comparisons by user, new users from a few comparisons, and what the shared prototypes stand for.

A new user of an ideal-point head is fitted with everything else frozen: a few numbers and no more, which begin with the
judgement of the population. All new users are fitted at once, and none of them changes another.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.preferences import bradley_terry
from rewardlab.learning.data import PreferenceData, as_trajectory
from rewardlab.learning.items import content_hash
from rewardlab.rewards.models.answers import answers_to
from rewardlab.rewards.models.base import Context, rows_of
from rewardlab.rewards.models.heads.ideal_point import IdealPointHead
from rewardlab.rewards.models.model import RewardModel
from rewardlab.storage.problems import Problems
from rewardlab.types import Trajectory

Labels = Literal["signed", "binary"]
PRIOR = 0.3
"""How firmly new users are held to the population: of 0, 0.1, 0.3 and 1 the best on seeds 100 and 101 of recipe `pal`."""


def user_comparisons(
    records: Iterable[Mapping[str, Any] | Sequence[Any]], *, labels: Labels = "signed"
) -> PreferenceData:
    """Comparisons by users as data for a fit.

    Args:
        records: mappings with `user`, `prompt`, `left`, `right` and `label`, or sequences in that order. Left and right are
            texts, trajectories, messages or arrays; prompts are texts, vectors, or None.
        labels: "signed", -1 where left is preferred and +1 where right is; or "binary", 0 and 1. A 0 of "signed" is a tie.

    Returns:
        Comparisons with the users as annotators. Rows whose two sides are equal, or that name no user, are set aside in
        `problems` and counted.

    Raises:
        ValueError: a label is none of these, a column is missing, or no row is left.
    """
    forms: dict[str, dict[int, float]] = {"signed": {-1: 1.0, 0: 0.5, 1: 0.0}, "binary": {0: 1.0, 1: 0.0}}
    if labels not in forms:
        raise ValueError(f'labels must be "signed" or "binary", got {labels!r}')
    values = forms[labels]
    columns: dict[str, list[Any]] = {name: [] for name in ("first", "second", "label", "user")}
    items: list[Trajectory] = []
    places: dict[Any, int] = {}
    kept: list[Any] = []  # so that no other object gets an identity that stands in `places`
    problems = Problems()
    for row, record in enumerate(records):
        user, prompt, left, right, label = _columns(record, row)
        if isinstance(label, bool) or not isinstance(label, (int, float, np.number)) or label not in values:
            raise ValueError(
                f"label must be {' or '.join(map(str, values))}, got {label!r} in row {row}; the first prefers left, "
                f'the last one right; labels="{"binary" if labels == "signed" else "signed"}" reads the other form'
            )
        if not isinstance(user, str) or not user:
            problems.add("records", row + 1, f"the user is {user!r}, expected a name; use str(...) for numbers")
            continue
        if _same(left, right):
            problems.add("records", row + 1, "left and right are the same, so their comparison says nothing")
            continue
        for side, thing in (("first", left), ("second", right)):
            texts = isinstance(thing, str) and (prompt is None or isinstance(prompt, str))
            key = (prompt, thing) if texts else (id(prompt), id(thing))
            if key not in places:
                places[key] = len(items)
                items += answers_to(prompt, [thing])
                kept.append((prompt, thing))
            columns[side].append(places[key])
        columns["label"].append(values[int(label)])
        columns["user"].append(user)
    if not columns["label"]:
        why = problems if problems else "there are no records"
        raise ValueError(f"no comparison is left to learn from: {why}")
    return PreferenceData(
        items=items,
        first=np.asarray(columns["first"], np.int64),
        second=np.asarray(columns["second"], np.int64),
        label=np.asarray(columns["label"], np.float64),
        annotators=columns["user"],
        problems=problems,
    )


def user_names(data: PreferenceData) -> list[str]:
    """The users of some comparisons, in the order in which they come; warns of those that only gave ties.

    Raises:
        ValueError: a comparison names no user.
    """
    if data.annotators is None or any(who is None for who in data.annotators):
        row = 0 if data.annotators is None else data.annotators.index(None)
        raise ValueError(f"comparison {row} names no user; give annotators, or select the rows that have one")
    told = list(dict.fromkeys(who for who in data.annotators if who is not None))
    decided = {who for who, label in zip(data.annotators, data.label, strict=True) if label != 0.5}
    idle = [who for who in told if who not in decided]
    if idle:
        warnings.warn(
            f"{len(idle)} of {len(told)} users gave only ties (such as {idle[0]!r}), which say little about them",
            stacklevel=2,
        )
    return told


def balanced_users(data: PreferenceData) -> PreferenceData:
    """The same comparisons with weights under which every user counts alike, and that are 1 on average."""
    names = user_names(data)
    assert data.annotators is not None
    counts = {name: data.annotators.count(name) for name in names}
    own = np.asarray([len(data) / (len(names) * counts[str(who)]) for who in data.annotators])
    return replace(data, weight=own if data.weight is None else data.weight * own)


def split_users(data: PreferenceData, share: float = 0.5, *, seed: int = 0) -> tuple[PreferenceData, PreferenceData]:
    """Two parts with no user in both.

    Args:
        data: comparisons with users.
        share: of the users, in the second part.
        seed: of the choice.

    Raises:
        ValueError: a part would be empty.
    """
    names = user_names(data)
    count = round(share * len(names))
    if not 0 < count < len(names):
        raise ValueError(f"{len(names)} users cannot be split with a share of {share}: one part would be empty")
    held = {names[place] for place in np.random.default_rng(seed).permutation(len(names))[:count]}
    outside = np.asarray([who in held for who in data.annotators or ()])
    return data.select(~outside), data.select(outside)


def add_users(
    model: RewardModel,
    data: PreferenceData,
    *,
    steps: int = 200,
    learning_rate: float = 0.05,
    prior: float = PRIOR,
    refit: bool = False,
) -> RewardModel:
    """Fit the weights of new users from a few comparisons each; nothing else of the model changes.

    Each user's numbers begin where the population is and follow AdamW on the sum of that user's losses, with
    `prior / 2` times the squared distance from the start.

    Source: Chen et al. 2024, "PAL" (arXiv 2406.08469), its stage for unseen users; the prior is ours, the paper has none.

    Args:
        model: with an ideal-point head.
        data: comparisons with the new users as annotators.
        steps: of AdamW.
        learning_rate: of AdamW.
        prior: how firmly users are held to the population; 0 for the paper's rule.
        refit: fit users that are known already anew, in place of refusing them.

    Returns:
        The model, which knows the users; it is the same network, and no longer the one that was saved.

    Raises:
        TypeError: the head knows no users that could be added.
        ValueError: a user is known already, a comparison names none, or an option is out of its range.
    """
    head = ideal_head(model)
    names = user_names(data)
    if steps < 0 or not learning_rate > 0 or prior < 0:
        raise ValueError(
            f"steps and prior must not be negative and learning_rate must be positive, got {steps}, {prior} and "
            f"{learning_rate}"
        )
    known = [name for name in names if name in head.users] if refit else []
    used = data.without_unused_items()
    device = model.network.device
    outputs = model.outputs(used.items)  # before anything changes: items that cannot be read leave the model as it is
    outputs = {name: column.detach().clone() for name, column in outputs.items()}
    rows = head.add_rows([name for name in names if name not in known]) + [head.user_index(name) for name in known]
    context = Context(users=torch.tensor([head.user_index(str(who)) for who in used.annotators or ()], device=device))
    first, second = (rows_of(outputs, torch.from_numpy(side).to(device)) for side in (used.first, used.second))
    label = torch.from_numpy(used.label).to(device, head.user_logits.dtype)
    weight = None if used.weight is None else torch.from_numpy(used.weight).to(label)
    with torch.no_grad():
        start = head.user_logits.detach().clone()
        start[rows] = head.population().clamp(min=1e-6).log() * head.temperature
        head.user_logits.copy_(start)
    optimizer = torch.optim.AdamW([head.user_logits], lr=learning_rate, weight_decay=0.0)
    fitted = torch.zeros(len(head.users), 1, dtype=start.dtype, device=device)
    fitted[rows] = 1.0
    was_training = head.training
    head.train()  # a partition is soft while it is fitted
    for _ in range(steps):
        loss = bradley_terry(head.preference(first, second, context), label, weight=weight).sum()
        loss = loss + 0.5 * prior * (fitted * (head.user_logits - start) ** 2).sum()
        gradient = torch.autograd.grad(loss, head.user_logits)[0]
        head.user_logits.grad = gradient * fitted
        optimizer.step()
    head.user_logits.grad = None
    head.train(was_training)
    return RewardModel.around(model.network, **_options(model))


def fixed_mixture(model: RewardModel, weights: Sequence[float]) -> RewardModel:
    """The plain scalar reward of one mixture of the prototypes, on the model's scale; it can be saved and needs no user.

    Raises:
        TypeError: the head has no prototypes.
        ValueError: the weights are negative, too many or too few, or do not add up to 1 within 1e-6.
    """
    network = model.network
    made = RewardModel.make(network.encoder, ideal_head(model).fixed(weights), **_options(model, user=None))
    made.network.shift.copy_(network.shift)
    made.network.scale.copy_(network.scale)
    made.network.eval()
    return made


@dataclass(frozen=True, slots=True)
class PrototypeReport:
    """What the prototypes of a model stand for; `rewardlab.functional.match_columns` finds them again in another fit.

    Args:
        share: float64[prototype], mean weight over the users.
        users: float64[prototype], share of the users whose largest weight it is.
        top: of each prototype the indices of the items that it values most, best first.
        agreement: float64[prototype, prototype], correlation of their values over the items.
        effective: how many prototypes are left when those whose values correlate by more than 0.99 count once.
        mixedness: mean entropy of the users' weights over that of equal weights, in [0, 1]; 0 where each has one prototype.
    """

    share: NDArray[np.float64]
    users: NDArray[np.float64]
    top: list[list[int]]
    agreement: NDArray[np.float64]
    effective: int
    mixedness: float


def prototype_report(model: RewardModel, items: Sequence[Any], *, top: int = 3) -> PrototypeReport:
    """Look at the prototypes through what they prefer.

    Args:
        model: with an ideal-point head.
        items: trajectories, texts or arrays to value; at least three.
        top: how many items are named for each.
    """
    head = ideal_head(model)
    if len(items) < 3:
        raise ValueError(f"a report needs at least 3 items to value, got {len(items)}")
    outputs = model.outputs([as_trajectory(item) for item in items])
    with torch.no_grad():
        values = head.prototype_values(outputs).double().cpu().numpy()
        every = torch.arange(len(head.users), device=model.network.device)
        weights = head.mixtures(len(every), Context(users=every)) if len(every) else head.population()[None]
    told = weights.double().cpu().numpy()
    count = head.prototypes
    agreement = np.atleast_2d(np.corrcoef(values.T)) if count > 1 else np.ones((1, 1))
    kept: list[int] = []
    for place in range(count):
        if all(agreement[place, other] <= 0.99 for other in kept):
            kept.append(place)
    entropy = -(told * np.log(np.maximum(told, 1e-12))).sum(1).mean() / np.log(count) if count > 1 else 0.0
    largest = np.bincount(told.argmax(1), minlength=count) / len(told)
    best = [np.argsort(-values[:, place], kind="stable")[:top].tolist() for place in range(count)]
    return PrototypeReport(told.mean(0), largest, best, agreement, len(kept), float(entropy))


def user_accuracy(model: RewardModel, data: PreferenceData) -> dict[str, float]:
    """The share of each user's decided comparisons that the model, asked for that user, orders alike; ties count half."""
    head = model.network.head
    names = user_names(data)
    used = data.without_unused_items()
    who = np.asarray([names.index(str(one)) for one in used.annotators or ()])
    outputs = model.outputs(used.items)
    device = model.network.device
    find: Callable[[str], int] | None = getattr(head, "user_index", None)
    users = None if find is None else torch.tensor([find(name) for name in names], device=device)[torch.from_numpy(who)]
    first, second = (rows_of(outputs, torch.from_numpy(side).to(device)) for side in (used.first, used.second))
    with torch.no_grad():
        logits = head.preference(first, second, None if users is None else Context(users=users)).cpu().numpy()
    sign = np.sign(used.label - 0.5)
    right = np.where(logits == 0, 0.5, np.sign(logits) == sign)
    decided = sign != 0
    return {
        name: float(right[(who == place) & decided].mean()) if ((who == place) & decided).any() else float("nan")
        for place, name in enumerate(names)
    }


def ideal_head(model: RewardModel) -> IdealPointHead:
    """The ideal-point head of a model.

    Raises:
        TypeError: it has another head.
    """
    head = model.network.head
    if not isinstance(head, IdealPointHead):
        raise TypeError(f"this needs a model with an ideal_point head, got one with a {type(head).kind} head")
    return head


def _options(model: RewardModel, **changed: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in ("name", "user", "batch_length", "device")} | changed


def _columns(record: Mapping[str, Any] | Sequence[Any], row: int) -> list[Any]:
    names = ("user", "prompt", "left", "right", "label")
    if isinstance(record, Mapping):
        missing = [name for name in names if name not in record]
        if missing:
            raise ValueError(
                f"row {row} has no {missing[0]!r}; a record has {', '.join(names)}, got {', '.join(record)}"
            )
        return [record[name] for name in names]
    if isinstance(record, str) or len(record) != len(names):
        raise ValueError(f"row {row} must be a mapping or a sequence of {', '.join(names)}, got {record!r:.80}")
    return list(record)


def _same(left: Any, right: Any) -> bool:
    """Whether two sides say the same, in whatever form they come."""
    if left is right:
        return True
    one, other = as_trajectory(left), as_trajectory(right)
    if one.is_chat != other.is_chat:
        return False
    if one.is_chat:
        return content_hash(one.messages) == content_hash(other.messages)
    return all(
        np.array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(other, name)))
        for name in ("observations", "actions")
    )
