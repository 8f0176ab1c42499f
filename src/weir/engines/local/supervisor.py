"""The supervisor of one task: a process of its own that outlives the agent.

It claims the task, starts it, enforces its time limit, stops it when told, ends all that it started, and
leaves a record. It runs in a fork of the zygote, so it imports the standard library alone and little of that.

A SIGTERM to it means that the attempt is cancelled, a SIGUSR1 that another task of the gang failed; the files
`stop.cancelled` and `stop.gang` in the attempt's folder mean the same before a task has started.
"""

import contextlib
import errno
import json
import os
import resource
import signal
import time
from typing import Any, NoReturn

from weir.engines.local import namespace
from weir.engines.local.cgroup import Groups, TaskGroups
from weir.engines.local.process import boot_id, children, identity, signal_process
from weir.engines.local.record import Record, claim, read_record

__all__ = ["FAILED", "NO_SPACE", "STOP_CANCELLED", "STOP_GANG", "record_name", "supervise"]

STOP_CANCELLED, STOP_GANG = "stop.cancelled", "stop.gang"
NO_SPACE, FAILED = 71, 70
"""Exit codes of a supervisor that could not even claim its task: a full disk, or anything else."""

_HEARD = {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1}
_BLOCKED = _HEARD | {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR2, signal.SIGTSTP}
_REASONS = {signal.SIGTERM: "cancelled", signal.SIGUSR1: "gang"}


def record_name(task: int) -> str:
    return f"{task}.record"


def supervise(folder: str, task: int) -> int:
    """Run one task of the attempt in `folder` to its end; the supervisor's exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    os.setsid()
    try:
        with open(f"{folder}/order.json", "rb") as file:
            launch = json.load(file)["launch"]
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        record = claim(opened, record_name(task), _first_record(task))
    except OSError as error:
        return NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else FAILED
    if record is None:
        return 0
    _Supervisor(folder, task, launch, record).run()
    return 0


def _first_record(task: int) -> dict[str, Any]:
    return {
        "task": task,
        "state": "starting",
        "boot": boot_id(),
        "supervisor": identity(os.getpid()),
        "message": "",
    }


class _StartError(Exception):
    """The command was not started: the cause for the record, and the message."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class _Supervisor:
    def __init__(self, folder: str, task: int, launch: dict[str, Any], record: Record) -> None:
        self._folder = folder
        self._task = task
        self._launch = launch
        self._record = record
        self._groups = TaskGroups(Groups(*launch["groups"]), f"{launch['attempt']}.{task}")
        self._started = time.monotonic()
        self._stopping = ""
        self._kill_at: float | None = None
        self._killed = False

    def run(self) -> None:
        for name, reason in ((STOP_CANCELLED, "cancelled"), (STOP_GANG, "gang")):
            if os.path.exists(f"{self._folder}/{name}"):
                self._end(reason, None, None, "ended before its start")
                return
        try:
            main = self._start()
        except _StartError as error:
            self._end(error.cause, None, None, str(error))
            return
        self._poke()
        status = self._watch(main)
        self._end_rest(main)
        self._conclude(status)

    def _start(self) -> int:
        namespace.become_subreaper()
        launch = self._launch
        try:
            for name in ("home", "tmp"):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(f"{self._folder}/{name}", 0o700)
            outputs = [
                os.open(
                    f"{self._folder}/{self._task}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
                )
                for stream in ("stdout", "stderr")
            ]
            self._groups.make(launch["memory_bytes"], launch["process_limit"])
            answer, tell = os.pipe()
            main = os.fork()
        except OSError as error:
            raise _StartError("node-failed", f"the task could not be prepared: {_text(error)}") from error
        if main == 0:
            self._become_task(outputs, tell)
        os.close(tell)
        for descriptor in outputs:
            os.close(descriptor)
        self._started = time.monotonic()
        started_ms = time.time_ns() // 1_000_000
        # The command has begun when the pipe closes without a word.
        with open(answer, "rb") as pipe:
            said = pipe.read()
        if said:
            os.waitpid(main, 0)
            raise _StartError(*json.loads(said))
        self._record.write(state="running", process=identity(main) or [main, 0], started_ms=started_ms)
        return main

    def _become_task(self, outputs: list[int], tell: int) -> NoReturn:
        """In the child: become the tenant's command, or tell why not."""
        launch = self._launch
        said = ["node-failed", ""]
        try:
            os.setsid()
            self._groups.join()
            own = launch["tasks"][self._task]
            if own["cores"]:
                os.sched_setaffinity(0, own["cores"])
            if not launch["groups"][0] and launch["memory_bytes"]:
                resource.setrlimit(resource.RLIMIT_DATA, (launch["memory_bytes"],) * 2)
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(outputs[0], 1)
            os.dup2(outputs[1], 2)
            if launch["private_root"]:
                kept = [f"{self._folder}/{name}" for name in ("work", "home", "tmp")]
                namespace.hide(launch["private_root"], kept)
            os.chdir(f"{self._folder}/work")
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            said[0] = "start"
            environment = launch["environment"] | own["environment"]
            os.execvpe(launch["command"][0], launch["command"], environment)  # noqa: S606 (no shell is meant)
        except OSError as error:
            said[1] = _text(error)
            if said[0] == "start":
                said[1] = f"{launch['command'][0]}: {_START_MESSAGES.get(error.errno or 0, said[1])}"
        except BaseException as error:  # noqa: BLE001 (whatever it is, the parent must hear of it)
            said[1] = f"{type(error).__name__}: {error}"
        finally:
            if said[1]:
                os.write(tell, json.dumps(said).encode())
            os._exit(127)

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
            heard = signal.sigtimedwait(_HEARD, max(0.0, until - now))
            if heard is not None and heard.si_signo in _REASONS and not self._stopping:
                self._stop(main, _REASONS[signal.Signals(heard.si_signo)])

    def _stop(self, main: int, reason: str) -> None:
        self._stopping = reason
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(main, self._launch["stop_signal"])
        self._kill_at = time.monotonic() + self._launch["stop_grace_ms"] / 1_000

    def _kill_group(self, main: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(main, signal.SIGKILL)

    def _end_rest(self, main: int) -> None:
        """End whatever the command started and left; nothing of it runs when this returns."""
        # While the command is not reaped nobody else can have its number, so nobody else's group is hit.
        self._kill_group(main)
        os.waitpid(main, 0)
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

    def _conclude(self, status: Any) -> None:
        code = status.si_status if status.si_code == os.CLD_EXITED else None
        number = None if code is not None else status.si_status
        if self._stopping:
            self._end(self._stopping, code, number, _STOP_MESSAGES[self._stopping][self._killed])
        elif code == 0:
            self._end(None, 0, None, "")
        elif self._groups.out_of_memory():
            self._end(
                "out-of-memory",
                code,
                number,
                f"used more than its {self._launch['memory_bytes']} bytes of memory",
            )
        elif code is None:
            self._end("signal", None, number, f"ended by signal {number} ({_signal_name(number)})")
        else:
            self._end("exit", code, None, f"ended with code {code}")

    def _end(self, cause: str | None, code: int | None, number: int | None, message: str) -> None:
        started_ms = self._record.values.get("started_ms")
        ended_ms = time.time_ns() // 1_000_000
        if started_ms is not None:
            # By the monotonic clock, so that a step of the wall clock does not change the duration.
            ended_ms = started_ms + round((time.monotonic() - self._started) * 1_000)
        self._record.write(
            state="ended", cause=cause, code=code, signal=number, message=message, ended_ms=ended_ms
        )
        if cause is not None and cause not in ("gang", "cancelled"):
            self._stop_gang()
        self._poke()
        self._groups.remove()

    def _stop_gang(self) -> None:
        """The first failure of a gang stops its other tasks."""
        others = [task for task in range(len(self._launch["tasks"])) if task != self._task]
        if not others:
            return
        with contextlib.suppress(OSError):
            # A link needs no space on the disk beyond its name.
            os.link(f"{self._folder}/order.json", f"{self._folder}/{STOP_GANG}")
        for task in others:
            record = read_record(f"{self._folder}/{record_name(task)}")
            if record is not None and record["state"] != "ended" and record["boot"] == boot_id():
                signal_process(record["supervisor"], signal.SIGUSR1)

    def _poke(self) -> None:
        """Tell the driver, where one listens, that there is news."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._launch["poke"], os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.write(descriptor, f"{self._launch['attempt']}\n".encode())
            finally:
                os.close(descriptor)


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
}


def _signal_name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return "a real-time signal"


def _text(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror or error}{where}"
