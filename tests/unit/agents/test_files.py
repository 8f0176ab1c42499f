"""Fetching inputs and taking over logs and outputs, with a server and an engine made of dictionaries."""

import base64
import errno
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from tests.unit.agents.centre import SUCCESS, WORK
from weir.agents.collecting import PATIENCE, SMALL_LOG, collect, send_log
from weir.agents.fetching import fetch_inputs
from weir.agents.inputs import Collected, Fetched
from weir.agents.record import Phase, RecordedAttempt
from weir.agents.transport import (
    ForbiddenError,
    GoneError,
    Transport,
    TransportError,
    UnreachableError,
    WrongOffsetError,
)
from weir.engines.driver import Driver
from weir.model.agent import InputFile
from weir.model.state import Desired, Observed

ONE = "aaaaaaaaaaaa-1"


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Files:
    """The server's files. `fault` is raised instead of an answer."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.partial: dict[str, bytes] = {}
        self.logs: dict[tuple[int, str], bytes] = {}
        self.fault: Exception | None = None
        self.asked = 0
        self.break_after: int | None = None

    def get_blob(self, digest: str, into: BinaryIO, offset: int) -> int:
        self._ask()
        if digest not in self.blobs:
            raise GoneError("no such blob")
        rest = self.blobs[digest][offset:]
        if self.break_after is not None:
            rest, self.break_after = rest[: self.break_after], None
            into.write(rest)
            raise UnreachableError("it broke off")
        return into.write(rest)

    def blob_offset(self, digest: str) -> int | None:
        self._ask()
        return None if digest in self.blobs else len(self.partial.get(digest, b""))

    def put_blob(self, digest: str, source: BinaryIO, offset: int, size_bytes: int) -> None:
        self._ask()
        held = self.partial.get(digest, b"")
        if offset != len(held):
            raise WrongOffsetError("go on elsewhere", len(held))
        source.seek(offset)
        content = held + source.read()
        assert (digest, size_bytes) == (digest_of(content), len(content))
        self.blobs[digest] = content

    def put_log(self, attempt: str, task: int, stream: str, offset: int, data: bytes) -> int:
        self._ask()
        held = self.logs.get((task, stream), b"")
        if offset > len(held):
            raise WrongOffsetError("a gap", len(held))
        self.logs[task, stream] = held + data[len(held) - offset :]
        return len(self.logs[task, stream])

    def _ask(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


class Outputs:
    """The engine's side of logs."""

    def __init__(self, **streams: bytes) -> None:
        self.streams = streams

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        return len(self.streams.get(stream, b""))

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        return self.streams.get(stream, b"")[offset : offset + limit]


@pytest.fixture
def files() -> Files:
    return Files()


def fetch(files: Files, folder: Path, **inputs: bytes) -> Fetched:
    """Fetch inputs by path and content; what the server does not have must be put out of `files.blobs` before."""
    wanted = [InputFile(path.replace("__", "/"), digest_of(data), len(data)) for path, data in inputs.items()]
    return fetch_inputs(cast(Transport, files), ONE, folder, wanted)


def take(files: Files, engine: Outputs, folder: Path, tries: int = 0, **changes: Any) -> Collected:
    work = replace(WORK, **changes)
    attempt = RecordedAttempt(
        ONE,
        ONE[:12],
        1,
        Phase.COLLECTING,
        Desired.RUN,
        Observed.RUNNING,
        0,
        work=work,
        folder=str(folder),
        ending=SUCCESS,
    )
    return collect(cast(Driver, engine), cast(Transport, files), attempt, tries)


def test_inputs_lie_where_they_should(tmp_path: Path, files: Files) -> None:
    for content in (b"one", b""):
        files.blobs[digest_of(content)] = content
    assert Fetched(ONE) == fetch(files, tmp_path, a=b"one", deep__b=b"one", empty=b"")
    assert b"one" == (tmp_path / "work/a").read_bytes() == (tmp_path / "work/deep/b").read_bytes()
    assert b"" == (tmp_path / "work/empty").read_bytes()
    assert ["work"] == [path.name for path in tmp_path.iterdir()]
    assert 2 == files.asked, "the same content is fetched once"


def test_a_broken_fetch_goes_on_where_it_broke_off(tmp_path: Path, files: Files) -> None:
    files.blobs[digest_of(b"0123456789")] = b"0123456789"
    files.break_after = 4
    assert fetch(files, tmp_path, a=b"0123456789").again
    assert b"0123" == (tmp_path / "fetched" / digest_of(b"0123456789")).read_bytes()
    assert Fetched(ONE) == fetch(files, tmp_path, a=b"0123456789")
    files.fault = AssertionError("what is there is not fetched again")
    assert Fetched(ONE) == fetch(files, tmp_path, a=b"0123456789")


def test_content_with_another_digest_is_never_used(tmp_path: Path, files: Files) -> None:
    files.blobs[digest_of(b"good")] = b"evil"
    answer = fetch(files, tmp_path, a=b"good")
    assert not answer.again
    assert "SHA-256" in answer.problem
    assert not (tmp_path / "work/a").exists()


@pytest.mark.parametrize(
    ("fault", "again", "said"),
    [
        (UnreachableError("no answer"), True, "no answer"),
        (ForbiddenError("not yours"), False, "not to be had"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            False,
            "the disk at the centre has no room for the inputs",
        ),
        (OSError(errno.EIO, "Input/output error"), False, "could not be handled at the centre"),
    ],
)
def test_what_goes_wrong_in_fetching_is_final_or_not(
    tmp_path: Path, files: Files, fault: Exception, again: bool, said: str
) -> None:
    files.fault = fault
    answer = fetch(files, tmp_path, a=b"x")
    assert again is answer.again
    assert said in answer.problem


@pytest.mark.parametrize("path", ["../a", "/a", ""])
def test_an_input_never_leaves_the_work_folder(tmp_path: Path, files: Files, path: str) -> None:
    files.blobs[digest_of(b"x")] = b"x"
    answer = fetch_inputs(cast(Transport, files), ONE, tmp_path / "at", [InputFile(path, digest_of(b"x"), 1)])
    assert not answer.again
    assert "stays inside" in answer.problem
    assert not (tmp_path / "a").exists()


def test_small_logs_travel_in_the_report(tmp_path: Path, files: Files) -> None:
    answer = take(files, Outputs(stdout=b"out", stderr=b"err"), tmp_path)
    assert {("stdout", b"out"), ("stderr", b"err")} == {
        (chunk.stream, base64.b64decode(chunk.data)) for chunk in answer.chunks
    }
    assert 0 == files.asked


def test_large_logs_are_sent_from_where_the_server_stands(tmp_path: Path, files: Files) -> None:
    log = bytes(range(256)) * 10_000
    files.logs[0, "stdout"] = log[:1_000_000]
    answer = take(files, Outputs(stdout=log), tmp_path, log_limit_bytes=2_000_000)
    assert log[:2_000_000] == files.logs[0, "stdout"]
    assert 560_000 == answer.dropped_log_bytes
    assert () == answer.chunks


def test_where_restartable_work_says_to_have_resumed_is_told(tmp_path: Path, files: Files) -> None:
    said = Outputs(stdout=b"begins", stderr=b"weir: resumed from 2026-11-22T14:03:00+08:00\n")
    assert 1_795_327_380_000 == take(files, said, tmp_path, restartable=True).resumed_ms
    assert None is take(files, said, tmp_path, restartable=False).resumed_ms


def test_of_many_streams_only_a_few_travel_in_the_report(tmp_path: Path, files: Files) -> None:
    answer = take(files, Outputs(stdout=b"x" * SMALL_LOG), tmp_path, tasks=20)
    assert 8 == len(answer.chunks)
    assert 12 == len(files.logs)


def test_a_followed_log_is_sent_piece_by_piece_and_not_past_its_limit(files: Files) -> None:
    engine = Outputs(stdout=b"0123456789")
    there = cast(Driver, engine), cast(Transport, files)
    assert 4 == send_log(*there, ONE, 0, "stdout", 0, 4).offset
    assert 4 == send_log(*there, ONE, 0, "stdout", 4, 4).offset
    assert b"0123" == files.logs[0, "stdout"]
    assert 4 == send_log(*there, ONE, 0, "stdout", 8, 10).offset, "where the server stands"
    files.fault = UnreachableError("no answer")
    assert send_log(*there, ONE, 0, "stdout", 4, 10).failed


class Spoiled(Outputs):
    """The engine's side of a log in whose place a task has put something that cannot be read."""

    def output_size(self, attempt: str, task: int, stream: str) -> int:
        if stream == "stdout":
            raise OSError(errno.ELOOP, "Too many levels of symbolic links")
        return super().output_size(attempt, task, stream)

    def output(self, attempt: str, task: int, stream: str, offset: int, limit: int) -> bytes:
        if stream == "stdout":
            raise OSError(errno.ELOOP, "Too many levels of symbolic links")
        return super().output(attempt, task, stream, offset, limit)


def test_a_log_that_cannot_be_read_counts_as_empty(
    tmp_path: Path, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Spoiled(stdout=b"out", stderr=b"err")
    answer = take(files, engine, tmp_path)
    assert ["stderr"] == [chunk.stream for chunk in answer.chunks]
    assert "" == answer.problem
    sent = send_log(cast(Driver, engine), cast(Transport, files), ONE, 0, "stdout", 7, 10)
    assert (7, False) == (sent.offset, sent.failed)
    assert 2 == caplog.text.count("cannot be read")


def test_outputs_are_held_by_the_server_before_they_are_told(tmp_path: Path, files: Files) -> None:
    (tmp_path / "work").mkdir()
    for name, content in (("a", b"0123"), ("b", b"0123"), ("c", b""), ("d", b"whole")):
        (tmp_path / "work" / name).write_bytes(content)
    files.partial[digest_of(b"0123")] = b"01"
    files.partial[digest_of(b"whole")] = b"whole"
    answer = take(files, Outputs(), tmp_path, outputs=("*",))
    assert ["a", "b", "c", "d"] == [output.path for output in answer.outputs]
    assert all(len(files.blobs[output.digest]) == output.size_bytes for output in answer.outputs)


@pytest.mark.parametrize(("limit", "patterns"), [(3, ("*",)), (100, ("../*",))])
def test_outputs_that_cannot_be_taken_are_a_problem_and_not_tried_again(
    tmp_path: Path, files: Files, limit: int, patterns: tuple[str, ...]
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a").write_bytes(b"0123")
    answer = take(files, Outputs(stdout=b"x"), tmp_path, outputs=patterns, output_limit_bytes=limit)
    assert answer.problem
    assert not answer.again
    assert 1 == len(answer.chunks), "the log arrives all the same"


@pytest.mark.parametrize(
    ("fault", "tries", "again"),
    [
        (UnreachableError("no answer"), 0, True),
        (UnreachableError("no answer"), 10_000, True),
        (GoneError("no such attempt"), 0, True),
        (GoneError("no such attempt"), PATIENCE, False),
    ],
)
def test_a_refusal_is_believed_in_the_end_and_silence_never(
    tmp_path: Path, files: Files, fault: TransportError, tries: int, again: bool
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a").write_bytes(b"0123")
    files.fault = fault
    answer = take(files, Outputs(stdout=b"x" * 100_000), tmp_path, tries, outputs=("*",))
    assert again is answer.again
    if not again:
        assert 100_000 == answer.dropped_log_bytes
        assert "does not take the outputs" in answer.problem
