from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.learning.contrastive import ContrastiveAux, swav  # noqa: E402
from rewardlab.learning.data import PreferenceData, as_trajectory  # noqa: E402
from rewardlab.learning.meta_reward import MetaRewardTrainer, meta_step, spread  # noqa: E402
from rewardlab.learning.rows import PairRows  # noqa: E402
from rewardlab.rewards.models import RewardModel  # noqa: E402


def test_spread_by_hand() -> None:
    values = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    expected = 2 / 9 * sum(1 / (1 + np.exp(-gap)) for gap in (1.0, 3.0, 2.0))
    assert float(spread(values)) == pytest.approx(expected)
    assert float(spread(torch.zeros(2, 4))) == pytest.approx(3 / 8)
    with pytest.raises(ValueError, match=r"at least 2 samples.*\(3, 1\)"):
        spread(torch.zeros(3, 1))


def test_a_step_equals_the_five_lines_of_the_paper() -> None:
    """On a linear model with one pair and two samples, all derivatives by hand."""
    first, second = np.array([1.0, 0.5]), np.array([0.2, -0.4])
    a, b = np.array([0.3, 1.0]), np.array([-0.5, 0.1])
    theta, eta, alpha = np.array([0.4, -0.2]), 0.7, 0.3

    def sigmoid(x: float) -> float:
        return float(1 / (1 + np.exp(-x)))

    gap = theta @ (a - b)
    slope = 0.5 * sigmoid(abs(gap)) * (1 - sigmoid(abs(gap))) * np.sign(gap) * (a - b)
    looked = theta + eta * slope
    gradient = -(1 - sigmoid(looked @ (first - second))) * (first - second)
    expected = theta - alpha * gradient

    model = torch.nn.Linear(2, 1, bias=False).double()
    model.weight.data = torch.tensor(theta[None])
    samples = torch.tensor(np.stack([a, b]))
    pair = torch.tensor(first - second)
    step = meta_step(
        model,
        lambda: spread(model(samples).reshape(1, 2)),
        lambda: -torch.nn.functional.logsigmoid(model(pair)).squeeze(),
        torch.optim.SGD(model.parameters(), lr=alpha),
        eta=eta,
    )
    np.testing.assert_allclose(model.weight.detach().numpy()[0], expected, rtol=1e-12)
    assert step.spread == pytest.approx(0.5 * sigmoid(abs(gap)))


def test_a_loss_that_is_not_finite_leaves_the_model_as_it_was() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    before = model.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="the loss of the pairs is nan, expected a finite number; lower eta"):
        meta_step(model, lambda: model.weight.sum(), lambda: model.weight.sum() * float("nan"), optimizer, eta=1.0)
    assert torch.equal(model.weight, before)


def trainer(groups: int = 3, answers: int = 3, **options: object) -> MetaRewardTrainer:
    generator = np.random.default_rng(0)
    pairs = PreferenceData.from_arrays(*generator.normal(size=(2, 8, 2)))
    samples = [[as_trajectory(one) for one in generator.normal(size=(answers, 2))] for _ in range(groups)]
    model = RewardModel.make({"type": "mlp", "inputs": 2, "hidden": [4]})
    return MetaRewardTrainer(model, pairs, samples, batch_size=4, **options)  # type: ignore[arg-type]


def test_training_repeats_and_without_a_climb_is_plain_descent() -> None:
    steps = [trainer(eta=0.0, alpha=0.1).train(5) for _ in range(2)]
    assert steps[0] == steps[1]
    assert steps[0] != trainer(eta=1.0, alpha=0.1).train(5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"answers": 1}, "at least 2 answers to each prompt, got 1"),
        ({"k": 1}, "at least 2 answers to each prompt, got 1"),
        ({"k": 5}, "k is 5, but a prompt has only 3 answers"),
        ({"groups": 0}, "no samples of the policy"),
    ],
)
def test_samples_that_cannot_spread(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer(**options)


def test_equal_samples_are_refused() -> None:
    one = as_trajectory(np.ones(2))
    with pytest.raises(ValueError, match="all 3 answers to prompt 0 are the same"):
        trainer().refresh([[one, as_trajectory(np.ones(2)), one]])


ROWS = PairRows(torch.tensor([0, 2]), torch.tensor([1, 3]), torch.ones(2))


def network(dropout: float) -> tuple[object, dict[str, torch.Tensor]]:
    model = RewardModel.make({"type": "mlp", "inputs": 2, "hidden": [16], "dropout": dropout})
    generator = np.random.default_rng(0)
    items = [as_trajectory(one) for one in generator.normal(size=(4, 2))]
    encoder = model.network.encoder
    return model.network.train(), encoder.collate(encoder.prepare(items))


@pytest.mark.parametrize("kind", ["simcse", "swav"])
@pytest.mark.parametrize("on", ["responses", "difference"])
def test_the_contrastive_term_falls_when_it_is_trained(kind: str, on: str) -> None:
    torch.manual_seed(0)
    net, batch = network(0.3)
    prototypes = torch.nn.Parameter(torch.randn(4, 16))
    aux = ContrastiveAux(kind=kind, on=on, weight=1.0, temperature=0.2)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam([*net.parameters(), prototypes], lr=0.02)  # type: ignore[attr-defined]
    losses = []
    for _ in range(50):
        loss = aux.loss(net, batch, ROWS, prototypes=prototypes)  # type: ignore[arg-type]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < np.mean(losses[:10])


def test_views_without_dropout_and_batches_of_one() -> None:
    net, batch = network(0.0)
    with pytest.raises(ValueError, match="no active dropout.*dropout above 0"):
        ContrastiveAux().loss(net, batch, ROWS)  # type: ignore[arg-type]
    same = torch.randn(4, 3)
    with pytest.raises(ValueError, match="both views are equal"):
        ContrastiveAux().term(same, same.clone(), ROWS)
    with pytest.raises(ValueError, match="at least 2 rows"):
        swav(torch.ones(1, 3), torch.ones(1, 3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="at least 2 rows"):
        ContrastiveAux().term(torch.ones(1, 3), torch.zeros(1, 3), ROWS)
    with pytest.raises(ValueError, match="swav needs prototypes"):
        ContrastiveAux(kind="swav").term(torch.randn(4, 3), torch.randn(4, 3), ROWS)
    with pytest.raises(ValueError, match="kind must be 'simcse' or 'swav', got 'moco'"):
        ContrastiveAux(kind="moco")  # type: ignore[arg-type]
