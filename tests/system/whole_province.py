"""Four centres of one province on this machine, each with its real engine: two Slurm clusters, a Ray and local.

Each of their processes, the server and the agents can be killed with -9 by name, and started again.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.contract.ray_cluster import RayCluster
from tests.engines_up.slurm import Nodes, SlurmCluster
from weir.client import Client, UnreachableError

CENTRES = ("alpha", "beta", "ray", "local")
CLUSTERS = ("alpha", "beta")
TENANT = "12340100WEYR00078P"
LOCAL_USER = "games"
"""A user that every Debian has; it stands for the one that alpha gave the tenant."""
MARK = "WEIR_WHOLE_FOLDER"
CORE_MS_MICRO_YUAN, DEVICE_MS_MICRO_YUAN = 100, 1
"""What a core and a device cost for a millisecond, by the price book below."""

_SLURM_NODES = Nodes("work", 2, 64, 1 << 18, "gpu:any:4")
_PROVINCE = """
version: 1
province: whole
cities: [{{id: hefei, name: Hefei}}, {{id: wuhu, name: Wuhu}}]
organisations:
  - {{id: "12340100WEYR00078P", name: University, roles: [tenant]}}
  - {{id: "11340000WEYR00019J", name: Operator, roles: [centre-operator, coordinator]}}
projects: [{{id: work, organisation: "12340100WEYR00078P"}}]
centres:
  - id: alpha
    kind: supercomputing
    city: hefei
    operator: "11340000WEYR00019J"
    engine:
      driver: slurm
      options: {{rest: "{alpha_rest}", token_file: "{alpha_token}", users: "{users}", kills_all: "yes",
        limits_memory: "yes", least_poll_ms: "300", look_ms: "200", partition: work, gres: "gpu:any"}}
    pools: [{{id: ascend, device: huawei-ascend-910b, nodes: 2, devices_per_node: 4, cores_per_node: 64,
      memory_per_node: 64GiB}}]
  - id: beta
    kind: supercomputing
    city: wuhu
    operator: "11340000WEYR00019J"
    engine:
      driver: slurm
      options: {{conf: "{beta_conf}", users: one, least_poll_ms: "300", look_ms: "200", partition: work,
        gres: "gpu:any"}}
    pools: [{{id: dcu, device: hygon-dcu-k100, nodes: 2, devices_per_node: 4, cores_per_node: 64,
      memory_per_node: 64GiB}}]
  - id: ray
    kind: intelligent
    city: hefei
    operator: "11340000WEYR00019J"
    engine: {{driver: ray, options: {{address: "{ray}", limits: required, poll: "0.5"}}}}
    pools: [{{id: gpu, device: nvidia-a100-sxm-80gb, nodes: 1, devices_per_node: 8, cores_per_node: 8,
      memory_per_node: 16GiB}}]
  - id: local
    kind: edge
    city: wuhu
    operator: "11340000WEYR00019J"
    engine: {{driver: local}}
    pools:
      - {{id: cpu, device: huawei-kunpeng-920-7260, nodes: 2, cores_per_node: 8, memory_per_node: 16GiB}}
      - {{id: mlu, device: cambricon-mlu370-x4, nodes: 1, devices_per_node: 4, cores_per_node: 8,
         memory_per_node: 16GiB}}
"""
_PRICES = """
version: 1
price_book: whole
tax: {name: VAT, rate: "0.06"}
prices:
  - pool: "*"
    core_hour: "360.00"
    memory_gb_hour: "0"
    device_hour: {huawei-ascend-910b: "3.60", hygon-dcu-k100: "3.60", nvidia-a100-sxm-80gb: "3.60",
      cambricon-mlu370-x4: "3.60"}
"""
T = TypeVar("T")


class WholeProvince:
    """Comes up with `start`; `end` leaves nothing of it behind."""

    def __init__(self, ray: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="weir-whole-"))
        # The work of alpha's local user lies below it.
        self.folder.chmod(0o711)
        self.ledger = self.folder / "ledger"
        self.ledger.mkdir()
        self.ledger.chmod(0o777)
        self.clusters = {
            name: SlurmCluster(
                self.folder / name, (_SLURM_NODES,), name=f"{name}{secrets.token_hex(2)}", node_timeout_s=5
            )
            for name in CLUSTERS
        }
        self.kills: Counter[str] = Counter()
        self._ray_command = ray
        self._ray: RayCluster | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._client: Client | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self._port}"

    @property
    def victims(self) -> tuple[str, ...]:
        """The name of everything that can be killed."""
        engines = [
            f"{cluster}/{name}"
            for cluster, made in self.clusters.items()
            for name in ("slurmctld", *made.node_names)
        ]
        return (
            "server",
            *(f"agent/{name}" for name in CENTRES),
            *engines,
            "alpha/slurmrestd",
            "ray/dashboard",
        )

    def start(self) -> None:
        """Everything, until each centre has reported."""
        for cluster in self.clusters.values():
            cluster.start()
        self._ray = RayCluster(self._ray_command)
        users = self.folder / "users"
        users.write_text(f"{TENANT} = {LOCAL_USER}\n")
        users.chmod(0o644)
        alpha, beta = self.clusters.values()
        text = _PROVINCE.format(
            alpha_rest=f"unix:{alpha.socket}",
            alpha_token=alpha.token_file,
            users=users,
            beta_conf=beta.conf,
            ray=self._ray.address,
        )
        (self.folder / "province.yaml").write_text(text)
        self.start_one("server")
        token = self.folder / "server" / "coordinator.token"
        self.until(lambda: token.exists() and self._answers(), "the server answers")
        self._client = Client(self.url, token.read_text().strip(), timeout_s=30.0)
        self.ask(lambda client: client.apply_price_book(_PRICES))
        self.ask(lambda client: client.set_budget("lab", organisation=TENANT, limit="1000000.00"))
        for invite in self.ask(lambda client: client.invite(CENTRES)):
            home = self.folder / "agents" / invite.centre
            home.mkdir(mode=0o700, parents=True)
            home.parent.chmod(0o711)
            code = home / "code"
            code.touch(mode=0o600)
            code.write_text(invite.code)
            self.start_one(f"agent/{invite.centre}")
        self.until(
            lambda: all(pool.observed_nodes for pool in self.ask(lambda client: client.pools())),
            "every centre has reported",
        )

    def end(self) -> None:
        """Kill everything that was started, tasks included."""
        if self._client:
            self._client.close()
        for process in self._processes.values():
            process.kill()
            process.wait()
        if self._ray is not None:
            self._ray.remove()
        for name, cluster in self.clusters.items():
            # Its own folder goes with it.
            shutil.copytree(
                cluster.folder / "log", self.folder / f"slurm-{name}-log", ignore_dangling_symlinks=True
            )
            cluster.stop()
        wanted = {f"{MARK}={self.folder}".encode(), f"WHOLE_PROVINCE={self.folder}".encode()}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if wanted & set((entry / "environ").read_bytes().split(b"\0")):
                        os.kill(int(entry.name), signal.SIGKILL)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self, name: str) -> None:
        """Kill -9; it must not have ended by itself. What its engine was asked to run goes on if it can."""
        self.kills[name] += 1
        place, _, what = name.partition("/")
        if place in self.clusters:
            process = self.clusters[place].processes[what]
            ended = process.poll()
            self.clusters[place].kill(what)
        elif what == "dashboard":
            return  # killed as it is started anew
        else:
            process = self._processes.pop(name)
            ended = process.poll()
            process.kill()
            process.wait()
        assert ended is None, f"{name} had ended by itself with {ended}: {self.said(name)}"

    def start_one(self, name: str) -> None:
        """Start what was killed, or is started for the first time."""
        place, _, what = name.partition("/")
        if place in self.clusters:
            cluster = self.clusters[place]
            if what == "slurmctld":
                cluster.start_controller(first_job=100_000 * self.kills[name])
            elif what == "slurmrestd":
                cluster.start_rest()
            else:
                cluster.start_node(what)
            return
        if what == "dashboard":
            assert self._ray is not None
            self._ray.restart_dashboard()
            return
        with self._log(name).open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "weir", *(self._arguments(name))],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, MARK: str(self.folder)},
                start_new_session=True,
            )

    def hurry(self) -> None:
        """Slurm itself lets a job wait for two minutes after its node has failed; nobody need wait for that here."""
        for cluster in self.clusters.values():
            waiting = cluster.run("squeue", "-h", "-tPENDING", "-o%A %r").splitlines()
            for job in {line.split()[0] for line in waiting if line.endswith("BeginTime")}:
                cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now")

    def ask(self, question: Callable[[Client], T], patience_s: float = 200.0) -> T:
        """The answer, however often the server has to be asked for it."""
        assert self._client is not None
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return question(self._client)
            except UnreachableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def until(self, holds: Callable[[], bool], what: str, patience_s: float = 200.0) -> None:
        deadline = time.monotonic() + patience_s
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain until {what}: {self.said('server')}"
            time.sleep(0.1)

    def said(self, name: str) -> str:
        """The last that a process has logged."""
        log = self._log(name)
        return " / ".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""

    def _arguments(self, name: str) -> list[str]:
        if name == "server":
            return [
                *("serve", "--data", str(self.folder / "server"), "--port", str(self._port)),
                *("--no-machine", "--no-settings", "--province", str(self.folder / "province.yaml")),
            ]
        centre = name.removeprefix("agent/")
        home, work = self.folder / "agents" / centre, self.folder / "work" / centre
        work.mkdir(parents=True, exist_ok=True)
        return [
            *("agent", "--folder", str(home), "--url", self.url, "--code-file", str(home / "code")),
            *(() if centre == "local" else ("--work-root", str(work))),
        ]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '-')}.log"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self._port)) == 0


__all__ = ["CENTRES", "CLUSTERS", "CORE_MS_MICRO_YUAN", "DEVICE_MS_MICRO_YUAN", "LOCAL_USER", "WholeProvince"]
