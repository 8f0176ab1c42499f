"""The tables of a pool that is counted: jobs in their order, what runs by its latest end, what is promised."""

from typing import Any, NamedTuple

import numpy as np

from weir.scheduling.supply import Supply, supply_of
from weir.scheduling.tables import NODE, NOTHING, RESERVED_NODE, Classes, Int32s, Int64s, Nodes, Pass, Table

HALF_LIFE_MS = 7 * 86_400_000
"""Of what a tenant has used."""
SHARE_MS = 6 * 3_600_000
"""By how much a tenant's jobs stand back for each doubling of what he used over the average."""
NOWHERE = -2
BLOCK, BUCKETS = 64, 16
"""As in kernels/line.py."""

JOB = np.dtype(
    [(name, np.int64) for name in ("job", "key", "second", "submitted", "limit", "expected")]
    + [(name, np.int32) for name in ("need", "promised", "line", "size")],
    align=True,
)
"""A job. key, second: its place in the order of promises, and of backfilling. need: how many nodes in a counted pool,
else its class. promised: the pool that it is promised, or -1. line: in which it
waits. size: devices, or nodes where it uses none. The live
loop, which backfills in the one order, has in `second` the next free row, or the group of reasons of a start."""

_ENTRY = np.dtype(
    [("key", np.int64), ("limit", np.int64), ("slot", np.int32), ("need", np.int32)], align=True
)
_BLOCK = np.dtype([(name, np.int32) for name in ("first", "end", "next", "previous", "stale")], align=True)
_LINE = np.dtype([(name, np.int64) for name in ("head", "tail", "waiting")], align=True)
_RUN = np.dtype([("end", np.int64), ("slot", np.int32), ("need", np.int32)], align=True)
_STEP = np.dtype([("time", np.int64), ("free", np.int64)], align=True)


class Order(NamedTuple):
    """Waiting jobs, in blocks of entries."""

    entry: Table
    block: Table
    """first, end: where the block's entries lie in it. stale: 1 while `least` does not say what they are."""
    least: Any
    """[block, bucket] the least need of the block's jobs whose limits lie in the bucket or below it."""
    where: Any
    """Of each waiting job, its block."""
    free: Any
    """The first of the blocks that are not in use; there is always one more than jobs can need."""


class Count(NamedTuple):
    """What runs, in the order of latest ends, and a few numbers (see kernels/counted.py)."""

    run: Table
    state: Int64s


class Profile(NamedTuple):
    """What will be free, and when each job is promised a start (-1: it is not)."""

    step: Table
    promised: Int64s
    state: Int64s


PROMISE = np.dtype(
    [
        (name, np.int64)
        for name in ("slot", "start", "used", "stale", "first", "cause", "chosen", "until", "fewer")
    ],
    align=True,
)
"""A row a pool: who is promised it, from when on, on how many nodes; stale: 1 since something has ended there. first:
the start that was promised first. cause: why it is later than that, see kernels/world.py. chosen: 1 while its holder
could have started elsewhere when it was last looked at. A start of 2**62 keeps the pool's promise for a job that has
not waited long enough to be given it, and binds nobody.

Where pools have several seats, the rows of all first seats are followed by those of all second ones, and so on; then
until: as long as its holder may stay. fewer: in the row of a pool's first seat, not 0 while promises of it have lapsed
since the last pass, as it gives fewer. See kernels/seats.py."""


class Seats(NamedTuple):
    """Tables of promises, for so many seats a pool."""

    promise: Table
    proven: Table
    layers: Nodes
    """Of each seat, as all nodes are."""
    laid: Int64s
    """Of each pool, the seats for which layers are laid, a bit each, or -1; no rows where each pool has one seat."""


def seats_of(seats: int, pools: int, free: Nodes) -> Seats:
    """No promises yet, and room for so many seats of each pool."""
    promise = np.zeros(seats * pools, PROMISE)
    promise["slot"] = NOTHING
    layers = seats if seats > 1 else 0
    return Seats(
        promise,
        np.zeros(seats * len(free.node), RESERVED_NODE),
        Nodes(np.zeros(layers * len(free.node), NODE), np.zeros(layers * len(free.device), np.int64)),
        np.full(pools if seats > 1 else 0, NOTHING, np.int64),
    )


KEEP = np.dtype([(name, np.int64) for name in ("preemptible", "every", "save", "restore")], align=True)
"""Of a class: whether its jobs may have to give way, and how they save their work."""
GIVEN_UP = np.dtype([(name, np.int64) for name in ("job", "pool", "start", "end", "kept")], align=True)
"""An attempt that gave way. kept: how much of its time is not lost."""


class Lives(NamedTuple):
    """Priority classes, and what becomes of jobs that give way."""

    rule: Int64s
    """See kernels/preemption.py."""
    rank: Int64s
    """Of each job, its priority class: 0 the highest."""
    times: Int64s
    """How often it gave way."""
    done: Int64s
    """What it has saved, in milliseconds at nominal speed."""
    keep: Table
    given_up: Table
    run: Int64s
    cost: Int64s
    path: Int64s
    chosen: Int64s
    victim: Int64s
    room: Nodes
    """As `free`, for trying out who gives way."""


def lives_of(
    rank: Int64s,
    keep: Table,
    most: int,
    least_run_ms: int,
    free: Nodes,
    *,
    preemptible: int = 0,
    reserved: int = 0,
) -> Lives:
    """Nobody has given way yet. preemptible: how many jobs may. reserved: how many classes at the top never do."""
    jobs = len(rank)
    rule = np.array([most, least_run_ms, rank.max(initial=0), 0, 0, reserved], np.int64)
    run, cost, path, chosen, victim = (np.zeros(preemptible + 1, np.int64) for _ in range(5))
    none = np.zeros(jobs, np.int64)
    given_up = np.zeros(most * preemptible, GIVEN_UP)
    room = Nodes(*(column.copy() for column in free))
    done = none.copy()
    return Lives(rule, rank, none, done, keep, given_up, run, cost, path, chosen, victim, room)


NOBODY = lives_of(
    np.zeros(0, np.int64), np.zeros(0, KEEP), 0, 0, Nodes(np.zeros(0, NODE), np.zeros(0, np.int64))
)
CONSTANT = supply_of(())
"""Nothing that changes with time."""
_NONE, _NOW = np.zeros(1, np.int64), np.zeros(2, np.int64)


class Tenants(NamedTuple):
    """What tenants use and may use, and the lines in which their jobs wait; see kernels/tenants.py."""

    clock: Int64s
    past: Int64s
    """Of each tenant, what he used of what has ended."""
    running: Int64s
    """And of what runs, to its limit."""
    level: Int64s
    """Both, by his weight: the least goes first."""
    weight: Int64s
    """Thousandths."""
    quota: Int64s
    """Micro-yuan an hour that he may hold before he borrows."""
    ceiling: Int64s
    """Micro-yuan an hour beyond which nothing of his starts."""
    holds: Int64s
    """Micro-yuan an hour that he holds now."""
    number: Int64s
    """By which ties between tenants end."""
    of: Int64s
    """Of each line, its tenant."""
    band: Int64s
    """Of each line, its priority class, the least first."""
    heap: Int64s
    """The lines that a pass has still to go over, the first of them on top."""
    cursor: Int64s
    """Of each line, the next entry to look at."""
    seen: Int64s
    """Of each class, the last round that came to a job of it."""
    kept: Int64s
    """Of each promise, what is kept idle by it, in micro-yuan an hour, and:"""
    kept_for: Int64s
    """For whom."""
    rate: Any
    """[pool, (device, core)] micro-yuan an hour, by the share book."""


def tenants_of(
    tenants: int, lines: int, classes: int, rate: Any, *, sharing: bool = True, seats: int = 1
) -> Tenants:
    """So many tenants who have used nothing, of equal weight, without quotas or ceilings."""
    none = [np.zeros(tenants, np.int64) for _ in range(5)]
    return Tenants(
        clock=np.array([0, 0, 0, 0, HALF_LIFE_MS, 0, 0, 0, sharing], np.int64),
        past=none[0],
        running=none[1],
        level=none[2],
        weight=np.full(tenants, 1_000, np.int64),
        quota=none[3],
        ceiling=np.full(tenants, NO_CEILING, np.int64),
        holds=none[4],
        number=np.arange(tenants),
        of=np.zeros(lines, np.int64),
        band=np.zeros(lines, np.int64),
        heap=np.zeros(lines, np.int64),
        cursor=np.zeros(lines, np.int64),
        seen=np.zeros(classes, np.int64),
        kept=np.zeros(seats * len(rate), np.int64),
        kept_for=np.zeros(seats * len(rate), np.int64),
        rate=rate,
    )


NO_CEILING = 2**62
ALONE = tenants_of(0, 0, 0, np.zeros((0, 2), np.int64), sharing=False)
"""All wait in one line."""

WAITING = np.dtype([("job_class", np.int64), ("jobs", np.int64)], align=True)


class World(NamedTuple):
    """Many pools, as one pass over them sees them."""

    pools: Table
    free: Nodes
    later: Nodes
    then: Nodes
    """Room to try out what will be free."""
    classes: Classes
    runs: Table
    records: Table
    counters: Int64s
    work: Pass
    rates: Int64s
    turn: Int64s
    """The order's parameters, see kernels/priority.py."""
    score: Int64s
    candidate: Int64s
    """Pools that a job is held against."""
    promise: Table
    proven: Table
    layers: Nodes
    laid: Int64s
    window: Int64s
    """Of each class, the longest limit with which a job of it might start now."""
    waiting: Table
    """The classes that have waiting jobs, and how many; `signal[WAITING]` of them."""
    waiting_at: Int64s
    """Of each class, its row in `waiting`, or -1."""
    first: Int64s
    """Of each class, its first waiting job, which alone asks for promises, or -1: not known."""
    best: Int64s
    """Of each class, the pool whose promise its first job asks for, or -1."""
    signal: Int64s
    run_of: Int32s
    """Of each job that runs, its run."""
    touched: Int64s
    backlog: Any
    """[pool, (sum of expected ends x amounts, amounts, work that waits, all that it has)], where jobs are bound."""
    several: tuple[int, ...] = (1,)
    """Empty where it is known beforehand that every pool has one seat; part of the type, as the next."""
    features: tuple[int, ...] = ()
    """Empty where nothing of what follows is asked for; its length is part of the type, for which code is compiled."""
    supply: Supply = CONSTANT
    now: Int64s = _NOW
    """As of when pools are scored; and 1 where that is told, 0 where it is when the pass is made."""
    deadline: Int64s = _NONE
    """Of each job."""
    lives: Lives = NOBODY
    tenants: Tenants = ALONE


class ProvinceTrace(NamedTuple):
    """As `Trace`, for many pools."""

    run: Int64s
    start: Int64s
    end: Int64s
    due: Int64s
    pool: Int64s
    heap: Int64s
    """The ends to come, see kernels/coming.py."""
    size: Int64s
    user: Int64s
    group: Int64s
    first: Int64s
    """Of each user, one of his waiting jobs, and from there on:"""
    following: Int64s
    preceding: Int64s
    asked: Int64s
    """When each user's waiting jobs were last put in order anew."""
    tenant: Int64s
    used: Int64s
    """What each tenant has used lately, see kernels/shares.py."""
    share: Int64s


class Trace(NamedTuple):
    """What the core itself is not told: how long jobs really run, and when those that run will end."""

    run: Int64s
    start: Int64s
    heap: Int64s
    """The ends to come, see kernels/coming.py."""
    user: Int64s
    group: Int64s
    first: Int64s
    """Of each user, one of his waiting jobs, and from there on:"""
    following: Int64s
    preceding: Int64s
    asked: Int64s
    """When each user's waiting jobs were last put in order anew."""
    tenant: Int64s
    used: Int64s
    """What each tenant has used lately, see kernels/shares.py."""
    share: Int64s


def order_of(jobs: int, lines: int = 1) -> tuple[Order, Table]:
    """An empty order with room for so many jobs, and its lines."""
    blocks = jobs // (BLOCK // 2) + 3 + lines
    block = np.zeros(blocks, _BLOCK)
    block["next"] = np.arange(1, blocks + 1)
    block["next"][-1] = NOTHING
    line = np.zeros(lines, _LINE)
    line["head"] = line["tail"] = NOTHING
    order = Order(
        entry=np.empty(blocks * BLOCK, _ENTRY),
        block=block,
        least=np.empty((blocks, BUCKETS), np.int32),
        where=np.full(jobs, NOTHING, np.int32),
        free=np.zeros(1, np.int32),
    )
    return order, line


def count_of(nodes: int, jobs: int) -> Count:
    """A pool of so many free nodes."""
    return Count(np.empty(jobs + 1, _RUN), np.array([nodes, 0, NOTHING, 0, 0, NOTHING], np.int64))


def profile_of(jobs: int) -> Profile:
    """No promises, and room for one of every job."""
    return Profile(np.empty(4 * jobs + 8, _STEP), np.full(jobs, NOTHING, np.int64), np.zeros(1, np.int64))


def trace_of(run_ms: Int64s, user: Int64s, group: Int64s, tenant: Int64s | None = None) -> Trace:
    """Nothing has started, and nobody has used anything."""
    jobs = len(run_ms)
    tenants = np.zeros(jobs, np.int64) if tenant is None else tenant
    start, heap = np.full(jobs, NOTHING, np.int64), np.empty(jobs + 1, np.int64)
    return Trace(run_ms, start, heap, user, group, *waiting_of(user), tenants, *shares_of(tenants))


def shares_of(tenant: Int64s) -> tuple[Int64s, Int64s]:
    """Nobody has used anything: used, share."""
    share = np.array([0, 0, 0, HALF_LIFE_MS, SHARE_MS], np.int64)
    return np.zeros(int(tenant.max(initial=0)) + 1, np.int64), share


def waiting_of(user: Int64s) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Nobody has a waiting job: first, following, preceding, asked."""
    nobody = np.full(int(user.max(initial=0)) + 1, NOTHING, np.int64)
    return nobody, np.full(len(user), NOTHING, np.int64), np.full(len(user), NOWHERE, np.int64), nobody.copy()


def scratch_of(jobs: int) -> Table:
    """Room to sort so many entries."""
    return np.empty((2, jobs + 1), _ENTRY)
