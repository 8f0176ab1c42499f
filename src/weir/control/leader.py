"""Who leads: one scheduler at a time holds the lease, and each election begins a new term."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from weir.store import Transaction, schema

LEASE = "scheduler"
LEASE_MS = 15_000

_lease = schema.lease.c
_HELD = select(schema.lease).where(_lease.name == LEASE)
_SET = (
    update(schema.lease)
    .where(
        _lease.name == LEASE,
        _lease.term == bindparam("known_term"),
        _lease.holder == bindparam("known_holder"),
    )
    .values(
        holder=bindparam("new_holder"),
        term=bindparam("new_term"),
        expires_ms=bindparam("until"),
        address=bindparam("at"),
    )
)


class LeadershipLostError(RuntimeError):
    """Another has been elected: what was about to be written is given up, and nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads until when, reachable where; `term` is that of its election."""

    holder: str
    term: int
    expires_ms: int
    address: str = ""


def leader(connection: Connection, now_ms: int) -> Lease | None:
    """Who leads now, if anybody does."""
    row = connection.execute(_HELD).one_or_none()
    if row is None or row.expires_ms <= now_ms:
        return None
    return Lease(row.holder, row.term, row.expires_ms, row.address)


def acquire(
    tx: Transaction, holder: str, address: str, now_ms: int, lease_ms: int = LEASE_MS, *, alone: bool = False
) -> Lease:
    """The lease as it is then: prolonged where `holder` has it, taken over with a new term where it had run out.

    `alone` says that no other process can have this store open: whoever else holds the lease is dead.

    A holder that starts anew takes another name, so that it never goes on in a term of its former life.
    """
    row = tx.connection.execute(_HELD.with_for_update()).one_or_none()
    until = now_ms + lease_ms
    if row is None:
        tx.connection.execute(
            insert(schema.lease).values(name=LEASE, holder=holder, term=1, expires_ms=until, address=address)
        )
        return Lease(holder, 1, until, address)
    if row.holder != holder and row.expires_ms > now_ms and not alone:
        return Lease(row.holder, row.term, row.expires_ms, row.address)
    term = row.term if row.holder == holder else row.term + 1
    written = tx.connection.execute(
        _SET,
        {
            "known_term": row.term,
            "known_holder": row.holder,
            "new_holder": holder,
            "new_term": term,
            "until": until,
            "at": address,
        },
    ).rowcount
    if written != 1:
        raise LeadershipLostError("another took the lease at the same moment")
    return Lease(holder, term, until, address)


def release(tx: Transaction, held: Lease, now_ms: int) -> None:
    """Let another lead at once, on leaving in good order."""
    tx.connection.execute(
        update(schema.lease)
        .where(_lease.name == LEASE, _lease.term == held.term, _lease.holder == held.holder)
        .values(expires_ms=now_ms)
    )


def check(connection: Connection, held: Lease) -> None:
    """Raise LeadershipLostError unless this lease is still the one that counts: no other was elected since.

    That its time has run out does no harm as long as nobody has taken it.
    """
    row = connection.execute(_HELD.with_for_update()).one_or_none()
    if row is None or row.term != held.term or row.holder != held.holder:
        raise LeadershipLostError(
            f"term {held.term} is over; the lease is {row.holder if row else 'nobody'}'s now"
        )


__all__ = ["LEASE_MS", "LeadershipLostError", "Lease", "acquire", "check", "leader", "release"]
