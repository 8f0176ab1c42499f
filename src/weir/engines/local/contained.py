"""A task in a container, from its supervisor's side: made, started, stopped, and asked how it ended.

Podman leaves one process beside a container, conmon, which becomes a child of the supervisor and ends with the
container. The container's first process is known by its number on this machine, so that signals need no podman.
Runs in a fork of the zygote, so it imports the standard library alone and little of that.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from weir.engines.local.podman import Ended, parse_state, reason_of, remove_command, start_failure
from weir.engines.local.process import children, identity, signal_process

__all__ = ["Contained", "ContainerError"]

_SHORT_S = 120.0
"""So long podman may take for anything but an image."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
"""Signals that end nothing by themselves."""
_OOM_MARK = "oom"
"""Older versions of conmon leave an empty file of this name where podman was started."""


class ContainerError(Exception):
    """The command was not started: the cause for the record, and the message."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Contained:
    """One container. The supervisor is its subreaper, and reaps nothing while a method runs."""

    def __init__(
        self,
        *,
        create: Sequence[str],
        name: str,
        image: str,
        pulls: bool,
        pull_deadline_s: float,
        environment: Mapping[str, str],
        kept: str,
        heard: Callable[[float], str],
    ) -> None:
        """`create` makes the container `name`; its first word is podman. `environment` is podman's own. `kept` is an
        existing folder for what podman and conmon write down. `heard` sleeps so many seconds at most, and gives the
        reason for which the task is to stop, if one came."""
        self._create = create
        self._name = name
        self._image = image
        self._pulls = pulls
        self._pull_deadline_s = pull_deadline_s
        self._environment = environment
        self._kept = kept
        self._heard = heard
        self._reason = ""
        self._first: list[int] | None = None
        self._ended_by_us = 0

    def start(self, program: str, outputs: Sequence[int]) -> int:
        """Start the command with these files for its output, empty and open for reading too; conmon's number.

        Raises ContainerError, and then nothing of it runs.
        """
        if self._pulls:
            self._pull()
        status, _, told = self._call(self._create[1:])
        if status:
            raise ContainerError(*start_failure(program, self._image, told))
        try:
            return self._start(program, outputs)
        except ContainerError:
            self._call(remove_command("", [self._name])[1:])
            raise

    @property
    def stopping(self) -> str:
        """The reason to stop that came while podman was at work; empty for none."""
        return self._reason

    @property
    def first(self) -> list[int] | None:
        """The identity of the container's first process."""
        return self._first

    def stop(self, number: int) -> None:
        """Send the signal to the command and its process group, as one sends it to any other task.

        The first process of a container is not ended by a signal that it has no handler for; so where it has none,
        and the signal ends who does nothing about it, it is ended.
        """
        if self._first is None or identity(self._first[0]) != self._first:
            return
        unhandled = not _handles(self._first[0], number) and number not in _HARMLESS
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._first[0], number)
        if unhandled:
            self._ended_by_us = number
            self.kill()

    def kill(self) -> None:
        """End everything in the container, at once."""
        signal_process(self._first, signal.SIGKILL)

    def ended(self) -> Ended | str:
        """How the command ended, after conmon has; or what is wrong."""
        status, said, told = self._call(
            ["inspect", "--type=container", "--format={{json .State}}", self._name]
        )
        if status:
            return f"podman lost the container: {reason_of(told)}"
        found = parse_state(said)
        if isinstance(found, str):
            return found
        if os.path.exists(f"{self._kept}/{_OOM_MARK}"):
            found = Ended(found.code, found.signal, True)
        if self._ended_by_us and found.signal == signal.SIGKILL:
            found = Ended(None, self._ended_by_us, False)
        return found

    def _pull(self) -> None:
        if not self._call(["image", "exists", self._image])[0]:
            return
        status, _, told = self._call(["pull", "--quiet", self._image], self._pull_deadline_s, stoppable=True)
        if status is None and not self._reason:
            raise ContainerError(
                "start", f"image {self._image} was not pulled within {self._pull_deadline_s:.0f} s"
            )
        self._go_on()
        if status:
            raise ContainerError("start", f"image {self._image} could not be pulled: {reason_of(told)}")

    def _start(self, program: str, outputs: Sequence[int]) -> int:
        # Here conmon gets the files, and podman writes into them too; the command starts only after that.
        status, _, told = self._call(["init", self._name], outputs=outputs)
        told = told or _written(outputs[1])
        for descriptor in outputs:
            os.ftruncate(descriptor, 0)
        if status:
            raise ContainerError(*start_failure(program, self._image, told))
        conmon, first = (int(_read(f"{self._kept}/{name}") or 0) for name in ("conmon", "pid"))
        self._first = identity(first)
        if not first or self._first is None or conmon not in children(os.getpid()):
            raise ContainerError(
                "node-failed", "the container's processes were not found after podman made it"
            )
        self._go_on()
        status, _, told = self._call(["start", self._name])
        if status:
            raise ContainerError(*start_failure(program, self._image, told))
        return conmon

    def _go_on(self) -> None:
        if self._reason:
            raise ContainerError(self._reason, "ended before its start")

    def _call(
        self,
        arguments: Sequence[str],
        seconds: float = _SHORT_S,
        *,
        outputs: Sequence[int] | None = None,
        stoppable: bool = False,
    ) -> tuple[int | None, str, str]:
        """Run podman; its exit code and what it wrote to both streams. The code is None where its time was over or,
        when `stoppable`, the task is to stop."""
        said, told = os.memfd_create("stdout"), os.memfd_create("stderr")
        try:
            pid = os.posix_spawn(
                self._create[0],
                [self._create[0], *arguments],
                self._environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, outputs[0] if outputs else said, 1),
                    (os.POSIX_SPAWN_DUP2, outputs[1] if outputs else told, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_IGNORED_BY_PYTHON,
            )
            until = time.monotonic() + seconds
            while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
                left = until - time.monotonic()
                self._reason = self._heard(max(0.0, min(1.0, left))) or self._reason
                if left <= 0 or (stoppable and self._reason):
                    os.killpg(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    return None, "", "podman did not answer in time"
            return os.waitstatus_to_exitcode(ended[1]), _written(said), _written(told)
        except OSError as error:
            return -1, "", f"{self._create[0]}: {error.strerror}"
        finally:
            os.close(said)
            os.close(told)


def _handles(pid: int, number: int) -> bool:
    """Whether the process catches or ignores the signal."""
    mask = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(("SigCgt:", "SigIgn:")):
            mask |= int(line.split()[1], 16)
    return bool(mask >> (number - 1) & 1)


def _written(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 16, 0).decode("utf-8", "replace")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
