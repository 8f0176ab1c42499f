"""Work that was lost, and from which a later attempt really resumed: it is charged after all."""

from sqlalchemy import bindparam, select

from weir.billing import exceptions
from weir.billing.exceptions import ExceptionKind, NewException
from weir.billing.hold_rows import priced_jobs
from weir.billing.meter_rows import meters_of
from weir.billing.meters import Seen, observe
from weir.store import Transaction, schema
from weir.units import LATEST_MS, format_time

_attempt = schema.attempt.c
_ENDED = select(_attempt.ended_ms).where(
    _attempt.job == bindparam("of_job"), _attempt.epoch == bindparam("of_epoch")
)


def resumed(tx: Transaction, job: int, epoch: int, checkpoint_ms: int, now_ms: int) -> None:
    """An attempt says that it went on from a checkpoint that was written at this time, in ours.

    The checkpoint is of the attempt in whose time it was written: what that one ran until then was not lost, and is
    charged; what came after stays given back, as does all of attempts from which nobody says to have resumed. Telling
    it again changes nothing. A time in which no earlier attempt can have run goes to the exceptions queue.
    """
    checkpoint_ms = max(0, min(checkpoint_ms, LATEST_MS))
    meters = meters_of(tx.connection, [job])
    own = meters.get((job, epoch))
    if own is None:
        return
    before = [one for one in meters.values() if one.epoch < epoch and one.started_ms < checkpoint_ms]
    if not before or checkpoint_ms > own.started_ms:
        organisation = priced_jobs(tx.connection, [job])[job].of.organisation
        when = format_time(checkpoint_ms)
        said = f"it says that it resumed from a checkpoint of {when}, when no attempt before it ran"
        detail = {"checkpoint_ms": checkpoint_ms, "started_ms": own.started_ms}
        cause = f"resumed/{job}/{epoch}"
        new = NewException(cause, ExceptionKind.CLOCK, organisation, own.centre, said, job, epoch, detail)
        exceptions.put(tx, [new], now_ms)
        return
    lost = max(before, key=lambda one: one.epoch)
    if lost.intervals:
        return  # told before, or never given back
    ended_ms = tx.connection.execute(_ENDED, {"of_job": job, "of_epoch": lost.epoch}).scalar_one_or_none()
    until = min(checkpoint_ms, lost.until_ms, checkpoint_ms if ended_ms is None else ended_ms)
    kept = ((lost.started_ms, until),)
    seen = Seen(job, lost.epoch, lost.centre, lost.pool, lost.started_ms, lasted_ms=0, lost=True, kept=kept)
    observe(tx, [seen], now_ms)


__all__ = ["resumed"]
