"""The ledger: balanced by construction, once for each cause, within limits, and its chain shows what was changed."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from weir.billing import (
    Entry,
    LimitTooLowError,
    OverLimitError,
    Transfer,
    account,
    balances,
    chart_of_accounts,
    counters,
    entries_of_book,
    entry_of,
    kind_of,
    open_account,
    open_counter,
    post,
    recomputed_counters,
    set_limit,
    verify,
)
from weir.model.change import ChangeKind
from weir.store import Store, memory_image, memory_store
from weir.units import MICRO_YUAN_PER_YUAN as YUAN

IMAGE = memory_image(random.Random(3).getrandbits)
BUDGET = "budget/lab/2026-11"
SHARE = "share/lab/vision/2026-11"
CREDIT, HOLD, CENTRE = "credit:lab", "hold:lab/2026-11/vision", "payable:hefei-ai"


@pytest.fixture
def store() -> Iterator[Store]:
    with memory_store(IMAGE) as opened:
        yield opened


def begin(store: Store, limit: int = 100 * YUAN, share: int = 60 * YUAN) -> None:
    def work(tx):  # type: ignore[no-untyped-def]
        open_counter(tx, BUDGET, limit)
        open_counter(tx, SHARE, share)
        open_account(tx, HOLD, [SHARE, BUDGET])

    store.write(work)


def entry(
    cause: str, *transfers: tuple[str, str, int], book: str = "org", corrects: int | None = None
) -> Entry:
    return Entry(
        book, cause, "test", 5, tuple(Transfer(*one) for one in transfers), corrects, {"for": "试验"}
    )


def posted(store: Store, *entries: Entry) -> list[int]:
    return [one.number for one in store.write(lambda tx: post(tx, entries))]


def held(store: Store, key: str = BUDGET) -> tuple[int, int]:
    counter = store.read(lambda c: counters(c, [key]))[key]
    return counter.held, counter.spent


def test_an_entry_is_found_again_as_it_was_posted(store: Store) -> None:
    [number] = posted(store, entry("top-up/1", ("bank", "prepaid:lab", 12_500_000)))
    found = store.read(lambda c: entry_of(c, number))
    assert found is not None
    assert found.transfers == (Transfer("bank", "prepaid:lab", 12_500_000),)
    assert (found.book, found.cause, found.kind, found.at_ms) == ("org", "top-up/1", "test", 5)
    assert found.detail == {"for": "试验"}
    assert store.read(balances) == {"bank": 12_500_000, "prepaid:lab": 12_500_000}


def test_a_cause_is_posted_once_however_often_it_is_told(store: Store) -> None:
    once = entry("invoice/7", ("bank", "prepaid:lab", 5))
    first = store.write(lambda tx: post(tx, [once, once]))
    again = store.write(lambda tx: post(tx, [once]))
    assert [one.new for one in first] == [True, False]
    assert [one.new for one in again] == [False]
    assert len({one.number for one in (*first, *again)}) == 1
    assert store.read(balances)["bank"] == 5


def test_a_posting_is_told_in_the_change_log_of_its_organisation(store: Store) -> None:
    first, second = posted(store, *(entry(f"c/{n}", ("bank", "prepaid:lab", n)) for n in (1, 2)))
    [change] = store.changes(0, 10)
    assert (change.kind, change.organisation, change.body) == (
        ChangeKind.POSTED,
        "org",
        {"first": first, "count": 2},
    )
    assert second == first + 1


@pytest.mark.parametrize(
    "transfers",
    [
        [],
        [("bank", "prepaid:lab", 0)],
        [("bank", "prepaid:lab", -1)],
        [("bank", "bank", 1)],
        [("bank", "nowhere:lab", 1)],
        [("bank", "prepaid", 1)],
        [("bank:mine", "prepaid:lab", 1)],
        [("hold:a", "hold:b", 1)],
    ],
)
def test_a_malformed_entry_is_refused_and_nothing_is_posted(
    store: Store, transfers: list[tuple[str, str, int]]
) -> None:
    with pytest.raises(ValueError, match=r"entry|transfer|account|held"):
        posted(store, entry("good", ("bank", "prepaid:lab", 1)), entry("bad", *transfers))
    assert store.read(verify).entries == 0


def test_what_is_held_charged_and_released_moves_the_counters(store: Store) -> None:
    begin(store)
    posted(store, entry("hold", (CREDIT, HOLD, 50 * YUAN)))
    assert held(store) == held(store, SHARE) == (50 * YUAN, 0)
    posted(store, entry("charge", (HOLD, CENTRE, 20 * YUAN)))
    assert held(store) == (30 * YUAN, 20 * YUAN)
    posted(store, entry("release", (HOLD, CREDIT, 30 * YUAN)))
    assert held(store) == (0, 20 * YUAN)
    posted(store, entry("reversal", (CENTRE, HOLD, 5 * YUAN), (HOLD, CREDIT, 5 * YUAN)))
    assert held(store) == held(store, SHARE) == (0, 15 * YUAN)
    assert store.read(balances) == {CREDIT: 15 * YUAN, HOLD: 0, CENTRE: 15 * YUAN}
    assert store.read(verify).faults == ()


def test_no_limit_is_exceeded_and_the_refusal_says_by_how_much(store: Store) -> None:
    begin(store)
    posted(store, entry("hold", (CREDIT, HOLD, 50 * YUAN)))
    with pytest.raises(
        OverLimitError, match=r"share/lab/vision/2026-11: ¥10.01 .* ¥10.00 are available, ¥0.01 less"
    ):
        posted(store, entry("more", (CREDIT, HOLD, 10_010_000)))
    posted(store, entry("exactly", (CREDIT, HOLD, 10_000_000)))
    assert held(store, SHARE) == (60 * YUAN, 0)


def test_a_limit_is_not_lowered_below_what_is_taken(store: Store) -> None:
    begin(store)
    posted(store, entry("hold", (CREDIT, HOLD, 50 * YUAN)))
    with pytest.raises(LimitTooLowError, match=r"¥49.00 is not accepted; ¥50.00 are spent or held already"):
        store.write(lambda tx: set_limit(tx, BUDGET, 49 * YUAN))
    store.write(lambda tx: set_limit(tx, BUDGET, 50 * YUAN))
    assert store.read(lambda c: counters(c, [BUDGET]))[BUDGET].available == 0


def test_a_hold_account_has_to_be_opened_before_it_is_used(store: Store) -> None:
    with pytest.raises(ValueError, match="hold:lab/2026-11/vision is not open"):
        posted(store, entry("hold", (CREDIT, HOLD, 1)))
    begin(store)
    with pytest.raises(ValueError, match="is open with the counters"):
        store.write(lambda tx: open_account(tx, HOLD, [BUDGET]))


def test_a_correction_points_at_what_it_corrects_and_leaves_it_alone(store: Store) -> None:
    [wrong] = posted(store, entry("top-up", ("bank", "prepaid:lab", 7)))
    before = store.read(lambda c: entry_of(c, wrong))
    [right] = posted(store, entry("undo", ("prepaid:lab", "bank", 7), corrects=wrong))
    after = store.read(lambda c: entry_of(c, right))
    assert after is not None
    assert after.corrects == wrong
    assert store.read(lambda c: entry_of(c, wrong)) == before
    assert store.read(balances) == {"bank": 0, "prepaid:lab": 0}


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE ledger_transfer SET amount_micro_yuan = 1",
        "DELETE FROM ledger_transfer",
        "UPDATE ledger_entry SET kind = 'other'",
        "DELETE FROM ledger_entry WHERE cause = 'a'",
        "INSERT OR REPLACE INTO ledger_transfer SELECT entry, line, debit, credit, 1 FROM ledger_transfer",
        "INSERT OR REPLACE INTO ledger_entry SELECT number + 9, cause, kind, 0, NULL, '{}', '' FROM ledger_entry",
    ],
)
def test_the_database_refuses_to_change_what_was_posted(store: Store, tampering: str) -> None:
    posted(store, entry("a", ("bank", "prepaid:lab", 7)), entry("b", ("bank", "prepaid:lab", 8)))
    with pytest.raises(IntegrityError, match="is append-only"):
        store.write(lambda tx: tx.connection.execute(text(tampering)))
    assert store.read(verify).faults == ()


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (
            "UPDATE ledger_transfer SET amount_micro_yuan = 1 WHERE line = 0",
            "its hash is not that of what it says",
        ),
        ("UPDATE ledger_entry SET at_ms = 4", "its hash is not that of what it says"),
        ("UPDATE ledger_entry SET detail = '{}'", "its hash is not that of what it says"),
        ("DELETE FROM ledger_entry WHERE cause = 'b'", "its last entry is not the one that it says"),
        ("DELETE FROM ledger_entry WHERE cause = 'a'", "follows where"),
        ("INSERT INTO ledger_transfer VALUES (1, 0, 'bank', 'fee', 3)", "belong to entries of the books"),
        ("UPDATE ledger_counter SET spent_micro_yuan = 3", "the transfers make it"),
    ],
)
def test_verify_finds_what_somebody_changed_behind_the_triggers(
    store: Store, tampering: str, said: str
) -> None:
    begin(store)
    posted(store, entry("a", ("bank", "prepaid:lab", 7)), entry("b", ("bank", "prepaid:lab", 8)))
    before = store.read(verify)
    assert before.faults == ()

    def behind(tx):  # type: ignore[no-untyped-def]
        for name in (
            tx.connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
            .scalars()
            .all()
        ):
            tx.connection.execute(text(f"DROP TRIGGER {name}"))
        tx.connection.execute(text(tampering))

    store.write(behind)
    assert said in "; ".join(store.read(verify).faults)


def test_the_root_of_all_chains_moves_with_every_posting(store: Store) -> None:
    posted(store, entry("a", ("bank", "prepaid:lab", 7)))
    one = store.read(verify)
    posted(store, entry("b", ("bank", "prepaid:lab", 8), book="another"))
    two = store.read(verify)
    assert (one.books, one.entries, two.books, two.entries, two.transfers) == (1, 1, 2, 2, 2)
    assert one.root != two.root


def test_a_book_is_read_in_order_and_in_pages(store: Store) -> None:
    posted(store, *(entry(f"c{n}", ("bank", "prepaid:lab", n), book="ab"[n % 2]) for n in range(1, 8)))
    first = store.read(lambda c: entries_of_book(c, "b", limit=2))
    rest = store.read(lambda c: entries_of_book(c, "b", after=first[-1].number))
    assert [one.cause for one in (*first, *rest)] == ["c1", "c3", "c5", "c7"]
    assert store.read(lambda c: entries_of_book(c, "nobody's")) == []


def test_every_kind_of_the_chart_makes_a_code_and_codes_name_their_kind() -> None:
    for kind in chart_of_accounts().values():
        code = account(kind.id, "x" if kind.owner else "")
        assert kind_of(code) is kind


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "charge", "release", "reverse"]), st.integers(1, 40)), max_size=30
)


@given(STEPS, st.integers(0, 100), st.integers(0, 100))
def test_counters_follow_from_transfers_and_never_pass_their_limits(
    steps: list[tuple[str, int]], limit: int, share: int
) -> None:
    with memory_store(IMAGE) as store:
        begin(store, limit, share)
        now_held = now_spent = 0
        for place, (kind, asked) in enumerate(steps):
            amount = asked
            if kind == "hold":
                transfers, more = [(CREDIT, HOLD, amount)], (amount, 0)
            elif kind == "charge":
                amount = min(amount, now_held)
                transfers, more = [(HOLD, CENTRE, amount)], (-amount, amount)
            elif kind == "release":
                amount = min(amount, now_held)
                transfers, more = [(HOLD, CREDIT, amount)], (-amount, 0)
            else:
                amount = min(amount, now_spent)
                transfers, more = [(CENTRE, HOLD, amount), (HOLD, CREDIT, amount)], (0, -amount)
            if not amount:
                continue
            try:
                posted(store, entry(f"{place}", *transfers))
            except OverLimitError:
                assert kind == "hold"
                assert now_held + now_spent + amount > min(limit, share)
                continue
            now_held, now_spent = now_held + more[0], now_spent + more[1]
            assert now_held + now_spent <= min(limit, share)
            assert held(store) == held(store, SHARE) == (now_held, now_spent)
        assert store.read(recomputed_counters)[BUDGET] == (now_held, now_spent)
        assert store.read(verify).faults == ()
        assert (
            sum(
                amount if kind_of(code).side.value == "debit" else -amount
                for code, amount in store.read(balances).items()
            )
            == 0
        )
