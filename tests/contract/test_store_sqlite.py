"""What only a store on SQLite does: one process a file, commits in groups, backups, a full disk."""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, select, text

from weir.model.change import ChangeKind
from weir.store import (
    Store,
    StoreError,
    StoreFullError,
    StoreInUseError,
    StoreNewerError,
    StoreUnavailableError,
    Transaction,
    back_up,
    migrate,
    open_store,
    restore,
    schema,
)

AUDIT = schema.audit

WRITER = """
import sys, threading
from sqlalchemy import insert
from weir.model.change import ChangeKind
from weir.store import open_store, schema

store = open_store("sqlite:///" + sys.argv[1])
row = dict(at_ms=0, actor="a", address="", action="x")

def write(writer):
    number = 0
    while True:
        def work(tx):
            for part in range(3):
                tx.connection.execute(insert(schema.audit).values(target=f"{writer}.{number}", **row))
            tx.append(ChangeKind.EDITED, {"target": f"{writer}.{number}"}, at_ms=0)
        store.write(work)
        sys.stdout.write(f"{writer}.{number}\\n")
        sys.stdout.flush()
        number += 1

for writer in range(4):
    threading.Thread(target=write, args=(writer,)).start()
"""


def rows_named(*targets: str) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for target in targets:
            tx.connection.execute(
                insert(AUDIT).values(at_ms=0, actor="a", address="", action="x", target=target)
            )
        tx.append(ChangeKind.EDITED, {"target": targets[0]}, at_ms=0)

    return work


def targets(connection: Connection) -> list[str]:
    return list(connection.execute(select(AUDIT.c.target).order_by(AUDIT.c.id)).scalars())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weir.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{path}") as opened:
        yield opened


def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_nothing_half_done(path: Path) -> None:
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged.add(process.stdout.readline().strip())
        time.sleep(chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        acknowledged.update(line.strip() for line in process.stdout.read().split("\n")[:-1])
        process.wait(10)
        process.stdout.close()
        with open_store(f"sqlite:///{path}") as store:
            rows = Counter(store.read(targets))
            changes = store.changes(0, 10**6)
            assert acknowledged <= rows.keys()
            assert sorted(rows) == sorted(change.body["target"] for change in changes)
            assert list(range(1, len(changes) + 1)) == [change.position for change in changes]
            assert {3} == set(rows.values())
            # The next process numbers its rows from 0 again.
            store.write(lambda tx: tx.connection.execute(AUDIT.delete()))
            store.write(lambda tx: tx.connection.execute(schema.change.delete()))
            acknowledged.clear()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_second_process_is_refused_and_told_who_has_the_file(store: Store, path: Path) -> None:
    with pytest.raises(StoreInUseError, match=f"in use by process {os.getpid()}"):
        open_store(f"sqlite:///{path}")
    other = subprocess.run(
        [sys.executable, "-c", f"from weir.store import open_store; open_store('sqlite:///{path}')"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 1
    assert f"in use by process {os.getpid()}" in other.stderr
    store.write(rows_named("still"))


def test_a_closed_store_lets_go_of_its_file_and_takes_nothing_more(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.write(rows_named("late"))
    open_store(f"sqlite:///{path}").close()


def test_closing_finishes_what_was_handed_in(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        begun.set()
        go_on.wait(10)
        rows_named("slow")(tx)

    threads = [threading.Thread(target=lambda: store.write(slow))]
    threads[0].start()
    assert begun.wait(10)
    threads += [
        threading.Thread(target=lambda: store.write(rows_named("next"))),
        threading.Thread(target=store.close),
    ]
    for thread in threads[1:]:
        thread.start()
        time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)
    with open_store(f"sqlite:///{path}") as again:
        assert again.read(targets) == ["slow", "next"]


def test_works_that_wait_together_share_a_commit_and_not_their_failures(store: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()
    told: list[int] = []
    failed: list[str] = []
    store.notifier.subscribe(lambda position, centres, any_change: told.append(position))

    def slow(tx: Transaction) -> None:
        begun.set()
        go_on.wait(10)
        rows_named("first")(tx)

    def fails(tx: Transaction) -> None:
        rows_named("failed", "failed too")(tx)
        raise LookupError

    def write(work: Callable[[Transaction], None]) -> None:
        try:
            store.write(work)
        except LookupError:
            failed.append("failed")

    threads = [threading.Thread(target=write, args=(slow,))]
    threads[0].start()
    assert begun.wait(10)
    for work in (rows_named("a"), fails, rows_named("b"), fails, rows_named("c")):
        threads.append(threading.Thread(target=write, args=(work,)))
        threads[-1].start()
        time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert failed == ["failed", "failed"]
    assert store.read(targets) == ["first", "a", "b", "c"]
    assert [c.body["target"] for c in store.changes(0, 10)] == ["first", "a", "b", "c"]
    assert told == [1, 4]


def test_a_work_that_calls_its_own_store_is_told_so(store: Store) -> None:
    with pytest.raises(StoreError, match="must not call the store"):
        store.write(lambda tx: store.write(rows_named("inner")))
    store.write(rows_named("outer"))
    assert store.read(targets) == ["outer"]


def test_more_readers_than_connections_take_turns(store: Store) -> None:
    store.write(rows_named("x"))
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(store.read(targets))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [["x"]] * 40 == found


def test_a_store_is_durable_at_each_commit_and_for_its_owner_alone(store: Store, path: Path) -> None:
    def setting(name: str) -> object:
        return store.write(lambda tx: tx.connection.execute(text(f"PRAGMA {name}")).scalar_one())

    assert setting("journal_mode") == "wal"
    assert setting("synchronous") == 2
    assert setting("foreign_keys") == 1
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_locked_by_another_program_is_said_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.store.sqlite.BUSY_TIMEOUT_S", 0.05)
    with open_store(f"sqlite:///{path}") as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="another program has locked") as caught:
                store.write(rows_named("x"))
            assert caught.value.problem.status == 503
            assert store.read(targets) == []
        store.write(rows_named("y"))
        assert store.read(targets) == ["y"]


def test_a_full_store_says_so_and_leaves_nothing_half_written(store: Store) -> None:
    store.write(rows_named("before"))
    pages = store.write(lambda tx: tx.connection.execute(text("PRAGMA page_count")).scalar_one())
    store.write(lambda tx: tx.connection.execute(text(f"PRAGMA max_page_count = {pages}")).scalar_one())
    with pytest.raises(StoreFullError, match="is full") as caught:
        store.write(rows_named("small", "x" * 200_000))
    assert caught.value.problem.status == 507
    assert store.read(targets) == ["before"]
    assert store.position() == 1
    store.write(lambda tx: tx.connection.execute(text("PRAGMA max_page_count = 1000000")).scalar_one())
    store.write(rows_named("after"))
    assert store.read(targets) == ["before", "after"]
    assert [change.position for change in store.changes(0, 10)] == [1, 2]


def test_one_that_does_not_fit_does_not_take_its_group_down(store: Store) -> None:
    pages = store.write(lambda tx: tx.connection.execute(text("PRAGMA page_count")).scalar_one())
    store.write(lambda tx: tx.connection.execute(text(f"PRAGMA max_page_count = {pages + 1}")).scalar_one())
    begun, go_on = threading.Event(), threading.Event()
    full: list[StoreFullError] = []

    def write(work: Callable[[Transaction], None]) -> None:
        try:
            store.write(work)
        except StoreFullError as error:
            full.append(error)

    def slow(tx: Transaction) -> None:
        begun.set()
        go_on.wait(10)

    threads = [threading.Thread(target=write, args=(slow,))]
    threads[0].start()
    assert begun.wait(10)
    for work in (rows_named("a"), rows_named("x" * 200_000), rows_named("b")):
        threads.append(threading.Thread(target=write, args=(work,)))
        threads[-1].start()
        time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert len(full) == 1
    assert store.read(targets) == ["a", "b"]
    assert [c.position for c in store.changes(0, 10)] == [1, 2]


FILLER = """
import json, resource, signal, sys
from sqlalchemy import insert
from weir.model.change import ChangeKind
from weir.store import StoreFullError, open_store, schema

limit = int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
kept = 0

def work(tx):
    row = dict(at_ms=kept, actor="a", address="", action="x", target="x" * 20_000)
    tx.connection.execute(insert(schema.audit).values(row))
    tx.append(ChangeKind.EDITED, {}, at_ms=kept)

with open_store("sqlite:///" + sys.argv[1]) as store:
    try:
        while kept < 1000:
            store.write(work)
            kept += 1
    except StoreFullError as error:
        print(json.dumps([kept, error.problem.status, store.position()]))
"""


def fill(path: Path, limit: int) -> None:
    """Writes until the disk is full, in a process of its own, and looks at what was kept."""
    done = subprocess.run(
        [sys.executable, "-c", FILLER, path, str(limit)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    kept, status, position = json.loads(done.stdout)
    assert status == 507
    assert kept == position > 5
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM audit").fetchone() == (kept,)
        assert database.execute("SELECT max(position) FROM change").fetchone() == (kept,)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_disk_over_its_quota_says_so_and_loses_nothing(path: Path) -> None:
    fill(path, 1_500_000)


def test_a_full_disk_says_so_and_loses_nothing(path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        # Without the right to mount, a smaller limit is the nearest there is.
        fill(path, 1_000_000)
        return
    try:
        fill(folder / "weir.db", 0)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_backup_is_whole_and_opens_as_another_incarnation(store: Store, path: Path, tmp_path: Path) -> None:
    backup, restored = tmp_path / "backup", tmp_path / "restored.db"
    store.write(rows_named("kept"))
    store.write(
        lambda tx: tx.connection.execute(insert(schema.centre).values(id="c1", body="{}", heartbeat_ms=5))
    )
    store.backup(backup)
    store.write(rows_named("later"))
    restore(backup, restored)
    with open_store(f"sqlite:///{restored}", random_bits=random.Random(1).getrandbits) as other:
        new = other.incarnation
        assert other.read(targets) == ["kept"]
        assert [change.position for change in other.changes(0, 10)] == [1]
        assert other.read(lambda c: c.execute(select(schema.centre.c.heartbeat_ms)).scalar_one()) is None
    assert store.incarnation != new
    with open_store(f"sqlite:///{restored}") as other:
        assert new == other.incarnation
    assert store.read(targets) == ["kept", "later"]


def test_a_backup_is_consistent_while_others_write(store: Store, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.write(rows_named("one", "two"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            store.backup(tmp_path / f"backup{number}")
    finally:
        stop.set()
        writer.join(10)
    for number in range(5):
        with closing(sqlite3.connect(tmp_path / f"backup{number}")) as database:
            [rows] = database.execute("SELECT count(*) FROM audit").fetchone()
            assert database.execute("SELECT count(*) FROM change").fetchone() == (rows // 2,)
            assert rows % 2 == 0


def test_a_store_is_backed_up_without_the_process_that_has_it(
    store: Store, path: Path, tmp_path: Path
) -> None:
    store.write(rows_named("kept"))
    back_up(path, tmp_path / "backup")
    with open_store(f"sqlite:///{tmp_path}/backup") as other:
        assert other.read(targets) == ["kept"]
        assert store.incarnation != other.incarnation
    with pytest.raises(StoreError, match="no store at"):
        back_up(tmp_path / "nothing", tmp_path / "backup2")


def test_neither_backup_nor_restore_writes_over_anything(store: Store, path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    store.backup(backup)
    with pytest.raises(StoreError, match="is there already"):
        store.backup(backup)
    with pytest.raises(StoreError, match="in use by process"):
        restore(backup, path)
    (tmp_path / "other").write_text("mine")
    with pytest.raises(StoreError, match="is there already"):
        restore(backup, tmp_path / "other")
    assert (tmp_path / "other").read_text() == "mine"
    assert [] == list(tmp_path.glob("*.unfinished")) + list(tmp_path.glob(".*.unfinished"))


def test_a_copy_made_by_hand_is_no_backup(store: Store, path: Path, tmp_path: Path) -> None:
    store.close()
    shutil.copy(path, tmp_path / "copy")
    for what in ("copy", "missing"):
        with pytest.raises(StoreError, match="is no backup"):
            restore(tmp_path / what, tmp_path / "target")
    (tmp_path / "noise").write_bytes(os.urandom(8192))
    with pytest.raises(StoreError, match="is no store"):
        restore(tmp_path / "noise", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_newer_store_is_refused_and_left_alone(path: Path) -> None:
    open_store(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'zzzz'")
        with pytest.raises(StoreNewerError, match="written by a newer Weir"):
            open_store(f"sqlite:///{path}")
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("zzzz",)]
        database.execute("UPDATE alembic_version SET version_num = ?", (migrate.HEAD,))
    open_store(f"sqlite:///{path}").close()


def test_what_is_not_ours_is_refused_and_left_alone(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE album (title)")
        with pytest.raises(StoreError, match="holds something else"):
            open_store(f"sqlite:///{path}")
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == [("album",)]
    noise = tmp_path / "noise"
    noise.write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be opened as a store"):
        open_store(f"sqlite:///{noise}")
    with pytest.raises(StoreError, match="cannot be made"):
        open_store(f"sqlite:///{tmp_path}/no/such/folder/weir.db")
