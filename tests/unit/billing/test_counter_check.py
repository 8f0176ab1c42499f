"""Once a night all counters are made anew from the transfers; what differs is an alarm."""

import random
from collections.abc import Iterator
from datetime import datetime

import pytest
from sqlalchemy import update

from weir.billing import Entry, Transfer, open_account, open_counter, post
from weir.billing.budget_periods import in_ms
from weir.billing.charge_check import check_money
from weir.billing.counter_check import due, keep, last_check, look
from weir.billing.exceptions import ExceptionKind, exceptions
from weir.store import Store, Transaction, memory_image, memory_store, schema

BUDGET = "budget/lab/2026-11"


def at(text: str) -> int:
    return in_ms(datetime.fromisoformat(f"{text}+08:00"))


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store(memory_image(random.Random(1).getrandbits)) as made:
        made.write(_post)
        yield made


def _post(tx: Transaction) -> None:
    open_counter(tx, BUDGET, 1_000)
    open_account(tx, "hold:lab", [BUDGET])
    held = Entry("org", "hold/1", "hold", 1, (Transfer("credit:lab", "hold:lab", 70),))
    spent = Entry("org", "job/1/0", "usage", 2, (Transfer("hold:lab", "payable:hefei", 30),))
    post(tx, [held, spent])


def night(store: Store, now_ms: int) -> bool:
    """What the server does every few minutes; whether it was due."""
    if not store.read(lambda c: due(c, now_ms)):
        return False
    found = store.read(lambda c: look(c, now_ms))
    store.write(lambda tx: keep(tx, found))
    return True


def test_it_is_made_once_a_day_after_three_in_shanghai(store: Store) -> None:
    assert None is store.read(last_check)
    assert not night(store, at("2026-12-31T02:59:59.999"))
    assert night(store, at("2026-12-31T03:00"))
    assert not night(store, at("2026-12-31T23:59:59.999"))
    assert not night(store, at("2027-01-01T00:00"))
    assert night(store, at("2027-01-01T14:00"))
    found = store.read(last_check)
    assert found is not None
    assert ("2027-01-01", 1, ()) == (found.day, found.counters, found.faults)
    assert [] == store.read(exceptions)


def test_a_counter_that_somebody_changed_is_an_alarm_in_the_queue(store: Store) -> None:
    counter = schema.ledger_counter
    store.write(lambda tx: tx.connection.execute(update(counter).values(held_micro_yuan=39)))
    assert night(store, at("2026-11-22T03:00"))
    said = f"counter {BUDGET} says 39 held and 30 spent; the transfers make it 40 and 30"
    found = store.read(last_check)
    assert found is not None
    assert (said,) == found.faults
    assert [(ExceptionKind.LEDGER, said)] == [(one.kind, one.said) for one in store.read(exceptions)]
    assert said in store.read(check_money)
    store.write(lambda tx: keep(tx, found))
    assert 1 == len(store.read(exceptions))
