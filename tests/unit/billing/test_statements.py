"""Statements: each posting once, rounded to the fen with the rest carried, closed by working days, never changed."""

from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text, update
from sqlalchemy.exc import IntegrityError

from tests.unit.billing.granted import ACME, CHIEF, OTHER, YUAN, Granted
from weir.billing import Entry, Transfer, open_account, open_counter, post
from weir.billing.calendar_days import add_months, begin_of, month_of, next_month
from weir.billing.calendar_work import closes_ms, read_calendar, working_calendar
from weir.billing.statement import FEN, PartyKind, Statement, statement_from
from weir.billing.statement_close import (
    Closed,
    close_month,
    closed_month,
    statement_of,
    statements_of,
    verify_statements,
)
from weir.model.problem import ProblemError
from weir.store import Transaction
from weir.store import schema as s
from weir.units import parse_time_ms

JUNE, JULY = date(2025, 6, 1), date(2025, 7, 1)
CALENDAR = working_calendar()


class Ledger(Granted):
    """Charges as metering posts them, and the closing of months."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count(1)
        self.write(self._open)

    def _open(self, tx: Transaction) -> None:
        open_counter(tx, "budget/b/all", 2**60)
        for who in (ACME, OTHER):
            open_account(tx, f"hold:{who}", ["budget/b/all"])
            open_account(tx, f"hold:voucher/city/{who}-before/2025", ["budget/b/all"])
            # Something was spent before, so that a refund may come first.
            for held in (f"hold:{who}", f"hold:voucher/city/{who}-before/2025"):
                steps = (Transfer("credit:before", held, YUAN * YUAN), Transfer(held, "fee", YUAN * YUAN))
                post(tx, [Entry(who, f"before/{held}", "fee", 1, steps)])

    def charge(
        self,
        used: str,
        amount: int,
        *,
        posted: str = "",
        who: str = ACME,
        voucher: int = 0,
        centre: str = "cluster",
        job: int = 0,
        contract: str = "",
    ) -> int:
        """A charge (below 0: a refund) of micro-yuan for usage that began then, posted at once or later."""
        used_ms = parse_time_ms(used)
        posted_ms = parse_time_ms(posted) if posted else used_ms
        number = next(self._numbers)
        budget, grant, payable = f"hold:{who}", f"hold:voucher/city/{who}-before/2025", f"payable:{centre}"

        def work(tx: Transaction) -> int:
            transfers: list[Transfer] = []
            for held, funding, part in (
                (budget, f"credit:{who}", amount - voucher),
                (grant, "commitment:city", voucher),
            ):
                if part > 0:
                    transfers += [Transfer(funding, held, part), Transfer(held, payable, part)]
                elif part < 0:
                    transfers += [Transfer(payable, held, -part), Transfer(held, funding, -part)]
            [done] = post(tx, [Entry(who, f"job/{number}", "charge", posted_ms, tuple(transfers))])
            row = {
                "entry": done.number, "line": 0, "job": job or number, "epoch": 1, "organisation": who,
                "centre": centre,
                "pool": "ours", "contract": contract or f"standing/{who}/{centre}", "kind": "charge",
                "at_ms": posted_ms, "from_ms": used_ms, "to_ms": used_ms + 1, "times": "{}",
                "parts": f'{{"device_hour/": {amount}}}', "amount_micro_yuan": amount,
            }  # fmt: skip
            tx.connection.execute(insert(s.charge), row)
            return done.number

        return self.write(work)

    def close(self, month: date, now_ms: int | None = None) -> Closed:
        at = closes_ms(month, CALENDAR) if now_ms is None else now_ms
        return self.write(lambda tx: close_month(tx, month, CHIEF, at))

    def statements(self, kind: PartyKind = PartyKind.TENANT) -> list[Statement]:
        found = self.store.read(lambda connection: statements_of(connection, kind=kind))
        return sorted(found, key=lambda one: (one.month, one.id))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    assert () == made.store.read(verify_statements)
    made.store.close()


def test_a_statement_says_what_was_used_what_vouchers_paid_and_what_is_due(ledger: Ledger) -> None:
    ledger.charge("2025-06-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.charge("2025-06-05T10:00+08:00", 2 * YUAN + 4_000)
    ledger.charge("2025-06-05T10:00+08:00", 5 * YUAN, who=OTHER)
    closed = ledger.close(JUNE)
    first, second = ledger.statements()
    assert ("2025-06-T0000001", ACME, 900, 4_000) == (first.id, first.party, first.total_fen, first.carry)
    assert ((12 * YUAN + 4_000), 3 * YUAN) == (first.gross, first.voucher)
    assert [("2025-06", "city", 3 * YUAN)] == [tuple(line) for line in first.vouchers]
    assert (OTHER, 500, 0) == (second.party, second.total_fen, second.carry)
    [centre] = ledger.statements(PartyKind.CENTRE)
    # What vouchers paid is the centre's too.
    assert ("2025-06-C0000001", "cluster", 1_700, 4_000) == (
        centre.id,
        centre.party,
        centre.total_fen,
        centre.carry,
    )
    assert 3 == closed.statements


def test_the_month_begins_and_ends_at_midnight_in_shanghai(ledger: Ledger) -> None:
    ledger.charge("2025-05-31T15:59:59.999+00:00", 1 * YUAN)
    ledger.charge("2025-05-31T16:00:00+00:00", 10 * YUAN)
    ledger.charge("2025-06-30T15:59:59.999+00:00", 100 * YUAN)
    ledger.charge("2025-06-30T16:00:00+00:00", 1_000 * YUAN)
    for month in (date(2025, 5, 1), JUNE, JULY):
        ledger.close(month)
    assert [1, 110, 1_000] == [one.total_fen // 100 for one in ledger.statements()]


def test_usage_posted_before_the_close_is_on_its_month_and_later_on_the_next_with_its_period(
    ledger: Ledger,
) -> None:
    # June closes at the end of Monday 7 July 2025: 1, 2, 3, 4 and 7 July are worked.
    ledger.charge("2025-06-30T23:00+08:00", 1 * YUAN, posted="2025-07-07T23:59:59.999+08:00")
    ledger.charge("2025-06-29T23:00+08:00", 2 * YUAN, posted="2025-07-08T00:00+08:00")
    ledger.charge("2025-07-01T00:00+08:00", 4 * YUAN, posted="2025-07-02T00:00+08:00")
    ledger.close(JUNE)
    ledger.close(JULY)
    june, july = ledger.statements()
    assert [("2025-06", 1 * YUAN)] == [(line.period, line.amount) for line in june.lines]
    assert [("2025-06", 2 * YUAN), ("2025-07", 4 * YUAN)] == [
        (line.period, line.amount) for line in july.lines
    ]


def test_a_refund_of_a_closed_month_is_on_the_next_in_the_original_proportions(ledger: Ledger) -> None:
    ledger.charge("2025-06-03T10:00+08:00", 10 * YUAN, voucher=3 * YUAN)
    ledger.close(JUNE)
    [june] = ledger.statements()
    ledger.charge("2025-06-03T10:00+08:00", -5 * YUAN, voucher=-1_500_000, posted="2025-07-20T10:00+08:00")
    ledger.close(JULY)
    again, july = ledger.statements()
    assert june == again
    assert (-350, "2025-06", -1_500_000) == (july.total_fen, july.lines[0].period, july.vouchers[0].amount)


def test_the_rest_of_a_fen_is_carried_from_statement_to_statement(ledger: Ledger) -> None:
    for month in (date(2025, 5, 1), JUNE, JULY):
        ledger.charge(f"{month}T10:00+08:00", 14_000)
        ledger.close(month)
    found = ledger.statements()
    # 1.4, then 0.4 + 1.4 = 1.8, then −0.2 + 1.4 = 1.2 fen
    assert [(1, 4_000), (2, -2_000), (1, 2_000)] == [(one.total_fen, one.carry) for one in found]
    assert 3 * 14_000 == sum(one.total_fen for one in found) * FEN + found[-1].carry


def test_a_month_closes_once_in_order_and_not_before_its_time(ledger: Ledger) -> None:
    ledger.charge("2025-06-03T10:00+08:00", YUAN)
    end = parse_time_ms("2025-07-08T00:00+08:00")
    with pytest.raises(ProblemError, match=r"2025-07-07T16:00:00\.000Z"):
        ledger.close(JUNE, end - 1)
    closed = ledger.close(JUNE, end)
    assert closed == ledger.close(JUNE, end + 5)
    assert closed == ledger.store.read(lambda connection: closed_month(connection, "2025-06"))
    with pytest.raises(ProblemError, match="close the months in order"):
        ledger.close(date(2025, 8, 1))


def test_an_open_exception_holds_back_only_what_it_touches(ledger: Ledger) -> None:
    entry = ledger.charge("2025-06-03T10:00+08:00", YUAN, job=77)
    ledger.charge("2025-06-03T10:00+08:00", 2 * YUAN, job=78)
    trouble = {"cause": "clock/77", "kind": "clock", "at_ms": 1, "organisation": ACME, "centre": "cluster",
               "job": 77, "epoch": 1, "said": "?", "detail": "{}"}  # fmt: skip
    ledger.write(lambda tx: tx.connection.execute(insert(s.money_exception), trouble))
    assert (entry,) == ledger.close(JUNE).held_back
    ledger.write(lambda tx: tx.connection.execute(update(s.money_exception).values(resolved_ms=2)))
    assert () == ledger.close(JULY).held_back
    june, july = ledger.statements()
    assert (200, 100) == (june.total_fen, july.total_fen)
    assert "2025-06" == july.lines[0].period


def test_an_issued_statement_never_changes_and_a_change_would_show(ledger: Ledger) -> None:
    ledger.charge("2025-06-03T10:00+08:00", YUAN)
    ledger.close(JUNE)
    [made] = ledger.statements()
    assert made == ledger.store.read(lambda connection: statement_of(connection, made.id))
    assert made.hash == statement_from(made.body()).hash
    for statement in (
        "UPDATE statement SET total_fen = 1",
        "DELETE FROM statement",
        "DELETE FROM statement_close",
    ):
        with pytest.raises(IntegrityError, match="append-only"):
            ledger.write(lambda tx, said=statement: tx.connection.execute(text(said)))  # type: ignore[misc]  # bound now
    with pytest.raises(ProblemError, match="no statement"):
        ledger.store.read(lambda connection: statement_of(connection, "2025-06-T0000009"))


postings = st.lists(
    st.tuples(
        st.sampled_from((ACME, OTHER)),
        st.integers(-50_000, 200_000).filter(bool),
        st.integers(0, 59),
        st.integers(0, 40),
        st.fractions(0, 1),
    ),
    max_size=6,
)


@settings(max_examples=10)
@given(postings)
def test_statements_and_carry_are_the_ledger_however_late_things_are_posted(
    rows: list[tuple[str, int, int, int, Fraction]],
) -> None:
    ledger = Ledger()
    first = date(2025, 3, 1)
    begun = begin_of(first)
    for who, amount, day, late, share in sorted(rows, key=lambda row: row[2] + row[3]):
        used = begun + day * 86_400_000
        voucher = int(amount * share)
        ledger.charge(_iso(used), amount, posted=_iso(used + late * 86_400_000), who=who, voucher=voucher)
    for place in range(4):
        ledger.close(add_months(first, place))
    for kind, name in ((PartyKind.TENANT, 0), (PartyKind.CENTRE, 1)):
        found = ledger.statements(kind)
        for party in {one.party for one in found}:
            mine = [one for one in found if one.party == party]
            total = sum(one.total_fen for one in mine) * FEN + mine[-1].carry
            due = sum(
                amount - int(amount * share) * (1 - name)
                for who, amount, _, _, share in rows
                if party in (who, "cluster")
            )
            assert due == total
            assert all(abs(one.carry) < FEN for one in mine)
    assert () == ledger.store.read(verify_statements)
    ledger.store.close()


@pytest.mark.parametrize(
    ("month", "closes"),
    [
        ("2024-12-01", "2025-01-09T00:00+08:00"),  # 2, 3, 6, 7 and 8 January
        ("2025-01-01", "2025-02-11T00:00+08:00"),  # 5, 6, 7, 8 (a Saturday that is worked) and 10 February
        ("2025-04-01", "2025-05-13T00:00+08:00"),  # 6, 7, 8, 9 and 12 May
        ("2025-09-01", "2025-10-15T00:00+08:00"),  # 9, 10, 11 (a Saturday that is worked), 13 and 14 October
        ("2024-02-01", "2024-03-08T00:00+08:00"),  # 1, 4, 5, 6 and 7 March
        ("2025-12-01", "2026-01-09T00:00+08:00"),  # 4 (a Sunday that is worked), 5, 6, 7 and 8 January
    ],
)
def test_the_fifth_working_day_by_the_announced_calendar(month: str, closes: str) -> None:
    assert parse_time_ms(closes) == closes_ms(date.fromisoformat(month), CALENDAR)


def test_a_year_without_an_announcement_is_refused() -> None:
    with pytest.raises(ProblemError, match="the working days of 2027 are not known"):
        closes_ms(date(2026, 12, 1), CALENDAR)
    assert all(CALENDAR.sources.values())


@pytest.mark.parametrize("day", ["2025-02-30", "2024-12-31", "2025-01-03..2025-01-02"])
def test_a_bad_day_in_the_calendar_is_refused(day: str) -> None:
    with pytest.raises(ProblemError, match="give a day of 2025"):
        read_calendar(f'version: 1\nyears: [{{year: 2025, source: x, off: ["{day}"], worked: []}}]', "c.yaml")


@given(st.dates(date(2024, 1, 1), date(2026, 11, 30)))
def test_every_month_closes_after_its_end_and_within_a_fortnight(day: date) -> None:
    end = begin_of(next_month(month_of(day)))
    assert end + 5 * 86_400_000 <= closes_ms(day, CALENDAR) <= end + 15 * 86_400_000


def _iso(at_ms: int) -> str:
    return f"{date(1970, 1, 1) + timedelta(milliseconds=at_ms + 28_800_000)}T12:00+08:00"
