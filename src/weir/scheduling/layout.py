"""From pools and classes as they are told to the core's rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from weir.scheduling.bounds import (
    LARGEST_AMOUNT,
    LARGEST_SPEED,
    LARGEST_WEIGHT,
    LONGEST_LIMIT_MS,
    LONGEST_WAIT,
)
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import MOST_SEATS, JobClass, PoolRow
from weir.scheduling.policy import LARGEST_PRICE
from weir.scheduling.supply import prices_by_book
from weir.scheduling.tables import (
    CLASS,
    FAILS,
    GROUP,
    JUDGED,
    LISTED,
    NODE,
    NOTHING,
    POOL,
    PRICE,
    SEGMENTS,
    Bytes,
    Classes,
    Int64s,
    Nodes,
    Pass,
    Table,
    column,
    table_of,
)

_IN_ROWS = attrgetter(
    "tasks", "devices_milli", "cores_milli", "memory_bytes", "weight_time", "weight_money", "weight_carbon",
    "net_milli", "away_ms",
)  # fmt: skip
_FAR = 2**62


class Numbers(NamedTuple):
    """Centres that have pools, their cities and software stacks, each with its number in the core's tables."""

    centres: Mapping[str, int]
    cities: Mapping[str, int]
    stacks: Mapping[str, int]


def numbers_of(rows: Sequence[PoolRow], centres: Iterable[str]) -> Numbers:
    """The numbers of all that these pools name."""
    return Numbers(
        {centre: number for number, centre in enumerate(centres)},
        {city: number for number, city in enumerate(sorted({row.city for row in rows}))},
        {stack: number for number, stack in enumerate(sorted({row.stack for row in rows}))},
    )


def pools(
    rows: Sequence[PoolRow],
    wanted: Int64s,
    numbers: Numbers,
    seats: Int64s,
) -> Table:
    """A row a pool, all idle. Each has its nodes in service, at least so many as are wanted of it, and its seats."""
    nodes = column(row.nodes for row in rows)
    laid_out = np.maximum(nodes, wanted)
    devices = column(row.devices_per_node for row in rows)
    shares = column(row.shares for row in rows)
    end_node, end_device = np.cumsum(laid_out), np.cumsum(laid_out * devices * shares)
    found = table_of(
        POOL,
        len(rows),
        first_node=end_node - laid_out,
        end_node=end_node,
        nodes=nodes,
        first_device=end_device - laid_out * devices * shares,
        end_device=end_device,
        devices_per_node=devices,
        shares=shares,
        speed=column(speed(row.speed_milli) for row in rows),
        carbon=column(_price(row.device_power_watts * row.carbon_g_per_kwh) for row in rows),
        city=column(numbers.cities[row.city] for row in rows),
        centre=column(numbers.centres[row.centre] for row in rows),
        stack=column(numbers.stacks[row.stack] for row in rows),
        idle=nodes,
        running=np.full(len(rows), NOTHING),
        last=np.full(len(rows), NOTHING),
        free_cores=nodes * column(row.cores_milli_per_node for row in rows),
        free_devices=nodes * devices * 1_000,
        seats=seats,
    )
    take_in(found, rows)
    return found


def seats(rows: Sequence[PoolRow], depth: int) -> Int64s:
    """Of each pool, how many promises it gives at a time under a policy of that depth; none is promised at depth 0.

    One that shares devices gives a single one, for which devices a job finds there is not promised.
    """
    return column(1 if row.shares else max(1, min(MOST_SEATS, row.promises(depth))) for row in rows)


def take_in(laid_out: Table, rows: Sequence[PoolRow]) -> None:
    """Write what changes of pools while jobs are placed."""
    laid_out["open"] = [not row.closed_because for row in rows]
    laid_out["wait"] = [_within(row.expected_wait_ms, 0, LONGEST_WAIT) for row in rows]
    laid_out["ahead"] = [row.sends_ahead for row in rows]


def is_alike(row: PoolRow, before: PoolRow) -> bool:
    """Whether a pool is what it was, but for what `take_in` writes."""
    return row == replace(
        before,
        closed_because=row.closed_because,
        expected_wait_ms=row.expected_wait_ms,
        sends_ahead=row.sends_ahead,
    )


def idle_nodes(rows: Sequence[PoolRow], laid_out: Table) -> Nodes:
    """The nodes of all pools, with nothing on them."""
    each = laid_out["end_node"] - laid_out["first_node"]
    node = table_of(
        NODE,
        int(each.sum()),
        devices=np.repeat(laid_out["devices_per_node"] * 1_000, each),
        cores=np.repeat(column(row.cores_milli_per_node for row in rows), each),
        memory=np.repeat(column(row.memory_bytes_per_node for row in rows), each),
    )
    return Nodes(node, np.full(int(laid_out["end_device"].max(initial=0)), 1_000, np.int64))


def class_rows(job_classes: Sequence[JobClass]) -> Table:
    """Rows of CLASS; data and variant are still to be filled in."""
    said = zip(*map(_IN_ROWS, job_classes), strict=True) if job_classes else repeat((), 9)
    tasks, devices, cores, memory, *weights, net_milli, away_ms = (_column_within(each) for each in said)
    return table_of(
        CLASS,
        len(job_classes),
        tasks=tasks,
        devices=devices,
        cores=cores,
        memory=memory,
        all_devices=np.minimum(LARGEST_AMOUNT, tasks * devices),
        all_cores=np.minimum(LARGEST_AMOUNT, tasks * cores),
        weight_time=np.clip(weights[0], 0, LARGEST_WEIGHT),
        weight_money=np.clip(weights[1], 0, LARGEST_WEIGHT),
        weight_carbon=np.clip(weights[2], 0, LARGEST_WEIGHT),
        variant=np.full(len(job_classes), NOTHING),
        all_memory=np.minimum(LARGEST_AMOUNT, tasks * (-(-memory // 1_000_000))),
        net=np.clip(net_milli, 0, LARGEST_WEIGHT),
        home=np.full(len(job_classes), NOTHING),
        away=np.clip(away_ms, 0, LONGEST_LIMIT_MS),
    )


def prices(rows: Sequence[PoolRow], books: Mapping[int, int]) -> Table:
    """`Classes.price`: a row a book, the first of none."""
    found = np.zeros((1 + len(books), len(rows)), PRICE)
    for place, row in enumerate(rows):
        for book, of in enumerate(prices_by_book(row, books)):
            found[book, place] = tuple(
                map(
                    _price, (of.device_hour_micro_yuan, of.core_hour_micro_yuan, of.memory_gb_hour_micro_yuan)
                )
            )
    return found


def more_rows(classes: Classes, rows: int) -> Classes:
    """The classes, and so many rows more."""

    row = np.concatenate([classes.row, np.zeros(rows, CLASS)])
    barred = np.concatenate([classes.barred, np.full((rows, classes.barred.shape[1]), FAILS, np.uint8)])
    bits = [no_bits(*barred.shape) for _ in range(2)]
    for longer, before in zip(bits, (classes.vacant, classes.eligible), strict=True):
        longer[:, : before.shape[1]] = before
    return classes._replace(
        row=row, barred=barred, eights=eights_of(barred), vacant=bits[0], eligible=bits[1]
    )


def barred_everywhere(rows: int, pools: int) -> Bytes:
    """Of so many classes, as good as barred from all pools, and from the places beyond the last one for good."""
    return np.full((rows, -(-pools // 8) * 8), FAILS, np.uint8)


def segment_width(pools: int) -> int:
    """How many pools lie in each of the segments: a whole number of eights."""
    return max(8, -(-pools // (8 * SEGMENTS)) * 8)


def segments_of(failed: Bytes) -> Int64s:
    """Of each class (row), its segments: which of them have a pool where no constraint fails."""
    rows, pools = failed.shape
    eights = segment_width(pools) // 8
    whole = np.zeros((rows, eights * SEGMENTS), np.uint8)
    there = np.packbits(failed == 0, axis=1)
    whole[:, : there.shape[1]] = there
    any_there = whole.reshape(rows, SEGMENTS, eights).any(axis=2)
    found: Int64s = any_there @ (np.int64(1) << np.arange(SEGMENTS, dtype=np.int64))
    return found


def with_bits(classes: Classes) -> Classes:
    """The classes with all that says anew in other forms what they are barred from."""
    rows, pools = classes.barred.shape
    found = classes._replace(
        eights=eights_of(classes.barred), vacant=no_bits(rows, pools), eligible=no_bits(rows, pools)
    )
    note_bits(found, np.arange(rows))
    return found


def no_bits(rows: int, pools: int) -> Int64s:
    """Bits of so many classes by pool, all 0."""
    return np.zeros((pools, -(-rows // 64)), np.int64)


def note_bits(classes: Classes, rows: Int64s) -> None:
    """Write the bits of these classes by what they are barred from."""
    words: Int64s = np.unique(rows // 64)
    for some in np.split(words, np.flatnonzero(np.diff(words) > 1) + 1):
        if len(some):
            first, end = int(some[0]), int(some[-1]) + 1
            kernel("vacancy").note_bits(classes.barred, classes.vacant, classes.eligible, first, end)


def eights_of(barred: Bytes) -> Any:
    """The same bytes, eight to a number."""
    return barred.view(np.uint64)


def placements(
    runs: Table, records: Table, which: Int64s
) -> list[tuple[tuple[tuple[int, int], ...], tuple[int, ...]]]:
    """Of each run: (node, tasks on it) in task order, and the devices where they are shared."""
    running = kernel("running")
    length = running.count_records(runs, records, which)
    columns = [np.zeros(length, np.int64) for _ in range(3)]
    begins = [np.zeros(len(which) + 1, np.int64) for _ in range(2)]
    running.unroll(runs, records, which, *columns, *begins)
    node, tasks, device = (column.tolist() for column in columns)
    first, device_first = (column.tolist() for column in begins)
    return [
        (
            tuple(zip(node[first[i] : first[i + 1]], tasks[first[i] : first[i + 1]], strict=True)),
            tuple(device[device_first[i] : device_first[i + 1]]),
        )
        for i in range(len(which))
    ]


def empty_pass() -> Pass:
    """Room for nothing yet."""
    none = np.zeros(0, np.int64)
    return Pass(
        key=none,
        choice=none,
        found=np.zeros(0, JUDGED),
        group=np.zeros(0, GROUP),
        listed=np.zeros((0, 0), LISTED),
        group_index=none,
    )


def speed(milli: int) -> int:
    """A speed as far as the core can count it."""
    return _within(milli, 1, LARGEST_SPEED)


def net(milli: int) -> int:
    """Thousandths of the list price, as far as the core can count them."""
    return _within(milli, 0, LARGEST_WEIGHT)


def _price(value: int) -> int:
    return _within(value, 0, LARGEST_PRICE)


def _column_within(values: Sequence[int]) -> Int64s:
    """Numbers as a column, those that it cannot hold as the next that it can."""
    try:
        return np.array(values, np.int64)
    except OverflowError:
        return column(_within(value, -_FAR, _FAR) for value in values)


def _within(value: int, least: int, most: int) -> int:
    return min(most, max(least, value))
