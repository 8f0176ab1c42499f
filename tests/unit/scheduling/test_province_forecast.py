"""Forecasts over many pools: what limits say by hand, what history changes, and the same answer every time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.scheduling.provinces import HOUR, NOW, pool, task
from weir.scheduling import calibration, province_forecast
from weir.scheduling.forecast import no_past, remember
from weir.scheduling.inputs import Curve, Int64s, JobClass, Window
from weir.scheduling.policies import NAMED
from weir.scheduling.province_forecast import NEVER_MS, Jobs, Province, forecast, starts

POOLS = (pool("hefei/a", nodes=1), pool("wuhu/b", nodes=1, speed_milli=2_000))
WHOLE = task(devices_milli=8_000)
BOUND = replace(WHOLE, centres=("hefei",))
CLASSES = (WHOLE, BOUND)


def jobs(rows: list[tuple[int, int, int]] = [], **changes: Any) -> Jobs:  # noqa: B006  # it is never changed
    """(class, submitted hours ago, limit in hours) of each; numbers and users from 0."""
    count = len(rows)
    columns = np.array(rows or np.zeros((0, 3)), np.int64).T
    nothing = np.zeros(count, np.int64)
    values = {
        "job": np.arange(count), "job_class": columns[0], "size": nothing + 8, "submitted_ms": NOW - columns[1] * HOUR,
        "limit_ms": columns[2] * HOUR, "user": nothing, "elapsed_ms": nothing, "pool": nothing, "run_ms": nothing - 1,
    }  # fmt: skip
    return Jobs(**{**values, **{name: np.array(value, np.int64) for name, value in changes.items()}})


def present(running: Jobs, waiting: Jobs, **changes: Any) -> Province:
    values: dict[str, Any] = {
        "pools": POOLS, "links": (), "classes": CLASSES, "now_ms": NOW, "running": running, "waiting": waiting,
        "arrivals": jobs(), "policy": NAMED["easy"],
    }  # fmt: skip
    return Province(**{**values, **changes})


def hours(found: Int64s) -> list[list[float]]:
    rounded: list[list[float]] = ((found - NOW) / HOUR).round(2).tolist()
    return rounded


RUNNING = jobs([(0, 3, 6), (0, 3, 8)], elapsed_ms=[2 * HOUR, 6 * HOUR], pool=[0, 1])
"""By limits the first ends in 4 hours; of the other's 8 hours of work 2 are left, which take one at double speed."""


def test_on_limits_each_starts_when_what_runs_must_have_ended() -> None:
    waiting = jobs([(1, 2, 2), (0, 1, 2)])
    found = starts(present(RUNNING, waiting), no_past(1), 1, 1, np.arange(2), on_limits=True)
    assert [[4.0], [1.0]] == hours(found)


def test_a_closed_pool_starts_nothing_and_what_never_starts_is_told_so() -> None:
    closed = (replace(POOLS[0], closed_because="it is draining"), POOLS[1])
    waiting = jobs([(1, 2, 2), (0, 1, 2)])
    found = starts(present(RUNNING, waiting, pools=closed), no_past(1), 1, 1, np.arange(2), on_limits=True)
    assert [[NEVER_MS / HOUR], [1.0]] == hours(found)


def in_windows(*windows: Window) -> tuple[Any, ...]:
    return (replace(POOLS[0], windows=windows), POOLS[1])


def hours_away(begin: int, end: int, every: int = 0) -> Window:
    return Window(NOW + begin * HOUR, NOW + end * HOUR, every * HOUR)


@pytest.mark.parametrize(
    ("windows", "first"),
    [
        ((), 4.0),
        ((hours_away(5, 9),), 9.0),
        ((hours_away(-1, 6),), 6.0),
        ((hours_away(-25, -23, 24), hours_away(2, 3)), 3.0),
        ((hours_away(-5, 1, 24), hours_away(1, 7)), 7.0),
        ((hours_away(-9, -8),), 4.0),
    ],
)
def test_a_job_starts_where_it_ends_before_a_window_or_after_it(
    windows: tuple[Window, ...], first: float
) -> None:
    state = present(RUNNING, jobs([(1, 2, 2)]), pools=in_windows(*windows))
    [[found]] = hours(starts(state, no_past(1), 1, 1, np.arange(1), on_limits=True))
    assert first == pytest.approx(found, abs=0.01)


def test_a_job_goes_where_it_is_cheap_by_then() -> None:
    cheap_later = Curve(((0, 900_000_000), (NOW + 3 * HOUR, 0)))
    costs = replace(POOLS[0], device_hour_over_time=cheap_later)
    state = present(jobs(), jobs([(1, 2, 2)]), pools=(costs, POOLS[1]), policy=NAMED["weir"])
    found = starts(state, no_past(1), 1, 1, np.arange(1), on_limits=True)
    assert [[0.0]] == hours(found), "nowhere else can it go"


def test_jobs_that_end_at_half_of_their_limits_are_forecast_to() -> None:
    past = no_past(1)
    ended = np.full(40, 0, np.int64)
    remember(past, ended, ended + 8, ended + 4 * HOUR, ended + 2 * HOUR)
    alone = jobs([(1, 2, 4)], elapsed_ms=[HOUR], pool=[0])
    found = starts(present(alone, jobs([(1, 1, 4)])), past, 1, 16, np.arange(1))
    assert 1.0 == pytest.approx(float(np.median(found - NOW)) / HOUR, abs=0.3)


def test_days_that_were_busy_come_again() -> None:
    came = jobs([(1, 24 - hour, 3) for hour in range(24)])
    came = replace(came, submitted_ms=np.sort(NOW - DAY + np.arange(24) * HOUR + 1), run_ms=came.limit_ms)
    came = replace(came, user=np.full(24, 1))
    state = present(RUNNING, jobs([(1, 0, 2)], submitted_ms=[NOW]), arrivals=came, policy=NAMED["sjf-greedy"])
    with_days = starts(state, no_past(2), 1, 4, np.arange(1))
    without = starts(replace(state, arrivals=jobs()), no_past(2), 1, 4, np.arange(1))
    assert (with_days >= without).all()


DAY = 24 * HOUR


def test_the_same_question_gets_the_same_ranges_whatever_the_order_of_rows() -> None:
    waiting = jobs([(1, 5 - each, 1 + each) for each in range(5)], user=[0, 1, 0, 1, 0])
    columns: dict[str, Any] = {name: getattr(waiting, name) for name in Jobs.__slots__}
    turned: dict[str, Any] = {
        name: None if column is None else column[::-1] for name, column in columns.items()
    }
    backwards = Jobs(**turned)
    told = [
        forecast(present(RUNNING, each), no_past(2), calibration.uncalibrated(), 7, futures=8)
        for each in (waiting, waiting, backwards)
    ]
    assert told[0].start_ms.tolist() == told[1].start_ms.tolist() == told[2].start_ms.tolist()
    assert [0, 1, 2, 3, 4] == told[2].job.tolist()
    low, high = told[0].range_ms(0, 80)
    assert NOW <= low <= high


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"policy": NAMED["wfp3"]}, "for one pool"),
        ({"running": replace(RUNNING, pool=np.array([0, 2]))}, "runs in no pool"),
        ({"waiting": replace(jobs([(0, 1, 1)]), user=np.zeros(0, np.int64))}, "waiting.user"),
    ],
)
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], says: str) -> None:
    state = present(**{"running": RUNNING, "waiting": jobs([(0, 1, 1)]), **changes})
    with pytest.raises(ValueError, match=says):
        forecast(state, no_past(1), calibration.uncalibrated(), 1, futures=2)


def test_nobody_waits() -> None:
    found = province_forecast.forecast(
        present(RUNNING, jobs()), no_past(1), calibration.uncalibrated(), 1, futures=2
    )
    assert 0 == len(found.job)


def test_a_gang_that_leaves_room_for_another_lets_it_start_at_once() -> None:
    kind = JobClass(2, 2_000, 1_000, 1 << 30)
    state = present(RUNNING, jobs([(0, 1, 1)]), classes=(kind, BOUND))
    assert [[0.0]] == hours(starts(state, no_past(1), 1, 1, np.arange(1), on_limits=True))


def test_ends_fall_on_the_grain_and_never_beyond_limits() -> None:
    past = no_past(1)
    ended = np.full(40, 0, np.int64)
    remember(past, ended, ended + 8, ended + 4 * HOUR, ended + 2 * HOUR + 12_345)
    waiting = jobs([(1, 1, 4), (1, 1, 4), (1, 1, 4)])
    drawn = starts(present(jobs(), waiting), past, 1, 16, np.arange(3))
    assert (np.diff(drawn, axis=0) <= 4 * HOUR).all()
    since = (NOW - HOUR - 2_000) // 60_000 * 60_000
    assert ((drawn[1:] - since) % 60_000 == 0).all()
    assert len(np.unique(drawn[1:])) > 10
