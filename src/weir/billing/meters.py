"""Metering: what an attempt is charged follows from the time that it ran, and from nothing else.

A meter holds the disjoint intervals, in integer milliseconds, for which an attempt has been charged so far, and the
charge by unit and band. News changes the intervals; what is posted is the difference of the charges that follow from
the intervals before and after. So whatever way the same time is told, cut, repeated or late, the total is the same to
the micro-yuan.

The clock is the centre's: an attempt lasted as long as the centre says, laid behind its start, and within what the
times of our messages allow. What exceeds that goes to the exceptions queue. Time past the limit is the centre's.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, insert, select

from weir.billing import exceptions
from weir.billing.accounts import account
from weir.billing.contracts import Contract, contract_among, contracts_between
from weir.billing.exceptions import ExceptionKind, NewException
from weir.billing.hold_legs import Leg, charged
from weir.billing.hold_offers import Cards
from weir.billing.hold_rows import (
    JobHold,
    PricedJob,
    SubmissionHold,
    job_entry,
    priced_jobs,
    touch,
    write_posted,
)
from weir.billing.ledger import Entry, post_within
from weir.billing.ledger_counters import Shortage
from weir.billing.meter_rows import Meter, add_meters, meters_of, write_meters
from weir.billing.price_bands import Bands, extended, time_in_bands, union
from weir.billing.rate_card import RateCard, Unpriced, difference
from weir.billing.stored_text import amounts_text
from weir.store import Transaction, schema
from weir.store.bulk import made, run_many, uncollected
from weir.store.listed import among, number_list
from weir.units import format_duration, format_yuan

CLOCK_TOLERANCE_MS = 1_000
"""By so much a centre's times may go beyond ours before somebody should look at its clock."""

AT_ONCE = 5_000
"""So many attempts are looked at together, so that memory does not grow with how many there are."""

_meter = schema.meter.c
_ADD_CHARGE = insert(schema.charge)
_CHARGE_COLUMNS = (
    "entry",
    "line",
    "job",
    "epoch",
    "organisation",
    "centre",
    "pool",
    "contract",
    "kind",
    "at_ms",
    "from_ms",
    "to_ms",
    "times",
    "parts",
    "amount_micro_yuan",
)
_OPEN_OF_JOBS = select(schema.meter).where(among(_meter.job, "jobs"), _meter.open.is_(True))
_OPEN_AT = (
    select(schema.meter)
    .join(
        schema.attempt,
        (schema.attempt.c.job == _meter.job) & (schema.attempt.c.epoch == _meter.epoch),
    )
    .where(_meter.centre == bindparam("at_centre"), _meter.open.is_(True))
    .where(schema.attempt.c.observed == bindparam("running"))
)


class Seen(NamedTuple):
    """What is known by now of an attempt that has started.

    `started_ms` is its start in our time, as stored with the attempt. `lasted_ms` is how long it ran by the centre's
    own clock, and None while it runs.
    """

    job: int
    epoch: int
    centre: str
    pool: str
    started_ms: int
    lasted_ms: int | None = None
    lost: bool = False
    """It ended by no fault of its job's own: nothing is charged."""
    preempted: bool = False
    """It made room for another: nothing is charged, unless its pool's prices say otherwise."""
    kept: tuple[tuple[int, int], ...] = ()
    """Of a lost attempt, the intervals of work from which a later one really resumed; they stay charged."""
    tasks: int = 0
    """How many tasks it has; of interest where its job is elastic, and told with the first news of it."""
    proven: bool = False
    """A late proof of success of an attempt that was given up: its charge is restored."""


class _Posting(NamedTuple):
    """A meter before and after, what that costs, and the entry that says so."""

    of: SubmissionHold
    own: JobHold
    legs: tuple[Leg, ...]
    """The job's, after it."""
    before: Meter
    after: Meter
    bands: Bands
    parts: Mapping[str, int]
    """What is to be charged or given back, by unit and band."""
    amount: int
    """Its sum."""
    entry: Entry


def observe(tx: Transaction, seen: Sequence[Seen], now_ms: int) -> None:
    """Meter these attempts, at most one of a job, as of `now_ms` (when their centre's report arrived), and charge them.

    Attempts whose jobs are not priced are left out. What cannot be priced, paid or believed goes to the queue of
    exceptions.
    """
    for first in range(0, len(seen), AT_ONCE):
        with uncollected():
            _observe(tx, seen[first : first + AT_ONCE], now_ms)


def close_intervals(tx: Transaction, centre: str, running: int, now_ms: int) -> None:
    """Charge what runs at a centre up to now, so that its cost can be seen. `running`: the observed level of such."""
    rows = tx.connection.execute(_OPEN_AT, {"at_centre": centre, "running": running}).all()
    observe(tx, [Seen(row.job, row.epoch, row.centre, row.pool, row.started_ms) for row in rows], now_ms)


def give_back(tx: Transaction, jobs: Iterable[int], now_ms: int) -> None:
    """Jobs have ended or are queued again: what was charged for attempts that never told their end is given back."""
    rows = tx.connection.execute(_OPEN_OF_JOBS, {"jobs": number_list(jobs)}).all()
    seen = [
        Seen(row.job, row.epoch, row.centre, row.pool, row.started_ms, lasted_ms=0, lost=True) for row in rows
    ]
    observe(tx, seen, now_ms)


def _observe(tx: Transaction, seen: Sequence[Seen], now_ms: int) -> None:
    found = priced_jobs(tx.connection, {one.job for one in seen})
    if not found:
        return
    metered = [(found[one.job], one) for one in seen if one.job in found]
    meters = meters_of(tx.connection, found)
    meters |= _begin(tx, [(priced, one) for priced, one in metered if (one.job, one.epoch) not in meters])
    cards = Cards(tx.connection)
    posting: list[_Posting] = []
    quiet: list[tuple[Meter, Meter]] = []
    trouble: list[NewException] = []
    fresh = _touched(tx, found)
    payables = {centre: account("payable", centre) for centre in {one.centre for one in seen}}
    for priced, one in metered:
        job, _, of, own = priced
        _, epoch, centre, pool, *_ = one
        before = meters[job, epoch]
        card = cards.of(of, centre, pool, before.tasks)
        if isinstance(card, Unpriced):
            trouble.append(_unpriced(priced, one, card))
            continue
        after, exceeded = _after(before, one, card, now_ms)
        if exceeded:
            trouble.append(_exceeded(priced, one, exceeded, now_ms))
        if after == before:
            continue
        parts = difference(before.parts, after.parts)
        amount = sum(parts.values())
        if not amount:
            quiet.append((before, after))
            continue
        if own is None:
            own = fresh[job]
        legs, transfers = charged(own.legs, amount, payables[centre])
        detail = {"contract": before.contract, "epoch": epoch}
        entry = job_entry(of, own, _kind(one, after, amount), now_ms, transfers, detail)
        posting.append(made(_Posting, (of, own, legs, before, after, card.bands, parts, amount, entry)))
    trouble += _charge(tx, posting, now_ms)
    write_meters(tx, quiet)
    exceptions.put(tx, trouble, now_ms)


def _after(before: Meter, seen: Seen, card: RateCard, now_ms: int) -> tuple[Meter, int]:
    """The meter after what was seen, and how many milliseconds the centre's clock goes too far (less than 0: back)."""
    _, _, _, _, _, started_ms, until_ms, intervals, parts, postings, _, tasks = before
    _, _, _, _, _, lasted_ms, lost, preempted, kept, _, proven = seen
    exceeded = 0
    if lasted_ms is None:
        its = extended(intervals, started_ms, min(now_ms, until_ms))
    else:
        ends = started_ms + lasted_ms
        if ends > now_ms + CLOCK_TOLERANCE_MS or lasted_ms < 0:
            exceeded = ends - now_ms if lasted_ms >= 0 else lasted_ms
        its = extended((), started_ms, min(ends, now_ms, until_ms))
        if lost or (preempted and not card.preempted_charged):
            its = tuple(union(kept))
    if its != intervals:
        parts = card.parts(its)
    still = lasted_ms is None and not proven
    return made(Meter, (*before[:7], its, parts, postings, still, tasks)), exceeded


def _charge(tx: Transaction, posting: Sequence[_Posting], now_ms: int) -> list[NewException]:
    """Post them all together where the limits allow it; those that they do not allow are exceptions."""
    trouble, unpaid = [], []
    if posting and _post(tx, posting, now_ms):
        for one in posting:
            short = _post(tx, [one], now_ms)
            if short:
                trouble.append(_no_money(one, short.key, short.short))
                # As before: what still runs is tried again with its next interval, and all of it then.
                after = one.after._replace(intervals=one.before.intervals, parts=one.before.parts)
                unpaid.append((one.before, after))
    write_meters(tx, unpaid)
    return trouble


def _post(tx: Transaction, posting: Sequence[_Posting], now_ms: int) -> Shortage | None:
    """Post these, and store the holds, meters and charges that follow; or nothing, where a limit would be exceeded."""
    numbers = post_within(tx, [one.entry for one in posting])
    if isinstance(numbers, Shortage):
        return numbers
    charges: list[tuple[Any, ...]] = []
    holds: list[tuple[JobHold, tuple[Leg, ...]]] = []
    meters: list[tuple[Meter, Meter]] = []
    for (_, own, legs, before, after, bands, parts, amount, entry), number in zip(
        posting, numbers, strict=True
    ):
        begins, ends, times = _news(bands, before, after)
        job, epoch, centre, pool, contract, *_ = after
        organisation, _, kind, *_ = entry
        span, costs = amounts_text(times), amounts_text(parts)
        about = (organisation, centre, pool, contract, kind, now_ms, begins, ends, span, costs, amount)
        charges.append((number, 0, job, epoch, *about))
        holds.append((own, legs))
        meters.append((before, after))
    run_many(tx.connection, _ADD_CHARGE, _CHARGE_COLUMNS, charges)
    write_posted(tx, holds)
    write_meters(tx, meters, 1)
    return None


def _begin(tx: Transaction, fresh: Sequence[tuple[PricedJob, Seen]]) -> dict[tuple[int, int], Meter]:
    """New meters for attempts that are seen for the first time, by job and epoch."""
    agreed: dict[tuple[str, str], list[Contract]] = {}
    begun = {}
    for priced, seen in fresh:
        pair = (priced.of.organisation, seen.centre)
        if pair not in agreed:
            agreed[pair] = contracts_between(tx.connection, *pair)
        contract = contract_among(agreed[pair], *pair, seen.started_ms)
        begun[seen.job, seen.epoch] = Meter(
            seen.job,
            seen.epoch,
            seen.centre,
            seen.pool,
            contract,
            seen.started_ms,
            seen.started_ms + priced.limit_ms,
            (),
            {},
            tasks=seen.tasks if priced.of.needs.tasks else 0,
        )
    add_meters(tx, begun.values())
    return begun


def _touched(tx: Transaction, found: Mapping[int, PricedJob]) -> dict[int, JobHold]:
    """The holds of those jobs that had none of their own so far."""
    own: dict[int, JobHold] = {}
    by_submission: dict[int, list[PricedJob]] = {}
    for one in found.values():
        if one.own is None:
            by_submission.setdefault(one.of.submission, []).append(one)
    for fresh in by_submission.values():
        own |= touch(tx, fresh[0].of, [one.job for one in fresh])
    return own


def _news(bands: Bands, before: Meter, after: Meter) -> tuple[int, int, dict[str, int]]:
    """From when to when the intervals differ, at most, and by how much the time in each band does."""
    if len(before.intervals) == len(after.intervals) == 1:
        [(began, ended)], [(begins, ends)] = before.intervals, after.intervals
        if began == begins and ended <= ends:
            return ended, ends, bands.split(ended, ends)
    times = difference(time_in_bands(bands, before.intervals), time_in_bands(bands, after.intervals))
    return *_span(before, after), times


def _span(before: Meter, after: Meter) -> tuple[int, int]:
    """From when to when the intervals differ, at most."""
    if not before.intervals or not after.intervals:
        there = before.intervals or after.intervals or ((after.started_ms, after.started_ms),)
        return there[0][0], there[-1][1]
    begins, ends = sorted((before.intervals[-1][1], after.intervals[-1][1]))
    if before.intervals[0] != after.intervals[0] and len(before.intervals) + len(after.intervals) > 2:
        begins = min(before.intervals[0][0], after.intervals[0][0])
    return begins, ends


def _kind(seen: Seen, after: Meter, amount: int) -> str:
    if seen.proven:
        return "restored"
    if seen.lost and amount > 0:
        return "resumed"
    if seen.lost or (seen.preempted and not after.parts):
        return "reversal"
    return "correction" if amount < 0 else "usage"


def _exceeded(priced: PricedJob, seen: Seen, exceeded_ms: int, now_ms: int) -> NewException:
    if exceeded_ms < 0:
        said = f"the centre's clock went back by {format_duration(-exceeded_ms)} while it ran; nothing is charged"
    else:
        said = f"the centre says that it ran {format_duration(exceeded_ms)} beyond the present; that is not charged"
    return NewException(
        f"clock/{seen.job}/{seen.epoch}",
        ExceptionKind.CLOCK,
        priced.of.organisation,
        seen.centre,
        said,
        seen.job,
        seen.epoch,
        {"started_ms": seen.started_ms, "lasted_ms": seen.lasted_ms, "received_ms": now_ms},
    )


def _unpriced(priced: PricedJob, seen: Seen, why: Unpriced) -> NewException:
    return NewException(
        f"unpriced/{seen.job}/{seen.epoch}",
        ExceptionKind.UNPRICED,
        priced.of.organisation,
        seen.centre,
        f"it runs and is not charged: {why}",
        seen.job,
        seen.epoch,
        {"pool": seen.pool, "price_version": priced.of.price_version},
    )


def _no_money(one: _Posting, key: str, short: int) -> NewException:
    return NewException(
        f"money/{one.after.job}/{one.after.epoch}",
        ExceptionKind.MONEY,
        one.of.organisation,
        one.after.centre,
        f"{format_yuan(one.amount)} could not be charged: {key} has {format_yuan(short)} too little",
        one.after.job,
        one.after.epoch,
        {"amount_micro_yuan": one.amount, "kind": one.entry.kind},
    )


__all__ = ["Seen", "close_intervals", "give_back", "observe"]
