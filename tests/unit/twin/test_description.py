"""What a trace is said to hold."""

import pytest

from tests.unit.twin.made import workload
from weir.twin.description import describe
from weir.twin.wording import description_rows


def test_the_figures_of_a_small_trace() -> None:
    work = workload(
        [(0, 100, 1), (86_400, 300, 3), (172_800, 100, 1)],
        users=[0, 1, 1],
        origin_s=1_000_000_000,
        dropped=(("cut at the limit", 2),),
    )
    found = describe(work)
    assert (3, 2, 2, 2.0) == (found.jobs, found.users, found.classes, found.span_days)
    assert 1_100 / (4 * 172_800) == found.offered_load
    assert pytest.approx(1_100 / 3_600) == found.work_hours
    assert (1.0, 3, 2 / 3) == (found.median_size, found.largest_size, found.serial_share)
    assert (500 / 3, 100.0, 300.0) == (found.mean_run_s, found.median_run_s, found.longest_run_s)
    assert 0.5 == found.mean_run_over_limit
    said = dict(description_rows(found))
    assert "over 2.0 d, from 2001-09-09" == said["submitted"]
    assert "2" == said["cleaning: cut at the limit"]


def test_what_a_trace_does_not_say_is_not_known() -> None:
    found = describe(workload([(0, 100, 1)], machine_size=0, has_estimates=False))
    assert found.offered_load is None
    said = dict(description_rows(found))
    assert "the trace does not say" == said["machine"]
    assert said["submitted"].endswith("from not known")
    assert said["limits"].startswith("none in the trace")
