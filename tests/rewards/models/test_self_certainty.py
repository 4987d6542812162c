from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.policies.language_model import LanguageModelPolicy
from rewardlab.rewards.models.self_certainty import SelfCertainty, certainty_bound, self_certainty
from rewardlab.types import Tokens, Trajectory


def test_certainty_by_hand() -> None:
    uniform = torch.full((5,), math.log(0.2))
    half = torch.tensor([0.5, 0.5, 0.0, 0.0]).log()
    for direction in ("u||p", "p||u"):
        assert float(self_certainty(uniform, direction=direction)) == pytest.approx(0, abs=1e-6)
    assert float(self_certainty(half, direction="p||u")) == pytest.approx(math.log(2))
    assert float(self_certainty(half)) == pytest.approx(10.473205, abs=1e-5)


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=12), st.integers(1, 12))
def test_the_bound_is_one_and_is_reached_when_all_is_known(weights: list[float], known: int) -> None:
    shares = np.array(weights) / np.sum(weights)
    logprobs = torch.from_numpy(np.log(shares))
    top = sorted(logprobs.tolist(), reverse=True)[:known]
    for direction in ("u||p", "p||u"):
        true = float(self_certainty(logprobs, direction=direction))
        assert certainty_bound(top, len(shares), direction=direction) >= true - 1e-9
        assert certainty_bound(logprobs.tolist(), len(shares), direction=direction) == pytest.approx(true, abs=1e-9)
    with pytest.raises(ValueError, match="must be 1 to 3"):
        certainty_bound([], 3)


TEXT = json.dumps({"rationale": "wide shoes fit wide feet", "action": {"type": "terminate"}})


def policy_and_trajectory(text: str = TEXT) -> tuple[LanguageModelPolicy, Trajectory]:
    policy = LanguageModelPolicy.tiny([text, "what next?"], hidden=32, layers=1)
    trajectory = Trajectory.from_text("what next?", text)
    trajectory.tokens = policy.encode_demonstration(trajectory)
    return policy, trajectory


def test_a_bound_policy_is_asked_about_the_words_of_the_span_alone() -> None:
    policy, trajectory = policy_and_trajectory()
    tokens = trajectory.tokens
    assert tokens is not None
    reward = SelfCertainty(weight=1.0, most=100.0)
    assert reward([trajectory]).counts()["abstained"] == 1
    total = 1.0 * reward.named("certain") + rl.JSONFormat(keys=("rationale", "action"))
    total.bind(policy)  # passed down to where it is used
    reward.bind(policy)
    scores = reward([trajectory])
    with torch.no_grad():
        logits = policy.model(input_ids=torch.from_numpy(tokens.ids)[None]).logits[0]
    certainty = self_certainty(torch.log_softmax(logits.float(), -1)).numpy()
    inside = [
        place
        for place in np.flatnonzero(tokens.step == 0)
        if policy.template.decode([int(tokens.ids[place])]).strip() in ("wide", "shoes", "fit", "feet", "")
    ]
    begin = next(place for place in inside if policy.template.decode([int(tokens.ids[place])]) == "wide")
    end = max(place for place in inside if policy.template.decode([int(tokens.ids[place])]) == "feet")
    expected = certainty[begin - 1 : end].mean()
    assert scores.values[0] == pytest.approx(float(expected), rel=1e-4)
    assert scores.parts["words"].values.tolist() == [5]
    assert scores.parts["repetition"].values.tolist() == [0]
    total_scores = total([trajectory])
    assert total_scores.values[0] == pytest.approx(1 + scores.values[0])
    assert not reward.deterministic
    assert SelfCertainty(weight=1.0, most=0.01, span=None).deterministic is False


def test_the_weight_is_capped_and_batches_do_not_matter() -> None:
    policy, trajectory = policy_and_trajectory()
    _, short = policy_and_trajectory('{"rationale": "fit", "action": {}}')
    short.tokens = policy.encode_demonstration(short)
    reward = SelfCertainty(weight=1e6, most=0.25, token_budget=10)
    reward.bind(policy)
    assert reward([trajectory, short]).values.tolist() == [0.25, 0.25]
    fine = SelfCertainty(weight=1.0, most=1e9)
    fine.bind(policy)
    together, alone = fine([trajectory, short]).values, [fine([one]).values[0] for one in (trajectory, short)]
    assert together == pytest.approx(alone, rel=1e-4)


def test_samples_without_a_span_or_a_distribution_abstain() -> None:
    policy, trajectory = policy_and_trajectory()
    reward = SelfCertainty()
    reward.bind(policy)
    empty = Trajectory.from_text("what next?", '{"rationale": "", "action": {}}')
    empty.tokens = policy.encode_demonstration(empty)
    scores = reward([empty, Trajectory.from_text("a", TEXT)])
    assert scores.counts() == {"scored": 0, "abstained": 2, "failed": 0}
    assert "no text under 'rationale'" in str(scores.note(0))
    assert "nobody knows the policy's distributions" in str(scores.note(1))
    broken = Trajectory.from_text("a", TEXT, tokens=Tokens(ids=[1, 2], step=[-1, -1], logprobs=[0, 0]))  # type: ignore[arg-type]
    assert reward([broken]).failed.all()
    with pytest.raises(ValueError, match="'most' must be positive"):
        SelfCertainty(most=0)
    del trajectory


def test_the_most_likely_words_of_a_server_give_a_bound_that_says_so() -> None:
    def entry(token: str) -> dict[str, Any]:
        return {"token": token, "logprob": -0.1, "top_logprobs": [{"token": token, "logprob": math.log(0.5)}] * 2}

    pieces = ['{"rationale": "', "wide", " feet", '", "action": {}}']
    one = Trajectory.from_text(
        "a", "".join(pieces), info={"id": 1, "top_logprobs": [[entry(piece) for piece in pieces]]}
    )
    assert "needs the option vocabulary" in str(SelfCertainty()([one]).note(0))
    scores = SelfCertainty(vocabulary=4, weight=1.0, most=100)([one])
    assert scores.values[0] == pytest.approx(10.473205, abs=1e-5)
    assert scores.note(0) == "an upper bound, from the most likely words alone"
