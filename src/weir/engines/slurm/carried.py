"""The agent's side of work whose nodes see no folder of its own: what they bring is laid where a shared one has it."""

import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from weir.engines.courier.door import Answer, Door, Errand, Lodging, Verb
from weir.engines.courier.program import node_program
from weir.engines.courier.settings import DoorSettings
from weir.engines.driver import STREAMS, AttemptOrder
from weir.engines.slurm.folder import packed_program
from weir.engines.slurm.parcel import carried_script_of
from weir.engines.slurm.settings import Settings

__all__ = ["Carried"]

_CLAIM = re.compile(rb"([0-9]{1,10}(?:_[0-9]{1,9})?) ([0-9]{1,6})\n")
_LARGEST_RECORD = 65_536
_BEATS_S = 100
"""Together, nodes ask the agent so often a second at most."""


class Carried:
    """The door of one driver, with what Slurm's nodes ask and tell there."""

    def __init__(self, folder: Path, settings: DoorSettings, alive: Callable[[], int]) -> None:
        """`alive` tells how many attempts may come: the more there are, the more seldom each is asked to."""
        self._alive = alive
        verbs: dict[tuple[str, str], Verb] = {
            ("GET", "program"): lambda _: Answer(body=packed_program()),
            ("GET", "launch"): lambda errand: Answer(body=Path(errand.lodging.folder).read_bytes()),
            ("GET", "stop"): self._stop,
            ("POST", "claim"): _claim,
            ("POST", "record"): _record,
            ("GET", "part"): _part,
            ("POST", "part"): _keep_part,
            ("GET", "log"): _log_size,
            ("POST", "log"): _log,
            ("POST", "logsize"): _log_grown,
        }
        self.door = Door(folder, settings, verbs)

    def lodge(self, orders: Sequence[AttemptOrder], batch: str, place: str) -> dict[str, Any]:
        """Let the attempts of a batch in; what their nodes are told of it. `place` is the nodes' own folder."""
        for order in orders:
            work = order.work
            self.door.lodge(
                order.attempt,
                Lodging(os.fspath(order.folder), work.results, work.output_limit_bytes, work.log_limit_bytes),
            )
        return {
            "url": self.door.url(batch_lodging(batch)),
            "token": self.door.token(batch_lodging(batch)),
            "urls": [self.door.url(order.attempt) for order in orders],
            "tokens": [self.door.token(order.attempt) for order in orders],
            "place": place,
        }

    def script(self, batch: str, launch: Path, settings: Settings) -> str:
        """The batch script, once its launch is written."""
        name = batch_lodging(batch)
        self.door.lodge(name, Lodging(os.fspath(launch)))
        return carried_script_of(settings, node_program(), self.door.url(name), self.door.token(name))

    def leave(self, attempts: Iterable[str], batches: Iterable[str]) -> None:
        self.door.leave([*attempts, *map(batch_lodging, batches)])

    def _stop(self, errand: Errand) -> Answer:
        folder = Path(errand.lodging.folder)
        try:
            reason = (folder.parent / ".slurm" / "stops" / errand.name).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            reason = "it is forgotten"
        return Answer.plain({"stop": reason, "again_ms": 1_000 * self._alive() // _BEATS_S})


def batch_lodging(batch: str) -> str:
    """Under which name a batch lodges: never that of an attempt."""
    return f"batch~{batch}"


def _claim(errand: Errand) -> Answer:
    """Whether this run may go on: the first, or the same Slurm job put back into its queue."""
    match = _CLAIM.fullmatch(errand.body)
    if match is None:
        raise ValueError("a claim is a job and how often it was restarted")
    path = _run(errand) / "claim"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        before = _CLAIM.fullmatch(path.read_bytes())
        same = before is not None and before[1] == match[1]
        if same and before is not None and before[2] == match[2]:
            return Answer()  # its own claim, whose answer was lost
        again = same and before is not None and int(match[2]) > int(before[2])
        if not (again and errand.query.get("restartable") == "1"):
            return Answer(409, b"another run of it has claimed it")
        for part in path.parent.glob("part.*.json"):
            part.unlink(missing_ok=True)  # an earlier run's
        _write(path, errand.body)
        return Answer()
    with os.fdopen(descriptor, "wb") as file:
        file.write(errand.body)
        file.flush()
        os.fsync(descriptor)
    return Answer()


def _record(errand: Errand) -> Answer:
    if len(errand.body) > _LARGEST_RECORD or not isinstance(json.loads(errand.body), dict):
        raise ValueError("a record is a small object")
    _write(_run(errand) / "record.json", errand.body)
    (Path(errand.lodging.folder).parent / ".slurm" / "news" / errand.name).touch()
    return Answer()


def _part(errand: Errand) -> Answer:
    path = _run(errand) / f"part.{_small(errand.path)}.json"
    return Answer(body=path.read_bytes()) if path.exists() else Answer(404, b"there is none")


def _keep_part(errand: Errand) -> Answer:
    if len(errand.body) > 16 * _LARGEST_RECORD:
        raise ValueError("a part's record is small")
    _write(_run(errand) / f"part.{_small(errand.path)}.json", errand.body)
    return Answer()


def _log_size(errand: Errand) -> Answer:
    path = _log_file(errand)
    return Answer.plain({"size": path.stat().st_size if path.exists() else 0})


def _log(errand: Errand) -> Answer:
    path, offset = _log_file(errand), errand.number("offset")
    if offset + len(errand.body) > errand.lodging.log_limit_bytes:
        return Answer(413, b"the log is full")
    with path.open("ab") as file:
        if file.tell() != offset:
            return Answer.plain({"size": file.tell()}, 409)
        file.write(errand.body)
    return Answer()


def _log_grown(errand: Errand) -> Answer:
    """What went past the limit is not brought, and its size is known all the same: the rest of the file is a hole."""
    path, size = _log_file(errand), errand.number("size")
    if path.exists() and path.stat().st_size < size <= 1 << 50:
        os.truncate(path, size)
    return Answer()


def _log_file(errand: Errand) -> Path:
    task, _, stream = errand.path.partition("/")
    if stream not in STREAMS:
        raise ValueError("a log is stdout or stderr")
    return _run(errand) / f"{_small(task)}.{stream}"


def _run(errand: Errand) -> Path:
    return Path(errand.lodging.folder) / "run"


def _small(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise ValueError("a number of a task or node is meant")
    return int(text)


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once and durably."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
