"""Holds: money set aside before a job runs, sized anew when it is placed or queued again, and given back at its end.

Invariant after every transaction, for every priced job that has not ended: what is held for it is the most that what
is left of it can cost, over the pools that it may use, or at its pool once it has one. A job that is queued again
without money for that waits with nothing held. What was set aside for the elements of an array that were never placed
is one amount for all of them (their submission's legs times how many they are), so that an array costs as much work
as a job.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from weir.billing.budget import budget_for, purse_of, state_of
from weir.billing.budget_periods import period_name
from weir.billing.hold_legs import Leg, released, resized, times
from weir.billing.hold_offers import (
    NO_PRICE,
    Apart,
    Offers,
    Worst,
    asked_for,
    no_offers,
    nothing_apart,
    template,
    worst_of,
)
from weir.billing.hold_rows import (
    JobHold,
    PricedJob,
    SubmissionHold,
    add_hold,
    bar,
    entry_about,
    fewer_untouched,
    job_entry,
    job_holds,
    priced_jobs,
    submission_holds,
    touch,
    write_job_holds,
)
from weir.billing.hold_waiting import serve_in_turn
from weir.billing.ledger import Entry, post, post_within
from weir.billing.ledger_counters import OverLimitError, Shortage
from weir.billing.price_versions import BookVersion, in_force, version_of
from weir.billing.rate_card import Needs
from weir.model.change import ChangeKind
from weir.model.problem import ProblemError, refused
from weir.store import Transaction
from weir.units import format_yuan

LARGEST_HOLD = 2**60
"""Micro-yuan, of one submission."""
ALL_TASKS: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A submission for whose jobs money has to be set aside. `pools` are those that any of them may use."""

    submission: int
    id: str
    organisation: str
    project: str
    jobs: int
    """How many of them may still run."""
    needs: Needs
    limit_ms: int
    pools: tuple[str, ...]
    budget: str = ""
    max_price: int | None = None
    purpose: str = ""
    field: str = ""
    """What stands before the names of its fields in a refusal."""


def place(
    tx: Transaction,
    requests: Sequence[HoldRequest],
    now_ms: int,
    offers: Offers = no_offers,
    apart: Apart = nothing_apart,
) -> dict[int, tuple[str, ...]]:
    """Set money aside for the jobs of new submissions; notices for their owners, by submission.

    Where no price book is in force, does nothing. Raises ProblemError of kind `money`: no pool has all prices, none
    is within `max_price`, there is no budget, or it has too little left, and by how much. Pools that refuse the job
    are kept with their reason.
    """
    version = in_force(tx.connection, now_ms)
    if version is None:
        for request in requests:
            _check_unpriced(request)
        return {}
    return {
        request.submission: _place_one(tx, request, version, now_ms, offers, apart)
        for request in requests
        if request.jobs
    }


def start(
    tx: Transaction,
    starts: Mapping[int, str],
    now_ms: int,
    offers: Offers = no_offers,
    tasks: Mapping[int, int] = ALL_TASKS,
) -> dict[int, str]:
    """Size the holds of jobs that are placed now, each at its pool; the jobs that may not start there, and why.

    tasks: how many each has there, which matters of elastic ones alone; without it the most that they may have. Those
    that may not start wait for money from then on; where it is not money that lacks, their submission's pool is barred.
    """
    failed = {}
    for job, one in priced_jobs(tx.connection, starts).items():
        why = _start_one(tx, one, starts[job], tasks.get(job, 0), now_ms, offers)
        if why:
            failed[job] = f"money: needs {why[0]}, found {why[1]}"
    return failed


def release(
    tx: Transaction, ended: Mapping[int, Sequence[int]], now_ms: int, offers: Offers = no_offers
) -> None:
    """Give back what is held for jobs that have ended: by submission their numbers, rising.

    Harmless for work that is not priced. Jobs that wait for money may get it then.
    """
    entries: list[Entry] = []
    for submission, hold in submission_holds(tx.connection, ended).items():
        jobs = ended[submission]
        own = {
            job: one for job, one in job_holds(tx.connection, jobs).items() if one.submission == submission
        }
        fewer = len(jobs) - len(own)
        if fewer:
            transfers = times(released(hold.legs)[1], fewer)
            cause = f"release/{submission}/{hold.untouched}"
            if transfers:
                entries.append(entry_about(hold, cause, "release", now_ms, transfers, jobs=fewer))
            fewer_untouched(tx, submission, fewer)
        written = []
        for one in own.values():
            legs, transfers = released(one.legs)
            if transfers:
                entries.append(job_entry(hold, one, "release", now_ms, transfers))
            written.append(one.posted(legs, bool(transfers), closed=True, waiting_ms=None))
        write_job_holds(tx, written)
    if entries:
        post(tx, entries)
        wake(tx, now_ms, offers)


def requeue(
    tx: Transaction, queued: Mapping[int, Sequence[int]], now_ms: int, offers: Offers = no_offers
) -> None:
    """Size the holds of jobs that are queued again as if they were new; without money they wait with nothing held.

    By submission their numbers. Jobs that were never placed keep what they have.
    """
    jobs = [job for listed in queued.values() for job in listed]
    if not submission_holds(tx.connection, queued):
        return
    own = job_holds(tx.connection, jobs)
    for one in priced_jobs(tx.connection, own).values():
        if one.own and not one.own.closed and one.own.waiting_ms is None:
            _hold_again(tx, one, now_ms, offers)


def wake(tx: Transaction, now_ms: int, offers: Offers = no_offers) -> int:
    """Try again to set money aside for jobs that wait for it, those that wait longest first; how many got it.

    Jobs of a submission that need the same are tried until the first that gets nothing; so however many wait, each
    need is looked at. The core hears of them by an EDITED change for each organisation.
    """
    got: dict[str, list[int]] = {}

    def served(job: int) -> bool:
        one = priced_jobs(tx.connection, [job])[job]
        if not _hold_again(tx, one, now_ms, offers):
            return False
        got.setdefault(one.of.organisation, []).append(job)
        return True

    serve_in_turn(tx.connection, served)
    for organisation, jobs in got.items():
        body = {"jobs": [[job, 1] for job in sorted(jobs)]}
        tx.append(ChangeKind.EDITED, body, at_ms=now_ms, organisation=organisation)
    return sum(map(len, got.values()))


def relimit(
    tx: Transaction, submission: int, jobs: Sequence[int], now_ms: int, offers: Offers = no_offers
) -> None:
    """Size the holds of unplaced jobs of a submission anew, whose time limit has been changed.

    Raises ProblemError of kind `money` where there is too little.
    """
    hold = submission_holds(tx.connection, [submission]).get(submission)
    if hold is None:
        return
    touch(tx, hold, jobs)
    entries, written = [], []
    for one in priced_jobs(tx.connection, jobs).values():
        assert one.own is not None
        worst = worst_of(
            tx.connection, version_of(tx.connection, hold.price_version), hold, hold.pools, one.limit_ms
        )
        before = one.own.legs
        wanted = template(tx.connection, hold, worst, one.limit_ms, now_ms, offers, before)
        legs, transfers = resized(before, wanted)
        if transfers:
            entries.append(job_entry(hold, one.own, "resize", now_ms, transfers))
        written.append(one.own.posted(legs, bool(transfers), waiting_ms=None))
    if entries:
        _post_or_refuse(tx, entries, "time_limit")
    write_job_holds(tx, written)


def wanted_legs(
    tx: Transaction,
    one: PricedJob,
    now_ms: int,
    offers: Offers = no_offers,
    pool: str = "",
    tasks: int = 0,
) -> tuple[tuple[Leg, ...], Worst]:
    """The legs that a job should have at this pool with so many tasks (0: the most that it may have), or while it may
    use any of its submission's."""
    version = version_of(tx.connection, one.of.price_version)
    worst = worst_of(tx.connection, version, one.of, [pool] if pool else one.of.pools, one.limit_ms, tasks)
    own = one.own.legs if one.own else one.of.legs
    return template(tx.connection, one.of, worst, one.limit_ms, now_ms, offers, own), worst


def _place_one(
    tx: Transaction, request: HoldRequest, version: BookVersion, now_ms: int, offers: Offers, apart: Apart
) -> tuple[str, ...]:
    budget = budget_for(tx.connection, request.organisation, request.budget)
    period = period_name(budget.period, now_ms)
    purse = purse_of(tx, budget, period, request.project)
    hold = SubmissionHold(
        request.submission,
        request.organisation,
        request.project,
        budget.id,
        period,
        version.version,
        version.book.class_of(request.organisation),
        request.needs,
        request.pools,
        {},
        (Leg(purse.account, purse.funding, None, 0),),
        request.jobs,
        request.max_price,
        request.purpose,
    )
    worst = worst_of(tx.connection, version, hold, request.pools, request.limit_ms)
    dear = {pool: found for pool, (_, found) in worst.barred.items() if found != NO_PRICE}
    if dear or not worst.by_pool:
        raise _no_pool(request, worst, dear)
    if worst.gross * request.jobs >= LARGEST_HOLD:
        said = "it could cost more than any budget can hold; ask for less"
        raise refused(request.field + "time_limit", format_yuan(worst.gross), said, kind="money")
    legs = template(tx.connection, hold, worst, request.limit_ms, now_ms, offers)
    paid = apart(tx.connection, asked_for(hold, worst, request.limit_ms, now_ms), worst.by_pool)
    hold = replace(
        hold,
        legs=legs,
        pools=tuple(sorted(worst.by_pool)),
        barred=worst.barred,
        paid_there=_paid_there(worst, legs, paid),
    )
    add_hold(tx, hold)
    transfers = times(resized((), legs)[1], request.jobs)
    if transfers:
        cause = f"hold/{request.submission}"
        entry = entry_about(hold, cause, "hold", now_ms, transfers, id=request.id, jobs=request.jobs)
        _post_or_refuse(tx, [entry], request.field + "budget", budget.id)
    warning = state_of(tx.connection, budget, now_ms).warning
    return (warning,) if warning else ()


def _paid_there(worst: Worst, legs: Sequence[Leg], paid: Mapping[str, int]) -> dict[str, int]:
    """As of `SubmissionHold.paid_there`."""
    alike = round(1_000 * sum((leg.share or Fraction(0) for leg in legs), Fraction(0)))
    by_pool = {
        pool: round(Fraction(1_000 * paid.get(pool, 0), most)) if most else 0
        for pool, most in worst.by_pool.items()
    }
    if set(by_pool.values()) <= {alike}:
        return {}
    return {pool: milli for pool, milli in sorted(by_pool.items()) if milli}


def _start_one(
    tx: Transaction, one: PricedJob, pool: str, tasks: int, now_ms: int, offers: Offers
) -> tuple[str, str] | None:
    """Size one job's hold at its pool; what is needed and found where that cannot be."""
    wanted, worst = wanted_legs(tx, one, now_ms, offers, pool, tasks)
    why = worst.barred.get(pool)
    if why is None and pool not in worst.by_pool:
        why = ("a price", "the pool is gone")
    before = one.own or JobHold(one.job, one.of.submission, one.of.legs)
    legs, transfers = resized(before.legs, wanted)
    entries = [job_entry(one.of, before, "resize", now_ms, transfers)] if transfers else []
    poor = False
    if why is None:
        posted = post_within(tx, entries)
        if isinstance(posted, Shortage):
            poor = True
            why = (f"{format_yuan(posted.short)} more in {posted.key}", format_yuan(max(0, posted.available)))
    if why is not None:
        if not poor:
            # What money cannot cure; a pool that is too dear today may be used once there is more of it.
            bar(tx, one.of, pool, why)
        if one.own is None:
            before = touch(tx, one.of, [one.job])[one.job]
        _let_wait(tx, one, before, now_ms)
        return why
    if one.own is None:
        touch(tx, one.of, [one.job])
    write_job_holds(tx, [before.posted(legs, len(entries))])
    return None


def _hold_again(tx: Transaction, one: PricedJob, now_ms: int, offers: Offers) -> bool:
    """Hold anew what the job may cost from its beginning; whether there was money for it."""
    own = one.own
    assert own is not None
    wanted, worst = wanted_legs(tx, one, now_ms, offers)
    if own.waiting_ms is not None and not worst.by_pool:
        return False  # it costs nothing because it can run nowhere
    legs, transfers = resized(own.legs, wanted)
    entries = [job_entry(one.of, own, "resize", now_ms, transfers)] if transfers else []
    if not isinstance(post_within(tx, entries), Shortage):
        write_job_holds(tx, [own.posted(legs, len(entries), waiting_ms=None)])
        return True
    if own.waiting_ms is None:
        _let_wait(tx, one, own, now_ms)
    return False


def _let_wait(tx: Transaction, one: PricedJob, own: JobHold, now_ms: int) -> None:
    """Give back what is held for a job that there is no money for, so that two such do not wait for each other."""
    legs, transfers = released(own.legs)
    entries = [job_entry(one.of, own, "release", now_ms, transfers)] if transfers else []
    post(tx, entries)
    write_job_holds(tx, [own.posted(legs, len(entries), waiting_ms=now_ms)])


def _check_unpriced(request: HoldRequest) -> None:
    for name in ("budget", "max_price"):
        value = getattr(request, name)
        if value not in ("", None):
            said = "no price book is in force, so that work is not priced; leave it out"
            raise refused(request.field + name, value, said)


def _no_pool(request: HoldRequest, worst: Worst, dear: Mapping[str, str]) -> ProblemError:
    if request.max_price is not None and dear:
        shown = ", ".join(f"{pool} {found}" for pool, found in sorted(dear.items())[:5])
        cheaper = sorted(
            {pool.partition("/")[0] for pool in worst.by_pool} - {pool.partition("/")[0] for pool in dear}
        )
        hint = f"; constraints.centres: [{', '.join(cheaper)}] leaves only pools within it" if cheaper else ""
        said = f"it could cost more ({shown}){hint}"
        return refused(request.field + "max_price", format_yuan(request.max_price), said, kind="money")
    units = sorted({units for units, _ in worst.barred.values()})
    said = f"no pool that could run it has a price for all that it uses; missing: {'; '.join(units)}"
    return refused(request.field + "command", "to be priced", said, kind="money")


def _post_or_refuse(tx: Transaction, entries: Sequence[Entry], name: str, value: str = "") -> None:
    try:
        post(tx, entries)
    except OverLimitError as error:
        short = error.shortage
        needed, left = format_yuan(short.available + short.short), format_yuan(max(0, short.available))
        said = f"{needed} has to be set aside and {left} is left in {short.key}, {format_yuan(short.short)} too little"
        raise refused(name, value or needed, said, kind="money") from None


__all__ = ["HoldRequest", "place", "release", "relimit", "requeue", "start", "wake", "wanted_legs"]
