"""The lane of one pool of whole nodes against the code for many pools: the same starts, job by job."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.workloads import EXPECTED, Row, crowd, jobs, machine, rows
from weir.scheduling import Policy, Simulated, SimulatedJobs, simulate
from weir.scheduling.inputs import PoolRow
from weir.scheduling.policies import NAMED
from weir.scheduling.province_simulation import check_province, simulate_province
from weir.scheduling.simulated import CHANGING, Expected

WEIR = NAMED["weir"]
BOTH = (
    *(NAMED[name] for name in ("easy", "weir", "saf", "f1", "sjf-greedy")),
    replace(WEIR, name="gate of 20 s", gate_ms=20_000, patience_ms=60_000),
    replace(WEIR, name="gate without power", gate_ms=15_000, gate_power=0, size_power_milli=2_000),
    replace(WEIR, name="no gate", gate_ms=0, patience_ms=5_000, least_run_ms=1_000, run_power_milli=2_000),
    replace(WEIR, name="no promise", depth=0, later=False),
)
"""All that both can run: in an order that does not change, with one promise or none."""


@pytest.mark.parametrize("per_event", [False, True], ids=["second", "event"])
@pytest.mark.parametrize("expected", EXPECTED, ids=["user", "predicted"])
@pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.name)
@given(drawn=st.integers(1, 9).flatmap(lambda nodes: st.tuples(st.just(nodes), rows(nodes + 1))))
@settings(max_examples=40)
def test_few_jobs(policy: Policy, expected: Expected, per_event: bool, drawn: tuple[int, list[Row]]) -> None:
    nodes, some = drawn
    check(jobs(some), machine(nodes), policy, expected, per_event)


@pytest.mark.parametrize("per_event", [False, True], ids=["second", "event"])
@pytest.mark.parametrize("expected", EXPECTED, ids=["user", "predicted"])
@pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.name)
def test_long_queues(policy: Policy, expected: Expected, per_event: bool) -> None:
    for seed, nodes in enumerate((4, 16, 50)):
        check(jobs(crowd(seed, 600, nodes)), machine(nodes), policy, expected, per_event)


def test_every_named_policy_is_for_both_or_refused_over_many_pools() -> None:
    only_one = {"fcfs", "sjf", "sjf-committed", "easy-sjbf", "wfp3", "unicef"}
    for name, policy in NAMED.items():
        if name in only_one:
            with pytest.raises(ValueError, match=f"policy {name} is for one pool"):
                check_province(policy)
            assert policy.blocking or policy.backfill_order is not None or policy.order in CHANGING
        else:
            check_province(policy)
    with pytest.raises(ValueError, match="race for pools, each of which promises one start"):
        check_province(replace(NAMED["race"], depth=2))


def check(workload: SimulatedJobs, row: PoolRow, policy: Policy, expected: Expected, per_event: bool) -> None:
    lane = simulate([row], (), workload, policy, expected=expected, pass_per_event=per_event)
    general = over_many_pools(workload, row, policy, expected, per_event)
    assert lane.start_ms.tolist() == general.start_ms.tolist()
    assert lane.end_ms.tolist() == general.end_ms.tolist()
    assert lane.pool.tolist() == general.pool.tolist()


def over_many_pools(
    workload: SimulatedJobs, row: PoolRow, policy: Policy, expected: Expected, per_event: bool
) -> Simulated:
    return simulate_province(
        [row], (), workload, policy, expected, per_event, (), lambda done, of: None, lambda: 0.0
    )
