"""Holds what a province says of each job against what its tasks wrote themselves, and against its engines."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.system.whole_load import CORES, Ending, Wanted
from tests.system.whole_province import (
    CLUSTERS,
    CORE_MS_MICRO_YUAN,
    DEVICE_MS_MICRO_YUAN,
    LOCAL_USER,
    WholeProvince,
)
from weir.model.money_view import ChargeView
from weir.model.view import AttemptView, JobView

_LAG_MS = 500
"""Between an attempt's own time stamps and its tasks' first and last word, on a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job and how it has to end; `before` is the one whose output it takes."""

    id: str
    wanted: Wanted
    ending: Ending
    before: str = ""


@dataclass(slots=True)
class Count:
    """What the check came to. `wrong` names everything that is not as it must be."""

    states: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    centres: Counter[str] = field(default_factory=Counter)
    attempts: int = 0
    wrong: list[str] = field(default_factory=list)


def check(province: WholeProvince, jobs: dict[str, Job]) -> Count:
    """Every job has ended; was that right?"""
    count = Count()
    charges: dict[str, list[ChargeView]] = defaultdict(list)
    for charge in _charges(province):
        charges[charge.job].append(charge)
    views = {name: _view(province, name) for name in jobs}
    for name, job in jobs.items():
        view = views[name]
        count.states[view.state] += 1
        count.causes[view.cause or "none"] += 1
        count.centres[view.centre] += 1
        count.attempts += len(view.attempts)
        one = _Check(province, job, view, views.get(job.before))
        try:
            one.all(charges[name])
        except AssertionError as error:
            tried = [
                (each.id, each.centre, each.observed, each.cause, each.message) for each in view.attempts
            ]
            told = f"it is {view.state} {view.cause} {view.exit_code}, {tried}, its ledger {one.ledger}"
            count.wrong.append(f"{job.wanted.key} {name}: {error} ({told})")
    unknown = {path.name for path in province.ledger.iterdir() if path.suffix != ".lock"} - set(jobs)
    count.wrong += [f"{name} ran and was never submitted" for name in sorted(unknown)]
    faults = province.ask(lambda client: client.verify_ledger()).faults
    count.wrong += [f"the money: {fault}" for fault in faults]
    count.wrong += _wrong_in_slurm(province, views)
    return count


@dataclass(frozen=True, slots=True)
class _Line:
    """What a task wrote down: `start`, `end` or `overlap`."""

    word: str
    attempt: str
    task: int
    at_ms: int
    user: str


class _Check:
    """One job: each method is an assertion about it."""

    def __init__(self, province: WholeProvince, job: Job, view: JobView, before: JobView | None) -> None:
        self._province, self._job, self._view, self._before = province, job, view, before
        path = province.ledger / job.id
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        self.ledger = [
            _Line(row[0], row[1], int(row[2]), int(row[3]), row[4] if len(row) > 4 else "") for row in rows
        ]
        self._last = view.attempts[-1] if view.attempts else None

    def all(self, charges: list[ChargeView]) -> None:
        self._once()
        self._right_end()
        self._reasons()
        self._usage(charges)
        if self._view.cause not in ("dependency", "lost", "node-failed"):
            self._output()

    def _once(self) -> None:
        starts = Counter((line.attempt, line.task) for line in self.ledger if line.word == "start")
        assert all(number == 1 for number in starts.values()), "a task started twice"
        attempts = {attempt for attempt, _ in starts}
        assert len(attempts) <= 1 or self._job.wanted.restartable, "not restartable, and started twice"
        assert attempts <= {one.id for one in self._view.attempts}, "an unknown attempt started"
        failed = {one.id for one in self._view.attempts if one.cause == "node-failed"}
        # A node that its engine has given up may work on for as long as nobody reaches it.
        overlapped = [line for line in self.ledger if line.word == "overlap"]
        assert not overlapped or failed, "two attempts ran at the same time"
        assert all(one.observed == "ended" for one in self._view.attempts), "an attempt has not ended"

    def _right_end(self) -> None:
        view, due = self._view, self._job.ending
        if self._before is not None and self._before.state != "succeeded":
            due = Ending("cancelled", "dependency", None)
        if (view.state, view.cause, view.exit_code) == (due.state, due.cause, due.exit_code):
            return
        assert view.state == "failed", f"it had to end as {due}"
        assert view.cause in ("lost", "node-failed"), f"it had to end as {due}"
        assert not self._job.wanted.restartable, "it had to be started again"
        killed = {name for name in self._province.kills if name.startswith(f"{view.centre}/")}
        if view.cause == "node-failed":
            assert killed, "nothing had happened to its centre"
        elif f"{view.centre}/slurmctld" not in killed:
            assert not self.ledger, "it is called lost and has started"

    def _reasons(self) -> None:
        said = [(self._view.cause, self._view.message)]
        said += [(one.cause, one.message) for one in self._view.attempts]
        assert all(cause is None or message for cause, message in said), "it does not say why it ended so"

    def _output(self) -> None:
        view, job, last = self._view, self._job, self._last
        assert last is not None
        if view.cause == "time-limit" and not self.ledger:
            return  # on a machine that is busy its shell may not have come to its first line
        starts = [line for line in self.ledger if line.word == "start" and line.attempt == last.id]
        assert job.wanted.tasks == len(starts), "not all of its tasks started"
        log = b"".join(self._province.ask(lambda client: list(client.logs(job.id)))).decode().splitlines()
        assert log[:1] == [f"log of {last.id}"], f"its log is {log}"
        devices = [] if log[1] == "devices none" else log[1].removeprefix("devices ").split(",")
        assert job.wanted.devices == len(set(devices)) == len(devices), f"its devices are {devices}"
        ended = {line.task for line in self.ledger if line.word == "end" and line.attempt == last.id}
        if view.cause in ("time-limit", "out-of-memory"):
            return
        assert set(range(job.wanted.tasks)) == ended, "not all of its tasks came to their end"
        assert ["result"] == [file.path for file in self._province.ask(lambda client: client.outputs(job.id))]
        assert f"made by {last.id}" == _content(self._province, job.id)[-1]
        if self._before is not None:
            assert _content(self._province, job.id)[:-1] == _content(self._province, self._before.id)

    def _usage(self, charges: list[ChargeView]) -> None:
        for one in self._view.attempts:
            if one.started_ms is None:
                continue
            assert one.ended_ms is not None
            assert one.started_ms <= one.ended_ms, "it ended before its start"
            seconds = (one.ended_ms - one.started_ms) * self._job.wanted.tasks / 1_000
            assert abs(one.core_seconds - seconds * CORES) <= 0.001, "its core-seconds are wrong"
            assert abs(one.device_seconds - seconds * self._job.wanted.devices) <= 0.001, (
                "its device-seconds are wrong"
            )
            if one.cause != "node-failed":
                times = [line.at_ms for line in self.ledger if line.attempt == one.id]
                assert not times or one.started_ms - _LAG_MS <= min(times), "it ran before its start"
                assert not times or max(times) <= one.ended_ms + _LAG_MS, "it ran after its end"
        if self._last is not None and self._view.cause not in ("lost", "node-failed"):
            due = _due(self._job.wanted, self._last)
            charged = sum(one.amount for one in charges if one.epoch == self._last.epoch)
            assert due == charged, f"{charged} was charged for its last attempt instead of {due}"
        if self._last is not None and self._last.centre == "alpha":
            users = {
                line.user for line in self.ledger if line.word == "start" and line.attempt == self._last.id
            }
            assert users <= {LOCAL_USER}, f"it ran as {users}"


def _due(wanted: Wanted, attempt: AttemptView) -> int:
    if attempt.started_ms is None or attempt.ended_ms is None:
        return 0
    # What runs on while it is ended at its time limit is not charged.
    limit_ms = 3_000 if wanted.specification["time_limit"] == "3s" else 300_000
    ran_ms = min(limit_ms, attempt.ended_ms - attempt.started_ms)
    core_micro_yuan = wanted.tasks * round(CORES * CORE_MS_MICRO_YUAN)
    return ran_ms * (core_micro_yuan + wanted.tasks * wanted.devices * DEVICE_MS_MICRO_YUAN)


def _charges(province: WholeProvince) -> Iterator[ChargeView]:
    cursor = ""
    while True:
        page = province.ask(lambda client, cursor=cursor: client.bill(cursor=cursor))  # type: ignore[misc]
        yield from page.charges
        if not page.next:
            return
        cursor = page.next


def _view(province: WholeProvince, name: str) -> JobView:
    view = province.ask(lambda client: client.job(name))
    assert isinstance(view, JobView)
    return view


def _content(province: WholeProvince, job: str) -> list[str]:
    target = province.folder / "taken" / str(time.monotonic_ns())
    target.parent.mkdir(exist_ok=True)
    province.ask(lambda client: client.download_output(job, "result", Path(target)))
    return target.read_text().splitlines()


def _wrong_in_slurm(province: WholeProvince, views: dict[str, JobView]) -> list[str]:
    """`squeue` against Weir: nothing runs in either, and what Slurm lists as done Weir had placed there."""
    wrong = []
    for name in CLUSTERS:
        cluster = province.clusters[name]
        cluster.until(lambda cluster=cluster: not cluster.run("squeue", "-ha", "-o%i"))  # type: ignore[misc]
        there = {one.id for view in views.values() for one in view.attempts if one.centre == name}
        rows = [line.split() for line in cluster.run("squeue", "-hatall", "-o%T %k").splitlines()]
        listed = {comment.removeprefix("weir:") for _, comment in rows}
        # An array is named by its first attempt and its size.
        strange = {one for one in listed if one.partition("~")[0] not in there}
        wrong += [f"{name}'s Slurm has {one}, which Weir never placed there" for one in sorted(strange)]
        ran = [
            one for view in views.values() for one in view.attempts if one.centre == name and one.started_ms
        ]
        if not province.kills[f"{name}/slurmctld"]:
            singles = {one.id for one in ran if "." not in one.id} - listed
            wrong += [f"{name}'s Slurm does not have {one}, which ran there" for one in sorted(singles)]
    return wrong
