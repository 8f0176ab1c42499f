"""Futures where tenants share: what is foretold of known run times is what the live loop then does, job by job."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduling.provinces import HOUR, NOW, waiting
from tests.unit.scheduling.workloads import machine, whole_nodes
from weir.scheduling import Policy, State, step
from weir.scheduling.forecast import no_past
from weir.scheduling.inputs import Changes, PoolRow, QueuedJobs, TenantRow
from weir.scheduling.plan import Plan
from weir.scheduling.policies import NAMED
from weir.scheduling.province_forecast import Jobs, Province, starts
from weir.scheduling.standing import Standing, standing_of

TURNS = Policy("turns", by_tenant=True)
NODE = 100_000
"""What a node of a `machine` counts an hour."""
NOTHING = np.zeros(0, np.int64)
NONE = Jobs(*(NOTHING for _ in range(9)))


def of(
    tenant: int, first: int, count: int, *, nodes: int = 1, hours: int = 1, priority: int = 0
) -> QueuedJobs:
    batch = waiting(whole_nodes(nodes), range(first, first + count), limit_ms=hours * HOUR, priority=priority)
    # Each is expected to run for another part of its limit.
    expected_ms = batch.time_limit_ms // (1 + batch.job % 5)
    whose = np.full(count, tenant, np.int64)
    return replace(batch, tenant=whose, submitted_ms=NOW - HOUR + batch.job, expected_ms=expected_ms)


def pictured(standing: Standing, now_ms: int, *, turns: bool = True) -> Province:
    """As the control loop makes it, where all run at nominal speed."""
    classes = tuple(each for each in standing.described if each is not None)
    number = np.array([0 if each is None else classes.index(each) for each in standing.described])
    usage = standing.usage
    assert usage is not None
    some, none = np.zeros(len(standing.job), np.int64), np.zeros(len(standing.running), np.int64)
    return Province(
        pools=standing.pools,
        links=(),
        classes=classes,
        now_ms=now_ms,
        running=Jobs(
            standing.running, number[standing.run_class], none + 1, standing.placed_ms,
            standing.end_ms - standing.placed_ms, none, now_ms - standing.placed_ms, standing.run_pool, none - 1,
            tenant=usage.rows_of(standing.run_tenant),
        ),
        waiting=Jobs(
            standing.job, number[standing.job_class], standing.size, standing.submitted_ms, standing.limit_ms,
            some, some, some, some - 1, priority=standing.priority, expected_ms=standing.expected_ms,
            tenant=usage.rows_of(standing.tenant),
        ),
        arrivals=NONE,
        policy=standing.policy,
        usage=usage if turns else None,
    )  # fmt: skip


def foretold(state: State, now_ms: int, *, turns: bool = True) -> dict[int, int]:
    """When each starts of those that wait, if all run to their limits."""
    standing = standing_of(state)
    present = pictured(standing, now_ms, turns=turns)
    rows = np.arange(len(standing.job))
    found = starts(present, no_past(1), 1, 1, rows, on_limits=True)
    return dict(zip(standing.job.tolist(), found[:, 0].tolist(), strict=True))


class Life:
    """The live loop, with whatever runs ending at its limit."""

    def __init__(self, policy: Policy) -> None:
        self.state, self.now_ms = State.empty(policy), NOW
        self.ends: dict[int, int] = {}
        self.began: dict[int, int] = {}
        self._limit: dict[int, int] = {}

    def step(self, changes: Changes) -> Plan:
        for batch in changes.queued:
            self._limit.update(zip(batch.job.tolist(), batch.time_limit_ms.tolist(), strict=True))
        self.state, plan = step(self.state, changes, self.now_ms)
        for start in plan.starts:
            self.began[start.job] = self.now_ms
            self.ends[start.job] = self.now_ms + self._limit[start.job]
        return plan

    def go_on(self, until_ms: int = 2**62) -> None:
        """Until then, or until nothing runs any more."""
        while self.ends and min(self.ends.values()) <= until_ms:
            self.now_ms = min(self.ends.values())
            over = sorted(job for job, end in self.ends.items() if end == self.now_ms)
            for job in over:
                del self.ends[job]
            self.step(Changes(freed=tuple(over)))


def begun(
    pools: tuple[PoolRow, ...], tenants: tuple[TenantRow, ...], *queued: QueuedJobs, policy: Policy = TURNS
) -> Life:
    life = Life(policy)
    life.step(Changes(pools=pools, links=(), tenants=tenants, queued=queued))
    return life


def test_futures_start_each_job_when_its_tenants_turn_comes() -> None:
    life = begun((machine(4),), (TenantRow(1, 3_000), TenantRow(2)), of(1, 0, 30, hours=2), of(2, 30, 30))
    life.go_on(NOW + 5 * HOUR)
    said = foretold(life.state, life.now_ms)
    in_one_line = foretold(life.state, life.now_ms, turns=False)
    life.go_on()
    assert {job: life.began[job] for job in said} == said
    assert len(said) > 20
    assert in_one_line != said


shares = st.tuples(
    *(
        st.builds(
            TenantRow,
            tenant=st.just(5 * tenant),
            weight_milli=st.sampled_from([500, 1_000, 4_000]),
            quota_micro_yuan_per_hour=st.sampled_from([0, 0, 2 * NODE]),
            ceiling_micro_yuan_per_hour=st.sampled_from([None, None, 3 * NODE]),
        )
        for tenant in range(3)
    )
)
batches = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 6), st.integers(1, 60), st.sampled_from([0, 0, 5])),
    min_size=2,
    max_size=8,
)


@settings(max_examples=40)
@given(
    shares,
    batches,
    st.lists(st.integers(2, 5), min_size=1, max_size=2),
    st.integers(0, 90),
    st.sampled_from([TURNS, NAMED["weir-by-tenant"]]),
)
def test_what_is_foretold_of_known_runs_is_what_the_live_loop_does(
    told: tuple[TenantRow, ...],
    work: list[tuple[int, int, int, int]],
    sizes: list[int],
    hours: int,
    policy: Policy,
) -> None:
    pools = tuple(machine(nodes, f"{city}/a") for city, nodes in zip(("hefei", "wuhu"), sizes, strict=False))
    queued = tuple(
        of(5 * tenant, 10 * row, count, hours=length, priority=priority)
        for row, (tenant, count, length, priority) in enumerate(work)
    )
    life = begun(pools, told, *queued, policy=policy)
    life.go_on(NOW + hours * HOUR)
    said = foretold(life.state, life.now_ms)
    life.go_on()
    assert {job: life.began[job] for job in said} == said
