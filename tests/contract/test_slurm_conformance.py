"""The Slurm driver passes the suite on a real Slurm, both ways to it, and whatever is done to the cluster."""

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.cut_wire import CutWire
from tests.contract.engine_scale import IMAGES, engine_scale, free_port, time_limit
from tests.engines_up.slurm import SlurmCluster, missing
from weir.engines.conformance import CASES, FULL, ConformanceReport, Provocations, run_conformance
from weir.engines.driver import CAPABILITIES
from weir.engines.slurm import rest, watch
from weir.engines.slurm.driver import SlurmDriver

pytestmark = [pytest.mark.conformance, time_limit(600)]
SCALE = replace(engine_scale(), array=60, many=30, patience_s=120.0, kills=3, step_s=0.5)
if engine_scale() is FULL:
    SCALE = replace(FULL, patience_s=300.0, kills=10, outage_s=20.0)
QUICKLY = {"least_poll_ms": "200", "look_ms": "100"}
URGENT = (
    "PreemptType=preempt/partition_prio",
    "PreemptMode=CANCEL",
    "PartitionName=urgent Nodes={name}wide[0-1] PriorityTier=10 MaxTime=INFINITE State=UP",
)
NEVER = {
    "bound to cores",
    "shares of a device",
    "cleaned up when forgotten",
    "the engine's clock is wrong",
    *IMAGES,
}
"""Slurm gives out whole devices, runs no images, remembers ended jobs as long as its own settings say, and has this
machine's clock."""
BY_THE_AGENT = {
    "working files",
    "files of a failure",
    "output while it runs",
    "cancel what runs",
    "driver killed while it runs",
    "a gang meets",
}
ON_THE_NODE = {
    "two streams",
    "output in unicode",
    "output of megabytes",
    "output while it runs",
    "arguments",
    "working files",
    "files of a failure",
    "start failure",
    "time limit ignored",
    "memory of a child",
    "not out of memory",
    "cancel by its own signal",
    "cancel what ignores it",
    "nothing outlives its command",
    "a killed supervisor",
    "a gang's first failure",
    "a gang's last task",
}
"""What the program on the node does, whichever way its job came there: played once, and both ways in full size."""
_WORD = "#!/bin/sh\nsleep 600\n"


@pytest.fixture(autouse=True)
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that its controller has lost is waited for a shorter time."""
    monkeypatch.setattr(watch, "_MISSING_S", 2.0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    problem = missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and CI runs every test")
    if problem:
        pytest.skip(problem)
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"), settings=URGENT)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def provocations(cluster: SlurmCluster, **more: object) -> Provocations:
    """What can be done to a cluster, but for its being out of reach."""

    def restart() -> None:
        # Without this it would forget the last seconds, run ended jobs again and give their numbers out anew.
        cluster.saved()
        cluster.kill("slurmctld")
        cluster.start_controller()
        cluster.until(lambda: cluster.run("sinfo"))

    def fail_node(attempt: str) -> None:
        node = cluster.node_of(attempt)
        cluster.run("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=a test")
        cluster.until(lambda: "NODE_FAIL" in cluster.run("squeue", "-hatall", "-o%T"))
        with contextlib.suppress(AssertionError):  # it may have come back by itself
            cluster.run("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def preempt(attempt: str) -> None:
        node, job = cluster.node_of(attempt), cluster.job_of(attempt)
        urgent = cluster.run(
            "sbatch", "--parsable", "-purgent", f"-w{node}", "--exclusive", "-o/dev/null", text=_WORD
        )
        cluster.until(lambda: "PREEMPTED" in cluster.run("squeue", "-hatall", f"-j{job}", "-o%T"))
        cluster.run("scancel", urgent.strip())

    def requeue(attempt: str) -> None:
        job = cluster.job_of(attempt)
        cluster.run("scontrol", "requeue", job)
        cluster.until(lambda: "PENDING" in cluster.run("squeue", "-ha", f"-j{job}", "-o%T"))
        # Slurm itself waits two minutes. Within the second of its end a node refuses the job ("credential revoked").
        cluster.until(lambda: not cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now+2"))

    def vanish(attempt: str) -> None:
        node = cluster.node_of(attempt)
        cluster.kill("slurmctld")
        cluster.kill(node)
        for file in (cluster.folder / "state").glob("job_state*"):
            file.unlink()
        cluster.end_jobs(node)
        cluster.start_node(node)
        # Numbers begin anew, and nodes would refuse those that they have just ended.
        cluster.start_controller(first_job=100_000)
        cluster.until(lambda: cluster.node_names[0] in cluster.run("sinfo", "-hNt", "idle", "-o%N"))

    @contextlib.contextmanager
    def drained(pool: str) -> Iterator[None]:
        node = f"NodeName={cluster.name}{pool}0"
        cluster.run("scontrol", "update", node, "State=DRAIN", "Reason=a test")
        try:
            yield
        finally:
            cluster.run("scontrol", "update", node, "State=RESUME")

    @contextlib.contextmanager
    def occupied(pool: str) -> Iterator[None]:
        job = cluster.run(
            "sbatch", "--parsable", f"-p{pool}", "--exclusive", "-t5", "-o/dev/null", text=_WORD
        )
        try:
            yield
        finally:
            cluster.run("scancel", job.strip())

    return Provocations(
        restart_engine=restart,
        fail_node=fail_node,
        preempt=preempt,
        requeue=requeue,
        vanish=vanish,
        drain_node=drained,
        occupy=occupied,
        kill_process=lambda pid: os.kill(pid, signal.SIGKILL),
        **more,  # type: ignore[arg-type]  # the rest of the fields, by name
    )


def check(report: ConformanceReport) -> None:
    print(report)
    assert report.passed, str(report)
    assert report.capabilities <= set(CAPABILITIES)
    unplayed = {one.name for one in report.results if one.verdict in ("not claimed", "not tried")}
    assert NEVER >= unplayed


def test_slurmrestd(tmp_path: Path, cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TCP, on a wire that can be cut; the submissions of other tests go over the unix socket."""
    if engine_scale() is not FULL:  # a thousand jobs take slurmrestd longer to tell of on a busy machine
        monkeypatch.setattr(rest, "_PATIENCE_S", 3.0)
    wire = CutWire(cluster.rest_port)
    options = {**cluster.rest_options, **QUICKLY, "rest": wire.address}
    can = provocations(cluster, unreachable=wire.cut, lose_reply=wire.deaf)
    try:
        check(run_conformance(SlurmDriver, tmp_path, scale=SCALE, options=options, provocations=can))
    finally:
        wire.close()


def test_commands(tmp_path: Path, cluster: SlurmCluster) -> None:
    """Through programs in the place of Slurm's own, which can be made to fail as those do."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel", "sacct", "scontrol"):
        program = folder / name
        program.write_text(_STAND_IN.format(folder=folder, real=shutil.which(name), name=name))
        program.chmod(0o755)

    @contextlib.contextmanager
    def while_there(name: str) -> Iterator[None]:
        (folder / name).touch()
        try:
            yield
        finally:
            (folder / name).unlink()

    can = provocations(
        cluster, unreachable=lambda: while_there("cut"), lose_reply=lambda: while_there("deaf")
    )
    options = {**cluster.command_options, **QUICKLY, "commands": str(folder)}
    full = engine_scale() is FULL
    scale = SCALE if full else replace(SCALE, array=SCALE.array // 3, many=SCALE.many // 3)
    only = {case.name for case in CASES} - (set() if full else ON_THE_NODE)
    assert {case.name for case in CASES} >= ON_THE_NODE
    agent = tmp_path / "agent"
    check(run_conformance(SlurmDriver, agent, scale=scale, only=only, options=options, provocations=can))


def test_files_by_way_of_the_agent(tmp_path: Path, cluster: SlurmCluster) -> None:
    """Nodes that see no folder of the agent's come to it for everything, and leave nothing behind."""
    node = tmp_path / "node"
    node.mkdir()
    options = {
        **cluster.command_options,
        **QUICKLY,
        "folder": "agent",
        "agent_address": f"127.0.0.1:{free_port()}",
        "agent_listen": "127.0.0.1",
        "node_folder": str(node),
    }
    found = run_conformance(SlurmDriver, tmp_path / "agent", scale=SCALE, only=BY_THE_AGENT, options=options)
    assert dict.fromkeys(BY_THE_AGENT, "passed") == {one.name: one.verdict for one in found.results}, found
    cluster.until(lambda: not list(node.iterdir()))


_STAND_IN = """\
#!/bin/sh
if [ -e {folder}/cut ]; then
    echo '{name}: error: Unable to contact slurm controller (connect failure)' >&2
    exit 1
fi
if [ -e {folder}/deaf ] && [ {name} = sbatch ]; then
    {real} "$@" >/dev/null
    echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2
    exit 1
fi
exec {real} "$@"
"""
