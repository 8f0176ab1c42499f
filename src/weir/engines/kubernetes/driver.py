"""The driver for Kubernetes: every attempt is a Job, made once, watched, and removed when it is forgotten.

Nothing that counts is kept here alone: the cluster's Jobs say what there is, by their labels and annotations.
Only ends whose Job is gone are noted in the agent's folder.
"""

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from weir.engines.courier.door import Door, Lodging
from weir.engines.courier.program import node_program
from weir.engines.driver import (
    STREAMS,
    AttemptOrder,
    EngineState,
    EngineUnreachableError,
    SubmitOutcome,
)
from weir.engines.kubernetes.api import Api, ApiError, Plain
from weir.engines.kubernetes.chores import Chores
from weir.engines.kubernetes.credentials import Access, find_access
from weir.engines.kubernetes.manifest import (
    DIGEST,
    OWNER,
    Carrying,
    has_files,
    job_manifest,
    job_name,
    never,
    order_digest,
    service_manifest,
)
from weir.engines.kubernetes.mirror import Mirror
from weir.engines.kubernetes.nodes import pool_observation
from weir.engines.kubernetes.output import Output
from weir.engines.kubernetes.settings import PoolSettings, Settings, read_pool
from weir.engines.kubernetes.tracked import EndNotes
from weir.engines.others_files import read_part, size_of
from weir.model.agent import PoolEntry, PoolObservation
from weir.model.problem import refused
from weir.model.state import Cause, Observed

__all__ = ["KubernetesDriver"]

_log = logging.getLogger(__name__)
_AT_ONCE = 8
"""Requests under way to the API server."""
_NAMED = 409
_NOT_OVER = "status.phase!=Succeeded,status.phase!=Failed"
T = TypeVar("T")
R = TypeVar("R")


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class KubernetesDriver:
    """Runs attempts as Jobs of one namespace. One for each agent's folder."""

    _settings: Settings
    _access: Access
    _api: Api
    _mirror: Mirror
    _chores: Chores
    _output: Output
    _door: Door | None = None

    def __init__(self, folder: Path, clock: Callable[[], int] = _wall_clock_ms) -> None:
        """`folder` is the agent's. `clock` gives milliseconds since 1970; it only dates what the cluster does
        not."""
        self._folder = folder.resolve()
        self._clock = clock
        self._attached = False
        self._lock = threading.RLock()
        self._pools: dict[str, tuple[PoolEntry, PoolSettings]] = {}
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="kubernetes")

    @property
    def capabilities(self) -> frozenset[str]:
        found = {
            "commands",
            "devices",
            "gang",
            "kill-all",
            "memory-limit",
            "output-live",
            "queue",
            "stop-signal",
            "time-limit",
        }
        if self._attached and self._settings.shared:
            found |= {"files", "shared-folder", "streams"}
        if any(pool.images for _, pool in self._pools.values()):
            found.add("containers")
        if any(pool.kueue_queue for _, pool in self._pools.values()):
            found.add("withdraw")
        if self._attached and self._settings.door is not None:
            found.add("files")
        return frozenset(found)

    def attach(self, pools: tuple[PoolEntry, ...], options: Mapping[str, str]) -> None:
        settings = Settings.read(options)
        read = {entry.id: (entry, read_pool(entry, settings.defaults)) for entry in pools}
        if settings.shared and settings.task_uid == 0 and not settings.as_agent:
            accepted = (
                "give the user and group of tasks, such as 1000:1000, since this agent is root and its tasks "
            )
            raise refused("engine.options.run_as", "", accepted + "would be too; `agent` if that is meant")
        access = find_access(settings, self._folder, os.environ)
        with self._lock:
            if self._attached and settings == self._settings:
                self._pools = read
                return
            self._let_go()
            self._attached = False
            self._door = None
            if settings.door is not None:
                self._door = Door(self._folder, settings.door)
                self._door.open()
            self._settings, self._access, self._pools = settings, access, read
            self._api = Api(access)
            self._notes = EndNotes(self._folder / "kubernetes")
            namespace = settings.namespace or access.namespace
            self._mirror = Mirror(
                self._api, namespace, settings.owner, self._notes, self._clock, settings.task_uid
            )
            self._chores = Chores(self._api, self._mirror, self._notes, settings, self._clock)
            self._output = Output(self._api, self._mirror, settings, self._folder / "attempts")
            self._services = f"/api/v1/namespaces/{namespace}/services"
            self._attached = True

    def describe(self, now_ms: int) -> tuple[PoolObservation, ...]:
        self._reached()
        nodes = self._read("/api/v1/nodes", "nodes of the cluster")
        pods = []
        if self._settings.foreign:
            what = "pods of the whole cluster (or set the option foreign to no)"
            others = f"{OWNER}!={self._settings.owner}"
            pods = self._read("/api/v1/pods", what, fieldSelector=_NOT_OVER, labelSelector=others)
        capabilities = self.capabilities - {"containers", "withdraw"}
        return tuple(
            pool_observation(
                entry,
                pool,
                nodes,
                pods,
                self._settings.owner,
                now_ms,
                sorted(capabilities | _of_pool(pool)),
            )
            for entry, pool in self._pools.values()
        )

    def submit(self, orders: Sequence[AttemptOrder], now_ms: int) -> list[SubmitOutcome]:
        self._attached_or_raise()
        # Begun in their order, so that what came first waits first in the cluster too, but for the few under way:
        # a server that takes its time with each is not waited for by all.
        return self._each(self._submit, orders)

    def observe(self, attempts: Iterable[str]) -> list[EngineState]:
        self._reached()
        return [self._state(attempt) for attempt in attempts]

    def changed(self) -> list[str]:
        self._reached()
        return self._mirror.take_changed()

    def live(self) -> list[str]:
        self._reached()
        return self._mirror.live()

    def cancel(self, attempts: Iterable[str]) -> None:
        self._reached()
        self._each(lambda attempt: self._chores.stop(attempt, Cause.CANCELLED, ""), list(attempts))

    def withdraw(self, attempts: Iterable[str]) -> None:
        """Of pools with a queue alone: elsewhere Kubernetes ends pods without looking whether they have started."""
        self._reached()
        self._each(self._chores.take_back, list(attempts))

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        path = self._output_file(attempt, task, stream)
        return read_part(path, self._settings.task_uid, offset, limit)

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        path = self._output_file(attempt, task, stream)
        return size_of(path, self._settings.task_uid)

    def forget(self, attempts: Iterable[str]) -> None:
        self._reached()
        self._each(self._forget, list(attempts))

    def wait(self, timeout_s: float) -> bool:
        mirror = self._mirror if self._attached else None
        if mirror is None:
            time.sleep(timeout_s)
            return False
        with mirror.changed_state:
            mirror.changed_state.wait_for(lambda: mirror.news, timeout_s)
            news, mirror.news = mirror.news, False
            return news

    def wake(self) -> None:
        if self._attached:
            self._mirror.heard()

    def close(self) -> None:
        with self._lock:
            self._let_go()
            self._attached = False
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _let_go(self) -> None:
        if self._attached:
            self._chores.close()
            self._mirror.close()
            self._mirror.heard()
            self._api.close()
        if self._door is not None:
            self._door.close()

    def _attached_or_raise(self) -> None:
        if not self._attached:
            raise EngineUnreachableError("the Kubernetes engine is not attached")

    def _reached(self) -> None:
        self._attached_or_raise()
        self._mirror.reached()

    def _each(self, do: Callable[[T], R], given: Sequence[T]) -> list[R]:
        """Do it for each, several at a time; raises what any of them raised, and begins none after that."""
        if len(given) == 1:
            return [do(given[0])]
        futures = [self._workers.submit(do, one) for one in given]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()  # nothing where all are done
        wait(futures)
        for future in futures:
            if not future.cancelled() and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]

    def _read(self, path: str, what: str, **query: str) -> list[dict[str, object]]:
        try:
            # Version 0 is what the server has in memory, which is new enough and costs its store nothing.
            return self._api.list(path, resourceVersion="0", **query)[0]
        except ApiError as error:
            raise EngineUnreachableError(f"the agent may not list the {what}: {error}") from error

    def _submit(self, order: AttemptOrder) -> SubmitOutcome:
        name = order.attempt
        if self._mirror.get(name) is not None:
            return SubmitOutcome(name, True)
        here = self._pools.get(order.work.pool)
        if here is None:
            there = ", ".join(self._pools) or "none"
            return SubmitOutcome(name, False, f"there is no pool {order.work.pool!r} here; there are {there}")
        message = never(order, *here, self._settings)
        if message:
            return SubmitOutcome(name, False, message)
        try:
            manifest = job_manifest(order, *here, self._settings, self._user(), self._lodge(order))
            self._share(order)
        except OSError as error:
            message = f"its folder cannot be given to its user: {error.strerror or error}"
            return self._named_already(order) if self._find(order) else SubmitOutcome(name, False, message)
        try:
            made = self._api.create(self._mirror.jobs_path, manifest)
        except ApiError as error:
            if error.status == _NAMED:
                return self._named_already(order)
            return SubmitOutcome(name, False, f"Kubernetes refuses the Job: {error}")
        dropped = [
            field
            for field in ("completionMode", "suspend")
            if field in manifest["spec"] and field not in made["spec"]
        ]
        if dropped and (order.work.tasks > 1 or "suspend" in dropped):
            self._api.delete(f"{self._mirror.jobs_path}/{job_name(name)}", "Background")
            return SubmitOutcome(name, False, f"this Kubernetes is too old: it knows no {dropped[0]} of Jobs")
        self._make_service(order, str(made["metadata"]["uid"]))
        self._mirror.job_found(made)
        return SubmitOutcome(name, True)

    def _named_already(self, order: AttemptOrder) -> SubmitOutcome:
        """A Job of that name exists: the same attempt's, from an answer that was lost, or somebody else's."""
        found = self._find(order)
        if found is None:
            raise EngineUnreachableError("a Job of the same name was just being deleted")
        notes = found["metadata"].get("annotations") or {}
        if not self._mirror.is_own(found, order.attempt) or notes.get(DIGEST) != order_digest(order):
            message = f"a Job {job_name(order.attempt)} exists here that was not made for this order"
            return SubmitOutcome(order.attempt, False, message)
        self._make_service(order, str(found["metadata"]["uid"]))
        self._mirror.job_found(found)
        return SubmitOutcome(order.attempt, True)

    def _find(self, order: AttemptOrder) -> Plain | None:
        try:
            return self._api.find(f"{self._mirror.jobs_path}/{job_name(order.attempt)}")
        except ApiError as error:
            raise EngineUnreachableError(f"the API server does not tell: {error}") from error

    def _make_service(self, order: AttemptOrder, job_uid: str) -> None:
        """What a gang's tasks find each other by; without it they wait, so it is made after the Job that owns
        it, and again by a submission that is repeated."""
        if order.work.tasks == 1:
            return
        try:
            self._api.create(self._services, service_manifest(order.attempt, self._settings.owner, job_uid))
        except ApiError as error:
            if error.status != _NAMED:
                raise EngineUnreachableError(f"the gang's Service cannot be made: {error}") from error

    def _share(self, order: AttemptOrder) -> None:
        """Make the attempt's folder one that its tasks can write."""
        if not self._settings.shared:
            return
        scratch = order.folder / "scratch"
        scratch.mkdir(mode=0o700, exist_ok=True)
        if self._settings.run_as is not None and os.geteuid() == 0:
            for path in (order.folder, scratch, order.folder / "work"):
                os.chown(path, *self._settings.run_as, follow_symlinks=False)
            _give_below(order.folder / "work", self._settings.run_as)

    def _lodge(self, order: AttemptOrder) -> Carrying | None:
        """Let the attempt's pods in for their files, where there are any."""
        if self._door is None or not has_files(order):
            return None
        limit = order.work.output_limit_bytes
        self._door.lodge(order.attempt, Lodging(os.fspath(order.folder), order.work.results, limit))
        return Carrying(node_program(), self._door.url(order.attempt), self._door.token(order.attempt))

    def _user(self) -> tuple[int, int] | None:
        if self._settings.run_as is not None:
            return self._settings.run_as
        return (os.geteuid(), os.getegid()) if self._settings.shared else None

    def _state(self, attempt: str) -> EngineState:
        tracked = self._mirror.find(attempt, job_name(attempt))
        if tracked is None:
            return EngineState(attempt, Observed.NOTHING)
        if tracked.ended and self._door is not None:
            try:
                self._door.settle(attempt)
            except OSError as error:
                raise EngineUnreachableError(
                    f"what {attempt} brought back cannot be laid: {error}"
                ) from error
        return tracked.state

    def _forget(self, attempt: str) -> None:
        tracked = self._mirror.get(attempt)
        if tracked is None or not tracked.ended:
            return
        if not tracked.vanished:
            try:
                self._api.delete(f"{self._mirror.jobs_path}/{job_name(attempt)}", "Background")
            except ApiError as error:
                raise EngineUnreachableError(f"the Job cannot be deleted: {error}") from error
        folder = Path(tracked.job.folder) if tracked.job.folder else self._folder / "attempts" / attempt
        shutil.rmtree(folder, ignore_errors=True)
        if self._door is not None:
            self._door.leave([attempt])
        self._mirror.forget(attempt)
        self._output.forget(attempt)

    def _output_file(self, attempt: str, task: int, stream: str) -> Path:
        if stream not in STREAMS:
            raise refused("stream", stream, f"give one of {', '.join(STREAMS)}")
        self._attached_or_raise()
        return self._output.file(attempt, task, stream)


def _give_below(folder: Path, user: tuple[int, int]) -> None:
    """Make all that is in a folder this user's. Raises OSError.

    By descriptors: of an order that is given again the task may run already, and put a link where a folder was.
    """

    def fail(error: OSError) -> None:
        raise error

    for _, folders, files, here in os.fwalk(folder, onerror=fail):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                os.chown(name, *user, dir_fd=here, follow_symlinks=False)


def _of_pool(pool: PoolSettings) -> set[str]:
    """What one pool claims besides."""
    return ({"containers"} if pool.images else set()) | ({"withdraw"} if pool.kueue_queue else set())
