"""Progress estimators on real trajectories of agents: do they predict success, and from a part of the way; find the step?

    python benchmarks/step_progress.py DATA

DATA is a folder with tau2_bench, tau_bench and who_and_when, each with its gzipped JSON lines. Of tau2_bench and tau_bench
there is one part each, so every trajectory is predicted by an estimator that was fitted to the trajectories of *other tasks*
(five folds, whole tasks). Estimators read hashed words and tool names of steps, and neither the agent's name nor how many
steps there are. Intervals are 95%, by resampling tasks. who_and_when holds attempts that failed and the step that people
hold decisive: there is nothing of it to learn outcomes from, so the estimators are those of the other two; a model that
learned from the labels of its train part stands beside them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray

from rewardlab.functional.discrimination import area_under_curve
from rewardlab.learning.progress import ProgressEstimator, explained
from rewardlab.rewards.models.encoders.arrays import MLPEncoder
from rewardlab.rewards.models.encoders.hashed import HashedTextEncoder
from rewardlab.types import Task, Trajectory

Floats = NDArray[np.float64]
SHARES = (0.25, 0.5, 0.75, 1.0)
FOLDS, RESAMPLES, PLACES = 5, 500, 256


# ---- reading ----------------------------------------------------------------------------------------------------------


def lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def message(given: dict[str, Any]) -> dict[str, Any]:
    """A message of the data in the OpenAI format."""
    made = {"role": given["role"], "content": given.get("content")}
    calls = []
    for call in given.get("tool_calls") or ():
        function = call.get("function", call)
        arguments = function.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        calls.append({"type": "function", "function": {"name": function.get("name"), "arguments": text}})
    return {**made, "tool_calls": calls} if calls else made


def agents(data: Path, name: str) -> tuple[list[Trajectory], Floats]:
    """Trajectories of tau2_bench or tau_bench, and whether they succeeded."""
    trajectories, outcomes = [], []
    for path in sorted((data / name).glob("trajectories*.jsonl.gz")):
        for row in lines(path):
            reward = row.get("reward")
            messages = [message(one) for one in row.get("messages") or row.get("traj") or ()]
            if reward is None or not any(one["role"] == "assistant" for one in messages):
                continue
            domain = row.get("domain") or path.name.split(".")[0].removeprefix("trajectories_")
            task = Task(id=f"{domain}/{row['task_id']}", metadata={"domain": domain, "agent": row.get("agent")})
            trajectories.append(Trajectory.from_messages(messages, task=task))
            outcomes.append(float(float(reward) >= 1.0 - 1e-6))
    return trajectories, np.asarray(outcomes)


def failures(data: Path, part: str) -> tuple[list[Trajectory], NDArray[np.int64]]:
    """Logs of who_and_when, each message a step, and the decisive one."""
    trajectories, places = [], []
    for row in lines(data / "who_and_when" / f"logs.{part}.jsonl.gz"):
        said = [{"role": "assistant", "content": str(one.get("content"))} for one in row["history"]]
        place = int(row["mistake_step"])
        if not 0 <= place < len(said):
            continue
        heard = [{"role": "user", "content": row["question"]}, *({**one, "role": "user"} for one in said)]
        trajectories.append(
            Trajectory(
                observations=[*([one] for one in heard[:-1]), []], actions=said, task=Task(id=row["question_ID"])
            )
        )
        places.append(place)
    return trajectories, np.asarray(places)


def read_once(trajectories: list[Trajectory], history: bool) -> list[Trajectory]:
    """The same trajectories as arrays of hashed words, so that a text is read once, however often it is learned from."""
    encoder = HashedTextEncoder(PLACES, history=history)
    rows = [encoder.prepare([one])[0] for one in trajectories]
    return [arrays(row, one.task) for row, one in zip(rows, trajectories, strict=True)]


def arrays(row: Floats, task: Task | None) -> Trajectory:
    return Trajectory(observations=np.concatenate([row, row[-1:]]), actions=np.zeros((len(row), 1)), task=task)


def cut(trajectory: Trajectory, share: float, only_last: bool = False) -> Trajectory:
    """The first part of a trajectory, or the last step of that part."""
    count = max(1, round(share * len(trajectory)))
    return arrays(trajectory.observations[count - 1 if only_last else 0 : count], trajectory.task)


# ---- predicting success -----------------------------------------------------------------------------------------------


def estimator(history: bool, seed: int, epochs: int) -> ProgressEstimator:
    encoder = MLPEncoder(PLACES * (4 if history else 2), hidden=())  # words as they are; the estimator is linear
    target: Any = "difference" if history else "outcome"
    # of mse and bce_sum at rates .002 to .03 and decays .1 to 3, the best on tasks held out of four folds of tau2_bench
    return ProgressEstimator(
        encoder,
        target=target,
        loss="bce_sum",
        learning_rate=0.01,
        epochs=epochs,
        batch_size=32,
        weight_decay=0.1,
        seed=seed,
    )


def chances(rows: list[Floats]) -> Floats:
    """What sums of contributions, which are log-odds, say of success."""
    return 1.0 / (1.0 + np.exp(-np.asarray([row.sum() for row in rows])))


def folds(trajectories: list[Trajectory]) -> NDArray[np.int64]:
    names = [one.task.id for one in trajectories if one.task is not None]
    tasks = np.random.default_rng(0).permutation(sorted(set(names)))
    number = {name: place % FOLDS for place, name in enumerate(tasks)}
    return np.asarray([number[name] for name in names])


def predictions(trajectories: list[Trajectory], outcomes: Floats, epochs: int) -> dict[str, dict[float, Floats]]:
    """What each way predicts of every trajectory from a share of it, without having seen its task."""
    ways: dict[str, dict[float, Floats]] = {
        name: {share: np.zeros(len(outcomes)) for share in SHARES}
        for name in ("constant", "length", "domain", "last step", "sum of contributions", "prefix predictor")
    }
    fold = folds(trajectories)
    steps, pasts = read_once(trajectories, False), read_once(trajectories, True)
    lengths = np.asarray([len(one) for one in trajectories], dtype=np.float64)
    for number in range(FOLDS):
        test = np.flatnonzero(fold == number)
        train = np.flatnonzero(fold != number)
        known, wanted = [steps[index] for index in train], outcomes[train]
        additive, prefix = estimator(False, number, epochs), estimator(True, number, epochs)
        additive.fit(known, wanted, validation=0.2)
        prefix.fit([pasts[index] for index in train], wanted, validation=0.2)
        mean = np.concatenate(additive.contributions(known)).mean()
        domains = [one.task.metadata["domain"] for one in trajectories if one.task is not None]
        for share in SHARES:
            ways["constant"][share][test] = wanted.mean()
            line = np.polyfit(np.log(lengths[train]), wanted, 1)
            ways["length"][share][test] = np.polyval(line, np.log(lengths[test]))
            for index in test:
                same = [place for place in train if domains[place] == domains[index]]
                ways["domain"][share][index] = outcomes[same].mean() if same else wanted.mean()
            last = estimator(False, number, epochs)
            last.fit([cut(one, share, True) for one in known], wanted, validation=0.2)
            parts = [cut(steps[index], share) for index in test]
            ends = [cut(steps[index], share, True) for index in test]
            befores = [cut(pasts[index], share) for index in test]
            ways["last step"][share][test] = chances(last.contributions(ends))
            # the steps to come are taken for average ones, as many as there will be
            rest = mean * (lengths[test] - [len(one) for one in parts])
            rows = additive.contributions(parts)
            ways["sum of contributions"][share][test] = chances(
                [np.append(row, more) for row, more in zip(rows, rest, strict=True)]
            )
            ways["prefix predictor"][share][test] = chances(prefix.contributions(befores))
    return ways


def resampled(names: list[str], measure: Callable[[NDArray[np.intp]], float]) -> tuple[float, float, float]:
    """A measure and its 95% interval, by resampling tasks."""
    chance = np.random.default_rng(0)
    members: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    blocks = [np.asarray(block) for block in members.values()]
    found = []
    for _ in range(RESAMPLES):
        drawn = chance.integers(len(blocks), size=len(blocks))
        found.append(measure(np.concatenate([blocks[place] for place in drawn])))
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return measure(np.arange(len(names))), float(low), float(high)


def shown(numbers: tuple[float, float, float]) -> str:
    return "{:.2f} [{:.2f}, {:.2f}]".format(*numbers)


def success(data: Path, name: str, epochs: int) -> None:
    trajectories, outcomes = agents(data, name)
    compare(name, trajectories, outcomes, predictions(trajectories, outcomes, epochs), "sum of contributions")


def compare(
    name: str, trajectories: list[Trajectory], outcomes: Floats, ways: dict[str, dict[float, Floats]], *judged: str
) -> None:
    """Print what each way predicts of success, and each one judged less the baselines of length and last step."""
    names = [one.task.id for one in trajectories if one.task is not None]
    steps = [len(one) for one in trajectories]
    print(
        f"\n{name}: {len(trajectories)} trajectories of {len(set(names))} tasks, {np.median(steps):.0f} steps in the "
        f"median, {outcomes.mean():.2f} succeed"
    )
    print(f"{'area under the curve':24s}" + "".join(f"{f'from {share:.0%}':>22s}" for share in SHARES) + f"{'R2':>24s}")
    fold = folds(trajectories)
    for way, found in ways.items():
        cells = []
        for share in SHARES:
            guess = found[share]
            cells.append(resampled(names, lambda rows, guess=guess: area_of(guess[rows], outcomes[rows], fold[rows])))  # type: ignore[misc]
        whole = found[1.0]
        r2 = resampled(names, lambda rows, whole=whole: explained(whole[rows], outcomes[rows]))  # type: ignore[misc]
        print(f"{way:24s}" + "".join(f"{shown(cell):>22s}" for cell in cells) + f"{shown(r2):>24s}")
    for best in judged:
        for way, share in (("length", 1.0), ("last step", 1.0), ("length", 0.5), ("last step", 0.5)):
            gap = resampled(
                names,
                lambda rows, best=best, way=way, share=share: (  # type: ignore[misc]
                    area_of(ways[best][share][rows], outcomes[rows], fold[rows])
                    - area_of(ways[way][share][rows], outcomes[rows], fold[rows])
                ),
            )
            print(f"{best} - {way}, from {share:.0%}: {shown(gap)}")


def area_of(guess: Floats, outcomes: Floats, fold: NDArray[np.int64]) -> float:
    """The area under the curve within each fold, since estimators of different folds have different means."""
    areas, weights = [], []
    for number in np.unique(fold):
        rows = fold == number
        positive = outcomes[rows] > 0.5
        if 0 < positive.sum() < positive.size:
            areas.append(area_under_curve(guess[rows], positive))
            weights.append(float(positive.sum() * (~positive).sum()))
    return float(np.average(areas, weights=weights)) if areas else float("nan")


# ---- finding the decisive step ----------------------------------------------------------------------------------------


def decisive(data: Path, epochs: int) -> None:
    known, wanted = [], []
    for name in ("tau2_bench", "tau_bench"):
        trajectories, outcomes = agents(data, name)
        known += trajectories
        wanted.append(outcomes)
    additive, prefix = estimator(False, 0, epochs), estimator(True, 0, epochs)
    additive.fit(read_once(known, False), np.concatenate(wanted), validation=0.2)
    prefix.fit(read_once(known, True), np.concatenate(wanted), validation=0.2)
    train, places = failures(data, "train")
    locate = learned_locator(train, places)
    for part in ("dev", "train and dev"):
        logs, true = failures(data, "dev")
        if part != "dev":
            logs, true = [*train, *logs], np.concatenate([places, true])
        guesses: dict[str, Floats] = {
            **usual_places(train, places, logs),
            "lowest contribution": np.asarray(
                [row.argmin() for row in additive.contributions(read_once(logs, False))], dtype=float
            ),
            "largest fall of the prediction": np.asarray(
                [1 + row[1:].argmin() if len(row) > 1 else 0 for row in prefix.contributions(read_once(logs, True))],
                dtype=float,
            ),
        }
        if part == "dev":  # it has seen the others
            guesses["learned from labels (train)"] = np.asarray([locate(one) for one in logs], dtype=float)
        compare_places(part, logs, true, guesses)


def usual_places(train: list[Trajectory], places: NDArray[np.int64], logs: list[Trajectory]) -> dict[str, Floats]:
    """Steps of logs that can be named without reading them."""
    lengths = np.asarray([len(one) for one in logs])
    prior = np.bincount(np.minimum(9, (10 * places / [len(one) for one in train]).astype(int)), minlength=10)
    often = int(np.bincount(places).argmax())
    return {
        "first": np.zeros(len(logs)),
        "last": lengths - 1.0,
        "middle": (lengths - 1) // 2,
        "most frequent place (train)": np.minimum(often, lengths - 1.0),
        "most frequent tenth (train)": np.floor((prior.argmax() + 0.5) / 10 * lengths),
    }


def compare_places(part: str, logs: list[Trajectory], true: NDArray[np.int64], guesses: dict[str, Floats]) -> None:
    """Print how often each way names the decisive step, beside a step drawn at random."""
    lengths = np.asarray([len(one) for one in logs])
    print(f"\nwho_and_when, {part}: {len(logs)} failures, {np.median(lengths):.0f} steps in the median")
    print(f"{'the step named is':38s}{'the decisive one':>22s}{'or next to it':>22s}")
    names = [one.task.id for one in logs if one.task is not None]
    cells = [near_by_chance(true, lengths, within) for within in (0, 1)]
    print(f"{'random':38s}" + "".join(f"{shown(rate(names, cell)):>22s}" for cell in cells))
    for name, guess in guesses.items():
        cells = [(np.abs(guess - true) <= within).astype(np.float64) for within in (0, 1)]
        print(f"{name:38s}" + "".join(f"{shown(rate(names, cell)):>22s}" for cell in cells))


def rate(names: list[str], hits: Floats) -> tuple[float, float, float]:
    """The mean of what was hit, with its interval."""
    return resampled(names, lambda rows: float(hits[rows].mean()))


def near_by_chance(true: NDArray[np.int64], lengths: NDArray[np.int64], within: int) -> Floats:
    """The chance that a step drawn at random is within so many steps of the decisive one."""
    return (np.minimum(true + within, lengths - 1) - np.maximum(true - within, 0) + 1) / lengths


def learned_locator(logs: list[Trajectory], places: NDArray[np.int64]) -> Callable[[Trajectory], int]:
    """Names the step that looks most like the decisive ones: ridge regression on words and place."""
    encoder = HashedTextEncoder(256)

    def features(one: Trajectory) -> Floats:
        where = np.arange(len(one)) / len(one)
        tenths = np.eye(10)[np.minimum(9, (10 * where).astype(int))]
        firsts = np.eye(6)[np.minimum(5, np.arange(len(one)))]
        return np.concatenate([encoder.prepare([one])[0], tenths, firsts], axis=1)

    rows = [features(one) for one in logs]
    inputs = np.concatenate(rows)
    marks = np.concatenate([np.eye(len(row))[place] for row, place in zip(rows, places, strict=True)])
    middle = inputs.mean(0)
    centred = inputs - middle
    weights = np.linalg.solve(centred.T @ centred + 10.0 * np.eye(inputs.shape[1]), centred.T @ (marks - marks.mean()))
    return lambda one: int(((features(one) - middle) @ weights).argmax())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with tau2_bench, tau_bench and who_and_when")
    parser.add_argument("--epochs", type=int, default=25, help="of each estimator; the best on held-out tasks is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)
    for name in ("tau2_bench", "tau_bench"):
        success(options.data, name, options.epochs)
    decisive(options.data, options.epochs)


if __name__ == "__main__":
    main()
