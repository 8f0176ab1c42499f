"""Where control and billing meet: what becomes of jobs and attempts, told as holds and usage.

Each function works within the transaction that makes the change, and does nothing for work that is not priced.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from sqlalchemy import Connection

from weir.access import server_itself
from weir.billing import holds, meters, resumption
from weir.billing.hold_offers import Offers
from weir.billing.hold_rows import job_holds, submission_holds
from weir.billing.holds import HoldRequest
from weir.billing.meters import Seen
from weir.billing.price_rows import PREFIX
from weir.billing.price_versions import in_force
from weir.billing.rate_card import Needs
from weir.billing.voucher_offers import granting_offers, paid_there
from weir.control.pools import Pools, declared_pools
from weir.control.references import Entry
from weir.control.shapes import class_of
from weir.model.agent import End
from weir.model.job import JobSpecification
from weir.model.state import REPEATABLE, Cause, JobState, Observed
from weir.scheduling.eligibility import fits_ever
from weir.scheduling.inputs import JobClass
from weir.scheduling.plan import Constraint, Start, Verdict
from weir.store import Transaction

METER_EVERY_MS = 300_000
"""What runs is charged up to now at the first report of a centre after every full five minutes."""


class Place(NamedTuple):
    """Where an attempt is, and with how many tasks."""

    pool: str
    tasks: int


class Moved(Protocol):
    """Jobs of one submission that moved alike (`control.moves.Move`)."""

    @property
    def submission(self) -> int: ...
    @property
    def jobs(self) -> Sequence[int]: ...
    @property
    def state(self) -> JobState: ...


def hold(tx: Transaction, entries: Sequence[tuple[Entry, bool]], now_ms: int) -> dict[int, tuple[str, ...]]:
    """Set money aside for new submissions (each with whether its jobs may still run); notices by their number.

    Raises ProblemError of kind `money`.
    """
    asked = any(
        entry.specification.budget or entry.specification.max_price is not None for entry, _ in entries
    )
    if in_force(tx.connection, now_ms) is None and not asked:
        return {}
    pools = declared_pools(tx.connection)
    requests = [
        HoldRequest(
            submission=entry.number,
            id=entry.id,
            organisation=entry.organisation,
            project=entry.project,
            jobs=entry.specification.size if may_run else 0,
            needs=needs_of(entry.specification),
            limit_ms=entry.time_limit_ms,
            pools=possible_pools(pools, class_of(entry.specification)),
            budget=entry.specification.budget,
            max_price=entry.specification.max_price,
            purpose=entry.specification.purpose,
            field=entry.field,
        )
        for entry, may_run in entries
    ]
    return holds.place(tx, requests, now_ms, offers(tx), paid_there)


def start(tx: Transaction, starts: Iterable[Start], now_ms: int) -> set[int]:
    """Size the holds of what is placed now, each at its pool; the jobs that there is no money for at theirs."""
    places = {one.job: Place(one.pool, sum(tasks for _, tasks in one.nodes)) for one in starts}
    return set(_start(tx, places, now_ms))


def taken_back(tx: Transaction, places: Mapping[int, Place], now_ms: int) -> None:
    """Jobs are placed because agents hold them already: each at this place, whether or not there is money for it.

    What lacks is taken when it is charged, and is an exception where there is none then.
    """
    _start(tx, places, now_ms)


def settled(tx: Transaction, moves: Sequence[Moved], now_ms: int) -> None:
    """Jobs have moved: what ended gives back what is left of its hold, what is queued again holds anew."""
    over = [move for move in moves if move.state.ended or move.state in (JobState.QUEUED, JobState.HELD)]
    if not over:
        return
    priced = submission_holds(tx.connection, {move.submission for move in over})
    over = [move for move in over if move.submission in priced]
    if not over:
        return
    meters.give_back(tx, [job for move in over for job in _placed(tx.connection, move)], now_ms)
    ended: dict[int, list[int]] = {}
    queued: dict[int, list[int]] = {}
    for move in over:
        (ended if move.state.ended else queued).setdefault(move.submission, []).extend(move.jobs)
    if queued:
        holds.requeue(tx, queued, now_ms, offers(tx))
    if ended:
        listed = {submission: sorted(jobs) for submission, jobs in ended.items()}
        holds.release(tx, listed, now_ms, offers(tx))


def seen(
    *,
    job: int,
    epoch: int,
    centre: str,
    place: Place,
    started_ms: int | None,
    end: End | None,
    live: bool,
    last: bool,
) -> Seen | None:
    """What an observation means for metering; None where there is nothing to meter.

    `started_ms` is the attempt's start in our time. `live`: it holds its job's epoch and was not given up. `last`: its
    job has ended, and no later attempt was made.
    """
    if started_ms is None or not (live or (last and end is not None and end.cause is None)):
        return None
    if end is None:
        return Seen(job, epoch, centre, place.pool, started_ms, tasks=place.tasks)
    began_ms = end.started_ms
    lasted_ms = 0 if began_ms is None else end.ended_ms - began_ms
    preempted = end.cause is Cause.PREEMPTED
    lost = end.cause in REPEATABLE and not preempted
    return Seen(
        job,
        epoch,
        centre,
        place.pool,
        started_ms,
        lasted_ms,
        lost=lost,
        preempted=preempted,
        tasks=place.tasks,
        proven=not live,
    )


def observed(tx: Transaction, news: Sequence[Seen], now_ms: int) -> None:
    """Charge what was seen of attempts."""
    meters.observe(tx, news, now_ms)


def resumed(tx: Transaction, told: Mapping[tuple[int, int], int], now_ms: int) -> None:
    """Attempts, by job and epoch, say when the checkpoints were written from which they went on, in our time."""
    for (job, epoch), checkpoint_ms in told.items():
        resumption.resumed(tx, job, epoch, checkpoint_ms, now_ms)


def tick(tx: Transaction, centre: str, before_ms: int | None, now_ms: int) -> None:
    """A report of a centre has come, the one before at `before_ms`: now and then what runs there is charged."""
    if before_ms is not None and before_ms // METER_EVERY_MS != now_ms // METER_EVERY_MS:
        meters.close_intervals(tx, centre, int(Observed.RUNNING), now_ms)


def relimited(tx: Transaction, submission: int, runs: Sequence[Sequence[int]], now_ms: int) -> None:
    """The time limit of unplaced jobs, as runs [first, count], was changed. Raises ProblemError of kind `money`."""
    if submission_holds(tx.connection, [submission]):
        jobs = [first + place for first, count in runs for place in range(count)]
        holds.relimit(tx, submission, jobs, now_ms, offers(tx))


def offers(tx: Transaction) -> Offers:
    """The vouchers that holds are sized with: granted by the server itself, since nobody has to apply for them."""
    return granting_offers(tx, server_itself())


def waiting(connection: Connection, job: int) -> str:
    """That a queued job waits for money, in words; an empty text where it does not."""
    own = job_holds(connection, [job]).get(job)
    if own is None or own.waiting_ms is None:
        return ""
    of = submission_holds(connection, [own.submission])[own.submission]
    return f"money: budget {of.budget} has too little left in {of.period} for what the job can still cost"


def in_words(failed: Constraint | None) -> Constraint | None:
    """A constraint as people read it: that a pool refuses work for want of a price is told to the core as a capability.

    What its engine cannot do, if anything, goes first.
    """
    if failed is None or failed.name != "engine":
        return failed
    there = set(failed.found.split(", "))
    lacking = [name for name in failed.needed.split(", ") if name not in there]
    engine = [name for name in lacking if not name.startswith(PREFIX)]
    if engine:
        can = [name for name in sorted(there) if not name.startswith(PREFIX)]
        return Constraint("engine", ", ".join(engine), ", ".join(can) or "no such capability")
    what = [name.rpartition("/")[2].replace("_", " ") for name in lacking]
    return Constraint("money", f"prices for {' and '.join(what)}", "no price")


def needs_of(specification: JobSpecification) -> Needs:
    """What a job uses while it runs, over all of its tasks, or the most that it may have."""
    tasks, devices = specification.tasks.most, specification.devices
    milli = 0 if devices is None else devices.share or devices.count * 1_000
    return Needs(
        devices_milli=tasks * milli,
        cores_milli=tasks * specification.cores,
        memory_bytes=tasks * specification.memory,
        data=tuple((need.at, need.size) for need in specification.data),
        tasks=tasks if specification.tasks.elastic else 0,
    )


@functools.lru_cache(maxsize=4_096)
def possible_pools(pools: Pools, job_class: JobClass) -> tuple[str, ...]:
    """The pools at which jobs of a class could ever run."""
    reasons = fits_ever(pools.rows, pools.links, job_class)
    return tuple(reason.pool for reason in reasons if reason.verdict is Verdict.FITS)


def _start(tx: Transaction, places: Mapping[int, Place], now_ms: int) -> dict[int, str]:
    pools = {job: place.pool for job, place in places.items()}
    tasks = {job: place.tasks for job, place in places.items()}
    return holds.start(tx, pools, now_ms, offers(tx), tasks)


def _placed(connection: Connection, move: Moved) -> Sequence[int]:
    """Those of a move's jobs that were placed once."""
    return [job for job, one in job_holds(connection, move.jobs).items() if one.submission == move.submission]


__all__ = [
    "METER_EVERY_MS",
    "Place",
    "hold",
    "in_words",
    "needs_of",
    "observed",
    "offers",
    "possible_pools",
    "relimited",
    "resumed",
    "seen",
    "settled",
    "start",
    "taken_back",
    "tick",
    "waiting",
]
