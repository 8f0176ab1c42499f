"""Slurm's states, and what they mean together with what the runner has recorded. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weir.engines.courier.node import UNREACHED
from weir.engines.driver import EngineEnd
from weir.engines.slurm.node.run import DUPLICATE, FAULT
from weir.engines.slurm.port import JobRow
from weir.model.state import Cause

__all__ = [
    "NO_FOLDER",
    "NO_PYTHON",
    "RecordedRun",
    "engine_end",
    "has_ended",
    "is_held_by_slurm",
    "is_waiting",
    "read_record",
    "recorded_end",
    "waiting_message",
]

NO_PYTHON, NO_FOLDER = 121, 122
"""Exit codes of the batch script: the node has no such Python; it does not see the shared folder."""

_REQUEUED = {"REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
WAITING = frozenset({"PENDING", "CONFIGURING", *_REQUEUED})
RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"})
"""Every other word is an end."""

_CAUSES: Mapping[str, tuple[Cause, str]] = {
    "TIMEOUT": (Cause.TIME_LIMIT, "Slurm ended it at its time limit"),
    "DEADLINE": (Cause.TIME_LIMIT, "Slurm ended it at its deadline"),
    "OUT_OF_MEMORY": (Cause.OUT_OF_MEMORY, "used more memory than it asked for"),
    "NODE_FAIL": (Cause.NODE_FAILED, "a node of it failed"),
    "BOOT_FAIL": (Cause.NODE_FAILED, "its node could not be started"),
    "LAUNCH_FAILED": (Cause.NODE_FAILED, "its node could not start it"),
    "RECONFIG_FAIL": (Cause.NODE_FAILED, "its node could not be set up for it"),
    "PREEMPTED": (Cause.PREEMPTED, "it gave way to work of higher rank at the centre"),
    "CANCELLED": (Cause.CANCELLED, "it was cancelled in Slurm"),
    "REVOKED": (Cause.CANCELLED, "it was taken back in Slurm"),
}
_FAILED_CODES: Mapping[int, tuple[Cause, str]] = {
    NO_PYTHON: (Cause.NODE_FAILED, "the node has no such Python as the option `python` names"),
    NO_FOLDER: (Cause.NODE_FAILED, "the node does not see the attempt's folder: it must be on a shared one"),
    UNREACHED: (Cause.NODE_FAILED, "the node could not reach the agent at its `agent_address`"),
    FAULT: (Cause.NODE_FAILED, "the node could not read or write the attempt's folder"),
    DUPLICATE: (Cause.NODE_FAILED, "Slurm started it again, and it is not restartable"),
}


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the runner has recorded of an attempt. `cause` is a word of its own; None with `ended` is success."""

    slurm_job: str
    started_ms: int | None
    ended: bool = False
    cause: str | None = None
    code: int | None = None
    signal: int | None = None
    message: str = ""
    ended_ms: int = 0


def read_record(plain: Mapping[str, Any]) -> RecordedRun:
    """From the JSON value of `record.json`. Raises KeyError, TypeError or ValueError where it is none.

    The attempt's user can write there what they like, so nothing is taken that the runner would not write.
    """
    job = _text(plain["slurm_job"])
    if plain["state"] != "ended":
        return RecordedRun(job, _whole(plain["started_ms"], _LATEST_MS))
    started_ms, code, number, cause = plain["started_ms"], plain["code"], plain["signal"], plain["cause"]
    if cause is not None and cause not in _RECORDED_CAUSES:
        raise ValueError(f"no cause: {cause!r}")
    if cause is None and code not in (None, 0):
        raise ValueError(f"no success: code {code!r}")
    return RecordedRun(
        job,
        None if started_ms is None else _whole(started_ms, _LATEST_MS),
        True,
        cause,
        None if code is None else _whole(code, _MOST_CODE),
        None if number is None else _whole(number, _MOST_CODE),
        _text(plain["message"])[:1_000],
        _whole(plain["ended_ms"], _LATEST_MS),
    )


_RECORDED_CAUSES = frozenset({*(cause.value for cause in Cause), "engine", "gang"})
_LATEST_MS = 1 << 53
_MOST_CODE = 1 << 16


def _whole(value: Any, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise ValueError(f"no number: {value!r:.40}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    # Half a surrogate pair can be written in JSON, and in no answer to the server.
    return value.encode("utf-8", "replace").decode("utf-8")


def recorded_end(record: RecordedRun) -> EngineEnd | None:
    """The end that the runner's word alone makes certain: nothing of the attempt runs when it writes it.

    None where Slurm knows more of the cause: it ended the work itself, or may have killed it for its memory.
    """
    if (
        not record.ended
        or record.cause in ("engine", "gang")
        or (record.cause == "signal" and record.signal == 9)
    ):
        return None
    return _end(Cause(record.cause) if record.cause else None, record)


def engine_end(
    row: JobRow, record: RecordedRun | None, *, stopped: bool, now_ms: int, claimed: bool = False
) -> EngineEnd:
    """The end of a job that Slurm says has ended. `stopped`: Weir had it cancelled; `claimed`: a node began it."""
    if record is not None and (end := recorded_end(record)) is not None:
        return end
    started_ms = record.started_ms if record is not None else None
    ended_ms = (row.end_s or 0) * 1_000
    if record is not None and record.ended:
        ended_ms = record.ended_ms
    if not 0 < ended_ms <= now_ms:
        ended_ms = now_ms
    cause, message = _cause(row, record, stopped=stopped, claimed=claimed)
    # A stopped command may have ended with code 0, which stands for success alone.
    code = record.code or None if record is not None else None
    number = record.signal if record is not None else None
    return EngineEnd(cause, code, number, message, started_ms, max(ended_ms, started_ms or 0))


def has_ended(state: str) -> bool:
    return state not in WAITING and state not in RUNNING


def is_waiting(state: str) -> bool:
    return state in WAITING


def is_held_by_slurm(row: JobRow) -> bool:
    """Whether it is held as Slurm does with a job that it puts back after a node failed to start it.

    Its owner's hold has the same name; Weir sets none. That of the centre's operators is called JobHeldAdmin.
    """
    return row.reason.replace("_", " ") in ("JobHeldUser", "launch failed requeued held")


def waiting_message(row: JobRow) -> str:
    """Why it waits, in Slurm's word, and until when, where Slurm has an estimate."""
    said = f"waits in Slurm: {row.reason or row.state.lower()}"
    return said if row.start_s is None else f"{said}; Slurm expects it to start at {row.start_s} s since 1970"


def _cause(row: JobRow, record: RecordedRun | None, *, stopped: bool, claimed: bool) -> tuple[Cause, str]:
    if stopped and row.state not in ("OUT_OF_MEMORY", "NODE_FAIL"):
        said = record.message if record is not None and record.ended else ""
        never = record is None and row.state == "CANCELLED"
        return Cause.CANCELLED, said or ("cancelled before its start" if never else "cancelled")
    if row.state == "CANCELLED" and record is None and row.host and not claimed:
        # Slurm's own word where a node refuses to start a job, such as one whose number it has seen before.
        return Cause.NODE_FAILED, f"node {row.host} did not start it"
    if row.state == "NODE_FAIL" and record is None and not claimed:
        # Slurm says so too where a busy node has not begun with it within its BatchStartTimeout.
        return Cause.NODE_FAILED, "its node failed before it started, or did not start it in time"
    if row.state in _CAUSES:
        return _CAUSES[row.state]
    if record is not None and record.ended and record.cause == "signal":
        return Cause.SIGNAL, record.message
    if record is not None and record.cause == "gang":
        return Cause.LOST, f"Slurm says {row.state}, and no task of its gang says why"
    if record is None and (known := _FAILED_CODES.get(row.exit_code or 0)) is not None:
        return known
    said = f"{row.state} {row.reason}".strip()
    if record is None and row.start_s is not None:
        return Cause.NODE_FAILED, f"Slurm could not start it: {said}"
    if record is None:
        return Cause.REJECTED, f"Slurm will not run it: {said}"
    return Cause.LOST, f"what watched over it was ended from elsewhere; Slurm says {said}"


def _end(cause: Cause | None, record: RecordedRun) -> EngineEnd:
    code = record.code if cause is None else record.code or None
    return EngineEnd(cause, code, record.signal, record.message, record.started_ms, record.ended_ms)
