"""A run of the twin: the trace's own times come out as they went in."""

import numpy as np
import pytest

from tests.unit.twin.made import workload
from weir.twin.changed import PoolEvent
from weir.twin.outcome import NEVER
from weir.twin.province import single_pool
from weir.twin.run import run

ROWS = [(0, 100, 3), (10, 50, 4), (20, 30, 1), (25, 60, 9)]
SINCE_1970_S = 1_790_000_000


@pytest.mark.parametrize("lost", [False, True])
def test_a_log_that_counts_from_1970_runs_like_one_that_counts_from_0(lost: bool) -> None:
    def starts(origin_s: int) -> list[int]:
        work = workload([(origin_s + submit, run_s, size) for submit, run_s, size in ROWS])
        events = [PoolEvent((origin_s + 40) * 1_000, "machine/all", "lost", True)] if lost else []
        outcome = run(work, [single_pool(4)], policy="easy", events=events)
        begun = outcome.start_ms != NEVER
        assert (outcome.end_ms[begun] - outcome.start_ms[begun] == work.run_ms[begun]).all()
        found: list[int] = np.where(begun, outcome.start_ms - origin_s * 1_000, NEVER).tolist()
        return found

    assert starts(SINCE_1970_S) == starts(0)
    if not lost:
        assert starts(0) == [0, 100_000, 20_000, NEVER]
