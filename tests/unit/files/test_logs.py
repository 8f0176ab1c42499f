"""Logs grow by what is new, refuse gaps, and are told of."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.files import FilesFullError, LogStore, OffsetError
from weir.model.problem import ProblemError

A = "k7m2q9xw4tcd.7-1"


@pytest.fixture
def logs(tmp_path: Path) -> LogStore:
    return LogStore(tmp_path / "logs")


def test_a_log_is_read_as_it_was_added(logs: LogStore) -> None:
    assert logs.size(A, 0, "stdout") == 0
    assert logs.read(A, 0, "stdout", 0, 100) == b""
    assert logs.append(A, 0, "stdout", 0, b"hello ") == 6
    assert logs.append(A, 0, "stdout", 6, b"world") == 11
    assert logs.size(A, 0, "stdout") == 11
    assert logs.read(A, 0, "stdout", 4, 4) == b"o wo"
    assert logs.read(A, 0, "stdout", 11, 4) == b""
    assert logs.read(A, 0, "stdout", 99, 4) == b""


def test_logs_do_not_mix(logs: LogStore) -> None:
    names = [
        (attempt, task, stream)
        for attempt in (A, "k7m2q9xw4tcd.7-2", "k7m2q9xw4tcd.71-1", "k7m2q9xw4tcd-1", "k7m2q9xw4tcd-11")
        for task in (0, 1, 11)
        for stream in ("stdout", "stderr")
    ]
    for number, name in enumerate(names):
        logs.append(*name, 0, b"%d" % number)
    assert [b"%d" % number for number in range(len(names))] == [logs.read(*name, 0, 100) for name in names]


def test_repeating_and_overlapping_add_only_what_is_new(logs: LogStore) -> None:
    logs.append(A, 0, "stdout", 0, b"abcdef")
    assert logs.append(A, 0, "stdout", 0, b"abc") == 6
    assert logs.append(A, 0, "stdout", 0, b"abcdef") == 6
    assert logs.append(A, 0, "stdout", 3, b"defgh") == 8
    assert logs.read(A, 0, "stdout", 0, 100) == b"abcdefgh"


def test_a_gap_is_refused_with_what_is_expected(logs: LogStore) -> None:
    logs.append(A, 0, "stdout", 0, b"abc")
    with pytest.raises(OffsetError) as caught:
        logs.append(A, 0, "stdout", 4, b"e")
    assert caught.value.expected == 3
    assert caught.value.problem.status == 409
    assert logs.size(A, 0, "stdout") == 3


def test_an_ended_log_takes_repetitions_and_nothing_new(logs: LogStore) -> None:
    logs.append(A, 0, "stdout", 0, b"abc")
    assert not logs.ended(A, 0, "stdout")
    assert logs.end(A, 0, "stdout") == 3
    assert logs.end(A, 0, "stdout") == 3
    assert logs.ended(A, 0, "stdout")
    assert logs.append(A, 0, "stdout", 0, b"abc") == 3
    with pytest.raises(ProblemError, match="has ended at 3 bytes"):
        logs.append(A, 0, "stdout", 3, b"d")
    assert logs.read(A, 0, "stdout", 0, 100) == b"abc"


def test_many_logs_end_at_once(logs: LogStore) -> None:
    names = [(f"k7m2q9xw4tcd.{index}-1", 0, "stdout") for index in range(5)]
    for name in names[:3]:
        logs.append(*name, 0, b"abc")
    logs.end(*names[0])
    logs.end_all(names)
    assert all(logs.ended(*name) for name in names)
    assert [logs.size(*name) for name in names] == [3, 3, 3, 0, 0]


def test_a_log_may_end_without_a_byte(logs: LogStore) -> None:
    assert not logs.ended(A, 0, "stderr")
    assert logs.end(A, 0, "stderr") == 0
    assert logs.ended(A, 0, "stderr")


@pytest.mark.parametrize(
    ("attempt", "task", "stream"),
    [
        ("../../../etc-1", 0, "stdout"),
        ("k7m2q9xw4tcd.7", 0, "stdout"),
        ("k7m2-1", 0, "stdout"),
        (A, -1, "stdout"),
        (A, 10**6, "stdout"),
        (A, 0, "../stdout"),
        (A, 0, "stdin"),
    ],
)
def test_a_bad_name_is_refused(logs: LogStore, tmp_path: Path, attempt: str, task: int, stream: str) -> None:
    with pytest.raises(ProblemError):
        logs.append(attempt, task, stream, 0, b"x")
    with pytest.raises(ProblemError):
        logs.read(attempt, task, stream, 0, 1)
    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_negative_offset_is_refused(logs: LogStore) -> None:
    with pytest.raises(ProblemError, match="offset"):
        logs.append(A, 0, "stdout", -1, b"xy")
    with pytest.raises(ProblemError, match="offset"):
        logs.read(A, 0, "stdout", -1, 1)


def test_a_follower_is_woken_by_news_alone(logs: LogStore) -> None:
    woken: list[int] = []
    stop = logs.follow(A, 0, "stdout", lambda: woken.append(logs.size(A, 0, "stdout")))
    logs.append(A, 0, "stdout", 0, b"abc")
    logs.append(A, 0, "stdout", 0, b"abc")
    logs.append(A, 0, "stderr", 0, b"other")
    logs.append(A, 0, "stdout", 3, b"d")
    logs.end(A, 0, "stdout")
    assert woken == [3, 4, 4]
    stop()
    stop()
    logs.end(A, 0, "stdout")
    assert woken == [3, 4, 4]
    assert logs._followers == {}


def test_a_full_disk_says_so_and_adds_nothing(logs: LogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    logs.append(A, 0, "stdout", 0, b"abc")
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if offset < 5:
            return real(descriptor, data[:2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(FilesFullError):
        logs.append(A, 0, "stdout", 3, b"defghi")
    monkeypatch.undo()
    assert logs.read(A, 0, "stdout", 0, 100) == b"abc"
    assert logs.append(A, 0, "stdout", 3, b"defghi") == 9


@given(
    data=st.binary(max_size=60),
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12),
)
def test_lost_repeated_and_reordered_pieces_never_spoil_a_log(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, spans: list[tuple[int, int]]
) -> None:
    logs = LogStore(tmp_path_factory.mktemp("logs"))
    for start, length in spans:
        size = logs.size(A, 0, "stdout")
        if start > size:
            with pytest.raises(OffsetError):
                logs.append(A, 0, "stdout", start, data[start : start + length])
        else:
            assert logs.append(A, 0, "stdout", start, data[start : start + length]) >= size
        assert data.startswith(logs.read(A, 0, "stdout", 0, 100))
