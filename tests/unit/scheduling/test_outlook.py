"""What is told of jobs that no future follows: by class and position."""

import numpy as np

from weir.scheduling.calibration import LEVELS_MILLI
from weir.scheduling.inputs import Int64s
from weir.scheduling.outlook import (
    LEVELS,
    Learnt,
    Outlook,
    at_position,
    by_position,
    kinds_of,
    sampled,
    told_of,
    work_of,
)
from weir.scheduling.province_forecast import NEVER_MS

HOUR = 3_600_000
NOW = 1_800_000_000_000
SMALL, LARGE = 1, 64


def column(*values: int) -> Int64s:
    return np.array(values, np.int64)


def outlook(ahead: Int64s) -> Outlook:
    """Small jobs take a millisecond for each unit of work ahead, all together two; the middle is half of the end."""
    kind = kinds_of(column(SMALL), column(HOUR))
    pace = np.array([[1 << 19] * 3 + [1 << 20] * 4, [1 << 20] * 3 + [1 << 21] * 4], np.int64)
    return Outlook(
        NOW, 64, column(5, 9), np.arange(2 * LEVELS) + NOW, column(0, 0), np.zeros(2 * LEVELS, np.int64),
        kind, pace.reshape(-1), Learnt(), samples=sampled(ahead), positions=len(ahead),
        behind=column(3), behind_start_ms=np.arange(LEVELS) + NOW + 100,
    )  # fmt: skip


def test_a_job_waits_for_the_work_ahead_at_the_pace_of_jobs_like_it() -> None:
    ahead = work_of(np.full(1_000, 2), np.full(1_000, HOUR))
    assert 1_000 * 2 * 3_601 == ahead[-1]
    starts = (
        by_position(outlook(ahead), column(SMALL, LARGE), column(HOUR, HOUR), column(500_000, 500_000)) - NOW
    )
    middle = LEVELS_MILLI.index(500)
    assert abs(500_000 - starts[0, middle]) < 2_000
    assert abs(2 * starts[0, middle] - starts[1, middle]) < 4_000
    assert (np.diff(starts, axis=1) >= 0).all()


def test_the_further_behind_the_later_and_never_beyond_all_bounds() -> None:
    ahead = work_of(np.full(1_000, 2), np.full(1_000, HOUR))
    found = outlook(ahead)
    starts = [at_position(found, SMALL, HOUR, position)[LEVELS // 2] for position in (1, 500, 1_000, 10**9)]
    assert sorted(starts) == starts
    assert starts[0] < starts[1] < starts[2] == starts[3]
    far = by_position(found, column(LARGE), column(HOUR), column(2**62))
    assert [NOW + NEVER_MS] * LEVELS == far[0].tolist()
    assert () == at_position(outlook(column()), SMALL, HOUR, 1)


def test_each_job_is_found_by_its_number() -> None:
    found = outlook(column(1))
    assert (tuple(range(NOW + LEVELS, NOW + 2 * LEVELS)), True) == told_of(found, 9)
    behind = told_of(found, 3)
    assert behind is not None
    assert (NOW + 100, False) == (behind.start_ms[0], behind.followed)
    assert told_of(found, 4) is None
    assert told_of(found, 10) is None
