"""CPU time of credit over a batch of long trajectories: vectorised, and in plain Python beside it.

    python benchmarks/credit.py

4,096 trajectories of 1 to 64 steps and 2,048 tokens, in groups of eight. Both sides do the same work on the same numbers,
in turn in each round (the fast side 20 times, as it is short), and their results are compared. The plain side is
`benchmarks/credit_reference.py`, which the tests use as an oracle; it works on lists of floats. Laying out Python objects
(`Trajectory`, `Advantages`) is neither side's work; the last line adds it to the vectorised side alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import credit_reference as plain
import numpy as np

from rewardlab.functional import credit
from rewardlab.functional.segments import dense, ragged, split, token_runs
from rewardlab.training.credit import TurnRewards
from rewardlab.types import Scores, Trajectory


def main() -> None:
    """Time both sides and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=64, help="most steps of a trajectory")
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of each trajectory")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    work = workloads(options.trajectories, options.steps, options.tokens)
    print(f"{'':44s} {'vectorised':>12s} {'plain':>12s} {'ratio':>8s}")
    for name, (fast, slow) in work.items():
        check(name, fast(), slow())
        times = [(cpu(fast, 20), cpu(slow)) for _ in range(options.rounds)]
        one, other = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(second / first for first, second in times)
        print(f"{name:44s} {one * 1e3:9.1f} ms {other * 1e3:9.1f} ms {ratio:7.0f}x")
    rule = whole_rule(options.trajectories, options.steps)
    print(f"{'turn_rewards, with Python objects':44s} {cpu(rule, 5) * 1e3:9.1f} ms")


def workloads(count: int, steps: int, tokens: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Name -> (vectorised, plain) functions over one batch."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, steps + 1, size=count)
    layout, groups = ragged(lengths), np.arange(count) // 8
    values, outcomes = draw.normal(size=layout.size), draw.normal(size=count)
    states = draw.integers(0, 20, size=layout.size)
    token_steps = np.concatenate([written(length, tokens, draw) for length in lengths])
    token_lengths = np.full(count, tokens)
    ratios = draw.normal(size=token_steps.size).astype(np.float32)
    rows, state_rows = [row.tolist() for row in split(values, layout)], [row.tolist() for row in split(states, layout)]
    token_rows, ratio_rows = token_steps.reshape(count, tokens).tolist(), ratios.reshape(count, tokens).tolist()
    group_list, outcome_list, length_list = groups.tolist(), outcomes.tolist(), lengths.tolist()

    def turn_rewards() -> Any:
        layout = ragged(lengths)
        returns = credit.returns_to_go(values, layout, discount=0.95)
        return credit.above(returns, credit.turn_baseline(returns, layout, groups))

    def plain_turn_rewards() -> Any:
        return plain.turn_advantages(plain.returns_to_go(rows, 0.95), group_list)

    def anchors() -> Any:
        layout = ragged(lengths)
        returns = credit.returns_to_go(values, layout, discount=0.95)
        return credit.step_relative(returns, dense(groups[layout.owner], states), scale="std").advantages

    def plain_anchors() -> Any:
        return plain.anchor_advantages(plain.returns_to_go(rows, 0.95), state_rows, group_list, "std")

    def implicit() -> Any:
        return 0.05 * credit.step_log_ratios(ratios, token_runs(token_steps, token_lengths, lengths))

    def plain_implicit() -> Any:
        sums = plain.step_log_ratios(ratio_rows, token_rows, length_list)
        return [[0.05 * value for value in row] for row in sums]

    def tokens_to_tokens() -> Any:
        runs = token_runs(token_steps, token_lengths, lengths)
        rewards = 0.05 * credit.step_log_ratios(ratios, runs)
        rewards += credit.redistribute(outcomes, runs.layout, rewards, how="residual_last")
        returns = credit.returns_to_go(rewards, runs.layout, discount=0.95)
        return credit.spread_to_tokens(credit.above(returns, credit.turn_baseline(returns, runs.layout, groups)), runs)

    def plain_tokens_to_tokens() -> Any:
        rewards = plain_implicit()
        exact = plain.redistribute(outcome_list, rewards, "residual_last")
        rewards = [[one + other for one, other in zip(*pair, strict=True)] for pair in zip(rewards, exact, strict=True)]
        advantages = plain.turn_advantages(plain.returns_to_go(rewards, 0.95), group_list)
        return plain.spread_to_tokens(advantages, token_rows)

    return {
        "redistribution by residual": (
            lambda: credit.redistribute(outcomes, lengths, values, how="residual_last"),
            lambda: plain.redistribute(outcome_list, rows, "residual_last"),
        ),
        "discounted returns-to-go": (
            lambda: credit.returns_to_go(values, lengths, discount=0.95),
            lambda: plain.returns_to_go(rows, 0.95),
        ),
        "turn_rewards": (turn_rewards, plain_turn_rewards),
        "anchor_states": (anchors, plain_anchors),
        "implicit process rewards from tokens": (implicit, plain_implicit),
        "steps to tokens": (
            lambda: credit.spread_to_tokens(values, token_runs(token_steps, token_lengths, lengths)),
            lambda: plain.spread_to_tokens(rows, token_rows),
        ),
        "all: tokens, steps, turn_rewards, tokens": (tokens_to_tokens, plain_tokens_to_tokens),
    }


def whole_rule(count: int, steps: int) -> Callable[[], Any]:
    """The rule of the registry on trajectories, step values read from scores."""
    draw = np.random.default_rng(0)
    made, rows = [], []
    for index in range(count):
        length = int(draw.integers(1, steps + 1))
        made.append(
            Trajectory(
                observations=np.zeros(length + 1), actions=np.zeros(length), group=str(index // 8), terminated=True
            )
        )
        rows.append(draw.normal(size=length))
    scores = Scores(values=draw.normal(size=count), steps=rows)
    rule = TurnRewards(discount=0.95)
    return lambda: rule(made, scores)


def written(length: int, tokens: int, draw: np.random.Generator) -> np.ndarray:
    """int32[token]: runs of each action, with runs that the environment wrote between."""
    cuts = np.sort(draw.choice(np.arange(1, tokens), size=2 * length - 1, replace=False))
    runs = np.diff(cuts, prepend=0, append=tokens)
    steps = np.where(np.arange(2 * length) % 2 == 0, -1, np.arange(2 * length) // 2)
    return np.repeat(steps, runs).astype(np.int32)


def check(name: str, fast: Any, slow: Any) -> None:
    """Raise where the two sides disagree."""
    flat = np.fromiter((value for row in slow for value in row), dtype=np.float64)
    if not np.allclose(fast, flat, rtol=1e-5, atol=1e-5):
        raise AssertionError(f"{name}: the two sides differ by {np.abs(fast - flat).max()}")


def cpu(function: Callable[[], Any], calls: int = 1) -> float:
    """CPU seconds of one call; short ones are called several times in a row."""
    started = time.process_time()
    for _ in range(calls):
        function()
    return (time.process_time() - started) / calls


if __name__ == "__main__":
    main()
