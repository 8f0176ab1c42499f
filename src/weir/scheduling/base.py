"""All that a state knows, written down so that a like state can be made of it fast: what later cycles are run from.

As what an empty state would be told it would do as well. That would take four times as long where a million jobs
wait: each class would be held against each pool again, and the queue sorted.
"""

from dataclasses import dataclass

import numpy as np

from weir.scheduling.bounds import check_classes
from weir.scheduling.classes import Failures
from weir.scheduling.compilation import kernel
from weir.scheduling.hours import HURRIED
from weir.scheduling.inputs import NO_DEADLINE, Changes, Int64s, JobClass
from weir.scheduling.placements import Placements, admit_all, standing
from weir.scheduling.policy import Policy
from weir.scheduling.queue import QueuedColumns
from weir.scheduling.state import State


@dataclass(frozen=True, slots=True)
class Base:
    """What a state knows, between two cycles."""

    told: Changes
    """All but the queue and what runs, as an empty state would be told it."""
    classes: tuple[JobClass, ...]
    """All distinct: those of what waits and runs."""
    failures: Int64s
    """[kind, pool], one row after another: what the classes of a kind fail there."""
    kind: Int64s
    """Of each class."""
    running: Placements
    """What runs; so do the next four say."""
    running_class: Int64s
    """Its place in `classes`."""
    placed_ms: Int64s
    running_limit_ms: Int64s
    running_tenant: Int64s
    job: Int64s
    """The queue, in order; so are the next seven."""
    job_class: Int64s
    """Its place in `classes`."""
    priority: Int64s
    submitted_ms: Int64s
    time_limit_ms: Int64s
    expected_ms: Int64s
    deadline_ms: Int64s
    tenant: Int64s


def base_of(state: State) -> Base:
    """All that a state knows, copied."""
    slots = state.queue.slots
    rows = state.queue.rows_in_order()
    waiting = slots[rows]
    which = np.array([run for run, _, _ in state.run_details.values()], np.int64)
    placed_ms = np.array([placed_ms for _, _, placed_ms in state.run_details.values()], np.int64)
    needs, running = waiting["need"].astype(np.int64), state.runs["job_class"][which]
    used = np.unique(np.concatenate([needs, running]))
    failures, kind = _failures(state, used)
    return Base(
        told=Changes(
            pools=state.rows,
            links=tuple(dict.fromkeys(state.links.values())),
            promised=state.reservations(),
            tenants=state.tenants.as_last_told(),
        ),
        classes=tuple(_class(state, row) for row in used.tolist()),
        failures=failures,
        kind=kind,
        running=standing(state),
        running_class=np.searchsorted(used, running),
        placed_ms=placed_ms,
        running_limit_ms=state.runs["end"][which] - placed_ms,
        running_tenant=state.tenants.numbers_at(state.runs["tenant"][which]),
        job=waiting["job"].astype(np.int64),
        job_class=np.searchsorted(used, needs),
        priority=kernel("waiting").priority_of(waiting["key"].copy()),
        submitted_ms=waiting["submitted"].astype(np.int64),
        time_limit_ms=waiting["limit"].astype(np.int64),
        expected_ms=waiting["expected"].astype(np.int64),
        deadline_ms=state.queue.deadline[rows],
        tenant=state.tenants.numbers_of(waiting["line"]),
    )


def state_of(base: Base, policy: Policy) -> State:
    """A state that knows all that a base says. Raises ValueError where it contradicts itself or the bounds."""
    state = State.empty(policy)
    told, classes = base.told, base.classes
    check_classes(classes)
    state.tenants.tell(lambda: state.world, told.tenants)
    kinds = base.failures.astype(np.uint8).reshape(-1, max(1, len(told.pools or ())))
    state.known.begin_with(classes, Failures(kinds, base.kind))
    state.set_pools(told.pools or (), told.links)
    if len(base.job):
        _enqueue(state, base)
    _in_range(base.running_class, classes)
    placed = (base.running_class, base.placed_ms, base.running_limit_ms, base.running_tenant)
    admit_all(state, base.running, *placed)
    state.promise_all(told.promised)
    return state


def _enqueue(state: State, base: Base) -> None:
    _in_range(base.job_class, base.classes)
    sizes = np.array([job_class.size for job_class in base.classes], np.int64)
    new = QueuedColumns(
        job_class=base.job_class,
        size=sizes[base.job_class],
        job=base.job,
        priority=base.priority,
        submitted_ms=base.submitted_ms,
        time_limit_ms=base.time_limit_ms,
        expected_ms=base.expected_ms,
        deadline_ms=base.deadline_ms,
        line=state.tenants.lines_of(base.tenant, base.priority, len(state.known.window)),
    )
    state.hours.moment[HURRIED] |= bool((base.deadline_ms < NO_DEADLINE).any())
    of_class = np.bincount(base.job_class, minlength=len(base.classes))
    came = np.flatnonzero(of_class)
    kernel("live").look_at(state.world, came, of_class[came])
    state.queue.add(new, state.rates_of_order, state.counters, in_order=not state.tenants.sharing)


def _in_range(of: Int64s, classes: tuple[JobClass, ...]) -> None:
    if len(of) and not 0 <= int(of.min()) <= int(of.max()) < len(classes):
        raise ValueError("a job is of a class that is not named")


def _failures(state: State, used: Int64s) -> tuple[Int64s, Int64s]:
    """(`Base.failures`, `Base.kind`) of the classes in these rows."""
    kinds: dict[bytes, int] = {}
    kind = [kinds.setdefault(state.known.failed(row).tobytes(), len(kinds)) for row in used.tolist()]
    return np.frombuffer(b"".join(kinds), np.uint8).astype(np.int64), np.array(kind, np.int64)


def _class(state: State, number: int) -> JobClass:
    found = state.known.described[number]
    assert found is not None
    return found


__all__ = ["Base", "base_of", "state_of"]
