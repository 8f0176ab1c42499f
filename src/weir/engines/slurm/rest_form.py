"""slurmrestd's paths and JSON, of every version from v0.0.36 on. Pure functions.

Two families exist. Up to v0.0.39 numbers are numbers, a state is a word and the environment is an object; from v0.0.40
on numbers are `{set, infinite, number}`, a state is a list of words and the environment a list of `NAME=value`.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm.command_form import failure_kind, parse_indexes
from weir.engines.slurm.port import (
    JobRequest,
    JobRow,
    NodeRow,
    NotDeliveredError,
    RejectedError,
    exit_status,
)

__all__ = [
    "FIRST_NEW",
    "OLDEST",
    "failure",
    "hold",
    "is_held",
    "is_waiting",
    "job_names",
    "offered_versions",
    "parse_ended",
    "parse_jobs",
    "parse_nodes",
    "parse_submitted",
    "submission",
    "token_expiry",
    "token_user",
]

OLDEST = 36
FIRST_NEW = 40
_PATH = "/usr/local/bin:/usr/bin:/bin"


def submission(request: JobRequest, version: int) -> dict[str, Any]:
    """The body of a submission.

    What a version does not know is refused by the old family, and silently ignored by the new one, which says so in
    a warning only: see `parse_submitted`.
    """
    new = version >= FIRST_NEW
    environment = {"PATH": _PATH, "LANG": "C.UTF-8"}
    job: dict[str, Any] = {
        "name": request.name,
        "comment": request.comment,
        "current_working_directory": request.folder,
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "environment": [f"{name}={value}" for name, value in environment.items()] if new else environment,
        "partition": request.partition,
        # As a text: 22.05 takes a list, or `minimum_nodes`, and they mean nothing to it.
        "nodes": f"{request.nodes}-{request.nodes}",
        "time_limit": _number_of(request.time_limit_minutes, new=new),
        "tasks": request.tasks,
        "cpus_per_task": request.cpus_per_task,
    }
    if new:
        job["requeue"] = request.requeue
    else:
        # Here `requeue: false` is read as wanting it; this name is in no description, and works.
        job["requeue" if request.requeue else "no_requeue"] = True
    if request.tasks_per_node:
        job["tasks_per_node"] = request.tasks_per_node
    if request.memory_mb_per_node:
        job["memory_per_node"] = _number_of(request.memory_mb_per_node, new=new)
    if request.memory_mb_per_cpu:
        job["memory_per_cpu"] = _number_of(request.memory_mb_per_cpu, new=new)
    if request.gres:
        job["tres_per_node" if new else "gres"] = f"gres/{request.gres}" if new else request.gres
    if request.elements:
        job["array"] = f"0-{request.elements - 1}"
    of_the_site = {
        "account": request.account,
        "qos": request.qos,
        "constraints": request.constraint,
        "licenses": request.licenses,
        "reservation": request.reservation,
    }
    job |= {name: value for name, value in of_the_site.items() if value}
    return {"script": request.script, "job": job}


def parse_submitted(status: int, answer: Mapping[str, Any]) -> tuple[int, str] | None:
    """The job's number and what Slurm warned of; None where there is no job.

    A warning means that it is not the job that was ordered, and must be cancelled. An error beside a number does not:
    22.05 says so that the job will wait, for instance because a node is down.
    """
    number = answer.get("job_id") or (answer.get("result") or {}).get("job_id")
    if status >= 400 or not isinstance(number, int) or number <= 0:
        return None
    return number, _texts(answer.get("warnings"))


def offered_versions(text: str) -> list[int]:
    """The versions in a description of the API, newest first."""
    found = {int(number) for number in re.findall(r"slurm\\?/v0\.0\.(\d+)\\?/", text)}
    return sorted((number for number in found if number >= OLDEST), reverse=True)


def parse_jobs(answer: Mapping[str, Any]) -> list[JobRow]:
    """The rows of a list of jobs."""
    return [_job(plain) for plain in answer.get("jobs") or ()]


def job_names(answer: Mapping[str, Any]) -> list[str]:
    """What the jobs of a list are called."""
    return [str(plain.get("name") or "") for plain in answer.get("jobs") or ()]


def parse_ended(answer: Mapping[str, Any]) -> list[JobRow]:
    """The rows of accounting's answer, which nests what a list of jobs does not."""
    rows = []
    for plain in answer.get("jobs") or ():
        time, array, state = (plain.get(name) or {} for name in ("time", "array", "state"))
        current = state.get("current") if isinstance(state, Mapping) else state
        flat = {
            "job_state": current,
            "state_reason": state.get("reason") if isinstance(state, Mapping) else "",
            "array_job_id": array.get("job_id"),
            "array_task_id": array.get("task_id", (array.get("task") or {}).get("id")),
            "user_name": plain.get("user"),
            "submit_time": time.get("submission"),
            "start_time": time.get("start"),
            "end_time": time.get("end"),
        }
        rows.append(_job({**plain, **flat}))
    return rows


def parse_nodes(answer: Mapping[str, Any]) -> list[NodeRow]:
    """The rows of a list of nodes."""
    return [_node(plain) for plain in answer.get("nodes") or ()]


def failure(what: str, status: int, answer: Mapping[str, Any], text: str = "") -> Exception | None:
    """What an answer's status and its list of errors mean; None where all is well."""
    errors = answer.get("errors") or ()
    if status < 400 and not errors:
        return None
    shown = f"{what}: {_texts(errors) or ' '.join(text.split())[:200] or f'HTTP {status}'}"
    if status == 401 or re.search(r"authenticat", shown, re.IGNORECASE):
        return NotDeliveredError(f"{shown} (is the token right?)")
    if (kind := failure_kind(shown)) is not None:
        return kind(shown)
    numbers = {
        int(error.get("error_number") or error.get("error_code") or 0)
        for error in errors
        if isinstance(error, Mapping)
    }
    # From 2000 on they are the controller's own decisions; below, and -1, something broke off on the way.
    if what == "submit" and any(number >= _DECISIONS for number in numbers):
        return RejectedError(shown)
    return EngineUnreachableError(shown)


_DECISIONS = 2_000


def token_user(token: str) -> str:
    """Who a JWT is for; empty where it does not say."""
    return str(_claims(token).get("sun") or _claims(token).get("username") or "")


def token_expiry(token: str) -> int | None:
    """When a JWT expires, in seconds since 1970; None where it does not say."""
    expires = _claims(token).get("exp")
    return expires if isinstance(expires, int) else None


def _claims(token: str) -> Mapping[str, Any]:
    try:
        part = token.split(".")[1]
        plain = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return plain if isinstance(plain, dict) else {}


def _job(plain: Mapping[str, Any]) -> JobRow:
    job = int(plain["job_id"])
    array = _int(plain.get("array_job_id")) or job
    task = _number(plain.get("array_task_id"))
    waiting = str(plain.get("array_task_string") or "")
    indexes: tuple[int, ...] = ()
    if waiting:
        indexes = parse_indexes(f"{array}_[{waiting}]")[1]
    elif task is not None and _int(plain.get("array_job_id")):
        indexes = (task,)
    code, number = _exit(plain.get("exit_code"))
    words = _words(plain.get("job_state"))
    return JobRow(
        job=job,
        array=array,
        indexes=indexes,
        state=words[0] if words else "",
        reason=_given(plain.get("state_reason")),
        user=str(plain.get("user_name") or ""),
        partition=str(plain.get("partition") or ""),
        comment=_comment(plain),
        submit_s=_int(plain.get("submit_time")),
        start_s=_number(plain.get("start_time")) or None,
        end_s=_number(plain.get("end_time")) or None,
        nodes=_int(plain.get("node_count")),
        cpus=_int(plain.get("cpus")),
        gres=_given(plain.get("tres_per_node")),
        exit_code=code,
        signal=number,
        restarts=_int(plain.get("restart_cnt")),
        host=_given(plain.get("batch_host")),
    )


def _comment(plain: Mapping[str, Any]) -> str:
    comment = plain.get("comment") or ""
    # In accounting it is an object of several comments.
    return str(comment.get("job", "") if isinstance(comment, Mapping) else comment)


def hold(*, held: bool) -> dict[str, Any]:
    """The body of an update that holds a job, or lets it go. It works on a job that runs too, and does nothing then
    but keep it from being run again."""
    return {"hold": held}


def is_waiting(answer: Mapping[str, Any]) -> bool:
    """Whether what was asked for, a job or one element, is there and waits, all of it."""
    jobs = answer.get("jobs") or ()
    return bool(jobs) and all(_words(plain.get("job_state")) == ["PENDING"] for plain in jobs)


def is_held(answer: Mapping[str, Any]) -> bool:
    """Whether it is held: the controller starts nothing whose priority is 0."""
    return all(_number(plain.get("priority")) == 0 for plain in answer.get("jobs") or ())


def _node(plain: Mapping[str, Any]) -> NodeRow:
    words = {word.upper() for word in (*_words(plain.get("state")), *_words(plain.get("state_flags")))}
    return NodeRow(
        name=str(plain.get("name") or ""),
        partitions=tuple(map(str, plain.get("partitions") or ())),
        usable=bool(words & _USABLE) and not words & _UNUSABLE,
        drained=bool(words & {"DRAIN", "DRAINED", "DRAINING", "MAINTENANCE", "MAINT"}),
        cpus=_int(plain.get("cpus")),
        cpus_used=_int(plain.get("alloc_cpus")),
        memory_mb=_int(plain.get("real_memory")),
        memory_mb_used=_int(plain.get("alloc_memory")),
        gres=_given(plain.get("gres")),
        gres_used=_given(plain.get("gres_used")),
    )


_USABLE = {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "RESERVED", "PLANNED"}
_UNUSABLE = {
    "DOWN",
    "NOT_RESPONDING",
    "FAIL",
    "POWERED_DOWN",
    "POWERING_DOWN",
    "UNKNOWN",
    "INVALID_REG",
    "INVAL",
}


def _exit(value: Any) -> tuple[int | None, int | None]:
    if isinstance(value, Mapping):
        number = _number((value.get("signal") or {}).get("id", (value.get("signal") or {}).get("signal_id")))
        return (None, number) if number else (_number(value.get("return_code")), None)
    return exit_status(value) if isinstance(value, int) else (None, None)


def _number_of(value: int, *, new: bool) -> Any:
    return {"set": True, "infinite": False, "number": value} if new else value


def _number(value: Any) -> int | None:
    if isinstance(value, Mapping):
        return int(value.get("number") or 0) if value.get("set") else None
    return int(value) if isinstance(value, int | float) else None


def _int(value: Any) -> int:
    return _number(value) or 0


def _words(value: Any) -> list[str]:
    if isinstance(value, str):
        return [word for word in value.split("+") if word]
    return [str(word) for word in value or ()]


def _given(value: Any) -> str:
    return "" if value in (None, "None", "N/A", "(null)") else str(value)


def _texts(errors: Any) -> str:
    return "; ".join(_text(error) for error in errors or ())


def _text(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    return ": ".join(_said(error.get(name) for name in ("description", "error")))


def _said(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values if value]
