"""What only a store on PostgreSQL does: several processes, each other's commits, a server that goes away."""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.exc import ProgrammingError

from tests.contract.postgresql_server import PostgresqlServer
from weir.model.change import ChangeKind
from weir.store import (
    EVERY_CENTRE,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    Transaction,
    open_store,
    schema,
)

pytestmark = pytest.mark.postgres
LEASE = schema.lease
News = tuple[int, frozenset[str], bool]


def change(tx: Transaction) -> None:
    tx.append(ChangeKind.PROVINCE, {"centres": []}, at_ms=0)


def numbered(number: int) -> Callable[[Transaction], None]:
    return lambda tx: tx.append(ChangeKind.EDITED, {"n": number}, at_ms=0)


def term(connection: Connection) -> int:
    return int(connection.execute(select(LEASE.c.term)).scalar_one())


def test_another_process_is_told_of_a_commit(postgresql_url: str) -> None:
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    with open_store(postgresql_url) as here, open_store(postgresql_url) as there:
        there.notifier.subscribe(lambda *news: told.put(news))

        def work(tx: Transaction) -> None:
            change(tx)
            tx.touch_centre("c1")

        here.write(work)
        assert told.get(timeout=10) == (here.position(), frozenset({"c1"}), True)
        here.write(lambda tx: tx.touch_centre("c2"))
        assert told.get(timeout=10)[1] == frozenset({"c2"})
        assert there.wait_for_change(0, 10)
        assert here.changes(0, 10) == there.changes(0, 10)


def test_so_many_centres_that_no_message_holds_them_are_every_centre(postgresql_url: str) -> None:
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    with open_store(postgresql_url) as here, open_store(postgresql_url) as there:
        there.notifier.subscribe(lambda *news: told.put(news))

        def work(tx: Transaction) -> None:
            for number in range(2000):
                tx.touch_centre(f"centre{number}")

        here.write(work)
        assert told.get(timeout=10)[1] == frozenset({EVERY_CENTRE})


def test_a_commit_whose_message_was_lost_is_noticed_all_the_same(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    database = postgresql_url.split("/")[3].split("?", maxsplit=1)[0]
    with open_store(postgresql_url) as store:
        store.notifier.subscribe(lambda *news: told.put(news))
        postgresql_server.execute(
            "INSERT INTO change (position, at_ms, kind, body) "
            "VALUES (nextval('change_position'), 0, 'province', '{}')",
            database=database,
        )
        assert told.get(timeout=10) == (store.position(), frozenset({EVERY_CENTRE}), True)


def test_positions_of_several_processes_are_one_order(postgresql_url: str) -> None:
    with open_store(postgresql_url) as here, open_store(postgresql_url) as there:
        for number in range(6):
            (here, there)[number % 2].write(numbered(number))
        assert list(range(6)) == [change.body["n"] for change in here.changes(0, 10)]


def test_a_transaction_in_conflict_is_run_again_on_what_the_other_left(postgresql_url: str) -> None:
    with open_store(postgresql_url) as store:
        store.write(
            lambda tx: tx.connection.execute(insert(LEASE).values(name="a", holder="", term=1, expires_ms=0))
        )
        runs: list[int] = []

        def slow(tx: Transaction) -> None:
            runs.append(term(tx.connection))
            if len(runs) == 1:
                other = threading.Thread(
                    target=lambda: store.write(
                        lambda tx: tx.connection.execute(update(LEASE).values(term=LEASE.c.term + 1))
                    )
                )
                other.start()
                other.join(10)
            tx.connection.execute(update(LEASE).values(term=runs[-1] + 10))

        store.write(slow)
        assert runs == [1, 2]
        assert store.read(term) == 12


def test_endless_conflict_ends_with_a_clear_answer(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weir.store.postgresql.TRIES", 3)
    with open_store(postgresql_url) as store, open_store(postgresql_url) as other:
        store.write(
            lambda tx: tx.connection.execute(insert(LEASE).values(name="a", holder="", term=1, expires_ms=0))
        )

        def work(tx: Transaction) -> None:
            found = term(tx.connection)
            other.write(lambda tx: tx.connection.execute(update(LEASE).values(term=LEASE.c.term + 1)))
            tx.connection.execute(update(LEASE).values(term=found + 100))
            change(tx)

        with pytest.raises(StoreBusyError, match="3 times") as caught:
            store.write(work)
        assert caught.value.problem.status == 503
        assert store.read(term) == 4
        assert store.changes(0, 10) == []


def test_a_real_duplicate_reaches_the_caller(postgresql_url: str) -> None:
    runs: list[int] = []
    with open_store(postgresql_url) as store:

        def work(tx: Transaction) -> None:
            runs.append(1)
            tx.connection.execute(insert(LEASE).values(name="a", holder="", term=1, expires_ms=0))

        store.write(work)
        with pytest.raises(Exception, match="duplicate key"):
            store.write(work)
        assert 1 < len(runs) < 10


def test_a_wrong_statement_reaches_the_caller_at_once(postgresql_url: str) -> None:
    runs: list[int] = []

    def work(connection: Connection) -> None:
        runs.append(1)
        connection.execute(text("SELECT nonsense"))

    with open_store(postgresql_url) as store, pytest.raises(ProgrammingError, match="nonsense"):
        store.read(work)
    assert runs == [1]


def test_work_goes_on_when_the_server_comes_back(tmp_path: Path, postgresql_server: PostgresqlServer) -> None:
    name = postgresql_server.create()
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    with open_store(postgresql_server.url(name)) as store:
        store.write(change)
        store.notifier.subscribe(lambda *news: told.put(news))
        postgresql_server.kill()
        with pytest.raises(StoreUnavailableError, match="does not answer") as caught:
            store.write(change)
        assert caught.value.problem.status == 503
        with pytest.raises(StoreUnavailableError):
            store.read(term)
        with pytest.raises(StoreError, match="cannot be opened"):
            open_store(postgresql_server.url(name))
        postgresql_server.start()
        store.write(change)
        assert len(store.changes(0, 10)) == 2
        # What was touched meanwhile is not known to it.
        until = time.monotonic() + 20
        while EVERY_CENTRE not in told.get(timeout=20)[1]:
            assert time.monotonic() < until
    postgresql_server.drop(name)


def test_a_connection_cut_by_the_server_does_not_show(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    with open_store(postgresql_url, threaded=False) as store:
        store.write(change)
        postgresql_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'test%'"
        )
        store.write(change)
        assert len(store.changes(0, 10)) == 2


def test_backups_are_the_databases_own_task(postgresql_url: str, tmp_path: Path) -> None:
    with open_store(postgresql_url) as store, pytest.raises(StoreError, match=r"pg_dump.*--restored"):
        store.backup(tmp_path / "backup")


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        open_store(f"postgresql://weir:secret@/weir?unix_sock={tmp_path}/none")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", ["nonsense", "verify-ca"])
def test_an_unknown_kind_of_encryption_is_refused(mode: str) -> None:
    with pytest.raises(StoreError, match="sslmode"):
        open_store(f"postgresql://weir@127.0.0.1:1/weir?sslmode={mode}")


def test_a_server_that_goes_away_at_the_commit_is_never_asked_twice(
    postgresql_server: PostgresqlServer, postgresql_url: str
) -> None:
    """Whether the commit was done is not known, so the work must not be run again."""
    runs: list[int] = []

    def work(tx: Transaction) -> None:
        runs.append(tx.connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        postgresql_server.execute(f"SELECT pg_terminate_backend({runs[-1]}, 10000)")

    with open_store(postgresql_url) as store:
        with pytest.raises(StoreUnavailableError, match="which may have been done"):
            store.write(work)
        assert len(runs) == 1
        store.write(change)


def test_a_full_disk_of_the_database_is_said_so(postgresql_url: str) -> None:
    """The database's own code for it, raised on purpose."""
    full = text("DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$")
    with open_store(postgresql_url) as store:
        with pytest.raises(StoreFullError, match="is full") as caught:
            store.write(lambda tx: tx.connection.execute(full))
        assert caught.value.problem.status == 507
        store.write(change)


def test_more_messages_than_the_driver_keeps_wake_everybody(postgresql_url: str) -> None:
    told: queue.SimpleQueue[News] = queue.SimpleQueue()
    with open_store(postgresql_url) as here, open_store(postgresql_url) as there:
        there.notifier.subscribe(lambda *news: told.put(news))

        def work(tx: Transaction) -> None:
            for number in range(300):
                tx.connection.execute(
                    text("SELECT pg_notify('weir', :said)"), {"said": f'["x{number}", ["c"]]'}
                )

        here.write(work)
        until = time.monotonic() + 20
        while EVERY_CENTRE not in told.get(timeout=20)[1]:
            assert time.monotonic() < until


@pytest.mark.parametrize("mode", ["require", "verify-full"])
def test_encryption_that_is_asked_for_is_insisted_on(postgresql_url: str, mode: str) -> None:
    with pytest.raises(StoreError, match="refuses SSL"):
        open_store(f"{postgresql_url}&sslmode={mode}")


@pytest.mark.parametrize("mode", ["disable", "prefer"])
def test_encryption_may_be_left_out(postgresql_url: str, mode: str) -> None:
    with open_store(f"{postgresql_url}&sslmode={mode}") as store:
        store.write(change)
        assert store.wait_for_change(0, 10)
