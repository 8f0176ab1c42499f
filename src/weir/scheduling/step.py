"""One step: take in what changed, make one pass over the queue, and say what was decided."""

import hashlib

import numpy as np

from weir.scheduling import layout
from weir.scheduling.bounds import LATEST_MS, check_live
from weir.scheduling.compilation import kernel
from weir.scheduling.eligibility import constraint_in_words
from weir.scheduling.inputs import Changes, JobClass, PoolRow
from weir.scheduling.plan import Plan, PoolReason, Reservation, Start, Terms, Verdict
from weir.scheduling.state import LIST_ALL_BELOW, State
from weir.scheduling.supply import next_window
from weir.scheduling.tables import Bytes, Counter, Cycle, Int64s
from weir.units import format_duration, format_time

KEPT_NOTE = "the room there is, is kept for job {job}"


def step(state: State, changes: Changes, now_ms: int) -> tuple[State, Plan]:
    """Apply the changes in the order that `Changes` states, then start what can start.

    The state is taken over and changed in place: use only the one that is returned. What the plan starts holds its
    capacity from `now_ms` on and waits no more. When such a start was applied, nothing need be told (telling it as
    `running` changes nothing but its times); when it could not be, list it in `freed`, and in `queued` if it is
    still ready.

    The same state, changes and `now_ms` give the same plan on any machine, in whatever order equal changes are
    listed. And whatever the steps before were, the plan is the same, bit for bit, as that of one step from an empty
    state which is told the same snapshot: pools and links, all that waits, all that runs (with the devices it has),
    and as `promised` the reservations of the last plan whose jobs have waited ever since. Raises ValueError when
    changes contradict themselves or the bounds, or the policy is one for simulated time; the state must then be given
    up.
    """
    check_live(state.policy)
    if not 0 <= now_ms <= LATEST_MS:
        raise ValueError(f"now_ms is {now_ms}, not between 0 and {LATEST_MS}")
    state.tenants.tell_time(lambda: state.world, now_ms)
    apply(state, changes)
    state.look(now_ms)
    waiting = state.queued
    before = (state.seats.promise.copy(), state.seats.proven.copy(), state.holders())
    started = run_pass(state, now_ms)
    rows, deadline = state.queue.slots[started], state.queue.deadline[started]
    starts = starts_of(state, started, now_ms)
    reasons = reasons_of(state, now_ms)
    for start in starts:
        state.reasons[start.job] = reasons[start.reason]
    reservations = state.reservations()
    digest = digest_of(starts, reservations, waiting)
    state.last = Cycle(now_ms, digest, *before, rows, deadline)
    return state, Plan(starts, reasons, digest, waiting, reservations)


def apply(state: State, changes: Changes) -> None:
    """Bring the state up to date."""
    state.tenants.tell(lambda: state.world, changes.tenants)
    if changes.pools is not None or changes.links is not None:
        state.set_pools(state.rows if changes.pools is None else changes.pools, changes.links)
    state.release(changes.freed)
    if len(changes.unqueued):
        state.dequeue(changes.unqueued)
    state.forget_classes()
    state.enqueue(changes.queued)
    state.admit(changes.running)
    if changes.promised:
        state.promise_all(changes.promised)
    state.promise_anew()


def run_pass(state: State, now_ms: int) -> Int64s:
    """Let compiled code go over the queue, enlarging tables when it asks for that. Returns the rows that started."""
    live = kernel("live")
    started = np.empty(state.queued + 1, np.int64)
    live.settle(state.rule, state.queue.slots, state.world, state.before, now_ms)
    live.begin(state.world)
    count = 0
    while True:
        count += live.proceed(
            state.rule,
            state.queue.slots,
            state.queue.order,
            state.queue.line,
            state.world,
            started[count:],
            now_ms,
        )
        wanted = int(state.signal[live.WANTED])
        if not wanted:
            return started[:count]
        state.signal[live.WANTED] = 0
        counters = state.counters
        if counters[Counter.FREE_RUNS] == 0:
            state.make_runs(len(state.runs))
        if 2 * counters[Counter.GROUPS] >= len(state.work.group_index):
            state.make_groups(2 * len(state.work.group), used=int(counters[Counter.GROUPS]))
        if counters[Counter.FREE_RECORDS] < wanted:
            state.make_records(max(wanted, len(state.records)))


def failing_pools(state: State, job_class: int) -> tuple[tuple[PoolReason, ...], int]:
    """The pools that fail a constraint of the class, as they are listed with a start, and how many fail none; kept
    until pools change.

    From a hundred pools on, one example for each constraint, saying how many more there are.
    """
    known = state.known.failing.get(job_class)
    if known is not None:
        return known
    described = state.known.described[job_class]
    assert described is not None
    row = state.known.failed(job_class)
    found = tuple(
        PoolReason(
            state.rows[place].key,
            Verdict.FAILS,
            failed=constraint_in_words(state.rows[place], described, code),
            note=note,
        )
        for place, code, note in _failing_places(state, row)
    )
    state.known.failing[job_class] = found, len(row) - int(np.count_nonzero(row))
    return state.known.failing[job_class]


def _failing_places(state: State, row: Bytes) -> list[tuple[int, int, str]]:
    """(place, number of the constraint, note) of the pools that are listed, of what a class fails in each pool. Many
    classes fail alike."""
    alike = row.tobytes()
    known = state.known.failing_alike.get(alike)
    if known is not None:
        return known
    listed = np.flatnonzero(row)
    notes: dict[int, str] = {}
    if len(state.rows) >= LIST_ALL_BELOW:
        tally = dict(enumerate(np.bincount(row).tolist()))
        listed = np.sort([int(np.argmax(row == code)) for code, count in tally.items() if code and count])
        notes = {code: f"{count - 1} more pools fail this" for code, count in tally.items() if count > 1}
    found = [(place, int(row[place]), notes.get(int(row[place]), "")) for place in listed.tolist()]
    state.known.failing_alike[alike] = found
    return found


def starts_of(state: State, started: Int64s, now_ms: int) -> tuple[Start, ...]:
    """What has started, and note that it runs; its rows in the queue are free from now on."""
    if not len(started):
        return ()
    which = state.queue.run_of[started].astype(np.int64)
    keys = [row.key for row in state.rows]
    columns = (
        state.queue.slots["job"][started],
        state.runs["pool"][which],
        state.queue.slots["second"][started],
    )
    jobs, places, groups = (column.tolist() for column in columns)
    found = []
    for run, job, place, group, (nodes, devices) in zip(
        which.tolist(), jobs, places, groups, layout.placements(state.runs, state.records, which), strict=True
    ):
        key = keys[place]
        found.append(Start(job, key, nodes, group, devices))
        state.run_details[job] = (run, key, now_ms)
    kernel("waiting").leave_all(state.queue.slots, state.counters, started)
    return tuple(found)


def elsewhere(pool: PoolRow, job_class: JobClass) -> str:
    """Of a pool in another city than a job prefers, what that means to it, in words; else an empty text."""
    if not job_class.home or not job_class.away_ms or pool.city == job_class.home:
        return ""
    longer = format_duration(job_class.away_ms)
    return f"not in {job_class.home}, its own city: it would rather wait {longer} for a pool there"


def away(pool: PoolRow, now_ms: int) -> str:
    """That a job would not end by its limit before a pool is next out of service, in words."""
    window = next_window(pool, now_ms)
    assert window is not None
    why = f" ({window.reason})" if window.reason else ""
    out = f"out of service from {format_time(window.from_ms)} until {format_time(window.until_ms)}{why}"
    return out if window.from_ms <= now_ms else f"{out}; by its time limit the job would not end before"


def reasons_of(state: State, now_ms: int) -> tuple[tuple[PoolReason, ...], ...]:
    """Of each group of the last pass's starts, what is said of the pools."""
    count = int(state.counters[Counter.GROUPS])
    groups = zip(state.work.group[:count].tolist(), state.work.listed[:count].tolist(), strict=True)
    return tuple(_group_reasons(state, group[0], listed[: group[-1]], now_ms) for group, listed in groups)


def _group_reasons(
    state: State, job_class: int, listed: list[tuple[int, ...]], now_ms: int
) -> tuple[PoolReason, ...]:
    said_of = kernel("reasons")
    described = state.known.described[job_class]
    assert described is not None
    failing, eligible = failing_pools(state, job_class)
    found = []
    for place, verdict, idle, holder, run_ms, data_ms, money, carbon, score in listed:
        pool = state.rows[place]
        said, note = Verdict.OUTSCORED, ""
        if verdict == said_of.CHOSEN:
            said = Verdict.CHOSEN
            more = eligible - len(listed)
            if more:
                note = f"the best scored with room; {more} more eligible pools are not listed"
        elif verdict == said_of.CLOSED:
            said, note = Verdict.CLOSED, pool.closed_because
        elif verdict == said_of.AWAY:
            said, note = Verdict.CLOSED, away(pool, now_ms)
        elif verdict == said_of.FULL:
            said = Verdict.FULL
        elif verdict == said_of.KEPT:
            said, note = Verdict.FULL, KEPT_NOTE.format(job=holder)
        away_from = elsewhere(pool, described)
        if away_from:
            note = f"{note}; {away_from}" if note else away_from
        terms = Terms(run_ms, data_ms, money, carbon, score, pool.expected_wait_ms)
        found.append(PoolReason(pool.key, said, None, terms, idle, note))
    return (*found, *failing)


def digest_of(starts: tuple[Start, ...], reservations: tuple[Reservation, ...], considered: int) -> str:
    """SHA-256 over the plan's parts in a form that has no two readings."""
    digest = hashlib.sha256()
    for start in starts:
        digest.update(repr((start.job, start.pool, start.nodes, start.devices)).encode())
    for kept in reservations:
        digest.update(
            repr(
                (kept.job, kept.pool, kept.start_ms, kept.nodes, kept.first_start_ms, str(kept.cause))
            ).encode()
        )
    digest.update(repr((len(starts), len(reservations), considered)).encode())
    return digest.hexdigest()
