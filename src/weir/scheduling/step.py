"""One step: take in what changed, make one pass over the queue, and say what was decided."""

import hashlib
from collections import Counter as Tally

import numpy as np

from weir.scheduling.bounds import LATEST_MS
from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import constraint_in_words
from weir.scheduling.inputs import Changes
from weir.scheduling.plan import Plan, PoolReason, Reservation, Start, Terms, Verdict
from weir.scheduling.policy import Policy
from weir.scheduling.state import LIST_ALL_BELOW, State
from weir.scheduling.tables import Counter

KEPT_NOTE = "the room there is, is kept for job {job}"


def step(state: State, changes: Changes, now_ms: int) -> tuple[State, Plan]:
    """Apply the changes in the order that `Changes` states, then start what can start.

    The state is taken over and changed in place: use only the one that is returned. What the plan starts holds its
    capacity from `now_ms` on and waits no more. When such a start was applied, nothing need be told (telling it as
    `running` changes nothing but its times); when it could not be, list it in `freed`, and in `queued` if it is
    still ready.

    The same state, changes and `now_ms` give the same plan on any machine, in whatever order equal changes are
    listed. Raises ValueError when changes contradict themselves or the bounds, and the state must then be given up;
    also for a policy that only simulations know.
    """
    if not 0 <= now_ms <= LATEST_MS:
        raise ValueError(f"now_ms is {now_ms}, not between 0 and {LATEST_MS}")
    _check_policy(state.policy)
    apply(state, changes)
    waiting = state.queued
    run_pass(state, now_ms)
    starts = _starts(state, now_ms)
    reasons = _reasons(state)
    for start in starts:
        state.reasons[start.job] = reasons[start.reason]
    reservations = _reservations(state)
    return state, Plan(starts, reasons, _digest(starts, reservations, waiting), waiting, reservations)


def _check_policy(policy: Policy) -> None:
    """Raise ValueError for what only a simulation does so far, rather than pass it over."""
    default = Policy()
    for name in ("order", "backfill_order", "depth", "blocking", "committed", "placement", "gate_ms", "fair"):
        if getattr(policy, name) != getattr(default, name):
            raise ValueError(
                f"{name}: policy {policy.name} is for simulations; a step goes by weir-1's order alone"
            )


def apply(state: State, changes: Changes) -> None:
    """Bring the state up to date."""
    if changes.pools is not None or changes.links is not None:
        state.set_pools(state.rows if changes.pools is None else changes.pools, changes.links)
    state.release(changes.freed)
    if len(changes.unqueued):
        state.dequeue(changes.unqueued)
    state.forget_classes()
    state.enqueue(changes.queued)
    state.admit(changes.running)


def run_pass(state: State, now_ms: int) -> None:
    """Let compiled code go over the queue, enlarging tables when it asks for that."""
    cycle = kernel("cycle")
    cycle.begin(
        state.classes, state.queues, state.slots, state.reservations, state.work, state.counters, now_ms
    )
    while cycle.proceed(
        state.pools,
        state.free,
        state.later,
        state.classes,
        state.queues,
        state.slots,
        state.runs,
        state.records,
        state.reservations,
        state.work,
        state.counters,
        state.rates,
    ):
        counters = state.counters
        if counters[Counter.FREE_RUNS] == 0:
            state.make_runs(len(state.runs))
        if counters[Counter.STARTS] == len(state.work.start):
            state.make_starts(2 * len(state.work.start))
        if 2 * counters[Counter.GROUPS] >= len(state.work.group_index):
            state.make_groups(2 * len(state.work.group), used=int(counters[Counter.GROUPS]))
        if counters[Counter.FREE_RECORDS] < counters[Counter.RECORDS_WANTED]:
            state.make_records(max(int(counters[Counter.RECORDS_WANTED]), len(state.records)))


def failing_pools(state: State, job_class: int) -> tuple[PoolReason, ...]:
    """The pools that fail a constraint of the class, as they are listed with a start; kept until pools change.

    From a hundred pools on, one example for each constraint, saying how many more there are.
    """
    known = state.failing.get(job_class)
    if known is not None:
        return known
    row = state.classes.failed[job_class]
    described = state.job_classes[job_class]
    assert described is not None
    listed = np.flatnonzero(row)
    notes: dict[int, str] = {}
    if len(state.rows) >= LIST_ALL_BELOW:
        tally = Tally(row[listed].tolist())
        listed = np.sort(np.unique(row, return_index=True)[1])
        listed = listed[row[listed] > 0]
        notes = {code: f"{count - 1} more pools fail this" for code, count in tally.items() if count > 1}
    found = tuple(
        PoolReason(
            state.rows[place].key,
            Verdict.FAILS,
            failed=constraint_in_words(state.rows[place], described, int(row[place])),
            note=notes.get(int(row[place]), ""),
        )
        for place in listed.tolist()
    )
    state.failing[job_class] = found
    return found


def _starts(state: State, now_ms: int) -> tuple[Start, ...]:
    count = int(state.counters[Counter.STARTS])
    if not count:
        return ()
    which = np.ascontiguousarray(state.work.start["run"][:count])
    keys = [row.key for row in state.rows]
    columns = (state.runs["job"][which], state.runs["pool"][which], state.work.start["group"][:count])
    jobs, places, groups = (column.tolist() for column in columns)
    found = []
    for run, job, place, group, (nodes, devices) in zip(
        which.tolist(), jobs, places, groups, state.placements(which), strict=True
    ):
        key = keys[place]
        found.append(Start(job, key, nodes, group, devices))
        state.run_details[job] = (run, key, now_ms)
    return tuple(found)


def _reasons(state: State) -> tuple[tuple[PoolReason, ...], ...]:
    count = int(state.counters[Counter.GROUPS])
    groups = zip(state.work.group[:count].tolist(), state.work.listed[:count].tolist(), strict=True)
    return tuple(_group_reasons(state, group[0], listed[: group[4]]) for group, listed in groups)


def _group_reasons(state: State, job_class: int, listed: list[tuple[int, ...]]) -> tuple[PoolReason, ...]:
    cycle = kernel("cycle")
    found = []
    for place, verdict, idle, *terms in listed:
        pool = state.rows[place]
        said, note = Verdict.OUTSCORED, ""
        if verdict == cycle.CHOSEN:
            said = Verdict.CHOSEN
            more = int(np.count_nonzero(state.classes.failed[job_class] == 0)) - len(listed)
            if more:
                note = f"the best scored with room; {more} more eligible pools are not listed"
        elif verdict == cycle.CLOSED:
            said, note = Verdict.CLOSED, pool.closed_because
        elif verdict == cycle.FULL:
            said = Verdict.FULL
        elif verdict == cycle.KEPT:
            said, note = Verdict.FULL, KEPT_NOTE.format(job=int(state.reservations.pool["job"][place]))
        found.append(PoolReason(pool.key, said, terms=Terms(*terms), free_nodes=idle, note=note))
    return (*found, *failing_pools(state, job_class))


def _reservations(state: State) -> tuple[Reservation, ...]:
    found = []
    for place in np.flatnonzero(state.reservations.pool["job"] >= 0).tolist():
        job, start_ms, used = state.reservations.pool[place].tolist()
        first = int(state.pools["first_node"][place])
        nodes = tuple(state.reservations.node[first : first + used].tolist())
        found.append(Reservation(job, state.rows[place].key, start_ms, nodes))
    return tuple(found)


def _digest(starts: tuple[Start, ...], reservations: tuple[Reservation, ...], considered: int) -> str:
    """SHA-256 over the plan's parts in a form that has no two readings."""
    digest = hashlib.sha256()
    for start in starts:
        digest.update(repr((start.job, start.pool, start.nodes, start.devices)).encode())
    for kept in reservations:
        digest.update(repr((kept.job, kept.pool, kept.start_ms, kept.nodes)).encode())
    digest.update(repr((len(starts), len(reservations), considered)).encode())
    return digest.hexdigest()
