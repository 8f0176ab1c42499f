"""Everything that must always be true of holds and charges, looked at in the whole store (`validate`)."""

import json

from sqlalchemy import Connection, func, select

from weir.billing.counter_check import look
from weir.billing.hold_legs import total_charged, total_held
from weir.billing.hold_offers import Cards, Worst, worst_of
from weir.billing.hold_rows import PricedJob, job_holds, submission_holds
from weir.billing.ledger_verify import balances
from weir.billing.meter_rows import Meter, meters_of
from weir.billing.price_versions import version_of
from weir.billing.rate_card import RateCard
from weir.model.state import JobState
from weir.store import schema
from weir.store.listed import among, number_list

_job = schema.job.c
_charge = schema.charge.c
_REFUNDS = (
    select(_charge.job, func.sum(_charge.amount_micro_yuan))
    .where(among(_charge.job, "jobs"), _charge.kind == "refund")
    .group_by(_charge.job)
)


def check_money(connection: Connection) -> list[str]:
    """What is wrong with holds and charges, in words; nothing where all is well. Reads all priced work.

    What is held for each priced job is the most that is left of it can cost; jobs that have ended hold nothing;
    what was charged for a job is what its meters say; the holds together are what the ledger's accounts of holds
    have; every counter follows from the transfers; and what a meter has charged follows from its intervals.
    """
    faults: list[str] = []
    numbers = connection.execute(select(schema.hold.c.submission)).scalars().all()
    held_by_account: dict[str, int] = {}
    for submission, hold in submission_holds(connection, numbers).items():
        jobs = connection.execute(
            select(_job.number, _job.state, _job.time_limit_ms, _job.epoch).where(
                _job.submission == submission
            )
        ).all()
        own = job_holds(connection, [row.number for row in jobs])
        meters: dict[int, list[Meter]] = {}
        for meter in meters_of(connection, own).values():
            meters.setdefault(meter.job, []).append(meter)
        given_back = connection.execute(_REFUNDS, {"jobs": number_list(own)})
        refunded = {row[0]: int(row[1]) for row in given_back}
        untouched = sum(not JobState(row.state).ended and row.number not in own for row in jobs)
        if untouched != hold.untouched:
            faults.append(
                f"submission {submission} has {untouched} jobs untouched, and says {hold.untouched}"
            )
        for leg in hold.legs:
            held_by_account[leg.account] = held_by_account.get(leg.account, 0) + leg.held * hold.untouched
        for row in jobs:
            one = PricedJob(row.number, row.time_limit_ms, hold, own.get(row.number))
            its = meters.get(row.number, [])
            back = refunded.get(row.number, 0)
            faults += _job_faults(connection, one, JobState(row.state), row.epoch, its, back)
            for leg in one.own.legs if one.own else ():
                held_by_account[leg.account] = held_by_account.get(leg.account, 0) + leg.held
    faults += look(connection, 0).faults
    for account, balance in balances(connection, "hold:").items():
        if held_by_account.pop(account, 0) != balance:
            faults.append(f"{account} has {balance}, and the holds make it something else")
    faults += [
        f"{account} has nothing, and holds say {held}" for account, held in held_by_account.items() if held
    ]
    return faults


def _job_faults(
    connection: Connection,
    one: PricedJob,
    state: JobState,
    epoch: int,
    meters: list[Meter],
    given_back: int,
) -> list[str]:
    faults = []
    own = one.own
    charged = given_back + sum(sum(meter.parts.values()) for meter in meters)
    if own is None:
        if meters:
            faults.append(f"job {one.job} was metered and has no hold of its own")
        if not state.ended:
            faults += _size_fault(one, total_held(one.of.legs), _worst(connection, one, "").gross)
        return faults
    if total_charged(own.legs) != charged:
        faults.append(f"job {one.job} was charged {total_charged(own.legs)}, and its meters say {charged}")
    held = total_held(own.legs)
    if state.ended != own.closed:
        faults.append(f"job {one.job} is {state.name} and its hold is {'closed' if own.closed else 'open'}")
    if state.ended or own.waiting_ms is not None:
        if held:
            faults.append(f"job {one.job} is {state.name} and {held} is held")
    elif state.placed:
        place = connection.execute(
            select(schema.attempt.c.centre, schema.attempt.c.pool, schema.attempt.c.nodes).where(
                schema.attempt.c.job == one.job, schema.attempt.c.epoch == epoch
            )
        ).one()
        so_far = sum(sum(meter.parts.values()) for meter in meters if meter.epoch == epoch)
        tasks = sum(on_node for _, on_node in json.loads(place.nodes))
        worst = _worst(connection, one, f"{place.centre}/{place.pool}", tasks)
        faults += _size_fault(one, held + so_far, worst.gross)
    else:
        faults += _size_fault(one, held, _worst(connection, one, "").gross)
    for meter in meters:
        card = Cards(connection).of(one.of, meter.centre, meter.pool, meter.tasks)
        if isinstance(card, RateCard) and card.parts(meter.intervals) != meter.parts:
            faults.append(
                f"attempt {one.job}-{meter.epoch} was charged {json.dumps(meter.parts)} for its intervals"
            )
    return faults


def _worst(connection: Connection, one: PricedJob, pool: str, tasks: int = 0) -> Worst:
    version = version_of(connection, one.of.price_version)
    return worst_of(connection, version, one.of, [pool] if pool else one.of.pools, one.limit_ms, tasks)


def _size_fault(one: PricedJob, held: int, worst: int) -> list[str]:
    legs = len(one.own.legs if one.own else one.of.legs)
    if not worst <= held <= worst + max(0, legs - 2):
        return [f"job {one.job} holds {held}, and can still cost {worst}"]
    return []


__all__ = ["check_money"]
