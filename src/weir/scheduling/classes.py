"""The classes of jobs that the core knows: their rows, where each may run, and what a pass has found out of each."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from weir.scheduling import eligibility, lanes, layout
from weir.scheduling.bounds import check_class
from weir.scheduling.inputs import JobClass, LinkRow
from weir.scheduling.plan import PoolReason
from weir.scheduling.tables import CLASS, NOTHING, Classes, Int64s, Table, column, enlarged

ALWAYS = 2**62
_FIRST_ROWS = 64


class Ground(NamedTuple):
    """What classes are held against: pools and links, and the numbers of centres and of software stacks."""

    facts: eligibility.PoolFacts
    links: Mapping[tuple[str, str], LinkRow]
    centres: Mapping[str, int]
    stacks: Mapping[str, int]


class ClassTable:
    """Rows of classes. A row is made when a class is first named, and may be free again when no job has it."""

    numbers: dict[JobClass, int]
    described: list[JobClass | None]
    """By row; None for a free one."""
    table: Classes
    failing: dict[int, tuple[PoolReason, ...]]
    """What is said of the pools that fail a class, as far as somebody has asked."""
    window: Int64s
    waiting: Table
    waiting_at: Int64s
    first: Int64s
    best: Int64s
    """As in lanes.World."""

    def __init__(self) -> None:
        self.numbers, self.described, self._free = {}, [], list[int]()
        self.failing = {}

    def number(self, job_class: JobClass) -> int:
        """The row of a class, made if it is new. Raises ValueError when the class is outside the core's bounds."""
        number = self.numbers.get(job_class)
        if number is not None:
            return number
        check_class(job_class)
        if self._free:
            number = self._free.pop()
            self.described[number] = job_class
        else:
            number = len(self.described)
            self.described.append(job_class)
        self.numbers[job_class] = number
        if number == len(self.table.row):
            self._enlarge()
        self._fill(number, job_class)
        self.failing.pop(number, None)
        return number

    def lay_out(self, ground: Ground) -> None:
        """Compute all that classes have from pools and links; of none is anything known, and none waits."""
        self._ground = ground
        rows, count = max(_FIRST_ROWS, len(self.described)), len(ground.facts.rows)
        self.table = Classes(
            row=np.zeros(rows, CLASS),
            data_ms=np.zeros((0, len(ground.centres)), np.int64),
            variant_speed=np.zeros((0, len(ground.stacks)), np.int64),
            failed=np.zeros((rows, count), np.uint8),
            blocked=np.zeros((rows, count), np.uint8),
        )
        self.window = np.full(rows, ALWAYS, np.int64)
        self.first, self.best = np.full(rows, NOTHING, np.int64), np.full(rows, NOTHING, np.int64)
        self.waiting, self.waiting_at = np.zeros(rows, lanes.WAITING), np.full(rows, NOTHING, np.int64)
        self.failing.clear()
        self._data, self._variants = dict[object, int](), dict[object, int]()
        for number, job_class in enumerate(self.described):
            if job_class is not None:
                self._fill(number, job_class)

    def is_full(self) -> bool:
        """Whether rows run short, so that it may be worth while to forget some."""
        return not self._free and 4 * len(self.described) >= 3 * len(self.table.row)

    def forget_all_but(self, used: Iterable[int]) -> bool:
        """Free the rows of all other classes, if they are many; all is then to be laid out anew."""
        kept = set(used)
        idle = [
            row for row, job_class in enumerate(self.described) if job_class is not None and row not in kept
        ]
        if 4 * len(idle) < len(self.described):
            return False
        for row in idle:
            job_class = self.described[row]
            if job_class is not None:
                del self.numbers[job_class]
            self.described[row] = None
        self._free = idle[::-1]  # so that the lowest is used first
        return True

    def _enlarge(self) -> None:
        self.table = layout.twice_the_rows(self.table)
        self.window, self.waiting_at, self.first, self.best = (
            np.concatenate([column, np.full_like(column, value)])
            for column, value in (
                (self.window, ALWAYS),
                (self.waiting_at, NOTHING),
                (self.first, NOTHING),
                (self.best, NOTHING),
            )
        )
        self.waiting = enlarged(self.waiting, len(self.window))

    def _fill(self, number: int, job_class: JobClass) -> None:
        ground, table = self._ground, self.table
        table.failed[number] = eligibility.failed_constraints(ground.facts, ground.links, job_class)
        table.blocked[number] = 0
        table.row[number] = layout.class_row(job_class)
        if job_class.data:
            if job_class.data not in self._data:
                row = len(self._data)
                self._data[job_class.data] = row
                if row == len(self.table.data_ms):
                    more = np.zeros((max(_FIRST_ROWS, row), len(ground.centres)), np.int64)
                    self.table = self.table._replace(data_ms=np.concatenate([self.table.data_ms, more]))
                self.table.data_ms[row] = [
                    max(0, eligibility.data_ms(ground.links, job_class, name)) for name in ground.centres
                ]
            table.row["data"][number] = self._data[job_class.data]
        if job_class.variant_speeds:
            if job_class.variant_speeds not in self._variants:
                self._variants[job_class.variant_speeds] = len(self.table.variant_speed)
                speeds = dict(job_class.variant_speeds)
                found = column(layout.speed(speeds.get(stack, 1)) for stack in ground.stacks)
                self.table = self.table._replace(variant_speed=np.vstack([self.table.variant_speed, found]))
            table.row["variant"][number] = self._variants[job_class.variant_speeds]


__all__ = ["ALWAYS", "ClassTable", "Ground"]
