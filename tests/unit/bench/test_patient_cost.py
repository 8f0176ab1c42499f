"""What jobs cost at the least if they may wait so long, against what policies make of it, which know less."""

import pytest

from bench.patient_cost import choices_of, patient_cost
from bench.quality_province import smaller
from weir.twin.generators.province import province_case
from weir.twin.metrics import measure
from weir.twin.results import results_of
from weir.twin.run import run

HOUR_MS = 3_600_000


@pytest.mark.parametrize("policy", ["race", "cheapest"])
def test_no_policy_that_waits_as_long_costs_less(policy: str) -> None:
    work, pools, links = province_case(7, 0.95, smaller(400))
    outcome = run(work, pools, policy=policy, estimates="predicted", links=links)
    waited_h = float((outcome.start_ms - work.submit_ms).sum()) / HOUR_MS
    choices = choices_of(work, pools, links)
    least = patient_cost(choices, pools, waited_h)
    assert 0.99 * choices.cheapest <= least <= measure(results_of(outcome)).cost_micro_yuan / 1e6


def test_who_may_wait_less_pays_more() -> None:
    work, pools, links = province_case(7, 2.0, smaller(400))
    choices = choices_of(work, pools, links)
    hurried, calm = patient_cost(choices, pools, 1.0), patient_cost(choices, pools, 1_000.0)
    assert choices.cheapest * 1.001 < hurried
    assert calm < hurried
