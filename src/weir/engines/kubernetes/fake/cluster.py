"""A whole fake cluster: API server, controllers, scheduler, nodes; and what can be made to go wrong with it."""

import contextlib
import heapq
import json
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weir.engines.kubernetes.fake.jobs import JobController, delete_pod
from weir.engines.kubernetes.fake.kubelet import Kubelet
from weir.engines.kubernetes.fake.nodes import FakeNode, Room, asked, choose_node, node_object
from weir.engines.kubernetes.fake.objects import ObjectStore, Plain, RefusedError
from weir.engines.kubernetes.fake.server import ApiServer
from weir.engines.kubernetes.manifest import ATTEMPT, OWNER

__all__ = ["FakeCluster", "FakeNode"]

_BATCH = "weir"
_LATE_S = 0.1
"""Of its pace, a controller that came late makes up for so long."""


class FakeCluster:
    """Runs from its making until `close`. A context manager.

    Pods run as processes of this machine: an image is the machine's own files, and a hostPath must be mounted
    where it is. With `pretend` they run nothing, and end by `finish`, or after
    `pretend_s`. `sync_s` is how long the Job controller
    waits before it looks at what has changed (1.36 takes a second, which tests would wait for). With `jobs_per_s` it
    begins so many Jobs a second and no more, as a real one's own client lets it (1.36: 29).
    """

    def __init__(
        self,
        nodes: Iterable[FakeNode],
        *,
        namespaces: Iterable[str] = ("default", _BATCH),
        token: str = "fake-token",  # noqa: S107 (opens this fake alone)
        pretend: bool = False,
        pretend_s: float | None = None,
        sync_s: float = 0.0,
        jobs_per_s: float = 0.0,
    ) -> None:
        self.token = token
        self.forbidden: set[tuple[str, str]] = set()
        self._namespaces = set(namespaces)
        self._sync_s = sync_s
        self._begins_s = 1.0 / jobs_per_s if jobs_per_s else 0.0
        self._next_begin_s = 0.0
        self._unbegun: dict[tuple[str, str], None] = {}
        """Jobs whose turn to be begun has not come, in their order."""
        self._skew_ms = 0
        self._folder = Path(tempfile.mkdtemp(prefix="weir-kubernetes-"))
        self.objects = ObjectStore(self._now)
        self._room = Room()
        self._kubelet = Kubelet(self.objects, self._folder, self._now, pretend, pretend_s)
        self._jobs = JobController(self.objects, self._now, self._now_ms)
        self._events: queue.SimpleQueue[tuple[str, str, Plain] | None] = queue.SimpleQueue()
        self.objects.listeners.append(lambda *event: self._events.put(event))
        for node in nodes:
            self.objects.create("nodes", "", node_object(node, self._now()))
            if node.hollow:
                self._kubelet.hollow.add(node.name)
        self._thread = threading.Thread(target=self._control, daemon=True, name="fake controllers")
        self._thread.start()
        self.server = ApiServer(self)

    def __enter__(self) -> "FakeCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, pods included."""
        self.server.close()
        self._events.put(None)
        self._thread.join(10)
        self._kubelet.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def write_kubeconfig(self, path: Path, namespace: str = _BATCH) -> Path:
        """A kubeconfig by which this cluster is reached."""
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "fake", "cluster": {"server": self.server.url}}],
                    "users": [{"name": "fake", "user": {"token": self.token}}],
                    "contexts": [
                        {
                            "name": "fake",
                            "context": {"cluster": "fake", "user": "fake", "namespace": namespace},
                        }
                    ],
                    "current-context": "fake",
                }
            ),
            encoding="ascii",
        )
        return path

    def has_namespace(self, name: str) -> bool:
        return name in self._namespaces

    def log(self, namespace: str, name: str, since_ns: int, timestamps: bool) -> bytes:
        """Raises RefusedError where there is no such pod, or it has not started."""
        pod = self.objects.get("pods", namespace, name)
        log = self._kubelet.log(pod["metadata"]["uid"])
        if log is None:
            container = pod["spec"]["containers"][0]["name"]
            message = f'container "{container}" in pod "{name}" is waiting to start: ContainerCreating'
            raise RefusedError(400, "BadRequest", message)
        return log.read(since_ns, timestamps, _stamp)

    def delete(self, kind: str, namespace: str, name: str, propagation: str = "Background") -> Plain:
        """As over the API. Raises RefusedError (404)."""
        found = self.objects.get(kind, namespace, name)
        if kind == "pods":
            delete_pod(self.objects, found, self._now)
        elif kind == "jobs" and propagation == "Foreground":
            self.objects.update(
                kind, namespace, name, lambda plain: plain["metadata"].update(deletionTimestamp=self._now())
            )
        else:
            self.objects.delete(kind, namespace, name)
        return found

    def pods_of(self, attempt: str) -> list[Plain]:
        return self.objects.list("pods", selector=f"{ATTEMPT}={attempt}")

    def left(self, owner: str = "weir") -> list[str]:
        """What there still is of an owner's, by kind and name."""
        return [
            f"{kind}/{plain['metadata']['name']}"
            for kind in ("jobs", "pods", "services")
            for plain in self.objects.list(kind, selector=f"{OWNER}={owner}")
        ]

    def finish(self, attempt: str, code: int = 0) -> None:
        """End the pods of an attempt, where pods pretend."""
        for pod in self.pods_of(attempt):
            self._kubelet.finish(pod, code)

    def restart_server(self) -> None:
        """The API server goes down and comes back: every watch breaks, and none can be gone on with."""
        self.server.away = True
        self.server.cut()
        self.objects.compact()
        time.sleep(0.2)
        self.server.away = False

    @contextlib.contextmanager
    def unreachable(self) -> Iterator[None]:
        """While entered, the API server does not answer."""
        self.server.away = True
        self.server.cut()
        try:
            yield
        finally:
            self.server.away = False

    @contextlib.contextmanager
    def losing_replies(self) -> Iterator[None]:
        """While entered, what changes something is done and never answered."""
        self.server.lose_replies = True
        try:
            yield
        finally:
            self.server.lose_replies = False

    @contextlib.contextmanager
    def skewed(self, skew_ms: int) -> Iterator[None]:
        """While entered, the cluster's clock is so much ahead."""
        self._skew_ms += skew_ms
        try:
            yield
        finally:
            self._skew_ms -= skew_ms

    def fail_node(self, attempt: str) -> None:
        """The node of an attempt's pods is lost: the taint manager deletes them, and pod GC removes them."""
        for pod in self.pods_of(attempt):
            self._kubelet.fail(pod)
            self._disrupt(pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
            self._end(pod, "NodeLost", "")
            self.objects.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])

    def preempt(self, attempt: str) -> None:
        """The scheduler takes an attempt's place for a pod of higher priority."""
        for pod in self.pods_of(attempt):
            self._disrupt(
                pod,
                "PreemptionByScheduler",
                "default-scheduler: preempting to accommodate a higher priority pod",
            )
            delete_pod(self.objects, pod, self._now)

    def evict(self, attempt: str, message: str) -> None:
        """The node evicts an attempt's pods, for want of what `message` says."""
        for pod in self.pods_of(attempt):
            self._kubelet.fail(pod)
            self._disrupt(pod, "TerminationByKubelet", message)
            self._end(pod, "Evicted", message)

    def vanish(self, attempt: str) -> None:
        """Somebody deletes an attempt's Job, with all that belongs to it, by force."""
        for pod in self.pods_of(attempt):
            self._kubelet.fail(pod)
        for job in self.objects.list("jobs", selector=f"{ATTEMPT}={attempt}"):
            self.objects.delete("jobs", job["metadata"]["namespace"], job["metadata"]["name"])
        for pod in self.pods_of(attempt):
            self.objects.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])

    @contextlib.contextmanager
    def cordoned(self, name: str) -> Iterator[None]:
        """While entered, a node takes nothing new."""
        self.objects.update("nodes", "", name, lambda plain: plain["spec"].update(unschedulable=True))
        try:
            yield
        finally:
            self.objects.update("nodes", "", name, lambda plain: plain["spec"].pop("unschedulable"))

    @contextlib.contextmanager
    def occupied(self, node: str) -> Iterator[None]:
        """While entered, a pod of somebody else's has all of a node."""
        there = self.objects.get("nodes", "", node)["status"]["allocatable"]
        amounts = {name: amount for name, amount in there.items() if name != "pods"}
        container = {
            "name": "main",
            "image": "somebody",
            "resources": {"requests": amounts, "limits": amounts},
        }
        pod = {
            "metadata": {"name": f"somebody-on-{node}", "labels": {"app": "somebody"}},
            "spec": {"nodeName": node, "containers": [container]},
            "status": {"phase": "Running"},
        }
        self.objects.create("pods", "default", pod)
        try:
            yield
        finally:
            self.objects.delete("pods", "default", f"somebody-on-{node}")

    def _disrupt(self, pod: Plain, reason: str, message: str) -> None:
        row = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}

        def change(plain: Plain) -> None:
            plain["status"] = {
                **plain["status"],
                "conditions": [
                    *(plain["status"].get("conditions") or ()),
                    {**row, "lastTransitionTime": self._now()},
                ],
            }

        self.objects.update("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], change)

    def _end(self, pod: Plain, reason: str, message: str) -> None:
        def change(plain: Plain) -> None:
            plain["status"] |= {"phase": "Failed", "reason": reason, "message": message}

        self.objects.update("pods", pod["metadata"]["namespace"], pod["metadata"]["name"], change)

    def _control(self) -> None:
        """Controllers and scheduler: look at what has changed, and at what is due."""
        pending: dict[tuple[str, str], None] = {}
        due: list[tuple[int, str, str]] = []
        while True:
            wait_s = max(0.0, (due[0][0] - self._now_ms()) / 1_000) if due else None
            if self._unbegun:
                turn_s = max(0.0, self._next_begin_s - time.monotonic())
                wait_s = turn_s if wait_s is None else min(wait_s, turn_s)
            dirty: dict[tuple[str, str], None] = {}
            freed = False
            try:
                event = self._events.get(timeout=wait_s)
                if self._sync_s:
                    time.sleep(self._sync_s)
                while True:
                    if event is None:
                        return
                    freed = self._look(*event, dirty, pending) or freed
                    event = self._events.get_nowait()
            except queue.Empty:
                pass
            while due and due[0][0] <= self._now_ms():
                _, namespace, name = heapq.heappop(due)
                dirty[namespace, name] = None
            for namespace, name in self._turns(dirty) if self._begins_s else dirty:
                again_ms = self._jobs.reconcile(namespace, name)
                if again_ms is not None:
                    heapq.heappush(due, (again_ms, namespace, name))
            if pending:
                self._schedule(pending)

    def _turns(self, dirty: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those that may be looked at now: Jobs that have begun, and as many others as the pace allows. What it
        holds back keeps nobody waiting who has begun."""
        found = []
        for here in dirty:
            job = self.objects.find("jobs", *here)
            if job is not None and not job["status"]:
                self._unbegun[here] = None
            else:
                found.append(here)
        now_s = time.monotonic()
        while self._unbegun and self._next_begin_s <= now_s:
            here = next(iter(self._unbegun))
            del self._unbegun[here]
            found.append(here)
            self._next_begin_s = max(self._next_begin_s, now_s - _LATE_S) + self._begins_s
        return found

    def _look(
        self,
        what: str,
        kind: str,
        plain: Plain,
        dirty: dict[tuple[str, str], None],
        pending: dict[tuple[str, str], None],
    ) -> bool:
        meta = plain["metadata"]
        here = meta.get("namespace", ""), meta["name"]
        if kind == "jobs":
            dirty[here] = None
            if what == "DELETED":
                for service in self.objects.list("services", here[0]):
                    if _owned(service, meta["uid"]):
                        self.objects.delete("services", here[0], service["metadata"]["name"])
        elif kind == "pods":
            for row in meta.get("ownerReferences") or ():
                dirty[here[0], row["name"]] = None
            over = what == "DELETED" or plain["status"]["phase"] in ("Succeeded", "Failed")
            if over:
                pending.pop(here, None)
                if what == "DELETED":
                    self._kubelet.pod_gone(plain)
                return self._room.release(meta["uid"])
            if plain["spec"].get("nodeName"):
                self._room.hold(meta["uid"], plain["spec"]["nodeName"], asked(plain))
                self._kubelet.pod_changed(plain)
            else:
                pending[here] = None
        return kind == "nodes"

    def _schedule(self, pending: dict[tuple[str, str], None]) -> None:
        nodes = self.objects.list("nodes")
        refused: dict[str, str] = {}
        for here in list(pending):
            pod = self.objects.find("pods", *here)
            if pod is None or pod["spec"].get("nodeName"):
                pending.pop(here)
                continue
            shape = json.dumps([asked(pod), pod["spec"].get("nodeSelector")], sort_keys=True)
            node, why = "", refused.get(shape, "")
            if not why:
                node, why = choose_node(pod, nodes, self._room)
            if not node:
                refused[shape] = why
                self._condition(here, "False", "Unschedulable", why)
                continue
            pending.pop(here)
            self._room.hold(pod["metadata"]["uid"], node, asked(pod))
            self._condition(here, "True", "", "", node)

    def _condition(
        self, here: tuple[str, str], status: str, reason: str, message: str, node: str = ""
    ) -> None:
        def change(plain: Plain) -> None:
            rows = {row["type"]: row for row in plain["status"].get("conditions") or ()}
            before = rows.get("PodScheduled", {})
            if before.get("status") == status and before.get("message", "") == message:
                return
            said = {"reason": reason, "message": message} if reason else {}
            rows["PodScheduled"] = {
                "type": "PodScheduled",
                "status": status,
                "lastProbeTime": None,
                "lastTransitionTime": self._now(),
                **said,
            }
            plain["status"] = {**plain["status"], "conditions": list(rows.values())}
            if node:
                plain["spec"] = {**plain["spec"], "nodeName": node}

        self.objects.update("pods", *here, change)

    def _now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._skew_ms

    def _now(self) -> str:
        return datetime.fromtimestamp(self._now_ms() // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _owned(plain: Plain, uid: str) -> bool:
    rows: list[dict[str, Any]] = plain["metadata"].get("ownerReferences") or []
    return any(row["uid"] == uid for row in rows)


def _stamp(at_ns: int) -> str:
    second = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{second}.{at_ns % 1_000_000_000:09d}Z"
