"""The fake cluster's kubelets: pods that were bound to a node run as processes of this machine."""

import base64
import contextlib
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weir.engines.kubernetes.fake import runner
from weir.engines.kubernetes.fake.containers import Container, pod_status, problem_of, process_of
from weir.engines.kubernetes.fake.objects import ObjectStore
from weir.engines.kubernetes.quantity import read_whole

__all__ = ["Kubelet"]

Plain = dict[str, Any]


class Log:
    """A container's log as kept by a node: lines with the time at which they were whole."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, bytes]] = []
        self._open = b""

    def add(self, data: bytes, now_ns: int) -> None:
        *lines, self._open = (self._open + data).split(b"\n")
        self._lines += [(now_ns, line + b"\n") for line in lines]

    def end(self, now_ns: int) -> None:
        if self._open:
            self._lines.append((now_ns, self._open))
            self._open = b""

    def rotate(self, kept: int) -> None:
        """Drop all but the last lines, as a node does with a large log."""
        self._lines = self._lines[-kept:]

    def read(self, since_ns: int, timestamps: bool, stamp: Callable[[int], str]) -> bytes:
        return b"".join(
            (f"{stamp(at)} ".encode() if timestamps else b"") + line
            for at, line in self._lines
            if at >= since_ns
        )


@dataclass(slots=True)
class _Run:
    namespace: str
    name: str
    words: Path
    memory_bytes: int
    started: str = ""
    log: Log = field(default_factory=Log)
    kill_at_s: float | None = None
    deadline_s: float | None = None
    over_s: float | None = None
    """When a pretended pod ends by itself."""
    hollow: bool = False
    """There is no process."""
    late: bool = False
    lost: bool = False
    """Its node failed: nobody hears of its end."""

    def due_s(self) -> float:
        """When the clock is to look at it next."""
        times = (self.over_s, self.kill_at_s, None if self.late else self.deadline_s)
        return min((time_s for time_s in times if time_s is not None), default=math.inf)


class Kubelet:
    """Runs bound pods, ends deleted ones, and reports both. `folder` is for last words."""

    def __init__(
        self,
        objects: ObjectStore,
        folder: Path,
        now: Callable[[], str],
        pretend: bool,
        pretend_s: float | None = None,
    ) -> None:
        self._objects = objects
        self._folder = folder
        self._now = now
        self._pretend = pretend
        self._pretend_s = pretend_s
        self.hollow: set[str] = set()
        """Nodes whose pods run nothing, and end by `finish`."""
        self._lock = threading.RLock()
        self._runs: dict[str, _Run] = {}
        self._logs: dict[str, Log] = {}
        self._devices: dict[tuple[str, str], dict[str, list[int]]] = {}
        self._due_s = math.inf
        """Nothing is to be done by the clock before."""
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        if not pretend:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", runner.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._hearing = threading.Thread(target=self._hear, daemon=True, name="fake kubelet")
            self._hearing.start()
        threading.Thread(target=self._clock, daemon=True, name="fake kubelet clock").start()

    def pod_changed(self, pod: Plain) -> None:
        """Look at a pod of a node: start it, or end it. Called again it does nothing again."""
        uid, meta = pod["metadata"]["uid"], pod["metadata"]
        if not pod["spec"].get("nodeName"):
            return
        with self._lock:
            run = self._runs.get(uid)
            if meta.get("deletionTimestamp"):
                if run is None:
                    self._drop(pod)
                elif run.kill_at_s is None and not run.lost:
                    run.kill_at_s = time.monotonic() + meta["deletionGracePeriodSeconds"]
                    self._due_s = min(self._due_s, run.kill_at_s)
                    self._signal(uid, signal.SIGTERM)
            elif run is None and pod["status"]["phase"] == "Pending":
                self._start(pod)

    def pod_gone(self, pod: Plain) -> None:
        """A pod was removed by force: end what runs of it."""
        with self._lock:
            uid = pod["metadata"]["uid"]
            self._release(uid)
            self._logs.pop(uid, None)
            if uid in self._runs:
                self._runs[uid].lost = True
                self._signal(uid, signal.SIGKILL)

    def fail(self, pod: Plain) -> None:
        """The pod's node fails: what runs is gone, and its end is never reported by a kubelet."""
        self.pod_gone(pod)

    def kill(self, uid: str) -> None:
        """SIGKILL to a pod's first process."""
        self._signal(uid, signal.SIGKILL)

    def finish(self, pod: Plain, code: int = 0) -> None:
        """End a pretended pod."""
        self._ended(pod["metadata"]["uid"], code, 0)

    def log(self, uid: str) -> Log | None:
        return self._logs.get(uid)

    def close(self) -> None:
        """End everything that runs."""
        self._closed.set()
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with contextlib.suppress(OSError):
                self._process.stdin.close()
            self._process.wait(30)
            self._hearing.join(10)
            self._process.stdout.close()

    def _start(self, pod: Plain) -> None:
        meta, container = pod["metadata"], pod["spec"]["containers"][0]
        uid = meta["uid"]
        problem = problem_of(pod)
        if problem is not None:
            self._report(meta["namespace"], meta["name"], Container(container, waiting=problem), "Pending")
            return
        limit = read_whole((container.get("resources") or {}).get("limits", {}).get("memory", "0"))
        run = _Run(meta["namespace"], meta["name"], self._folder / uid, limit)
        limit_s = pod["spec"].get("activeDeadlineSeconds")
        if limit_s is not None:
            run.deadline_s = time.monotonic() + limit_s
            self._due_s = min(self._due_s, run.deadline_s)
        self._runs[uid] = run
        self._logs[uid] = run.log
        run.hollow = self._pretend or pod["spec"]["nodeName"] in self.hollow
        if run.hollow:
            self._started(uid)
            if self._pretend_s == 0:
                self._ended(uid, 0, 0)
            elif self._pretend_s is not None:
                run.over_s = time.monotonic() + self._pretend_s
                self._due_s = min(self._due_s, run.over_s)
            return
        argv, env = process_of(pod, run.words, self._assign(pod))
        self._send({"run": uid, "argv": argv, "env": env})

    def _assign(self, pod: Plain) -> dict[str, list[int]]:
        """Device numbers for a pod, as device plugins give them."""
        node, uid = pod["spec"]["nodeName"], pod["metadata"]["uid"]
        found: dict[str, list[int]] = {}
        for name, text in ((pod["spec"]["containers"][0].get("resources") or {}).get("limits") or {}).items():
            if "/" in name:
                here = self._devices.setdefault((node, name), {})
                taken = {number for numbers in here.values() for number in numbers}
                free = (number for number in range(10_000) if number not in taken)
                found[name] = here[uid] = [next(free) for _ in range(read_whole(text))]
        return found

    def _release(self, uid: str) -> None:
        for here in self._devices.values():
            here.pop(uid, None)

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._lock:
                if "log" in told:
                    run = self._runs.get(told["log"])
                    if run is not None:
                        run.log.add(base64.b64decode(told["data"]), time.time_ns())
                elif "started" in told:
                    self._started(told["started"])
                else:
                    self._ended(told["ended"], told["code"], told["peak_bytes"], told.get("error", ""))

    def _started(self, uid: str) -> None:
        run = self._runs.get(uid)
        if run is not None and not run.lost:
            run.started = self._now()
            self._report(run.namespace, run.name, Container({}, started=run.started), "Running")

    def _ended(self, uid: str, code: int, peak_bytes: int, error: str = "") -> None:
        run = self._runs.pop(uid, None)
        self._release(uid)
        if run is None or run.lost:
            return
        run.log.end(time.time_ns())
        words = ""
        with contextlib.suppress(OSError):
            words = run.words.read_text(encoding="utf-8", errors="replace")[:4096]
            run.words.unlink()
        reason = "Completed" if code == 0 else "Error"
        if error:
            reason, words = "StartError", error
        elif run.memory_bytes and peak_bytes > run.memory_bytes:
            # The kernel would have killed all of it at that moment, its last words with it.
            reason, code, words = "OOMKilled", 137, ""
        now = self._now()
        ended = Container(
            {}, started=run.started or now, finished=now, exit_code=code, reason=reason, message=words
        )
        pod_reason = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        self._report(
            run.namespace,
            run.name,
            ended,
            "Failed" if code or run.late else "Succeeded",
            *(pod_reason if run.late else ()),
        )
        pod = self._objects.find("pods", run.namespace, run.name)
        if pod is not None and pod["metadata"].get("deletionTimestamp"):
            self._objects.delete("pods", run.namespace, run.name)

    def _drop(self, pod: Plain) -> None:
        meta = pod["metadata"]
        self._release(meta["uid"])
        self._objects.delete("pods", meta["namespace"], meta["name"])

    def _report(
        self, namespace: str, name: str, container: Container, phase: str, reason: str = "", message: str = ""
    ) -> None:
        def change(plain: Plain) -> None:
            plain["status"] = pod_status(plain, container, phase, reason, message, self._now())

        self._objects.update("pods", namespace, name, change)

    def _signal(self, uid: str, number: int) -> None:
        run = self._runs.get(uid)
        if run is not None and run.hollow:
            self._ended(uid, 128 + number, 0)
        elif self._process is None:
            return
        else:
            self._send({"signal": uid, "number": int(number)})

    def _send(self, command: Plain) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()

    def _clock(self) -> None:
        while not self._closed.wait(0.05):
            now = time.monotonic()
            with self._lock:
                if now < self._due_s:
                    continue
                for uid, run in list(self._runs.items()):
                    if run.over_s is not None and now >= run.over_s:
                        self._ended(uid, 0, 0)
                    elif run.kill_at_s is not None and now >= run.kill_at_s:
                        run.kill_at_s = now + 1.0
                        self._signal(uid, signal.SIGKILL)
                    elif run.deadline_s is not None and now >= run.deadline_s and not run.late:
                        run.late = True
                        run.kill_at_s = now + 1.0
                        self._signal(uid, signal.SIGTERM)
                self._due_s = min((run.due_s() for run in self._runs.values()), default=math.inf)
