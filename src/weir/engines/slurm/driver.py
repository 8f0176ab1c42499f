"""The Slurm driver: attempts become Slurm jobs, and what Slurm and the nodes say becomes their states."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from weir.engines.driver import STREAMS, AttemptOrder, EngineState, EngineUnreachableError, SubmitOutcome
from weir.engines.others_files import read_part, size_of
from weir.engines.slurm.carried import Carried
from weir.engines.slurm.command import CommandCluster
from weir.engines.slurm.description import pool_observation
from weir.engines.slurm.parcel import never
from weir.engines.slurm.port import Cluster, ClusterFacts, JobRow, NodeRow
from weir.engines.slurm.record import SlurmRecord
from weir.engines.slurm.rest import RestCluster
from weir.engines.slurm.roll import Roll
from weir.engines.slurm.sending import Sender
from weir.engines.slurm.settings import Settings, chosen
from weir.engines.slurm.tracked import Phase, Tracked
from weir.engines.slurm.users import Users, read_users
from weir.engines.slurm.watch import Watch
from weir.model.agent import PoolEntry, PoolObservation
from weir.model.problem import ProblemError, conflict, refused
from weir.model.state import Cause, Observed

__all__ = ["SlurmDriver"]

log = logging.getLogger("weir.agent")

_NEWS_S = 0.1
"""The folder of news is looked at so often while something runs."""
_SEND_AGAIN_S = 1.0
"""What is held back is tried again so often."""
_ROUGHLY_AFTER_S = 10.0
_LONGEST_DESCRIPTION_S = 60.0


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class SlurmDriver:
    """Runs attempts as Slurm jobs. One for each agent's folder."""

    _settings: Settings
    _users: Users
    _cluster: Cluster
    _roll: Roll
    _sender: Sender
    _watch: Watch
    _carried: Carried | None = None

    def __init__(self, folder: Path, clock: Callable[[], int] = _wall_clock_ms) -> None:
        """`folder` is the agent's; `clock` gives milliseconds since 1970."""
        self._folder = folder.resolve()
        self._attempts = self._folder / "attempts"
        self._clock = clock
        self._pools: dict[str, PoolEntry] = {}
        self._capabilities: frozenset[str] = frozenset()
        self._working = threading.Lock()
        self._attached = False
        self._send_again_s = 0.0
        self._read: tuple[float, list[NodeRow], list[JobRow]] | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        settings = Settings.read(pools, options)
        users = replace(read_users(settings.users), carried=settings.door is not None)
        cluster: Cluster = RestCluster(settings) if settings.rest else CommandCluster(settings)
        first = not self._attached
        if first:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._roll = Roll(SlurmRecord(self._folder / "slurm.db"), self._clock)
        self._attempts = _attempts_root(self._folder)
        facts = self._facts(cluster)
        if first:
            self._capabilities = _capabilities(facts, settings)
        carried = self._carried
        if carried is None or (not first and settings.door != self._settings.door):
            if carried is not None:
                carried.door.close()
            carried = None
            if settings.door is not None:
                carried = Carried(self._folder, settings.door, lambda: len(self._roll.live))
                carried.door.open()
            self._carried = carried
        watch = Watch(self._roll, cluster, settings, users, self._attempts)
        with self._working, self._roll.lock:
            self._pools = {entry.id: entry for entry in pools}
            self._settings, self._users, self._cluster = settings, users, cluster
            self._watch = watch
            self._sender = Sender(self._roll, cluster, facts, settings, users, carried)
            self._read = None
            self._attached = True
            for name in list(self._roll.live):
                self._roll.folder(self._roll.attempts[name])
        log.info("Slurm by %s; work runs as %s", cluster.name, users.shown())
        self._first_reading()

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        nodes, queue = self._nodes_and_queue()
        with self._roll.lock:
            own = {tracked.job for tracked in self._roll.attempts.values() if tracked.job}
        return tuple(
            pool_observation(
                name,
                self._settings.pools[name],
                nodes,
                queue,
                own,
                now_ms,
                capabilities=self._capabilities,
                runs_as=self._users.shown(),
            )
            for name in self._pools
        )

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        refused_orders: dict[str, str] = {}
        new = set()
        with self._roll.lock:
            for order in orders:
                known = self._roll.attempts.get(order.attempt) or self._watch.adopt(order.attempt)
                if known is not None:
                    known.again = known.again or known.phase is Phase.SENDING
                elif message := self._refusal_of(order):
                    refused_orders[order.attempt] = message
                else:
                    self._roll.add(self._tracked(order))
                    new.add(order.attempt)
            self._roll.save()
        if new or self._roll.held_back:
            refused_orders |= self._send(new)
        return [
            SubmitOutcome(
                order.attempt, order.attempt not in refused_orders, refused_orders.get(order.attempt, "")
            )
            for order in orders
        ]

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        with self._roll.lock:
            self._watch.hear()
            return [self._state_of(name) for name in attempts]

    def changed(self) -> list[str]:
        with self._roll.lock:
            return self._roll.changed()

    def live(self) -> list[str]:
        self._must_answer()
        with self._roll.lock:
            return [*self._roll.live, *(self._watch.strays - self._roll.attempts.keys())]

    def cancel(self, attempts: Iterable[str]) -> None:
        waiting: list[str] = []
        running: list[str] = []
        with self._roll.lock:
            for name in attempts:
                tracked = self._roll.attempts.get(name) or self._watch.adopt(name)
                if tracked is None or tracked.ended:
                    continue
                self._stop(tracked)
                if tracked.phase is Phase.SENT:
                    started = tracked.state.observed is Observed.RUNNING
                    claimed = started or self._roll.folder(tracked).claimed_by(tracked.folder, tracked.uid)
                    (running if claimed else waiting).append(tracked.number)
            self._roll.save()
        if running:
            self._cluster.tell(running)
        if waiting:
            self._cluster.cancel(waiting, waiting_only=True)
            self._watch.soon()
            self._roll.woken.set()

    def withdraw(self, attempts: Iterable[str]) -> None:
        waiting: list[str] = []
        with self._roll.lock:
            for name in attempts:
                tracked = self._roll.attempts.get(name)
                if tracked is None or tracked.ended or tracked.stopping:
                    continue
                if tracked.phase is Phase.HELD_BACK:
                    self._roll.end_unstarted(tracked, Cause.CANCELLED, "taken back before its start")
                elif tracked.phase is Phase.SENT and tracked.state.observed is Observed.QUEUED:
                    tracked.withdrawing = True
                    waiting.append(tracked.number)
            self._roll.save()
        if waiting:
            # What has been started meanwhile is left alone.
            self._cluster.withdraw(waiting)
            self._watch.soon()
            self._roll.woken.set()

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        path, uid = self._output_path(attempt, task, stream)
        return read_part(path, uid, offset, limit)

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        return size_of(*self._output_path(attempt, task, stream))

    def forget(self, attempts: Iterable[str]) -> None:
        with self._roll.lock:
            names = [name for name in attempts if name in self._roll.attempts]
            dropped = self._roll.drop(name for name in names if self._roll.attempts[name].ended)
            kept = {tracked.batch for tracked in self._roll.attempts.values()}
            folders = {tracked.folder.parent: self._roll.folder(tracked) for tracked in dropped}
        for tracked in dropped:
            folder = folders[tracked.folder.parent]
            folder.clear([(tracked.attempt, tracked.folder)])
            if tracked.batch and tracked.batch not in kept:
                folder.drop_batch(tracked.batch)
        if self._carried is not None:
            batches = {tracked.batch for tracked in dropped} - kept
            self._carried.leave([tracked.attempt for tracked in dropped], batches)

    def wait(self, timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while True:
            self._work()
            with self._roll.lock:
                if self._roll.news:
                    self._roll.news = False
                    return True
                busy = bool(self._roll.live)
            now = time.monotonic()
            if now >= until or not self._attached:
                return False
            pause = until - now
            if busy or self._watch.trouble:
                pause = min(pause, _NEWS_S if busy else max(_NEWS_S, self._watch.next_s() - now))
            self._roll.woken.wait(pause)
            self._roll.woken.clear()

    def wake(self) -> None:
        with self._roll.lock:
            self._roll.news = True
        self._roll.woken.set()

    def close(self) -> None:
        if self._attached:
            self._attached = False
            self.wake()
            with self._working:
                if self._carried is not None:
                    self._carried.door.close()
                    self._carried = None
                self._cluster.close()
                self._roll.record.close()

    def _facts(self, cluster: Cluster) -> ClusterFacts:
        """What the cluster says of itself, or said when it last answered."""
        try:
            facts = cluster.facts()
        except EngineUnreachableError as error:
            known = self._roll.record.facts()
            if known is None:
                raise conflict(f"{cluster.name} must answer at the first start: {error}") from None
            return known
        self._roll.record.keep_facts(facts)
        return facts

    def _first_reading(self) -> None:
        try:
            self._watch.read()
        except EngineUnreachableError:
            return  # what is recorded is known all the same, and the rest is asked again

    def _work(self) -> None:
        """What is to be done besides answering: by one thread, while the others do not wait for it."""
        if not self._attached or not self._working.acquire(blocking=False):
            return
        try:
            if self._attached:
                self._watch.work()
                now = time.monotonic()
                due = self._roll.room or now >= self._send_again_s
                if due and self._roll.held_back and not self._watch.trouble:
                    self._roll.room, self._send_again_s = False, now + _SEND_AGAIN_S
                    self._send(frozenset())
        except EngineUnreachableError as error:
            self._watch.trouble = str(error)
        finally:
            self._working.release()

    def _send(self, new: "frozenset[str] | set[str]") -> dict[str, str]:
        """Hand over; what Slurm refuses of the `new` ones was never accepted, what it refuses of others has ended."""
        sent = self._sender.send()
        with self._roll.lock:
            for name, message in sent.refused.items():
                if name not in new and name in self._roll.attempts:
                    self._roll.end_unstarted(self._roll.attempts[name], Cause.REJECTED, message)
            refused_now = {name: message for name, message in sent.refused.items() if name in new}
            self._roll.drop(refused_now)
            self._roll.save()
        if sent.trouble is not None:
            self._watch.trouble = str(sent.trouble)
            self._watch.soon()
            raise sent.trouble
        return refused_now

    def _refusal_of(self, order: AttemptOrder) -> str:
        entry = self._pools.get(order.work.pool)
        if entry is None:
            return f"there is no pool {order.work.pool!r} here; there are {', '.join(self._pools) or 'none'}"
        if message := never(order, entry):
            return message
        try:
            chosen(self._settings.pools[entry.id], order.work.options)
        except ProblemError as error:
            return str(error)
        user = self._users.of(order.work.account)
        if user is None:
            return f"this centre maps account {order.work.account!r} to no local user; ask its operator to add it"
        tracked = self._tracked(order)
        if place := self._roll.folder(tracked).unreachable_for(self._users.owner(user).uid):
            return f"user {user.name} cannot reach the attempt's folder: {place} lets nobody else through"
        return ""

    def _tracked(self, order: AttemptOrder) -> Tracked:
        user = self._users.of(order.work.account)
        assert user is not None
        state = EngineState(order.attempt, Observed.QUEUED, message="waits to be handed to Slurm")
        return Tracked(
            order.attempt,
            order.work.pool,
            order.folder,
            user.name,
            self._users.owner(user).uid,
            Phase.HELD_BACK,
            state,
            order,
            grace_s=order.work.stop_grace_ms / 1_000,
        )

    def _state_of(self, name: str) -> EngineState:
        tracked = self._roll.attempts.get(name)
        if tracked is None:
            self._must_answer()
            tracked = self._watch.adopt(name)
        if tracked is None:
            return EngineState(name, Observed.NOTHING)
        if tracked.ended and self._carried is not None:
            try:
                self._carried.door.settle(name)
            except OSError as error:
                raise EngineUnreachableError(f"what {name} brought back cannot be laid: {error}") from error
        return tracked.state

    def _must_answer(self) -> None:
        if self._watch.trouble:
            raise EngineUnreachableError(self._watch.trouble)

    def _stop(self, tracked: Tracked) -> None:
        """Put down that it is to stop; what was not handed over has ended with that."""
        if tracked.phase is Phase.HELD_BACK:
            self._roll.end_unstarted(tracked, Cause.CANCELLED, "cancelled before its start")
            return
        if not tracked.stopping:
            tracked.stopping = True
            tracked.kill_s = time.monotonic() + tracked.grace_s + _ROUGHLY_AFTER_S
            self._roll.changed_job(tracked)
        elif tracked.kill_s == 0.0:  # it was told before this driver came
            tracked.kill_s = time.monotonic() + tracked.grace_s + _ROUGHLY_AFTER_S
        self._roll.folder(tracked).stop(tracked.attempt)

    def _nodes_and_queue(self) -> tuple[list[NodeRow], list[JobRow]]:
        """What the controller says of nodes and of everybody's jobs; not asked more often than its time allows."""
        now = time.monotonic()
        if self._read is not None and now < self._read[0]:
            return self._read[1], self._read[2]
        partitions = sorted({pool.partition for pool in self._settings.pools.values()})
        try:
            nodes, queue = self._cluster.nodes(), self._cluster.queue(partitions)
        except EngineUnreachableError as error:
            self._watch.trouble = str(error) or "Slurm does not answer"
            raise
        took = time.monotonic() - now
        self._read = (now + min(50 * took, _LONGEST_DESCRIPTION_S), nodes, queue)
        return nodes, queue

    def _output_path(self, attempt: str, task: int, stream: str) -> tuple[Path, int]:
        if stream not in STREAMS:
            raise refused("stream", stream, f"give one of {', '.join(STREAMS)}")
        with self._roll.lock:
            tracked = self._roll.attempts.get(attempt)
        folder = tracked.folder if tracked else self._attempts / attempt
        uid = tracked.uid if tracked else self._users.own.uid
        return folder / "run" / f"{task}.{stream}", uid


def _attempts_root(folder: Path) -> Path:
    """Where this agent's attempts have their folders: needed for those alone that come with no order."""
    try:
        root = json.loads((folder / "agent.json").read_text(encoding="utf-8"))["work_root"]
    except (OSError, ValueError, LookupError, TypeError):
        root = ""
    return Path(root).resolve() if isinstance(root, str) and root else folder / "attempts"


def _capabilities(facts: ClusterFacts, settings: Settings) -> frozenset[str]:
    found = {
        "commands",
        "queue",
        "gang",
        "devices",
        "stop-signal",
        "files",
        "streams",
        "time-limit",
        "output-live",
        "withdraw",
    }
    if settings.folder == "shared":
        found.add("shared-folder")
    if facts.kills_all or settings.kills_all == "yes":
        found |= {"kill-all", "kill-by-cgroup"}
    if facts.limits_memory or settings.limits_memory == "yes":
        found.add("memory-limit")
    if any(pool.gres_name != "gpu" for pool in settings.pools.values()):
        found.discard("devices")
    return frozenset(found)
