"""The tenants that the core knows: what they may use and have used, and the lines in which their jobs wait."""

from collections.abc import Callable, Sequence

import numpy as np

from weir.scheduling import lanes
from weir.scheduling.bounds import check_tenants
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import PoolRow, RunningJob, TenantRow
from weir.scheduling.policy import LARGEST_PRICE
from weir.scheduling.tables import Int64s, Table

EPOCH_MS = 8 * lanes.HALF_LIFE_MS
"""All usage is scaled down together after so long; see kernels/tenants.py."""
NO_PRICE_MICRO_YUAN = 1_000_000
"""What an hour of a device or a core counts in a pool without prices."""
World = Callable[[], lanes.World]
_EPOCH, _NOW, _QUOTAS = 0, 1, 5


class TenantTable:
    """Rows of tenants and of their lines. None is ever removed. Where nothing is shared, nothing is done.

    `world` gives the state's world where compiled code has to go over it.
    """

    table: lanes.Tenants

    def __init__(self, *, sharing: bool) -> None:
        self.sharing = sharing
        self.rows: dict[int, int] = {}
        """By number."""
        self.lines: dict[tuple[int, int], int] = {}
        """By priority class (the least first) and row of the tenant."""
        self.table = lanes.tenants_of(1, 1, 1, np.zeros((0, 2), np.int64), sharing=sharing)
        self.table.number[:] = -1

    def tell_time(self, world: World, now_ms: int) -> None:
        """It is that time, in which placements end that are let go of."""
        if self.sharing:
            kernel("tenants").tell(world(), now_ms)

    def tell(self, world: World, told: Sequence[TenantRow]) -> None:
        """Take in what tenants may use, and what they are told to have used of what has ended."""
        if not told or not self.sharing:
            return
        check_tenants(told)
        # What was used is scaled as of the time at which it is told.
        self.tell_time(world, max(int(self.table.clock[_NOW]), *(row.used_as_of_ms for row in told), 0))
        at = self.rows_of(np.array([row.tenant for row in told], np.int64))
        table = self.table
        for row, place in zip(told, at.tolist(), strict=True):
            table.weight[place] = row.weight_milli
            table.quota[place] = row.quota_micro_yuan_per_hour
            ceiling = row.ceiling_micro_yuan_per_hour
            table.ceiling[place] = lanes.NO_CEILING if ceiling is None else ceiling
            if row.used is not None:
                epochs = (int(table.clock[_EPOCH]) - row.used_as_of_ms // EPOCH_MS * EPOCH_MS) // EPOCH_MS
                table.past[place] = row.used >> (8 * epochs) if 0 <= epochs < 8 else 0
        note_least(table)
        kernel("tenants").rated_anew(world())

    def as_last_told(self) -> tuple[TenantRow, ...]:
        """`as_told`, as of the time that was told last."""
        return self.as_told(int(self.table.clock[_NOW])) if self.sharing else ()

    def note_kept(self, slots: Table, world: World) -> None:
        """The promises are those after a pass: what they keep idle counts from now on."""
        if self.sharing:
            kernel("tenants").noted(slots, world())

    def take_in(self, world: World, run: int, job: RunningJob) -> None:
        """A placement was told that is a tenant's."""
        if self.sharing:
            [row] = self.rows_of(np.array([job.tenant], np.int64))
            kernel("tenants").taken_in(world(), run, row, job.placed_ms)

    def take_in_all(self, world: World, runs: Int64s, tenants: Int64s, placed_ms: Int64s) -> None:
        """Several such."""
        if self.sharing:
            rows = self.rows_of(tenants)
            whole = world()
            for run, row, at_ms in zip(runs.tolist(), rows.tolist(), placed_ms.tolist(), strict=True):
                kernel("tenants").taken_in(whole, run, row, at_ms)

    def put_back(self, past: Int64s) -> None:
        """Nothing has ended since that was used."""
        table = self.table
        table.past[:] = past
        table.level[:] = (past + table.running) // table.weight

    def as_told(self, now_ms: int) -> tuple[TenantRow, ...]:
        """Every tenant, by number, with what it has used of what has ended."""
        table = self.table
        found = []
        for number, place in sorted(self.rows.items()):
            ceiling = int(table.ceiling[place])
            found.append(
                TenantRow(
                    number,
                    int(table.weight[place]),
                    int(table.quota[place]),
                    None if ceiling == lanes.NO_CEILING else ceiling,
                    int(table.past[place]),
                    now_ms,
                )
            )
        return tuple(found)

    def rows_of(self, numbers: Int64s) -> Int64s:
        """The rows of tenants, made where they are new."""
        distinct, back = np.unique(numbers, return_inverse=True)
        new = [number for number in distinct.tolist() if number not in self.rows]
        if new:
            wanted = len(self.rows) + len(new)
            if wanted > len(self.table.past):
                self._make_tenants(max(wanted, 2 * len(self.table.past)))
            for number in new:
                self.table.number[len(self.rows)] = number
                self.rows[number] = len(self.rows)
        found: Int64s = np.array([self.rows[number] for number in distinct.tolist()], np.int64)[back]
        return found

    def lines_of(self, tenants: Int64s, priority: Int64s, classes: int) -> Int64s:
        """The lines in which jobs wait, made where they are new. classes: how many there are."""
        if not self.sharing:
            return np.zeros(len(tenants), np.int64)
        if classes > len(self.table.seen):
            self.table = self.table._replace(seen=_longer(self.table.seen, classes))
        rows = self.rows_of(tenants)
        band = 511 - priority
        distinct, back = np.unique(rows * 1_024 + band, return_inverse=True)
        found = []
        for packed in distinct.tolist():
            key = (packed % 1_024, packed // 1_024)
            line = self.lines.get(key)
            if line is None:
                line = self.lines[key] = len(self.lines)
                if line >= len(self.table.of):
                    self._make_lines(2 * line)
                self.table.band[line], self.table.of[line] = key
            found.append(line)
        lines: Int64s = np.array(found, np.int64)[back]
        return lines

    def numbers_of(self, lines: Table) -> Int64s:
        """The numbers of those whose lines these are; 0 where nothing is shared."""
        if not self.sharing:
            return np.zeros(len(lines), np.int64)
        found: Int64s = self.table.number[self.table.of[lines]]
        return found

    def numbers_at(self, rows: Int64s) -> Int64s:
        """The numbers of the tenants in these rows; 0 where nothing is shared."""
        if not self.sharing:
            return np.zeros(len(rows), np.int64)
        found: Int64s = self.table.number[rows].astype(np.int64)
        return found

    def number_of(self, row: int) -> int:
        """The number of the tenant in a row; 0 where nothing is shared."""
        return int(self.table.number[row]) if self.sharing else 0

    def rate(self, rows: Sequence[PoolRow], world: World, seats: int) -> None:
        """Take in the share book's prices of pools, of so many seats at most, and count anew what runs."""
        if not self.sharing:
            return
        none = [np.zeros(seats * len(rows), np.int64) for _ in range(2)]
        self.table = self.table._replace(rate=rates_of_pools(rows), kept=none[0], kept_for=none[1])
        note_least(self.table)
        kernel("tenants").rated_anew(world())

    def _make_tenants(self, count: int) -> None:
        before = self.table
        self.table = before._replace(
            **{
                name: _longer(getattr(before, name), count)
                for name in ("past", "running", "level", "quota", "holds")
            },
            weight=_longer(before.weight, count, 1_000),
            ceiling=_longer(before.ceiling, count, lanes.NO_CEILING),
            number=_longer(before.number, count, -1),
        )

    def _make_lines(self, count: int) -> None:
        before = self.table
        self.table = before._replace(
            **{name: _longer(getattr(before, name), count) for name in ("of", "band", "heap", "cursor")}
        )


def rates_of_pools(rows: Sequence[PoolRow]) -> Int64s:
    """[pool, (device, core)] what an hour of each counts."""
    return np.array([_rates(row) for row in rows], np.int64).reshape(len(rows), 2)


def note_least(table: lanes.Tenants) -> None:
    """Let `clock` say what an hour of a device, and of a core, takes of a share at least, and if there are quotas."""
    least = table.rate.min(axis=0) if len(table.rate) else (0, 0)
    table.clock[_QUOTAS : _QUOTAS + 3] = (table.quota.any(), *least)


def _rates(row: PoolRow) -> tuple[int, int]:
    device, core = row.share_device_hour_micro_yuan, row.share_core_hour_micro_yuan
    device = row.device_hour_micro_yuan if device is None else device
    core = row.core_hour_micro_yuan if core is None else core
    if device <= 0 and core <= 0:
        # Of what has devices these are what is scarce.
        return (NO_PRICE_MICRO_YUAN, 0) if row.devices_per_node else (0, NO_PRICE_MICRO_YUAN)
    return min(LARGEST_PRICE, max(0, device)), min(LARGEST_PRICE, max(0, core))


def _longer(column: Int64s, count: int, value: int = 0) -> Int64s:
    found = np.full(count, value, np.int64)
    found[: len(column)] = column
    return found


__all__ = ["TenantTable", "note_least", "rates_of_pools"]
