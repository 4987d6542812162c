from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.learning.data import PreferenceData  # noqa: E402
from rewardlab.learning.hedge import adapt, hedge_targets, reweight  # noqa: E402
from rewardlab.learning.losses import BradleyTerryLoss, make_loss  # noqa: E402
from rewardlab.learning.mixture import (  # noqa: E402
    MixtureLikelihood,
    fit_mixture,
    head_report,
    mixture_nll,
    mixture_probability,
    select_k,
)
from rewardlab.learning.rows import PairRows  # noqa: E402
from rewardlab.rewards.models import RewardModel  # noqa: E402
from rewardlab.rewards.models.base import Context, Encoded  # noqa: E402
from rewardlab.rewards.models.encoders.prompted import prompted  # noqa: E402
from rewardlab.rewards.models.heads.mixture import MixtureHead  # noqa: E402

SPEC = {"type": "prompt_response", "prompt": 3, "response": 4}


def _pairs(count: int = 40, *, seed: int = 0, wishes: int = 2) -> PreferenceData:
    """Comparisons by annotators of whom each wants one coordinate of a response to be large."""
    draw = np.random.default_rng(seed)
    responses = draw.normal(size=(2, count, 4))
    who = np.arange(count) % wishes
    label = (responses[0, np.arange(count), who] > responses[1, np.arange(count), who]).astype(float)
    prompts = draw.normal(size=(count, 3))
    items = prompted(np.concatenate([prompts, prompts]), responses.reshape(-1, 4))
    names = [f"wish_{place}" for place in who]
    return PreferenceData(
        items=items, first=np.arange(count), second=np.arange(count) + count, label=label, annotators=names
    )


def _model(heads: int = 2, **options: Any) -> RewardModel:
    return RewardModel.make(SPEC, {"type": "mixture", "heads": heads, "prompt_width": 3, "router_hidden": 4, **options})


def _split_model() -> RewardModel:
    """Two heads, of which each is one of the wishes."""
    model = _model()
    with torch.no_grad():
        model.network.head.linear.weight.copy_(torch.tensor([[5.0, 0, 0, 0], [0, 5.0, 0, 0]]))
    return model


def _rows(head: MixtureHead, rows: int = 6) -> tuple[Any, PairRows]:
    draw = torch.Generator().manual_seed(3)
    prompt = torch.randn(rows // 2, 3, generator=draw, dtype=torch.float64).repeat(2, 1)
    outputs = head(Encoded(response=torch.randn(rows, 4, generator=draw, dtype=torch.float64), prompt=prompt))
    half = torch.arange(rows // 2)
    return outputs, PairRows(
        first=half, second=half + rows // 2, label=torch.tensor([1.0, 0.0, 0.7], dtype=torch.float64)
    )


def test_the_likelihood_and_its_penalties_by_hand() -> None:
    head = MixtureHead(4, heads=3, prompt_width=3, router_hidden=4).double()
    outputs, rows = _rows(head)
    weights = head.log_weights(outputs).exp().detach().numpy()[:3]
    margins = (outputs["heads"][:3] - outputs["heads"][3:]).detach().numpy()
    chance = (weights / (1 + np.exp(-margins))).sum(1)
    label = rows.label.numpy()
    plain = -label * np.log(chance) - (1 - label) * np.log(1 - chance)
    vectors = head.linear.weight.detach().numpy()
    mean = weights.mean(0)
    products = [abs(vectors[i] @ vectors[j]) for i, j in itertools.permutations(range(3), 2)]
    expected = {
        "plain": (MixtureLikelihood(entropy=0), plain),
        "entropy": (MixtureLikelihood(entropy=0.5), plain + 0.5 * (weights * np.log(weights)).sum(1)),
        "batch": (MixtureLikelihood(entropy=0, batch_entropy=2.0), plain + 2 * (mean * np.log(mean)).sum()),
        "orthogonality": (MixtureLikelihood(entropy=0, orthogonality=3.0), plain + 3 * np.mean(products)),
        "norm": (
            MixtureLikelihood(entropy=0, unit_norm=0.3),
            plain + 0.3 * np.mean((np.linalg.norm(vectors, axis=1) - 1) ** 2),
        ),
    }
    for name, (loss, by_hand) in expected.items():
        np.testing.assert_allclose(loss(head, outputs, rows).detach().numpy(), by_hand, rtol=1e-9, err_msg=name)
    mean_margin = (weights * margins).sum(1)
    gated = np.logaddexp(0, -mean_margin) * label + np.logaddexp(0, mean_margin) * (1 - label)
    np.testing.assert_allclose(
        MixtureLikelihood(entropy=0, mixed="rewards")(head, outputs, rows).detach().numpy(), gated, rtol=1e-9
    )


def test_the_gradient_is_that_of_responsibilities() -> None:
    """d(-log sum_k f_k s_k)/d margin_k = -responsibility_k (1 - s_k), with responsibilities of expectation maximisation."""
    head = MixtureHead(4, heads=3, prompt_width=3, router_hidden=4).double()
    encoded = Encoded(response=torch.randn(2, 4).double(), prompt=torch.randn(1, 3).double().repeat(2, 1))
    outputs = {name: one.detach() for name, one in head(encoded).items()}
    outputs["heads"].requires_grad_(True)
    rows = PairRows(first=torch.tensor([0]), second=torch.tensor([1]), label=torch.ones(1).double())
    MixtureLikelihood(entropy=0)(head, outputs, rows).sum().backward()
    chance = torch.sigmoid(outputs["heads"][0] - outputs["heads"][1]).detach()
    weights = head.log_weights(outputs).exp()[0].detach()
    responsibility = weights * chance / (weights * chance).sum()
    torch.testing.assert_close(outputs["heads"].grad[0], -responsibility * (1 - chance))
    torch.testing.assert_close(hedge_targets(weights.log()[None], -chance.log()[None], 1.0)[0], responsibility)


def test_one_head_equals_bradley_terry() -> None:
    head = MixtureHead(4, heads=1, router="static").double()
    outputs, rows = _rows(head)
    torch.testing.assert_close(
        MixtureLikelihood(entropy=0.5)(head, outputs, rows), BradleyTerryLoss()(head, outputs, rows), rtol=1e-9, atol=0
    )


def test_losses_have_names_and_refuse_other_heads() -> None:
    assert make_loss({"type": "mixture_likelihood", "entropy": 0.1}) == MixtureLikelihood(entropy=0.1)
    with pytest.raises(ValueError, match="mixed must be 'probabilities' or 'rewards', got 'both'"):
        MixtureLikelihood(mixed="both")  # type: ignore[arg-type]
    scalar = RewardModel.make(SPEC).network.head
    for name in ("mixture_likelihood", "per_head"):
        with pytest.raises(TypeError, match="for mixture heads, got a scalar head; use bradley_terry"):
            make_loss(name)(scalar, {}, None)


def test_hedge_targets_minimise_what_they_should() -> None:
    draw = np.random.default_rng(0)
    weights, losses, tau = draw.dirichlet(np.ones(4)), draw.random(4), 0.3
    best = hedge_targets(torch.tensor(np.log(weights))[None], torch.tensor(losses)[None], tau)[0].numpy()

    def objective(w: np.ndarray) -> float:
        return float(w @ losses + tau * (w * np.log(w / weights)).sum())

    assert all(objective(best) <= objective(other) + 1e-12 for other in draw.dirichlet(np.ones(4), size=200))
    with pytest.raises(ValueError, match="tau must be positive, got 0"):
        hedge_targets(torch.zeros(1, 2), torch.zeros(1, 2), 0.0)


def test_hedge_finds_the_head_of_each_context_and_leaves_the_rest_alone() -> None:
    model = _split_model()
    before = model.network.head.log_weights(model.outputs(_pairs().items))
    made = adapt(model, _pairs(), tau=0.3, steps=60)
    head = made.model.network.head
    assert made.contexts == ("wish_0", "wish_1")
    assert made.losses[-1] < made.losses[0]
    outputs = made.model.outputs(_pairs().items)
    for place in (0, 1):
        context = Context(users=torch.full((len(outputs["heads"]),), place))
        assert float(head.log_weights(outputs, context)[:, place].exp().mean().detach()) > 0.9
    torch.testing.assert_close(head.log_weights(outputs), before, rtol=0, atol=0)  # without a context, as before
    assert model.network.head.users == []
    first, second = [_pairs().items[row] for row in (0, 1)], [_pairs().items[row + 40] for row in (0, 1)]
    asked = RewardModel.around(made.model.network, user="wish_0")
    assert ((mixture_probability(asked, first, second)[0] > 0.5) == (_pairs().label[0] > 0.5)).all()
    with pytest.warns(UserWarning, match="not adapted to the context 'wish_7'"):
        stranger = mixture_probability(RewardModel.around(made.model.network, user="wish_7"), first, second)
    np.testing.assert_array_equal(stranger, mixture_probability(made.model, first, second))


def test_rows_without_a_context_are_left_out() -> None:
    pairs = _pairs()
    pairs.annotators = [None if row > 3 else who for row, who in enumerate(pairs.annotators or [])]
    made = adapt(_split_model(), pairs, steps=2)
    assert made.model.network.about["adapted"]["pairs"] == 4


def test_all_of_the_router_learns_where_the_context_is_in_the_prompt() -> None:
    model = _split_model()
    made = adapt(model, _pairs(), steps=3, context_in_prompt=True).model
    outputs = made.outputs(_pairs().items)
    assert not torch.equal(made.network.head.log_weights(outputs), model.network.head.log_weights(outputs))
    before = {name: one for name, one in model.network.head.state_dict().items() if name.startswith("router")}
    for name, one in before.items():
        torch.testing.assert_close(made.network.head.state_dict()[name], one, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"tau": 0.0}, "tau must be positive, got 0.0"),
        ({"rows": []}, {}, "no pairs to adapt to"),
        ({"annotators": None}, {}, "no pair names its context.*context_in_prompt=True"),
        ({"router": "static"}, {}, "router='static' reads no prompt"),
        ({}, {"train": "heads"}, "train must be 'context' or 'router', got 'heads'"),
        ({}, {"train": "context", "context_in_prompt": True}, "use train='router'"),
    ],
)
def test_what_cannot_be_adapted(change: dict[str, Any], options: dict[str, Any], message: str) -> None:
    pairs = _pairs(8)
    if "rows" in change:
        pairs = pairs.select(np.array(change["rows"], dtype=np.int64))
    if "annotators" in change:
        pairs.annotators = None
    with pytest.raises(ValueError, match=message):
        adapt(_model(router=change.get("router", "prompt")), pairs, **options)
    with pytest.raises(ValueError, match="expected a model with a mixture head, got a scalar head"):
        adapt(RewardModel.make(SPEC), _pairs(8))


def test_reweighting_is_marked() -> None:
    own = _pairs().select(np.arange(0, 40, 2))
    with pytest.warns(UserWarning, match="fixed by the labels of 20 pairs; do not compare"):
        made = reweight(_split_model(), own)
    head = made.network.head
    assert head.reweighted == 20
    assert made.network.about["reweighted"] == 20
    weights = head.log_weights(made.outputs(own.items)).exp()
    assert float(weights[:, 0].min()) > 0.99
    with pytest.raises(ValueError, match="no pairs to weigh the heads by"):
        reweight(_split_model(), own.select(np.array([], dtype=np.int64)))
    with pytest.raises(ValueError, match="temperature must be positive, got -1"):
        reweight(_split_model(), own, temperature=-1.0)


def test_the_report_counts_heads_against_attributes() -> None:
    report = head_report(_split_model(), _pairs())
    assert report.attributes == ("wish_0", "wish_1")
    assert report.accuracy[0, 0] == report.accuracy[1, 1] == report.best_accuracy == 1.0
    assert report.best.tolist() == [0, 1]
    assert report.problems == ()
    assert "wish_0" in str(report)
    with pytest.raises(ValueError, match="one attribute per comparison, got 1 for 40"):
        head_report(_split_model(), _pairs(), ["one"])
    with pytest.raises(ValueError, match="no comparisons to report on"):
        head_report(_split_model(), _pairs().select(np.array([], dtype=np.int64)))


def test_collapses_are_named_with_the_option_to_change() -> None:
    model = _split_model()
    with torch.no_grad():
        model.network.head.linear.weight[1] = model.network.head.linear.weight[0]
        model.network.head.router.second.bias.copy_(torch.tensor([20.0, 0.0]))
    with pytest.warns(UserWarning, match="all heads|the router") as caught:
        report = head_report(model, _pairs())
    assert len(caught) == len(report.problems) == 2
    assert "all heads give the same reward" in report.problems[0]
    assert "orthogonality=" in report.problems[0]
    assert "gives head 0 more than 0.99" in report.problems[1]
    assert "entropy=" in report.problems[1]
    assert report.dead == (1,)


def test_a_fit_needs_no_annotators_and_warns_of_a_single_one() -> None:
    pairs = _pairs(64)
    options: dict[str, Any] = {"heads": 2, "head": {"prompt_width": 3}, "steps": 3}
    with_names = fit_mixture(SPEC, pairs, **options).model
    pairs.annotators = None
    without = fit_mixture(SPEC, pairs, **options).model
    np.testing.assert_array_equal(with_names(pairs.items).values, without(pairs.items).values)
    pairs.annotators = ["anna"] * 64
    with pytest.warns(UserWarning, match="a single annotator, 'anna'.*use heads=1"):
        fit_mixture(SPEC, pairs, **options)


def test_the_smallest_number_of_heads_within_an_error_of_the_best_is_taken() -> None:
    held_out = _pairs(200)

    def make(heads: int) -> RewardModel:
        model = _model(heads)
        with torch.no_grad():  # the second head is what is missing with one; more than two add nothing
            model.network.head.linear.weight.zero_()
            for place in range(heads):
                model.network.head.linear.weight[place, place % 2] = 1.0
        return model

    chosen = select_k(make, held_out, [4, 1, 2])
    assert chosen.best == 2
    assert list(chosen.losses) == [1, 2, 4]
    assert mixture_nll(chosen.models[4], held_out) == pytest.approx(chosen.losses[4], rel=1e-5)
    with pytest.raises(ValueError, match="at least one candidate"):
        select_k(make, held_out, [])


def test_texts_are_routed_by_their_prompts() -> None:
    from rewardlab.recipes.pieces import piece_policy
    from rewardlab.rewards.models.encoders.text import TextEncoder
    from rewardlab.types import Preference

    tiny = piece_policy(["ask", "tell", " ", "long", "short"], hidden=16, layers=1, heads=2, seed=1)
    items = [[{"role": "user", "content": asked}, {"role": "assistant", "content": said}] for asked in ("ask", "tell") for said in ("long", "short")]  # fmt: skip
    pairs = PreferenceData.from_preferences(
        [
            Preference(chosen=items[0], rejected=items[1], annotator="one"),
            Preference(chosen=items[3], rejected=items[2], annotator="other"),
        ]
    )
    model = fit_mixture(TextEncoder(model=tiny.model, tokenizer=tiny.tokenizer), pairs, heads=2, steps=3).model
    weights = model.network.head.log_weights(model.outputs(pairs.items)).exp()
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.allclose(weights[0], weights[2])
    made = adapt(model, pairs, steps=3).model
    assert np.isfinite(RewardModel.around(made.network, user="other")(pairs.items).values).all()
