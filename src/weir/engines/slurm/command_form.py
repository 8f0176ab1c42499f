"""Slurm's commands: what is asked on their command lines, and what their answers say. Pure functions."""

import re
from collections.abc import Mapping, Sequence

from weir.engines.driver import EngineUnreachableError
from weir.engines.slurm.port import (
    JOB_NAME,
    ClusterFacts,
    JobRequest,
    JobRow,
    NodeRow,
    NotDeliveredError,
    NotNowError,
    RejectedError,
    exit_status,
)

__all__ = [
    "ENVIRONMENT",
    "cancel_command",
    "cut_off",
    "ended_command",
    "exit_codes_command",
    "failure",
    "failure_kind",
    "jobs_command",
    "parse_ended",
    "parse_exit_codes",
    "parse_facts",
    "parse_indexes",
    "parse_jobs",
    "parse_nodes",
    "parse_submitted",
    "queue_command",
    "submit_command",
    "tell_command",
]

ENVIRONMENT: Mapping[str, str] = {
    "SLURM_TIME_FORMAT": "%s",
    "SLURM_BITSTR_LEN": "0",
    "TZ": "UTC",
    "LC_ALL": "C",
}
"""Times as seconds since 1970, and lists of elements in full: for what reads, since jobs get what sbatch has."""

_FIELDS = ("%i", "%A", "%T", "%r", "%u", "%P", "%V", "%S", "%e", "%D", "%C", "%b", "%B", "%k")
_COMMENT_FIELD = len(_FIELDS) - 1
_ENDED_FIELDS = "JobIDRaw,JobID,State,ExitCode,Start,End,Submit,User,Partition"


def submit_command(request: JobRequest) -> list[str]:
    """Hands the script over on standard input; answers the job's number."""
    wanted: list[tuple[str, object]] = [
        ("job-name", request.name),
        ("comment", request.comment),
        ("chdir", request.folder),
        ("output", "/dev/null"),
        ("error", "/dev/null"),
        # All that sbatch itself was given, which is little: with any list of names, as with NONE, each node would
        # first run the user's whole login (`su -`) for its environment, and hold the job where that takes long.
        ("export", "ALL"),
        ("partition", request.partition),
        ("time", request.time_limit_minutes),
        ("nodes", f"{request.nodes}-{request.nodes}"),
        ("ntasks", request.tasks),
        ("ntasks-per-node", request.tasks_per_node or ""),
        ("cpus-per-task", request.cpus_per_task),
        ("mem", f"{request.memory_mb_per_node}M" if request.memory_mb_per_node else ""),
        ("mem-per-cpu", f"{request.memory_mb_per_cpu}M" if request.memory_mb_per_cpu else ""),
        ("gres", request.gres),
        ("array", f"0-{request.elements - 1}" if request.elements else ""),
        ("account", request.account),
        ("qos", request.qos),
        ("constraint", request.constraint),
        ("licenses", request.licenses),
        ("reservation", request.reservation),
        ("uid", request.user),
        # Else it would keep the group of whoever submits.
        ("gid", request.group if request.user else ""),
    ]
    options = [f"--{name}={value}" for name, value in wanted if value != ""]
    return ["sbatch", "--parsable", "--requeue" if request.requeue else "--no-requeue", *options]


def parse_submitted(answer: str) -> int:
    """The job's number, from `17` or `17;cluster`. Raises EngineUnreachableError for anything else."""
    match = re.search(r"^(\d+)(;.*)?$", answer.strip(), re.MULTILINE)
    if match is None:
        raise EngineUnreachableError(f"sbatch answered {answer[:200]!r}")
    return int(match.group(1))


def jobs_command(users: Sequence[str], mark: str) -> list[str]:
    """Asks for every job of these users, ended ones too; each line of the answer begins with the mark.

    The mark is drawn anew for each question, since a job's comment may hold whole lines of its owner's making.
    """
    return ["squeue", "--noheader", "--all", "--states=all", f"--user={','.join(users)}", _format(mark)]


def queue_command(partitions: Sequence[str], mark: str) -> list[str]:
    """Asks for everybody's jobs in these partitions that wait or hold nodes."""
    states = "--states=PENDING,CONFIGURING,RUNNING,SUSPENDED,COMPLETING"
    return ["squeue", "--noheader", "--all", states, f"--partition={','.join(partitions)}", _format(mark)]


def parse_jobs(answer: str, mark: str) -> list[JobRow]:
    """The rows of a squeue that was asked with this mark."""
    rows = []
    for line in answer.splitlines():
        fields = line.split("|", len(_FIELDS))
        if fields[0] == mark and len(fields) == len(_FIELDS) + 1:
            rows.append(_job(fields[1:]))
    return rows


def exit_codes_command(jobs: Sequence[int]) -> list[str]:
    """Asks how jobs ended, which the plain form of squeue does not tell."""
    named = ",".join(map(str, jobs))
    return [
        "squeue", "--noheader", "--all", "--states=all", f"--jobs={named}", "--Format=JobID:20 ,exit_code:20 "
    ]  # fmt: skip


def parse_exit_codes(answer: str) -> dict[int, int | None]:
    """Job → its exit code; None where a signal ended it."""
    found: dict[int, int | None] = {}
    for line in answer.splitlines():
        fields = line.split()
        if len(fields) == 2 and fields[0].isdecimal() and fields[1].isdecimal():
            found[int(fields[0])] = exit_status(int(fields[1]))[0]
    return found


def ended_command(jobs: Sequence[int], *, from_file: bool) -> list[str]:
    """Asks accounting, or the completion file where there is no accounting."""
    named = ",".join(map(str, jobs))
    if from_file:
        fields = _ENDED_FIELDS.replace("JobIDRaw,", "")
        return ["sacct", "-c", "--noheader", "--parsable2", f"--jobs={named}", f"--format={fields}"]
    return [
        "sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", f"--jobs={named}",
        "--starttime=1970-01-02", f"--format={_ENDED_FIELDS}",
    ]  # fmt: skip


def parse_ended(answer: str, *, from_file: bool) -> list[JobRow]:
    """The rows of a sacct; its last word on a job comes last."""
    rows = []
    for line in answer.splitlines():
        fields = line.split("|")
        if from_file:
            fields.insert(0, fields[0])
        if len(fields) != len(_ENDED_FIELDS.split(",")) or not fields[0].isdecimal():
            continue
        raw, shown, state, exit_code, start, end, submit, user, partition = fields
        array, indexes = parse_indexes(shown)
        code, _, number = exit_code.partition(":")
        rows.append(
            JobRow(
                job=int(raw),
                array=array,
                indexes=indexes,
                state=state.split()[0] if state else "",  # `CANCELLED by 0`
                reason="",
                user=user.partition("(")[0],
                partition=partition,
                comment="",
                submit_s=_seconds(submit) or 0,
                start_s=_seconds(start),
                end_s=_seconds(end),
                exit_code=int(code) if code.isdecimal() else None,
                signal=int(number) if number.isdecimal() and int(number) else None,
            )
        )
    return rows


def cancel_command(jobs: Sequence[str], *, waiting_only: bool) -> list[str]:
    """By name too: a controller that has lost its state may have given a number to somebody else's job."""
    return ["scancel", "--quiet", f"--name={JOB_NAME}", *(["--state=PENDING"] if waiting_only else []), *jobs]


def tell_command(jobs: Sequence[str]) -> list[str]:
    return ["scancel", "--quiet", f"--name={JOB_NAME}", "--batch", "--signal=TERM", *jobs]


def parse_nodes(answer: str) -> list[NodeRow]:
    """The rows of `scontrol --detail --oneliner show nodes`."""
    rows = []
    for line in answer.splitlines():
        # Values with spaces in them (OS, Reason) are not asked for; what follows them still has its own name.
        found = {match[1]: match[2] for match in re.finditer(r"(?:^|\s)(\w+)=(\S*)", line)}
        if "NodeName" not in found:
            continue
        flags = found.get("State", "").upper().rstrip("*~#!%$@^-").split("+")
        rows.append(
            NodeRow(
                name=found["NodeName"],
                partitions=tuple(name for name in found.get("Partitions", "").split(",") if name),
                usable=node_usable(found.get("State", "").upper()),
                drained=any(flag.startswith(("DRAIN", "MAINT")) for flag in flags),
                cpus=_int(found.get("CPUTot")),
                cpus_used=_int(found.get("CPUAlloc")),
                memory_mb=_int(found.get("RealMemory")),
                memory_mb_used=_int(found.get("AllocMem")),
                gres=_given(found.get("Gres")),
                gres_used=_given(found.get("GresUsed")),
            )
        )
    return rows


def node_usable(state: str) -> bool:
    """Whether a node in this state (`IDLE`, `MIXED+DRAIN`, `DOWN*`) runs work or takes it."""
    base = state.rstrip("~#!%$@^-")
    return not base.endswith("*") and base.split("+")[0] in _USABLE


_USABLE = {"IDLE", "MIXED", "ALLOCATED", "COMPLETING", "RESERVED", "PLANNED"}


def parse_facts(answer: str) -> ClusterFacts:
    """From `scontrol show config`."""
    found = {}
    for line in answer.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip()] = value.strip()
    tracking = found.get("ProctrackType", "")
    return ClusterFacts(
        version=found.get("SLURM_VERSION", ""),
        kills_all=tracking == "proctrack/cgroup" if tracking else None,
        limits_memory="task/cgroup" in found.get("TaskPlugin", ""),
        limit_of_array=_int(found.get("MaxArraySize")) or ClusterFacts("").limit_of_array,
    )


def parse_indexes(shown: str) -> tuple[int, tuple[int, ...]]:
    """An array's number and elements, from `17`, `17_3`, or `17_[0-5,9%2]`."""
    number, _, rest = shown.partition("_")
    indexes: list[int] = []
    for part in rest.strip("[]").partition("%")[0].split(","):
        if part:
            span, _, step = part.partition(":")
            first, _, last = span.partition("-")
            indexes.extend(range(int(first), int(last or first) + 1, int(step or 1)))
    return int(number), tuple(indexes)


def cut_off(code: int, *, remote: bool) -> bool:
    """Whether a command was ended from elsewhere, or the way to it: then Slurm may have done what it was told."""
    return code < 0 or (remote and code >= 128)


def failure(command: str, text: str, code: int = 1, *, remote: bool = False) -> Exception:
    """What it means that a command has failed with this text and exit code, `remote` through ssh."""
    words = _key_failure(text) if remote else ""
    shown = f"{command}: {words or ' '.join(text.split())[-300:] or f'no word of why (exit code {code})'}"
    kind = failure_kind(text)
    if cut_off(code, remote=remote) and kind is not NotDeliveredError:
        kind = EngineUnreachableError
    if kind is None:
        kind = RejectedError if command == "sbatch" else EngineUnreachableError
    return kind(shown)


def _key_failure(text: str) -> str:
    """What to do where ssh does not trust the machine over there; empty where that is not what it says."""
    if "host key verification failed" not in text.lower():
        return ""
    if "identification has changed" in text.lower():
        return (
            "the machine that ssh has reached shows another key than the known one, so nothing was sent; ask who runs "
            "it, and then mend the agent's known_hosts (ssh-keygen -R, ssh-keyscan)"
        )
    return (
        "the machine that ssh has reached is not among the known hosts, so nothing was sent; compare its key with what "
        "who runs it says, and add it to the agent's known_hosts (ssh-keyscan)"
    )


def failure_kind(text: str) -> type[Exception] | None:
    """What Slurm's words for a failure stand for; None for words that are no failure to reach it."""
    for pattern, kind in _FAILURES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return None


_FAILURES: tuple[tuple[str, type[Exception]], ...] = (
    (r"unable to contact slurm controller|connection refused|connect failure", NotDeliveredError),
    (r"could not resolve hostname|no route to host|permission denied \(|host key verif", NotDeliveredError),
    (r"munge encode failed|failed to connect to .*munge|unable to resolve|standby mode", NotDeliveredError),
    (r"socket timed out|zero bytes were transmitted|unexpected message", EngineUnreachableError),
    (r"connection (closed|reset)|connection timed out", EngineUnreachableError),
    (r"communication (shutdown|failure|connection)|protocol authentication", EngineUnreachableError),
    (r"max(submit|jobs)|submit limit|temporarily un|resource temporarily unavailable", NotNowError),
)


def _format(mark: str) -> str:
    return "--format=" + "|".join((mark, *_FIELDS))


def _job(fields: list[str]) -> JobRow:
    shown, raw, state, reason, user, partition, submit, start, end, nodes, cpus, gres, host, comment = fields
    array, indexes = parse_indexes(shown)
    return JobRow(
        job=int(raw),
        array=array,
        indexes=indexes,
        state=state,
        reason="" if reason == "None" else reason,
        user=user,
        partition=partition,
        comment=_given(comment),
        submit_s=_seconds(submit) or 0,
        start_s=_seconds(start),
        end_s=_seconds(end),
        nodes=_int(nodes),
        cpus=_int(cpus),
        gres=_given(gres),
        host="" if host == "n/a" else _given(host),
    )


def _seconds(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _int(text: str | None) -> int:
    match = re.match(r"\d+", text or "")
    return int(match.group()) if match else 0


def _given(text: str | None) -> str:
    return "" if text in (None, "N/A", "(null)") else str(text)
