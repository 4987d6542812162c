from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rewardlab as rl
from rewardlab.rewards.algebra import Cache, Cascade, Clip, Ensemble, Gate, Hybrid, Normalise, Scheduled, Sum
from rewardlab.rewards.algebra.cache import content_key
from rewardlab.rewards.algebra.normalise import RunningStatistics, normalise_by_group
from rewardlab.rewards.shaping import kinesthetic_mean
from tests.rewards.samples import answer, exact, length, moody, picky, rank_in_group, waits


def fixed(name: str, values: list[float | None], *, confidence: list[float] | None = None) -> rl.Reward:
    """A reward that gives sample i (its text is the number i) the i-th value; None abstains, NaN fails."""

    @rl.reward(name=name)
    def look_up(completion: str) -> object:
        value = values[int(completion)]
        if value is None or confidence is None:
            return value
        return rl.Verdict(value, confidence=confidence[int(completion)])

    return look_up


def batch(count: int, groups: int = 1) -> list[rl.Trajectory]:
    return [answer(str(index), group=str(index % groups)) for index in range(count)]


NAN = float("nan")


class TestSum:
    def test_values_weights_and_named_parts(self) -> None:
        scores = (0.8 * length + 0.2 * exact - 1)([answer("gold", "gold"), answer("no", "gold")])
        assert scores.values == pytest.approx([0.8 * 4 + 0.2 - 1, 0.8 * 2 - 1])
        assert [name for name, _ in scores.flat_parts()] == ["length", "exact"]

    def test_arithmetic_reads_as_it_is_written(self) -> None:
        sample = [answer("abcd")]
        for reward, expected in [
            (2 * length, 8), (length * 2, 8), (length / 2, 2), (-length, -4), (1 - length, -3), (length - 1, 3),
            (1 + length, 5), (length - length, 0), (length * length, 16), (2 * (length + 1), 10), (-(length + 1) * 3, -15),
        ]:  # fmt: skip
            assert reward(sample).values.tolist() == [expected]

    def test_a_part_that_failed_makes_the_whole_fail_and_says_which(self) -> None:
        scores = (length + picky)([answer("fine"), answer("break"), answer("skip")])
        assert scores.status.tolist() == [rl.Status.SCORED, rl.Status.FAILED, rl.Status.SCORED]
        assert scores.note(1) == "picky: RuntimeError: no tests could run"
        assert scores.values[2] == 4  # the part that abstained is left out
        assert scores.parts["length"].values.tolist() == [4, 5, 4]

    def test_abstaining_parts_follow_the_option(self) -> None:
        parts = {"a": fixed("a", [1.0, 1.0, None]), "b": fixed("b", [3.0, None, None])}
        for option, expected in [("skip", [4, 1, NAN]), ("renormalise", [4, 2, NAN]), ("abstain", [4, NAN, NAN])]:
            scores = Sum(parts=parts, abstained=option)(batch(3))  # type: ignore[arg-type]
            assert np.array_equal(scores.values, expected, equal_nan=True), option
            assert not scores.failed.any()

    def test_a_part_of_weight_zero_is_logged_and_decides_nothing(self) -> None:
        scores = (length + 0.0 * picky)([answer("break")])
        assert scores.values.tolist() == [5]
        assert scores.parts["picky"].failed.all()

    def test_two_parts_of_one_name_both_stay(self) -> None:
        scores = (length + length + exact)([answer("ab", "ab")])
        assert list(scores.parts) == ["length", "length_2", "exact"]
        assert scores.values.tolist() == [5]

    def test_named_sums_stay_whole_and_parts_have_dotted_names(self) -> None:
        style = (length + exact).named("style")
        scores = (style + 0.5 * waits)([answer("ab", "ab")])
        assert [name for name, _ in scores.flat_parts()] == ["style", "style.length", "style.exact", "waits"]

    def test_values_that_leave_the_floats_are_failed(self) -> None:
        huge = fixed("huge", [1e308])
        for reward in (10.0 * huge, huge * huge, Scheduled(reward=huge, schedule=lambda progress: 10.0)):
            scores = reward(batch(1), progress=0.0)
            assert scores.failed.all()
            assert "not a finite number" in (scores.note(0) or "")

    def test_step_values_add_up(self) -> None:
        @rl.reward
        def stepwise(completion: str) -> rl.Verdict:
            return rl.Verdict(1.0, steps=[0.25])

        scores = (2 * stepwise + length + stepwise)(batch(1))
        assert scores.steps[0].tolist() == [0.75]  # type: ignore[index,union-attr]

    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda: Sum(parts={}), "needs at least 1 rewards, got 0"),
            (lambda: Sum(parts={"a.b": length}), "must not be empty or hold a dot"),
            (lambda: Sum(parts={"a": length}, weights={"b": 1}), "names the part 'b', which is not there; parts: a"),
            (lambda: Sum(parts={"a": length}, weights={"a": NAN}), "the weight nan, expected a finite number"),
            (lambda: Sum(parts={"a": "length"}), "option 'parts' must be"),
            (lambda: length + "exact", "can be added to a reward or a number, got str"),
            (lambda: length * None, "got NoneType"),
            (lambda: Clip(reward=length), "give option 'low', option 'high', or both"),
            (lambda: Clip(reward=length, low=2, high=1), "must not be above 'high', got 2.0 and 1.0"),
            (lambda: Ensemble(members={"a": length}, reduce="meen"), "option 'reduce' must be"),
            (lambda: Ensemble(members={"a": length}, quantile=2), "must be in \\[0, 1\\], got 2"),
            (lambda: Ensemble(members={"a": length}, least=2), "must be in \\[1, 1\\], got 2"),
            (lambda: Hybrid(first=length, second=exact, confidence=7), "must be in \\[0, 1\\], got 7"),
            (lambda: Cascade(checks={"a": length}, threshold=(1.0, 2.0)), "has 2 entries for 1 checks"),
            (lambda: moody.cached(), "moody is not deterministic"),
            (lambda: Normalise(reward=length, by="epoch"), "option 'by' must be"),
        ],
    )  # fmt: skip
    def test_bad_options_are_refused(self, build: object, message: str) -> None:
        with pytest.raises((ValueError, TypeError), match=message):
            build()  # type: ignore[operator]


class TestGates:
    def test_the_gate_decides_and_both_parts_are_logged_for_every_sample(self) -> None:
        gate = fixed("gate", [1.0, 0.0, NAN, None])
        scores = Gate(reward=length, gate=gate, otherwise=-1)(batch(4))
        assert np.array_equal(scores.values, [1, -1, NAN, NAN], equal_nan=True)
        assert [rl.Status(state).name for state in scores.status] == ["SCORED", "SCORED", "FAILED", "ABSTAINED"]
        assert scores.parts["length"].scored.all()

    def test_a_failure_behind_a_shut_gate_does_not_count(self) -> None:
        shut = fixed("inner", [NAN]).gated_by(fixed("gate", [0.0]))(batch(1))
        assert shut.values.tolist() == [0.0]
        assert shut.parts["inner"].failed.all()

    def test_a_cascade_asks_the_next_check_only_about_what_passed(self) -> None:
        asked: list[str] = []

        @rl.reward
        def dear(completion: str) -> float:
            asked.append(completion)
            return 0.5

        scores = rl.cascade(fixed("cheap", [1.0, 0.25, NAN, None]), dear)(batch(4))
        assert asked == ["0", "3"]
        assert np.array_equal(scores.values, [0.5, 0.25, NAN, 0.5], equal_nan=True)
        assert scores.failed.tolist() == [False, False, True, False]
        assert scores.parts["dear"].abstained.tolist() == [False, True, True, False]

    @pytest.mark.parametrize(("combine", "expected"), [("last", 3.0), ("mean", 2.0), ("product", 3.0)])
    def test_what_passes_every_check_gets_what_the_option_says(self, combine: str, expected: float) -> None:
        cascade = rl.cascade(fixed("a", [1.0]), fixed("b", [3.0]), combine=combine)
        assert cascade(batch(1)).values.tolist() == [expected]

    def test_a_cascade_shows_a_group_check_the_whole_group(self) -> None:
        trajectories = [answer("0", group="g"), answer("11", group="g"), answer("222", group="g")]

        @rl.reward
        def first(completion: str) -> float:
            return 0.0 if completion == "0" else 1.0

        scores = rl.cascade(first, rank_in_group)(trajectories)
        assert scores.values.tolist() == [0, 1, 2]

    def test_the_rule_where_it_is_sure_and_the_model_elsewhere(self) -> None:
        asked: list[str] = []

        @rl.reward
        def model(completion: str) -> float:
            asked.append(completion)
            return 9.0

        rule = fixed("rule", [1.0, 1.0, None, NAN], confidence=[0.9, 0.2, 1, 1])
        scores = rl.hybrid(rule, model)(batch(4))
        assert scores.values.tolist() == [1, 9, 9, 9]
        assert asked == ["1", "2", "3"]
        assert scores.parts["model"].abstained.tolist() == [True, False, False, False]


class TestEnsemble:
    VALUES = ([1.0, 0.0], [3.0, 0.0], [8.0, 0.0])

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"reduce": "mean"}, 4.0),
            ({"reduce": "median"}, 3.0),
            ({"reduce": "min"}, 1.0),
            ({"reduce": "max"}, 8.0),
            ({"reduce": "quantile", "quantile": 0.25}, 2.0),
            ({"reduce": "mean_minus_std", "k": 2.0}, 4.0 - 2 * np.std([1, 3, 8])),
        ],
    )
    def test_reductions(self, options: dict, expected: float) -> None:
        members = [fixed(f"m{index}", values) for index, values in enumerate(self.VALUES)]  # type: ignore[arg-type]
        scores = rl.ensemble(*members, **options)(batch(2))
        assert scores.values == pytest.approx([expected, 0.0])
        assert scores.confidence == pytest.approx([1 / (1 + np.std([1, 3, 8])), 1.0])

    def test_members_that_failed_count_as_the_option_says(self) -> None:
        members = fixed("a", [1.0, 1.0, 1.0]), fixed("b", [3.0, NAN, None])
        strict = rl.ensemble(*members)(batch(3))
        assert strict.status.tolist() == [rl.Status.SCORED, rl.Status.FAILED, rl.Status.SCORED]
        lenient = rl.ensemble(*members, least=1)(batch(3))
        assert lenient.values.tolist() == [2, 1, 1]
        both = rl.ensemble(*members, least=2)(batch(3))
        assert both.status.tolist() == [rl.Status.SCORED, rl.Status.FAILED, rl.Status.ABSTAINED]


class TestTransforms:
    def test_clip_keeps_the_raw_values_as_a_part(self) -> None:
        scores = length.clipped(1, 2)([answer(""), answer("abc")])
        assert scores.values.tolist() == [1, 2]
        assert scores.parts["length"].values.tolist() == [0, 3]

    def test_a_schedule_needs_progress_and_scales(self) -> None:
        reward = length.scheduled(rl.Linear(1.0, 0.0, begin=0.5))
        assert [reward([answer("ab")], progress=at).values[0] for at in (0, 0.5, 0.75, 1)] == [2, 2, 1, 0]
        with pytest.raises(ValueError, match="needs the progress of training"):
            reward([answer("ab")])
        with pytest.raises(ValueError, match="0 <= begin <= finish <= 1"):
            rl.Linear(0, 1, begin=0.9, finish=0.1)

    def test_a_group_is_normalised_by_itself(self) -> None:
        trajectories = [
            answer("a", group="x"),
            answer("abc", group="x"),
            answer("zz", group="y"),
            answer("zz", group="y"),
        ]
        scores = length.normalised(by="group")(trajectories)
        assert scores.values == pytest.approx([-1, 1, 0, 0])

    def test_running_statistics_learn_only_when_the_loop_observes(self) -> None:
        reward = length.normalised()
        trajectories = [answer("a"), answer("abc"), answer("abcde")]
        before = reward(trajectories)
        assert reward(trajectories).values.tolist() == before.values.tolist()
        reward.observe(trajectories, before)
        assert isinstance(reward, Normalise)
        assert reward.statistics.mean == 3
        after = reward(trajectories)
        assert after.values == pytest.approx(np.array([-2, 0, 2]) / np.std([1, 3, 5]))
        assert after.reward_hash != before.reward_hash

    def test_running_statistics_inside_a_sum_are_saved_and_taken_back(self) -> None:
        trajectories = [answer("a"), answer("abc")]
        reward = 0.5 * length.normalised().named("norm") + exact
        reward.observe(trajectories, reward(trajectories))
        fresh = 0.5 * length.normalised().named("norm") + exact
        assert fresh(trajectories).values.tolist() != reward(trajectories).values.tolist()
        fresh.load_state_dict(reward.state_dict())
        assert fresh(trajectories).values.tolist() == reward(trajectories).values.tolist()
        with pytest.raises(ValueError, match="has no part 'other'"):
            fresh.load_state_dict({"other": {}})

    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(1, 5))
    def test_updates_in_pieces_equal_one_update(self, values: list[float], size: int) -> None:
        whole = RunningStatistics().update(np.array(values))
        pieces = RunningStatistics()
        for start in range(0, len(values), size):
            pieces = pieces.update(np.array(values[start : start + size]))
        assert pieces.count == whole.count
        assert pieces.mean == pytest.approx(whole.mean, rel=1e-9, abs=1e-6)
        assert pieces.deviation == pytest.approx(np.std(values), rel=1e-6, abs=1e-6)

    @given(
        st.lists(st.tuples(st.one_of(st.floats(-1e9, 1e9), st.just(NAN)), st.integers(0, 4)), min_size=1, max_size=30)
    )
    def test_group_normalisation_equals_the_plain_loop(self, rows: list[tuple[float, int]]) -> None:
        values = np.array([row[0] for row in rows])
        member = np.array([row[1] for row in rows])
        result = normalise_by_group(values, member)
        for group in set(member.tolist()):
            inside = values[(member == group) & np.isfinite(values)]
            got = result[(member == group) & np.isfinite(values)]
            if inside.size and inside.max() == inside.min():
                assert (got == 0).all()
            elif inside.size:
                assert got == pytest.approx((inside - inside.mean()) / (inside.std() + 1e-8), rel=1e-6, abs=1e-6)
        assert np.isnan(result[~np.isfinite(values)]).all()

    def test_equal_values_with_rounding_stay_exactly_zero(self) -> None:
        values = np.full(7, 0.1)
        assert (normalise_by_group(values, np.zeros(7, dtype=int)) == 0).all()


class TestCache:
    def test_scores_are_remembered_by_content(self) -> None:
        calls: list[str] = []

        @rl.reward
        def counted(completion: str) -> float:
            calls.append(completion)
            return float(len(completion))

        cached = counted.cached()
        assert cached([answer("a"), answer("a"), answer("bb")]).values.tolist() == [1, 1, 2]
        assert cached([answer("bb"), answer("ccc")]).values.tolist() == [2, 3]
        assert calls == ["a", "bb", "ccc"]
        assert isinstance(cached, Cache)
        assert (cached.hits, cached.misses) == (2, 3)

    def test_failures_are_tried_again_and_groups_are_remembered_whole(self) -> None:
        trouble = [True]

        @rl.reward
        def flaky(completion: str) -> float:
            if trouble[0]:
                raise OSError("no network")
            return 1.0

        cached = flaky.cached()
        assert cached([answer("a")]).failed.all()
        trouble[0] = False
        assert cached([answer("a")]).scored.all()

        groups = rank_in_group.cached()
        small = [answer("a", group="g"), answer("bb", group="g")]
        assert groups(small).values.tolist() == [0, 1]
        assert groups([*small, answer("", group="g")]).values.tolist() == [1, 2, 0]

    def test_the_oldest_go_first(self) -> None:
        cached = length.cached(size=2)
        for text in ("a", "b", "a", "c"):
            cached([answer(text)])
        assert isinstance(cached, Cache)
        before = cached.misses
        cached([answer("a")])
        assert cached.misses == before
        cached([answer("b")])
        assert cached.misses == before + 1

    def test_everything_that_a_reward_could_read_is_in_the_key(self) -> None:
        plain = answer("a", 1)
        assert content_key(plain) == content_key(answer("a", 1, group="other"))
        different = [answer("b", 1), answer("a", 2), answer("a", "1"), answer("a", 1, prompt="p")]
        assert len({content_key(entry) for entry in [plain, *different]}) == 5


class TestKinesthetic:
    def test_one_bad_part_cannot_hide(self) -> None:
        columns = np.array([[0.5, 1.0, -0.5, -0.5, 0.0], [0.5, 0.25, 0.5, -0.5, 1.0]])
        assert kinesthetic_mean(columns, np.ones(2)) == pytest.approx([0.5, 0.5, -0.5, -0.5, 0.0])
        assert kinesthetic_mean(columns, np.ones(2), sign="product") == pytest.approx([0.5, 0.5, -0.5, 0.5, 0.0])

    def test_as_a_reward_with_weights_as_exponents(self) -> None:
        reward = rl.kinesthetic(fixed("a", [0.5, NAN]), fixed("b", [0.25, 1.0]), weights=[1, 3])
        scores = reward(batch(2))
        assert scores.values[0] == pytest.approx((0.5 * 0.25**3) ** 0.25)
        assert scores.failed.tolist() == [False, True]
        assert list(scores.parts) == ["a", "b"]


def test_parts_that_wait_run_beside_one_another() -> None:
    inside = threading.Barrier(2, timeout=20)

    @rl.reward(name="one")
    async def one(completion: str) -> float:
        inside.wait()  # returns only when the other part is here at the same time
        return 1.0

    @rl.reward(name="two")
    async def two(completion: str) -> float:
        inside.wait()
        return 2.0

    assert (one + two)([answer("a")]).values.tolist() == [3.0]


def test_determinism_and_group_dependence_are_inherited() -> None:
    assert (length + exact).deterministic
    assert not (length + moody).deterministic
    assert (length + rank_in_group).group_wise
    assert not (length + exact).group_wise
    assert length.normalised(by="group").group_wise
    assert (length + waits).overlaps

    @rl.reward(needs_environment=True)
    def live(trajectory: rl.Trajectory) -> float:
        return 1.0

    assert (length + live).needs_environment


OUTCOME = st.one_of(st.floats(-1e3, 1e3), st.none(), st.just(NAN), st.just(float("inf")), st.just("text"))


@settings(max_examples=60)
@given(st.lists(st.tuples(OUTCOME, OUTCOME, OUTCOME), min_size=1, max_size=12))
def test_nothing_that_is_not_finite_ever_leaks(rows: list[tuple]) -> None:
    a, b, c = (fixed(name, [row[index] for row in rows]) for index, name in enumerate("abc"))
    trajectories = batch(len(rows), groups=2)
    for reward in (
        0.5 * a - 2 * b + 1,
        a * b * c,
        a.gated_by(b, threshold=0.0) + c,
        rl.cascade(a, b, c, threshold=0.0, combine="mean"),
        rl.hybrid(a, b + c),
        rl.ensemble(a, b, c, reduce="mean_minus_std", least=1),
        (a + b).normalised(by="group").clipped(-1, 1),
        rl.kinesthetic(a, b, c),
        (a + b).cached(),
    ):
        scores = reward(trajectories)
        for part in [scores, *(part for _, part in scores.flat_parts())]:
            assert np.isfinite(part.values[part.scored]).all()
            assert np.isnan(part.values[~part.scored]).all()
        for index in np.flatnonzero(scores.failed):
            assert scores.note(int(index))
