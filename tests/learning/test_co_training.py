from __future__ import annotations

import math
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.learning import CoTrained, ModelCorruptor, SiblingCorruptor, TemplateCorruptor
from rewardlab.learning.co_training import Pair
from rewardlab.learning.corruption import Corruption, make_corruptor
from rewardlab.policies.engines.base import Sampling
from rewardlab.recipes.cooper.verify import VerifyRM
from rewardlab.recipes.piece_encoder import PieceEncoder
from rewardlab.recipes.table_policy import table_policy
from rewardlab.registry import SpecError
from rewardlab.training import HackingMonitor, train
from rewardlab.types import Status, Task, Trajectory

DIGITS = [str(digit) for digit in range(10)]


@rl.reward
def exact(completion: str, reference: str) -> float:
    """A rule that reads `=` alone, and breaks on anything else."""
    if not completion.startswith("="):
        raise rl.ScoringFailure("cannot be read")
    return float(completion[1:] == reference)


def tasks(count: int = 4) -> list[Task]:
    return [
        Task(id=f"t{number}", prompt=[{"role": "user", "content": f"<q{number}>"}], reference=str(number))
        for number in range(count)
    ]


def group(task: Task, *texts: str) -> list[Trajectory]:
    return [
        Trajectory.from_messages(
            [*(task.prompt or []), {"role": "assistant", "content": text}], task=task, group=task.id
        )
        for text in texts
    ]


def verify_rm(seed: int = 0) -> VerifyRM:
    return VerifyRM.make(PieceEncoder(DIGITS, [*DIGITS, "=", "~"], hidden=(16,), seed=seed))


def co_trained(**options: Any) -> CoTrained:
    given = {"model": verify_rm().model, "rule": exact, "corruptor": "number", "precision": 1.0, "learning_rate": 1e-2}
    return CoTrained(**{**given, **options})


# ---- pairs ------------------------------------------------------------------------------------------------------------------


def test_the_first_accepted_answer_of_each_group_is_paired_with_a_corrupted_copy() -> None:
    first, second, third = tasks(3)
    batch = [*group(first, "~0", "=0", "= 0"), *group(second, "=5", "=2"), *group(third, "=2", "=2")]
    pairs, asked = co_trained().pairs(batch)
    assert asked == 3
    assert [positive.completion for positive, _ in pairs] == ["=0", "=2"]  # nothing in the second group is right
    for positive, negative in pairs:
        assert negative.completion[0] == "="
        assert negative.completion[1:] in DIGITS
        assert negative.completion != positive.completion
        assert negative.reference == positive.reference
    again, _ = co_trained().pairs(batch)
    assert [one.completion for _, one in again] == [one.completion for _, one in pairs]


def proposals(*texts: Any) -> Any:
    waiting = list(texts)

    def propose(wanted: Corruption) -> str | None:
        found = waiting.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    return propose


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["=3"], "=3"),
        (["", "=0", "=4"], "=4"),  # empty, then identical
        ([None, RuntimeError("the service is down"), "=4"], "=4"),
        (["~7", "~8", "~9"], None),  # what the rule cannot read is not known to be wrong
        (["=0", "=0", "=0"], None),
    ],
)
def test_a_proposal_counts_only_where_the_rule_can_read_and_refuses_it(texts: list[Any], expected: str | None) -> None:
    reward = co_trained(corruptor=proposals(*texts))
    (positive,) = group(tasks(1)[0], "=0")
    found = reward.corrupted(Corruption(positive=positive, siblings=[], attempt=0, seed=0))
    assert (None if found is None else found.completion) == expected


# ---- learning ---------------------------------------------------------------------------------------------------------------


def pair(task: Task) -> Pair:
    right, wrong = group(task, f"={task.reference}", f"={(int(task.reference) + 1) % 10}")
    return right, wrong


def test_the_loss_of_the_pairs_and_its_step_are_the_plain_ones() -> None:
    reward, pairs = co_trained(learning_rate=1e-2, passes=1), [pair(task) for task in tasks(3)]
    network = reward.model.network
    before = reward.model([one for both in pairs for one in both]).values
    expected = float(np.mean([np.log1p(np.exp(-(before[2 * row] - before[2 * row + 1]))) for row in range(3)]))
    parameters = [one.detach().clone() for one in network.parameters()]
    measured = reward.update(pairs)
    assert measured["loss"] == pytest.approx(expected, rel=1e-5)
    assert measured["positive"] == pytest.approx(float(np.mean(1 / (1 + np.exp(-before[0::2])))), rel=1e-5)
    assert measured["skipped"] == 0
    moved = max(
        float((one.detach() - old).abs().max()) for one, old in zip(network.parameters(), parameters, strict=True)
    )
    assert moved == pytest.approx(1e-2, rel=1e-2)  # the first step of Adam has the size of the rate
    for _ in range(30):
        reward.update(pairs)
    after = reward.model([one for both in pairs for one in both]).values
    assert (after[0::2] - after[1::2]).min() > 1.0
    assert network.training  # as it was found


def test_nothing_is_learned_without_pairs_and_there_is_a_warning() -> None:
    reward = co_trained()
    batch = group(tasks(1)[0], "=5", "~0")
    before = [one.detach().clone() for one in reward.model.network.parameters()]
    with pytest.warns(UserWarning, match=r"only 0 of 1 questions gave a pair to learn from \(less than 20%\)"):
        reward.observe(batch, reward(batch))
    assert reward.history == [{"step": 1.0, "groups": 1.0, "pairs": 0.0, "valid": 0.0, "skipped": 1.0}]
    assert all(torch.equal(one, old) for one, old in zip(reward.model.network.parameters(), before, strict=True))


def test_an_update_that_is_not_finite_is_skipped() -> None:
    reward = co_trained()
    with torch.no_grad():
        reward.model.network.head.linear.weight.fill_(math.inf)  # type: ignore[union-attr]
    before = reward.model.network.encoder.inner.layers[0].weight.detach().clone()  # type: ignore[union-attr,index]
    measured = reward.update([pair(tasks(1)[0])])
    assert measured["skipped"] == 1.0
    assert torch.equal(reward.model.network.encoder.inner.layers[0].weight, before)  # type: ignore[union-attr,index]


def test_replay_holds_the_probabilities_where_they_were() -> None:
    from rewardlab.recipes.cooper.verify import as_ratings

    rows = [
        {"question": "q", "reference": "1", "completion": text, "label": label}
        for text, label in (("=1", 1), ("=2", 0))
    ]
    with pytest.raises(ValueError, match="option 'replay' needs 'replay_data'"):
        co_trained(replay=1.0)
    reward = co_trained(replay=5.0, replay_data=as_ratings(rows), passes=50)
    reward.update([pair(tasks(2)[1])])
    values = reward(as_ratings(rows).items).values
    assert values[0] > 0.6
    assert values[1] < 0.4


def test_every_other_step_and_values_that_are_hard() -> None:
    reward = co_trained(every=2, hard=True)
    batch = group(tasks(1)[0], "=0", "=1")
    assert set(reward(batch).values.tolist()) <= {0.0, 1.0}
    for _ in range(4):
        reward.observe(batch, reward(batch))
    assert [line["step"] for line in reward.history] == [2.0, 4.0]
    assert not reward.deterministic


def test_the_rule_has_to_be_vouched_for() -> None:
    with pytest.raises(ValueError, match="nobody knows how far the rule can be trusted; give option 'precision'"):
        co_trained(precision=None)
    with pytest.warns(UserWarning, match=r"the rule's precision is 0.8, below 0.9: 20% of the answers"):
        co_trained(precision=0.8)
    task = tasks(1)[0]
    audited = group(task, "=0", "=0", "~0")
    with pytest.warns(UserWarning, match=r"the rule's precision is 0.5"):
        reward = co_trained(precision=None, audit=(audited, [1, 0, 1]))
    assert reward.measured_precision == 0.5
    with pytest.raises(ValueError, match="the rule accepts none of the 1 answers with gold labels"):
        co_trained(precision=None, audit=(group(task, "~0"), [1]))
    with pytest.raises(ValueError, match=r"option 'precision' must be in \(0, 1\], got 1.2"):
        co_trained(precision=1.2)
    with pytest.raises(ValueError, match="option 'tries' must be at least 1, got 0"):
        co_trained(tries=0)


# ---- in the loop ------------------------------------------------------------------------------------------------------------


class Watched(CoTrained):
    """Notes when it scores and when it learns."""


def run(reward: Any, output: Path | None, steps: int, policy: Any = None, callbacks: Any = ()) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return train(
            policy or table_policy(["=", "~", *DIGITS, *(f"<q{number}>" for number in range(4))], context=6),
            SingleTurn,
            reward,
            tasks(),
            steps=steps,
            group_size=16,
            tasks_per_step=4,
            objective={"type": "grpo", "learning_rate": 0.2},
            sampling=Sampling(max_new_tokens=2),
            output=output,
            trackers=(),
            callbacks=callbacks,
        )


def test_the_policy_is_updated_before_the_model_of_the_same_step() -> None:
    order: list[str] = []
    reward = co_trained()
    policy = table_policy(["=", "~", *DIGITS, *(f"<q{number}>" for number in range(4))], context=6)
    policy.model.by_first.weight.register_hook(lambda gradient: order.append("policy"))
    head = reward.model.network.head.linear.weight  # type: ignore[union-attr]
    head.register_hook(lambda gradient: order.append("model"))
    run(reward, None, steps=3, policy=policy)
    assert order[0] == "policy"
    assert "model" in order
    assert all(first != second for first, second in pairwise(order) if "model" in (first, second))


def test_a_training_that_was_stopped_goes_on_with_the_same_model(tmp_path: Path) -> None:
    whole = co_trained()
    expected = run(whole, tmp_path / "whole", steps=4)
    stopped = co_trained()
    run(stopped, tmp_path / "parts", steps=4, callbacks=[lambda report: report.step == 2])
    resumed = co_trained()
    found = run(resumed, tmp_path / "parts", steps=4)
    rewards = [[line["reward/mean"] for line in one.metrics] for one in (expected, found)]
    assert rewards[0] == rewards[1]
    assert resumed.history == whole.history
    for one, other in zip(whole.model.network.parameters(), resumed.model.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_monitor_sees_the_gap_and_stops_the_training() -> None:
    @rl.reward
    def flattering(completion: str) -> float:
        return 0.9

    @rl.reward
    def truth(completion: str, reference: str) -> float:
        return float(completion == f"={reference}")

    monitor = HackingMonitor(
        tasks=tasks(), environment=SingleTurn, learned=flattering, trusted=truth, every=2, most=0.5,
        group_size=4, sampling=Sampling(max_new_tokens=2),
    )  # fmt: skip
    done = run(flattering, None, steps=6, callbacks=[monitor])
    assert done.steps == 2
    (row,) = monitor.rows
    assert row["gap"] == pytest.approx(0.9 - row["trusted"])
    assert row["brier"] == pytest.approx(0.81 - 0.8 * row["trusted"])
    assert row["calibration_error"] == pytest.approx(abs(row["gap"]))
    with pytest.raises(ValueError, match="a monitor needs held-out tasks"):
        HackingMonitor(tasks=[], environment=SingleTurn, learned=truth, trusted=truth)


# ---- corruptors -------------------------------------------------------------------------------------------------------------


def wanted(text: str, *siblings: str, attempt: int = 0, seed: int = 0) -> Corruption:
    task = tasks(1)[0]
    return Corruption(positive=group(task, text)[0], siblings=group(task, *siblings), attempt=attempt, seed=seed)


def test_templates_change_the_last_number_an_operator_or_the_end() -> None:
    corrupt = TemplateCorruptor()
    text = "2 + 3 = 5, so the answer is 125"
    for seed in range(10):
        edited = corrupt(wanted(text, seed=seed))
        assert edited is not None
        assert edited.startswith("2 + 3 = 5, so the answer is ")
        assert edited != text
    assert corrupt(wanted(text, attempt=1)) == "2 - 3 = 5, so the answer is 125"
    shorter = corrupt(wanted(text, attempt=2))
    assert shorter is not None
    assert text.startswith(shorter)
    assert corrupt(wanted("no numbers here")) is None
    assert TemplateCorruptor(edits=("number",))(wanted("x=1.50")) in {f"x={1.5 + step:.2f}" for step in range(1, 10)}
    with pytest.raises(ValueError, match="edits must name some of number, operator and truncate"):
        TemplateCorruptor(edits=("numbers",))  # type: ignore[arg-type]


def test_a_sibling_is_used_where_the_second_check_refuses_it_too() -> None:
    @rl.reward
    def judge(completion: str) -> float | None:
        return None if completion == "?" else float(completion == "~0")

    corrupt = SiblingCorruptor(check=judge)
    assert corrupt(wanted("=0", "~0", "=3", "?")) == "=3"  # "~0" is right in a format that a rule may not read
    assert corrupt(wanted("=0", "~0", "?")) is None
    assert corrupt(wanted("=0")) is None


def test_a_model_is_asked_and_several_at_once() -> None:
    asked: list[str] = []

    def ask(messages: list[dict[str, Any]]) -> str:
        asked.append(messages[0]["content"])
        return "=9"

    reward = co_trained(corruptor=ModelCorruptor(ask=ask, concurrency=4))
    batch = [one for task in tasks(3) for one in group(task, f"={task.reference}")]
    pairs, _ = reward.pairs(batch)
    assert [negative.completion for _, negative in pairs] == ["=9"] * 3
    assert "<problem>\n<q0>\n</problem>" in "".join(asked)
    assert "<solution>\n=0\n</solution>" in "".join(asked)


def test_unknown_corruptors() -> None:
    with pytest.raises(SpecError, match="unknown corruptor 'templte'; did you mean 'template'"):
        make_corruptor("templte")
    with pytest.raises(SpecError, match="a corruptor is a function from a Corruption to a text, got a int"):
        make_corruptor(3)


def test_scores_of_a_batch_with_a_missing_reference() -> None:
    bare = Trajectory.from_text("<q0>", "=0")
    scores = co_trained()([bare, *group(tasks(1)[0], "=0")])
    assert scores.status.tolist() == [Status.FAILED, Status.SCORED]
    assert "needs one: a text, a number, or a list of acceptable ones" in str(scores.note(0))
