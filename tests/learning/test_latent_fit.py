"""The one door to fits: a latent head is fitted to users, with held-out comparisons, checkpoints and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import rewardlab as rl
from rewardlab.learning import PreferenceData, RatingData, diagnose, fit_latent, infer, latent_reward
from rewardlab.learning.fitting import fit_defaults, fit_of
from rewardlab.learning.latent_fit import EvidenceLoss, LatentUsersFit
from rewardlab.rewards.models.model import RewardModel
from tests.learning.worlds import answers, comparisons, make_deep, make_latent, ratings

OPTIONS: dict[str, Any] = {"steps": 150, "batch_size": 60, "learning_rate": 0.02, "warmup": 0.0}
LOSS = {"type": "evidence_lower_bound", "context": (0, 4), "targets": 4}


@pytest.fixture(scope="module")
def fitted() -> rl.learning.FitResult:  # type: ignore[name-defined]
    held_out = answers(60, 4, seed=7)
    return rl.fit(make_latent(), answers(), loss=LOSS, validation=held_out, **OPTIONS)


def test_held_out_comparisons_are_told_from_others_of_the_same_users(fitted: Any) -> None:
    first, best = fitted.evaluations[0], fitted.best
    assert first["step"] == 0
    assert 0.3 < first["accuracy"] < 0.7
    assert best["accuracy"] > 0.9
    assert best["loss"] < first["loss"]
    assert len(fitted.metrics) == 150


def test_it_is_what_fit_latent_does(fitted: Any) -> None:
    other = fit_latent(make_latent(), answers(), context=(0, 4), targets=4, steps=150, learning_rate=0.02).model
    strangers = answers(30, seed=2)
    ours, theirs = (diagnose(model, strangers, context=4) for model in (fitted.model, other))
    assert ours.accuracy > 0.9
    assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.05)
    assert abs(ours.kl - theirs.kl) < 0.5 * theirs.kl


def test_the_users_are_remembered(fitted: Any) -> None:
    items = answers(2, 20, seed=5).items
    wanted = np.array([item.observations[0].reshape(-1)[0] for item in items])
    for name, sign in (("u0", 1.0), ("u1", -1.0)):
        told = fitted.model.for_user(name)(items).values
        assert np.corrcoef(told, sign * wanted)[0, 1] > 0.9
    assert len(fitted.model.network.head.users) == 60


def test_a_user_who_is_read_off_gives_what_is_remembered_of_as_many_answers() -> None:
    data = answers(6, 3)
    model = rl.fit(make_latent(), data, loss=LOSS, steps=3, normalise=False).model
    items = data.items[:5]
    again = infer(model, data.select(np.arange(3)))
    np.testing.assert_allclose(model.for_user("u0")(items).values, latent_reward(model, items, again), rtol=1e-5)


def test_rows_are_users() -> None:
    result = rl.fit(make_latent(), answers(10, 4), batch_size=4, epochs=2)
    assert [line["rows"] for line in result.metrics] == [4] * 5
    assert fit_of(make_latent()) is LatentUsersFit
    assert fit_of(make_deep()) is not LatentUsersFit


def test_the_loss_is_the_bound_by_hand() -> None:
    data = answers(3, 2)
    fit = LatentUsersFit(**fit_defaults({"model": make_latent(), "data": data, "loss": LOSS, "steps": 1}))
    fit._read(False)
    losses = fit._losses(torch.arange(3)).detach()
    alone = torch.cat([fit._losses(torch.tensor([row])).detach() for row in range(3)])
    torch.testing.assert_close(losses, alone)  # what is drawn for a user does not depend on the others
    head = fit.latent
    features = torch.tensor(np.stack([item.observations[0].reshape(-1) for item in fit.training.items])).float()
    winner, loser = (features[side] for side in (fit.table.winner, fit.table.loser))  # type: ignore[attr-defined]
    possible = []
    from rewardlab.training.seats import derived_seed

    draw = torch.Generator().manual_seed(derived_seed(0, "users", 0))
    size = int(torch.randint(0, 5, (1,), generator=draw))
    torch.rand(3, 2, generator=draw)
    noise = torch.randn(3, 2, generator=draw)
    for read, asked in (
        (0, 1),
        (1, 0),
    ):  # one of the first user's two is read and the other predicted, or both predicted
        if not size:
            mean, log_variance = head.infer(winner[None, :0], loser[None, :0])
            targets = [0, 1]
        else:
            mean, log_variance = head.infer(winner[None, [read]], loser[None, [read]])
            targets = [asked]
        vector = mean + (log_variance / 2).exp() * noise[0]
        told = sum(
            -torch.nn.functional.logsigmoid(
                head._decode(winner[[place]], vector) - head._decode(loser[[place]], vector)
            )
            for place in targets
        )
        possible.append((told + 0.05 * head.kl(mean, log_variance).sum()).item())  # type: ignore[union-attr]
    assert min(abs(float(losses[0]) - one) for one in possible) < 1e-5


def test_a_folder_is_gone_on_with(tmp_path: Path) -> None:
    options = {"loss": LOSS, "validation": answers(8, 2, seed=3), "steps": 6, "checkpoint_every": 2, "seed": 4}
    rl.fit(make_latent(), answers(8, 4), output=tmp_path / "whole", **options)
    broken = LatentUsersFit(
        **fit_defaults({"model": make_latent(), "data": answers(8, 4), "output": tmp_path / "parts", **options})
    )
    step = broken._step

    def until_fifth() -> dict[str, Any]:
        if broken.done == 5:
            raise KeyboardInterrupt
        return step()

    broken._step = until_fifth  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    rl.fit(make_latent(), answers(8, 4), output=tmp_path / "parts", **options)
    for name in ("metrics.jsonl", "evaluations.jsonl", "model/head.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    loaded = RewardModel.load(tmp_path / "parts/model")
    assert loaded.for_user("u3")(answers(1).items).values.shape == (16,)


def test_sets_of_one_size_and_weights() -> None:
    data = answers(6, 5)
    data.weight = np.ones(len(data))
    model = make_latent(context="concat", comparisons=3)
    weighed = rl.fit(model, data, loss=LOSS, validation=answers(6, 1, seed=1), steps=2)
    plain = rl.fit(make_latent(context="concat", comparisons=3), answers(6, 5), loss=LOSS, steps=2)
    assert [line["loss"] for line in weighed.metrics] == [line["loss"] for line in plain.metrics]
    data.weight = np.full(len(data), 2.0)
    heavy = rl.fit(make_latent(context="concat", comparisons=3), data, loss=LOSS, steps=1)
    assert heavy.metrics[0]["loss"] > 1.5 * plain.metrics[0]["loss"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"loss": "hinge"},
            "fitted by the evidence lower bound of its users' comparisons, got a HingeLoss; leave loss out",
        ),
        ({"data": ratings()}, "fitted to comparisons whose annotators are the users, but the data are ratings"),
        ({"data": comparisons()}, "comparison 0 names no user; put the user"),
        ({"data": answers(1, 4)}, "there is a single user, 'u0'; use a scalar head"),
        ({"data": answers(4, 1)}, "there is nobody with 2 comparisons"),
        ({"loss": {"type": "evidence_lower_bound", "beta": -1.0}}, "beta must not be negative, got -1.0"),
        ({"loss": {"type": "evidence_lower_bound", "context": [3, 1]}}, "context must be a number or a rising range"),
    ],
)
def test_what_cannot_be_fitted_is_said(change: dict[str, Any], said: str) -> None:
    options: dict[str, Any] = {"data": answers(4, 4), "steps": 1, **change}
    with pytest.raises(ValueError, match=said):
        rl.fit(make_latent(), options.pop("data"), **options)


def test_users_with_one_comparison_are_left_out_with_a_warning() -> None:
    data = answers(4, 3).select(np.arange(10))
    with pytest.warns(UserWarning, match=r"1 of 4 users have fewer than 2 comparisons \(such as 'u3'\)"):
        model = rl.fit(make_latent(), data, steps=1).model
    assert model.network.head.users == ["u0", "u1", "u2"]


def test_the_bound_is_for_latent_heads_alone() -> None:
    with pytest.raises(TypeError, match="which a scalar head does not read; use a latent head, or another loss"):
        rl.fit(make_deep(), comparisons(), loss="evidence_lower_bound", steps=1)


def test_a_loss_that_is_no_number_names_the_users() -> None:
    with pytest.raises(rl.learning.FitStopped, match="in comparisons of the users 'u"):
        rl.fit(make_latent(), answers(4, 3), loss=LOSS, steps=3, learning_rate=1e30)


def test_ratings_and_comparisons_are_told_apart() -> None:
    assert isinstance(ratings(), RatingData)
    assert isinstance(answers(2, 2), PreferenceData)
    assert EvidenceLoss(context=3).sizes == (3, 3)


def test_the_command_line_fits_a_latent_head(tmp_path: Path) -> None:
    from rewardlab.config import FitConfig, load_as
    from rewardlab.config.fitting import run_fit

    draw = np.random.default_rng(0)
    lines = []
    for user in range(6):
        for number in range(8):
            long, short = "a long answer of many words " * 2, "brief"
            chosen, rejected = (long, short) if user % 2 else (short, long)
            prompt = f"question {draw.integers(1000)} {user} {number}"
            lines.append({"prompt": prompt, "chosen": chosen, "rejected": rejected, "annotator": f"user {user}"})
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "fit.yaml").write_text(
        f"data: {{file: {tmp_path}/pairs.jsonl, held_out: 0.25}}\n"
        "encoder: {type: tiny, hidden: 16, layers: 1, heads: 2}\n"
        "head: {type: latent, latent: 2, decoder: linear}\n"
        "loss: {type: evidence_lower_bound, context: [1, 4], beta: 0.01}\n"
        f"fit: {{steps: 40, learning_rate: 0.02}}\noutput: {tmp_path}/run\n"
    )
    outcome = run_fit(load_as(FitConfig, tmp_path / "fit.yaml", []), progress_bar=False)
    assert outcome.after is not None
    assert outcome.before is not None
    before, after = (one.measures["accuracy"].value for one in (outcome.before, outcome.after))
    assert after > 0.9 > before  # each comparison as its annotator judges it
    assert sorted(RewardModel.load(tmp_path / "run/model").network.head.users) == [f"user {n}" for n in range(6)]
