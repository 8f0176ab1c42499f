"""The least that a workload can cost on a province, by hand and against what policies make of it."""

import pytest

from bench.least_cost import least_cost
from bench.quality_province import smaller
from weir.twin.generators.province import province_case
from weir.twin.metrics import measure
from weir.twin.results import results_of
from weir.twin.run import run

HOUR = 3_600_000


def test_without_haste_every_job_runs_where_it_is_cheapest_and_with_haste_it_costs_more() -> None:
    work, pools, links = province_case(7, 0.85, smaller(400))
    cheapest = results_of(run(work, pools, policy="cheapest", estimates="predicted", links=links))
    never_late = least_cost(work, pools, links, 10**6 * HOUR)
    assert never_late == pytest.approx(measure(cheapest).cost_micro_yuan, rel=1e-3)
    outcome = run(work, pools, policy="weir", estimates="predicted", links=links)
    span = int(outcome.end_ms.max() - work.submit_ms.min())
    least = least_cost(work, pools, links, span)
    assert never_late <= least <= measure(results_of(outcome)).cost_micro_yuan
    assert least < least_cost(work, pools, links, span // 2)


def test_what_cannot_be_done_in_time_is_refused() -> None:
    work, pools, links = province_case(7, 0.85, smaller(400))
    with pytest.raises(ValueError, match="cannot be done in that time"):
        least_cost(work, pools, links, HOUR)
