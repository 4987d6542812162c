from __future__ import annotations

import json
import warnings

import numpy as np
import pytest

from rewardlab.learning.annotation import OnlineAnnotator, VirtualClock
from rewardlab.rewards import from_spec, to_spec
from rewardlab.rewards.intrinsic import InfoCaption, IntrinsicReward, ObservationCaption, mask_numbers
from rewardlab.rewards.intrinsic.word_models import WordClassifier, WordRanker, draw_pairs, pair_loss
from rewardlab.rewards.online import online
from rewardlab.types import Trajectory

NOTHING = np.zeros(2)
GOING = np.zeros(2, dtype=bool)


def said(next_observation):
    return [str(one) for one in next_observation]


def helpful(items):
    return [float("key" in item) for item in items]


def first_helps(items):
    return [0.5 if ("key" in one) == ("key" in two) else float("key" in one) for one, two in items]


def annotated(judge=helpful, delay=0, every=1, **options):
    return OnlineAnnotator(judge, run=VirtualClock(delay=delay, every=every), **options)


def step(stepping, *captions):
    count = len(captions)
    return stepping.step(np.zeros(count), np.zeros(count), np.array(captions), np.zeros(count, dtype=bool)).tolist()


def test_repeats_are_divided_by_their_count_in_the_trajectory_and_copies_count_alone():
    reward = IntrinsicReward(caption=said)
    reward.warm_start({"a key": 1.0, "a rat": 0.0})
    stepping = online(reward, 2)
    assert step(stepping, "a key", "a rat") == [0.1, 0.0]
    assert step(stepping, "a key", "a key") == pytest.approx([0.0125, 0.1])
    assert step(stepping, "a key", "") == pytest.approx([0.1 / 27, 0.0])
    stepping.reset(np.array([True, False]))
    assert step(stepping, "a key", "a key") == pytest.approx([0.1, 0.0125])
    assert step(stepping, "unheard of", "") == [0.0, 0.0]


def test_counts_grow_and_the_given_state_stays():
    reward = IntrinsicReward(caption=said, default=1.0, capacity=2)
    state = reward.start(1)
    for number in range(40):
        before = {name: table.copy() for name, table in state.items()}
        values, after = reward.advance(state, NOTHING[:1], NOTHING[:1], np.array([f"m{number}"]), GOING[:1])
        assert values.tolist() == [0.1]
        assert all(np.array_equal(before[name], state[name]) for name in before)
        state = after
    assert state["keys"].shape == (1, 64)
    again, _ = reward.advance(state, NOTHING[:1], NOTHING[:1], np.array(["m0"]), GOING[:1])
    assert again.tolist() == [0.0125]


def test_labels_work_once_they_arrive_and_ages_are_in_environment_steps():
    annotator = annotated(delay=4, every=2)
    stepping = online(reward := IntrinsicReward(caption=said, annotator=annotator, count_exponent=0.0), 2)
    paid = [step(stepping, "a key", "a rat")[0] for _ in range(5)]
    # asked at environment step 4, there at 8: the fourth call
    assert paid == [0.0, 0.0, 0.0, 0.1, 0.1]
    told = reward.diagnostics()
    assert (told["labelled"], told["age"], told["updates"], told["positive_rate"]) == (2, 6.0, 1, 0.5)
    assert told["known_share"] == 0.4
    assert told["top"][0]["caption"] == "a key"
    assert told["top"][0]["times"] == 2


def test_a_judge_that_never_answers_costs_no_step():
    stepping = online(IntrinsicReward(caption=said, annotator=annotated(delay=None)), 2)
    assert [step(stepping, "a key", f"{number}") for number in range(50)] == [[0.0, 0.0]] * 50


def test_frozen_rewards_learn_no_more():
    reward = IntrinsicReward(caption=said, annotator=annotated())
    stepping = online(reward, 1)
    step(stepping, "key one")
    step(stepping, "key one")
    reward.freeze()
    assert reward.deterministic
    for _ in range(3):
        assert step(stepping, "key two") == [0.0]
    assert reward.export_labels() == {"key one": 1.0}
    off_line = IntrinsicReward(caption=said)
    off_line.warm_start(reward.export_labels())
    assert off_line.values(["key one", "key two"], np.array([1, 1])).tolist() == [0.1, 0.0]


def test_scoring_stored_trajectories_asks_nobody_and_observing_does():
    annotator = annotated()
    reward = IntrinsicReward(caption=InfoCaption("message"), annotator=annotator)
    info = {"steps": {"message": np.array(["a key", "", "a key"])}}
    walk = Trajectory(observations=np.zeros((4, 1)), actions=np.zeros(3), terminated=True, info=info)
    assert reward([walk]).values.tolist() == [0.0]
    assert annotator.counters["submitted"] == 0
    reward.observe([walk])
    reward.observe([walk])
    assert reward([walk]).values.tolist() == pytest.approx([0.1125])
    assert reward.named("curious")([walk]).values.tolist() == pytest.approx([0.1125])
    blind = Trajectory(observations=np.zeros((4, 1)), actions=np.zeros(3), terminated=True)
    assert "reads what the simulator said" in reward([blind]).notes[0]


# ---- models --------------------------------------------------------------------------------------------------------------


def test_the_classifier_generalises_over_words_and_the_table_does_not():
    labels = {f"you pick up the {one} key": 1.0 for one in ("old", "red", "wet")}
    labels |= {f"you look at the {one} {thing}": 0.0 for one in ("old", "red", "wet") for thing in ("wall", "rat")}
    new = ["you pick up the odd key", "you look at the odd rat"]
    for model, expected in (("retrieval", [0.0, 0.0]), ("classifier", [0.1, 0.0])):
        reward = IntrinsicReward(caption=said, model=model)
        reward.warm_start(labels)
        assert reward.values(new, np.array([1, 1])).tolist() == expected


def test_pair_loss_by_hand():
    assert pair_loss(np.array([1.0]), np.array([0.0]), np.array([1.0]))[0] == pytest.approx(0.313262, abs=1e-6)
    assert pair_loss(np.array([1.0]), np.array([0.0]), np.array([0.5]))[0] == pytest.approx(0.813262, abs=1e-6)


def test_the_steps_of_classifier_and_ranker_follow_the_gradient():
    features = np.array([[0, 1], [2, 4]])  # 4 is the filling
    classifier = WordClassifier(size=4)
    slopes = np.array([0.5, -0.25])
    classifier.descend(features, slopes)
    gradient = np.array([0.25, 0.25, -0.125, 0.0, 0.0])
    assert classifier.weights == pytest.approx(-0.3 * gradient / np.sqrt(gradient**2 + 1e-8))


def test_the_ranker_learns_an_order_and_normalises():
    pairs = draw_pairs(["a key", "a rat", "a wall", ""], np.random.default_rng(0), 20)
    assert all("" not in pair and pair[0] != pair[1] for pair in pairs)
    ranker = WordRanker(size=64)
    for _ in range(5):
        ranker.learn(dict(zip(pairs, first_helps(pairs), strict=True)))
    for some in ([1.0, 3.0], [2.0]):
        ranker.meet(np.array(some))
    assert ranker.normalised(np.array([2.0, 3.0])) == pytest.approx([0.0, 1.5**0.5])
    assert ranker.agreement({("a key", "a rat"): 1.0}) == 1.0
    even = WordRanker()
    even.meet(np.ones(4))
    assert even.normalised(np.ones(4)).tolist() == [0.0] * 4
    assert draw_pairs(["a", "a"], np.random.default_rng(0)) == []


def test_a_ranker_pays_for_what_wins_comparisons():
    reward = IntrinsicReward(caption=said, model="ranker", annotator=annotated(first_helps), count_exponent=0.0)
    stepping = online(reward, 4)
    for _ in range(30):
        paid = step(stepping, "a key", "a rat", "a wall", "")
    assert paid[0] > 0.1
    assert paid[1:] == [0.0, 0.0, 0.0]


def test_a_ranker_of_one_environment_compares_with_what_came_before():
    reward = IntrinsicReward(caption=said, model="ranker", annotator=annotated(first_helps), count_exponent=0.0)
    stepping = online(reward, 1)
    paid = [step(stepping, caption)[0] for _ in range(20) for caption in ("a rat", "a key", "a wall")]
    assert paid[-2] > 0.1
    assert paid[-1] == 0.0


def test_a_classifier_of_characters(monkeypatch):
    monkeypatch.setattr("rewardlab.rewards.intrinsic.characters.STEPS", 8)
    reward = IntrinsicReward(caption=said, model="classifier", reads="characters")
    assert np.isnan(reward._mind.model.values(["a key"])).all()
    for _ in range(2):
        reward.warm_start({"the rat bites": 0.0, "a key": 1.0})
    again = IntrinsicReward(caption=said, model="classifier", reads="characters", seed=5)
    again.load_state_dict(reward.state_dict())
    for one in (reward, again):
        one.warm_start({"a key": 1.0})
    assert reward._mind.model.probabilities(["a key"]) == again._mind.model.probabilities(["a key"])
    assert reward._mind.model.probabilities(["a key"]) > reward._mind.model.probabilities(["the rat bites"])


@pytest.mark.parametrize("model", ["retrieval", "classifier", "ranker"])
def test_what_is_saved_goes_on_as_if_nothing_had_happened(model, tmp_path):
    judge = first_helps if model == "ranker" else helpful

    def run(stepping, numbers):
        return [step(stepping, f"key {number % 3}", f"rat {number % 5}", "", "a wall") for number in numbers]

    def make():
        return IntrinsicReward(caption=said, model=model, annotator=annotated(judge, batch=2), words=64)

    whole = make()
    run(online(whole, 4), range(20))
    whole.save(tmp_path)
    assert b"pickle" not in (tmp_path / "intrinsic.npz").read_bytes()
    other = make()
    other.restore(tmp_path)
    assert other.export_labels() == whole.export_labels()
    assert run(online(whole, 4), range(20, 50)) == run(online(other, 4), range(20, 50))
    with pytest.raises(ValueError, match=f"the state is that of model='{model}'"):
        IntrinsicReward(caption=said, model="ranker" if model != "ranker" else "retrieval").restore(tmp_path)
    json.dumps(whole.diagnostics())


# ---- warnings and bad input ------------------------------------------------------------------------------------------------


def test_captions_that_are_always_new_are_told_and_masks_help():
    def numbered(next_observation):
        return [f"you stand at {number}" for number in next_observation]

    for options, share in (({}, 1.0), ({"normalise": mask_numbers}, 1 / 2000)):
        reward = IntrinsicReward(caption=numbered, **options)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            rows = np.arange(2000)
            reward.advance(reward.start(2000), rows, rows, rows, np.zeros(2000, dtype=bool))
        assert reward.diagnostics()["unique_rate"] == share
        assert [bool("give normalise=mask_numbers" in str(one.message)) for one in told] == [True] * (share == 1.0)


@pytest.mark.parametrize(
    ("labels", "model", "match"),
    [
        ({f"m{number}": 1.0 for number in range(50)}, "retrieval", "all 50 labels are positive"),
        ({f"m{number}": 0.0 for number in range(50)}, "classifier", "none of 50 labels is positive"),
        ({(f"m{number}", "x"): 0.5 for number in range(50)}, "ranker", "all 50 comparisons are ties"),
    ],
)
def test_labels_that_say_nothing_are_told(labels, model, match):
    reward = IntrinsicReward(caption=said, model=model)
    with pytest.warns(RuntimeWarning, match=match):
        reward.warm_start(labels)
    values = reward.values(["m1", "m2"], np.array([1, 1]))
    assert np.isfinite(values).all()


def test_captions_of_all_kinds_become_clean_text():
    message = np.zeros((4, 300), dtype=np.uint8)
    for row, text in enumerate((b"hello\0junk", b"", b"\xff\xfe", b"x" * 300)):
        message[row, : len(text)] = np.frombuffer(text, dtype=np.uint8)
    reward = IntrinsicReward(caption=ObservationCaption("message"))
    captions = reward.captions(None, None, {"message": message}, np.zeros(4, dtype=bool))
    assert captions == ["hello", "", "\ufffd\ufffd", "x" * 256]
    told = reward.diagnostics()
    assert (told["cut"], told["undecodable"]) == (1, 1)
    info = IntrinsicReward(caption=InfoCaption("message"))
    texts = np.array(["a", None], dtype=object)
    assert info.captions(None, None, None, GOING, {"message": texts}) == ["a", ""]
    assert info.captions(None, None, None, GOING, {}) == ["", ""]


def caption_of_a_module(next_observation):
    return [""] * len(next_observation)


def test_the_spec_holds_options_and_no_labels():
    reward = IntrinsicReward(caption=caption_of_a_module, model="classifier", threshold=0.7)
    assert from_spec(to_spec(reward)) == reward
    assert reward.spec_hash is None


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda: IntrinsicReward(caption=lambda frame: []),
            "asks for frame; name its arguments among observation, action",
        ),
        (lambda: IntrinsicReward(caption=said, model="classifier", threshold=2.0), "'threshold' must be a probability"),
        (lambda: IntrinsicReward(caption=said, model="oracle"), "'model' must be"),
        (lambda: IntrinsicReward(caption=said, count_exponent=-1.0), "'count_exponent' must be not negative, got -1.0"),
        (
            lambda: IntrinsicReward(caption=said, annotator="gpt"),
            "'annotator' must be an OnlineAnnotator, or None, got 'gpt'",
        ),
        (
            lambda: IntrinsicReward(caption=said, reads="characters"),
            "'reads' must be 'words' unless model is 'classifier'",
        ),
        (lambda: IntrinsicReward(caption=said).warm_start({"a": 2.0}), "expected a caption and a label in .*'a': 2.0"),
        (lambda: IntrinsicReward(caption=said, model="ranker").warm_start({"a": 1.0}), "expected a pair of captions"),
        (
            lambda: IntrinsicReward(caption=lambda action: [3, 4]).transition(NOTHING, NOTHING, NOTHING, GOING),
            r"caption of transition 0 is 3 \(int\), expected text",
        ),
        (
            lambda: IntrinsicReward(caption=lambda action: "ab").transition(NOTHING, NOTHING, NOTHING, GOING),
            "returned 'ab' for 2 transitions; return 2 captions",
        ),
        (
            lambda: IntrinsicReward(caption=ObservationCaption("text")).transition(NOTHING, NOTHING, NOTHING, GOING),
            "the observation has no part 'text' to take captions from, it is ndarray",
        ),
        (lambda: IntrinsicReward(caption=said).restore("/nowhere"), "holds no intrinsic.json"),
    ],
)
def test_bad_input_is_told(make, match):
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=match):
        make()
