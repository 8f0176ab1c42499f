"""What really runs, told by the engines alone, and held against what may run."""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weir.engines.driver import AttemptOrder, EngineEnd
from weir.model.state import Cause

if TYPE_CHECKING:
    from tests.simulation.province import SimulatedProvince


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt that runs at an engine."""

    centre: str
    order: AttemptOrder


class Oracle:
    """Remembers every run of a history. A timeline is what lies between two restorings of the store."""

    def __init__(self, province: "SimulatedProvince") -> None:
        self._province = province
        self.timeline = 0
        self.running: dict[tuple[str, str], Run] = {}
        self.ever: dict[tuple[str, str], Run] = {}
        self._runs: dict[str, list[Run]] = defaultdict(list)

    def begins(self, centre: str, order: AttemptOrder) -> None:
        """A command of the attempt runs from now."""
        province = self._province
        key = (centre, order.attempt)
        run = Run(centre, order)
        province.world.note(f"engine {centre} runs {order.attempt}")
        if key in self.ever:
            raise province.world.wrong(f"{order.attempt} is started a second time at {centre}")
        for other in self.running.values():
            if other.order.job == order.job and not province.may_overlap(other, run):
                raise province.world.wrong(
                    f"{order.attempt} starts at {centre} while {other.order.attempt} runs at {other.centre}"
                )
        placed_in = province.placements[key].timeline
        earlier = [
            other
            for other in self._runs[order.job]
            if province.placements[other.centre, other.order.attempt].timeline == placed_in
        ]
        if earlier and not order.work.restartable:
            raise province.world.wrong(
                f"{order.attempt} starts, is not restartable, and {earlier[0].order.attempt} ran"
            )
        self.ever[key] = self.running[key] = run
        self._runs[order.job].append(run)
        self._check_room(centre, order)

    def ends(self, centre: str, attempt: str) -> None:
        """Nothing of the attempt runs any more."""
        del self.running[centre, attempt]

    def check_end(self, centre: str, attempt: str, cause: str | None, exit_code: int | None) -> None:
        """The store has just taken in that this attempt ended so."""
        wrong = self._province.world.wrong
        (state,) = self._province.centres[centre].engine.peek([attempt])
        if attempt in self._province.centres[centre].engine.really_live():
            raise wrong(f"{attempt} is stored as ended, and lives at {centre}")
        end: EngineEnd | None = state.end
        if cause == Cause.WITHDRAWN.value:
            # As the engine says it, the attempt was cancelled before its start.
            if (centre, attempt) in self.ever or (centre, attempt) not in self._province.withdrawn:
                raise wrong(f"{attempt} is stored as taken back from {centre}, where it ran or was to run")
            cause = Cause.CANCELLED.value
        if end is not None:
            if (None if end.cause is None else end.cause.value, end.exit_code) != (cause, exit_code):
                raise wrong(f"{attempt} ended with {end}, and is stored with {cause} and {exit_code}")
        elif (centre, attempt) not in self.ever and cause not in _UNSTARTED:
            raise wrong(f"{attempt} never ran at {centre} and is stored as ended with {cause}")

    def _check_room(self, centre: str, order: AttemptOrder) -> None:
        """What the store counts as running never needs more than a node has.

        Where pools are shared, what was sent ahead of room starts on whatever nodes its engine gives it.
        """
        province = self._province
        if province.world.shares:
            return
        pool = next(pool for pool in province.centres[centre].engine.pools if pool.id == order.work.pool)
        room = (pool.devices_per_node * 1_000, pool.cores_milli_per_node, pool.memory_bytes_per_node)
        used: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for run in self.running.values():
            work = run.order.work
            if run.centre != centre or work.pool != pool.id or not province.counts(centre, run.order.attempt):
                continue
            for share in run.order.nodes:
                for place, each in enumerate((work.devices_milli, work.cores_milli, work.memory_bytes)):
                    used[share.node][place] += share.tasks * each
        for node, needs in used.items():
            if node >= pool.nodes or any(need > there for need, there in zip(needs, room, strict=True)):
                names = [run.order.attempt for run in self.running.values() if run.centre == centre]
                raise province.world.wrong(f"{centre}/{pool.id} node {node} bears {needs} of {room}: {names}")


_UNSTARTED = frozenset(
    cause.value for cause in (Cause.CANCELLED, Cause.LOST, Cause.REJECTED, Cause.INPUTS, Cause.START)
)

__all__ = ["Oracle", "Run"]
