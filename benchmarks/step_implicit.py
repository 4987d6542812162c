"""Implicit process rewards on real trajectories of agents: do they predict success, from a part of the way; find the step?

    python benchmarks/step_implicit.py DATA

The data, folds, baselines and intervals are those of step_progress.py. A tiny language model with random weights learns to
write what the agents of the training folds wrote, whatever came of it: the reference. Two copies of it then learn which
trajectories succeeded, by the cross-entropy of the outcome (PRIME) or by pairs of trajectories of one task (OPRL). `beta`
times the log-ratio to the reference, summed over a step's tokens, is the step's reward. A step is no more than its tool
calls or first words, after the first words that came before it; only the first 40 steps are read.

Attempts of one agent are alike, and agents differ in how often they succeed, so areas within the attempts of one agent at
one domain stand beside the others, and how often the agent succeeded elsewhere is one more baseline.

Settings were fixed once, on one fold of tau_bench. Seeds are the numbers of the folds.
"""

from __future__ import annotations

import argparse
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import step_progress as progress
import torch
from numpy.typing import NDArray

from rewardlab.learning.implicit import ImplicitProcessReward
from rewardlab.policies.batching import collate, micro_batches
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.policies.tiny import tiny_model
from rewardlab.rewards.recorded import EnvironmentReturn
from rewardlab.types import Message, Tokens, Trajectory, message_text

Floats = NDArray[np.float64]
WORD = re.compile(r"[a-z]+(?:_[a-z]+)*|\d+|\?")
STEPS, HEARD, SAID = 40, 6, 15  # with three marks a step is at most 24 tokens
MARKS = ("<pad>", "<unknown>", "<heard>", "<said>", "<end>")
HIDDEN, LAYERS, HEADS = 32, 1, 2
REFERENCE_EPOCHS, TASKS_IN_BATCH = 6, 8
EPOCHS = {"cross_entropy": 2, "pair": 6}  # pairs are few: only tasks with both outcomes have them
VARIANTS = {
    "cross-entropy (sums)": {"loss": "cross_entropy", "aggregate": "sum", "beta": 0.05},
    "pairs (means)": {"loss": "pair", "aggregate": "mean", "beta": 0.3},
}


# ---- words ------------------------------------------------------------------------------------------------------------


def words(message: Message) -> list[str]:
    """Tool names and arguments, then the text; numbers are all alike, since almost each of them occurs once."""
    calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
    text = " ".join([*(f"{call.get('name')} {call.get('arguments')}" for call in calls), message_text(message)])
    return ["0" if word[0].isdigit() else word for word in WORD.findall(text.lower())]


def steps(trajectory: Trajectory) -> list[tuple[list[str], list[str]]]:
    """The first words that came before each step, and those of the step."""
    before = trajectory.observations[:STEPS]
    return [
        ([word for one in came[-1:] for word in words(one)[:HEARD]], words(action)[:SAID])
        for came, action in zip(before, trajectory.actions[:STEPS], strict=False)
    ]


class Vocabulary:
    """Words that occur at least three times where it was made, at most 500."""

    def __init__(self, trajectories: Iterable[Trajectory]) -> None:
        counts = Counter(word for one in trajectories for pair in steps(one) for part in pair for word in part)
        known = sorted((word for word in counts if counts[word] >= 3), key=lambda word: (-counts[word], word))[:500]
        self.places = {word: place for place, word in enumerate([*MARKS, *known])}

    def __len__(self) -> int:
        return len(self.places)

    def ids(self, text: Iterable[str]) -> list[int]:
        """A number for each word."""
        return [self.places.get(word, 1) for word in text]

    def encode(self, trajectory: Trajectory) -> Tokens:
        """A trajectory's tokens, with those of its actions marked; nobody's log-probabilities yet."""
        ids: list[int] = []
        step: list[int] = []
        for number, (heard, said) in enumerate(steps(trajectory)):
            before, own = self.ids(["<heard>", *heard, "<said>"]), self.ids([*said, "<end>"])
            ids += before + own
            step += [-1] * len(before) + [number] * len(own)
        return Tokens(ids=np.array(ids), step=np.array(step), logprobs=np.zeros(len(ids)))

    def unknown(self, trajectories: Iterable[Trajectory]) -> float:
        """Share of the words of actions that are not in it."""
        found = [word in self.places for one in trajectories for _, said in steps(one) for word in said]
        return 1.0 - float(np.mean(found))


# ---- models -----------------------------------------------------------------------------------------------------------


def written(model: torch.nn.Module, tokens: Sequence[Tokens]) -> torch.Tensor:
    """float32[trajectory, token]: log-probabilities of what agents wrote, 0 elsewhere."""
    batch = collate(tokens)
    return token_logprobs(model, batch.ids, batch.attention_mask, positions_mask=batch.written)


def fit_reference(vocabulary: Vocabulary, tokens: Sequence[Tokens], seed: int, epochs: int) -> torch.nn.Module:
    """A language model of what agents write."""
    model = tiny_model(len(vocabulary), hidden=HIDDEN, layers=LAYERS, heads=HEADS, context=24 * STEPS, seed=seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    chance = np.random.default_rng(seed)
    batches = micro_batches([len(row) for row in tokens], 2048)
    for _ in range(epochs):
        for place in chance.permutation(len(batches)):
            chosen = [tokens[index] for index in batches[place]]
            loss = -written(model, chosen).sum() / sum(int((row.step >= 0).sum()) for row in chosen)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return model


class Fitted:
    """A reference, and for each variant a copy that learned outcomes."""

    def __init__(self, train: Sequence[Trajectory], outcomes: Floats, seed: int) -> None:
        self.vocabulary = Vocabulary(train)
        tokens = [self.vocabulary.encode(one) for one in train]
        self.reference = fit_reference(self.vocabulary, tokens, seed, REFERENCE_EPOCHS)
        known = self.prepared(train)
        for one, outcome in zip(known, outcomes, strict=True):
            one.rewards[-1] = outcome
        self.rewards = {name: self._learn(known, seed, name) for name in VARIANTS}

    def prepared(self, trajectories: Sequence[Trajectory]) -> list[Trajectory]:
        """Trajectories with their tokens, and the log-probabilities of the reference as those of the policy that acted."""
        tokens = [self.vocabulary.encode(one) for one in trajectories]
        with torch.no_grad():
            for places in micro_batches([len(row) for row in tokens], 8192):
                found = written(self.reference, [tokens[place] for place in places]).numpy()
                for line, place in enumerate(places):
                    tokens[place].logprobs = found[line, : len(tokens[place])]
        return [
            Trajectory(observations=one.observations, actions=one.actions, task=one.task, group=group(one), tokens=row)
            for one, row in zip(trajectories, tokens, strict=True)
        ]

    def _learn(self, known: list[Trajectory], seed: int, name: str) -> ImplicitProcessReward:
        reward = ImplicitProcessReward(
            outcome=EnvironmentReturn(),
            policy=SimpleNamespace(model=self.reference),
            learning_rate=1e-3,
            max_grad_norm=1.0,
            normalise="none",
            **VARIANTS[name],  # type: ignore[arg-type]
        )
        reward(known[:1])  # now the model is a copy of the reference
        chance = np.random.default_rng(seed)
        if reward.loss == "pair":
            known = with_both([(one, one.rewards[-1] > 0.5) for one in known])
        tasks = np.asarray([group(one) for one in known])
        for _ in range(EPOCHS[reward.loss]):
            drawn = chance.permutation(np.unique(tasks))
            for start in range(0, len(drawn), TASKS_IN_BATCH):
                batch = [known[row] for row in np.flatnonzero(np.isin(tasks, drawn[start : start + TASKS_IN_BATCH]))]
                reward.learn(batch, reward.outcome(batch))
        return reward

    def step_rewards(self, trajectories: Sequence[Trajectory]) -> dict[str, list[Floats]]:
        """For each variant, the rewards of the steps of each trajectory."""
        prepared = self.prepared(trajectories)
        return {name: reward.step_values(prepared) for name, reward in self.rewards.items()}


def with_both(known: Sequence[tuple[Trajectory, bool]]) -> list[Trajectory]:
    """Trajectories of tasks that some of them solved and some did not."""
    found = {success: {group(one) for one, right in known if right == success} for success in (True, False)}
    return [one for one, _ in known if group(one) in found[True] & found[False]]


def group(trajectory: Trajectory) -> str:
    assert trajectory.task is not None
    return trajectory.task.id


def chance_of(row: Floats, aggregate: str) -> float:
    """What the rewards of the steps so far say of success: their sum as log-odds, or their mean."""
    value = row.mean() if aggregate == "mean" else row.sum()
    return float(1.0 / (1.0 + np.exp(-value)))


# ---- the two questions ------------------------------------------------------------------------------------------------


def predictions(trajectories: list[Trajectory], outcomes: Floats) -> dict[str, dict[float, Floats]]:
    """What each variant predicts of every trajectory from a share of it, without having seen its task."""
    ways = {name: {share: np.zeros(len(outcomes)) for share in progress.SHARES} for name in VARIANTS}
    fold = progress.folds(trajectories)
    for number in range(progress.FOLDS):
        test, train = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        fitted = Fitted([trajectories[index] for index in train], outcomes[train], number)
        for name, rows in fitted.step_rewards([trajectories[index] for index in test]).items():
            for share in progress.SHARES:
                parts = [row[: max(1, round(share * len(row)))] for row in rows]
                ways[name][share][test] = [chance_of(part, str(VARIANTS[name]["aggregate"])) for part in parts]
    return ways


def agent_means(trajectories: list[Trajectory], outcomes: Floats) -> dict[float, Floats]:
    """How often the same agent succeeded at other tasks of the domain, drawn to the mean by one more attempt."""
    fold, who = progress.folds(trajectories), agents_of(trajectories)
    found = np.zeros(len(outcomes))
    for index, (number, own) in enumerate(zip(fold, who, strict=True)):
        known = fold != number
        same = known & (who == own)
        found[index] = (outcomes[same].sum() + outcomes[known].mean()) / (same.sum() + 1.0)
    return dict.fromkeys(progress.SHARES, found)


def agents_of(trajectories: list[Trajectory]) -> NDArray[np.int64]:
    """A number for each domain and agent."""
    names = [str(sorted(one.task.metadata.items())) for one in trajectories if one.task is not None]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def within_agents(trajectories: list[Trajectory], outcomes: Floats, ways: dict[str, dict[float, Floats]]) -> None:
    """Print how well each way tells the successes of an agent from its failures: who acts, it need not know."""
    names, who = [group(one) for one in trajectories], agents_of(trajectories)
    strata = progress.folds(trajectories) * (who.max() + 1) + who
    print(f"{'within one agent':24s}" + "".join(f"{f'from {share:.0%}':>22s}" for share in progress.SHARES))

    def cell(way: str, share: float, less: str | None = None) -> str:
        def measure(rows: NDArray[np.intp]) -> float:
            area = progress.area_of(ways[way][share][rows], outcomes[rows], strata[rows])
            return (
                area if less is None else area - progress.area_of(ways[less][share][rows], outcomes[rows], strata[rows])
            )

        return progress.shown(progress.resampled(names, measure))

    for way in sorted(
        set(ways) - {"constant", "domain", "agent"}, key=list(ways).index
    ):  # those tell nothing apart here
        print(f"{way:24s}" + "".join(f"{cell(way, share):>22s}" for share in progress.SHARES))
    for way in VARIANTS:
        for less in ("length", "last step"):
            print(f"{way} - {less}, within one agent, from 100%: {cell(way, 1.0, less)}", flush=True)


def decisive(data: Path, known: list[Trajectory], outcomes: Floats) -> None:
    """Which step has the lowest reward, under models of tau2_bench and tau_bench together."""
    fitted = Fitted(known, outcomes, 0)
    train, places = progress.failures(data, "train")
    dev, dev_places = progress.failures(data, "dev")
    both = [*train, *dev]
    print(
        f"\nwords of actions not in the vocabulary: {fitted.vocabulary.unknown(both):.2f} of who_and_when, "
        f"{fitted.vocabulary.unknown(known):.2f} of what it was made from"
    )
    for part, logs, true in (("dev", dev, dev_places), ("train and dev", both, np.concatenate([places, dev_places]))):
        guesses = progress.usual_places(train, places, logs)
        for name, rows in fitted.step_rewards(logs).items():
            guesses[f"lowest reward, {name}"] = np.asarray([row[:STEPS].argmin() for row in rows], dtype=float)
        progress.compare_places(part, logs, true, guesses)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder with tau2_bench, tau_bench and who_and_when")
    parser.add_argument("--epochs", type=int, default=25, help="of the estimators that are baselines")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)
    known: list[Trajectory] = []
    wanted: list[Floats] = []
    for name in ("tau2_bench", "tau_bench"):
        trajectories, outcomes = progress.agents(options.data, name)
        ways = progress.predictions(trajectories, outcomes, options.epochs)
        ways |= {"agent": agent_means(trajectories, outcomes)} | predictions(trajectories, outcomes)
        progress.compare(name, trajectories, outcomes, ways, *VARIANTS)
        within_agents(trajectories, outcomes, ways)
        known += trajectories
        wanted.append(outcomes)
    decisive(options.data, known, np.concatenate(wanted))
    print(f"\n{time.process_time():.0f} s of one core")


if __name__ == "__main__":
    main()
