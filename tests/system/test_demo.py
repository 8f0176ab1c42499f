"""The demonstration does real work and leaves nothing behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from weir.cli.demo.processes import MARK

pytestmark = pytest.mark.slow

DEMO = [sys.executable, "-m", "weir", "demo", "--json"]


def _left(folder: Path) -> list[str]:
    """Command lines of processes that still carry the demonstration's mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"{MARK}={folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


@pytest.mark.timeout(240)
def test_every_job_succeeds_and_the_facts_are_those_of_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    done = subprocess.run(
        [*DEMO, "--jobs", "6", "--folder", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (7, 7) == (facts["jobs"], facts["succeeded"])
    assert str(folder) == facts["folder"]
    assert set(facts["centres"]) <= {"hefei-ai", "wuhu-hpc", "huangshan-edge"}
    assert sum(use["device_seconds"] for use in facts["centres"].values()) > 0
    assert all(placement["why"] for placement in facts["placements"])
    best = json.loads((folder / "report" / "best.json").read_text(encoding="utf-8"))
    assert best["test_accuracy"] == facts["best_accuracy"] > 0.9
    assert 6 == best["trained_models"]
    assert f"{best['test_accuracy']:.4f}" in (folder / "report" / "report.md").read_text(encoding="utf-8")
    assert [] == _left(folder)


@pytest.mark.timeout(120)
def test_an_interrupted_demonstration_ends_every_process_that_it_started(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    demo = subprocess.Popen(
        [*DEMO, "--folder", str(folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    attempts = folder / "centres"
    deadline = time.monotonic() + 60
    while not list(attempts.glob("*/attempts/*/work/train.py")) and time.monotonic() < deadline:
        assert demo.poll() is None
        time.sleep(0.1)
    os.killpg(demo.pid, signal.SIGINT)
    assert 130 == demo.wait(60)
    assert [] == _left(folder)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…", encoding="utf-8")
    done = subprocess.run([*DEMO, "--folder", str(tmp_path)], capture_output=True, text=True, check=False)
    assert 2 == done.returncode
    assert "does not exist or is empty" in done.stderr
    assert ["thesis.tex"] == [path.name for path in tmp_path.iterdir()]
