"""The API as it runs: a real server on loopback over a real store, with agents played by the test over HTTP."""

import base64
import hashlib
import http.client
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from weir.access import create_token, server_itself
from weir.api import ApiSettings, Services, create_app, listening_socket
from weir.api.server import ServerThread
from weir.cli.main import main
from weir.client import Client
from weir.control.cycle import Control, ControlSettings
from weir.files import BlobStore, LogStore
from weir.model.agent import LogChunk, PullAnswer, ReportAnswer
from weir.model.codec import from_plain
from weir.model.province import (
    Centre,
    CentreKind,
    City,
    DeviceKind,
    DeviceModel,
    Organisation,
    Pool,
    Project,
    Province,
)
from weir.model.role import Role
from weir.registry import apply_province
from weir.store import Store, open_store

TENANT, OTHER, OPERATOR = "91340100MA2N00001X", "91340100MA2N00002Y", "12340000485000001Z"
GIB = 1 << 30
JOB = {"command": ["true"], "time_limit": "1m"}

PROVINCE = Province(
    version=1,
    province="test",
    cities=(City("hefei", "Hefei"), City("wuhu", "Wuhu")),
    organisations=(
        Organisation(TENANT, "Tenant"),
        Organisation(OTHER, "Other"),
        Organisation(OPERATOR, "Operator"),
    ),
    projects=(Project("vision", TENANT), Project("speech", TENANT), Project("elsewhere", OTHER)),
    devices=(DeviceModel("kunpeng-920", "Kunpeng 920", DeviceKind.CPU, "Huawei", "aarch64", domestic=True),),
    centres=(
        Centre(
            id="hefei-ai",
            kind=CentreKind.INTELLIGENT,
            city="hefei",
            operator=OPERATOR,
            pools=(Pool("cpu", "kunpeng-920", nodes=2, cores_per_node=64_000, memory_per_node=64 * GIB),),
        ),
        Centre(
            id="wuhu-hpc",
            kind=CentreKind.SUPERCOMPUTING,
            city="wuhu",
            pools=(Pool("cpu", "kunpeng-920", nodes=1, cores_per_node=4_000, memory_per_node=8 * GIB),),
        ),
    ),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Answer:
    """A raw answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        """The problem's kind; only problems have one."""
        assert "application/problem+json" == self.headers["content-type"], self.body
        assert self.json["status"] == self.status
        return str(self.json["type"]).removeprefix("urn:weir:problem:")

    @property
    def field(self) -> dict[str, str]:
        """The first field that the problem names."""
        found: dict[str, str] = self.json["fields"][0]
        return found


@dataclass
class World:
    """A served province."""

    store: Store
    services: Services
    url: str
    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)

    def token(self, role: str, *, organisation: str = "", project: str = "", centre: str = "") -> str:
        """The secret of a token of this role and scope; the same one each time."""
        key = "/".join((role, organisation, project, centre))
        if key not in self.secrets:
            _, self.secrets[key] = self.store.write(
                lambda tx: create_token(
                    tx,
                    name=f"a {role}",
                    role=Role(role),
                    organisation=organisation,
                    project=project,
                    centre=centre,
                    now_ms=now_ms(),
                    random_bits=secrets.randbits,
                )
            )
        return self.secrets[key]

    @property
    def tenant(self) -> str:
        return self.token("tenant-member", organisation=TENANT, project="vision")

    @property
    def other(self) -> str:
        return self.token("tenant-member", organisation=OTHER)

    @property
    def coordinator(self) -> str:
        return self.token("coordinator")

    def client(self, token: str = "") -> Client:
        return Client(self.url, token or self.tenant)

    def ask(
        self, method: str, target: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """One request, sent just as given; `body` is bytes, an iterable of them, or made JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token != "":
            sent["authorization"] = f"Bearer {token or self.tenant}"
        if body is not None and not isinstance(body, bytes) and not hasattr(body, "__next__"):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, target, body, sent, encode_chunked=hasattr(body, "__next__"))
            answer = connection.getresponse()
            return Answer(
                answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
            )
        finally:
            connection.close()

    def agent(self, centre: str) -> "Agent":
        agent = Agent(self, centre)
        agent.report(full=True, pools=agent.pools())
        return agent

    def control(self) -> Control:
        """A scheduler that leads, and steps when told."""
        return Control(self.store, ControlSettings(), f"holder-{secrets.token_hex(4)}", self.url)

    def schedule(self, control: Control) -> None:
        """Step until there is nothing more to do."""
        while control.step(now_ms()).again:
            pass


@dataclass
class Agent:
    """A centre's agent over HTTP; it does nothing by itself."""

    world: World
    centre: str
    number: int = 0
    revision: int = 0
    store_incarnation: str = ""

    @property
    def token(self) -> str:
        return self.world.token("agent", centre=self.centre)

    def pull(self, wait_ms: int = 0) -> PullAnswer:
        asked = {"incarnation": 1, "revision": self.revision, "store_incarnation": self.store_incarnation}
        answer = self.world.ask("POST", f"/api/v1/agent/pull?wait_ms={wait_ms}", asked, token=self.token)
        assert 200 == answer.status, answer.body
        found = from_plain(PullAnswer, answer.json)
        self.revision, self.store_incarnation = found.revision, found.store_incarnation
        return found

    def report(self, *observations: dict[str, Any], **fields: Any) -> ReportAnswer:
        self.number += 1
        told = {
            "incarnation": 1,
            "number": self.number,
            "store_incarnation": self.store_incarnation or self.world.store.incarnation,
            "agent_time_ms": now_ms(),
            "observations": list(observations),
            **fields,
        }
        answer = self.world.ask("POST", "/api/v1/agent/report", told, token=self.token)
        assert 200 == answer.status, answer.body
        return from_plain(ReportAnswer, answer.json)

    def pools(self) -> list[dict[str, Any]]:
        [centre] = [centre for centre in PROVINCE.centres if centre.id == self.centre]
        return [
            {
                "pool": pool.id,
                "read_ms": now_ms(),
                "present": [
                    {
                        "nodes": pool.nodes,
                        "devices_milli": 0,
                        "cores_milli": pool.cores_per_node,
                        "memory_bytes": pool.memory_per_node,
                    }
                ],
                "capabilities": ["gang"],
            }
            for pool in centre.pools
        ]

    @staticmethod
    def running(attempt: str) -> dict[str, Any]:
        return {"attempt": attempt, "observed": 3, "started_ms": now_ms()}

    @staticmethod
    def ended(attempt: str, *, exit_code: int = 0, outputs: dict[str, bytes] | None = None) -> dict[str, Any]:
        files = [
            {"task": 0, "path": path, "size_bytes": len(content), "digest": sha256(content)}
            for path, content in (outputs or {}).items()
        ]
        end = {
            "cause": "exit" if exit_code else None,
            "exit_code": exit_code,
            "signal": None,
            "message": "",
            "started_ms": now_ms(),
            "ended_ms": now_ms(),
            "outputs": files,
        }
        return {"attempt": attempt, "observed": 4, "end": end}

    @staticmethod
    def chunk(attempt: str, data: bytes, offset: int = 0, stream: str = "stdout") -> dict[str, Any]:
        made = LogChunk(attempt, 0, stream, offset, base64.b64encode(data).decode())
        return {name: getattr(made, name) for name in ("attempt", "task", "stream", "offset", "data")}

    def bring(self, content: bytes) -> None:
        """Upload an output's content."""
        answer = self.world.ask("PUT", f"/api/v1/agent/blobs/{sha256(content)}", content, token=self.token)
        assert 200 == answer.status, answer.body


@contextmanager
def served(
    folder: Path,
    settings: ApiSettings | None = None,
    *,
    store_url: str = "",
    leads: bool = True,
    clock: Callable[[], int] = now_ms,
) -> Iterator["LedWorld"]:
    """A world in this folder, answering inside the `with`; one that does not lead never explains by itself.

    `clock` is the server's.
    """
    with open_store(store_url or f"sqlite:///{folder / 'weir.db'}") as store:
        store.write(lambda tx: apply_province(tx, PROVINCE, server_itself(), now_ms(), catalogue={}))
        control: list[Control] = []
        services = Services(
            store=store,
            blobs=BlobStore(folder / "blobs"),
            logs=LogStore(folder / "logs"),
            now_ms=clock,
            random_bits=secrets.randbits,
            version="test",
            stand=(lambda job: control[0].stand(job) if control else None) if leads else None,
            settings=settings or ApiSettings(),
        )
        with ServerThread(create_app(services), listening_socket("127.0.0.1", 0)) as server:
            yield LedWorld(store, services, server.url, folder, control_of=control)


@dataclass
class LedWorld(World):
    """A world whose scheduler explains, once there is one."""

    control_of: list[Control] = field(default_factory=list)

    def control(self) -> Control:
        made = super().control()
        self.control_of[:] = [made]
        return made


Weir = Callable[..., str]


def command_line(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Weir:
    """Runs one command of `weir` in this process; what it printed. `code` is how it should end, `token` who asks."""

    def run(*arguments: str, code: int = 0, token: str = "") -> str:
        monkeypatch.setenv("WEIR_URL", world.url)
        monkeypatch.setenv("WEIR_TOKEN", token or world.coordinator)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        shown = capsys.readouterr()
        assert (ended.value.code or 0) == code, shown
        return shown.err if code else shown.out

    return run
