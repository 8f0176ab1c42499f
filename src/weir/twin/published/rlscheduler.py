"""RLScheduler's table of heuristics (Zhang et al., SC 2020), under that paper's decision rule.

The rule, as its environment states it (DIR-LAB/deep-batch-scheduler, commit cd433e3, README and HPCSimPickJobs.py):

- Jobs are those of the log with a run time above zero, a negative one counting as 10 s; a job takes the larger of its
  allocated and requested processors, rounded up to whole nodes (MaxProcs / MaxNodes processors each); without a
  requested time the run time is the request. A job runs for its run time, beyond its request if need be.
- A sequence is 1,024 jobs in a row that start on an empty machine; the figure is the mean over ten sequences.
- Whenever something is queued the one of best score is chosen and committed: time moves on until it fits, arrivals
  before ends that fall on the same second, one end at a time. Nothing that arrives meanwhile overtakes it.
- With its backfill, the moment at which the chosen job fits by the requests is computed once, when it is blocked; at
  every event until it starts, the queue is gone through in order of submission, and a job that fits and whose request
  ends strictly before that moment starts. No use is made of nodes that the chosen job would leave over.
- Scores (r request in seconds, n processors, s submission, lower first): FCFS s; SJF (r, s); F1 log10(r) n + 870
  log10(s); WFP3 and UNICEP take the wait as -1 - s, because a job's start is -1 there until it runs, and are
  therefore fixed like the others: -((-1 - s) / r)^3 n and (1 + s) / (log2(n) r).

So `rl-fcfs`, `rl-wfp3`, `rl-unicep`, `rl-sjf` and `rl-f1` are not Weir's policies of similar names.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused
from weir.scheduling.compilation import kernel_of

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

RL_POLICIES = ("rl-fcfs", "rl-wfp3", "rl-unicep", "rl-sjf", "rl-f1")

RL_STARTS = (1981, 2756, 4299, 8850, 3316, 2714, 5228, 7762, 4022, 7085)
"""Where the ten sequences of seed 1 begin among a log's jobs, counted from 0."""

RL_PUBLISHED: dict[str, dict[bool, tuple[float, ...]]] = {
    "Lublin-1": {
        False: (7273.77, 19753.53, 22274.74, 277.35, 258.37),
        True: (235.82, 133.87, 307.23, 73.31, 75.07),
    },
    "HPC2N": {
        False: (297.18, 426.99, 609.77, 157.71, 118.01),
        True: (127.38, 97.39, 175.12, 122.04, 71.95),
    },
    "Lublin-2": {
        False: (7842.47, 9523.18, 11265.31, 787.89, 698.34),
        True: (247.61, 318.35, 379.59, 91.99, 148.25),
    },
}
"""Mean bounded slowdown by log and backfill, in the order of RL_POLICIES: the table of the README."""

_ENDURES_S = 10


@dataclass(frozen=True, slots=True)
class RlLog:
    """A log as that environment reads it; columns are parallel, in order of the jobs' numbers, times in seconds."""

    name: str
    submit_s: Int64s
    run_s: Int64s
    request_s: Int64s
    processors: Int64s
    machine_processors: int
    machine_nodes: int

    def __len__(self) -> int:
        return len(self.submit_s)


@dataclass(frozen=True, slots=True)
class RlRow:
    """One cell of the table: the mean over the sequences, and each sequence's own figures."""

    log: str
    policy: str
    backfill: bool
    bounded_slowdown: float
    utilisation: float
    sequences: tuple[float, ...]
    """Mean bounded slowdown of each sequence."""


def read_rl_log(path: Path, name: str = "") -> RlLog:
    """Read a log in the Standard Workload Format (gzip or plain) by that environment's own cleaning.

    Raises ProblemError when the header names no machine, a line is no job, or no job remains.
    """
    header: dict[str, str] = {}
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open("rt") as lines:
        for line in lines:
            if not line.startswith(";"):
                break
            key, _, value = line[1:].partition(":")
            header.setdefault(key.strip(), value.strip())
    nodes = _count(header, "MaxNodes")
    processors = _count(header, "MaxProcs") or nodes
    nodes = nodes or processors
    if not processors:
        raise refused(f"{path.name}: header", "no MaxNodes, no MaxProcs", "at least one of the two above 0")
    try:
        columns = np.loadtxt(path, np.float64, comments=";", usecols=(0, 1, 3, 4, 7, 8), unpack=True, ndmin=2)
    except ValueError as error:
        raise refused(f"{path.name}", str(error), "lines of 18 numbers, or comments after ';'") from error
    number, submit, run, allocated, requested, request = columns.astype(np.int64)
    request = np.where(request == -1, run, request)
    run = np.where(run < 0, _ENDURES_S, run)
    order = np.argsort(number, kind="stable")
    order = order[run[order] > 0]
    if not len(order):
        raise refused(f"{path.name}", "0 jobs with a run time", "a log with at least one")
    return RlLog(
        name or path.name.partition(".")[0],
        submit[order],
        run[order],
        request[order],
        np.maximum(allocated, requested)[order],
        processors,
        nodes,
    )


def rl_table(
    log: RlLog,
    *,
    policies: Sequence[str] = RL_POLICIES,
    backfills: Sequence[bool] = (False, True),
    starts: Sequence[int] = RL_STARTS,
    length: int = 1_024,
) -> list[RlRow]:
    """The table's rows for one log, by policy within backfill.

    `starts` are indices into the log's jobs from 0, `length` the jobs of a sequence. Utilisation is the work of the
    sequence over the machine from the first submission to the last start, as that environment counts it. Raises
    ProblemError for an unknown policy, a sequence beyond the log's end, or a job wider than the machine.
    """
    rows = []
    for backfill in backfills:
        for policy in policies:
            slowdowns = []
            used = []
            for first in starts:
                start = rl_starts(log, policy, backfill=backfill, first=first, length=length)
                part = slice(first, first + length)
                run, submit = log.run_s[part], log.submit_s[part]
                flow = (start - submit + run).astype(np.float64)
                slowdowns.append(float(np.maximum(1.0, flow / np.maximum(run, _ENDURES_S)).mean()))
                span = int(start.max() - submit[0]) * log.machine_processors
                used.append(float((run * log.processors[part]).sum()) / span if span else 0.0)
            rows.append(
                RlRow(
                    log.name,
                    policy,
                    backfill,
                    float(np.mean(slowdowns)),
                    float(np.mean(used)),
                    tuple(slowdowns),
                )
            )
    return rows


def rl_starts(log: RlLog, policy: str, *, backfill: bool, first: int, length: int) -> Int64s:
    """When each job of one sequence starts, in seconds of the log, under that rule."""
    if policy not in RL_POLICIES:
        raise refused("policy", policy, f"one of {', '.join(RL_POLICIES)}")
    if first < 0 or length < 1 or first + length > len(log):
        accepted = f"{length} jobs within the {len(log)} of {log.name}"
        raise refused("sequence", f"{first} to {first + length}", accepted)
    part = slice(first, first + length)
    submit, run = log.submit_s[part], log.run_s[part]
    request, processors = log.request_s[part], log.processors[part]
    nodes = -(-processors * log.machine_nodes // log.machine_processors)
    widest = int(nodes.max())
    if widest > log.machine_nodes:
        raise refused("sequence", f"a job of {widest} nodes", f"jobs of at most {log.machine_nodes} nodes")
    score = _score(policy, submit, request, processors)
    rank = np.empty(length, np.int64)
    rank[np.lexsort((submit, score))] = np.arange(length)
    kernel = kernel_of("twin", "rlscheduler")
    start: Int64s = kernel.rl_sequence(
        np.ascontiguousarray(submit),
        np.ascontiguousarray(run),
        np.ascontiguousarray(request),
        nodes,
        rank,
        log.machine_nodes,
        backfill,
    )
    return start


def _score(policy: str, submit: Int64s, request: Int64s, processors: Int64s) -> Floats:
    """Lower first; a request of 0 s divides by zero as it does there, and comes last."""
    r, n, s = request.astype(np.float64), processors.astype(np.float64), submit.astype(np.float64)
    wait = -1.0 - s
    with np.errstate(divide="ignore", invalid="ignore"):
        match policy:
            case "rl-fcfs":
                return s
            case "rl-sjf":
                return r
            case "rl-f1":
                shown = np.log10(np.where(r > 0, r, 0.1)) * n
                return np.asarray(shown + 870 * np.log10(np.where(s > 0, s, 0.1)))
            case "rl-wfp3":
                return np.asarray(-np.power(wait / r, 3) * n)
            case _:
                return np.asarray(-(wait + 1e-15) / (np.log2(n + 1e-15) * r))


def _count(header: dict[str, str], key: str) -> int:
    first = header.get(key, "").split(maxsplit=1)
    return int(first[0]) if first and first[0].isdigit() else 0
