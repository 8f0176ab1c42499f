"""A cycle that was kept is run again later, from what was kept before it: the same plan, and the same reasons."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.live_queue import live_queue, some_changes
from tests.unit.scheduling.provinces import NOW
from tests.unit.scheduling.test_properties import POLICIES, Told, next_changes
from weir.control.cycle import LIVE
from weir.scheduling import Policy, State, explain, step
from weir.scheduling.base import base_of, state_of
from weir.scheduling.explanation import explain_kept
from weir.scheduling.inputs import Changes, JobClass, QueuedJobs
from weir.scheduling.kept import KeptCycle, Promises, replayed
from weir.scheduling.packed import PackedError, packed, unpacked
from weir.scheduling.plan import Plan, Verdict
from weir.scheduling.rerun import OtherPlanError


@dataclass
class History:
    """Cycles as they were made, and as they were kept."""

    state: State
    promises: Promises = field(default_factory=Promises)
    kept: list[bytes] = field(default_factory=list)
    bases: list[bytes] = field(default_factory=list)

    def step(self, changes: Changes, now_ms: int) -> Plan:
        self.state, plan = step(self.state, changes, now_ms)
        self.kept.append(packed(self.promises.of(self.state, changes, plan, now_ms)))
        self.bases.append(packed(base_of(self.state)))
        return plan


def before(history: History, base: int | None, last: int) -> tuple[State, KeptCycle]:
    """The state before one cycle, from what was kept after another (None: from nothing), and that cycle."""
    first = 0 if base is None else base + 1
    told = None if base is None else unpacked(history.bases[base])
    cycles = [unpacked(each) for each in history.kept[first : last + 1]]
    return replayed(told, cycles), cycles[-1]


@settings(max_examples=25)
@given(st.data())
def test_any_cycle_of_any_history_is_run_again_from_anything_before_it(data: st.DataObject) -> None:
    history = History(State.empty(data.draw(st.sampled_from(POLICIES))))
    told, now_ms = Told(), NOW
    numbers: list[int] = []
    waited: list[dict[int, object]] = []
    plans: list[Plan] = []
    for _ in range(data.draw(st.integers(1, 6))):
        now_ms += data.draw(st.sampled_from([0, 1_000, 4_000_000]))
        changes = data.draw(next_changes(told, numbers))
        plan = history.step(changes, now_ms)
        told.take(changes, plan, now_ms)
        told.keep(plan)
        plans.append(plan)
        waited.append({job: explain(history.state, job) for job in told.queued})
    last = data.draw(st.integers(0, len(plans) - 1))
    base = data.draw(st.sampled_from([None, *range(last)]))
    state, cycle = before(history, base, last)
    for job, answer in waited[last].items():
        assert answer == explain_kept(state, cycle, job)
    for start in plans[last].starts:
        again = explain_kept(state, cycle, start.job)
        assert again is not None
        assert (0, plans[last].reasons[start.reason]) == (again.position, again.pools)
    assert explain_kept(state, cycle, max(numbers, default=0) + 1) is None


def test_where_jobs_wait_for_better_pools_what_a_cycle_did_does_not_depend_on_what_is_remembered() -> None:
    queue = live_queue(600, seed=3, classes=40, edge_pools=20)
    told = Changes(pools=queue.pools, links=queue.links, queued=queue.batches(), running=queue.running)
    history = History(State.empty(LIVE))
    history.step(told, queue.now_ms)
    for round_ in range(12):
        changes, now_ms = some_changes(queue, round_), queue.now_ms + 3_600_000 + 1_000 * round_
        fresh = tuple(replace(each, job=each.job + 100_000 * (round_ + 1)) for each in changes.queued)
        before_it = state_of(base_of(history.state), LIVE)
        plan = history.step(replace(changes, queued=fresh), now_ms)
        _, anew = step(before_it, replace(changes, queued=fresh), now_ms)
        assert (plan.starts, plan.reservations) == (anew.starts, anew.reservations)
        assert plan.starts
        waits = next(job for job in queue.job.tolist() if history.state.waits(job))
        assert explain(history.state, waits) == explain_kept(*before(history, 0, round_ + 1), waits)


def batch(*jobs: int) -> QueuedJobs:
    column = np.array(jobs, np.int64)
    return QueuedJobs(JobClass(1, 0, 1_000, 1), column, column % 2, column, column + 1_000)


def test_a_cycle_that_gives_another_plan_is_not_explained() -> None:
    history = History(State.empty(Policy()))
    history.step(Changes(queued=(batch(1, 2),)), NOW)
    state, cycle = before(history, None, 0)
    with pytest.raises(OtherPlanError):
        explain_kept(state, replace(cycle, digest="0" * 64), 1)


def test_columns_come_back_as_they_were() -> None:
    widest = np.array([0, -1, 2**62, -(2**62), 7], np.int64)
    expected = QueuedJobs(
        JobClass(2, 500, 1, 1, models=("b", "a")), *(widest,) * 4, expected_ms=widest[::-1].copy()
    )
    none = batch()
    [[one, other, last]] = [unpacked(packed((expected, none, batch(5, 3))))]
    assert expected.job_class == one.job_class
    for name in ("job", "priority", "submitted_ms", "time_limit_ms", "expected_ms"):
        assert getattr(expected, name).tolist() == getattr(one, name).tolist()
    assert (other.job.tolist(), other.expected_ms) == ([], None)
    assert ([5, 3], [1, 1], [1_005, 1_003]) == tuple(
        column.tolist() for column in (last.job, last.priority, last.time_limit_ms)
    )
    assert last.expected_ms is None
    policy = Policy(name="else", depth=0)
    assert policy == unpacked(packed(policy))
    assert (Verdict.FULL, frozenset({"gang"})) == unpacked(packed((Verdict.FULL, frozenset({"gang"}))))


def test_what_is_no_kept_cycle_is_refused() -> None:
    with pytest.raises(TypeError, match="Agent"):
        packed(type("Agent", (), {})())
    whole = packed(batch(1))
    for broken in (b"", b"else", whole[:-1], packed(1)[:5]):
        with pytest.raises(PackedError):
            unpacked(broken)
