"""What nodes bring by way of the agent lies where a shared folder would have it, and only what they may."""

import hashlib
import http.client
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.contract.engine_scale import free_port
from tests.unit.engines.slurm.test_rules import WORK, order
from weir.engines.courier.settings import DoorSettings
from weir.engines.slurm.carried import Carried
from weir.engines.slurm.folder import SharedFolder
from weir.engines.slurm.node.carry import _Carrier
from weir.engines.slurm.settings import Settings


@dataclass
class Node:
    """A node with the token of one attempt."""

    carried: Carried
    port: int
    name: str

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        headers = {
            "Authorization": f"Bearer {self.carried.door.token(self.name)}",
            "X-Sha256": hashlib.sha256(body).hexdigest(),
        }
        wire.request(method, f"/v1/{self.name}/{path}", body, headers)
        answer = wire.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            wire.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    port = free_port()
    made = Carried(tmp_path / "agent", DoorSettings("127.0.0.1", port, "127.0.0.1"), lambda: 1_000)
    made.door.open()
    given = replace(order(work=replace(WORK, log_limit_bytes=10)), folder=tmp_path / "attempts" / "a-1")
    given.folder.mkdir(parents=True)
    SharedFolder(tmp_path / "attempts").prepare(given.attempt, given.folder, os.geteuid(), os.getegid())
    made.lodge([given], given.attempt, "/scratch")
    yield Node(made, port, given.attempt)
    made.door.close()


def run_of(tmp_path: Path) -> Path:
    return tmp_path / "attempts" / "a-1" / "run"


def test_one_run_claims_and_its_own_word_may_come_twice(node: Node) -> None:
    assert 200 == node.ask("POST", "claim?restartable=0", b"7 0\n")[0]
    assert 200 == node.ask("POST", "claim?restartable=0", b"7 0\n")[0], "the answer was lost"
    assert 409 == node.ask("POST", "claim?restartable=1", b"8 0\n")[0]
    assert 409 == node.ask("POST", "claim?restartable=0", b"7 1\n")[0]
    assert 200 == node.ask("POST", "claim?restartable=1", b"7 1\n")[0]
    assert 400 == node.ask("POST", "claim?restartable=1", b"../7")[0]


def test_a_requeued_run_finds_no_parts_of_the_one_before(node: Node) -> None:
    node.ask("POST", "claim?restartable=1", b"7 0\n")
    node.ask("POST", "part/1", b'{"ends": []}')
    assert 200 == node.ask("POST", "claim?restartable=1", b"7 0\n")[0]
    assert 200 == node.ask("GET", "part/1")[0], "the same run's"
    assert 200 == node.ask("POST", "claim?restartable=1", b"7 1\n")[0]
    assert 404 == node.ask("GET", "part/1")[0]


@pytest.mark.parametrize("told", ["", "cancelled"])
def test_what_was_told_to_stop_hears_it_before_its_start(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    carrier = carrier_of(node, tmp_path / "node")
    if told:
        SharedFolder(tmp_path / "attempts").stop(node.name)
    heard = []

    def started() -> int:
        heard.append((tmp_path / "node" / "stops" / node.name).read_text().strip())
        return 0

    monkeypatch.setattr(carrier, "_accompany", started)
    assert 0 == carrier.run()
    carrier._courier.close()
    assert [told] == heard


def test_what_is_forgotten_is_to_stop(node: Node, tmp_path: Path) -> None:
    carrier = carrier_of(node, tmp_path / "node")
    carrier._prepare()
    node.carried.leave([node.name], [])
    carrier._beat()
    carrier._courier.close()
    assert "it is forgotten" == (tmp_path / "node" / "stops" / node.name).read_text()


def carrier_of(node: Node, folder: Path) -> _Carrier:
    door = node.carried.door
    launch = {
        "attempts": [[node.name, "", None, ""]],
        "door": {"urls": [door.url(node.name)], "tokens": [door.token(node.name)]},
        "look_ms": 1_000,
        "tasks": 1,
        "log_limit_bytes": 10,
    }
    return _Carrier(str(folder), launch, ["0", "1"])


def test_a_log_goes_on_where_it_is_and_ends_at_its_limit(node: Node, tmp_path: Path) -> None:
    assert (200, b'{"size": 0}') == node.ask("GET", "log/0/stdout")
    assert 200 == node.ask("POST", "log/0/stdout?offset=0", b"abcd")[0]
    assert (409, b'{"size": 4}') == node.ask("POST", "log/0/stdout?offset=0", b"abcd")
    assert 413 == node.ask("POST", "log/0/stdout?offset=4", b"1234567")[0]
    assert 200 == node.ask("POST", "log/0/stdout?offset=4", b"123456")[0]
    assert 200 == node.ask("POST", "logsize/0/stdout?size=5000")[0]
    path = run_of(tmp_path) / "0.stdout"
    assert (b"abcd123456", 5_000) == (path.read_bytes()[:10], path.stat().st_size)
    for name in ("log/0/../claim", "log/x/stdout", "log/0/other"):
        assert 400 == node.ask("POST", f"{name}?offset=0", b"x")[0]


def test_a_record_is_laid_down_and_told(node: Node, tmp_path: Path) -> None:
    assert 200 == node.ask("POST", "record", b'{"state": "running"}')[0]
    assert b'{"state": "running"}' == (run_of(tmp_path) / "record.json").read_bytes()
    assert [node.name] == SharedFolder(tmp_path / "attempts").news()
    assert 400 == node.ask("POST", "record", b"[]")[0]
    assert 404 == node.ask("GET", "part/1")[0]
    assert 200 == node.ask("POST", "part/1", b'{"ends": []}')[0]
    assert (200, b'{"ends": []}') == node.ask("GET", "part/1")


def test_the_wish_to_stop_is_told_and_the_many_ask_more_seldom(node: Node, tmp_path: Path) -> None:
    assert {"stop": "", "again_ms": 10_000} == json.loads(node.ask("GET", "stop")[1])
    SharedFolder(tmp_path / "attempts").stop(node.name)
    assert "cancelled" == json.loads(node.ask("GET", "stop")[1])["stop"]


def test_a_batch_opens_its_program_and_no_attempt(node: Node, tmp_path: Path) -> None:
    launch = tmp_path / "launch.json"
    launch.write_text("{}")
    settings = Settings.read(
        (), {"users": "one", "folder": "agent", "agent_address": f"127.0.0.1:{node.port}"}
    )
    script = node.carried.script(node.name, launch, settings)
    batch = Node(node.carried, node.port, f"batch~{node.name}")
    assert f"WEIR_FILES_TOKEN={node.carried.door.token(batch.name)}" in script
    assert (200, b"{}") == batch.ask("GET", "launch")
    assert b"PK" == batch.ask("GET", "program")[1][:2]
    headers = {"Authorization": f"Bearer {node.carried.door.token(batch.name)}"}
    wire = http.client.HTTPConnection("127.0.0.1", node.port, timeout=10)
    wire.request("GET", f"/v1/{node.name}/inputs", headers=headers)
    assert 401 == wire.getresponse().status
    wire.close()
