"""Ray's driver: orders in the attempts' own folders, jobs submitted under Weir's names, records of supervisors.

An order is accepted once it lies in the attempt's folder; from then on a thread sees to it that Ray has it.
Submitting is repeatable, because the name is Weir's; running is not, because what Ray starts first claims the
attempt. How an attempt ended stands in its record; Ray is asked about those that have none.
"""

import errno
import hashlib
import logging
import math
import os
import select
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from weir.engines.driver import STREAMS, AttemptOrder, EngineState, EngineUnreachableError, SubmitOutcome
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.cgroup import NO_GROUPS
from weir.engines.local.control import CONTROL_NAME
from weir.engines.local.inspection import Inspection
from weir.engines.local.launch import Site, launch_of, read_order, stop_number, write_order
from weir.engines.local.poke import Poke
from weir.engines.local.settings import Settings as LocalSettings
from weir.engines.local.supervisor import STOP_CANCELLED, STOP_GANG
from weir.engines.local.sweep import Sweeper
from weir.engines.local.tracked import state_of
from weir.engines.others_files import read_part, size_of
from weir.engines.ray.api import RayApi
from weir.engines.ray.forms import (
    OwnUsage,
    RayJob,
    RayNode,
    foreign_work,
    misfit,
    needs,
    node_groups,
    of_pool,
    submission,
)
from weir.engines.ray.keeper import Keeper
from weir.engines.ray.kit import write_kit
from weir.engines.ray.settings import NATIVE_DEVICES, PoolSettings, Settings
from weir.engines.ray.tracked import RayTracked, put_down, unstarted
from weir.model.agent import PoolEntry, PoolObservation
from weir.model.problem import refused
from weir.model.state import Cause, Observed

__all__ = ["RayDriver"]

_log = logging.getLogger("weir.engines.ray")

_LOOK_S = 0.1
_LOOK_COST_S = 0.0002
"""Looking at one attempt's record costs about so much; looking takes a tenth of the time at most."""
_NODES_KEPT_S = 10.0
_SUPERVISOR_LOOKS_S = 0.5
_FOREIGN_MS = 300_000
"""Ray does not know how long others' work takes: it counts as there for so long, and is looked at again."""
_USAGE_LAGS_S = 20.0
"""What Ray says is in use may be so old."""
_PASSES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR}
)
"""Says nothing of an attempt's folder: the agent has too little room, or the shared file system is in trouble."""
_ALWAYS = frozenset(
    {
        "commands",
        "files",
        "queue",
        "withdraw",
        "time-limit",
        "output-live",
        "shared-folder",
        "stop-signal",
        "streams",
    }
)


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class RayDriver:
    """Runs attempts as jobs of a Ray cluster whose nodes share the attempts' folders."""

    _api: RayApi
    _settings: Settings
    _keeper: Keeper
    _sweeper: Sweeper
    _poke: Poke
    _kit: Path

    def __init__(self, folder: Path, clock: Callable[[], int] = _wall_clock_ms) -> None:
        """`folder` is the agent's. It, or the option `work_root`, lies on a file system that Ray's nodes have too,
        under the same path. `clock` gives milliseconds since 1970."""
        self._folder = Path(os.path.realpath(folder))
        self._attempts = self._folder / "attempts"
        self._shared = self._folder
        self._clock = clock
        self._lock = threading.RLock()
        self._attached = False
        self._inspection = Inspection(clock)
        self._capabilities: frozenset[str] = frozenset()
        self._pools: dict[str, tuple[PoolEntry, PoolSettings]] = {}
        self._tracked: dict[str, RayTracked] = {}
        self._changed: dict[str, None] = {}
        self._news = False
        self._looked_s = 0.0
        self._nodes: tuple[float, list[RayNode]] = (-math.inf, [])
        self._forgotten: list[tuple[float, Mapping[str, float]]] = []

    @property
    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    @property
    def tag(self) -> str:
        """Names this agent among all who use the cluster."""
        return hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        settings = Settings.read(options)
        found = {entry.id: (entry, PoolSettings.read(entry)) for entry in pools}
        self._keep_secrets_apart(settings)
        with self._lock:
            first = not self._attached
            keeper = None if first else self._keeper
        if keeper is not None:
            keeper.close()
            self._api.close()
        with self._lock:
            if first:
                if settings.work_root:
                    # The nodes may not see the agent's folder: what they need of it lies beside the attempts.
                    self._attempts = Path(os.path.realpath(settings.work_root))
                    self._shared = self._attempts / ".weir"
                for folder in (self._attempts, self._shared):
                    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._sweeper = Sweeper(self._attempts)
                self._poke = Poke(self._shared / "poke")
                self._kit = write_kit(self._shared / "engine")
            self._settings, self._pools = settings, found
            self._capabilities = _capabilities(settings, found.values())
            self._nodes = (-math.inf, [])
            self._api = RayApi(settings.address, settings.token_file)
            self._keeper = Keeper(
                self._api,
                settings.poll_s,
                self.tag,
                self._tracked,
                self._lock,
                self._body_of,
                self._kept,
                self._clock,
            )
            if first:
                self._take_up()
                self._attached = True
        self._keeper.start()

    def _keep_secrets_apart(self, settings: Settings) -> None:
        """Refuse attempts beside the centre's token: Ray runs them as the agent's own user, on nodes that see them."""
        root = os.path.realpath(settings.work_root or self._folder / "attempts")
        inside = root == str(self._folder) or root.startswith(f"{self._folder}{os.sep}")
        if inside and (self._folder / "token").exists():
            accepted = (
                "start the agent with --work-root on the file system that Ray's nodes share, and with its own --folder "
                "elsewhere: tasks run as the agent's user, and could read the centre's token beside them"
            )
            raise refused("engine.options.work_root", settings.work_root, accepted)

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        nodes, usage = self._api.nodes(), self._api.usage()
        jobs = self._api.jobs()
        queued = sum(job.status == "PENDING" and job.agent != self.tag for job in jobs)
        with self._lock:
            self._look_around()
            self._nodes = (time.monotonic(), nodes)
            own = self._own_usage(jobs)
            pools = list(self._pools.values())
        return tuple(
            PoolObservation(
                entry.id,
                now_ms,
                node_groups(nodes, pool),
                foreign=foreign_work(nodes, usage, own, pool, now_ms + _FOREIGN_MS),
                queued_foreign=queued,
                capabilities=tuple(sorted(self._capabilities)),
            )
            for entry, pool in pools
        )

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        nodes = self._present_nodes()
        with self._lock:
            outcomes = [self._accept(order, nodes) for order in orders]
            new = {order.attempt: self._tracked.get(order.attempt) for order in orders}
        # One after the other, so that Ray has them in their order. What it cannot be told now is kept, and the
        # keeper tells it later.
        refusals = {attempt: self._post(tracked) for attempt, tracked in new.items()}
        return [
            SubmitOutcome(outcome.attempt, False, refusals[outcome.attempt])
            if refusals[outcome.attempt]
            else outcome
            for outcome in outcomes
        ]

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        with self._lock:
            self._look_around()
            return [
                EngineState(attempt, Observed.NOTHING) if tracked is None else tracked.state
                for attempt in attempts
                for tracked in (self._tracked.get(attempt),)
            ]

    def changed(self) -> list[str]:
        with self._lock:
            self._look_around()
            names = list(self._changed)
            self._changed.clear()
        return names

    def live(self) -> list[str]:
        with self._lock:
            self._look_around()
            return [attempt for attempt, tracked in self._tracked.items() if not tracked.ended]

    def cancel(self, attempts: Iterable[str]) -> None:
        with self._lock:
            for attempt in attempts:
                tracked = self._tracked.get(attempt)
                if tracked is None or tracked.ended:
                    continue
                # The word in its folder ends it whenever Ray starts it; Ray's own stop is not heard by a job
                # that waits, and gives one that runs three seconds at most.
                self._inspection.stop(tracked, STOP_CANCELLED)
                if unstarted(tracked):
                    put_down(tracked, Cause.CANCELLED, "cancelled before its start", self._clock())
                self._look(tracked)

    def withdraw(self, attempts: Iterable[str]) -> None:
        with self._lock:
            for attempt in attempts:
                tracked = self._tracked.get(attempt)
                # Whoever claims its task first, its runner or this, decides whether it has started.
                if tracked is not None and not tracked.ended and unstarted(tracked):
                    put_down(tracked, Cause.CANCELLED, "taken back before its start", self._clock())
                    self._look(tracked)

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        # Tasks run as the agent's own user, and can put anything in the place of these files.
        return read_part(self._output_path(attempt, task, stream), os.geteuid(), offset, limit)

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        return size_of(self._output_path(attempt, task, stream), os.geteuid())

    def forget(self, attempts: Iterable[str]) -> None:
        with self._lock:
            for name in attempts:
                tracked = self._tracked.get(name)
                if tracked is not None and tracked.ended:
                    del self._tracked[name]
                    self._changed.pop(name, None)
                    self._forgotten.append((time.monotonic() + _USAGE_LAGS_S, tracked.needs))
                    self._sweeper.forget(tracked.order.folder, time.monotonic())
            self._sweeper.sweep(time.monotonic(), -math.inf)
        self._keeper.clean()

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while True:
            with self._lock:
                self._look_around()
                if self._news:
                    self._news = False
                    return True
                left = until - time.monotonic()
                if left <= 0:
                    return False
                poll = select.poll()
                poll.register(self._poke, select.POLLIN)
                live = any(not tracked.ended for tracked in self._tracked.values())
            poll.poll(math.ceil(min(left, self._look_every if live else left) * 1_000))

    def wake(self) -> None:
        self._poke.wake()

    def close(self) -> None:
        with self._lock:
            if not self._attached:
                return
            self._attached = False
            self._poke.wake()
        self._keeper.close()
        with self._lock:
            self._api.close()
            self._poke.close()
            self._sweeper.close()

    @property
    def _look_every(self) -> float:
        return max(_LOOK_S, len(self._tracked) * _LOOK_COST_S * 10)

    def _own_usage(self, jobs: list[RayJob]) -> OwnUsage:
        """What Weir's own jobs use by node, and what of theirs may still be counted, wherever it was."""
        now = time.monotonic()
        own, lately = OwnUsage({}), []
        placed = {job.attempt: job.node for job in jobs if job.agent == self.tag and not job.terminal}
        for attempt, tracked in self._tracked.items():
            if not tracked.ended and placed.get(attempt):
                own.add(placed[attempt], tracked.needs)
            elif not tracked.ended or now - tracked.moved_s < _USAGE_LAGS_S:
                lately.append(tracked.needs)
        self._forgotten = [(until, wanted) for until, wanted in self._forgotten if until > now]
        for wanted in (*lately, *(wanted for _, wanted in self._forgotten)):
            own.add("", wanted)
        return own

    def _take_up(self) -> None:
        """Find every attempt again by its folder; the keeper asks Ray about those that have not ended."""
        for folder in sorted(self._attempts.iterdir()):
            try:
                found = read_order(folder)
            except (OSError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, OSError) and error.errno in _PASSES:
                    raise
                _log.warning("%s holds no order that can be read: %r", folder, error)
                continue
            if found is not None:
                tracked = self._track(found[0])
                for name in (STOP_CANCELLED, STOP_GANG):
                    if (folder / name).exists():
                        tracked.stopping = name
                self._look(tracked)

    def _track(self, order: AttemptOrder) -> RayTracked:
        pool = self._pools.get(order.work.pool)
        tracked = RayTracked(order, EngineState(order.attempt, Observed.QUEUED, message="is given to Ray"))
        tracked.records = [None]
        tracked.launched = True
        tracked.needs = needs(order.work, pool[1] if pool else PoolSettings("GPU"))
        self._tracked[order.attempt] = tracked
        self._note(order.attempt)
        return tracked

    def _present_nodes(self) -> list[RayNode]:
        with self._lock:
            read_s, nodes = self._nodes
        if time.monotonic() - read_s <= _NODES_KEPT_S:
            return nodes
        try:
            nodes = self._api.nodes()
        except EngineUnreachableError:
            if not nodes:
                raise
            return nodes  # what fitted a while ago is kept, and given to Ray as soon as it answers
        with self._lock:
            self._nodes = (time.monotonic(), nodes)
        return nodes

    def _accept(self, order: AttemptOrder, nodes: list[RayNode]) -> SubmitOutcome:
        if order.attempt in self._tracked:
            return SubmitOutcome(order.attempt, True)
        message = self._refusal_of(order, nodes)
        if message:
            return SubmitOutcome(order.attempt, False, message)
        try:
            write_order(order, _PLACE, self._launch(order))
        except OSError as error:
            return SubmitOutcome(order.attempt, False, f"the attempt could not be kept: {error.strerror}")
        self._track(order)
        return SubmitOutcome(order.attempt, True)

    def _post(self, tracked: RayTracked | None) -> str:
        """Submit what is kept; why Ray never takes it, and then nothing of it is kept."""
        if tracked is None or tracked.ended or tracked.stopping or tracked.posted_s is not None:
            return ""
        refusal = self._keeper.post(tracked)
        if refusal:
            with self._lock:
                del self._tracked[tracked.order.attempt]
                (tracked.order.folder / CONTROL_NAME).unlink()
        return refusal

    def _body_of(self, tracked: RayTracked) -> dict[str, Any]:
        command = [self._settings.python, "-I", "-S", os.fspath(self._kit), os.fspath(tracked.order.folder)]
        return submission(tracked.identity, self.tag, tracked.order.attempt, tracked.needs, command)

    def _refusal_of(self, order: AttemptOrder, nodes: list[RayNode]) -> str:
        work = order.work
        if work.pool not in self._pools:
            return f"there is no pool {work.pool!r} here; there are {', '.join(self._pools) or 'none'}"
        entry, pool = self._pools[work.pool]
        if work.tasks != 1:
            return f"{work.tasks} tasks were ordered, and a Ray job here has one"
        if work.devices_milli % 1_000 and (work.devices_milli > 1_000 or not entry.shares):
            part = f"a share of a device ({work.devices_milli} thousandths)"
            return f"{part} is asked, which pool {entry.id} does not give"
        if not work.command or not all(work.command[:1]):
            return "the command is empty"
        if any("\0" in text for text in (*work.command, *work.environment, *work.environment.values())):
            return "the command or its environment has a zero byte in it"
        try:
            stop_number(work.stop_signal)
        except KeyError:
            return f"the stop signal {work.stop_signal!r} does not exist here"
        return misfit(needs(work, pool), of_pool(nodes, pool))

    def _launch(self, order: AttemptOrder) -> dict[str, Any]:
        site = Site(LocalSettings(), NO_GROUPS, False, os.fspath(self._shared / "poke"), {})
        return {
            **launch_of(order, _PLACE, 0, site),
            "look_s": _SUPERVISOR_LOOKS_S,
            "given": list(order.work.environment),
            "passed": list(self._settings.pass_environment),
            "devices": order.work.devices_milli,
            "visible": order.work.visible_devices_variable,
            "limits": self._settings.limits,
        }

    def _look_around(self) -> None:
        if not self._attached:
            raise EngineUnreachableError("the Ray driver is not attached")
        now = time.monotonic()
        for attempt in self._poke.heard():
            tracked = self._tracked.get(attempt)
            if tracked is None:
                self._news = True
            else:
                self._look(tracked)
        if now - self._looked_s >= self._look_every:
            self._looked_s = now
            for tracked in self._tracked.values():
                self._look(tracked)
            self._sweeper.sweep(now, -math.inf)

    def _look(self, tracked: RayTracked) -> None:
        """Read the record of an attempt, and draw the conclusions."""
        if tracked.ended:
            return
        try:
            self._inspection.look(tracked)
            state = state_of(tracked.order.attempt, tracked.records, tracked.waiting)
        except FileNotFoundError:
            tracked.fail("its folder was removed while it ran", self._clock())
            self._note(tracked.order.attempt)
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, OSError) and error.errno in _PASSES:
                return  # it is looked at again
            # Its own command can write there: it may lose itself by that, and nobody else.
            message = f"its folder cannot be read: {error!r}"
            _log.warning("%s: %s", tracked.order.attempt, message)
            tracked.fail(message, self._clock())
            self._note(tracked.order.attempt)
            self._keeper.clean()  # Ray still has it
            return
        if state != tracked.state:
            tracked.state = state
            tracked.moved_s = time.monotonic()
            self._note(state.attempt)

    def _kept(self, tracked: RayTracked) -> None:
        """The keeper has learned something of it."""
        with self._lock:
            if self._attached:
                self._look(tracked)
                self._poke.wake()

    def _note(self, attempt: str) -> None:
        self._changed[attempt] = None
        self._news = True

    def _output_path(self, attempt: str, task: int, stream: str) -> Path:
        if stream not in STREAMS:
            raise refused("stream", stream, f"give one of {', '.join(STREAMS)}")
        return self._attempts / attempt / f"{task}.{stream}"


_PLACE = Allocation((TaskPlace(0, 0, (), ()),))
"""Where the one task runs is Ray's own affair."""


def _capabilities(settings: Settings, pools: Iterable[tuple[PoolEntry, PoolSettings]]) -> frozenset[str]:
    found = set(_ALWAYS) | {"kill-all", "kill-by-session"}
    if all(pool.device_resource in NATIVE_DEVICES for entry, pool in pools if entry.devices_per_node):
        found.add("devices")
    if settings.limits == "required":
        found |= {"memory-limit", "kill-by-cgroup"}
    return frozenset(found)
