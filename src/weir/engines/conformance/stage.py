"""What a case of the suite plays on: a driver, a folder, and short ways to order, wait and check."""

import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weir.engines.conformance.provocations import NO_PROVOCATIONS, Provocations
from weir.engines.driver import AttemptOrder, Driver, EngineEnd, EngineState
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.state import Observed

__all__ = [
    "FULL",
    "NARROW",
    "PYTHON",
    "QUICK",
    "WIDE",
    "Case",
    "ConformanceError",
    "Scale",
    "Stage",
    "check",
    "stage_pools",
]

WIDE, NARROW = "wide", "narrow"
PYTHON = sys.executable
_numbers = itertools.count(1)


class ConformanceError(AssertionError):
    """A driver does not do what its interface promises."""


@dataclass(frozen=True, slots=True)
class Case:
    """One promise of the interface.

    It is tried where the driver claims all that it `needs`, and all of `provokes` (fields of `Provocations`)
    can be done here.
    """

    name: str
    needs: frozenset[str]
    play: Callable[["Stage"], None]
    provokes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scale:
    """The sizes of everything, for one engine."""

    many: int = 100
    """Attempts submitted at once."""
    array: int = 1_000
    """Elements of an array."""
    output_bytes: int = 10_000_000
    patience_s: float = 30.0
    """Bounds every single wait. An engine that takes its time with a whole array needs as much."""
    outage_s: float = 60.0
    """For how long the engine cannot be reached."""
    kills: int = 20
    """How often a driver is killed while it submits."""
    limit_ms: int = 300
    """The shortest time limit that the engine keeps."""
    step_s: float = 0.2
    """A short time in which a command gets started."""


FULL = Scale()
QUICK = Scale(outage_s=2.0, kills=4)
"""As often as anybody likes: everything that is cheap in full, and the rest shortened."""


def check(holds: object, message: str) -> None:
    """Raise ConformanceError with the message unless it holds."""
    if not holds:
        raise ConformanceError(message)


def stage_pools() -> tuple[PoolEntry, ...]:
    """The pools that the suite uses: one with room for everything, and one with room for a single core."""
    return (
        PoolEntry(WIDE, 2, 4, 512_000, 1 << 42, "any", True),
        PoolEntry(NARROW, 1, 0, 1_000, 1 << 34, "any", False),
    )


@dataclass(slots=True)
class Stage:
    """Where cases are played: a driver on an agent's folder, its pools, and what can be done to the engine.

    `pools` are one called WIDE, with two nodes or more, and one called NARROW, of a single node.
    `device_variable` is the stack's own, by which tasks are told their devices. `image` is one that the centre has
    or can fetch; empty for none.
    """

    driver: Driver
    folder: Path
    make_driver: Callable[[Path], Driver]
    options: Mapping[str, str] = field(default_factory=dict)
    scale: Scale = FULL
    pools: tuple[PoolEntry, ...] = field(default_factory=stage_pools)
    provocations: Provocations = NO_PROVOCATIONS
    device_variable: str = "CUDA_VISIBLE_DEVICES"
    image: str = ""
    _ordered: list[str] = field(default_factory=list)

    def pool(self, name: str) -> PoolEntry:
        return next(entry for entry in self.pools if entry.id == name)

    def attach(self) -> None:
        """Attach the driver to the stage's pools with its options."""
        self.driver.attach(self.pools, self.options)

    def restart_driver(self) -> None:
        """Let a new driver take over, as when the agent is restarted."""
        self.driver.close()
        self.driver = self.make_driver(self.folder)
        self.attach()

    def order(self, *command: str, fake: tuple[int, int] = (20, 0), **changes: Any) -> AttemptOrder:
        """An order for a command; `changes` are fields of Work.

        `fake` says how many milliseconds an engine that runs nothing should pretend, and to which exit code.
        `nodes`, `array_index` and `job` (what an element's name begins with) are those of the order.
        """
        run_ms, code = fake
        environment = {"FAKE_RUN_MS": str(run_ms), "FAKE_EXIT": str(code), **changes.pop("environment", {})}
        nodes = changes.pop("nodes", None)
        index = changes.pop("array_index", None)
        submission = changes.pop("job", "") or f"c{os.getpid():06d}{next(_numbers):05d}"[-12:].rjust(12, "c")
        job = submission if index is None else f"{submission}.{index}"
        pool = self.pool(changes.get("pool", WIDE))
        fields: dict[str, Any] = {
            "job_submission": submission,
            "pool": WIDE,
            "command": command,
            "environment": environment,
            "tasks": 1,
            "cores_milli": 1_000,
            "memory_bytes": 1 << 28,
            "devices_milli": 0,
            "device_model": pool.device_model,
            "visible_devices_variable": self.device_variable,
            "time_limit_ms": 600_000,
            "stop_signal": "TERM",
            "stop_grace_ms": 300,
            "restartable": False,
            # What cases look for in the work folder, where an engine must bring it back.
            "outputs": ("runs", "late") if "files" in self.driver.capabilities else (),
            "output_limit_bytes": 1 << 20,
            "log_limit_bytes": 1 << 30,
            **changes,
        }
        work = Work(**fields)
        attempt = f"{job}-1"
        folder = self.folder / "attempts" / attempt
        (folder / "work").mkdir(parents=True)
        self._ordered.append(attempt)
        return AttemptOrder(attempt, job, 1, index, work, nodes or (NodeShare(0, work.tasks),), folder)

    def python(self, text: str, **changes: Any) -> AttemptOrder:
        """An order that runs a Python text."""
        return self.order(PYTHON, "-I", "-S", "-c", text, **changes)

    def blocking(self) -> AttemptOrder:
        """An order that fills NARROW until it is cancelled."""
        return self.order(
            "sleep", "600", pool=NARROW, cores_milli=self.pool(NARROW).cores_milli_per_node, fake=(600_000, 0)
        )

    def shell_gate(self) -> str:
        """Shell text that waits until `open_gate`; where the work folder is not shared, a while."""
        if "shared-folder" in self.driver.capabilities:
            return "while [ ! -e go ]; do sleep 0.02; done"
        return f"sleep {10 * self.scale.step_s}"

    def open_gate(self, *orders: AttemptOrder) -> None:
        for order in orders:
            (order.folder / "work" / "go").touch()

    def submit(self, *orders: AttemptOrder) -> None:
        """Submit, and insist on being accepted."""
        outcomes = self.driver.submit(orders, _now_ms())
        check([order.attempt for order in orders] == [o.attempt for o in outcomes], "one outcome each")
        for outcome in outcomes:
            check(outcome.accepted, f"{outcome.attempt} was refused: {outcome.message}")

    def run(self, order: AttemptOrder) -> EngineEnd:
        """Submit, wait for the end, and return it."""
        self.submit(order)
        return self.end(order)

    def end(self, order: AttemptOrder) -> EngineEnd:
        """Wait for the end, and return it."""
        state = self.reach(order, Observed.ENDED)
        assert state.end is not None
        check(
            state.end.started_ms is None or state.end.started_ms <= state.end.ended_ms,
            "no end before a start",
        )
        return state.end

    def ends(self, orders: Sequence[AttemptOrder]) -> list[EngineEnd]:
        return [self.end(order) for order in orders]

    def state(self, order: AttemptOrder) -> EngineState:
        [state] = self.driver.observe([order.attempt])
        return state

    def reach(self, order: AttemptOrder, wanted: Observed) -> EngineState:
        """Wait until it is observed so, or further on."""
        found: list[EngineState] = []

        def there() -> bool:
            found[:] = self.driver.observe([order.attempt])
            return found[0].observed >= wanted

        self.until(there, f"{order.attempt} to be {wanted.name}")
        return found[0]

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for a condition, looking whenever the driver says that something may have changed."""
        deadline = time.monotonic() + self.scale.patience_s
        while not holds():
            left = deadline - time.monotonic()
            check(left > 0, f"waited {self.scale.patience_s} s for {what}")
            began = time.monotonic()
            # Not everything that is waited for is a change of state, so look again soon in any case.
            self.driver.wait(min(left, 0.05))
            if time.monotonic() - began < 0.002:
                time.sleep(0.002)

    def output(self, order: AttemptOrder, task: int = 0, stream: str = "stdout") -> bytes:
        """All that it has written, read piece by piece."""
        size = self.driver.output_size(order.attempt, task, stream)
        pieces: list[bytes] = []
        while (offset := sum(map(len, pieces))) < size:
            piece = self.driver.output(order.attempt, task, stream, offset, 1 << 20)
            check(0 < len(piece) <= 1 << 20, "output as asked for, and as there is")
            pieces.append(piece)
        return b"".join(pieces)

    def lines(self, order: AttemptOrder, task: int = 0) -> list[str]:
        return self.output(order, task).decode().splitlines()

    def clear(self) -> None:
        """Stop and forget whatever the case has left."""
        self.driver.cancel(self._ordered)
        live = set(self._ordered)

        def gone() -> bool:
            live.intersection_update(self.driver.live())
            return not live

        self.until(gone, "everything to end after the case")
        self.driver.forget(self._ordered)
        self._ordered.clear()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
