"""The classes of jobs that the core knows: their rows, where each may run, and what a pass has found out of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from weir.scheduling import lanes, layout
from weir.scheduling.bounds import check_classes
from weir.scheduling.eligibility import PoolKinds, failed_by_each
from weir.scheduling.inputs import JobClass
from weir.scheduling.moving import LARGEST_NEED, Data, Roads
from weir.scheduling.plan import PoolReason
from weir.scheduling.tables import (
    CLASS,
    FAILS,
    MOVE,
    NOTHING,
    Bytes,
    Classes,
    Int64s,
    Table,
    column,
    enlarged,
)

ALWAYS = 2**62
_FIRST_ROWS = 64
_AT_ONCE = 4_096


class Ground(NamedTuple):
    """What classes are held against: pools, links between their centres, and the numbers of stacks and cities."""

    kinds: PoolKinds
    roads: Roads
    numbers: layout.Numbers
    places: Mapping[str, int]
    """Of each pool, by its key, its column."""
    books: Mapping[int, int]
    """Of each version of the price book that pools have prices by, its row."""
    price: Table
    """As in Classes."""


class Failures(NamedTuple):
    """What classes fail, many of them alike."""

    kinds: Bytes
    """[kind, pool] the number of the first constraint that fails, or 0."""
    of: Int64s
    """The kind of each class."""


class ClassTable:
    """Rows of classes. A row is made when a class is first named, and may be free again when no job has it."""

    numbers: dict[JobClass, int]
    described: list[JobClass | None]
    """By row; None for a free one."""
    table: Classes
    failing: dict[int, tuple[tuple[PoolReason, ...], int]]
    """What is said of the pools that fail a class, and how many do not fail it, as far as somebody has asked."""
    failing_alike: dict[bytes, list[tuple[int, int, str]]]
    """Of what a class fails by pool: which pools are listed, with the constraint's number and a note."""
    window: Int64s
    waiting: Table
    waiting_at: Int64s
    first: Int64s
    best: Int64s
    """As in lanes.World."""
    keep: Table
    """As in lanes.Lives."""
    foretold: "Failures | None"
    """What the classes fail, where that is known before they are laid out next."""

    def __init__(self) -> None:
        self.numbers, self.described, self.failing, self.failing_alike = {}, [], {}, {}
        self._free: list[int] = []
        self._moves: dict[Data, int] = {}
        self._used_moves = 0
        self._roads: dict[str, int] = {}
        self._variants: dict[tuple[tuple[str, int], ...], int] = {}
        self._nets: dict[tuple[tuple[tuple[str, int], ...], int], int] = {}
        self.foretold = None

    def begin_with(self, job_classes: Sequence[JobClass], foretold: "Failures") -> None:
        """Know these as the first ones, all distinct; what they fail in the pools that are declared next is told."""
        self.numbers = dict(zip(job_classes, range(len(job_classes)), strict=True))
        self.described = list(job_classes)
        self.foretold = foretold

    def number_all(self, job_classes: Sequence[JobClass]) -> list[int]:
        """The rows of classes, made where they are new. Raises ValueError for one outside the core's bounds."""
        found = list(map(self.numbers.get, job_classes))
        known = [number for number in found if number is not None]
        if len(known) == len(found):
            return known
        of = zip(job_classes, found, strict=True)
        new = list(dict.fromkeys(job_class for job_class, number in of if number is None))
        check_classes(new)
        rows = []
        for job_class in new:
            if self._free:
                row = self._free.pop()
                self.described[row] = job_class
            else:
                row = len(self.described)
                self.described.append(job_class)
            self.numbers[job_class] = row
            self.failing.pop(row, None)
            rows.append(row)
        short = len(self.described) - len(self.table.row)
        if short > 0:
            self._enlarge(max(short, len(self.table.row) // 8))
        self._fill(rows, new)
        return [self.numbers[job_class] for job_class in job_classes]

    def lay_out(self, ground: Ground) -> None:
        """Compute all that classes have from pools and links; of none is anything known, and none waits."""
        self._ground = ground
        rows, count = max(_FIRST_ROWS, len(self.described)), len(ground.kinds.of)
        none = np.zeros((0, len(ground.roads.centres)), np.int64)
        barred = layout.barred_everywhere(rows, count)
        self.table = Classes(
            row=np.zeros(rows, CLASS),
            move=np.zeros(0, MOVE),
            bits=none,
            latency=none,
            variant_speed=np.zeros((0, len(ground.numbers.stacks)), np.int64),
            net_there=np.zeros((0, count), np.int64),
            price=ground.price,
            barred=barred,
            eights=layout.eights_of(barred),
            vacant=layout.no_bits(*barred.shape),
            eligible=layout.no_bits(*barred.shape),
        )
        self.window = np.full(rows, ALWAYS, np.int64)
        self.first, self.best = np.full(rows, NOTHING, np.int64), np.full(rows, NOTHING, np.int64)
        self.waiting, self.waiting_at = np.zeros(rows, lanes.WAITING), np.full(rows, NOTHING, np.int64)
        self.keep = np.zeros(rows, lanes.KEEP)
        self.failing.clear()
        self.failing_alike.clear()
        self._moves, self._roads, self._variants, self._nets, self._used_moves = {}, {}, {}, {}, 0
        taken = [row for row, job_class in enumerate(self.described) if job_class is not None]
        self._fill(taken, [each for each in self.described if each is not None], self.foretold)
        self.foretold = None

    def failed(self, row: int) -> Bytes:
        """Of each pool, the number of the first constraint that fails a class there, or 0."""
        found: Bytes = self.table.barred[row, : len(self._ground.kinds.of)] & np.uint8(FAILS)
        return found

    def forget_findings(self) -> None:
        """Nothing is known of who might start where: the next pass looks at every job, and finds the same."""
        self.window[:] = ALWAYS
        self.table.barred[:] &= np.uint8(FAILS)
        self.table.vacant[:] = self.table.eligible
        self.table.row["chances"] = self.table.row["segments"]
        self.first[:] = NOTHING
        self.best[:] = NOTHING

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

    def _enlarge(self, rows: int) -> None:
        self.table = layout.more_rows(self.table, rows)
        self.window, self.waiting_at, self.first, self.best = (
            np.concatenate([column, np.full(rows, value)])
            for column, value in (
                (self.window, ALWAYS),
                (self.waiting_at, NOTHING),
                (self.first, NOTHING),
                (self.best, NOTHING),
            )
        )
        self.waiting = enlarged(self.waiting, len(self.window))
        self.keep = enlarged(self.keep, len(self.window))

    def _fill(
        self, rows: Sequence[int], job_classes: Sequence[JobClass], foretold: "Failures | None" = None
    ) -> None:
        """Write what these classes have from pools and links; nothing is known to be blocked."""
        for begin in range(0, len(rows), _AT_ONCE):
            which = np.array(rows[begin : begin + _AT_ONCE], np.int64)
            some = job_classes[begin : begin + _AT_ONCE]
            failed = (
                failed_by_each(self._ground.kinds, self._ground.roads, some)
                if foretold is None
                else foretold.kinds[foretold.of[begin : begin + _AT_ONCE]]
            )
            self.table.barred[which, : failed.shape[1]] = failed
            written = layout.class_rows(some)
            written["segments"] = written["chances"] = layout.segments_of(failed)
            written["data"] = [self._moves_of(each.data) for each in some]
            written["moves"] = [len(each.data) for each in some]
            written["home"] = [self._ground.numbers.cities.get(each.home, NOTHING) for each in some]
            written["book"] = [self._ground.books.get(each.price_version, 0) for each in some]
            written["variant"] = [self._variant_of(each.variant_speeds) for each in some]
            for place, each in enumerate(some):
                if each.net_there:
                    written["net"][place] = -1 - self._net_row_of(each)
            layout.note_bits(self.table, which)
            self.table.row[which] = written
            self.keep[which] = [keep_of(each) for each in some]

    def _moves_of(self, data: Data) -> int:
        """The first row of what has to be moved, alike for all with the same data."""
        if not data:
            return 0
        first = self._moves.get(data)
        if first is None:
            first = self._used_moves
            self._moves[data] = first
            self._used_moves += len(data)
            if self._used_moves > len(self.table.move):
                self.table = self.table._replace(
                    move=enlarged(self.table.move, max(2 * len(self.table.move), self._used_moves))
                )
            for row, (at, size) in enumerate(data, first):
                self.table.move[row] = (self._road_from(at), min(LARGEST_NEED, max(0, size)))
        return first

    def _road_from(self, at: str) -> int:
        road = self._roads.get(at)
        if road is None:
            road = self._roads[at] = len(self._roads)
            bits, latency = self._ground.roads.leading_from(at)
            self.table = self.table._replace(
                bits=np.vstack([self.table.bits, bits]), latency=np.vstack([self.table.latency, latency])
            )
        return road

    def _variant_of(self, speeds: tuple[tuple[str, int], ...]) -> int:
        """The row of the speeds on each software stack, NOTHING where they are the same on all."""
        if not speeds:
            return NOTHING
        row = self._variants.get(speeds)
        if row is None:
            row = self._variants[speeds] = len(self.table.variant_speed)
            named = dict(speeds)
            found = column(layout.speed(named.get(stack, 1)) for stack in self._ground.numbers.stacks)
            self.table = self.table._replace(variant_speed=np.vstack([self.table.variant_speed, found]))
        return row

    def _net_row_of(self, job_class: JobClass) -> int:
        """The row of what is paid in each pool."""
        key = (job_class.net_there, job_class.net_milli)
        row = self._nets.get(key)
        if row is None:
            row = self._nets[key] = len(self.table.net_there)
            places = self._ground.places
            paid = np.full((1, len(places)), layout.net(job_class.net_milli), np.int64)
            for pool, net_milli in job_class.net_there:
                if pool in places:
                    paid[0, places[pool]] = layout.net(net_milli)
            self.table = self.table._replace(net_there=np.vstack([self.table.net_there, paid]))
        return row


def keep_of(job_class: JobClass) -> tuple[int, ...]:
    """A row of lanes.KEEP."""
    every, save, restore = (
        job_class.checkpoint_every_ms,
        job_class.checkpoint_save_ms,
        job_class.checkpoint_restore_ms,
    )
    return (job_class.preemptible, every, save, restore) if every else (job_class.preemptible, 0, 0, 0)


__all__ = ["ALWAYS", "ClassTable", "Failures", "Ground", "keep_of"]
