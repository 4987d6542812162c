"""Direct preference optimisation: in the loop, on stored comparisons, and beside TRL's own trainer."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from trl import DPOConfig, DPOTrainer

from rewardlab.functional.direct_preferences import direct_preference_loss, turn_weights
from rewardlab.policies.batching import collate
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.policies.logprobs import token_logprobs
from rewardlab.training import train, train_on_preferences
from rewardlab.training.credit import Advantages, Threshold
from rewardlab.training.objectives import DPO, RejectionSampling
from rewardlab.types import Preference, Scores, Task, Trajectory
from tests.integrations import trainers
from tests.training.test_objectives import gradient_step, weights_of
from tests.training.worlds import WORDS, SaysIt, demonstrations, policy, tasks

torch.set_num_threads(1)


def chat(noun, *said, tool=None, group=None):
    messages = [{"role": "user", "content": noun}]
    for text in said:
        messages.append({"role": "assistant", "content": text})
        if tool is not None:
            messages.append({"role": "tool", "content": tool, "tool_call_id": "call_0"})
    return Trajectory.from_messages(messages, task=Task(id=noun), group=group or noun)


def comparisons(tool="ring ring"):
    pairs = [
        ("sky", ("blue", "red"), ("gold",)),
        ("leaf", ("green",), ("red", "blue", "gold")),
        ("sun", ("gold",), ("blue",)),
    ]
    return [Preference(chosen=chat(n, *good, tool=tool), rejected=chat(n, *bad, tool=tool)) for n, good, bad in pairs]


def moved(acting, seed=5):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in acting.model.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return acting


def test_losses_by_hand():
    margins = torch.tensor([0.0, 3.0, -1.0])
    found = {
        kind: direct_preference_loss(margins, beta=0.5, kind=kind).tolist() for kind in ("sigmoid", "ipo", "hinge")
    }
    assert found["sigmoid"] == pytest.approx([np.log(2), np.log1p(np.exp(-1.5)), np.log1p(np.exp(0.5))], rel=1e-6)
    assert found["ipo"] == pytest.approx([1.0, 4.0, 4.0])
    assert found["hinge"] == pytest.approx([1.0, 0.0, 1.5])
    soft = direct_preference_loss(margins, torch.tensor([0.0, 0.5, 1.0]), beta=0.5)
    assert soft.tolist() == pytest.approx([np.log(2), np.log1p(np.exp(-1.5)) + 0.75, np.log1p(np.exp(0.5))], rel=1e-6)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 1\]"):
        direct_preference_loss(margins, 1.2)


def test_weights_of_turns():
    step = torch.tensor([[-1, 0, 0, -1, 1, 2], [0, -1, -1, -1, -1, -1]])
    assert turn_weights(step, 1.0)[0].tolist() == pytest.approx([0, 1, 1, 0, 2 / 3, 1 / 3])
    assert turn_weights(step, 0.5)[0].tolist() == pytest.approx([0, 1, 1, 0, 0.5 * 0.75 / 0.875, 0.25 * 0.5 / 0.875])
    assert turn_weights(step, 0.5)[1].tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("options", [{}, {"loss": "ipo", "length_normalise": True}, {"turn_discount": 0.8}])
def test_the_update_follows_the_gradient_of_the_loss(options):
    """Two groups of attempts in several turns; the tool's words count nowhere; ragged pieces change nothing."""
    acting = policy()
    made = [one for pair in comparisons() for one in (pair.chosen, pair.rejected)]
    for one in made:
        one.tokens = acting.encode_demonstration(one)
    advantages = Advantages(values=[np.full(len(one), 1.0 - i % 2) for i, one in enumerate(made)], included=np.ones(6))
    objective = DPO(learning_rate=0.0, max_grad_norm=None, beta=0.3, micro_batch_tokens=24, **options)
    learner = objective.learner(acting)
    learner.keep_reference()
    reference = policy()
    moved(acting)
    measured, (caught,) = gradient_step(objective, acting, made, advantages)
    columns = collate([one.tokens for one in made])
    logprobs = [
        token_logprobs(one.model, columns.ids, columns.attention_mask, positions_mask=columns.written)
        for one in (acting, reference)
    ]
    favour = logprobs[0] - logprobs[1].detach()
    if "turn_discount" in options:
        favour = favour * turn_weights(columns.step, 0.8)
    favour = favour.sum(-1)
    if options.get("length_normalise"):
        favour = favour / columns.written.sum(-1)
    margins = favour[0::2] - favour[1::2]
    loss = direct_preference_loss(margins, beta=0.3, kind=options.get("loss", "sigmoid")).mean()
    assert measured["loss"] == pytest.approx(float(loss.detach()), rel=1e-4)
    assert measured["accuracy"] == pytest.approx(float((margins > 0).float().mean()))
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(acting.model.parameters()))])
    assert torch.allclose(caught, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "hinge"])
def test_beside_trl(tmp_path, kind):
    """The loss and its gradient are those of TRL's own trainer on the same rows, with the tool's tokens masked."""
    acting = trainers.tiny(layers=2)
    pairs = comparisons(tool="moss")
    rows = [
        acting.encode_demonstration(one) for side in ("chosen", "rejected") for one in (getattr(p, side) for p in pairs)
    ]
    args = DPOConfig(output_dir=str(tmp_path), beta=0.3, loss_type=[kind], use_cpu=True, bf16=False, report_to=[])
    dataset = trainers.Dataset.from_list([{"prompt": "sky", "chosen": "blue", "rejected": "red"}] * 2)
    frozen = copy.deepcopy(acting.model)
    trainer = DPOTrainer(acting.model, frozen, args=args, train_dataset=dataset, processing_class=acting.tokenizer)
    trainer.model.eval()
    reference = LanguageModelPolicy(trainer.ref_model, acting.tokenizer)
    moved(acting)
    batch = collate(rows, pad_id=acting.pad_id)
    inputs = {"input_ids": batch.ids, "attention_mask": batch.attention_mask, "completion_mask": batch.written.long()}
    theirs = trainer._compute_loss(trainer.model, inputs, False)
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(theirs, list(acting.model.parameters()))])
    objective = DPO(beta=0.3, loss=kind, learning_rate=0.0, max_grad_norm=None, length_normalise=kind == "ipo")
    learner = objective.learner(acting)
    learner.reference = {name: weight.detach().clone() for name, weight in reference.model.named_parameters()}
    made = [one for pair in pairs for one in (pair.chosen, pair.rejected)]
    for number, one in enumerate(made):
        one.tokens = rows[number // 2 + 3 * (number % 2)]
    advantages = Advantages(values=[np.full(len(one), 1.0 - i % 2) for i, one in enumerate(made)], included=np.ones(6))
    measured, (caught,) = gradient_step(objective, acting, made, advantages)
    assert measured["loss"] == pytest.approx(float(theirs.detach()), rel=1e-4)
    assert torch.allclose(caught, expected, rtol=1e-3, atol=1e-5)


def test_pairs_of_a_group():
    made = [chat("sky", word, group="a") for word in ("blue", "red", "gold", "green")]
    acting = policy()
    for one in made:
        one.tokens = acting.encode_demonstration(one)
    worth = [np.array([value]) for value in (0.0, 2.0, 1.0, 2.0)]
    included = np.array([True, True, True, True])

    def pairs(**options):
        rows = DPO(**options)._rows(made, Advantages(values=worth, included=included))
        return [(rows[i].index, rows[i + 1].index) for i in range(0, len(rows), 2)]

    assert pairs() == [(1, 0), (3, 2)]
    assert pairs(pairing="all") == [(1, 2), (1, 0), (3, 2), (3, 0), (2, 0)]  # equals are no pair
    included[0] = False
    assert pairs() == [(1, 2)]


def test_stored_comparisons_are_learned(tmp_path):
    acting = policy()
    start = weights_of(acting)
    held_out = comparisons()[:1]
    seen = []
    run = train_on_preferences(
        acting, comparisons(), objective=DPO(learning_rate=1e-3, beta=0.5), epochs=6, batch_size=2, validation=held_out,
        output=tmp_path, callbacks=[seen.append],
    )  # fmt: skip
    assert run.steps == 12
    assert seen == run.metrics
    assert run.before == pytest.approx({"loss": np.log(2), "accuracy": 0.0, "margin": 0.0}, abs=1e-4)
    assert run.after["accuracy"] == 1.0
    assert run.after["loss"] < 0.5
    assert run.metrics[-1]["accuracy"] == 1.0
    assert not torch.equal(weights_of(acting), start)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 12
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])["step"] == 1
    loaded = LanguageModelPolicy.load(tmp_path / "policy", device="cpu")
    assert torch.equal(weights_of(loaded), weights_of(acting))


def test_a_resumed_training_gives_the_same_numbers(tmp_path):
    def start(folder, **options):
        acting = policy()
        objective = DPO(learning_rate=1e-3, turn_discount=0.9)
        return acting, train_on_preferences(
            acting, comparisons(), objective=objective, epochs=3, batch_size=2, validation=comparisons()[:1],
            output=tmp_path / folder, checkpoint_every=1, **options,
        )  # fmt: skip

    def interrupt(line):
        if line["step"] == 4:
            raise KeyboardInterrupt

    whole, run = start("whole")
    with pytest.raises(KeyboardInterrupt):
        start("cut", callbacks=[interrupt])
    again, resumed = start("cut")
    assert resumed.metrics == run.metrics
    assert (resumed.before, resumed.after) == (run.before, run.after)
    assert torch.equal(weights_of(whole), weights_of(again))
    logs = [(tmp_path / folder / "metrics.jsonl").read_bytes() for folder in ("whole", "cut")]
    assert logs[0] == logs[1]
    with pytest.raises(ValueError, match="holds another training .seed was 0, is 1"):
        start("cut", seed=1)


def test_references_are_computed_once():
    """Steps see the policy alone: what it thought at first is kept as numbers, and no second copy of the weights."""
    acting = policy()
    objective = DPO(learning_rate=1e-2)
    measured = []
    train_on_preferences(
        acting, comparisons(), objective=objective, epochs=2, batch_size=3, callbacks=[measured.append]
    )
    assert objective.learner(acting).reference is None
    assert measured[0]["margin"] == pytest.approx(0.0, abs=1e-5)
    assert measured[1]["margin"] > 0.01


def test_adapters_are_compared_with_what_is_below_them():
    acting = policy(lora={"rank": 2})
    run = train_on_preferences(acting, comparisons(), objective=DPO(learning_rate=1e-2, reference="base"), epochs=4)
    assert run.metrics[-1]["accuracy"] == 1.0


def test_what_cannot_be_compared_is_named():
    with pytest.raises(TypeError, match="rejected of comparison 0 is a str"):
        train_on_preferences(policy(), [Preference(chosen=chat("sky", "blue"), rejected="red")])
    with pytest.raises(ValueError, match="chosen of comparison 0 has no assistant message"):
        train_on_preferences(policy(), [Preference(chosen=chat("sky"), rejected=chat("sky", "red"))])
    with pytest.raises(ValueError, match="no comparisons"):
        train_on_preferences(policy(), [])
    with pytest.raises(TypeError, match="learned by DPO, got GRPO"):
        train_on_preferences(policy(), comparisons(), objective="grpo")
    for options in (
        {"pairing": "best"},
        {"loss": "exo"},
        {"label_smoothing": 0.5},
        {"beta": 0.0},
        {"turn_discount": 2.0},
    ):
        with pytest.raises(ValueError, match="must be"):
            DPO(**options)


@pytest.mark.parametrize("objective", ["dpo", {"type": "rejection_sampling", "learning_rate": 3e-3}])
def test_both_go_through_the_loop_by_name(objective):
    from rewardlab.environments.single_turn import SingleTurn
    from rewardlab.policies.engines.base import Sampling
    from rewardlab.training import WarmStart

    run = train(
        policy(), SingleTurn, SaysIt(), tasks(4), objective=objective, steps=2, group_size=6, tasks_per_step=4,
        sampling=Sampling(max_new_tokens=3), trackers=[],
        warm_start=WarmStart(demonstrations=demonstrations(4), steps=15, batch_size=4, learning_rate=1e-2),
    )  # fmt: skip
    assert sum(line["update/optimizer_steps"] for line in run.metrics) >= 1


def test_good_enough_attempts_are_kept_once():
    made = [chat("sky", word, group="a") for word in ("blue", "blue", "red", "gold")] + [chat("sun", WORDS[0])]
    scores = Scores(values=np.array([1.0, 1.0, 2.0, 0.5, 0.0]))
    assert Threshold()(made, scores).included.tolist() == [True, False, True, False, False]
    assert Threshold(distinct=False)(made, scores).included.tolist() == [True, True, True, False, False]
    assert Threshold(most=1)(made, scores).included.tolist() == [False, False, True, False, False]
    assert RejectionSampling.default_credit == "threshold"
