"""The Slurm driver gives its commands on another machine, by a real SSH."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.cut_wire import CutWire
from tests.contract.engine_scale import engine_scale, time_limit
from tests.engines_up.slurm import SlurmCluster, missing
from tests.engines_up.ssh import HOST, SshServer, ssh_missing
from weir.engines.conformance import Provocations, Stage, run_conformance
from weir.engines.slurm import watch
from weir.engines.slurm.driver import SlurmDriver
from weir.model.problem import ProblemError

pytestmark = [pytest.mark.conformance, time_limit(300)]
SCALE = replace(engine_scale(), array=10, many=5, patience_s=120.0, outage_s=2.0, step_s=0.5)
CASES = (
    "success",
    "arguments",
    "cancel what runs",
    "one element fails, one is cancelled",
    "the engine cannot be reached",
    "an answer is lost",
)


@pytest.fixture(autouse=True)
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that its controller does not know is waited for a shorter time."""
    monkeypatch.setattr(watch, "_MISSING_S", 2.0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    problem = missing() or ssh_missing()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and CI runs every test")
    if problem:
        pytest.skip(problem)
    made = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    made = SshServer(tmp_path_factory.mktemp("ssh"))
    yield made
    made.close()


def options(cluster: SlurmCluster, config: Path) -> dict[str, str]:
    quickly = {"least_poll_ms": "500", "look_ms": "100"}
    return {**cluster.command_options, **quickly, "ssh": f"root@{HOST}", "ssh_config": str(config)}


def test_commands_on_another_machine(tmp_path: Path, cluster: SlurmCluster, server: SshServer) -> None:
    wire = CutWire(server.port)
    folder = tmp_path / "commands"
    folder.mkdir()
    sbatch = folder / "sbatch"
    sbatch.write_text(_CUT_SBATCH.format(folder=folder, real=shutil.which("sbatch")))
    sbatch.chmod(0o755)
    for name in ("squeue", "scancel", "sacct", "scontrol"):
        (folder / name).symlink_to(shutil.which(name) or "")

    @contextlib.contextmanager
    def cut_in_mid_submission() -> Iterator[None]:
        (folder / "cut").touch()
        try:
            yield
        finally:
            (folder / "cut").unlink()

    given = {**options(cluster, server.config("wire", port=wire.port)), "commands": str(folder)}
    can = Provocations(unreachable=wire.cut, lose_reply=cut_in_mid_submission)
    # Every argument is quoted for the shell over there, the folder's name among them.
    agent = tmp_path / "it's an agent's folder; $(true) é 算力"
    try:
        report = run_conformance(SlurmDriver, agent, scale=SCALE, only=CASES, options=given, provocations=can)
    finally:
        wire.close()
    assert dict.fromkeys(CASES, "passed") == {one.name: one.verdict for one in report.results}, report


@pytest.mark.parametrize(
    ("known", "why"),
    [("", "is not among the known hosts"), ("other", "shows another key than the known")],
)
def test_a_machine_that_is_not_the_known_one_gets_nothing(
    tmp_path: Path, cluster: SlurmCluster, server: SshServer, known: str, why: str
) -> None:
    stage = Stage(
        SlurmDriver(tmp_path), tmp_path, SlurmDriver, options(cluster, server.config("who", known=known))
    )
    with pytest.raises(ProblemError, match=why):
        stage.attach()
    stage.driver.close()


def test_a_login_that_is_refused_says_so(tmp_path: Path, cluster: SlurmCluster, server: SshServer) -> None:
    config = server.config("key")
    config.write_text(config.read_text().replace("/user\n", "/other\n"))
    stage = Stage(SlurmDriver(tmp_path), tmp_path, SlurmDriver, options(cluster, config))
    with pytest.raises(ProblemError, match="Permission denied"):
        stage.attach()
    stage.driver.close()


_CUT_SBATCH = """\
#!/bin/sh
if [ -e {folder}/cut ]; then
    {real} "$@" >/dev/null
    # The job is accepted, and then the connection breaks: its process on the server's side is killed.
    pid=$$
    while [ "$(cat /proc/$pid/comm)" != sshd ]; do pid=$(cut -d' ' -f4 /proc/$pid/stat); done
    kill -9 "$pid"
fi
exec {real} "$@"
"""
