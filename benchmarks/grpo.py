"""A step of training beside TRL's `GRPOTrainer`: same model, prompts, groups, lengths, loss and optimiser, in one process.

Run as `python benchmarks/grpo.py` (about five minutes of CPU). Every optimiser step of TRL's is followed by one of ours, so
that both see the same machine; the first of each is not counted. Time is CPU time of one thread. Tokens are those that the
policy wrote, up to its end token. A step holds sampling, reward, advantages, update and metrics; neither side writes logs or
checkpoints. TRL's step is all that passes between two of its `on_step_end`, data loading included. Both measure entropy.

Each case prints tokens per CPU-second over all rounds, their ratio, and the median and range of the ratio in single rounds
(where batches are small, a round's lengths differ by chance, so that single rounds say little): `generation` (prompts to
answers), `update` (log-probabilities, gradient, optimiser) and the whole `step`. `--profile` shows
where our time goes. `--equal` compares loss and gradient norm on TRL's own batches. Multi-turn rollouts of 8 turns are those
of `rollout_engine.py`, beside `generate` with the whole context each turn.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import grpo_setup
import numpy as np
import rollout_engine
import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.engines.batched import BatchedEngine
from rewardlab.training.credit.base import Advantages
from rewardlab.training.loop import Trainer
from rewardlab.training.objectives import GRPO
from rewardlab.types import Task, Tokens, Trajectory

LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Case:
    """One setting: prompts per step, answers to each, the longest answer, and how often the model stops (None: never)."""

    name: str
    prompts: int
    group: int
    longest: int
    stop_rate: float | None
    repeat: int = 1
    """Rounds are so many times as many where a step is short."""


CASES = {
    "variable": Case("variable lengths, 8 x 8 answers to 128 tokens", 8, 8, 128, 1 / 32),
    "fixed": Case("fixed lengths, 8 x 8 answers of 64 tokens", 8, 8, 64, None),
    "small": Case("small batch, 2 x 4 answers to 64 tokens", 2, 4, 64, 1 / 16, 4),
    "small-fixed": Case("small batch of fixed lengths, 2 x 4 answers of 32 tokens", 2, 4, 32, None, 4),
    "tiny": Case("tiny batch, 1 x 4 answers to 32 tokens", 1, 4, 32, 1 / 16, 8),
    "long": Case("long tail, 8 x 8 answers to 512 tokens", 8, 8, 512, 1 / 64),
}


@dataclass
class Meter:
    """CPU seconds and tokens of one side, round by round."""

    generation: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def speed(self, part: str) -> list[float]:
        """Tokens per CPU-second in each counted round."""
        return [tokens / seconds for tokens, seconds in zip(self.tokens, getattr(self, part), strict=True)][1:]

    def pooled(self, part: str) -> float:
        """Tokens per CPU-second over all counted rounds together."""
        return sum(self.tokens[1:]) / sum(getattr(self, part)[1:])


def timed(function: Callable, into: list[float]) -> Callable:
    """The same function, which notes its CPU time."""

    def run(*arguments: Any, **options: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            into.append(time.process_time() - began)

    return run


# ---- ours ---------------------------------------------------------------------------------------------------------------


class Ours:
    """Our loop, one step at a time."""

    def __init__(self, case: Case, rounds: int, **objective: Any) -> None:
        self.meter = Meter()
        tasks = [
            Task(id=str(index), prompt=[{"role": "user", "content": prompt}])
            for index, prompt in enumerate(grpo_setup.make_prompts(case.prompts))
        ]
        self.trainer = Trainer(
            policy=grpo_setup.make_policy(case.stop_rate),
            environment=SingleTurn,
            reward=grpo_setup.letters,
            tasks=tasks,
            objective=GRPO(learning_rate=LEARNING_RATE, schedule="linear", **objective),
            steps=rounds + 1,
            group_size=case.group,
            tasks_per_step=case.prompts,
            sampling=Sampling(max_new_tokens=case.longest),
            trackers=[],
        )
        self.trainer.rollout = timed(self.trainer.rollout, self.meter.generation)
        self.trainer.objective.update = timed(self.trainer.objective.update, self.meter.update)
        self.profile: cProfile.Profile | None = None

    def step(self) -> None:
        """One step, timed."""
        gc.collect()
        if self.profile is not None and self.meter.step:
            self.profile.enable()
        began = time.process_time()
        report = self.trainer.step()
        self.meter.step.append(time.process_time() - began)
        if self.profile is not None:
            self.profile.disable()
        self.meter.tokens.append(sum(int((entry.tokens.step >= 0).sum()) for entry in report.trajectories))


# ---- theirs -------------------------------------------------------------------------------------------------------------


class Theirs(GRPOTrainer):
    """TRL's trainer with clocks around its own methods."""

    def __init__(self, case: Case, rounds: int, between: Callable[[], None], folder: str, **options: Any) -> None:
        self.meter = Meter()
        self.scoring: list[float] = []
        self.watch: Callable[[dict[str, Any], Any], None] | None = None
        policy = grpo_setup.make_policy(case.stop_rate)
        meter = self.meter

        class Interleave(TrainerCallback):
            """Times TRL's steps, and lets the other side make one after each."""

            began = 0.0

            def on_train_begin(self, *_: Any, **__: Any) -> None:
                gc.collect()
                self.began = time.process_time()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                meter.step.append(time.process_time() - self.began)
                between()
                gc.collect()
                self.began = time.process_time()

        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=case.prompts * case.group,
            num_generations=case.group,
            max_completion_length=case.longest,
            max_steps=rounds + 1,
            learning_rate=LEARNING_RATE,
            loss_type="grpo",
            beta=0.0,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            logging_strategy="no",
            save_strategy="no",
            disable_tqdm=True,
            **options,
        )
        prompts = [{"prompt": [{"role": "user", "content": text}]} for text in grpo_setup.make_prompts(case.prompts)]
        super().__init__(
            policy.model,
            reward_funcs=grpo_setup.letters_for_trl,
            args=config,
            train_dataset=Dataset.from_list(prompts),
            processing_class=policy.tokenizer,
            callbacks=[Interleave()],
        )
        self.remove_callback(PrinterCallback)

    def _generate(self, prompts: list) -> Any:
        output = timed(super()._generate, self.meter.generation)(prompts)
        self.meter.tokens.append(sum(map(len, output[1])))
        return output

    def _generate_and_score_completions(self, inputs: list) -> Any:
        return timed(super()._generate_and_score_completions, self.scoring)(inputs)

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        loss = super()._compute_loss(model, inputs)
        if self.watch is not None:
            self.watch(inputs, loss)
        return loss

    def finish(self) -> None:
        """What is neither sampling nor scoring is the update."""
        self.meter.update = [whole - part for whole, part in zip(self.meter.step, self.scoring, strict=True)]


# ---- the race -------------------------------------------------------------------------------------------------------------


def race(case: Case, rounds: int, profile: bool, **objective: Any) -> None:
    """Print one case."""
    ours = Ours(case, rounds, **objective)
    if profile:
        ours.profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(case, rounds, ours.step, folder)
        theirs.train()
    theirs.finish()
    print(f"\n{case.name}; mean length {np.mean(ours.meter.tokens) / case.prompts / case.group:.1f} ours, "
          f"{np.mean(theirs.meter.tokens) / case.prompts / case.group:.1f} TRL")  # fmt: skip
    print(f"  {'tokens per CPU-second':24s} {'ours':>9s} {'TRL':>9s}   ratio   of {rounds} rounds: median (range)")
    for part in ("generation", "update", "step"):
        mine, other = ours.meter.pooled(part), theirs.meter.pooled(part)
        pairs = zip(ours.meter.speed(part), theirs.meter.speed(part), strict=True)
        ratios = sorted(own / peer for own, peer in pairs)
        print(
            f"  {part:24s} {mine:9,.0f} {other:9,.0f}   {mine / other:5.2f}   "
            f"{statistics.median(ratios):17.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
            flush=True,
        )
    for part in ("generation", "update"):
        pairs = zip(getattr(ours.meter, part)[1:], ours.meter.step[1:], strict=True)
        print(f"  {part} is {np.mean([seconds / whole for seconds, whole in pairs]):.0%} of our step")
    if ours.profile is not None:
        pstats.Stats(ours.profile).sort_stats("tottime").print_stats(25)


def equal(case: Case) -> None:
    """Loss and gradient norm of both on TRL's own batches, before its optimiser moves."""
    differences: list[tuple[float, float, float, float]] = []

    def watch(inputs: dict[str, Any], loss: torch.Tensor) -> None:
        model = theirs.accelerator.unwrap_model(theirs.model)
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        norm = torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt().item()
        policy = type("Policy", (), {"model": model})()
        objective = GRPO(learning_rate=0.0, max_grad_norm=None, old_logprobs="recomputed")
        trajectories, values = [], []
        for row in range(inputs["prompt_ids"].shape[0]):
            prompt = inputs["prompt_ids"][row][inputs["prompt_mask"][row].bool()]
            answer = inputs["completion_ids"][row][inputs["completion_mask"][row].bool()]
            ids = torch.cat([prompt, answer]).numpy()
            step = np.concatenate([np.full(len(prompt), -1), np.zeros(len(answer))])
            tokens = Tokens(ids=ids, step=step, logprobs=np.zeros(len(ids)))
            trajectories.append(
                Trajectory(observations=[[], []], actions=[{"role": "assistant", "content": ""}], tokens=tokens)
            )
            values.append(np.array([inputs["advantages"][row].item()]))
        kept = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        measured = objective.update(
            policy, trajectories, Advantages(values=values, included=np.ones(len(values), bool))
        )
        for parameter, gradient in zip(parameters, kept, strict=True):
            parameter.grad = gradient
        model.train()
        differences.append((loss.item(), measured["loss"], norm, measured["grad_norm"]))

    with tempfile.TemporaryDirectory() as folder:
        theirs = Theirs(case, 2, lambda: None, folder)
        theirs.watch = watch
        theirs.train()
    print(f"\nthe same batches, {case.name}")
    for loss, own, norm, own_norm in differences:
        print(f"  loss {loss:+.7f} TRL, {own:+.7f} ours; gradient norm {norm:.6f} TRL, {own_norm:.6f} ours")


def conversations(rounds: int) -> None:
    """Multi-turn rollouts, as `rollout_engine.py` measures them."""
    print(f"\n8 turns; generated tokens per CPU-second {'ours':>5s} {'generate':>9s}   ratio (range)")
    with torch.inference_mode():
        for batch in (8, 64):
            model = rollout_engine.make_model(None)
            engine = BatchedEngine(model, [rollout_engine.STOP])
            contenders = rollout_engine.conversations(model, engine, batch, 8, 0)
            rollout_engine.race(f"  conversations of 8 turns, {batch} at once", contenders, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--cases", nargs="*", default=["variable", "fixed", "small", "small-fixed", "tiny"], choices=list(CASES)
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--profile", action="store_true", help="where our time goes, per case")
    parser.add_argument("--equal", action="store_true", help="compare losses on the same batches as well")
    parser.add_argument("--no-turns", action="store_true", help="leave the multi-turn rollouts out")
    parser.add_argument("--micro-batch-tokens", type=int, help="override the objective's option")
    options = parser.parse_args()
    torch.set_num_threads(1)
    changed = {} if options.micro_batch_tokens is None else {"micro_batch_tokens": options.micro_batch_tokens}
    for name in options.cases:
        race(CASES[name], options.rounds * CASES[name].repeat, options.profile, **changed)
        if options.equal:
            equal(CASES[name])
    if not options.no_turns:
        conversations(min(options.rounds, 3))


if __name__ == "__main__":
    main()
