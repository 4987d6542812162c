"""Our losses, gradients and advantages beside those of TRL's own trainer on the same batch.

The trainer is a real `GRPOTrainer`; its `_compute_loss` gets token ids, masks, advantages, old and reference log-probabilities,
and ours gets the same as trajectories: once through `functional.grpo_loss`, once through the whole update of the objective.
"""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from rewardlab.functional.advantages import group_relative, leave_one_out
from rewardlab.functional.kl import kl_estimate
from rewardlab.functional.policy_losses import clipped_surrogate, grpo_loss, log_importance_weights, token_weights
from rewardlab.policies.batching import collate
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.training.credit.base import Advantages
from rewardlab.training.objectives import GRPO
from rewardlab.types import Tokens, Trajectory
from tests.integrations import trainers

LONGEST = 16
TEMPERATURE = 0.8
NORMALISE = {
    "grpo": {"normalise": "sequence_mean"},
    "dr_grpo": {"normalise": "constant", "constant": LONGEST},
    "dapo": {"normalise": "token_mean"},
    "bnpo": {"normalise": "token_mean"},
}


class Bench:
    """A policy some way from its reference and from the policy that sampled, a real trainer, and a batch for both."""

    def __init__(self, folder):
        self.policy = trainers.tiny(layers=2)
        model = self.policy.model
        self.trainer = GRPOTrainer(
            model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                output_dir=str(folder),
                per_device_train_batch_size=8,
                num_generations=4,
                max_completion_length=LONGEST,
                temperature=TEMPERATURE,
                beta=0.0,
                use_cpu=True,
                bf16=False,
                report_to=[],
            ),
            train_dataset=trainers.conversational(),
            processing_class=self.policy.tokenizer,
        )
        self.reference = copy.deepcopy(model)
        self.batches = {seed: self._batch(seed) for seed in (0, 1)}
        with torch.no_grad():
            generator = torch.Generator().manual_seed(7)
            for weight in model.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=generator)
        model.eval()

    def _batch(self, seed):
        """Rows of several lengths; in some, a tool speaks in between. Old log-probabilities are the policy's, moved a bit."""
        random = np.random.default_rng(seed)
        rows = []
        for _ in range(8):
            prompt, written = int(random.integers(2, 9)), int(random.integers(1, LONGEST + 1))
            ids = random.integers(1, len(self.policy.tokenizer), prompt + written)
            step = np.full(prompt + written, -1)
            step[prompt:] = 0
            if written > 8:  # two actions with 3 tokens of a tool between them
                step[prompt + 3 : prompt + 6] = -1
                step[prompt + 6 :] = 1
            rows.append(Tokens(ids=ids, step=step, logprobs=np.zeros(ids.size)))
        batch = collate(rows)
        with torch.no_grad():
            own = token_logprobs(
                self.policy.model,
                batch.ids,
                batch.attention_mask,
                positions_mask=batch.written,
                temperature=TEMPERATURE,
            )
            reference = token_logprobs(
                self.reference, batch.ids, batch.attention_mask, positions_mask=batch.written, temperature=TEMPERATURE
            )
        noise = torch.from_numpy(random.normal(0, 0.3, own.shape)).float()
        old = torch.where(batch.written, own + noise, 0.0)
        advantages = torch.from_numpy(random.normal(0, 1, 8)).float()
        advantages[3] = 0.0
        for index, row in enumerate(rows):
            row.logprobs = old[index, : len(row)].numpy()
        return rows, batch, advantages, old, reference

    # ---- TRL ------------------------------------------------------------------------------------------------------------

    def theirs(self, seed, *, loss_type, beta, low, high, delta, level, weigh_kl=False):
        """Loss and gradient of TRL's trainer."""
        rows, _, advantages, old, reference = self.batches[seed]
        trainer = self.trainer
        trainer.loss_type, trainer.beta, trainer.importance_sampling_level = loss_type, beta, level
        trainer.epsilon_low, trainer.epsilon_high, trainer.args.delta = low, high, delta
        trainer.args.use_bias_correction_kl = weigh_kl
        prompts = [int(np.flatnonzero(row.step >= 0)[0]) for row in rows]
        longest = max(prompts)
        width = max(len(row) - prompt for row, prompt in zip(rows, prompts, strict=True))
        count, pad = len(rows), self.policy.tokenizer.pad_token_id
        inputs = {
            "prompt_ids": torch.full((count, longest), pad),
            "prompt_mask": torch.zeros(count, longest, dtype=torch.long),
            "completion_ids": torch.full((count, width), pad),
            "completion_mask": torch.zeros(count, width, dtype=torch.long),
            "tool_mask": torch.zeros(count, width, dtype=torch.long),
            "old_per_token_logps": torch.zeros(count, width),
            "ref_per_token_logps": torch.zeros(count, width),
            "advantages": advantages,
        }
        for index, (row, prompt) in enumerate(zip(rows, prompts, strict=True)):
            ids, length = torch.from_numpy(row.ids), len(row) - prompt
            inputs["prompt_ids"][index, longest - prompt :] = ids[:prompt]
            inputs["prompt_mask"][index, longest - prompt :] = 1
            inputs["completion_ids"][index, :length] = ids[prompt:]
            inputs["completion_mask"][index, :length] = 1
            inputs["tool_mask"][index, :length] = torch.from_numpy((row.step >= 0).astype(np.int64))[prompt:]
            inputs["old_per_token_logps"][index, :length] = old[index, prompt : len(row)]
            inputs["ref_per_token_logps"][index, :length] = reference[index, prompt : len(row)]
        written = (inputs["completion_mask"] * inputs["tool_mask"]).sum()
        inputs["num_items_in_batch"] = written
        self.policy.model.zero_grad()
        loss = trainer._compute_loss(self.policy.model, inputs)
        loss.backward()
        return loss.item(), self._norm()

    def _norm(self):
        squares = [weight.grad.square().sum() for weight in self.policy.model.parameters() if weight.grad is not None]
        self.policy.model.zero_grad()
        return torch.stack(squares).sum().sqrt().item()

    # ---- ours -----------------------------------------------------------------------------------------------------------

    def ours(self, seed, *, loss_type, beta, low, high, delta, level):
        """Loss and gradient of `functional.grpo_loss`."""
        _, batch, advantages, old, reference = self.batches[seed]
        logprobs = token_logprobs(
            self.policy.model, batch.ids, batch.attention_mask, positions_mask=batch.written, temperature=TEMPERATURE
        )
        loss = grpo_loss(
            logprobs,
            old,
            advantages[:, None].expand_as(logprobs),
            batch.written,
            clip_low=low,
            clip_high=high,
            dual_clip=delta,
            level=level,
            kl_coefficient=beta,
            reference_logprobs=reference,
            **NORMALISE[loss_type],
        )
        self.policy.model.zero_grad()
        loss.backward()
        return loss.item(), self._norm()

    def update(self, seed, *, loss_type, beta, low, high, delta, level):
        """Loss and norm of the gradient in a whole update of the objective, cut into pieces of few tokens."""
        rows, _, advantages, _, _ = self.batches[seed]
        trajectories = [
            Trajectory(
                observations=[[] for _ in range(row.step.max() + 2)],
                actions=[{"role": "assistant", "content": ""}] * int(row.step.max() + 1),
                tokens=row,
            )
            for row in rows
        ]
        credit = Advantages(
            values=[
                np.full(len(trajectory), value)
                for trajectory, value in zip(trajectories, advantages.tolist(), strict=True)
            ],
            included=np.ones(len(rows), dtype=bool),
        )
        objective = GRPO(
            learning_rate=0.0,
            max_grad_norm=None,
            clip_low=low,
            clip_high=high,
            dual_clip=delta,
            level=level,
            kl_coefficient=beta,
            temperature=TEMPERATURE,
            micro_batch_tokens=40,
            **NORMALISE[loss_type],
        )
        learner = objective.learner(self.policy)
        learner.reference = {name: weight.detach().clone() for name, weight in self.reference.named_parameters()}
        measured = objective.update(self.policy, trajectories, credit)
        return measured["loss"], measured["grad_norm"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("trl"))


CASES = [
    *(
        {"loss_type": loss_type, "beta": beta, "low": 0.2, "high": high, "delta": None, "level": level}
        for loss_type, beta, high, level in itertools.product(NORMALISE, (0.0, 0.1), (0.2, 0.28), ("token", "sequence"))
    ),
    {"loss_type": "dapo", "beta": 0.0, "low": 3e-4, "high": 4e-4, "delta": None, "level": "sequence"},  # GSPO
    {"loss_type": "grpo", "beta": 0.04, "low": 0.2, "high": 0.2, "delta": 1.5, "level": "token"},
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
@pytest.mark.parametrize("seed", [0, 1])
def test_losses_and_gradients(bench, case, seed):
    loss, norm = bench.theirs(seed, **case)
    assert norm > 1e-3
    for mine in (bench.ours, bench.update):
        own_loss, own_norm = mine(seed, **case)
        assert own_loss == pytest.approx(loss, abs=1e-5, rel=1e-4), mine.__name__
        assert own_norm == pytest.approx(norm, abs=1e-5, rel=1e-4), mine.__name__


@pytest.mark.parametrize("loss_type", NORMALISE)
def test_the_divergence_weighed_by_the_ratio(bench, loss_type):
    """TRL's default weighs the divergence by the ratio (DeepSeek-V3.2); it is put together from the same parts."""
    case = {"loss_type": loss_type, "beta": 0.1, "low": 0.2, "high": 0.28, "delta": None, "level": "token"}
    _, batch, advantages, old, reference = bench.batches[0]
    logprobs = token_logprobs(
        bench.policy.model, batch.ids, batch.attention_mask, positions_mask=batch.written, temperature=TEMPERATURE
    )
    ratio = log_importance_weights(logprobs, old, batch.written)
    losses = clipped_surrogate(ratio, advantages[:, None].expand_as(logprobs), clip_low=0.2, clip_high=0.28).losses
    losses = losses + 0.1 * ratio.exp() * kl_estimate(logprobs, reference, "k3")
    loss = torch.where(batch.written, losses * token_weights(batch.written, **NORMALISE[loss_type]), 0.0).sum()
    loss.backward()
    norm = bench._norm()
    assert (loss.item(), norm) == pytest.approx(bench.theirs(0, **case, weigh_kl=True), abs=1e-5, rel=1e-4)
    assert loss.item() != pytest.approx(bench.theirs(0, **case)[0], rel=1e-4)


def test_the_cases_clip_and_differ(bench):
    """The batch is such that every option changes the loss, so that equality above says something."""
    losses = [round(bench.theirs(0, **case)[0], 6) for case in CASES]
    plain = dict(zip([tuple(case.values()) for case in CASES], losses, strict=True))
    assert plain["grpo", 0.0, 0.2, 0.2, None, "token"] != plain["grpo", 0.0, 0.2, 0.28, None, "token"]
    assert plain["grpo", 0.0, 0.2, 0.2, None, "token"] != plain["grpo", 0.1, 0.2, 0.2, None, "token"]
    assert plain["grpo", 0.0, 0.2, 0.2, None, "token"] != plain["grpo", 0.0, 0.2, 0.2, None, "sequence"]
    assert len({plain[kind, 0.0, 0.2, 0.2, None, "token"] for kind in ("grpo", "dr_grpo", "dapo")}) == 3
    assert plain["grpo", 0.04, 0.2, 0.2, 1.5, "token"] not in list(plain.values())[:-1]


# ---- advantages ---------------------------------------------------------------------------------------------------------


NONE = None
VALUES = {
    "all scored": [1.0, 0.0, 0.5, 0.25, 3.0, 3.5, 3.0, 4.0],
    "some failed": [1.0, NONE, 0.5, 0.25, NONE, 3.5, NONE, 4.0],
    "a whole group failed": [NONE, NONE, NONE, NONE, 1.0, 0.0, 2.0, 0.5],
    "a group of equals": [0.5, 0.5, 0.5, 0.5, 1.0, 0.0, NONE, 0.5],
}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantages(tmp_path, name, scale):
    values = VALUES[name]
    theirs = _advantages(tmp_path, GRPOTrainer, GRPOConfig, values, scale_rewards=scale)
    numbers = torch.tensor([math.nan if value is None else value for value in values])
    ours = group_relative(
        numbers,
        torch.arange(8) // 4,
        ~torch.isnan(numbers),
        scale={"group": "std", "batch": "batch", "none": "none"}[scale],
    ).advantages
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", VALUES)
def test_leave_one_out_advantages(tmp_path, name):
    values = VALUES[name]
    theirs = _advantages(tmp_path, RLOOTrainer, RLOOConfig, values)
    numbers = torch.tensor([math.nan if value is None else value for value in values])
    ours = leave_one_out(numbers, torch.arange(8) // 4, ~torch.isnan(numbers)).advantages
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def _advantages(folder, trainer_class, config_class, values, **options):
    """What a real trainer makes of these rewards, in the order of the rewards."""
    found = []

    class Watching(trainer_class):
        def _generate_and_score_completions(self, inputs):
            output = super()._generate_and_score_completions(inputs)
            found.append(output["advantages"].clone())
            return output

    trainers.run(
        Watching,
        config_class,
        folder,
        lambda completions, **_: values,
        trainers.conversational(2),
        max_steps=1,
        max_completion_length=2,
        **options,
    )
    return found[0]
