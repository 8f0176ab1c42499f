"""What a store promises, whichever database it is on."""

import itertools
import queue
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from weir.model.change import Change, ChangeKind
from weir.store import LogCutError, Store, StoreError, Transaction, open_store, schema

LEASE = schema.lease


def appending(*numbers: int, organisation: str = "") -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for number in numbers:
            tx.append(ChangeKind.EDITED, {"jobs": [[number, 1]]}, at_ms=number, organisation=organisation)

    return work


def counting(name: str = "count") -> Callable[[Transaction], int]:
    """Adds one to a counter, and returns what it was."""

    def work(tx: Transaction) -> int:
        was = tx.connection.execute(select(LEASE.c.term).where(LEASE.c.name == name)).scalar()
        if was is None:
            tx.connection.execute(insert(LEASE).values(name=name, holder="", term=1, expires_ms=0))
            return 0
        tx.connection.execute(update(LEASE).where(LEASE.c.name == name).values(term=was + 1))
        return int(was)

    return work


def leases(connection: Connection) -> set[str]:
    return set(connection.execute(select(LEASE.c.name)).scalars())


def lease_named(name: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        tx.connection.execute(insert(LEASE).values(name=name, holder="", term=1, expires_ms=0))

    return work


def in_threads(*works: Callable[[], Any]) -> list[BaseException]:
    """Runs them all at once; what they raised."""
    raised: list[BaseException] = []

    def guarded(work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test looks at it
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return raised


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.position() == 0
    assert store.changes(0, 10) == []
    assert len(store.incarnation) == 32


def test_a_write_is_read_by_whoever_reads_after_it(store: Store) -> None:
    assert store.write(counting()) == 0
    assert store.read(leases) == {"count"}


def test_a_store_is_the_same_when_opened_again(store_url: str) -> None:
    with open_store(store_url) as store:
        store.write(appending(1))
        store.write(lease_named("kept"))
        incarnation = store.incarnation
    with open_store(store_url) as store:
        assert incarnation == store.incarnation
        assert store.position() == store.changes(0, 10)[-1].position
        assert store.read(leases) == {"kept"}


def test_a_store_works_in_the_callers_thread_too(store_url: str) -> None:
    before = set(threading.enumerate())
    with open_store(store_url, threaded=False) as store:
        assert set(threading.enumerate()) <= before, "a store of the caller's thread starts none"
        store.write(appending(1, 2))
        assert [change.at_ms for change in store.changes(0, 10)] == [1, 2]


def test_changes_come_in_order_with_all_that_was_said(store: Store) -> None:
    store.write(appending(1, 2, organisation="合肥"))
    store.write(appending(3))
    changes = store.changes(0, 10)
    first = changes[0].position
    assert changes == [
        Change(first, 1, ChangeKind.EDITED, {"jobs": [[1, 1]]}, "合肥"),
        Change(first + 1, 2, ChangeKind.EDITED, {"jobs": [[2, 1]]}, "合肥"),
        Change(changes[2].position, 3, ChangeKind.EDITED, {"jobs": [[3, 1]]}),
    ]
    assert changes[:2] == store.changes(0, 2)
    assert changes[1:] == store.changes(first, 10)
    assert store.changes(changes[2].position, 10) == []
    assert store.position() == changes[2].position


def test_text_of_any_kind_survives(store: Store) -> None:
    said = {"text": 'quote " backslash \\ 安徽 \U0001f30a \u2028 \x00 :name %s', "n": 2**62, "none": None}
    store.write(lambda tx: tx.append(ChangeKind.PROVINCE, said, at_ms=2**50))
    [change] = store.changes(0, 10)
    assert said == change.body
    assert 2**50 == change.at_ms


@pytest.mark.parametrize("body", [{"set": {1}}, {"nan": float("nan")}])
def test_a_body_that_is_no_json_is_refused_and_nothing_is_kept(store: Store, body: dict[str, Any]) -> None:
    def work(tx: Transaction) -> None:
        lease_named("undone")(tx)
        tx.append(ChangeKind.MOVED, body, at_ms=0)

    with pytest.raises((TypeError, ValueError)):
        store.write(work)
    assert store.read(leases) == set()
    assert store.changes(0, 10) == []


def test_a_work_that_fails_leaves_nothing(store: Store) -> None:
    told: list[int] = []
    store.notifier.subscribe(lambda position, centres, any_change: told.append(position))

    def work(tx: Transaction) -> None:
        lease_named("undone")(tx)
        appending(1)(tx)
        tx.touch_centre("c1")
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        store.write(work)
    assert store.read(leases) == set()
    assert store.changes(0, 10) == []
    assert store.position() == 0
    assert told == []


def test_the_databases_own_errors_reach_the_caller(store: Store) -> None:
    store.write(lease_named("once"))
    with pytest.raises(IntegrityError):
        store.write(lease_named("once"))
    assert store.write(counting()) == 0


def test_a_foreign_key_is_held(store: Store) -> None:
    with pytest.raises(DBAPIError):
        store.write(
            lambda tx: tx.connection.execute(insert(schema.pool).values(centre="nowhere", id="p", body="{}"))
        )


def test_failures_among_many_at_once_hurt_nobody_else(store: Store) -> None:
    def failing(name: str) -> Callable[[], None]:
        def work(tx: Transaction) -> None:
            lease_named(name)(tx)
            appending(1)(tx)
            raise LookupError(name)

        return lambda: store.write(work)

    def succeeding(name: str) -> Callable[[], None]:
        def work(tx: Transaction) -> None:
            lease_named(name)(tx)
            appending(2)(tx)

        return lambda: store.write(work)

    good = [succeeding(f"good{n}") for n in range(12)]
    bad = [failing(f"bad{n}") for n in range(12)]
    raised = in_threads(*(work for pair in zip(good, bad, strict=True) for work in pair))
    assert sorted(f"bad{n}" for n in range(12)) == sorted(str(error) for error in raised)
    assert {f"good{n}" for n in range(12)} == store.read(leases)
    assert [2] * 12 == [change.at_ms for change in store.changes(0, 100)]


def test_transactions_are_as_if_each_were_alone(store: Store) -> None:
    """What was read has not changed when the transaction commits: no update is lost."""
    seen: list[int] = []

    def count() -> None:
        for _ in range(10):
            seen.append(store.write(counting()))  # noqa: PERF401 - each is its own transaction

    assert in_threads(*[count] * 8) == []
    assert list(range(80)) == sorted(seen)


def test_two_that_each_read_what_the_other_writes_do_not_both_pass(store: Store) -> None:
    """Each takes the place only if the other's is free: the case that a snapshot alone lets through."""
    both_have_read = threading.Barrier(2, timeout=1)

    def take(mine: str, other: str) -> Callable[[], None]:
        def work(tx: Transaction) -> None:
            free = tx.connection.execute(select(LEASE.c.name).where(LEASE.c.name == other)).scalar() is None
            # On SQLite they come one after the other, and on PostgreSQL in the second run.
            with suppress(threading.BrokenBarrierError):
                both_have_read.wait()
            if free:
                lease_named(mine)(tx)

        return lambda: store.write(work)

    assert in_threads(take("a", "b"), take("b", "a")) == []
    assert len(store.read(leases)) == 1


def test_a_reader_sees_one_moment(store: Store) -> None:
    store.write(counting())

    def look(connection: Connection) -> tuple[int, int]:
        before = connection.execute(select(LEASE.c.term)).scalar_one()
        writer = threading.Thread(target=lambda: store.write(counting()))
        writer.start()
        writer.join(30)
        return before, connection.execute(select(LEASE.c.term)).scalar_one()

    assert store.read(look) == (1, 1)
    assert store.read(lambda connection: connection.execute(select(LEASE.c.term)).scalar_one()) == 2


def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only"):
        store.read(lambda connection: connection.execute(insert(LEASE).values(name="x", holder="", term=1)))
    assert store.read(leases) == set()


@pytest.mark.timeout(300)
def test_a_tailing_reader_never_skips_a_change(store: Store) -> None:
    """16 writers, some of which fail; each says in its change which of its own it is."""
    writers, each = 16, 25
    done = threading.Event()
    seen: list[Change] = []

    def write(writer: int) -> Callable[[], None]:
        chance = random.Random(writer)

        def one(number: int) -> None:
            fails = chance.random() < 0.2

            def work(tx: Transaction) -> None:
                for part in range(1 + number % 3):
                    tx.append(ChangeKind.EDITED, {"by": writer, "n": number, "part": part}, at_ms=0)
                if fails:
                    raise LookupError

            while True:
                try:
                    store.write(work)
                except LookupError:
                    fails = False
                else:
                    return

        def run() -> None:
            for number in range(each):
                one(number)

        return run

    def tail() -> None:
        after = 0
        while True:
            over = done.is_set()
            if found := store.changes(after, 7):
                seen.extend(found)
                after = found[-1].position
            elif over:
                return
            else:
                store.wait_for_change(after, 0.05)

    tailing = threading.Thread(target=tail)
    tailing.start()
    raised = in_threads(*(write(writer) for writer in range(writers)))
    done.set()
    tailing.join(60)
    assert raised == []
    assert store.changes(0, 10**6) == seen
    assert sorted({change.position for change in seen}) == [change.position for change in seen]
    wanted = [[n, part] for n in range(each) for part in range(1 + n % 3)]
    for writer in range(writers):
        assert wanted == [[c.body["n"], c.body["part"]] for c in seen if c.body["by"] == writer]
    for change, following in itertools.pairwise(seen):
        if following.body["part"] > 0:
            assert change.position + 1 == following.position
            assert change.body["n"] == following.body["n"]


def test_a_commit_is_told_with_the_centres_it_touched(store: Store) -> None:
    told: queue.SimpleQueue[tuple[int, frozenset[str], bool]] = queue.SimpleQueue()
    stop = store.notifier.subscribe(lambda *news: told.put(news))

    def work(tx: Transaction) -> None:
        appending(1, 2)(tx)
        tx.touch_centre("c1")
        tx.touch_centre("c2")

    store.write(work)
    assert told.get(timeout=10) == (store.position(), frozenset({"c1", "c2"}), True)
    store.write(lambda tx: tx.touch_centre("c3"))
    assert told.get(timeout=10)[1:] == (frozenset({"c3"}), False)
    stop()
    store.write(work)
    time.sleep(0.01)
    assert told.empty()


def test_a_subscriber_that_fails_is_logged_and_hurts_nobody(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    told = threading.Event()

    def fails(position: int, centres: frozenset[str], any_change: bool) -> None:
        raise LookupError("a page that is gone")

    store.notifier.subscribe(fails)
    store.notifier.subscribe(lambda position, centres, any_change: told.set())
    store.write(appending(1))
    assert told.wait(10)
    assert "a page that is gone" in caplog.text
    assert len(store.changes(0, 10)) == 1


def test_waiting_ends_with_the_change(store: Store) -> None:
    assert not store.wait_for_change(0, 0.01)
    woken = threading.Event()

    def wait() -> None:
        if store.wait_for_change(0, 30):
            woken.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    store.write(appending(1))
    assert woken.wait(10)
    waiter.join(10)
    assert store.wait_for_change(0, 0)


def test_what_was_cut_is_gone_and_said_so(store: Store) -> None:
    store.write(appending(*range(1, 11)))
    first = store.changes(0, 1)[0].position
    store.cut(first + 4)
    with pytest.raises(LogCutError) as caught:
        store.changes(first + 2, 10)
    assert caught.value.problem.status == 410
    assert caught.value.floor == first + 4
    assert [5, 6, 7, 8, 9, 10] == [change.at_ms for change in store.changes(first + 3, 10)]
    store.cut(first)
    assert [5, 6] == [change.at_ms for change in store.changes(first + 3, 2)]


def test_positions_go_on_after_everything_was_cut(store_url: str) -> None:
    with open_store(store_url) as store:
        store.write(appending(1, 2))
        last = store.position()
        store.cut(10**9)
    with open_store(store_url) as store:
        assert store.position() == last
        assert store.changes(last, 10) == []
        store.write(appending(3))
        [change] = store.changes(last, 10)
        assert change.position > last


def test_a_store_put_back_by_other_means_gets_a_new_incarnation(store_url: str) -> None:
    with open_store(store_url) as store:
        old = store.incarnation
        store.write(
            lambda tx: tx.connection.execute(insert(schema.centre).values(id="c1", body="{}", heartbeat_ms=1))
        )
    with open_store(store_url, restored=True, random_bits=random.Random(1).getrandbits) as store:
        new = store.incarnation
        assert store.read(lambda c: c.execute(select(schema.centre.c.heartbeat_ms)).scalar_one()) is None
    assert old != new
    with open_store(store_url) as store:
        assert new == store.incarnation


@pytest.mark.parametrize("url", ["mysql://localhost/weir", "weir.db", "", "sqlite:weir.db"])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="is no store"):
        open_store(url)
