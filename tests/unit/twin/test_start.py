"""A run that begins with a province's present: what runs goes on, and what waits keeps its place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.twin.made import pool, workload
from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass, PoolRow
from weir.twin.history import RUNNING, WAITING, PastJob, write_history
from weir.twin.outcome import Outcome
from weir.twin.run import run
from weir.twin.start import Begun, begun, read_start
from weir.twin.workload import Workload

NOW = 1_800_000_000_000
HOUR = 3_600_000
FULL = pool("north/a", nodes=4, speed_milli=2_000)
SMALL = pool("south/b", nodes=1)


def job(state: str, nodes: int, *, ago: int, run: int, elapsed: int = 0, **changes: Any) -> PastJob:
    values: dict[str, Any] = {
        "submitted_ms": NOW - ago, "run_ms": run, "limit_ms": 2 * run, "user": "u", "group": "g", "priority": 0,
        "job_class": JobClass(nodes, 0, 1_000, 0), "state": state,
        "started_ms": NOW - elapsed if state == RUNNING else None, "pool": "north/a" if state == RUNNING else "",
    }  # fmt: skip
    return PastJob(**{**values, **changes})


def beginning(tmp_path: Path, jobs: list[PastJob], *pools: PoolRow, later: Workload | None = None) -> Begun:
    file = tmp_path / "state.parquet"
    write_history(jobs, file, now_ms=NOW)
    return begun(read_start(file), later, pools)


def decided(found: Begun, policy: str = "easy") -> tuple[list[float], Outcome]:
    """When each job starts that the run decides about, in hours after the state's instant."""
    outcome = run(found.workload, found.pools, policy=policy, events=found.events)
    starts = (outcome.start_ms[found.told] - found.now_ms) / HOUR
    return starts.tolist(), outcome


def test_what_runs_ends_when_it_would_and_what_waits_starts_then_and_not_before(tmp_path: Path) -> None:
    # Six hours of nominal work take three there, of which one is over; two of four nodes are free all the time.
    state = [
        job(RUNNING, 2, ago=3 * HOUR, run=6 * HOUR, elapsed=HOUR),
        job(WAITING, 3, ago=2 * HOUR, run=2 * HOUR),
        job(WAITING, 2, ago=HOUR, run=2 * HOUR),
    ]
    found = beginning(tmp_path, state, FULL)
    starts, outcome = decided(found)
    # By its limit of 12 hours (6 there) the first of those that wait is promised the 5th hour; the second fits before.
    assert [2.0, 0.0] == starts
    assert [2 * HOUR, 1 * HOUR] == (found.now_ms - found.workload.submit_ms[found.told]).tolist()
    assert 2 * HOUR == int(outcome.end_ms[0]) - found.now_ms


def test_those_that_wait_keep_their_order(tmp_path: Path) -> None:
    state = [job(WAITING, 4, ago=ago * HOUR, run=2 * HOUR, user=f"u{ago}") for ago in (1, 3, 2)]
    starts, _ = decided(beginning(tmp_path, state, FULL))
    assert [0.0, 1.0, 2.0] == starts


def test_a_draining_pool_lets_end_what_runs_and_starts_nothing(tmp_path: Path) -> None:
    draining = pool("north/a", nodes=4, closed_because="it is draining")
    state = [job(RUNNING, 1, ago=HOUR, run=2 * HOUR, elapsed=HOUR), job(WAITING, 1, ago=HOUR, run=HOUR)]
    found = beginning(tmp_path, state, draining, SMALL)
    _, outcome = decided(found)
    assert ["north/a", "south/b"] == [found.pools[place].key for place in outcome.pool.tolist()]


def test_jobs_of_a_log_come_after_it(tmp_path: Path) -> None:
    later = workload([(500, 3_600, 1), (4_100, 3_600, 4)])
    state = [
        job(RUNNING, 4, ago=HOUR, run=2 * HOUR, elapsed=HOUR // 2),
        job(WAITING, 4, ago=HOUR, run=2 * HOUR),
    ]
    found = beginning(tmp_path, state, FULL, later=later)
    starts, _ = decided(found)
    submitted = ((found.workload.submit_ms[found.told] - found.now_ms) / HOUR).tolist()
    assert [-1.0, 0.0, 1.0] == submitted
    # The one that waits goes first, after half an hour; then the log's two.
    assert [0.5, 1.5, 2.0] == starts
    assert np.array_equal(np.arange(1, 5), found.workload.job)


def test_a_state_of_another_province_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"north/a.*a job runs there"):
        beginning(tmp_path, [job(RUNNING, 1, ago=1, run=HOUR)], SMALL)


def test_a_history_is_no_state(tmp_path: Path) -> None:
    file = tmp_path / "history.csv"
    write_history([job("succeeded", 1, ago=HOUR, run=HOUR)], file)
    with pytest.raises(ProblemError, match="says nothing of an instant"):
        read_start(file)
