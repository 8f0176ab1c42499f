"""The bundle: one file that runs an agent with Python alone, without any package or environment."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.system.agent_server import CODE, AgentServer, serving, work
from weir.cli.bundle import build_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "weir-agent.pyz"
    build_bundle(out)
    return out


def bare(bundle: Path, *arguments: str) -> list[str]:
    """A command in a Python that sees neither site packages, nor the environment, nor this checkout."""
    return [sys.executable, "-I", "-S", str(bundle), *arguments]


def test_an_agent_runs_work_out_of_the_bundle(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "agent"
    code = tmp_path / "code"
    code.touch(mode=0o600)
    code.write_text(CODE)
    server = AgentServer()
    server.run("aaaaaaaaaaaa-1", work("/bin/sh", "-c", "echo $WEIR_JOB_ID > out", outputs=("out",)))
    with serving(server) as url:
        options = ["--folder", str(folder), "--url", url, "--code-file", str(code)]
        with subprocess.Popen(bare(bundle, "run", *options), env={}, cwd=tmp_path) as process:
            try:
                end = server.await_end("aaaaaaaaaaaa-1")
                status = subprocess.run(
                    bare(bundle, "status", "--json", "--folder", str(folder)),
                    env={},
                    cwd=tmp_path,
                    capture_output=True,
                    timeout=30,
                    check=True,
                )
            finally:
                process.terminate()
            assert 0 == process.wait(20)
    assert None is end.cause, end
    assert b"aaaaaaaaaaaa\n" == server.blobs[end.outputs[0].digest]
    assert json.loads(status.stdout)["running"]


def test_the_bundle_says_what_is_wrong_in_one_line(tmp_path: Path, bundle: Path) -> None:
    for arguments, said in [
        (["run", "--folder", str(tmp_path / "new")], "the server's address"),
        (
            ["run", "--folder", str(tmp_path / "new"), "--url", "http://192.0.2.1"],
            "plain http is accepted to this machine",
        ),
        (["status", "--folder", str(tmp_path / "none")], "an agent that has run before"),
    ]:
        run = subprocess.run(
            bare(bundle, *arguments), env={}, capture_output=True, text=True, timeout=30, check=False
        )
        assert (2, 1) == (run.returncode, run.stderr.count("\n")), run.stderr
        assert said in run.stderr


def test_the_same_sources_make_the_same_bundle(tmp_path: Path, bundle: Path) -> None:
    build_bundle(tmp_path / "again.pyz")
    assert bundle.read_bytes() == (tmp_path / "again.pyz").read_bytes()


def test_the_bundle_holds_what_an_agent_needs_and_no_more(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
    rooms = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert {"agents", "cli", "engines", "model", "units"} == rooms
    assert "weir/cli/main.py" not in names
