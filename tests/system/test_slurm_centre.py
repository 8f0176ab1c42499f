"""A province with a real Slurm centre: server and agent as processes, work that runs as the tenant's own local user."""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines_up.slurm import WIDE, SlurmCluster, missing
from tests.system.conftest import TENANT, RealProvince, until
from weir.cli.demo.processes import Processes

pytestmark = pytest.mark.timeout(300)
LOCAL_USER = "games"
"""A user that every Debian has; it stands for the one that the centre gave the university."""
PROVINCE = """\
version: 1
province: test
name: Test
cities: [{{id: hefei, name: Hefei}}]
organisations:
  - {{id: "12340100WEYR00078P", name: University, roles: [tenant]}}
  - {{id: "91340100WEYR00027A", name: Company, roles: [tenant]}}
  - {{id: "11340000WEYR00019J", name: Operator, roles: [centre-operator, coordinator]}}
projects:
  - {{id: vision, organisation: "12340100WEYR00078P", default_time_limit: 10m}}
  - {{id: speech, organisation: "91340100WEYR00027A"}}
centres:
  - id: hpc
    name: Supercomputing Centre
    city: hefei
    kind: supercomputing
    operator: "11340000WEYR00019J"
    engine:
      driver: slurm
      options: {{conf: {conf}, commands: {commands}, users: {users}, least_poll_ms: "200", look_ms: "100"}}
    pools:
      - {{id: ascend, device: huawei-ascend-910b, nodes: 2, devices_per_node: 4, cores_per_node: 64,
         memory_per_node: 64GiB, options: {{partition: wide, gres: "gpu:any"}}}}
"""
SBATCH = """\
#!/bin/sh
answer=$({real} "$@") || exit $?
if mv {folder}/kill {folder}/killed 2>/dev/null; then kill -9 $PPID; fi
echo "$answer"
"""


@dataclass
class Centre:
    """The cluster, what stands in for sbatch, and the agent."""

    cluster: SlurmCluster
    folder: Path
    """Where the agent and its attempts lie; others may pass through it."""
    commands: Path
    agent: "subprocess.Popen[bytes] | None" = None

    def start_agent(self, *arguments: str) -> None:
        line = [sys.executable, "-m", "weir", "agent", "--folder", str(self.folder / "agent"), *arguments]
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end_agent(self) -> None:
        if self.agent is not None:
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(20)


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    problem = missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and CI runs every test")
    if problem:
        pytest.skip(problem)
    folder = Path(tempfile.mkdtemp(prefix="weir-slurm-"))
    folder.chmod(0o711)
    cluster = SlurmCluster(folder / "cluster", nodes=(WIDE,))
    commands = folder / "commands"
    commands.mkdir()
    for name in ("squeue", "scancel", "sacct", "scontrol"):
        (commands / name).symlink_to(str(shutil.which(name)))
    (commands / "sbatch").write_text(SBATCH.format(real=shutil.which("sbatch"), folder=commands))
    (commands / "sbatch").chmod(0o755)
    users = folder / "users"
    users.write_text(f"# the centre's own table\n{TENANT} = {LOCAL_USER}\n")
    users.chmod(0o644)
    made = Centre(cluster, folder, commands)
    try:
        cluster.start()
        yield made
    finally:
        made.end_agent()
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def tenants(
    centre: Centre, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RealProvince, RealProvince]]:
    """The province as the university and as the company see it."""
    folder = tmp_path_factory.mktemp("slurm-province")
    processes = Processes(folder)
    try:
        url = processes.start_server(lambda line: None)
        made = RealProvince(folder, url, processes.server_data / "coordinator.token", processes)
        with made.client as client:
            users = centre.folder / "users"
            text = PROVINCE.format(conf=centre.cluster.conf, commands=centre.commands, users=users)
            client.apply_province(text)
            [invite] = client.invite(["hpc"])
            code = centre.folder / "code"
            code.touch(mode=0o600)
            code.write_text(invite.code)
            attempts = centre.folder / "attempts"
            attempts.mkdir(mode=0o711)
            centre.start_agent("--url", url, "--code-file", str(code), "--work-root", str(attempts))
            until(lambda: all(one.observed_nodes for one in client.pools()), "the centre has reported", 60)
            owners = []
            for organisation in (TENANT, "91340100WEYR00027A"):
                file = folder / f"{organisation}.token"
                file.touch(mode=0o600)
                file.write_text(client.create_token("Li Hua", "tenant-member", organisation=organisation)[1])
                owners.append(made.as_owner_of(file))
        yield owners[0], owners[1]
        processes.check()
    finally:
        processes.end()


def test_a_job_runs_as_the_tenants_local_user(tenants: tuple[RealProvince, RealProvince]) -> None:
    university, _ = tenants
    said = university.weir(
        *("run", "--project", "vision", "--memory", "64MiB", "--cores", "0.1", "--time-limit", "2m"),
        *("--", "sh", "-c", "id -un; id -Gn; echo $SLURM_JOB_PARTITION"),
    )
    assert [LOCAL_USER, LOCAL_USER, "wide"] == said.good().splitlines()[:3]


def test_both_sides_see_as_whom_work_runs(tenants: tuple[RealProvince, RealProvince]) -> None:
    university, company = tenants
    shown = f"runs as        {LOCAL_USER}, for {TENANT}"
    assert shown in university.weir("centre", "show", "hpc").good()
    assert "runs as" not in company.weir("centre", "show", "hpc").good()
    operator = university.as_owner_of(university.processes.server_data / "coordinator.token")
    assert shown in operator.weir("centre", "show", "hpc").good()


def test_output_comes_through_the_platform_while_the_job_runs(
    tenants: tuple[RealProvince, RealProvince],
) -> None:
    university, _ = tenants
    script = "echo first; until test -e go; do sleep 0.05; done"
    options = ("--project", "vision", "--memory", "64MiB", "--cores", "0.1", "--time-limit", "2m")
    with university.started("run", *options, "--", "sh", "-c", script) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert "first\n" == running.stdout.readline()
        assert None is running.poll()
        university.client.cancel(running.stderr.readline().strip().removeprefix("weir: job "))
        assert 130 == running.wait(60)
        running.stderr.read()


def test_outputs_devices_arrays_and_failures_come_back(tenants: tuple[RealProvince, RealProvince]) -> None:
    university, _ = tenants
    devices = {"count": 2, "stack": "cann"}
    jobs = {
        "device": university.submit("sh", "-c", "echo $ASCEND_RT_VISIBLE_DEVICES; echo 42 > a.txt",
                                    devices=devices, outputs=["a.txt"]),
        "fails": university.submit("sh", "-c", "echo oops >&2; exit 3"),
        "late": university.submit("sleep", "60", time_limit="1s"),
        "greedy": university.submit("python3", "-c", "x = bytearray(1 << 28)"),
        "array": university.submit("sh", "-c", "exit $((WEIR_ARRAY_INDEX == 2))", array=4),
        "gang": university.submit("sh", "-c", 'test "$WORLD_SIZE" = 2', tasks=2),
    }  # fmt: skip
    device = university.ended(jobs["device"])
    assert "succeeded" == device.state, device
    assert 2 == len(university.log(jobs["device"]).decode().strip().split(","))
    assert ["a.txt"] == [output.path for output in university.client.outputs(jobs["device"])]
    fails = university.ended(jobs["fails"])
    assert ("failed", "exit", 3) == (fails.state, fails.cause, fails.exit_code), fails
    assert b"oops\n" == university.log(jobs["fails"], "stderr")
    assert ("failed", "time-limit") == _how(university, jobs["late"])
    assert ("failed", "out-of-memory") == _how(university, jobs["greedy"])
    assert ("succeeded", None) == _how(university, jobs["gang"])
    university.client.wait_submission(jobs["array"], timeout_s=60)
    states = [university.ended(f"{jobs['array']}.{index}").state for index in range(4)]
    assert ["succeeded", "succeeded", "failed", "succeeded"] == states


def test_whom_the_centre_does_not_know_it_does_not_run(tenants: tuple[RealProvince, RealProvince]) -> None:
    _, company = tenants
    job = company.ended(company.submit("true", project="speech"))
    assert ("failed", "rejected") == (job.state, job.cause)
    assert "maps account '91340100WEYR00027A' to no local user" in job.message


def test_an_agent_killed_between_slurms_yes_and_its_own_ear_runs_nothing_twice(
    centre: Centre, tenants: tuple[RealProvince, RealProvince]
) -> None:
    university, _ = tenants
    mark = Path(tempfile.gettempdir()) / f"weir-ran-{secrets.token_hex(4)}"
    (centre.commands / "kill").touch()
    job = university.submit("sh", "-c", f"echo run >> {mark}; exit 5")
    assert centre.agent is not None
    assert -signal.SIGKILL == centre.agent.wait(60), "the agent was killed once Slurm had the job"
    centre.start_agent()
    try:
        ended = university.ended(job)
        assert ("failed", "exit", 5) == (ended.state, ended.cause, ended.exit_code)
        assert "run\n" == mark.read_text()
    finally:
        mark.unlink(missing_ok=True)
    until(lambda: not centre.cluster.run("squeue", "-ha", "-o%i"), "Slurm and Weir agree that nothing runs")


def _how(owner: RealProvince, job: str) -> tuple[str, str | None]:
    view = owner.ended(job)
    return view.state, view.cause
