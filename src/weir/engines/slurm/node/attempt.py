"""One attempt's folder, as the compute node sees it: the claim, the wish to stop, and the record."""

import posix
import time

from .plain import read_plain, written_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Attempt", "Ended", "now_ms", "told"]


class Ended:
    """How one task ended; `cause` None is success."""

    __slots__ = ("cause", "code", "ended_ms", "message", "signal", "started_ms")

    def __init__(
        self,
        cause: "str | None",
        code: "int | None",
        signal: "int | None",
        message: str,
        started_ms: "int | None",
        ended_ms: int,
    ) -> None:
        self.cause = cause
        self.code = code
        self.signal = signal
        self.message = message
        self.started_ms = started_ms
        self.ended_ms = ended_ms

    def row(self) -> "list[Any]":
        """What makes an equal one again."""
        return [self.cause, self.code, self.signal, self.message, self.started_ms, self.ended_ms]


class Attempt:
    """One attempt's folder, as the node sees it."""

    def __init__(self, launch: "dict[str, Any]", element: int) -> None:
        self.name, self.job, self.index, self.folder = launch["attempts"][element]
        self.run = self.folder + "/run"
        self.element = element
        self._launch = launch
        array, task = told("SLURM_ARRAY_JOB_ID"), told("SLURM_ARRAY_TASK_ID")
        self._slurm_job = array + "_" + task if array else told("SLURM_JOB_ID")
        self._restart = int(told("SLURM_RESTART_COUNT") or 0)

    def claim(self) -> bool:
        """Whether this is the run that may go on: the first, or the same Slurm job put back into its queue."""
        path = self.run + "/claim"
        mine = f"{self._slurm_job} {self._restart}\n"
        try:
            descriptor = posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL, 0o600)
        except FileExistsError:
            with open(path, encoding="ascii") as file:
                job, _, restart = file.read().partition(" ")
            again = job == self._slurm_job and self._restart > int(restart or 0)
            if not (again and self._launch["restartable"]):
                return False
            _write_whole(path, mine, lasting=True)
            return True
        posix.write(descriptor, mine.encode("ascii"))
        posix.fsync(descriptor)
        posix.close(descriptor)
        return True

    def stop_reason(self) -> str:
        """Why it should stop, empty while it should run. Opened each time, which a network file system honours."""
        with open(self._launch["stops"] + "/" + self.name, encoding="ascii") as file:
            return file.read().strip()

    def started(self, started_ms: int) -> None:
        # A node that goes down forgets it, and with it all that it tells of.
        self._write("record.json", {"state": "running", "started_ms": started_ms}, lasting=False)
        self._tell()

    def end(
        self,
        cause: "str | None",
        code: "int | None",
        number: "int | None",
        message: str,
        started_ms: "int | None",
    ) -> None:
        """Record the end, and tell the driver that there is news."""
        self.conclude([Ended(cause, code, number, message, started_ms, now_ms())])

    def conclude(self, ends: "list[Ended]") -> int:
        """Record what became of all its tasks as the attempt's end: the first failure, or success."""
        failed = [end for end in ends if end.cause is not None]
        first = min(failed, key=lambda end: (end.cause == "gang", end.ended_ms)) if failed else ends[0]
        started = [end.started_ms for end in ends if end.started_ms is not None]
        self._write(
            "record.json",
            {
                "state": "ended",
                "cause": first.cause,
                "code": first.code,
                "signal": first.signal,
                "message": first.message,
                "started_ms": min(started) if started else None,
                "ended_ms": max(end.ended_ms for end in ends),
            },
        )
        self._tell()
        # Slurm's own account of it should not call a failure a success.
        return 0 if first.cause is None else first.code or (128 + first.signal if first.signal else 1)

    def write_part(self, node: int, ends: "list[Ended]") -> None:
        self._write(f"part.{node}.json", {"ends": [end.row() for end in ends]})

    def parts(self, nodes: int) -> "list[Ended]":
        found = []
        for node in range(nodes):
            try:
                with open(f"{self.run}/part.{node}.json", encoding="utf-8") as file:
                    found += [Ended(*end) for end in read_plain(file.read())["ends"]]
            except FileNotFoundError:
                continue
        return found

    def forget_parts(self, nodes: int) -> None:
        for node in range(nodes):
            try:
                posix.unlink(f"{self.run}/part.{node}.json")
            except FileNotFoundError:
                pass

    def _write(self, name: str, plain: "dict[str, Any]", *, lasting: bool = True) -> None:
        plain.update(slurm_job=self._slurm_job, restart=self._restart)
        _write_whole(self.run + "/" + name, written_plain(plain), lasting=lasting)

    def _tell(self) -> None:
        """Leave the attempt's name where the driver looks often; that it is lost does no harm."""
        try:
            posix.close(
                posix.open(self._launch["news"] + "/" + self.name, posix.O_WRONLY | posix.O_CREAT, 0o600)
            )
        except OSError:
            pass


def _write_whole(path: str, text: str, *, lasting: bool) -> None:
    """Replace a file's content at once; `lasting`, so that it outlives the node's own end."""
    beside = f"{path}.{posix.getpid()}"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
        if lasting:
            file.flush()
            posix.fsync(file.fileno())
    posix.rename(beside, path)


def now_ms() -> int:
    return int(time.time() * 1000)


def told(name: str) -> str:
    """A value of this process's environment; empty where there is none."""
    return posix.environ.get(name.encode("ascii"), b"").decode("utf-8", "surrogateescape")
