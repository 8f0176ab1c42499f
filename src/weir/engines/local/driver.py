"""The local engine's driver: accounting, a queue, and what the supervisors' records say.

Everything durable lies in the attempts' own folders, so that a driver killed at any instant finds it all
again.
"""

import hashlib
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from weir.engines.driver import (
    STREAMS,
    AttemptOrder,
    EngineEnd,
    EngineState,
    EngineUnreachableError,
    SubmitOutcome,
)
from weir.engines.local.allocation import PoolSpace
from weir.engines.local.capabilities import capabilities_of
from weir.engines.local.cgroup import NO_GROUPS, TaskGroups, find_groups
from weir.engines.local.containers import Containers, most_processes
from weir.engines.local.control import CONTROL_NAME
from weir.engines.local.inspection import Inspection
from weir.engines.local.launch import Site, free_port, launch_of, read_order, refusal_of, write_order
from weir.engines.local.poke import Poke
from weir.engines.local.settings import Settings
from weir.engines.local.supervisor import STOP_CANCELLED, STOP_GANG
from weir.engines.local.sweep import Sweeper
from weir.engines.local.tracked import Tracked, state_of
from weir.engines.local.warm import Warm, failure_text
from weir.model.agent import NodeGroup, PoolEntry, PoolObservation
from weir.model.problem import refused
from weir.model.state import Cause, Observed

__all__ = ["LocalDriver"]

_LOOK_S = 20.0
"""Records are read when their supervisor pokes; and, in case a poke was lost, this long after the last
time."""
_LOOK_ORPHAN_S = 1.0
"""Nobody tells when a supervisor that another zygote forked is killed, so these are looked at."""
_LOOKS_AT_ONCE = 200
_CLEARING_S = 0.05


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class LocalDriver:
    """Runs attempts as processes of this machine. One for each agent's folder."""

    _warm: Warm
    _settings: Settings
    _site: Site
    _sweeper: Sweeper
    _poke: Poke

    def __init__(self, folder: Path, clock: Callable[[], int] = _wall_clock_ms) -> None:
        """`folder` is the agent's; attempts lie in `folder/attempts`. `clock` gives milliseconds since
        1970."""
        self._folder = Path(os.path.realpath(folder))
        self._clock = clock
        self._lock = threading.RLock()
        self._attached = False
        self._containers = Containers(self._folder)
        self._inspection = Inspection(clock, self._containers.end)
        self._capabilities: frozenset[str] = frozenset()
        self._pools: dict[str, PoolSpace] = {}
        self._tracked: dict[str, Tracked] = {}
        self._queue: deque[str] = deque()
        self._looks: deque[str] = deque()
        self._clearing: set[str] = set()
        self._changed: dict[str, None] = {}
        self._news = False
        self._released = False
        self._looked_around_s = 0.0
        self._last_start_s = 0.0
        self._refusal = ""

    @property
    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        settings = Settings.read(options)
        spaces = {entry.id: PoolSpace(entry) for entry in pools}
        name = "weir-" + hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        environment = dict(os.environ)
        with self._lock:
            podman = self._containers.find(settings, name, environment)
            if not self._attached:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._attempts.mkdir(mode=0o700, exist_ok=True)
                self._sweeper = Sweeper(self._attempts)
                self._poke = Poke(self._folder / "poke")
                self._start_zygote(settings.hidden)
            elif settings.hidden != self._settings.hidden:
                self._warm.close()
                self._start_zygote(settings.hidden)
            self._settings = settings
            groups = NO_GROUPS
            if settings.limits == "auto":
                groups = find_groups(name, settings.cgroup, limit_processes=settings.process_limit > 0)
            isolated = self._warm.isolation and settings.isolation != "off"
            poke = os.fspath(self._folder / "poke")
            self._site = Site(settings, groups, isolated, poke, environment, podman, name, most_processes())
            self._refusal = ""
            if settings.isolation == "required" and not isolated:
                self._refusal = (
                    "isolation is required here and this system forbids user namespaces"
                    if settings.private_root
                    else "isolation is required here and the option private_root names no folder"
                )
            self._capabilities = capabilities_of(self._site, spaces.values())
            self._pools = spaces
            for tracked in self._tracked.values():
                self._hold_again(tracked)
            if not self._attached:
                self._attached = True
                self._take_up()
            self._start_queued()
            self._warm.flush()

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        with self._lock:
            entries = [space.entry for space in self._pools.values()]
        return tuple(_observation(entry, now_ms, tuple(sorted(self._capabilities))) for entry in entries)

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        with self._lock:
            outcomes = [self._submit(order) for order in orders]
            self._start_queued()
            for order in orders:
                self._keep_queued(order.attempt)
            self._warm.flush()
        return outcomes

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        with self._lock:
            self._hear()
            return [
                EngineState(attempt, Observed.NOTHING) if tracked is None else tracked.state
                for attempt in attempts
                for tracked in (self._tracked.get(attempt),)
            ]

    def changed(self) -> list[str]:
        with self._lock:
            self._hear()
            names = list(self._changed)
            self._changed.clear()
        return names

    def live(self) -> list[str]:
        with self._lock:
            self._hear()
            return [attempt for attempt, tracked in self._tracked.items() if not tracked.ended]

    def cancel(self, attempts: Iterable[str]) -> None:
        with self._lock:
            for attempt in attempts:
                tracked = self._tracked.get(attempt)
                if tracked is not None and not tracked.ended:
                    self._stop(tracked, STOP_CANCELLED)
            self._start_queued()
            self._warm.flush()

    def withdraw(self, attempts: Iterable[str]) -> None:
        with self._lock:
            for attempt in attempts:
                tracked = self._tracked.get(attempt)
                if tracked is not None and not tracked.ended and not tracked.launched:
                    self._stop(tracked, STOP_CANCELLED)
            self._start_queued()
            self._warm.flush()

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        try:
            with self._output_path(attempt, task, stream).open("rb") as file:
                return os.pread(file.fileno(), limit, offset)
        except FileNotFoundError:
            return b""

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        try:
            return self._output_path(attempt, task, stream).stat().st_size
        except FileNotFoundError:
            return 0

    def forget(self, attempts: Iterable[str]) -> None:
        with self._lock:
            names = [name for name in attempts if name in self._tracked and self._tracked[name].ended]
            for name in names:
                tracked = self._tracked.pop(name)
                self._sweeper.forget(tracked.order.folder, time.monotonic())
                self._containers.forget(tracked)
                for task in range(tracked.order.work.tasks):
                    TaskGroups(tracked.groups, f"{name}.{task}").remove()
                self._changed.pop(name, None)

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._hear()
                if self._news:
                    self._news = False
                    return True
                now = time.monotonic()
                left = until - now
                if left <= 0:
                    return False
                poll = select.poll()
                poll.register(self._poke, select.POLLIN)
                poll.register(self._warm, select.POLLIN | (select.POLLOUT if self._warm.unsent else 0))
                pause = min(left, self._next_look(now))
            poll.poll(math.ceil(pause * 1_000))

    def wake(self) -> None:
        self._poke.wake()

    def close(self) -> None:
        with self._lock:
            if self._attached:
                self._attached = False
                self._poke.wake()
                self._warm.close()
                self._poke.close()
                self._sweeper.close()
                self._containers.close()
                self._site.groups.remove()

    @property
    def _attempts(self) -> Path:
        return self._folder / "attempts"

    def _start_zygote(self, hidden: str) -> None:
        self._warm = Warm(self._folder / "engine.log", hidden)
        for tracked in self._tracked.values():
            if not tracked.ended and tracked.launched:
                tracked.orphaned = True
                self._launch_missing(tracked)

    def _take_up(self) -> None:
        """Find every attempt again by its folder."""
        for folder in sorted(self._attempts.iterdir()):
            found = read_order(folder)
            if found is None:
                continue
            order, allocation, groups = found
            tracked = Tracked(order, EngineState(order.attempt, Observed.QUEUED), orphaned=True)
            tracked.records = [None] * order.work.tasks
            tracked.allocation = allocation
            tracked.groups = groups
            tracked.launched = allocation is not None
            for name in (STOP_CANCELLED, STOP_GANG):
                if (folder / name).exists():
                    tracked.stopping = name
            self._tracked[order.attempt] = tracked
            self._looks.append(order.attempt)
            self._note(order.attempt)
            if not tracked.launched:
                self._queue.append(order.attempt)
                if tracked.stopping:
                    self._stop(tracked, tracked.stopping)
                continue
            self._hold_again(tracked)
            self._look(tracked)
            if not tracked.ended:
                self._launch_missing(tracked)
        self._containers.sweep_all_but(self._tracked.values())

    def _hold_again(self, tracked: Tracked) -> None:
        space = self._pools.get(tracked.order.work.pool)
        if space is not None and tracked.allocation is not None and not tracked.ended:
            space.retake(tracked.order.work, tracked.allocation)

    def _launch_missing(self, tracked: Tracked) -> None:
        """Ask for supervisors that may have been asked for in vain; where one is at work the claim stops the
        second."""
        for task, record in enumerate(tracked.records):
            if record is None:
                self._warm.fork(tracked.order.folder, tracked.order.attempt, task)

    def _submit(self, order: AttemptOrder) -> SubmitOutcome:
        if order.attempt in self._tracked:
            return SubmitOutcome(order.attempt, True)
        message = self._refusal_of(order)
        if message:
            return SubmitOutcome(order.attempt, False, message)
        tracked = Tracked(order, EngineState(order.attempt, Observed.QUEUED, message="waits for room"))
        tracked.records = [None] * order.work.tasks
        self._tracked[order.attempt] = tracked
        self._queue.append(order.attempt)
        self._note(order.attempt)
        return SubmitOutcome(order.attempt, True)

    def _keep_queued(self, attempt: str) -> None:
        """Put down durably what was accepted and has no room yet."""
        tracked = self._tracked.get(attempt)
        if (
            tracked is None
            or tracked.launched
            or tracked.ended
            or (tracked.order.folder / CONTROL_NAME).exists()
        ):
            return
        try:
            write_order(tracked.order, None, None)
        except OSError as error:
            self._fail(tracked, f"the attempt could not be kept: {error.strerror}")

    def _refusal_of(self, order: AttemptOrder) -> str:
        work = order.work
        if self._refusal:
            return self._refusal
        if work.pool not in self._pools:
            return f"there is no pool {work.pool!r} here; there are {', '.join(self._pools) or 'none'}"
        space = self._pools[work.pool]
        contained = self._containers.refusal_of(work, space.container_devices)
        return refusal_of(work) or contained or space.never(work, order.nodes)

    def _start_queued(self) -> None:
        """Start what has room, in the order in which it came; nothing takes a node that an earlier one waits
        for."""
        waiting: deque[str] = deque()
        blocked: set[tuple[str, int]] = set()
        for attempt in self._queue:
            tracked = self._tracked.get(attempt)
            if tracked is None or tracked.ended or tracked.launched:
                continue
            order = tracked.order
            nodes = {(order.work.pool, share.node) for share in order.nodes}
            space = self._pools.get(order.work.pool)
            allocation = None
            if space is not None and not nodes & blocked and not space.never(order.work, order.nodes):
                allocation = space.take(order.work, order.nodes)
            if allocation is None:
                blocked |= nodes
                waiting.append(attempt)
                continue
            tracked.allocation = allocation
            self._launch(tracked)
        self._queue = waiting

    def _launch(self, tracked: Tracked) -> None:
        order = tracked.order
        assert tracked.allocation is not None
        try:
            port = free_port() if order.work.tasks > 1 else 0
            devices = self._pools[order.work.pool].container_devices
            self._containers.mark(order.work)
            launch = launch_of(order, tracked.allocation, port, self._site, devices)
            write_order(order, tracked.allocation, launch)
        except OSError as error:
            self._fail(tracked, f"the attempt could not be launched: {error.strerror}")
            return
        tracked.launched = True
        tracked.groups = self._site.groups
        tracked.orphaned = False
        tracked.looked_s = self._last_start_s = time.monotonic()
        tracked.state = EngineState(order.attempt, Observed.QUEUED, message="is being started")
        self._looks.append(order.attempt)
        for task in range(order.work.tasks):
            self._warm.fork(order.folder, order.attempt, task)

    def _stop(self, tracked: Tracked, reason: str) -> None:
        self._inspection.stop(tracked, reason)
        if not tracked.launched:
            end = EngineEnd(Cause.CANCELLED, None, None, "cancelled before its start", None, self._clock())
            self._settle(tracked, EngineState(tracked.order.attempt, Observed.ENDED, end=end))

    def _hear(self) -> None:
        """Take in pokes and what the zygote says, and look after what is due."""
        if not self._attached:
            raise EngineUnreachableError("the local engine is not attached")
        for attempt in self._poke.heard():
            self._news = True
            tracked = self._tracked.get(attempt)
            if tracked is not None:
                self._look(tracked)
        self._hear_zygote()
        self._look_around()
        if self._queue and self._released:
            self._released = False
            self._start_queued()
        self._warm.flush()

    def _hear_zygote(self) -> None:
        exits = self._warm.exits()
        if exits is None:
            self._warm.close()
            self._start_zygote(self._settings.hidden)
            return
        for attempt, task, status in exits:
            tracked = self._tracked.get(attempt)
            if tracked is None or tracked.ended:
                continue
            tracked.suspect = True
            tracked.failures[task] = failure_text(os.waitstatus_to_exitcode(status))
            self._look(tracked)

    def _look_around(self) -> None:
        """Look at a few attempts that have not been looked at for long, and at those that are being
        cleared."""
        now = time.monotonic()
        if now - self._looked_around_s < _CLEARING_S:
            return
        self._looked_around_s = now
        self._sweeper.sweep(now, self._last_start_s)
        self._containers.sweep()
        for attempt in list(self._clearing):
            self._look(self._tracked[attempt])
        for _ in range(min(_LOOKS_AT_ONCE, len(self._looks))):
            tracked = self._tracked.get(self._looks[0])
            if tracked is None or tracked.ended:
                self._looks.popleft()
                continue
            if now - tracked.looked_s < self._look_every(tracked):
                # Those that nobody tells of are kept in front by being looked at often.
                if not tracked.orphaned:
                    self._looks.rotate(-1)
                    continue
                break
            self._looks.rotate(-1)
            self._look(tracked)

    def _look_every(self, tracked: Tracked) -> float:
        # Looking at one costs some 50 µs: never more than a twentieth of the time.
        return max(_LOOK_ORPHAN_S, len(self._looks) * 0.001) if tracked.orphaned else _LOOK_S

    def _next_look(self, now: float) -> float:
        if self._clearing:
            return _CLEARING_S
        return _LOOK_ORPHAN_S if self._looks or self._sweeper.waiting else 3_600.0

    def _look(self, tracked: Tracked) -> None:
        """Read the records of an attempt, and draw the conclusions."""
        if tracked.ended or not tracked.launched:
            return
        try:
            settled = self._inspection.look(tracked)
        except FileNotFoundError:
            self._fail(tracked, "its folder was removed while it ran")
            return
        if settled:
            self._clearing.discard(tracked.order.attempt)
        else:
            self._clearing.add(tracked.order.attempt)
        self._settle(tracked, state_of(tracked.order.attempt, tracked.records, tracked.state.message))

    def _fail(self, tracked: Tracked, message: str) -> None:
        end = EngineEnd(Cause.NODE_FAILED, None, None, message, None, self._clock())
        self._settle(tracked, EngineState(tracked.order.attempt, Observed.ENDED, end=end))

    def _settle(self, tracked: Tracked, state: EngineState) -> None:
        if state == tracked.state:
            return
        tracked.state = state
        self._note(state.attempt)
        if tracked.ended and tracked.allocation is not None:
            self._clearing.discard(state.attempt)
            space = self._pools.get(tracked.order.work.pool)
            if space is not None:
                space.release(tracked.order.work, tracked.allocation)
            self._released = True

    def _note(self, attempt: str) -> None:
        self._changed[attempt] = None
        self._news = True

    def _output_path(self, attempt: str, task: int, stream: str) -> Path:
        if stream not in STREAMS:
            raise refused("stream", stream, f"give one of {', '.join(STREAMS)}")
        with self._lock:
            tracked = self._tracked.get(attempt)
        folder = tracked.order.folder if tracked else self._attempts / attempt
        return folder / f"{task}.{stream}"


def _observation(entry: PoolEntry, now_ms: int, capabilities: tuple[str, ...]) -> PoolObservation:
    devices_milli, cores_milli = entry.devices_per_node * 1_000, entry.cores_milli_per_node
    group = NodeGroup(entry.nodes, devices_milli, cores_milli, entry.memory_bytes_per_node)
    return PoolObservation(entry.id, now_ms, (group,), capabilities=capabilities)
