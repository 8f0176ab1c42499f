"""The core's arrays, grouped by what a row is. Named tuples, because compiled code takes them as they are.

Rows are found by index and never move while they are in use; lists run through `next` and `previous` columns and
end at -1. Everything is a signed integer; quantities are thousandths (devices, cores), bytes and milliseconds.
"""

from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Bytes = NDArray[np.uint8]

NOTHING = -1


class Pools(NamedTuple):
    """A row a pool, in the order of pool keys."""

    first_node: Int64s
    nodes: Int64s
    """In service: only these are given work. More may be laid out, where something still runs."""
    first_device: Int64s
    devices_per_node: Int64s
    shares: Int64s
    open: Int64s
    speed: Int64s
    device_hour: Int64s
    core_hour: Int64s
    carbon: Int64s
    """Milligrams of CO2 an hour of one device: watts times grams a kilowatt-hour."""
    centre: Int64s
    stack: Int64s
    idle: Int64s
    """How many nodes in service run nothing."""
    running: Int64s
    """The first of its running jobs."""


class Nodes(NamedTuple):
    """What is free: a row a node, and a row a device (counted only in pools whose devices are shared)."""

    devices: Int64s
    cores: Int64s
    memory: Int64s
    tasks: Int64s
    device: Int64s


class Classes(NamedTuple):
    """A row a class of jobs; matrices have a column a pool (or a centre, or a stack)."""

    tasks: Int64s
    devices: Int64s
    cores: Int64s
    memory: Int64s
    all_devices: Int64s
    all_cores: Int64s
    weight_time: Int64s
    weight_money: Int64s
    weight_carbon: Int64s
    data: Int64s
    """Row of `data_ms`, or -1 for no data."""
    variant: Int64s
    """Row of `variant_speed`, or -1 for any stack at the job's nominal speed."""
    data_ms: Int64s
    variant_speed: Int64s
    failed: Bytes
    """0 where eligible, else the number of the first constraint that fails there."""
    blocked: Bytes
    """1 where a job of this class was found not to fit, and nothing has been freed since."""
    kept: Bytes
    """1 where, in this pass, none fits beside the pool's reservation unless it ends before that."""


class Queues(NamedTuple):
    """A row for each (class, priority) that has waited: its jobs in order of submission and number."""

    job_class: Int64s
    priority: Int64s
    head: Int64s
    tail: Int64s
    waiting: Int64s
    least_limit: Int64s
    """No job in it has a shorter time limit (it may be too low, never too high)."""


class Slots(NamedTuple):
    """A row a waiting job. `queue` is -1 for a free row, and `next` then leads to another."""

    job: Int64s
    submitted: Int64s
    limit: Int64s
    queue: Int32s
    next: Int32s
    previous: Int32s


class Index(NamedTuple):
    """From job number to slot: an open hash. Entries stay behind when a slot is freed, and are told by the slot."""

    key: Int64s
    slot: Int32s


class Runs(NamedTuple):
    """A row a placement that holds capacity. `pool` is -1 where its pool is not (or no more) declared."""

    job: Int64s
    job_class: Int64s
    pool: Int64s
    end: Int64s
    """It will have ended by then: placed plus time limit."""
    next: Int64s
    previous: Int64s
    record: Int64s
    """The first of its placement records."""


class Records(NamedTuple):
    """A row for each node that a placement uses or, where devices are shared, for each device of each task."""

    node: Int64s
    device: Int64s
    tasks: Int64s
    next: Int64s


class Reservations(NamedTuple):
    """At most one a pool (row), and the nodes that it proves (row of the pool's first node onwards)."""

    job: Int64s
    start: Int64s
    used: Int64s
    """How many nodes."""
    node: Int64s
    tasks: Int64s


class Pass(NamedTuple):
    """What one pass needs and finds."""

    heap: Int64s
    cursor: Int64s
    waits: Int64s
    """1 once a queue's first waiting job has been seen."""
    score: Int64s
    chosen_node: Int64s
    chosen_tasks: Int64s
    key: Int64s
    start_run: Int64s
    """The runs started, in order of decision."""
    start_group: Int64s
    group: Int64s
    """A row for starts decided alike: class, time limit, pool, hash of the pools kept from it, how many listed."""
    group_pool: Int64s
    group_verdict: Int64s
    group_idle: Int64s
    group_terms: Int64s
    group_index: Int64s
    """An open hash over `group`."""


class Counter:
    """Places in the array of counters that compiled code and the state share."""

    QUEUES = 0
    HEAP = 1
    FREE_SLOT = 2
    FREE_RUN = 3
    FREE_RUNS = 4
    FREE_RECORD = 5
    FREE_RECORDS = 6
    STARTS = 7
    GROUPS = 8
    QUEUED = 9
    RECORDS_WANTED = 10
    SCORED_CLASS = 11
    SCORED_LIMIT = 12
    NOW = 13
    COUNT = 14


T = TypeVar("T", bound=tuple[Any, ...])


def filled(kind: type[T], rows: int, *, like: T | None = None, fill: int = 0) -> T:
    """A table of one-dimensional columns with so many rows: those of `like` first, the rest `fill`."""
    columns = []
    hints = kind.__annotations__
    for place, name in enumerate(hints):
        column = np.full(rows, fill, np.int32 if hints[name] == Int32s else np.int64)
        if like is not None:
            old = like[place]
            column[: len(old)] = old
        columns.append(column)
    return kind(*columns)
