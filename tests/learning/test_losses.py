"""Losses by name, through heads: they read rows, go through the head's own comparison, and refuse what does not fit."""

from __future__ import annotations

import math

import pytest
import torch

from rewardlab.functional import bradley_terry, info_nce, ordinal, plackett_luce, step_soft
from rewardlab.learning import (
    LOSSES,
    BradleyTerryLoss,
    OrdinalLoss,
    PairRows,
    RankRows,
    RatingRows,
    StepRows,
    make_loss,
)
from rewardlab.registry import SpecError
from rewardlab.rewards.models.base import Context, Encoded, Head, NoScalarValue

VALUES = torch.tensor([1.0, -0.5, 2.0, 0.25], requires_grad=True)
OUTPUTS = {"value": VALUES}
PAIRS = PairRows(
    torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.5, 0.0]), torch.tensor([2.0, math.nan, 0.5])
)


class Plain(Head):
    """A value with nothing learned, parts, and step values."""

    kind = "plain"

    def forward(self, encoded: Encoded):
        return {"value": encoded.response[:, 0]}

    def value(self, outputs, context=None):
        shift = 0.0 if context is None else context.users.float()
        return outputs["value"] + shift

    def parts(self, outputs):
        return {"helpful": outputs["value"], "short": -outputs["value"]}

    def step_values(self, outputs):
        return (outputs["steps"], outputs["stands"]) if "steps" in outputs else None

    def options(self):
        return {}


class OnlyCompares(Plain):
    """Says three times the difference, and gives no values."""

    def value(self, outputs, context=None):
        raise NoScalarValue("this head only compares")

    def preference(self, first, second, context=None):
        return 3 * (first["value"] - second["value"])


HEAD = Plain()


def gaps() -> torch.Tensor:
    return VALUES[PAIRS.first] - VALUES[PAIRS.second]


def test_every_loss_can_be_named_and_reads_one_kind() -> None:
    reads = {name: LOSSES.resolve(name).reads for name in LOSSES}
    assert set(reads.values()) == {"preferences", "rankings", "ratings", "steps"}
    assert [name for name, kind in reads.items() if kind == "rankings"] == ["plackett_luce"]
    assert [name for name, kind in reads.items() if kind == "steps"] == ["process"]
    assert {name for name, kind in reads.items() if kind == "ratings"} == {"correctness", "ordinal", "regression"}


def test_losses_for_pairs_go_through_the_heads_own_comparison() -> None:
    for name in ("bradley_terry", "mixture", "general_preference"):
        found = make_loss(name)(OnlyCompares(), OUTPUTS, PAIRS)
        assert torch.allclose(found, bradley_terry(3 * gaps(), PAIRS.label))
    drawn = make_loss({"type": "general_preference", "form": "regression", "target": 1.0})(
        OnlyCompares(), OUTPUTS, PAIRS
    )
    assert torch.allclose(drawn, (3 * gaps() - (2 * PAIRS.label - 1)) ** 2 / 2)


def test_margin_smoothing_and_centring() -> None:
    loss = BradleyTerryLoss(margin="strength", margin_scale=0.5, margin_limit=1.0, smoothing=0.1, centring=0.01)
    margin = torch.tensor([0.5, 0.0, 0.25])  # 2 is limited to 1, and nobody said how strong the second is
    expected = bradley_terry(gaps(), PAIRS.label, margin=margin, smoothing=0.1)
    both = VALUES[PAIRS.first] + VALUES[PAIRS.second]
    assert torch.allclose(loss(HEAD, OUTPUTS, PAIRS), expected + 0.01 * both**2)


def test_users_reach_the_head() -> None:
    context = Context(users=torch.tensor([0, 1, 2]))
    rows = RankRows(torch.tensor([[0, 1, -1], [2, 3, 0], [1, 3, -1]]), context=context)
    found = make_loss({"type": "plackett_luce", "mean": False})(HEAD, OUTPUTS, rows)
    assert torch.allclose(found[1], plackett_luce(VALUES[None, [2, 3, 0]])[0])  # a shift of all leaves it as it was
    rated = RatingRows(torch.tensor([0, 1, 2]), torch.zeros(3), context=context)
    assert make_loss("regression")(HEAD, OUTPUTS, rated).tolist() == pytest.approx([0.5, 0.125, 8.0])


def test_rankings_of_different_lengths() -> None:
    rows = RankRows(torch.tensor([[2, 0, 1], [3, 1, -1]]), torch.tensor([[False, True], [False, False]]))
    found = make_loss("plackett_luce")(HEAD, OUTPUTS, rows)
    assert found[0].item() == pytest.approx(
        plackett_luce(VALUES[None, [2, 0, 1]], ties=torch.tensor([[False, True]])).item() / 2
    )
    assert found[1].item() == pytest.approx(bradley_terry(VALUES[3:4] - VALUES[1:2]).item())
    best = make_loss({"type": "plackett_luce", "top": 1})(HEAD, OUTPUTS, rows)
    assert best[0].item() == pytest.approx(-torch.log_softmax(VALUES[[2, 0, 1]], 0)[0].item())


def test_ratings_of_aspects_are_compared_with_the_parts_of_that_name() -> None:
    rows = RatingRows(torch.tensor([0, 0]), torch.tensor([1.0, 1.0]), torch.tensor([1, 0]), ("short", "helpful"))
    assert make_loss("regression")(HEAD, OUTPUTS, rows).tolist() == [0.0, 2.0]
    lost = RatingRows(torch.tensor([0]), torch.tensor([1.0]), torch.tensor([0]), ("clear",))
    with pytest.raises(ValueError, match="aspect 'clear', but the head has the parts helpful, short"):
        make_loss("regression")(HEAD, OUTPUTS, lost)


def test_ordinal_thresholds_come_from_frequencies() -> None:
    loss = OrdinalLoss.for_ratings([1, 1, 2, 2, 3, 3, 3, 3])
    assert loss.lowest == 1
    assert torch.sigmoid(torch.tensor(loss.thresholds)).tolist() == pytest.approx([2.5 / 9.5, 5 / 9.5])
    rows = RatingRows(torch.tensor([0, 1]), torch.tensor([3.0, 1.0]))
    expected = ordinal(VALUES[:2], torch.tensor([2, 0]), torch.tensor(loss.thresholds))
    assert torch.allclose(loss(HEAD, OUTPUTS, rows), expected)
    with pytest.raises(ValueError, match="must be whole numbers"):
        loss(HEAD, OUTPUTS, RatingRows(torch.tensor([0]), torch.tensor([1.5])))
    with pytest.raises(ValueError, match="all ratings are 2, so there is nothing to learn"):
        OrdinalLoss.for_ratings([2, 2])


def test_step_labels_of_other_widths() -> None:
    outputs = {
        "steps": torch.tensor([[1.0, -1.0, 0.0], [2.0, 0.0, 0.0]]),
        "stands": torch.tensor([[True, True, True], [True, False, False]]),
    }
    rows = StepRows(torch.tensor([1, 0]), torch.tensor([[1.0, math.nan], [1.0, 0.0]]))
    found = make_loss("process")(HEAD, outputs, rows)
    expected = step_soft(torch.tensor([[2.0, 0.0], [1.0, -1.0]]), rows.labels)
    assert torch.allclose(found, expected)
    late = StepRows(torch.tensor([0]), torch.tensor([[0.0, 1.0, 1.0]]))
    stopped = make_loss({"type": "process", "until_first_error": True})(HEAD, outputs, late)
    assert stopped.item() == pytest.approx(math.log(1 + math.e))
    with pytest.raises(ValueError, match="row 0 has 2 step labels, but the encoder found 1 steps"):
        make_loss("process")(HEAD, outputs, StepRows(torch.tensor([1]), torch.tensor([[1.0, 0.0]])))
    with pytest.raises(TypeError, match="a plain head gives no values to single steps"):
        make_loss("process")(HEAD, OUTPUTS, rows)


def test_the_contrastive_addition() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 4, 3, generator=generator)
    outputs = {**OUTPUTS, "features": one, "second_view": other}
    loss = make_loss({"type": "contrastive", "base": {"type": "hinge"}, "weight": 0.5, "temperature": 0.2})
    assert loss.needs_views
    assert not make_loss("hinge").needs_views
    apart = info_nce(one[:3], other[:3], temperature=0.2)  # the fourth item is in no pair
    expected = make_loss("hinge")(HEAD, OUTPUTS, PAIRS) + 0.25 * (apart[PAIRS.first] + apart[PAIRS.second])
    assert torch.allclose(loss(HEAD, outputs, PAIRS), expected)
    both_ways = make_loss({"type": "contrastive", "on": "difference"})(HEAD, outputs, PAIRS)
    assert both_ways.shape == (3,)
    with pytest.raises(ValueError, match="needs features and second_view among the outputs"):
        loss(HEAD, OUTPUTS, PAIRS)
    with pytest.raises(ValueError, match="both views are equal.*dropout above 0"):
        loss(HEAD, {**outputs, "second_view": one}, PAIRS)
    with pytest.raises(SpecError, match="needs a loss for preferences, got one for ratings"):
        make_loss({"type": "contrastive", "base": "regression"})


def test_rows_can_be_cut_and_moved() -> None:
    rows = PairRows(PAIRS.first, PAIRS.second, PAIRS.label, context=Context(users=torch.tensor([0, 1, 2])))
    some = rows.select(torch.tensor([2, 0])).to("cpu")
    assert len(some) == 2
    assert some.first.tolist() == [2, 0]
    assert some.context.users.tolist() == [2, 0]
    assert some.strength is None
    named = RatingRows(torch.tensor([0, 1]), torch.ones(2), torch.tensor([0, 1]), ("a", "b")).select(torch.tensor([1]))
    assert named.names == ("a", "b")


def test_bad_input_is_named() -> None:
    with pytest.raises(SpecError, match="unknown loss 'bradley_tery'; did you mean 'bradley_terry'"):
        make_loss("bradley_tery")
    with pytest.raises(SpecError, match="smoothing"):
        make_loss({"type": "bradley_terry", "smoothing": 2})
    with pytest.raises(SpecError, match='a number or "strength"'):
        make_loss({"type": "bradley_terry", "margin": "votes"})
    with pytest.raises(SpecError, match="'smoothness'"):
        make_loss({"type": "bradley_terry", "smoothness": 0.1})
    with pytest.raises(ValueError, match="needs comparisons with a strength, and these have none"):
        BradleyTerryLoss(margin="strength")(HEAD, OUTPUTS, PairRows(PAIRS.first, PAIRS.second, PAIRS.label))
    with pytest.raises(TypeError, match="RegressionLoss reads ratings, as RatingRows; got PairRows; the usual loss"):
        make_loss("regression")(HEAD, OUTPUTS, PAIRS)
    with pytest.raises(SpecError, match="thresholds must rise"):
        OrdinalLoss(thresholds=(1.0, 0.0))
