"""`weir twin` as its own process: what goes to which stream, exit codes, and a sweep on several processes."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def log_text(jobs: int = 3_000) -> str:
    draw = np.random.default_rng(5)
    submit = np.sort(draw.integers(0, 400 * jobs, jobs))
    run = np.exp(draw.normal(6, 1.5, jobs)).astype(int) + 1
    size = 2 ** draw.integers(0, 5, jobs)
    user = draw.integers(0, 20, jobs)
    lines = [
        f"{row + 1} {submit[row]} -1 {run[row]} {size[row]} -1 -1 {size[row]} {3 * run[row]} -1 1 {user[row]} 1"
        " -1 -1 -1 -1 -1"
        for row in range(jobs)
    ]
    return "; MaxProcs: 32\n" + "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log.swf").write_text(log_text())
    return tmp_path


def weir(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "weir", "twin", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)


def test_from_a_trace_to_a_page(folder: Path) -> None:
    for policy in ("fcfs", "easy"):
        ran = weir(folder, "run", "log.swf", "--policy", policy, "--out", policy, "--json")
        assert (0, 3_000) == (ran.returncode, json.loads(ran.stdout)["jobs"]), ran.stderr
    compared = weir(folder, "compare", "fcfs", "easy", "--json")
    [found] = json.loads(compared.stdout)
    assert found["differences"][0]["high"] < 0
    assert 0 == weir(folder, "report", "easy", "--against", "fcfs").returncode
    assert (folder / "easy/report.html").stat().st_size > 50_000


def test_a_sweep_uses_several_processes_and_its_rows_are_those_of_single_runs(folder: Path) -> None:
    swept = weir(
        folder, "sweep", "log.swf", "--policy", "fcfs", "--policy", "easy", "--workers", "2", "--json"
    )
    rows = json.loads(swept.stdout)
    alone = json.loads(weir(folder, "run", "log.swf", "--policy", "easy", "--json").stdout)
    assert ["fcfs", "easy"] == [row["policy"] for row in rows]
    assert alone["mean_bounded_slowdown"] == rows[1]["mean_bounded_slowdown"]


def test_a_sweep_in_which_some_runs_fail_says_so_and_ends_with_1(folder: Path) -> None:
    swept = weir(folder, "sweep", "log.swf", "none.swf", "--policy", "easy", "--workers", "1")
    assert 1 == swept.returncode
    assert "1 of 2 runs were refused" in swept.stderr
    assert "refused" in swept.stdout


def test_bad_input_ends_with_2_and_one_line(folder: Path) -> None:
    ran = weir(folder, "run", "none.swf", "--json", "--out", "a")
    assert (2, "", 1) == (ran.returncode, ran.stdout, len(ran.stderr.splitlines()))
    assert not (folder / "a").exists()


def test_on_a_terminal_progress_is_shown_on_standard_error_alone(folder: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        command = [sys.executable, "-m", "weir", "twin", "run", "log.swf", "--policy", "easy", "--json"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=theirs, env=environment
        ) as process:
            out, _ = process.communicate(timeout=110)
        os.close(theirs)
        theirs = -1
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    assert 3_000 == json.loads(out)["jobs"]
    assert "easy" in shown
    assert "jobs/s" in shown
