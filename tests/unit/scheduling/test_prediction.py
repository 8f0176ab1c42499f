"""Predicted run times: learnt from what has ended, never peeking, and the same on every machine."""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weir.scheduling import prediction
from weir.scheduling.prediction import DEPTH, Event, PredictionState, empty, grown, replay

Int64s = NDArray[np.int64]
HOUR = 3_600_000
MINUTE = 60_000


class Story:
    """Events told one by one."""

    def __init__(self, users: int = 3, groups: int = 2) -> None:
        self.state = empty(users, groups)

    def ask(self, limit: int = HOUR, *, user: int = 0, group: int = 0, size: int = 4, now: int = 0) -> int:
        return self._tell(Event.SUBMIT, now, user, group, size, limit, 0)

    def start(self, now: int, limit: int = HOUR, *, user: int = 0, size: int = 4) -> None:
        self._tell(Event.START, now, user, 0, size, limit, 0)

    def leave(self, now: int, limit: int = HOUR, *, user: int = 0, size: int = 4) -> None:
        self._tell(Event.LEAVE, now, user, 0, size, limit, 0)

    def end(
        self, run: int, limit: int = HOUR, *, user: int = 0, group: int = 0, size: int = 4, now: int = 0
    ) -> None:
        self._tell(Event.END, now, user, group, size, limit, run)

    def _tell(self, *numbers: int) -> int:
        kind, now, user, group, size, limit, run = (np.array([number]) for number in numbers)
        return int(replay(self.state, kind, now, user, group, size, limit, run)[0])


def events(seed: int, jobs: int = 400, users: int = 5) -> tuple[Int64s, ...]:
    """Users with habits, each job started some time after its submission: columns for `replay`, and job numbers."""
    draw = np.random.default_rng(seed)
    user = draw.integers(0, users, jobs)
    submit = np.cumsum(draw.integers(0, 20 * MINUTE, jobs))
    start = submit + draw.integers(0, HOUR, jobs)
    limit = HOUR * (1 + draw.integers(0, 12, users)[user])
    habit = draw.uniform(0.02, 0.9, users)[user]
    run = np.clip((limit * habit * np.exp2(draw.normal(0, 0.5, jobs))).astype(np.int64), 1, limit)
    size = 1 << draw.integers(0, 3, jobs)
    job = np.tile(np.arange(jobs), 3)
    kind = np.repeat([Event.END, Event.SUBMIT, Event.START], jobs)
    at = np.concatenate([start + run, submit, start])
    order = np.lexsort((job, np.repeat([0, 1, 2], jobs), at))
    job = job[order]
    return kind[order], at[order], user[job], user[job] % 2, size[job], limit[job], run[job], job


def same(one: PredictionState, other: PredictionState) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one._fields)


def test_without_history_half_of_the_limit_is_expected() -> None:
    assert Story().ask(2 * HOUR) == pytest.approx(HOUR, rel=1e-3)


def test_what_repeats_itself_is_expected_again() -> None:
    story = Story()
    for _ in range(5):
        story.end(7 * MINUTE)
    assert story.ask() == pytest.approx(7 * MINUTE, rel=0.05)


def test_recent_jobs_say_more_than_old_ones() -> None:
    story = Story()
    for run in [40 * MINUTE] * 8 + [2 * MINUTE] * 8:
        story.end(run)
    assert story.ask() < 4 * MINUTE


def test_like_jobs_say_more_than_unlike_ones() -> None:
    story = Story()
    for _ in range(4):
        story.end(2 * MINUTE, HOUR, size=4)
        story.end(9 * HOUR, 10 * HOUR, size=64)
    assert story.ask(HOUR, size=4) < 4 * MINUTE
    assert story.ask(10 * HOUR, size=64) > 6 * HOUR


def test_a_new_user_is_expected_to_do_as_his_group_does() -> None:
    story = Story()
    for _ in range(40):
        story.end(MINUTE, user=0, group=0)
        story.end(50 * MINUTE, user=1, group=1)
    assert story.ask(user=2, group=0) < 4 * MINUTE
    assert story.ask(user=2, group=1) > 30 * MINUTE


def test_jobs_that_run_longer_than_expected_raise_the_expectation_while_they_run() -> None:
    story = Story()
    for _ in range(4):
        story.end(MINUTE, 10 * HOUR)
    before = story.ask(10 * HOUR)
    for _ in range(6):
        story.start(0, 10 * HOUR)
    assert before == story.ask(10 * HOUR, now=30_000)
    raised = story.ask(10 * HOUR, now=4 * HOUR)
    assert raised > 4 * before
    for _ in range(6):
        story.leave(0, 10 * HOUR)
    assert before == story.ask(10 * HOUR, now=4 * HOUR)


def test_no_more_running_jobs_are_looked_at_than_there_is_room_for() -> None:
    story = Story()
    for start in range(3 * DEPTH):
        story.start(start)
    assert DEPTH == story.state.running_count[0]
    for start in range(3 * DEPTH):
        story.leave(start)
    assert 0 == story.state.running_count[0]


def test_users_do_not_see_each_other_but_through_group_and_limit() -> None:
    story = Story()
    story.end(MINUTE, user=0, group=0)
    one, other = story.state.history[0], story.state.history[1]
    assert one.any()
    assert not other.any()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 1_200), factor=st.integers(2, 5))
def test_never_peeks(seed: int, cut: int, factor: int) -> None:
    kind, at, user, group, size, limit, run, _ = events(seed)
    honest = replay(empty(5, 2), kind, at, user, group, size, limit, run)
    # Whatever ends after this event is told to have ended otherwise.
    later = np.arange(len(kind)) >= cut
    lying = np.where(later, np.maximum(1, run // factor), run)
    told = replay(empty(5, 2), kind, at, user, group, size, limit, lying)
    assert np.array_equal(honest[:cut], told[:cut])
    assert at[:-1].tolist() == sorted(at[:-1])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), cut=st.integers(0, 1_200))
def test_events_in_two_parts_are_as_in_one(seed: int, cut: int) -> None:
    columns = events(seed)[:7]
    whole, parts = empty(5, 2), empty(1, 0)
    at_once = replay(whole, *columns)
    parts = grown(parts, 5, 2)
    first = replay(parts, *(column[:cut] for column in columns))
    kept = prediction.copied(parts)
    parts = grown(parts, 50, 9)
    second = replay(parts, *(column[cut:] for column in columns))
    assert np.array_equal(at_once, np.concatenate([first, second]))
    assert same(
        whole, parts._replace(**{n: getattr(parts, n)[: len(getattr(whole, n))] for n in whole._fields})
    )
    assert np.array_equal(second, replay(grown(kept, 5, 2), *(column[cut:] for column in columns)))


@settings(deadline=None, max_examples=100)
@given(
    limits=st.lists(st.integers(1, prediction.LONGEST_LIMIT_MS), min_size=1, max_size=40),
    share=st.integers(1, 1_000),
    size=st.integers(1, 2**40),
)
def test_from_one_to_the_limit_always(limits: list[int], share: int, size: int) -> None:
    limit = np.repeat(np.array(limits), 3)
    count = len(limit)
    kind = np.tile([Event.SUBMIT, Event.START, Event.END], len(limits))
    run = np.maximum(1, limit // share)
    at = np.cumsum(np.where(kind == Event.END, run, 0))
    zeros = np.zeros(count, np.int64)
    predicted = replay(empty(1, 1), kind, at, zeros, zeros, zeros + size, limit, run)
    asked = kind == Event.SUBMIT
    assert (predicted[asked] >= 1).all()
    assert (predicted[asked] <= limit[asked]).all()


def test_everything_that_starts_and_ends_leaves_no_trace_among_the_running() -> None:
    columns = events(3)[:7]
    state = empty(5, 2)
    replay(state, *columns)
    assert [0] * 5 == state.running_count.tolist()
    assert 400 == state.ended.sum()


def test_better_than_limits_and_than_the_mean_of_the_last_two() -> None:
    kind, at, user, group, size, limit, run, _ = events(11, 4_000, 20)
    predicted = replay(empty(20, 2), kind, at, user, group, size, limit, run)
    asked = kind == Event.SUBMIT

    def error(guess: Int64s) -> float:
        return float(np.abs(np.log2(guess[asked] / run[asked])).mean())

    last: dict[int, list[int]] = {}
    guess = limit.copy()
    for i in range(len(kind)):
        known = last.setdefault(int(user[i]), [])
        if kind[i] == Event.END:
            known.append(int(run[i]))
        elif len(known) > 1:
            guess[i] = min(int(limit[i]), sum(known[-2:]) // 2)
    assert error(predicted) < 0.9 * error(guess) < error(limit)


def test_the_same_history_gives_these_numbers_on_any_machine() -> None:
    predicted = replay(empty(7, 3), *made_without_floats())
    assert "cd444f8b8039c55f" == hashlib.sha256(predicted.astype("<i8").tobytes()).hexdigest()[:16]


def made_without_floats() -> tuple[Int64s, ...]:
    """Events from whole numbers alone: a job a second, and each ends twenty jobs after its start."""
    number, jobs, rows = 1, [], []
    for job in range(3_000):
        number = (number * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) % 2**64
        user = (number >> 33) % 7
        limit = MINUTE * (1 + (number >> 40) % 2_000)
        jobs.append(
            (user, user % 3, 1 + (number >> 50) % 100, limit, 1 + (number >> 17) % limit // (1 + user))
        )
        rows.append((Event.SUBMIT, job * 1_000, *jobs[job]))
        rows.append((Event.START, job * 1_000, *jobs[job]))
        if job >= 20:
            rows.append((Event.END, (job - 20) * 1_000 + jobs[job - 20][-1], *jobs[job - 20]))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def test_tables_of_logarithms_are_true() -> None:
    for i in (0, 1, 2, 100, 128, 255, 256):
        assert prediction.LOGARITHMS[i] == math.floor(math.log2(1 + i / 256) * prediction.OCTAVE)
        assert prediction.EXPONENTIALS[i] == pytest.approx(2 ** (i / 256) * 2**30, abs=1)
    assert (np.diff(prediction.LOGARITHMS) > 0).all()
    assert (np.diff(prediction.EXPONENTIALS) > 0).all()


def test_a_running_job_is_expected_to_end_later_and_later_up_to_its_limit() -> None:
    elapsed = np.arange(0, 3 * HOUR, 1_000)
    limit = np.full(len(elapsed), 2 * HOUR)
    expected = prediction.corrected(np.full(len(elapsed), 90_000), elapsed, limit)
    assert (np.diff(expected) >= 0).all()
    assert (expected[elapsed < 2 * HOUR] > elapsed[elapsed < 2 * HOUR]).all()
    steps = [90_000, 150_000, 390_000, 990_000, 1_890_000, 3_690_000, 2 * HOUR]
    assert steps == sorted(set(expected.tolist()))


def test_a_correction_ends_at_the_limit_whatever_was_predicted() -> None:
    answer = prediction.corrected(np.array([5, 5]), np.array([2**50, 3]), np.array([2**51, 4]))
    assert [2**51, 4] == answer.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda columns: columns[0].fill(4), "kind: 4 is not from 0 to 3"),
        (lambda columns: columns[2].fill(3), "user: 3 is not from 0 to 2"),
        (lambda columns: columns[3].fill(-1), "group: -1 is not from 0 to 1"),
        (lambda columns: columns[4].fill(0), "size: 0 is not from 1 to 4503599627370496"),
        (lambda columns: columns[5].fill(0), "limit_ms: 0 is not from 1 to 4503599627370496"),
        (lambda columns: columns[6].fill(0), "run_ms: 0 is not from 1 to 4503599627370496"),
    ],
)
def test_what_is_out_of_range_is_refused(change: Callable[[list[Int64s]], None], message: str) -> None:
    columns = [np.array([value]) for value in (Event.END, 0, 0, 0, 1, 1, 1)]
    change(columns)
    state = empty(3, 2)
    with pytest.raises(ValueError) as refused:
        replay(state, *columns)
    assert message == str(refused.value)
    assert same(state, empty(3, 2))


def test_columns_of_unequal_length_are_refused() -> None:
    columns = [np.array([1])] * 6 + [np.array([1, 1])]
    with pytest.raises(ValueError, match=r"columns: their lengths \[1, 1, 1, 1, 1, 1, 2\] are not equal"):
        replay(empty(3, 2), *columns)


def test_room_for_fewer_than_none_is_refused() -> None:
    with pytest.raises(ValueError, match="users and groups: -1 and 0 are not both 0 or more"):
        empty(-1, 0)
