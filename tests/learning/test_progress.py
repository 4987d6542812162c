from __future__ import annotations

import json

import numpy as np
import pytest

import rewardlab as rl
from rewardlab.learning.progress import ProgressEstimator, correlation, explained, held_out_tasks
from rewardlab.rewards import GroundedActions, StepProgress
from rewardlab.rewards.models.base import Encoded
from rewardlab.rewards.models.contributions import made_exact, pieces
from rewardlab.rewards.models.encoders.arrays import MLPEncoder, SequenceEncoder
from rewardlab.rewards.models.encoders.hashed import HashedTextEncoder
from rewardlab.rewards.models.heads.contributions import ContributionHead
from rewardlab.types import Scores, Status, Task, Trajectory

EARNED = np.array([[0.0, 0.3, 0.9], [-0.2, 0.5, 0.1]])  # of two steps, what each of three symbols earns


def world(count=120, seed=0, tasks=24):
    """Two steps of three symbols; the outcome is what both earned."""
    chance = np.random.default_rng(seed)
    drawn = chance.integers(3, size=(count, 2))
    trajectories = []
    for index, symbols in enumerate(drawn):
        seen = np.zeros((3, 6), dtype=np.float32)
        seen[[0, 1], [symbols[0], 3 + symbols[1]]] = 1.0
        trajectories.append(
            Trajectory(
                observations=seen, actions=np.zeros((2, 1)), task=Task(id=f"task {index % tasks}"), terminated=True
            )
        )
    truth = EARNED[np.arange(2), drawn]
    return trajectories, truth.sum(1), truth


def linear(**options):
    return ProgressEstimator(
        MLPEncoder(6, hidden=()),
        **{"context": "step", "learning_rate": 0.03, "epochs": 300, "batch_size": 120} | options,
    )


def test_a_linear_estimator_recovers_additive_contributions():
    trajectories, outcomes, truth = world()
    estimator = linear()
    report = estimator.fit(trajectories, outcomes)
    found = np.stack(estimator.contributions(trajectories))
    # what both steps share (a constant moved from one to the other) is open, and nothing else is
    np.testing.assert_allclose(found - found.mean(0), truth - truth.mean(0), atol=1e-3)
    np.testing.assert_allclose(found.sum(1), outcomes, atol=1e-3)
    assert report.r2 > 0.999
    assert report.held_out == 10  # two of 24 tasks
    assert report.uniform == 0.5
    assert abs(estimator.completeness(trajectories[0], float(outcomes[0]))) < 1e-3


def test_what_failed_is_left_out_and_counted():
    trajectories, outcomes, _ = world(60)
    status = np.zeros(60, dtype=np.int8)
    status[:5] = Status.FAILED
    scores = Scores(values=np.where(status == 0, outcomes, np.nan), status=status)
    report = linear(epochs=2).fit([*trajectories[:59], Trajectory(observations=[[]], actions=[])], scores)
    assert (report.left_out, report.used + report.held_out) == (6, 54)
    with pytest.raises(ValueError, match="no trajectory has a finite outcome"):
        linear().fit(trajectories[:2], [np.nan, np.nan])
    with pytest.raises(ValueError, match=r"there are \(3,\) outcomes for 2 trajectories"):
        linear().fit(trajectories[:2], [1.0, 0.0, 1.0])


def test_equal_outcomes_teach_nothing_and_the_reward_abstains():
    trajectories, _, _ = world(40)
    estimator = linear()
    report = estimator.fit(trajectories, np.ones(40))
    assert np.isnan(report.r2)
    scores = estimator.reward()(trajectories)
    assert scores.abstained.all()
    assert "all outcomes were equal" in scores.note(0)


def test_tasks_are_never_on_both_sides():
    trajectories, _, _ = world(200, tasks=10)
    held = held_out_tasks(trajectories, 0.3, 1)
    names = np.array([one.task.id for one in trajectories])
    assert not set(names[held]) & set(names[~held])
    assert len(set(names[held])) == 3
    assert not held_out_tasks(trajectories, 0.0, 1).any()
    with pytest.raises(ValueError, match="there is only one task"):
        held_out_tasks(trajectories[:1], 0.1, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"context": "history"},
        {"context": 2},
        {"context": "history", "target": "difference"},
        {"nonneg": True},
        {"smooth": 0.1},
        {"loss": "bce_sum"},
    ],
    ids=str,
)
def test_every_option_learns(options):
    trajectories, outcomes, _ = world(seed=1)
    if options.get("loss") == "bce_sum":
        outcomes = (outcomes > 0.6).astype(float)
    encoder = SequenceEncoder(7, 16) if options.get("context") in ("history", 2) else MLPEncoder(6, hidden=(16,))
    estimator = ProgressEstimator(
        encoder, **{"context": "step", "learning_rate": 0.02, "epochs": 25, "batch_size": 16} | options
    )
    report = estimator.fit(trajectories, outcomes)
    rows = estimator.contributions(trajectories)
    assert report.r2 > 0.7
    assert all(row.shape == (2,) for row in rows)
    if options.get("nonneg"):
        assert min(row.min() for row in rows) >= 0


def test_wrong_options():
    encoder = MLPEncoder(6, hidden=())
    for options, message in (
        ({"context": "all"}, 'context must be "history", "step" or a number'),
        ({"loss": "l1"}, "loss must be"),
        ({"smooth": -1}, "smooth must not be negative"),
        ({"context": "step", "target": "difference"}, "needs context='history'"),
        ({"target": "x"}, "target must be"),
        ({"target": "difference", "nonneg": True}, "does not go with target='difference'"),
    ):
        with pytest.raises(ValueError, match=message):
            ProgressEstimator(encoder, **options)
    with pytest.raises(ValueError, match=r"bce_sum' needs outcomes in \[0, 1\]"):
        ProgressEstimator(encoder, loss="bce_sum").fit(*world(10)[:2])


# ---- rewards ----------------------------------------------------------------------------------------------------------


def chat(*turns, **columns):
    messages = [{"role": "user", "content": "open the box"}]
    for said, answer in turns:
        messages += [{"role": "assistant", "content": said}, {"role": "user", "content": answer}]
    return Trajectory.from_messages(messages, **columns)


def test_contributions_can_be_made_exact():
    row = np.array([0.2, 0.1, 0.3])
    assert made_exact(row, 1.0, "none") is row
    np.testing.assert_allclose(made_exact(row, 1.0, "residual_last"), [0.2, 0.1, 0.7])
    np.testing.assert_allclose(made_exact(row, 1.2, "rescale"), [0.4, 0.3, 0.5])


@pytest.mark.parametrize("exact", ["residual_last", "rescale"])
def test_step_progress_fills_steps(exact):
    @rl.reward
    def outcome(trajectory):
        return float(trajectory.info["won"]) if "won" in trajectory.info else None

    trajectories, outcomes, _ = world(60)
    estimator = linear(epochs=3)
    estimator.fit(trajectories, outcomes)
    for index, one in enumerate(trajectories[:4]):
        one.info["won"] = index % 2
    scores = estimator.reward(weight=2.0, exact=exact, outcome=outcome)(trajectories[:5])
    np.testing.assert_allclose([row.sum() for row in scores.steps[:4]], [0, 2, 0, 2], atol=1e-9)
    np.testing.assert_allclose(scores.values[:4], [0, 2, 0, 2], atol=1e-9)
    assert scores.status.tolist() == [0, 0, 0, 0, Status.ABSTAINED]  # no outcome, no step rewards
    with pytest.raises(ValueError, match="do not go together"):
        estimator.reward(exact=exact)
    empty = Trajectory(observations=trajectories[0].observations[:1], actions=[])
    assert estimator.reward()([empty]).failed.all()


def test_the_loop_is_paid_step_by_step():
    trajectories, outcomes, truth = world(seed=3)
    estimator = linear()
    estimator.fit(trajectories, outcomes)
    scores = estimator.reward()(trajectories)
    advantages = rl.training.credit.ReturnToGo(baseline="position")(trajectories, scores)
    second = np.array([row[1] for row in advantages.values])
    np.testing.assert_allclose(second, truth[:, 1] - truth[:, 1].mean(), atol=2e-3)


def test_estimators_are_saved_and_named_in_specs(tmp_path):
    trajectories, outcomes, _ = world(60)
    estimator = linear(epochs=5)
    estimator.fit(trajectories, outcomes)
    estimator.save(tmp_path)
    again = StepProgress(path=str(tmp_path))
    before, after = (reward(trajectories).values for reward in (estimator.reward(), again))
    assert before.tolist() == after.tolist()
    written = json.dumps(again.to_spec())
    assert rl.rewards.from_spec(json.loads(written))(trajectories).values.tolist() == before.tolist()
    assert json.loads((tmp_path / "model.json").read_text())["about"]["context"] == "step"
    with pytest.raises(rl.rewards.UnwritableReward, match="only in memory"):
        estimator.reward().to_spec()
    digested = estimator.reward().saved_at(tmp_path)
    (tmp_path / "head.safetensors").write_bytes((tmp_path / "head.safetensors").read_bytes() + b" ")
    with pytest.raises(rl.rewards.SpecError, match="not those of this spec"):
        StepProgress(path=str(tmp_path), digest=digested.digest)(trajectories)


def test_grounded_actions():
    tried = chat(("open", "Nothing happens."), ("push", "The box moves."), ("open", "Nothing happens."))
    scores = GroundedActions()([tried])
    assert scores.steps[0].tolist() == [0.0, 0.5, 0.5]  # the last one is always paid
    assert scores.values.tolist() == [1.0]
    assert scores.parts["rate"].values[0] == pytest.approx(2 / 3)
    scaled = GroundedActions(per_step_scale="1/T", weight=0.3)([tried])
    np.testing.assert_allclose(scaled.steps[0], [0.0, 0.1, 0.1])
    assert GroundedActions(phrases=["moves"])([tried]).steps[0].tolist() == [0.5, 0.0, 0.5]
    assert GroundedActions(test=lambda one: [True, False, True])([tried]).steps[0].tolist() == [0.5, 0.0, 0.5]
    tried.info["fine"] = [1, 0, 0]
    assert GroundedActions(info_key="fine")([tried]).steps[0].tolist() == [0.5, 0.0, 0.0]
    tried.info["fine"] = [1, 0]
    assert GroundedActions(info_key="fine")([tried]).failed.all()
    assert "2 truth values for 3 actions" in GroundedActions(info_key="fine")([tried]).note(0)
    # a loop of harmless actions is bounded
    loop = chat(*[("look", "A box.")] * 50)
    assert GroundedActions()([loop]).values[0] == 25
    assert GroundedActions(per_step_scale="1/T")([loop]).values[0] == pytest.approx(0.5)


# ---- text -------------------------------------------------------------------------------------------------------------


def test_pieces_of_chats():
    one = chat(("a", "A"), ("b", "B"), ("c", "C"))
    made, owner = pieces([one], 2)
    assert owner == [[0, 1, 2]]
    assert [[action["content"] for action in piece.actions] for piece in made] == [["a"], ["a", "b"], ["b", "c"]]
    assert [message["content"] for message in made[2].messages] == ["open the box", "A", "b", "B", "c", "C"]
    assert [len(piece) for piece in pieces([one], "step")[0]] == [1, 1, 1]


@pytest.mark.parametrize("history", [False, True])
def test_hashed_words(history):
    encoder = HashedTextEncoder(64, history=history, after=True)
    calls = [{"id": "0", "type": "function", "function": {"name": "look_up", "arguments": '{"row": "Tom"}'}}]
    one = chat(("open", "Error: locked"), ("open", "It opens."))
    two = Trajectory.from_messages([*one.messages[:1], {"role": "assistant", "content": None, "tool_calls": calls}])
    rows = encoder.prepare([one, two])
    assert [row.shape for row in rows] == [(2, encoder.width), (1, encoder.width)]
    assert rows[0][0, :64].tolist() == rows[0][1, :64].tolist()  # the same words
    assert rows[0][0, 64:128].tolist() != rows[0][1, 64:128].tolist()  # after other messages
    assert np.linalg.norm(rows[1][0, :64]) == pytest.approx(1)
    with pytest.raises(ValueError, match="trajectory 0 is not a chat"):
        encoder.prepare([Trajectory(observations=np.zeros((2, 1)), actions=np.zeros((1, 1)))])


@pytest.mark.parametrize("head", ["hidden", "logits"])
def test_an_estimator_that_starts_from_a_policy(head, tmp_path):
    from rewardlab.policies.language_model import LanguageModelPolicy

    texts = ["open the box", "push", "pull", "Nothing happens. The box moves."]
    policy = LanguageModelPolicy.tiny(texts, hidden=32, layers=1, heads=2, vocabulary_size=300)
    chance = np.random.default_rng(0)
    trajectories, outcomes = [], []
    for index in range(96):
        said = chance.choice(["push", "pull"], size=int(chance.integers(1, 4)))
        moved = ["The box moves." if word == "push" else "Nothing happens." for word in said]
        trajectories.append(chat(*zip(said.tolist(), moved, strict=True), task=Task(id=str(index))))
        outcomes.append(float(np.mean(said == "push")))
    estimator = ProgressEstimator.from_policy(policy, head=head, epochs=8, learning_rate=3e-3, batch_size=16)
    before = {name: column.clone() for name, column in policy.model.state_dict().items()}
    report = estimator.fit(trajectories, outcomes)
    assert report.r2 > 0.5
    assert all((column == before[name]).all() for name, column in policy.model.state_dict().items())
    rows = estimator.contributions(trajectories[:8])
    assert [len(row) for row in rows] == [len(one) for one in trajectories[:8]]
    estimator.save(tmp_path)
    again = StepProgress(path=str(tmp_path))(trajectories[:8])
    np.testing.assert_allclose(np.concatenate(again.steps), np.concatenate(rows), atol=1e-6)
    # a text that does not fit would be learned as if its first steps were all
    short = ProgressEstimator.from_policy(policy, head=head, encoder={"max_length": 12})
    with pytest.raises(ValueError, match=r"trajectory 0 .*tokens"):
        short.fit(trajectories, outcomes)
    cut = ProgressEstimator.from_policy(policy, head=head, encoder={"max_length": 12, "truncate": True})
    with pytest.raises(ValueError, match=r"the encoder reads \d steps in trajectory \d+ \(task"):
        cut.fit(trajectories, outcomes)


def test_small_statistics():
    assert explained(np.array([1.0, 0.0]), np.array([1.0, 0.0])) == 1.0
    assert np.isnan(explained(np.zeros(2), np.ones(2)))
    assert np.isnan(correlation(np.ones(3), np.arange(3.0)))
    with pytest.raises(ValueError, match="contributions need features of the steps"):
        ContributionHead(2)(Encoded(response=None))
