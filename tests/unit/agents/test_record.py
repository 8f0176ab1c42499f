"""Both records keep alike what a step commits, and nothing of what it does not."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.agents.centre import SUCCESS, WORK
from weir.agents.record import Batch, MemoryRecord, Order, Phase, Record, RecordedAttempt
from weir.agents.sqlite_record import FORMAT, SqliteRecord
from weir.model.agent import End, InputFile, LogChunk, NodeShare, OutputFile
from weir.model.problem import ProblemError
from weir.model.state import Cause, Desired, Observed

ONE = RecordedAttempt(
    id="aaaaaaaaaaaa.7-2",
    job="aaaaaaaaaaaa.7",
    epoch=2,
    phase=Phase.COLLECTING,
    desired=Desired.RUN,
    observed=Observed.RUNNING,
    since_ms=5,
    pool="gpu",
    nodes=(NodeShare(3, 2),),
    array_index=7,
    work=WORK,
    inputs=(InputFile("a/b", "0" * 64, 9),),
    folder="/attempts/aaaaaaaaaaaa.7-2",
    started_ms=4,
    message="算力",
    stop_reason="why",
    ending=SUCCESS,
)
END = End(Cause.OUTPUTS, 0, None, "too large", 4, 9, (OutputFile(1, "x", 2, "0" * 64),), 12)
CHUNK = LogChunk(ONE.id, 0, "stdout", 0, "aGVsbG8=")
Opener = Callable[[], Record]


@pytest.fixture(params=["memory", "sqlite"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same record again and again, as after a crash."""
    memory = MemoryRecord()
    return lambda: memory if request.param == "memory" else SqliteRecord(tmp_path / "record.db")


def test_what_is_committed_is_there_after_a_crash(opener: Opener) -> None:
    batch = Batch({ONE.id: ONE}, {ONE.id: (CHUNK,)}, incarnation=3, store_incarnation="s", drained=True)
    opener().commit(batch)
    recorded = opener().load()
    assert (3, "s", True, (ONE,)) == (
        recorded.incarnation,
        recorded.store_incarnation,
        recorded.drained,
        recorded.attempts,
    )
    assert (CHUNK,) == opener().chunks(ONE.id)


def test_removed_attempts_leave_their_end(opener: Opener) -> None:
    opener().commit(Batch({ONE.id: ONE}, {ONE.id: (CHUNK,)}))
    assert None is opener().past_end(ONE.id)
    opener().commit(Batch(removed={ONE.id: END}))
    assert () == opener().load().attempts
    assert () == opener().chunks(ONE.id)
    assert END == opener().past_end(ONE.id)


def test_orders_wait_until_they_are_done(opener: Opener) -> None:
    record = opener()
    first = record.leave_order(Order.DRAIN, 1)
    second = record.leave_order(Order.STOP_ALL, 2)
    assert [(first, Order.DRAIN), (second, Order.STOP_ALL)] == opener().orders()
    opener().commit(Batch(orders_done=first))
    assert [(second, Order.STOP_ALL)] == opener().orders()
    assert record.leave_order(Order.RESUME, 3) > second


def test_the_attempts_of_one_work_share_it(tmp_path: Path) -> None:
    record = SqliteRecord(tmp_path / "record.db")
    attempts = [
        RecordedAttempt(
            f"{ONE.job}-{n}", ONE.job, n, Phase.FETCHING, Desired.RUN, Observed.INTENDED, 0, work=WORK
        )
        for n in range(1, 50)
    ]
    record.commit(Batch({attempt.id: attempt for attempt in attempts}))
    with sqlite3.connect(tmp_path / "record.db") as plain:
        assert [(1,)] == plain.execute("SELECT count(*) FROM work").fetchall()
    record.commit(Batch(removed={attempt.id: END for attempt in attempts}))
    record.tidy()
    with sqlite3.connect(tmp_path / "record.db") as plain:
        assert [(0,)] == plain.execute("SELECT count(*) FROM work").fetchall()


def test_a_failed_commit_changes_nothing(tmp_path: Path) -> None:
    record = SqliteRecord(tmp_path / "record.db")
    with sqlite3.connect(tmp_path / "record.db") as plain:
        plain.execute("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT raise(ABORT, 'disk full'); END")
    with pytest.raises(sqlite3.Error, match="disk full"):
        record.commit(Batch({ONE.id: ONE}, {ONE.id: (CHUNK,)}, incarnation=3))
    assert (0, ()) == (record.load().incarnation, record.load().attempts)
    record.commit(Batch({ONE.id: ONE}))
    assert (ONE,) == record.load().attempts


def test_it_is_durable_and_for_the_owner_alone(tmp_path: Path) -> None:
    record = SqliteRecord(tmp_path / "record.db")
    assert ("wal", 2) == (
        record._connection.execute("PRAGMA journal_mode").fetchone()[0],
        record._connection.execute("PRAGMA synchronous").fetchone()[0],
    )
    assert 0o600 == (tmp_path / "record.db").stat().st_mode & 0o777


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    SqliteRecord(tmp_path / "record.db").close()
    with sqlite3.connect(tmp_path / "record.db") as plain:
        plain.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with pytest.raises(ProblemError, match="newer agent"):
        SqliteRecord(tmp_path / "record.db")


ENDS = st.builds(
    End, st.none() | st.sampled_from(Cause), st.none(), st.none(), st.text(), st.none(), st.just(1)
)


@settings(max_examples=25)  # each syncs a file to the disk several times
@given(
    message=st.text(),
    started=st.none() | st.integers(0, 1 << 50),
    phase=st.sampled_from(Phase),
    end=st.none() | ENDS,
)
def test_any_attempt_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, message: str, started: int | None, phase: Phase, end: End | None
) -> None:
    path = tmp_path_factory.mktemp("record") / "record.db"
    attempt = replace(ONE, phase=phase, started_ms=started, message=message, end=end)
    with closing(SqliteRecord(path)) as record:
        record.commit(Batch({attempt.id: attempt}))
    with closing(SqliteRecord(path)) as record:
        assert (attempt,) == record.load().attempts
