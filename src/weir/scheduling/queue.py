"""The waiting jobs of the live loop: a row each, one line in which they wait, and an index from number to row."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from weir.scheduling import lanes
from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import NO_DEADLINE, QueuedJobs
from weir.scheduling.tables import NOTHING, Int32s, Int64s, Table, enlarged

_FIRST_ROWS = 64


class QueuedColumns(NamedTuple):
    """New jobs: number of the class, how much they take as orders count it, and as in inputs.QueuedJobs."""

    job_class: Int64s
    size: Int64s
    job: Int64s
    priority: Int64s
    submitted_ms: Int64s
    time_limit_ms: Int64s
    expected_ms: Int64s
    deadline_ms: Int64s
    line: Int64s


def columns_of(
    batches: Sequence[QueuedJobs], number: Sequence[int], job: Int64s, line: Int64s
) -> QueuedColumns:
    """The batches as columns, `job` their numbers, `number` the rows of their classes and
    `line` where each waits."""
    each = [len(batch.job) for batch in batches]
    sizes = [batch.job_class.size for batch in batches]
    return QueuedColumns(
        np.repeat(np.array(number, np.int64), each),
        np.repeat(np.array(sizes, np.int64), each),
        job,
        np.concatenate([batch.priority for batch in batches]),
        np.concatenate([batch.submitted_ms for batch in batches]),
        np.concatenate([batch.time_limit_ms for batch in batches]),
        np.concatenate([batch.expected for batch in batches]),
        np.concatenate([batch.deadlines for batch in batches]),
        line,
    )


def owners_of(batches: Sequence[QueuedJobs]) -> tuple[Int64s, Int64s]:
    """Tenants and priorities of the batches, as columns."""
    return (
        np.concatenate([batch.tenants for batch in batches]),
        np.concatenate([batch.priority for batch in batches]),
    )


class WaitingLine:
    """Rows, index and line. `counters` are those of the state: the first free row is among them."""

    slots: Table
    """Rows of lanes.JOB: those that wait, and free ones, whose job is -1 and whose `second` leads to another."""
    run_of: Int32s
    """Of each row whose job has just started, its run."""
    deadline: Int64s
    """Of each row, when its job must have ended."""
    index: Int32s
    """An open hash from job number to row: rows, found by the number in them, and NOTHING. Entries stay when a row is
    freed, and then lead to nobody or to whoever has the row next."""
    index_used: int
    order: lanes.Order
    line: Table
    puts_left: int
    """For how many more jobs the line has blocks in any case."""

    def __init__(self, counters: Int64s) -> None:
        self.slots, self.run_of = np.zeros(0, lanes.JOB), np.zeros(0, np.int32)
        self.deadline = np.zeros(0, np.int64)
        self.order, self.line = lanes.order_of(0)
        self.puts_left = 0
        self.index, self.index_used = np.full(_FIRST_ROWS, NOTHING, np.int32), 0
        self._make_rows(_FIRST_ROWS, counters)

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return int(self.line["waiting"].sum())

    def find(self, job: int) -> int:
        """The row in which the job waits, or -1."""
        return int(kernel("waiting").find(self.index, self.slots, job))

    def rows_in_order(self) -> Int64s:
        """The rows of all that wait."""
        found = np.empty(self.waiting, np.int64)
        kernel("waiting").in_order(self.order, self.line, found)
        return found

    def add(self, new: QueuedColumns, rates: Int64s, counters: Int64s, *, in_order: bool = False) -> None:
        """Let jobs wait that do not. `rates`: the parameters of the order. in_order: none waits yet, all wait in one
        line, and are told as they are in it."""
        jobs = len(new.job)
        wanted, rows = self.waiting + jobs, len(self.slots)
        lines = int(new.line.max(initial=0)) + 1
        if lines > len(self.line):
            # What is not there yet has no block, and is filled with all others.
            self._make_lines(max(lines, 2 * len(self.line)))
        if wanted > rows:
            self._make_rows(wanted + wanted // 64 - rows, counters)
        if 4 * (self.index_used + jobs) > 3 * len(self.index):
            size = 1 << (3 * wanted // 2 + _FIRST_ROWS).bit_length()
            self.index = np.full(size, NOTHING, np.int32)
            self.index_used = kernel("waiting").reindex(self.index, self.slots)
        taken = np.empty(jobs, np.int64)
        self.index_used += kernel("waiting").enter(
            rates, self.slots, self.deadline, self.index, counters, *new, taken
        )
        # Into the blocks of the line if they are few; else it is filled anew with all.
        self.puts_left -= jobs
        if 8 * jobs < self.waiting and self.puts_left >= 0:
            kernel("waiting").put(self.order, self.line, self.slots, self._sorted(taken)[::-1].copy())
        else:
            self._fill(taken if in_order else self._sorted(np.concatenate([self.rows_in_order(), taken])))

    def rekey(self, rates: Int64s) -> None:
        """Put all in the order that they have under other parameters."""
        kernel("waiting").rekey(rates, self.slots, self.deadline)
        self._fill(self._sorted(self.rows_in_order()))

    def _fill(self, which: Int64s) -> None:
        """A new line of these rows, which are in order."""
        filled = kernel("waiting").FILLED
        used = len(which) // filled + 1
        spare = _FIRST_ROWS + used // 8
        # A block that is filled or made of half of another is full, and split, at the earliest after so many jobs more.
        # One block besides for each line: its last one need not be full, and one without jobs may begin anew.
        self.puts_left = (lanes.BLOCK - filled) * spare
        where = self.order.where
        self.order, self.line = lanes.order_of((lanes.BLOCK // 2) * (used + spare), len(self.line))
        self.order = self.order._replace(where=where)
        kernel("waiting").fill(self.order, self.line, self.slots, which)

    def _sorted(self, which: Int64s) -> Int64s:
        # A stable sort of numbers makes use of a part that is in order already.
        by_job = np.argsort(self.slots["job"][which], kind="stable")
        found = by_job[np.argsort(self.slots["key"][which[by_job]], kind="stable")]
        if len(self.line) > 1:
            found = found[np.argsort(self.slots["line"][which[found]], kind="stable")]
        sorted_rows: Int64s = which[found]
        return sorted_rows

    def _make_lines(self, lines: int) -> None:
        """More lines; the order then has blocks for no more jobs until it is filled anew."""
        before, self.line = self.line, np.zeros(lines, self.line.dtype)
        self.line["head"], self.line["tail"] = NOTHING, NOTHING
        self.line[: len(before)] = before
        self.puts_left = 0

    def _make_rows(self, more: int, counters: Int64s) -> None:
        old = len(self.slots)
        self.slots = enlarged(self.slots, old + more)
        kernel("waiting").free_from(self.slots, counters, old)
        none = np.full(more, NOTHING, np.int32)
        self.order = self.order._replace(where=np.concatenate([self.order.where[:old], none]))
        self.run_of = np.concatenate([self.run_of, none])
        self.deadline = np.concatenate([self.deadline, np.full(more, NO_DEADLINE)])


__all__ = ["QueuedColumns", "WaitingLine", "columns_of", "owners_of"]
