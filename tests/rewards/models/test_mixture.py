from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rewardlab.rewards.models import RewardModel  # noqa: E402
from rewardlab.rewards.models.base import Context, Encoded, rows_of  # noqa: E402
from rewardlab.rewards.models.encoders.prompted import prompted  # noqa: E402
from rewardlab.rewards.models.heads.mixture import MixtureHead  # noqa: E402


def _encoded(rows: int = 6, seed: int = 0) -> Encoded:
    draw = torch.Generator().manual_seed(seed)
    return Encoded(response=torch.randn(rows, 4, generator=draw), prompt=torch.randn(rows, 3, generator=draw))


def _head(**options: object) -> MixtureHead:
    return MixtureHead(4, **{"heads": 3, "prompt_width": 3, "router_hidden": 5, **options})  # type: ignore[arg-type]


def test_a_comparison_mixes_probabilities_and_not_rewards() -> None:
    head = _head().double()
    encoded = _encoded()
    encoded = Encoded(response=encoded.response.double(), prompt=encoded.prompt.double())  # type: ignore[union-attr]
    outputs = head(encoded)
    pairs = torch.arange(3)
    first, second = rows_of(outputs, pairs), {**rows_of(outputs, pairs + 3), "prompt": outputs["prompt"][pairs]}
    odds = head.preference(first, second).detach().numpy()
    for row in range(3):
        weights = head.router(encoded.prompt[row]).softmax(-1).tolist()  # type: ignore[index, misc]
        margins = [
            (head.linear.weight[k] @ (encoded.response[row] - encoded.response[row + 3])).item() for k in range(3)
        ]
        chance = sum(w / (1 + np.exp(-m)) for w, m in zip(weights, margins, strict=True))
        assert odds[row] == pytest.approx(np.log(chance / (1 - chance)))
        value = head.value(outputs)[row].item()
        assert value == pytest.approx(
            sum(w * (head.linear.weight[k] @ encoded.response[row]).item() for k, w in enumerate(weights))
        )


def test_weights_of_different_prompts_are_averaged() -> None:
    head = _head()
    outputs = head(_encoded())
    pairs = torch.arange(3)
    first, second = rows_of(outputs, pairs), rows_of(outputs, pairs + 3)
    expected = (head.log_weights(first).exp() + head.log_weights(second).exp()) / 2
    torch.testing.assert_close(head.pair_log_weights(first, second).exp(), expected)


def test_one_head_is_bradley_terry_to_the_bit_of_double_precision() -> None:
    head = MixtureHead(4, heads=1, router="static").double()
    response = torch.randn(8, 4, dtype=torch.float64)
    outputs = head(Encoded(response=response))
    first, second = rows_of(outputs, torch.arange(4)), rows_of(outputs, torch.arange(4) + 4)
    plain = (response[:4] - response[4:]) @ head.linear.weight[0]
    torch.testing.assert_close(head.preference(first, second), plain, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(head.value(outputs), response @ head.linear.weight[0], rtol=1e-12, atol=1e-12)


def test_large_margins_keep_their_gradient() -> None:
    head = _head()
    outputs = {"heads": torch.full((2, 3), 300.0, requires_grad=True), "prompt": torch.zeros(2, 3)}
    other = {"heads": torch.zeros(2, 3), "prompt": outputs["prompt"]}
    odds = head.preference(other, outputs)
    odds.sum().backward()
    assert torch.isfinite(odds).all()
    assert odds[0].item() == pytest.approx(-300, rel=1e-3)
    assert float(outputs["heads"].grad.abs().sum()) > 0.1  # type: ignore[union-attr]


def test_masked_heads_have_no_say() -> None:
    head = _head()
    outputs = head(_encoded())
    head.mask_heads([1])
    weights = head.log_weights(outputs).exp()
    assert float(weights[:, 1].max()) == 0.0
    torch.testing.assert_close(weights.sum(-1), torch.ones(6))
    head.mask_heads([])
    assert not bool(head.mask.any())
    with pytest.raises(ValueError, match="there is no head 3; this mixture has the heads 0 to 2"):
        head.mask_heads([3])
    with pytest.raises(ValueError, match="masking all 3 heads leaves nothing"):
        head.mask_heads([0, 1, 2])


def test_a_context_that_is_not_known_gets_the_first_stage_weights() -> None:
    head = _head(users=["kind", "short"])
    outputs = head(_encoded())
    plain = head.log_weights(outputs)
    nobody = head.log_weights(outputs, Context(users=torch.full((6,), -1)))
    torch.testing.assert_close(plain, nobody, rtol=0, atol=0)
    some = head.log_weights(outputs, Context(users=torch.tensor([0, -1, 1, -1, -1, -1])))
    torch.testing.assert_close(some[1], plain[1], rtol=0, atol=0)
    assert not torch.equal(some[0], plain[0])
    with pytest.warns(
        UserWarning, match="not adapted to the context 'long'.*'kind', 'short'.*weights without a context"
    ):
        assert head.user_index("long") == -1


def test_the_win_rate_is_a_mean_of_probabilities() -> None:
    head = _head()
    outputs, against = head(_encoded()), head(_encoded(4, seed=1))
    rate = head.win_rate(outputs, against)
    weights = head.log_weights(outputs).exp()
    expected = [
        float(np.mean([(weights[row] * torch.sigmoid(outputs["heads"][row] - rival)).sum().item() for rival in against["heads"]]))
        for row in range(6)
    ]  # fmt: skip
    np.testing.assert_allclose(rate.detach().numpy(), expected, rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one head, got heads=0"):
        MixtureHead(4, heads=0)
    with pytest.raises(ValueError, match="router must be 'prompt' or 'static', got 'user'"):
        MixtureHead(4, router="user")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs features of the prompt.*router='static'"):
        MixtureHead(4)(Encoded(response=torch.zeros(2, 4)))


@pytest.mark.parametrize("users", [[], ["a", "b"]])
def test_a_model_comes_back_from_disk_to_the_bit_in_another_process(tmp_path: Path, users: list[str]) -> None:
    model = RewardModel.make(
        {"type": "prompt_response", "prompt": 3, "response": 4},
        {"type": "mixture", "heads": 3, "prompt_width": 3, "users": users, "prior_scale": 0.5},
    )
    model.network.head.mask_heads([1])
    draw = np.random.default_rng(0)
    prompts, responses = draw.normal(size=(5, 3)), draw.normal(size=(5, 4))
    asked = RewardModel.around(model.network, user=users[0] if users else None)
    expected = asked(prompted(prompts, responses)).values
    saved = model.save(tmp_path / "model")
    script = (
        "import json, sys, numpy as np\n"
        "from rewardlab.rewards.models import RewardModel\n"
        "from rewardlab.rewards.models.encoders.prompted import prompted\n"
        "path, user, prompts, responses = json.loads(sys.argv[1])\n"
        "print(json.dumps(RewardModel.load(path, user=user)(prompted(prompts, responses)).values.tolist()))\n"
    )
    told = json.dumps([saved.path, users[0] if users else None, prompts.tolist(), responses.tolist()])
    if not users:  # a fresh process is slow, so one of the two cases is enough
        printed = subprocess.run(
            [sys.executable, "-c", script, told], capture_output=True, text=True, check=True
        ).stdout
        assert json.loads(printed) == expected.tolist()
    loaded = RewardModel.load(tmp_path / "model", user=asked.user)
    np.testing.assert_array_equal(loaded(prompted(prompts, responses)).values, expected)
    assert loaded.network.head.users == users
