"""The agent's door for nodes without its folder: pieces arrive once, whole, and only where they may."""

import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from weir.engines.courier import node, returns
from weir.engines.courier.door import Door, Lodging
from weir.engines.courier.node import Courier, FilesError
from weir.engines.courier.settings import DoorSettings
from weir.model.problem import ProblemError

NAME = "abcdefghijkl-1"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture
def settings() -> DoorSettings:
    return DoorSettings("127.0.0.1", free_port(), "127.0.0.1")


@pytest.fixture
def door(tmp_path: Path, settings: DoorSettings) -> Iterator[Door]:
    made = Door(tmp_path / "agent", settings)
    made.open()
    (tmp_path / "attempt" / "work").mkdir(parents=True)
    made.lodge(NAME, Lodging(str(tmp_path / "attempt"), ("out", "*.txt"), 3_000_000))
    yield made
    made.close()


def courier(door: Door, patience_s: float = 5.0) -> Courier:
    return Courier(door.url(NAME), door.token(NAME), patience_s)


def hand(door: Door, folder: Path, part: int = 0) -> None:
    made = courier(door)
    try:
        made.hand(str(folder), part)
    finally:
        made.close()


def raw(
    door: Door, method: str, path: str, body: bytes = b"", token: str = "", **headers: str
) -> tuple[int, bytes]:
    wire = http.client.HTTPConnection(
        "127.0.0.1", int(door.url(NAME).split(":")[2].split("/")[0]), timeout=10
    )
    given = {"Authorization": f"Bearer {token or door.token(NAME)}", **headers}
    given.setdefault("X-Sha256", hashlib.sha256(body).hexdigest())
    wire.request(method, path, body, given)
    answer = wire.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        wire.close()


def test_inputs_and_outputs_are_what_they_were(door: Door, tmp_path: Path) -> None:
    work, there = tmp_path / "attempt" / "work", tmp_path / "node"
    large = os.urandom(2_500_000)
    (work / "a").mkdir()
    (work / "a" / "合 %2F?.bin").write_bytes(large)
    (work / "run").write_bytes(b"")
    (work / "run").chmod(0o755)
    there.mkdir()
    made = courier(door)
    made.fetch(str(there))
    assert large == (there / "a" / "合 %2F?.bin").read_bytes()
    assert 0o755 == (there / "run").stat().st_mode & 0o777
    (there / "out" / "deep").mkdir(parents=True)
    (there / "out" / "deep" / "合 %2F?.bin").write_bytes(large)
    (there / "empty.txt").touch()
    (there / "not wanted").touch()
    made.hand(str(there), 0)
    made.close()
    door.settle(NAME)
    found = {str(path.relative_to(work)): path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert {"out/deep/合 %2F?.bin": large, "empty.txt": b""} == found


def test_a_wrong_token_opens_nothing(door: Door) -> None:
    for token in ("x", door.token("abcdefghijkl-2"), door.token(NAME)[:-1]):
        assert 401 == raw(door, "GET", f"/v1/{NAME}/inputs", token=token)[0]
    assert 401 == raw(door, "GET", "/v1/..%2Fx/inputs")[0]


def test_a_token_holds_over_a_restart(door: Door, tmp_path: Path, settings: DoorSettings) -> None:
    token = door.token(NAME)
    door.close()
    again = Door(tmp_path / "agent", settings)
    again.open()
    try:
        assert token == again.token(NAME)
        assert 200 == raw(again, "GET", f"/v1/{NAME}/inputs")[0]
    finally:
        again.close()
    assert 0o600 == (tmp_path / "agent" / "courier" / "key").stat().st_mode & 0o777


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "a/..%2f..%2f..%2fx", "/etc/x", ""])
def test_nothing_leads_out_of_its_folder(door: Door, tmp_path: Path, path: str) -> None:
    raw(door, "POST", f"/v1/{NAME}/begin/0")
    status, _ = raw(door, "POST", f"/v1/{NAME}/outputs/0/{path}?offset=0&end=1&mode=420", b"x")
    assert 400 == status
    assert 400 == raw(door, "GET", f"/v1/{NAME}/inputs/../../agent/courier/key?offset=0&limit=9")[0]
    assert [] == list(tmp_path.rglob("x"))


def test_a_piece_that_was_spoilt_is_not_taken(door: Door, tmp_path: Path) -> None:
    raw(door, "POST", f"/v1/{NAME}/begin/0")
    where = f"/v1/{NAME}/outputs/0/out?offset=0&end=1&mode=420"
    wrong = {"X-Sha256": hashlib.sha256(b"other").hexdigest()}
    assert 503 == raw(door, "POST", where, b"this", **wrong)[0]
    assert 0 == returns.sizes(tmp_path / "attempt")[0]


def test_pieces_go_on_where_the_agent_has_them(door: Door) -> None:
    raw(door, "POST", f"/v1/{NAME}/begin/0")
    where = f"/v1/{NAME}/outputs/0/out?mode=420"
    assert (200, b"") == raw(door, "POST", f"{where}&offset=0&end=0", b"abc")
    assert (409, b'{"size": 3}') == raw(door, "POST", f"{where}&offset=0&end=0", b"abc")
    assert (409, b'{"size": 3}') == raw(door, "POST", f"{where}&offset=7&end=0", b"abc")
    assert 200 == raw(door, "POST", f"{where}&offset=3&end=1", b"def")[0]
    assert 200 == raw(door, "POST", f"{where}&offset=3&end=1", b"def")[0]


@pytest.mark.parametrize("size", [3_000_001, 6_000_000])
def test_more_than_its_limit_is_refused_at_both_ends(door: Door, tmp_path: Path, size: int) -> None:
    there = tmp_path / "node"
    there.mkdir()
    (there / "out").write_bytes(bytes(size))
    with pytest.raises(FilesError, match="larger than 3000000 bytes"):
        hand(door, there)
    raw(door, "POST", f"/v1/{NAME}/begin/0")
    piece, offset, statuses = bytes(1 << 20), 0, []
    for _ in range(3):
        where = f"/v1/{NAME}/outputs/0/out?offset={offset}&end=0&mode=420"
        statuses.append(raw(door, "POST", where, piece)[0])
        offset += len(piece)
    assert [200, 200, 413] == statuses


def test_a_link_out_of_the_folder_is_not_handed_over(door: Door, tmp_path: Path) -> None:
    there = tmp_path / "node"
    there.mkdir()
    (there / "x.txt").symlink_to("/etc/passwd")
    with pytest.raises(FilesError, match="leads out"):
        hand(door, there)


def test_an_agent_that_is_away_is_waited_for(door: Door, tmp_path: Path, settings: DoorSettings) -> None:
    there = tmp_path / "node"
    there.mkdir()
    (there / "out").write_bytes(b"made")
    door.close()
    again = Door(tmp_path / "agent", settings)
    threading.Timer(0.3, again.open).start()
    try:
        hand(door, there)
        again.settle(NAME)
    finally:
        again.close()
    assert b"made" == (tmp_path / "attempt" / "work" / "out").read_bytes()


def test_patience_ends(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door.close()
    monkeypatch.setattr("weir.engines.courier.node.time.sleep", lambda seconds: None)
    with pytest.raises(FilesError, match="cannot be reached from this node"):
        courier(door, patience_s=0.05).fetch(str(tmp_path))


def test_of_a_gang_the_lowest_part_counts_and_a_part_may_begin_anew(door: Door, tmp_path: Path) -> None:
    for part, texts in (
        (1, {"out/a": "one", "out/b": "one"}),
        (0, {"out/a": "gone"}),
        (0, {"out/a": "zero"}),
    ):
        there = tmp_path / f"node{part}{len(texts)}{texts['out/a']}"
        for path, text in texts.items():
            (there / path).parent.mkdir(parents=True, exist_ok=True)
            (there / path).write_text(text)
        hand(door, there, part)
    door.settle(NAME)
    work = tmp_path / "attempt" / "work"
    assert ("zero", "one") == ((work / "out/a").read_text(), (work / "out/b").read_text())


def test_what_comes_after_the_end_is_refused(door: Door, tmp_path: Path) -> None:
    there = tmp_path / "node"
    there.mkdir()
    (there / "out").write_bytes(b"made")
    hand(door, there)
    door.settle(NAME)
    (there / "out").write_bytes(b"later")
    with pytest.raises(FilesError, match="has ended"):
        hand(door, there)
    door.settle(NAME)
    assert b"made" == (tmp_path / "attempt" / "work" / "out").read_bytes()


@pytest.mark.parametrize("broken_off", ["moved", "taken", "removed"])
def test_settling_goes_on_where_it_was_broken_off(door: Door, tmp_path: Path, broken_off: str) -> None:
    folder = tmp_path / "attempt"
    there = tmp_path / "node"
    (there / "out").mkdir(parents=True)
    for name in "ab":
        (there / "out" / name).write_text(name)
    hand(door, there)
    (folder / "brought" / "out").mkdir(parents=True)
    (folder / "returned" / "0" / "out" / "a").rename(folder / "brought" / "out" / "a")
    if broken_off != "moved":
        (folder / "returned" / "0" / "out" / "b").rename(folder / "brought" / "out" / "b")
        (folder / "returned").rename(folder / "taken")
    if broken_off == "removed":
        (folder / "work").rmdir()
    door.settle(NAME)
    door.settle(NAME)
    assert {"a", "b"} == {path.name for path in (folder / "work" / "out").iterdir()}


def test_a_name_that_left_is_unknown(door: Door) -> None:
    door.leave([NAME])
    status, content = raw(door, "GET", f"/v1/{NAME}/inputs")
    assert (404, b"the agent has no such attempt any more") == (status, content)


def test_a_port_that_is_taken_is_said(door: Door, tmp_path: Path, settings: DoorSettings) -> None:
    with pytest.raises(ProblemError, match=f"port {settings.port}"):
        Door(tmp_path / "second", settings).open()


def test_the_program_runs_alone_and_says_what_is_wrong(
    door: Door, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "attempt" / "work" / "in").write_text("given")
    monkeypatch.setenv("WEIR_FILES_TOKEN", door.token(NAME))
    assert 0 == node.main(["fetch", door.url(NAME), "0"])
    assert "given" == (tmp_path / "in").read_text()
    monkeypatch.setenv("WEIR_FILES_TOKEN", "wrong")
    assert 1 == node.main(["hand", door.url(NAME), "0"])
    assert "the token does not open this\n" == capsys.readouterr().out
    assert "WEIR_FILES_TOKEN" not in os.environ
    assert ["out"] == json.loads(raw(door, "GET", f"/v1/{NAME}/inputs")[1])["outputs"][:1]
