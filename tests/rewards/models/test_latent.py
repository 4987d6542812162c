from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rewardlab.learning.data import as_trajectory  # noqa: E402
from rewardlab.rewards.models import RewardModel  # noqa: E402
from rewardlab.rewards.models.base import Context, Encoded  # noqa: E402
from rewardlab.rewards.models.heads.latent import LatentHead  # noqa: E402


def _head(**options: Any) -> LatentHead:
    head = LatentHead(4, **{"latent": 3, "hidden": 8, **options})
    with torch.no_grad():  # so that log-variances depend on the comparisons too
        head.summary[-1].weight.normal_(std=0.5, generator=torch.Generator().manual_seed(1))  # type: ignore[index, union-attr]
    return head.eval()


def _pairs(sets: int, comparisons: int, seed: int = 0) -> tuple[Any, Any]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(sets, comparisons, 4, generator=draw), torch.randn(sets, comparisons, 4, generator=draw)


@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations(range(5)),
    context=st.sampled_from(["set", "attention"]),
    pair=st.sampled_from(["both", "difference"]),
)
def test_the_order_of_comparisons_does_not_matter(order: list[int], context: str, pair: str) -> None:
    head, (chosen, rejected) = _head(context=context, pair=pair), _pairs(2, 5)
    with torch.no_grad():
        one = head.infer(chosen, rejected)
        other = head.infer(chosen[:, order], rejected[:, order])
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("context", ["set", "attention"])
def test_padding_changes_nothing_and_empty_sets_get_the_prior(context: str) -> None:
    head, (chosen, rejected) = _head(context=context, prior="learned"), _pairs(3, 6)
    with torch.no_grad():
        head.prior_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
        mask = torch.tensor([[True] * 4 + [False] * 2, [True] * 6, [False] * 6])
        mean, log_variance = head.infer(chosen, rejected, mask)
        alone = head.infer(chosen[:1, :4], rejected[:1, :4])
        nothing = head.infer(chosen[:, :0], rejected[:, :0])
    torch.testing.assert_close((mean[0], log_variance[0]), (alone[0][0], alone[1][0]), rtol=1e-4, atol=1e-5)
    assert mean[2].tolist() == [1.0, 2.0, 3.0]
    assert log_variance[2].tolist() == [0.0, 0.0, 0.0]
    assert nothing[0].tolist() == [[1.0, 2.0, 3.0]] * 3
    assert not torch.allclose(mean[1], mean[0])


def test_kl_against_torch_distributions() -> None:
    head = _head(prior="learned")
    with torch.no_grad():
        head.prior_mean.copy_(torch.tensor([0.5, -1.0, 0.0]))
        head.prior_log_variance.copy_(torch.tensor([0.3, -0.7, 0.0]))
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(head.prior_mean, (head.prior_log_variance / 2).exp()),
    )
    torch.testing.assert_close(head.kl(mean, log_variance), expected)


def test_the_log_variance_stays_within_its_limits() -> None:
    head, (chosen, rejected) = _head(log_variance=(-1.0, 0.5)), _pairs(2, 3)
    _, log_variance = head.infer(1e4 * chosen, 1e4 * rejected)
    assert float(log_variance.min()) >= -1.0
    assert float(log_variance.max()) <= 0.5


def test_a_linear_decoder_is_linear_in_features_and_vector() -> None:
    head = _head(decoder="linear").double()
    features, vector = torch.randn(2, 4).double(), torch.tensor([[0.5, -1.0, 2.0]] * 2).double()
    weights = head.decoder.weights  # type: ignore[union-attr]
    by_hand = [float(row @ (weights.weight @ vector[0] + weights.bias)) for row in features]  # type: ignore[operator, union-attr]
    assert head.value({"features": features}, Context(latent=vector)).tolist() == pytest.approx(by_hand)


def test_a_reward_summed_over_steps() -> None:
    head = _head(steps=True, reward_scaling=2.0)
    steps, mask = torch.randn(1, 3, 4), torch.tensor([[True, True, False]])
    outputs = head(Encoded(response=torch.zeros(1, 4), steps=steps, step_mask=mask))
    vector = torch.tensor([[1.0, 0.0, -1.0]])
    single = head.decoder(torch.cat([steps[0], vector.expand(3, -1)], -1)).squeeze(-1)
    assert float(head.value(outputs, Context(latent=vector))) == pytest.approx(float(single[:2].sum()) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="steps=True needs features of steps"):
        head(Encoded(response=torch.zeros(1, 4)))


def test_users_are_remembered_and_strangers_get_the_prior() -> None:
    head = _head()
    outputs = {"features": torch.randn(2, 4)}
    head.remember("anna", torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3))
    users = torch.tensor([head.user_index("anna"), -1])
    given = head.value(outputs, Context(latent=torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])))
    torch.testing.assert_close(head.value(outputs, Context(users=users)), given)
    with pytest.warns(
        UserWarning,
        match="nothing is known of the user 'bo' .known: 'anna'.*mean of the prior stands in.*remember_users",
    ):
        assert head.user_index("bo") == -1
    with pytest.raises(ValueError, match="a user needs a name, got ''"):
        head.remember("", torch.zeros(3), torch.zeros(3))


def test_a_plain_fit_says_which_one_to_use() -> None:
    with pytest.raises(
        ValueError,
        match="fitted to sets of comparisons by users; use rl.fit, whose loss for it is evidence_lower_bound",
    ):
        _head().train().value({"features": torch.randn(2, 4)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "at least one number, got latent=0"),
        ({"context": "bag"}, "context must be one of 'set', 'attention', 'concat', got 'bag'"),
        ({"context": "concat"}, 'context="concat" needs comparisons='),
        ({"comparisons": 4}, "no other reads it"),
        ({"log_variance": (1.0, 0.0)}, "lower and a higher limit, got 1.0 and 0.0"),
        ({"reward_scaling": 0.0}, "reward_scaling must be positive, got 0.0"),
        ({"hidden": 0}, "layers and hidden must be at least 1, got 2 and 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatentHead(4, **options)


def test_concat_reads_sets_of_one_size() -> None:
    head, (chosen, rejected) = _head(context="concat", comparisons=3), _pairs(2, 3)
    assert head.infer(chosen, rejected)[0].shape == (2, 3)
    with pytest.raises(ValueError, match='sets of 3 comparisons, got one of 2; build the head with context="set"'):
        head.infer(chosen[:, :2], rejected[:, :2])


def test_a_model_comes_back_from_disk_with_its_users(tmp_path: Path) -> None:
    model = RewardModel.make(
        {"type": "mlp", "inputs": 4, "hidden": [6]}, {"type": "latent", "latent": 3, "prior": "learned"}
    )
    model.network.head.remember("anna", torch.randn(3), torch.randn(3))
    items = [as_trajectory(row) for row in np.random.default_rng(0).normal(size=(5, 4))]
    model.save(tmp_path / "model")
    loaded = RewardModel.load(tmp_path / "model", user="anna")
    expected = RewardModel.around(model.network, user="anna")(items).values
    np.testing.assert_array_equal(loaded(items).values, expected)
    assert not np.array_equal(expected, model(items).values)
    torch.testing.assert_close(
        loaded.network.head.user_log_variance, model.network.head.user_log_variance, rtol=0, atol=0
    )
