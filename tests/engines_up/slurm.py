"""A real Slurm cluster on this machine for tests and benches: controller, nodes and slurmrestd, by their own programs.

Needs root and Debian's slurm-wlm, munge, slurmrestd and slurm-wlm-jwt-plugin. Several nodes run on the one host, each
on a port of its own, with more cores and memory than there are; accelerators are null devices.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "slurmrestd", "munged", "sbatch", "squeue")
REST_USER = "weir-rest"
_MEMORY_CGROUP = Path("/sys/fs/cgroup/memory/cgroup.procs")


def missing() -> str:
    """Why no cluster can be brought up here; empty where one can."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if lacking:
        return f"no {', '.join(lacking)}: install slurm-wlm, munge, slurmrestd and slurm-wlm-jwt-plugin"
    return "" if os.geteuid() == 0 else "only root can bring up Slurm's daemons"


@dataclass(frozen=True)
class Nodes:
    """Equal nodes and the partition of their own."""

    partition: str
    count: int
    cpus: int
    memory_mb: int
    gres: str = ""
    """Such as `gpu:ascend910b:4`, a node."""
    tier: int = 1


WIDE = Nodes("wide", 2, 512, 1 << 22, "gpu:any:4")
NARROW = Nodes("narrow", 1, 1, 1 << 14)


@dataclass
class SlurmCluster:
    """One cluster, in a folder of its own; `start` comes first, `stop` leaves nothing."""

    folder: Path
    nodes: Sequence[Nodes] = (WIDE, NARROW)
    settings: Sequence[str] = ()
    """Further lines of slurm.conf; `{name}` stands for the cluster's."""
    name: str = field(default_factory=lambda: f"t{secrets.token_hex(3)}")
    node_timeout_s: int = 60
    """A node that has said nothing for so long is down, and its jobs have failed; so has a job that its node has not
    begun within twice that time. The test's machine may be busy, and a test that kills nodes wants it short."""
    port: int = 0
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "etc/slurm.conf"

    @property
    def socket(self) -> Path:
        return self.folder / "rest/rest.sock"

    @property
    def rest_port(self) -> int:
        return self.port + 1 + len(self.node_names)

    @property
    def token_file(self) -> Path:
        return self.folder / "token"

    @property
    def node_names(self) -> list[str]:
        return [f"{self.name}{group.partition}{n}" for group in self.nodes for n in range(group.count)]

    @property
    def rest_options(self) -> dict[str, str]:
        """Engine options to reach it through slurmrestd."""
        facts = {"kills_all": "yes", "limits_memory": "yes"} if self.has_cgroups else {}
        return {"rest": f"unix:{self.socket}", "token_file": str(self.token_file), "users": "one", **facts}

    @property
    def command_options(self) -> dict[str, str]:
        """Engine options to reach it through Slurm's commands."""
        return {"conf": str(self.conf), "users": "one"}

    @property
    def has_cgroups(self) -> bool:
        return os.access(_MEMORY_CGROUP, os.W_OK)

    def start(self) -> None:
        """Bring it up, and wait until every node takes work."""
        problem = missing()
        if problem:
            raise RuntimeError(problem)
        self._munge()
        self.port = self.port or _free_ports(len(self.node_names) + 2)
        self._configure()
        self.start_controller()
        for name in self.node_names:
            self.start_node(name)
        self._start_rest()
        self.until(lambda: set(self.run("sinfo", "-hNt", "idle", "-o", "%N").split()) == set(self.node_names))
        token = self.run("scontrol", "token", "username=root", "lifespan=86400").strip()
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(token)
        self.until(self.socket.exists)

    def stop(self) -> None:
        """End every job and every daemon, and remove what they left."""
        if "slurmctld" in self.processes:
            subprocess.run(
                ["scancel", "--user=root", "--full"], env=self.environment, timeout=30, check=False
            )
        for process in self.processes.values():
            process.terminate()
        for name, process in self.processes.items():
            try:
                process.wait(10 if name == "slurmctld" else 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.processes.clear()
        for name in self.node_names:
            _clear_cgroups(name)
        self._end_steps()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, *command: str, text: str = "") -> str:
        """The output of one of Slurm's commands against this cluster; it must end well."""
        done = subprocess.run(
            command, input=text, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert 0 == done.returncode, f"{command}: {done.stderr}"
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": _PATH, "SLURM_CONF": str(self.conf), "LC_ALL": "C", "TZ": "UTC"}

    def start_controller(self, first_job: int = 0) -> None:
        """Start the controller; a port that its predecessor has just left may need another try.

        `first_job`: the number from which it goes on, if any. One that was killed may have forgotten its newest jobs;
        what still runs under their numbers ends others that are given the same ("cancelled by interactive user").
        """
        if first_job:
            with self.conf.open("a") as conf:
                conf.write(f"FirstJobId={first_job}\n")
        for _ in range(20):
            self._daemon("slurmctld", "slurmctld", "-D", "-f", str(self.conf))
            try:
                self.processes["slurmctld"].wait(0.3)
            except subprocess.TimeoutExpired:
                return
            time.sleep(0.2)
        raise RuntimeError((self.folder / "log/slurmctld.log").read_text()[-2_000:])

    def job_of(self, attempt: str) -> str:
        """The Slurm job that runs an attempt, by its comment."""
        rows = self.run("squeue", "-ha", "-o", "%A %k").splitlines()
        [job] = [row.split()[0] for row in rows if row.split()[1:] == [f"weir:{attempt}"]]
        return job

    def node_of(self, attempt: str) -> str:
        return self.run("squeue", "-ha", "-j", self.job_of(attempt), "-o", "%N").strip()

    def kill(self, name: str) -> None:
        """SIGKILL a daemon: `slurmctld`, `slurmrestd` or a node's name."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def saved(self) -> None:
        """Wait until the controller has written down what it knows; it does so every few seconds."""
        file, asked = self.folder / "state/job_state", time.time()
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and not (file.exists() and file.stat().st_mtime > asked):
            time.sleep(0.1)

    def end_jobs(self, node: str) -> None:
        """End whatever runs on a node whose daemon is gone."""
        _clear_cgroups(node)

    def start_node(self, name: str) -> None:
        self._daemon(name, "slurmd", "-D", "-f", str(self.conf), "-N", name)

    def until(self, holds: Callable[[], object], patience_s: float = 30) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                if holds():
                    return
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, (self.folder / "log/slurmctld.log").read_text()[-2_000:]
            time.sleep(0.05)

    def _end_steps(self) -> None:
        """End what watches over jobs and outlived its node's daemon, whose folder it is in."""
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = (place / "cwd").readlink().is_relative_to(self.folder)
                if ours and (place / "comm").read_text() == "slurmstepd\n":
                    os.kill(int(place.name), signal.SIGKILL)

    def _munge(self) -> None:
        key = Path("/etc/munge/munge.key")
        if not key.exists() or not key.stat().st_size:
            key.write_bytes(secrets.token_bytes(1_024))
            shutil.chown(key, "munge", "munge")
            key.chmod(0o400)
        if subprocess.run("munge -n | unmunge", shell=True, capture_output=True, check=False).returncode:  # noqa: S602 (a fixed text)
            for folder, mode in (("/run/munge", 0o755), ("/var/log/munge", 0o700), ("/var/lib/munge", 0o700)):
                Path(folder).mkdir(mode=mode, parents=True, exist_ok=True)
                shutil.chown(folder, "munge", "munge")
            subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=True, timeout=20)

    def _start_rest(self) -> None:
        try:
            user = pwd.getpwnam(REST_USER)
        except KeyError:
            subprocess.run(["useradd", "-r", "-M", "-s", "/usr/sbin/nologin", REST_USER], check=True)
            user = pwd.getpwnam(REST_USER)
        # slurmrestd serves neither as root nor as SlurmUser.
        os.chown(self.folder / "rest", user.pw_uid, user.pw_gid)
        self._daemon(
            "slurmrestd",
            *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"),
            *("slurmrestd", "-f", str(self.conf), "-a", "rest_auth/jwt", *_rest_plugins()),
            *(f"unix:{self.socket}", f"127.0.0.1:{self.rest_port}"),
        )

    def start_rest(self) -> None:
        """Start slurmrestd anew after `kill`."""
        self.socket.unlink(missing_ok=True)
        self._start_rest()
        self.until(self.socket.exists)

    def _daemon(self, name: str, *command: str) -> None:
        with (self.folder / f"log/{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                # A daemon that breaks leaves its core there.
                cwd=self.folder,
                env={**self.environment, **({"SLURM_JWT": "daemon"} if name == "slurmrestd" else {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _configure(self) -> None:
        folder = self.folder
        for name in ("etc", "state", "spool", "log", "run", "dev", "rest"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for place in (folder, *folder.parents):
            # slurmrestd, which is no root, reads the configuration.
            if place.stat().st_uid == 0 and place.stat().st_mode & 0o005 != 0o005:
                place.chmod(place.stat().st_mode | 0o005)
        key = folder / "etc/jwt.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(32))
        gres, lines = [], []
        for group in self.nodes:
            names = f"{self.name}{group.partition}[0-{group.count - 1}]"
            first = self.port + 1 + sum(one.count for one in self.nodes[: self.nodes.index(group)])
            sockets = 2 if group.cpus % 2 == 0 else 1
            given = f" Gres={group.gres}" if group.gres else ""
            lines.append(
                f"NodeName={names} NodeHostname=localhost NodeAddr=127.0.0.1 "
                f"Port=[{first}-{first + group.count - 1}] CPUs={group.cpus} Boards=1 SocketsPerBoard={sockets} "
                f"CoresPerSocket={group.cpus // sockets} ThreadsPerCore=1 RealMemory={group.memory_mb}{given}"
            )
            lines.append(
                f"PartitionName={group.partition} Nodes={names} MaxTime=INFINITE State=UP PriorityTier={group.tier}"
            )
            if group.gres:
                kind, model, count = group.gres.split(":")
                devices = [folder / f"dev/{group.partition}{n}" for n in range(int(count))]
                for device in devices:
                    os.mknod(device, 0o20666, os.makedev(1, 3))
                listed = f"{folder}/dev/{group.partition}[0-{int(count) - 1}]"
                gres.append(f"NodeName={names} Name={kind} Type={model} File={listed}")
        (folder / "etc/gres.conf").write_text("\n".join(gres) + "\n")
        tracking = ["ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none"]
        if self.has_cgroups:
            tracking = ["ProctrackType=proctrack/cgroup", "TaskPlugin=task/cgroup"]
            (folder / "etc/cgroup.conf").write_text(
                "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nConstrainRAMSpace=yes\n"
            )
        self.conf.write_text(
            _CONF.format(
                name=self.name,
                port=self.port,
                folder=folder,
                node_timeout_s=self.node_timeout_s,
                message_timeout_s=max(10, self.node_timeout_s),
                batch_start_timeout_s=2 * self.node_timeout_s,
            )
            + "\n".join([*tracking, *lines, *(line.format(name=self.name) for line in self.settings)])
            + "\n"
        )


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONF = """\
ClusterName={name}
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/etc/jwt.key
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout={node_timeout_s}
MessageTimeout={message_timeout_s}
BatchStartTimeout={batch_start_timeout_s}
KillWait=2
MinJobAge=3600
MaxJobCount=50000
MaxArraySize=10001
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1,default_queue_depth=1000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=512
GresTypes=gpu
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/jobcomp.log
AccountingStorageType=accounting_storage/none
"""


def _rest_plugins() -> list[str]:
    """What slurmrestd is to serve: all that it has but accounting, without which it would refuse to start."""
    names = {
        path.stem for folder in Path("/usr/lib").glob("*/slurm-wlm") for path in folder.glob("openapi_*.so")
    }
    old = sorted(
        name.removeprefix("openapi_").replace("_", ".") for name in names if name.startswith("openapi_v")
    )
    return ["-s", ",".join(f"openapi/{name}" for name in old)] if old else ["-s", "slurmctld"]


def _free_ports(count: int) -> int:
    """The first of so many ports in a row on which nobody listens."""
    for _ in range(100):
        first = 20_000 + secrets.randbelow(20_000)
        try:
            for port in range(first, first + count):
                with socket.socket() as trial:
                    trial.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports")


def _clear_cgroups(node: str) -> None:
    """End what outlived its daemon, and remove the control groups that slurmd leaves behind."""
    for root in Path("/sys/fs/cgroup").glob(f"*/slurm_{node}"):
        for frozen in root.rglob("freezer.state"):
            with contextlib.suppress(OSError):  # the root of them has no state to set
                frozen.write_text("THAWED")
        for procs in root.rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
        for folder in sorted(root.rglob("*"), reverse=True):
            if folder.is_dir():
                _remove_cgroup(folder)
        _remove_cgroup(root)


def _remove_cgroup(folder: Path) -> None:
    """A group can be removed a moment after its last process has gone."""
    for _ in range(100):
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
