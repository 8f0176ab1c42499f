"""The tasks of an attempt on one node: started, watched, stopped in time, and nothing left of them."""

import errno
import posix
import time

from .attempt import Attempt, Ended, now_ms, told
from .process import (
    HEARD,
    become_subreaper,
    children,
    encoded,
    kill_group,
    out_of_memory,
    signal,
    signal_name,
    start,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["StartError", "Tasks"]

_DEVICE_LISTS = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ASCEND_RT_VISIBLE_DEVICES",
    "SLURM_JOB_GPUS",
)
"""Where Slurm, or a centre's own prolog, says which devices of the node are the job's."""
_KILL_AGAIN_S = 1.0


class StartError(Exception):
    """A task was not started: the cause for the record, and the message."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Tasks:
    """The tasks of an attempt that run on this node, from their start to the end of all that they started."""

    def __init__(
        self,
        launch: "dict[str, Any]",
        attempt: Attempt,
        indexes: "range",
        hosts: "list[str]",
        host: str,
        port: int,
    ) -> None:
        self._launch = launch
        self._attempt = attempt
        self._indexes = indexes
        self._hosts = hosts
        self._meeting = host, port
        self._running = {}  # type: dict[int, int]
        self._ends = []  # type: list[Ended]
        self._began = time.monotonic()
        self._started_ms = None  # type: int | None
        self._stopping = ""
        self._kill_at = None  # type: float | None
        self._killed = False

    def run(self, *, first_node: bool = True) -> "list[Ended]":
        """Start them, watch them, end what is left of them; how each ended."""
        become_subreaper()
        try:
            devices = self._devices()
            for place, index in enumerate(self._indexes):
                self._running[self._start(index, place, devices, first_node)] = index
        except StartError as error:
            self._ends.append(Ended(error.cause, None, None, str(error), self._started_ms, now_ms()))
            self._stop("gang")
        self._watch()
        self._end_rest()
        return self._ends

    def _devices(self) -> "list[str]":
        wanted = self._launch["devices"] * len(self._indexes)
        if not wanted:
            return []
        found = next((told(name) for name in _DEVICE_LISTS if told(name)), "")
        devices = [name for name in found.split(",") if name]
        if self._launch["devices_listed"] and len(devices) < wanted:
            raise StartError("node-failed", f"Slurm gave {len(devices)} of {wanted} devices here")
        return devices

    def _start(self, index: int, place: int, devices: "list[str]", first_node: bool) -> int:
        launch, attempt = self._launch, self._attempt
        each = launch["devices"]
        own = ",".join(devices[place * each : (place + 1) * each])
        scratch = attempt.run + "/scratch"
        changes = {"HOME": scratch, "TMPDIR": scratch}
        changes.update(launch["environment"])
        changes.update(
            WEIR_JOB_ID=attempt.job,
            WEIR_ATTEMPT=attempt.name,
            WEIR_ARRAY_INDEX="" if attempt.index is None else str(attempt.index),
            WEIR_TASK_INDEX=str(index),
            WEIR_TASK_COUNT=str(launch["tasks"]),
            WEIR_HOSTS=",".join(self._hosts),
            WEIR_DEVICES=own,
        )
        if launch["variable"] and (own or not each):
            changes[launch["variable"]] = own
        if launch["tasks"] > 1:
            changes.update(
                MASTER_ADDR=self._meeting[0],
                MASTER_PORT=str(self._meeting[1]),
                RANK=str(index),
                WORLD_SIZE=str(launch["tasks"]),
                LOCAL_RANK=str(place),
            )
        environment = dict(posix.environ)
        environment.update((encoded(name), encoded(value)) for name, value in changes.items())
        outputs = []
        try:
            _make_folder(scratch)
            for stream in ("stdout", "stderr"):
                path = f"{attempt.run}/{index}.{stream}"
                outputs.append(posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND, 0o600))
            posix.chdir(attempt.folder + "/work")
            program = _find_program(launch["command"][0], changes.get("PATH", told("PATH") or _DEFAULT_PATH))
        except OSError as error:
            raise StartError("node-failed", f"the task could not be prepared: {error}") from error
        if self._started_ms is None:
            # Before the start, so that who sees its output is told that it runs.
            self._began, self._started_ms = time.monotonic(), now_ms()
            if first_node:
                self._attempt.started(self._started_ms)
        try:
            return start(program, launch["command"], environment, outputs)
        except OSError as error:
            name = launch["command"][0]
            if not self._running:
                self._started_ms = None
            if error.errno in _START_MESSAGES:
                raise StartError("start", name + ": " + _START_MESSAGES[error.errno]) from error
            raise StartError("node-failed", f"{name} could not be started: {error}") from error
        finally:
            for descriptor in outputs:
                posix.close(descriptor)

    def _watch(self) -> None:
        deadline = self._began + self._launch["time_limit_ms"] / 1000.0
        look_s = self._launch["look_ms"] / 1000.0
        look_at = time.monotonic()
        while self._running:
            while self._reap():
                if not self._running:
                    return
            now = time.monotonic()
            if not self._stopping and now >= deadline:
                self._stop("time-limit")
            if not self._stopping and now >= look_at:
                look_at = now + look_s
                if self._attempt.stop_reason():
                    self._stop("cancelled")
            if self._kill_at is not None and now >= self._kill_at:
                self._killed = True
                self._kill_at = now + _KILL_AGAIN_S
                self._signal(signal.SIGKILL)
            until = min(deadline, look_at) if self._kill_at is None else self._kill_at
            heard = signal.sigtimedwait(HEARD, max(0.0, until - now))
            if heard is not None and heard.si_signo == signal.SIGTERM and not self._stopping:
                # Slurm ends it; whether somebody cancelled it stands in the file, and else Slurm knows why.
                self._stop("cancelled" if self._attempt.stop_reason() else "engine")

    def _reap(self) -> bool:
        """Take in the end of one process, if there is one."""
        ended = posix.waitid(posix.P_ALL, 0, posix.WEXITED | posix.WNOHANG | posix.WNOWAIT)
        if ended is None:
            return False
        index = self._running.pop(ended.si_pid, None)
        if index is not None:
            # While it is not reaped nobody else can have its number, so nobody else's group is hit.
            kill_group(ended.si_pid, signal.SIGKILL)
            self._ended(index, ended)
        posix.waitpid(ended.si_pid, 0)
        return True

    def _ended(self, index: int, status: "Any") -> None:
        code = status.si_status if status.si_code == posix.CLD_EXITED else None
        number = None if code is not None else status.si_status
        cause, message = None, ""  # type: str | None, str
        if self._stopping:
            cause, message = self._stopping, _STOP_MESSAGES[self._stopping][self._killed]
        elif code == 0:
            pass
        elif out_of_memory():
            used = f"used more than its {self._launch['memory_bytes'] / 2**20:.0f}MiB of memory"
            cause, message = "out-of-memory", used
        elif number is not None:
            cause, message = "signal", f"ended by signal {number} ({signal_name(number)})"
        else:
            cause, message = "exit", f"ended with code {code}"
        if self._launch["tasks"] > 1 and message:
            message = f"task {index}: {message}"
        self._ends.append(Ended(cause, code, number, message, self._started_ms, now_ms()))
        if cause is not None and self._running and not self._stopping:
            self._stop("gang")

    def _stop(self, reason: str) -> None:
        self._stopping = reason
        self._signal(self._launch["stop_signal"])
        self._kill_at = time.monotonic() + self._launch["stop_grace_ms"] / 1000.0

    def _signal(self, number: int) -> None:
        for pid in self._running:
            kill_group(pid, number)

    def _end_rest(self) -> None:
        """End whatever the tasks started and left behind; nothing of it runs when this returns."""
        pause = 0.001
        while True:
            try:
                while posix.waitpid(-1, posix.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            for child in children():
                try:
                    posix.kill(child, signal.SIGKILL)
                except OSError:
                    pass  # it has gone by itself
            signal.sigtimedwait({signal.SIGCHLD}, pause)
            pause = min(1.0, pause * 2)


def _make_folder(path: str) -> None:
    try:
        posix.mkdir(path, 0o700)
    except FileExistsError:
        pass


def _find_program(name: str, path: str) -> str:
    """The file to run, looked for as a shell would. Raises StartError."""
    places = [name] if "/" in name else [(folder or ".") + "/" + name for folder in path.split(":")]
    found = False
    for place in places:
        try:
            mode = posix.stat(place).st_mode
        except OSError:
            continue
        found = True
        if mode & _KIND != _FOLDER and posix.access(place, posix.X_OK):
            return place
    raise StartError("start", name + ": " + _START_MESSAGES[errno.EACCES if found else errno.ENOENT])


_DEFAULT_PATH = "/bin:/usr/bin"
_KIND, _FOLDER = 0o170000, 0o040000
"""Of a file's mode: the bits that tell its kind, and what they say of a folder."""
_START_MESSAGES = {
    errno.ENOENT: "not found; give a program that exists at the centre, or a path below the work folder",
    errno.EACCES: "not executable; check its permissions",
    errno.ENOEXEC: "not a program; does its first line name the interpreter?",
    errno.E2BIG: "the arguments and the environment together are too long",
}
_STOP_MESSAGES = {
    "time-limit": ("ended at its time limit", "killed at its time limit, after its grace"),
    "cancelled": ("ended when it was cancelled", "killed when it was cancelled, after its grace"),
    "gang": ("ended with its gang", "killed with its gang, after its grace"),
    "engine": ("ended by Slurm", "killed after Slurm had told it to end"),
}
