"""The audit log: who, what, from where; in pages."""

import pytest
from sqlalchemy import Connection

from tests.unit.access.conftest import ACME, OTHER
from weir.access import Actor, list_audit, record, server_itself
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.store import Transaction

ALICE = Actor(3, "alice", Role.TENANT_MEMBER, ACME, address="10.0.0.7")
BOB = Actor(4, "bob", Role.TENANT_ADMIN, OTHER, address="10.0.0.8")


def test_an_entry_says_who_did_what_to_what_from_where(connection: Connection, tx: Transaction) -> None:
    record(tx, ALICE, "job.cancel", "k7m2q9xw4tcd", {"reason": "错了"}, 5_000)
    [entry] = list_audit(connection).entries
    assert (5_000, "tenant-member:alice#3", "10.0.0.7") == (entry.at_ms, entry.actor, entry.address)
    assert ("job.cancel", "k7m2q9xw4tcd", {"reason": "错了"}) == (entry.action, entry.target, entry.detail)


def test_pages_run_from_the_newest_to_the_oldest_without_gap_or_repeat(
    connection: Connection, tx: Transaction
) -> None:
    for number in range(7):
        record(tx, ALICE, "job.submit", str(number), {}, number)
    seen, cursor = [], ""
    while True:
        page = list_audit(connection, cursor=cursor, limit=3)
        seen += [entry.target for entry in page.entries]
        record(tx, ALICE, "job.submit", "meanwhile", {}, 99)
        cursor = page.next
        if not cursor:
            break
    assert ["6", "5", "4", "3", "2", "1", "0"] == seen


def test_an_organisation_sees_what_concerns_it(connection: Connection, tx: Transaction) -> None:
    record(tx, ALICE, "job.submit", "mine", {}, 1)
    record(tx, BOB, "job.submit", "theirs", {}, 2)
    record(tx, server_itself(), "job.cancel", "mine", {}, 3, organisation=ACME)
    entries = list_audit(connection, organisation=ACME).entries
    assert [("job.cancel", "mine"), ("job.submit", "mine")] == [
        (entry.action, entry.target) for entry in entries
    ]


def test_a_huge_detail_does_not_fill_the_log(connection: Connection, tx: Transaction) -> None:
    record(tx, ALICE, "job.submit", "x", {"names": ["n" * 100] * 1_000}, 1)
    [entry] = list_audit(connection).entries
    assert ["detail_left_out"] == list(entry.detail)


@pytest.mark.parametrize(
    ("cursor", "limit"), [("x", 10), ("-1", 10), ("²", 10), ("9" * 40, 10), ("", 0), ("", 1_001)]
)
def test_a_bad_page_is_refused(connection: Connection, cursor: str, limit: int) -> None:
    with pytest.raises(ProblemError):
        list_audit(connection, cursor=cursor, limit=limit)
