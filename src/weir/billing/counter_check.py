"""Every night all counters are made anew from the transfers, and what differs is an alarm.

Limits are kept by counters, which posting moves; that they follow from the transfers is what makes them trustworthy.
The sums are the database's, so that a large ledger takes seconds.
"""

import json
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from weir.billing import exceptions
from weir.billing.calendar_days import DAY_MS, SHANGHAI_MS, day_of
from weir.billing.exceptions import ExceptionKind, NewException
from weir.billing.ledger import movements
from weir.billing.ledger_counters import all_counters
from weir.billing.ledger_verify import counter_faults
from weir.store import Transaction, schema

HOUR_OF_DAY = 3
"""In Asia/Shanghai: the day's check is due from then on."""
MOST_EXCEPTIONS = 100
_HOUR_MS = 3_600_000
_check = schema.counter_check.c
_transfer = schema.ledger_transfer.c


@dataclass(frozen=True, slots=True)
class CounterCheck:
    """What a night's recomputation found; `faults`, in words, are empty where every counter follows."""

    day: str
    at_ms: int
    counters: int
    faults: tuple[str, ...]


def due(connection: Connection, now_ms: int) -> bool:
    """Whether the check of this day of Asia/Shanghai is still to be made."""
    if (now_ms + SHANGHAI_MS) % DAY_MS < HOUR_OF_DAY * _HOUR_MS:
        return False
    day = day_of(now_ms).isoformat()
    return connection.execute(select(_check.day).where(_check.day == day)).first() is None


def look(connection: Connection, now_ms: int) -> CounterCheck:
    """Make all counters anew, as of the connection's snapshot, and compare."""
    sums = select(_transfer.debit, _transfer.credit, func.sum(_transfer.amount_micro_yuan))
    pairs = connection.execute(sums.group_by(_transfer.debit, _transfer.credit)).all()
    moved = movements((debit, credit, int(amount)) for debit, credit, amount in pairs)
    found = counter_faults(connection, moved)
    return CounterCheck(day_of(now_ms).isoformat(), now_ms, len(all_counters(connection)), tuple(found))


def keep(tx: Transaction, found: CounterCheck) -> None:
    """Write down what was found, once a day; each fault goes to the exceptions queue as well."""
    if tx.connection.execute(select(_check.day).where(_check.day == found.day)).first() is not None:
        return
    tx.connection.execute(
        insert(schema.counter_check),
        {
            "day": found.day,
            "at_ms": found.at_ms,
            "counters": found.counters,
            "faults": json.dumps(found.faults, ensure_ascii=False),
        },
    )
    cases = [
        NewException(f"counter/{found.day}/{place}", ExceptionKind.LEDGER, "", "", said)
        for place, said in enumerate(found.faults[:MOST_EXCEPTIONS])
    ]
    exceptions.put(tx, cases, found.at_ms)


def last_check(connection: Connection) -> CounterCheck | None:
    """The newest check; None where none was made yet."""
    row = connection.execute(select(schema.counter_check).order_by(_check.day.desc()).limit(1)).one_or_none()
    return (
        None if row is None else CounterCheck(row.day, row.at_ms, row.counters, tuple(json.loads(row.faults)))
    )


__all__ = ["CounterCheck", "due", "keep", "last_check", "look"]
