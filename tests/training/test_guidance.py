"""Guidance: shown while attempting, gone when learning, refused where it leaks, and right off-policy."""

from __future__ import annotations

import numpy as np
import pytest

from rewardlab.environments.base import Environment, Step
from rewardlab.environments.single_turn import SingleTurn
from rewardlab.policies.engines.base import Sampling
from rewardlab.policies.rollout import rollout
from rewardlab.recipes.pieces import piece_policy
from rewardlab.rewards import Verifier
from rewardlab.training.guidance import (
    Guidance,
    Guided,
    HintFormat,
    LeakCheck,
    ModelTeacher,
    ReferenceTeacher,
    bare_logprobs,
    copied_share,
    guidance_metrics,
    longest_common_span,
)
from rewardlab.training.loop import train
from rewardlab.types import Scores, Task, Trajectory, message_text

SHORT = Sampling(max_new_tokens=1)
HOW = HintFormat(template="{hint}", headings={})
NO_CHECK = None


class Even(Verifier):
    """1 where the answer is an even digit."""

    def verify(self, trajectory: Trajectory) -> float:
        return float(trajectory.completion in ("0", "2"))


def teacher(task, trajectory, scores):
    return Guidance(plan="<plan>", feedback="<back>", interaction="<where>")


def policy():
    return piece_policy(
        ["<a>", "<b>", "<plan>", "<back>", "<where>", "<sys>", *"0123"], hidden=16, layers=1, heads=2, seed=3
    )


def tasks(*names: str) -> list[Task]:
    return [Task(id=name, prompt=[{"role": "user", "content": f"<{name}>"}], reference="2") for name in names]


def guided(**options) -> Guided:
    return Guided(**{"teacher": teacher, "reward": Even(), "how": HOW, **options})


def run(seat: Guided, actor=None, *, names=("a", "b"), group_size=6, seed=0, environment=SingleTurn, sampling=SHORT):
    actor = actor or policy()
    return seat(actor, environment, tasks(*names), group_size=group_size, seed=seed, sampling=sampling)


def test_failures_are_tried_again_and_learned_from_without_the_hint():
    actor = policy()
    first = rollout(actor, SingleTurn, tasks("a", "b"), group_size=6, sampling=SHORT)
    seat = guided()
    both = run(seat, actor)
    assert [one.actions for one in both[:12]] == [one.actions for one in first]
    failed = [one for one in first if Even()([one]).values[0] == 0.0]
    retried = both[12:]
    assert [one.group for one in retried] == [one.group for one in failed]
    assert len(retried) == seat.counts["retried"] == seat.counts["failures"] == len(failed) > 0
    prompt = first[0].tokens.ids[:2].tolist()
    for one in retried:
        assert one.info["guided"]
        assert one.info["hint"] == "<plan>\n<back>\n<where>"
        assert one.observations[0] == one.task.prompt
        assert one.task.metadata == {}
        assert one.tokens.ids[: len(prompt)].tolist() == actor.template.opening(one.task.prompt)
        assert (one.tokens.step >= 0).sum() == 1


def test_stripped_and_unstripped_prompts_differ_by_the_hint_alone():
    stripped, kept = run(guided())[12:], run(guided(strip=False))[12:]
    hint = policy().tokenizer.encode("<plan>\n<back>\n<where>", add_special_tokens=False)
    assert len(stripped) == len(kept) > 0
    for one, other in zip(stripped, kept, strict=True):
        assert one.actions == other.actions
        behind = one.tokens.ids[one.tokens.step >= 0]
        assert np.array_equal(behind, other.tokens.ids[other.tokens.step >= 0])
        extra = len(other.tokens) - len(one.tokens)
        assert extra == len(hint)
        assert other.tokens.ids[1 : 1 + extra].tolist() == hint
        assert np.array_equal(np.delete(other.tokens.ids, range(1, 1 + extra)), one.tokens.ids)
        written = one.tokens.logprobs[one.tokens.step >= 0], other.tokens.logprobs[other.tokens.step >= 0]
        assert np.array_equal(*written)


def test_behaviour_log_probabilities_are_those_under_the_hint_and_bare_ones_those_of_the_task():
    actor = policy()
    unstripped = run(guided(strip=False), actor)[12:]
    behaviour = run(guided(), actor)[12:]
    bare = run(guided(logprobs="bare"), actor)[12:]
    under_hint, under_task = bare_logprobs(actor, unstripped), bare_logprobs(actor, bare)
    for one, same, other, hinted, plain in zip(behaviour, unstripped, bare, under_hint, under_task, strict=True):
        written = one.tokens.step >= 0
        assert one.tokens.logprobs[written] == pytest.approx(hinted[same.tokens.step >= 0], abs=1e-5)
        assert other.tokens.logprobs == pytest.approx(plain, abs=1e-5)
        ratio = float(plain[written].mean() - one.tokens.logprobs[written].mean())
        assert other.info["log_ratio"] == pytest.approx(ratio, abs=1e-5)
    assert any(abs(one.info["log_ratio"]) > 1e-3 for one in bare)


def test_log_probabilities_are_taken_at_the_sampling_temperature():
    actor, warm = policy(), Sampling(temperature=0.5, max_new_tokens=1)
    for one in run(guided(logprobs="bare"), actor, sampling=warm)[12:]:
        assert one.tokens.logprobs == pytest.approx(bare_logprobs(actor, [one], temperature=0.5)[0], abs=1e-5)
    kept = run(guided(strip=False), actor, sampling=warm)[12:]
    for one, column in zip(kept, bare_logprobs(actor, kept, temperature=0.5), strict=True):
        assert one.tokens.logprobs == pytest.approx(column, abs=1e-5)


def test_improbable_successes_are_refused():
    wide = guided(least_log_ratio=-1e9)
    narrow = guided(least_log_ratio=1e9)
    assert len(run(wide)) > len(run(narrow))
    assert narrow.counts["unlikely"] > 0 == wide.counts["unlikely"]


def test_hints_in_system_and_user_are_both_stripped():
    how = HintFormat(template="{hint}", headings={}, places=("system", "user", "message"))

    class WithSystem(SingleTurn):
        def reset(self, task, seed):
            return [{"role": "system", "content": "<sys>"}, *super().reset(task, seed)]

    seen = run(guided(how=how, strip=False), environment=WithSystem)[12:]
    gone = run(guided(how=how), environment=WithSystem)[12:]
    assert [message_text(one) for one in seen[0].observations[0]].count("<sys><plan>\n<back>\n<where>") == 1
    assert len(seen[0].observations[0]) == 3
    hints = set(policy().tokenizer.encode("<plan><back><where>", add_special_tokens=False))
    assert gone
    assert not any(hints & set(one.tokens.ids.tolist()[:-1]) for one in gone)
    assert all(hints & set(one.tokens.ids.tolist()[:-1]) for one in seen)


def test_only_unsolved_tasks_only_some_parts_only_successes():
    seat = guided(when="unsolved", parts=["interaction"], keep="successes")
    both = run(seat, names=("a", "b") * 4, group_size=1, seed=5)
    values = Even()(both).values
    assert all(value == 1.0 for one, value in zip(both, values, strict=True) if one.info.get("guided"))
    assert all(one.info["hint"] == "<where>" for one in both if one.info.get("guided"))
    many = guided(when="unsolved")
    run(many, group_size=64)  # some attempt at each task succeeds
    assert many.counts["failures"] == 0 < many.counts["unguided"]


def test_help_rises_until_the_first_success():
    seat = guided(levels=[["plan"], ["plan", "interaction"], ["plan", "feedback", "interaction"]])
    both = run(seat)
    tries = [one.info["attempt"] for one in both if one.info.get("guided")]
    assert tries == sorted(tries)
    assert {1, 2} <= set(tries)
    wins = {n: sum(Even()([one]).values[0] == 1.0 for one in both if one.info.get("attempt") == n) for n in (1, 2)}
    assert tries.count(2) == tries.count(1) - wins[1]
    assert {one.info["hint"] for one in both if one.info.get("attempt") == 2} == {"<plan>\n<where>"}


@pytest.mark.parametrize("answer", [None, Guidance(), Guidance(plan="  "), "raise", "text"])
def test_a_teacher_that_fails_or_says_nothing_costs_only_the_hint(answer):
    def broken(task, trajectory, scores):
        if answer == "raise":
            raise TimeoutError("no answer")
        return answer

    seat = guided(teacher=broken)
    both = run(seat)
    assert len(both) == 12
    assert seat.counts["teacher_failed"] == seat.counts["failures"] > 0 == seat.counts["retried"]


def test_guided_attempts_begin_where_the_failure_began():
    class Chance(SingleTurn):
        def reset(self, task, seed):
            return [*super().reset(task, seed), {"role": "user", "content": str(seed % 4)}]

    both = run(guided(), names=("a", "b", "a", "b", "a"), environment=Chance)
    starts = {one.group: one.observations[0] for one in both if not one.info.get("guided")}
    assert len({str(start) for start in starts.values()}) > 2
    retried = [one for one in both if one.info.get("guided")]
    assert retried
    assert all(one.observations[0] == starts[one.group] for one in retried)


def test_what_could_not_be_scored_is_not_retried():
    class Half(Verifier):
        def verify(self, trajectory: Trajectory) -> float:
            if trajectory.completion == "1":
                raise RuntimeError("the tests could not be run")
            return 0.0

    seat = guided(reward=Half())
    both = run(seat)
    broken = sum(one.completion == "1" for one in both[:12])
    assert seat.counts["failures"] == 12 - broken < 12


def test_greedy_attempts_and_foreign_tasks_are_never_guided():
    assert len(run(guided(), sampling=Sampling(temperature=0.0, max_new_tokens=1))) == 12
    seat = guided(tasks=tasks("a"))
    assert {one.task.id for one in run(seat) if one.info.get("guided")} == {"a"}


def test_leaks_are_refused_flagged_or_let_through():
    check = LeakCheck(longest_span=5)
    text = {"patch": "return left + right", "files": ["x"]}
    assert longest_common_span("write return  left here", text) == len("return left ")
    assert check.leaks("write return left here", text)
    assert not check.leaks("use the sum", text)
    assert not LeakCheck(hints="off", longest_span=1).leaks("return", text)
    long = [Task(id="a", prompt=[{"role": "user", "content": "<a>"}], reference="the whole answer is here")]

    def tells(task, trajectory, scores):
        return Guidance(plan=task.reference)

    for action, retried in (("refuse", False), ("flag", True)):
        seat = guided(teacher=tells, leak_check=LeakCheck(longest_span=10, hints=action))
        both = seat(policy(), SingleTurn, long, group_size=6, sampling=SHORT)
        assert seat.counts["leaked"] == seat.counts["failures"] > 0
        assert bool(seat.counts["retried"]) is retried
        assert all(one.info["leaked"] for one in both if one.info.get("guided"))


def test_an_attempt_that_talks_about_its_hint_is_no_positive():
    said = Trajectory.from_text("q", "As the Hint says, 2")
    assert LeakCheck().mentioned(said) == "Hint"
    assert LeakCheck().mentioned(Trajectory.from_text("q", "hinterland")) is None
    assert copied_share("look at 2 there", said) == 0.25
    seat = guided(leak_check=LeakCheck(words=("2",)))
    flags = guided(leak_check=LeakCheck(words=("2",), mentions="flag"))
    left = run(seat)
    assert not any(one.completion == "2" for one in left if one.info.get("guided"))
    assert seat.counts["mentions"] > 0
    assert any(one.info.get("mentions_hint") == "2" for one in run(flags))


def test_the_reference_teacher_fills_in_what_is_there():
    task = Task(id="t", prompt=[], reference={"bugs": [{"file": "a.py", "line": 3}]})
    scores = Scores(values=[0.0], notes=["got 4"])
    said = ReferenceTeacher(
        key="bugs", plan="see {nothing}", interaction="{file}, line {line}", feedback=lambda task, one, found: "no"
    )(task, Trajectory.from_text("q", "a"), scores)
    assert said == Guidance(interaction="a.py, line 3", feedback="no")
    assert ReferenceTeacher()(task, Trajectory.from_text("q", "a"), scores) == Guidance(feedback="got 4")


def test_a_model_teacher_asks_in_one_batch_and_reads_the_parts():
    asked = []

    class Model:
        def respond(self, conversations, *, sampling, seed):
            asked.append(conversations)
            answers = ["**Plan**: look\nagain.\nWhere: line 3", "I do not know."]
            return [{"role": "assistant", "content": text} for text in answers]

    failure = (tasks("a")[0], Trajectory.from_text("q", "the attempt"), Scores(values=[0.0], notes=["a {plan} note"]))
    first, second = ModelTeacher(policy=Model()).many([failure, failure])
    assert first == Guidance(plan="look again.", interaction="line 3")
    assert second is None
    question = asked[0][0][0]["content"]
    assert len(asked) == 1
    assert all(text in question for text in ("<a>", "the attempt", '"2"', "a {plan} note"))
    assert '"2"' not in ModelTeacher(policy=Model(), show_reference=False).question(*failure)


def test_others_attempts_come_in_the_policys_own_tokens():
    other = piece_policy(
        ["x", "<a>", "<b>", "<plan>", "<back>", "<where>", *"0123"], hidden=8, layers=1, heads=2, seed=1
    )
    actor = policy()
    both = run(guided(actor=other), actor)
    for one in both[12:]:
        assert one.info["off_policy"]
        expected = actor.encode_demonstration(one)
        assert one.tokens.ids.tolist() == expected.ids.tolist()
        assert one.tokens.logprobs == pytest.approx(bare_logprobs(actor, [one])[0], abs=1e-5)


def test_the_numbers_of_guidance():
    both = run(guided())
    found = guidance_metrics(both, Even()(both))
    assert 0.0 <= found["unguided"] <= 1.0
    assert 0.0 <= found["guided"] <= 1.0
    assert found["solved"] + found["solved_with_guidance"] <= 1.0
    assert found["empty"] == sum(one.completion == "" for one in both) / len(both)


def test_the_loop_trains_on_guided_groups():
    actor = policy()
    result = train(
        actor,
        SingleTurn,
        Even(),
        tasks("a", "b"),
        rollout=guided(),
        objective={"type": "grpo", "learning_rate": 1e-2},
        steps=3,
        group_size=4,
        tasks_per_step=2,
        sampling=SHORT,
        trackers=[],
    )
    assert len(result.metrics) == 3
    assert any(np.isfinite(one["objective/loss"]) if "objective/loss" in one else True for one in result.metrics)


def test_an_environment_with_tools_and_state_is_hinted_and_closed():
    closed = []

    class World(Environment):
        tools = ()

        def reset(self, task, seed):
            self.turn = 0
            return list(task.prompt)

        def step(self, action):
            self.turn += 1
            return Step(
                observation=[] if self.turn == 2 else [{"role": "user", "content": "<b>"}], terminated=self.turn == 2
            )

        def close(self):
            closed.append(1)

    both = run(guided(), environment=World, sampling=Sampling(max_new_tokens=60))
    guided_ones = [one for one in both if one.info.get("guided")]
    assert len(closed) == len(both)
    whole = [one for one in guided_ones if one.terminated]
    assert whole
    assert all(len(one) == 2 and one.tokens.step.max() == 1 for one in whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"when": "always"}, "failed, unsolved"),
        ({"parts": ["plans"]}, "plan, feedback"),
        ({"parts": []}, "list of some"),
        ({"levels": [["no"]]}, "plan, feedback"),
        ({"keep": "none"}, "all, successes"),
        ({"logprobs": "none"}, "behaviour or bare"),
        ({"strip": False, "logprobs": "bare"}, "strip=True"),
    ],
)
def test_wrong_options_say_what_is_possible(options, message):
    with pytest.raises(ValueError, match=message):
        guided(**options)
    with pytest.raises(ValueError, match="hint"):
        HintFormat(template="no place")
    with pytest.raises(ValueError, match="user, system"):
        HintFormat(places=("tool",))
    with pytest.raises(ValueError, match="refuse, flag"):
        LeakCheck(hints="maybe")
