"""The whole state of a store, held against what must always be true of it. Looks at rows alone."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from weir.model.state import (
    AttemptFacts,
    Cause,
    Dependencies,
    Desired,
    JobFacts,
    JobState,
    Observed,
    job_state,
)
from weir.store.sqlite import InlineSqliteStore

Wrong = Callable[[str], Exception]


def check_store(store: InlineSqliteStore, told_states: Mapping[int, int], wrong: Wrong) -> None:
    """Raise what `wrong` makes of the first thing that is not as it must be."""
    raw = store._session.raw
    raw.row_factory = sqlite3.Row
    try:
        jobs = {row["number"]: row for row in raw.execute("SELECT * FROM job").fetchall()}
        submissions = {row["number"]: row for row in raw.execute("SELECT * FROM submission").fetchall()}
        attempts = raw.execute("SELECT * FROM attempt").fetchall()
        centres = {row["id"]: row for row in raw.execute("SELECT * FROM centre").fetchall()}
        pools = raw.execute("SELECT * FROM pool").fetchall()
        bodies = dict(raw.execute("SELECT digest, body FROM specification").fetchall())
        outputs = raw.execute("SELECT DISTINCT job, epoch FROM output").fetchall()
        dangling = raw.execute("PRAGMA foreign_key_check").fetchall()
    finally:
        raw.row_factory = None
    if dangling:
        raise wrong(f"rows refer to rows that are not there: {[tuple(row) for row in dangling]}")
    specifications = {number: json.loads(bodies[row["specification"]]) for number, row in submissions.items()}
    _check_elements(jobs, submissions, wrong)
    _check_dependencies(jobs, submissions, specifications, wrong)
    live = _check_attempts(jobs, attempts, wrong)
    _check_states(jobs, submissions, live, centres, wrong)
    _check_capacity(jobs, specifications, attempts, pools, wrong)
    known = {(row["job"], row["epoch"]): row for row in attempts}
    for row in outputs:
        attempt = known.get((row["job"], row["epoch"]))
        if (
            attempt is None
            or attempt["observed"] != Observed.ENDED
            or attempt["desired"] == Desired.ABANDONED
        ):
            raise wrong(
                f"outputs of {row['job']}-{row['epoch']} are kept, which is not live or has not ended"
            )
    for number, state in told_states.items():
        if number not in jobs or jobs[number]["state"] != state:
            raise wrong(
                f"the log tells that job {number} is {JobState(state).name}, and its row says otherwise"
            )


def _check_elements(jobs: Mapping[int, Any], submissions: Mapping[int, Any], wrong: Wrong) -> None:
    count: dict[int, int] = defaultdict(int)
    for number, job in jobs.items():
        submission = submissions[job["submission"]]
        if number != submission["first_job"] + job["array_index"]:
            raise wrong(f"job {number} is not element {job['array_index']} of {submission['id']}")
        count[job["submission"]] += 1
    for number, submission in submissions.items():
        if count[number] != submission["size"]:
            raise wrong(f"{submission['id']} has {count[number]} jobs of {submission['size']}")


def _check_dependencies(
    jobs: Mapping[int, Any], submissions: Mapping[int, Any], specifications: Mapping[int, Any], wrong: Wrong
) -> None:
    by_id = {row["id"]: row for row in submissions.values()}
    for number, submission in submissions.items():
        specification = specifications[number]
        names = set(specification.get("after", ()))
        names |= {entry["from"] for entry in specification.get("inputs", ()) if entry.get("from")}
        unmet = 0
        failed = False
        for name in names:
            whole, _, element = name.partition(".")
            target = by_id[whole]
            first = target["first_job"] + int(element or 0)
            numbers = range(first, first + (1 if element else target["size"]))
            states = [JobState(jobs[job]["state"]) for job in numbers]
            unmet += any(state is not JobState.SUCCEEDED for state in states)
            failed = failed or any(state.ended and state is not JobState.SUCCEEDED for state in states)
        if submission["unmet"] != unmet or bool(submission["dependency_failed"]) != failed:
            raise wrong(
                f"{submission['id']} has unmet={submission['unmet']} failed={submission['dependency_failed']}, "
                f"and its dependencies {sorted(names)} say {unmet} and {failed}"
            )


def _check_attempts(jobs: Mapping[int, Any], attempts: list[Any], wrong: Wrong) -> dict[int, Any]:
    """The attempt that holds its job's epoch, by job."""
    live: dict[int, Any] = {}
    unended: set[int] = set()
    for row in attempts:
        job = jobs[row["job"]]
        if row["epoch"] > job["epoch"]:
            raise wrong(f"attempt {row['job']}-{row['epoch']} is above its job's epoch {job['epoch']}")
        if row["epoch"] == job["epoch"]:
            live[row["job"]] = row
        if row["observed"] < Observed.ENDED and row["desired"] < Desired.ABANDONED:
            if row["job"] in unended:
                raise wrong(f"job {row['job']} has two attempts that live")
            if row["epoch"] != job["epoch"]:
                raise wrong(
                    f"attempt {row['job']}-{row['epoch']} lives and its job's epoch is {job['epoch']}"
                )
            unended.add(row["job"])
        if (row["observed"] == Observed.ENDED) != (row["ended_ms"] is not None):
            raise wrong(
                f"attempt {row['job']}-{row['epoch']} is observed {row['observed']}, ended {row['ended_ms']}"
            )
    for number, job in jobs.items():
        if job["epoch"] > 0 and number not in live:
            raise wrong(f"job {number} has epoch {job['epoch']} and no attempt of it")
    return live


def _check_states(
    jobs: Mapping[int, Any],
    submissions: Mapping[int, Any],
    live: Mapping[int, Any],
    centres: Mapping[str, Any],
    wrong: Wrong,
) -> None:
    for number, job in jobs.items():
        submission = submissions[job["submission"]]
        attempt = live.get(number)
        facts = JobFacts(
            cancelled=job["cancelled_ms"] is not None,
            held=bool(job["held"]),
            dependencies=Dependencies.FAILED
            if submission["dependency_failed"]
            else Dependencies.UNMET
            if submission["unmet"]
            else Dependencies.MET,
            attempt=None
            if attempt is None
            else AttemptFacts(
                Desired(attempt["desired"]),
                Observed(attempt["observed"]),
                None if attempt["cause"] is None else Cause(attempt["cause"]),
            ),
            attempts_left=job["epoch"] - job["withdrawals"] < submission["attempts_allowed"],
            centre_reachable=attempt is not None and bool(centres[attempt["centre"]]["reachable"]),
        )
        state, cause = job_state(facts)
        stored = JobState(job["state"])
        if stored.ended:
            ended = (
                attempt is None
                or attempt["observed"] == Observed.ENDED
                or attempt["desired"] == Desired.ABANDONED
            )
            if not ended:
                raise wrong(f"job {number} is {stored.name} while its attempt lives")
            if stored is JobState.SUCCEEDED and (attempt is None or attempt["cause"] is not None):
                raise wrong(f"job {number} succeeded and its attempt did not")
            if (stored is JobState.SUCCEEDED) != (job["cause"] is None):
                raise wrong(f"job {number} is {stored.name} with cause {job['cause']}")
            if job["ended_ms"] is None:
                raise wrong(f"job {number} has ended at no time")
        elif state is not stored or (cause.value if cause else None) != job["cause"]:
            raise wrong(
                f"job {number} is {stored.name} {job['cause']}, and the facts mean {state.name} {cause}: {facts}"
            )


def _check_capacity(
    jobs: Mapping[int, Any],
    specifications: Mapping[int, Any],
    attempts: list[Any],
    pools: list[Any],
    wrong: Wrong,
) -> None:
    used: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    # What an agent brought back may lie where a restored store still believes others that have long ended.
    taken_back: set[tuple[str, str, int]] = set()
    for row in attempts:
        if row["observed"] == Observed.ENDED:
            continue
        specification = specifications[jobs[row["job"]]["submission"]]
        devices = specification.get("devices")
        milli = 0 if devices is None else devices.get("share") or devices.get("count", 1) * 1_000
        for node, tasks in json.loads(row["nodes"]):
            if row["term"] == 0:
                taken_back.add((row["centre"], row["pool"], node))
            here = used[row["centre"], row["pool"], node]
            here[0] += tasks * milli
            here[1] += tasks * specification.get("cores", 1_000)
            here[2] += tasks * specification.get("memory", 1 << 30)
    for pool in pools:
        body = json.loads(pool["body"])
        if body.get("waiting_at_most"):
            continue  # some of what is there was sent ahead of room
        room = (body.get("devices_per_node", 0) * 1_000, body["cores_per_node"], body["memory_per_node"])
        for (centre, name, node), here in used.items():
            if (centre, name) != (pool["centre"], pool["id"]) or (centre, name, node) in taken_back:
                continue
            if node >= body["nodes"] or any(need > there for need, there in zip(here, room, strict=True)):
                raise wrong(f"{centre}/{name} node {node} of {body['nodes']} has {room} and must bear {here}")


__all__ = ["check_store"]
