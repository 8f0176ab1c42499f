"""What tenants may use and have used at an instant: so that simulated futures begin with it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from weir.scheduling import lanes
from weir.scheduling.inputs import Int64s, TenantRow
from weir.scheduling.tenants import EPOCH_MS, note_least

if TYPE_CHECKING:
    from weir.scheduling.state import State

_EPOCH, _NOW, _SHARING = 0, 1, 8


@dataclass(frozen=True, slots=True)
class Usage:
    """Of all tenants, as of one time, which is their `used_as_of_ms`; and what promises have kept idle since then."""

    tenants: tuple[TenantRow, ...]
    """By number, with what each used of what has ended."""
    kept: Int64s
    """Of each promise, what it keeps idle, in micro-yuan an hour, and:"""
    kept_for: Int64s
    """For whom: a row of `tenants`."""

    def rows_of(self, numbers: Int64s) -> Int64s:
        """The rows of tenants by their numbers, all of which are known."""
        known = np.array([row.tenant for row in self.tenants], np.int64)
        return np.searchsorted(known, numbers)

    def with_others(self, numbers: Iterable[int]) -> "Usage":
        """The same, and these tenants besides, where they are new: they have used nothing."""
        known = {row.tenant for row in self.tenants}
        as_of_ms = self.tenants[0].used_as_of_ms if self.tenants else 0
        new = [TenantRow(number, used=0, used_as_of_ms=as_of_ms) for number in sorted(set(numbers) - known)]
        if not new:
            return self
        found = replace(self, tenants=tuple(sorted((*self.tenants, *new), key=lambda row: row.tenant)))
        before = np.array([row.tenant for row in self.tenants] or [0], np.int64)
        return replace(found, kept_for=found.rows_of(before[self.kept_for]))

    def lay_into(self, table: lanes.Tenants, origin_ms: int) -> None:
        """Let tables for these tenants, whose rows are those of `tenants`, say the same; times count from an origin."""
        as_of_ms = self.tenants[0].used_as_of_ms
        table.clock[_EPOCH] = as_of_ms // EPOCH_MS * EPOCH_MS - origin_ms
        table.clock[_NOW] = as_of_ms - origin_ms
        table.clock[_SHARING] = 1
        for place, row in enumerate(self.tenants):
            ceiling = row.ceiling_micro_yuan_per_hour
            table.weight[place] = row.weight_milli
            table.quota[place] = row.quota_micro_yuan_per_hour
            table.ceiling[place] = lanes.NO_CEILING if ceiling is None else ceiling
            table.past[place] = row.used or 0
        table.kept[:], table.kept_for[:] = self.kept, self.kept_for
        note_least(table)


def usage_of(state: "State") -> Usage:
    """As a state has counted it by its last step; without tenants where it shares nothing."""
    tenants = state.tenants.as_last_told()
    table = state.tenants.table
    found = Usage(tenants, table.kept.copy(), np.zeros(len(table.kept), np.int64))
    return replace(found, kept_for=found.rows_of(table.number[table.kept_for])) if tenants else found


def by_turns(state: "State", rows: Int64s) -> Int64s:
    """Rows of waiting jobs, each tenant's in its order, about as turns come to them if everything fits everywhere:
    by how much their tenants will have used by then for their weight, at what an hour counts on the average.
    """
    slots, table = state.queue.slots, state.tenants.table
    line = slots["line"][rows]
    tenant, band = table.of[line], table.band[line]
    mean = table.rate.mean(axis=0) if len(table.rate) else np.zeros(2)
    need = state.known.table.row[slots["need"][rows]]
    hour = need["all_devices"] * mean[0] + need["all_cores"] * mean[1]
    since = int(table.clock[_NOW]) - int(table.clock[_EPOCH])
    # As `used_of` of kernels/tenants.py counts it, but for rounding.
    scale = 4.0 * 2.0 ** (since / lanes.HALF_LIFE_MS) / 1_000 / 3_600_000
    cost = np.maximum(1.0, hour * slots["limit"][rows]) * scale / table.weight[tenant]
    mine = np.lexsort((np.arange(len(rows)), band, tenant))
    total = np.cumsum(cost[mine]) - cost[mine]
    first = np.searchsorted(tenant[mine], tenant[mine])
    when = np.empty(len(rows))
    when[mine] = table.level[tenant[mine]] + total - total[first]
    return rows[np.lexsort((np.arange(len(rows)), table.number[tenant], when, band))]


__all__ = ["Usage", "by_turns", "usage_of"]
