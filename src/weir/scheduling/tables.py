"""The core's tables: arrays of rows, one array for each kind of thing.

Rows are found by index and never move while they are in use; lists run through `next` and `previous`, and end at
-1, as does every reference to nothing. All fields are signed integers; quantities are thousandths (devices,
cores), bytes and milliseconds.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Int32s = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Table = NDArray[Any]
"""An array of rows of one of the kinds below."""

NOTHING = -1
BLOCKED, FAILS = 128, 127
"""In `Classes.barred`: that a class has no room, and which bits say that a constraint fails."""


def _row(wide: str, narrow: str = "") -> np.dtype[Any]:
    fields = [(name, np.int64) for name in wide.split()] + [(name, np.int32) for name in narrow.split()]
    return np.dtype(fields, align=True)


POOL = _row(
    "first_node end_node nodes first_device end_device devices_per_node shares open"
    " speed carbon wait ahead city centre stack idle running last"
    " free_cores free_devices seats"
)
"""In the order of pool keys. Its nodes lie from first_node to end_node; of them, the first `nodes` are in service
and given work. Devices have rows of their own only where they are shared. carbon: mg of CO2 an hour of one device
(watts times grams a kilowatt-hour). wait: ms expected in the pool's own queue.
ahead: whether what is promised it is sent there at once. city: its number. idle: nodes in service that run nothing.
running, last: the first and the last of its runs, by their latest ends. free_cores, free_devices: of all its nodes in
service together. seats: how many waiting jobs are promised it at once, at most."""

NODE = _row("devices cores memory tasks")
"""What is free of a node, and how many tasks it runs."""

CLASS = _row(
    "tasks devices cores memory all_devices all_cores weight_time weight_money weight_carbon data moves variant "
    "segments chances all_memory net home away book"
)
"""A class of jobs: need of a task, and of all. data, moves: first row in `move`, and how many. variant: row of
`variant_speed`, or -1 for any stack at the job's nominal speed. segments: a bit for each of the SEGMENTS parts that all
pools are taken in, 1 where the class can go to any pool of it. chances: the same, 0 where it is known to have no room
in any of them. all_memory: of all tasks, in MB. net: thousandths of the
list price that it pays; where that differs between pools, -1 less the row of `net_there`. home: number of the city that
it prefers, or -1; away: so much longer it would wait there. book: row of `price`."""
SEGMENTS = 63

PRICE = _row("device_hour core_hour memory_hour")
"""What an hour of a device, of a core and of a GB costs, where that is the same all the time."""

MOVE = _row("road bytes")
"""What has to be moved, from where: a row of `bits` and `latency`."""

RUN = _row("job job_class pool end next previous record placed rate", "tenant")
"""A placement that holds capacity until `end` at the latest (placed plus time limit). pool: -1 where its pool is not
declared. job: -1 for a free row. tenant, rate: whose it is, and what it takes of his share an hour in micro-yuan; both
0 where there are no shares. next, previous: in its pool's list. record: the first of its records."""

RECORD = _row("node device tasks next")
"""What a placement has on one node or, where devices are shared (device is not -1), on one device of one task; only
the record of a task's first device counts the task."""

RESERVED_NODE = _row("node tasks")
"""Of a promise: the proven nodes of a pool lie from the pool's first node on."""

GROUP = _row("job_class limit expected deadline chosen kept listed")
"""Starts decided alike. kept: a number for the set of better pools whose room was kept, and for whom."""

LISTED = _row("pool verdict idle holder run data money carbon score")
"""What is said of one pool about a group of starts; the last five are the score's terms. holder: the job that its
promise is held by."""

JUDGED = _row("pool verdict idle holder run data money carbon score room until window rate holds ceiling")
"""What a marked job's turn found of one pool; room: for how many of its tasks there is room now. until: from when on
the pool's promise binds. window: the longest limit with which its class could start, as far as it was known.
rate, holds: where its tenant's ceiling keeps it away, what it would take an hour, what the tenant
holds then, and the most that it may."""


class Nodes(NamedTuple):
    """What is free, now or when a reservation starts."""

    node: Table
    device: Int64s
    """Thousandths free of each device, in pools that share devices."""


class Classes(NamedTuple):
    """The classes, and what they have for each centre, stack and pool (column)."""

    row: Table
    move: Table
    bits: Int64s
    """[where data lie, centre] bits per second, 0 without a link and -1 in the centre itself."""
    latency: Int64s
    variant_speed: Int64s
    net_there: Int64s
    """[row, pool] thousandths of the list price."""
    price: Table
    """[book, pool] of PRICE. The first book is what pools cost all those that have no version of their own."""
    barred: Bytes
    """Of each pool, in a whole number of eights: 0 where there may be room; BLOCKED where a job of this class was
    found not to fit, and nothing has been freed since; else the number of the first constraint that fails there."""
    eights: Any
    """The same bytes, eight to a number."""
    vacant: Int64s
    """[pool, class // 64] a bit a class, 1 where `barred` is 0: read where one pool concerns all classes."""
    eligible: Int64s
    """As `vacant`, 1 where no constraint fails."""


class Pass(NamedTuple):
    """What one pass needs and finds."""

    key: Int64s
    choice: Int64s
    """Nodes chosen for a gang, packed with how many tasks each gets, in order."""
    found: Table
    """A row of JUDGED a pool while a job is marked, else none."""
    group: Table
    listed: Table
    group_index: Int64s
    """An open hash over `group`."""


class Cycle(NamedTuple):
    """What the last cycle had before it, besides what the state still has after it."""

    now_ms: int
    digest: str
    promise: Table
    proven: Table
    holder: Int64s
    """Promises before the pass, as `State.reservations_of` takes them."""
    started: Table
    deadline: Int64s
    """Rows of lanes.JOB of the jobs that it started, as they waited; and their deadlines."""


class Counter:
    """Places in the array of counters that compiled code and the state share."""

    FREE_SLOT = 0
    FREE_RUN = 1
    FREE_RUNS = 2
    FREE_RECORD = 3
    FREE_RECORDS = 4
    GROUPS = 5
    COUNT = 6


def enlarged(table: Table, rows: int) -> Table:
    """A table of so many rows: those there are, and then zeros."""
    found = np.zeros(rows, table.dtype)
    found[: len(table)] = table
    return found


def table_of(kind: np.dtype[Any], rows: int, **columns: Any) -> Table:
    """Rows of a kind, with the columns given and the rest zero."""
    table = np.zeros(rows, kind)
    for name, values in columns.items():
        table[name] = values
    return table


def column(values: Iterable[int]) -> Int64s:
    """Numbers as a column."""
    return np.fromiter((int(value) for value in values), np.int64)


def chain(following: Table, start: int, counters: Int64s, free_list: int) -> None:
    """Put the rows from `start` on before the others of a list of free rows; `following` is their `next`."""
    following[start:] = np.arange(start + 1, len(following) + 1)
    if len(following) > start:
        following[-1] = counters[free_list]
        counters[free_list] = start
