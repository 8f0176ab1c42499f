"""The supervisor of one task: a process of its own that outlives the agent.

It claims the task, starts it, enforces its time limit, stops it when told, ends all that it started, and
leaves a record. It runs in a fork of the zygote, so it imports the standard library alone and little of that.

A SIGTERM to it means that the attempt is cancelled, a SIGUSR1 that another task of the gang failed; the files
`stop.cancelled` and `stop.gang` in the attempt's folder mean the same before a task has started. Where the launch
has `look_s`, as on the nodes of another engine that no signal reaches, it looks for these files so often, and
a SIGUSR2 means that the engine above it is gone.
"""

import contextlib
import errno
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any

from weir.engines.local import namespace
from weir.engines.local.cgroup import Groups, TaskGroups
from weir.engines.local.contained import Contained, ContainerError
from weir.engines.local.control import Control
from weir.engines.local.podman import Ended
from weir.engines.local.process import boot_id, children, identity, signal_process

__all__ = ["FAILED", "NO_SPACE", "SCRATCH_NAME", "STOP_CANCELLED", "STOP_GANG", "supervise"]

STOP_CANCELLED, STOP_GANG = "stop.cancelled", "stop.gang"
NO_SPACE, FAILED = 71, 70
"""Exit codes of a supervisor that could not even claim its task: a full disk, or anything else."""

SCRATCH_NAME = "scratch"
"""The folder beside `work` that is HOME and TMPDIR of an attempt's tasks."""

_HEARD = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1}
_BLOCKED = _HEARD | {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2, signal.SIGTSTP}
_REASONS = {
    int(signal.SIGTERM): "cancelled",
    int(signal.SIGUSR1): "gang",
    int(signal.SIGUSR2): "engine",
}
_STOPS = ((STOP_CANCELLED, "cancelled"), (STOP_GANG, "gang"))
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_FIRST_TO_GO = b"800"
_CLEANING_S = 20.0
"""So long podman may clean up by itself after a container's end."""
_LEAST_DATA_BYTES = 64 << 20
"""A supervisor shares the limit of its task where there are no control groups, and must live with it."""


def supervise(folder: str, task: int, adjust: Callable[[dict[str, Any]], None] | None = None) -> int:
    """Run one task of the attempt in `folder` to its end; the supervisor's exit code.

    `adjust` may change the launch as the driver wrote it, by what is known on this machine alone; where it
    raises OSError the task ends without a start.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    os.setsid()
    try:
        control = Control(folder, write=True)
        launch = control.order()["launch"]
        if not control.claim(task):
            return 0
    except OSError as error:
        return NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else FAILED
    control.write(task, state="starting", boot=boot_id(), supervisor=identity(os.getpid()))
    if adjust is not None:
        try:
            adjust(launch)
        except OSError as error:
            ended = {"state": "ended", "cause": "node-failed", "code": None, "signal": None}
            control.write(task, **ended, message=_text(error), ended_ms=time.time_ns() // 1_000_000)
            return 0
    _Supervisor(folder, task, launch, control).run()
    return 0


class _StartError(Exception):
    """The command was not started: the cause for the record, and the message."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class _Supervisor:
    def __init__(self, folder: str, task: int, launch: dict[str, Any], control: Control) -> None:
        self._folder = folder
        self._task = task
        self._launch = launch
        self._control = control
        self._groups = TaskGroups(Groups(*launch["groups"]), f"{launch['attempt']}.{task}")
        # Held open, because the folder may be hidden from here on.
        self._poke_folder = os.open(
            os.path.dirname(launch["poke"]), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        )
        self._started = time.monotonic()
        self._started_ms: int | None = None
        self._ended: float | None = None
        self._stopping = ""
        self._kill_at: float | None = None
        self._killed = False
        self._look_s = launch.get("look_s")
        self._heard = _HEARD | ({signal.SIGUSR2} if self._look_s else set())
        made = launch["tasks"][task].get("container")
        self._contained = None if made is None else self._container(made)

    def run(self) -> None:
        for name, reason in _STOPS:
            if self._control.has(name):
                self._end(reason, None, None, "ended before its start")
                return
        try:
            main = self._start()
        except (_StartError, ContainerError) as error:
            self._end(error.cause, None, None, str(error))
            return
        self._poke()
        if self._contained and self._contained.stopping:
            self._stop(main, self._contained.stopping)
        status = self._watch(main)
        self._ended = time.monotonic()
        self._end_rest(main)
        self._conclude(status)

    def _start(self) -> int:
        launch = self._launch
        own = launch["tasks"][self._task]
        environment = launch["environment"] | own["environment"]
        try:
            namespace.become_subreaper()
            with contextlib.suppress(FileExistsError):
                os.mkdir(f"{self._folder}/{SCRATCH_NAME}", 0o700)
            mode = os.O_RDWR if self._contained else os.O_WRONLY
            outputs = [
                os.open(f"{self._folder}/{self._task}.{stream}", mode | os.O_CREAT | os.O_APPEND, 0o600)
                for stream in ("stdout", "stderr")
            ]
            if self._contained:
                os.mkdir(self._kept, 0o700)
                os.chdir(self._kept)
                return self._started_as(self._contained.start(launch["command"][0], outputs), outputs)
            self._groups.enter(launch["memory_bytes"], launch["process_limit"])
            self._limit(own["cores"])
            # What is done to this process here holds for the command, which is started without a copy of it.
            if launch["private_root"]:
                kept = [f"{self._folder}/{name}" for name in ("work", SCRATCH_NAME)]
                namespace.hide(launch["private_root"], kept)
            os.chdir(f"{self._folder}/work")
        except OSError as error:
            raise _StartError("node-failed", f"the task could not be prepared: {_text(error)}") from error
        main = self._spawn(_program(launch["command"][0], environment["PATH"]), environment, outputs)
        return self._started_as(main, outputs)

    @property
    def _kept(self) -> str:
        return f"{self._folder}/{self._task}.container"

    def _container(self, made: dict[str, Any]) -> Contained:
        def heard(seconds: float) -> str:
            found = signal.sigtimedwait(self._heard, seconds)
            return "" if found is None else _REASONS.get(found.si_signo, "")

        return Contained(**made, kept=self._kept, heard=heard)

    def _started_as(self, main: int, outputs: list[int]) -> int:
        self._started = time.monotonic()
        self._started_ms = time.time_ns() // 1_000_000
        for descriptor in outputs:
            os.close(descriptor)
        process = identity(main) or [main, 0]  # a zombie by now, perhaps
        if self._contained and self._contained.first:
            process = self._contained.first
        self._control.write(self._task, state="running", process=process, started_ms=self._started_ms)
        return main

    def _limit(self, cores: list[int]) -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        if not self._launch["groups"][0] and self._launch["memory_bytes"]:
            most = max(self._launch["memory_bytes"], _LEAST_DATA_BYTES)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def _spawn(self, program: str, environment: dict[str, str], outputs: list[int]) -> int:
        command = self._launch["command"]
        try:
            main = os.posix_spawn(
                program,
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, outputs[0], 1),
                    (os.POSIX_SPAWN_DUP2, outputs[1], 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_IGNORED_BY_PYTHON,
            )
        except OSError as error:
            if error.errno in _START_MESSAGES:
                raise _StartError("start", f"{command[0]}: {_START_MESSAGES[error.errno]}") from error
            raise _StartError("node-failed", f"the task could not be started: {_text(error)}") from error
        # Where memory runs short the task goes before its supervisor, which is in the same group.
        with contextlib.suppress(OSError):
            descriptor = os.open(f"/proc/{main}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(descriptor, _FIRST_TO_GO)
            os.close(descriptor)
        return main

    def _watch(self, main: int) -> Any:
        """Wait for the end of the command, and bring it about when it is time; its status, not yet reaped."""
        deadline = self._started + self._launch["time_limit_ms"] / 1_000
        while True:
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid == main:
                    return ended
                os.waitpid(ended.si_pid, 0)
            now = time.monotonic()
            if not self._stopping and now >= deadline:
                self._stop(main, "time-limit")
            if self._kill_at is not None and now >= self._kill_at:
                self._kill_at = now + 1.0
                self._killed = True
                self._kill_group(main)
                self._groups.kill()
            until = self._kill_at if self._kill_at is not None else deadline
            if self._look_s:
                until = min(until, now + self._look_s)
            heard = signal.sigtimedwait(self._heard, max(0.0, until - now))
            if heard is not None and heard.si_signo in _REASONS and not self._stopping:
                self._stop(main, _REASONS[heard.si_signo])
            elif self._look_s and not self._stopping:
                for name, reason in _STOPS:
                    if self._control.has(name):
                        self._stop(main, reason)

    def _stop(self, main: int, reason: str) -> None:
        self._stopping = reason
        if self._contained:
            self._contained.stop(self._launch["stop_signal"])
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(main, self._launch["stop_signal"])
        self._kill_at = time.monotonic() + self._launch["stop_grace_ms"] / 1_000

    def _kill_group(self, main: int) -> None:
        if self._contained:
            self._contained.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(main, signal.SIGKILL)

    def _end_rest(self, main: int) -> None:
        """End whatever the command started and left; nothing of it runs when this returns."""
        # While the command is not reaped nobody else can have its number, so nobody else's group is hit.
        self._kill_group(main)
        os.waitpid(main, 0)
        self._let_clean()
        pause = 0.001
        while True:
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return  # what had moved away became a child of this process, so now there is nothing left
            self._groups.kill()
            for child in children(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            signal.sigtimedwait({signal.SIGCHLD}, pause)
            pause = min(1.0, pause * 2)

    def _let_clean(self) -> None:
        """Let what conmon left clean up after the container; its children by now are the supervisor's."""
        until = time.monotonic() + _CLEANING_S
        with contextlib.suppress(ChildProcessError):
            while self._contained and (left := until - time.monotonic()) > 0:
                if not os.waitpid(-1, os.WNOHANG)[0]:
                    signal.sigtimedwait({signal.SIGCHLD}, left)

    def _conclude(self, status: Any) -> None:
        code = status.si_status if status.si_code == os.CLD_EXITED else None
        number = None if code is not None else status.si_status
        out_of_memory = False
        if self._contained:
            ended = self._contained.ended()
            if isinstance(ended, Ended):
                code, number, out_of_memory = ended.code, ended.signal, ended.out_of_memory
            elif self._stopping:
                code = number = None
            else:
                self._end("node-failed", None, None, ended)
                return
        if self._stopping:
            cause = "node-failed" if self._stopping == "engine" else self._stopping
            self._end(cause, code, number, _STOP_MESSAGES[self._stopping][self._killed])
        elif code == 0:
            self._end(None, 0, None, "")
        elif out_of_memory or self._groups.out_of_memory():
            used = f"used more than its {self._launch['memory_bytes'] / 2**20:.0f}MiB of memory"
            self._end("out-of-memory", code, number, used)
        elif code is None:
            self._end("signal", None, number, f"ended by signal {number} ({_signal_name(number)})")
        else:
            self._end("exit", code, None, f"ended with code {code}")

    def _end(self, cause: str | None, code: int | None, number: int | None, message: str) -> None:
        ended_ms = time.time_ns() // 1_000_000
        if self._started_ms is not None:
            # By the monotonic clock, so that a step of the wall clock does not change the duration.
            ended = time.monotonic() if self._ended is None else self._ended
            ended_ms = self._started_ms + round((ended - self._started) * 1_000)
        self._control.write(
            self._task,
            state="ended",
            cause=cause,
            code=code,
            signal=number,
            message=message,
            ended_ms=ended_ms,
        )
        if cause is not None and cause not in ("gang", "cancelled"):
            self._stop_gang()
        self._poke()

    def _stop_gang(self) -> None:
        """The first failure of a gang stops its other tasks."""
        others = [task for task in range(len(self._launch["tasks"])) if task != self._task]
        if not others:
            return
        with contextlib.suppress(OSError):
            self._control.stop(STOP_GANG)
        for task in others:
            record = self._control.record(task)
            if record is not None and record["state"] != "ended" and record["boot"] == boot_id():
                signal_process(record["supervisor"], signal.SIGUSR1)

    def _poke(self) -> None:
        """Tell the driver, where one listens, that there is news."""
        name = os.path.basename(self._launch["poke"])
        with contextlib.suppress(OSError):
            descriptor = os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._poke_folder)
            try:
                os.write(descriptor, f"{self._launch['attempt']}\n".encode())
            finally:
                os.close(descriptor)


def _program(name: str, path: str) -> str:
    """The file to run, looked for as a shell would; raises _StartError."""
    places = [name] if "/" in name else [f"{folder or '.'}/{name}" for folder in path.split(":")]
    there = [place for place in places if os.path.exists(place)]
    for place in there:
        if os.access(place, os.X_OK) and not os.path.isdir(place):
            return place
    raise _StartError("start", f"{name}: {_START_MESSAGES[errno.EACCES if there else errno.ENOENT]}")


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
    "engine": ("ended when its engine gave it up", "killed when its engine gave it up, after its grace"),
}


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return "a real-time signal"


def _text(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
