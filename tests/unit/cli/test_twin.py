"""`weir twin` as a person meets it: what it prints and writes, and what it refuses in one line."""

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.unit.twin.made import random_work
from weir.cli.main import main
from weir.twin.workload import Workload


class Twin:
    """Runs commands in this process, in a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys

    def __call__(self, *arguments: str | Path) -> str:
        """Its output; it must have ended with 0."""
        code, out, err = self.ended(*arguments)
        assert 0 == code, err
        return out

    def json(self, *arguments: str | Path) -> Any:
        return json.loads(self(*arguments, "--json"))

    def refused(self, *arguments: str | Path) -> str:
        """Its one line on standard error; it must have ended with 2 and written nothing else."""
        before = sorted(self.folder.rglob("*"))
        code, out, err = self.ended(*arguments)
        assert (2, "") == (code, out), err
        assert before == sorted(self.folder.rglob("*"))
        [line] = err.splitlines()
        assert line.startswith("weir: ")
        return line.removeprefix("weir: ")

    def ended(self, *arguments: str | Path) -> tuple[int, str, str]:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["twin", *map(str, arguments)])
        out, err = self.capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, out, err


def swf(work: Workload, header: str = "; MaxProcs: 4\n") -> str:
    lines = []
    for row in range(len(work)):
        submit, run, limit = (
            int(each[row]) // 1_000 for each in (work.submit_ms, work.run_ms, work.limit_ms)
        )
        lines.append(
            f"{row + 1} {submit} -1 {run} {work.size[row]} -1 -1 {work.size[row]} {limit} -1 1 {work.user[row]} 1"
            " -1 -1 -1 -1 -1\n"
        )
    return header + "".join(lines)


@pytest.fixture
def twin(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Twin:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.swf").write_text(swf(random_work(200, 1)))
    return Twin(tmp_path, capsys)


def test_a_run_prints_its_figures(twin: Twin) -> None:
    said = twin("run", "log.swf", "--policy", "easy")
    assert "jobs                       200" in said
    assert "one, of 4 processors" in said
    assert "mean bounded slowdown" in said


def test_a_run_writes_a_row_a_job_and_prints_what_it_wrote(twin: Twin) -> None:
    summary = twin.json("run", "log.swf", "--policy", "easy", "--procs", "8", "--out", "made/a")
    rows = pl.read_parquet(twin.folder / "made/a/jobs.parquet")
    assert ["job", "submit", "start", "end", "run"] == rows.columns[:5]
    assert (200, 200, 8.0) == (len(rows), summary["jobs"], summary["machine"])
    assert pytest.approx(float((rows["start"] - rows["submit"]).mean())) == summary["mean_wait_s"]  # type: ignore[arg-type]
    written = json.loads((twin.folder / "made/a/summary.json").read_text())
    assert summary == {name: written[name] for name in summary}
    assert summary["jobs_per_second"] > 0
    assert summary["peak_rss_bytes"] > 10_000_000


def test_policies_and_estimates_matter(twin: Twin) -> None:
    waits = {
        (policy, estimates): twin.json("run", "log.swf", "--policy", policy, "--estimates", estimates)[
            "mean_wait_s"
        ]
        for policy in ("fcfs", "easy", "sjf-greedy")
        for estimates in ("user", "exact")
    }
    assert waits["fcfs", "user"] == waits["fcfs", "exact"] > waits["easy", "user"] > 0
    assert waits["sjf-greedy", "user"] < waits["easy", "user"]


def test_the_same_run_twice_is_the_same(twin: Twin) -> None:
    for name in ("a", "b"):
        twin("run", "log.swf", "--policy", "easy", "--out", name)
    assert (twin.folder / "a/jobs.parquet").read_bytes() == (twin.folder / "b/jobs.parquet").read_bytes()


def test_a_trace_is_resampled_to_a_load(twin: Twin) -> None:
    light, heavy = (
        twin.json("run", "log.swf", "--policy", "easy", "--load", load)["mean_wait_s"]
        for load in ("0.2", "0.9")
    )
    assert light < heavy


def test_generated_jobs_need_no_log(twin: Twin) -> None:
    first, again, other = (
        twin.json(
            "run",
            "--generate",
            "lublin",
            "--procs",
            "64",
            "--jobs",
            "300",
            "--policy",
            "easy",
            "--seed",
            seed,
        )
        for seed in ("1", "1", "2")
    )
    assert 300 == first["jobs"]
    assert first["mean_wait_s"] == again["mean_wait_s"] != other["mean_wait_s"]


def test_compare_prints_intervals_with_every_difference(twin: Twin) -> None:
    twin("run", "log.swf", "--policy", "fcfs", "--out", "a")
    twin("run", "log.swf", "--policy", "easy", "--out", "b")
    [found] = twin.json("compare", "a", "b")
    assert ("fcfs", "easy", 200) == (found["first"], found["second"], found["pairs"])
    wait = found["differences"][0]
    assert wait["low"] <= wait["difference"] <= wait["high"]
    for line in twin("compare", "a", "b").splitlines()[2:]:
        assert "[" in line
    assert twin("compare", "a", "b") == twin("compare", "log.swf", "--policy", "fcfs", "--policy", "easy")


def test_compare_over_seeds_pairs_runs(twin: Twin) -> None:
    two = ("--policy", "fcfs", "--policy", "easy")
    [found] = twin.json(
        "compare",
        "--generate",
        "lublin",
        "--procs",
        "32",
        "--jobs",
        "200",
        "--seeds",
        "4",
        "--load",
        "0.9",
        *two,
    )
    assert ("pairs of runs", 4) == (found["method"], found["pairs"])
    assert "makespan" in [each["figure"] for each in found["differences"]]


def test_a_report_is_made_of_a_run_alone_or_against_another(twin: Twin) -> None:
    twin("run", "log.swf", "--policy", "fcfs", "--out", "a")
    twin("run", "log.swf", "--policy", "easy", "--out", "b")
    assert "a/report.html\n" == twin("report", "a")
    twin("report", "b", "--against", "a", "--out", "page.html")
    assert "easy against fcfs" in (twin.folder / "page.html").read_text()
    twin("run", "log.swf", "--policy", "easy", "--out", "c", "--report")
    assert (twin.folder / "c/report.html").is_file()


def test_a_sweep_runs_every_combination(twin: Twin) -> None:
    (twin.folder / "other.swf").write_text(swf(random_work(100, 2)))
    options = ("--policy", "fcfs", "--policy", "easy", "--load", "0.5", "--load", "0.9", "--workers", "1")
    rows = twin.json("sweep", "log.swf", "other.swf", *options, "--out", "sweep.parquet")
    wanted = [
        (log, load, policy)
        for log in ("log.swf", "other.swf")
        for load in (0.5, 0.9)
        for policy in ("fcfs", "easy")
    ]
    assert wanted == [(row["source"], row["load"], row["policy"]) for row in rows]
    table = pl.read_parquet(twin.folder / "sweep.parquet")
    assert [row["mean_wait_s"] for row in rows] == table["mean_wait_s"].to_list()


def test_the_formats_are_listed_and_a_trace_is_described(twin: Twin) -> None:
    assert "swf" in twin("traces")
    found = twin.json("traces", "log.swf")
    assert (200, 4, 5) == (found["jobs"], found["machine_size"], found["users"])
    assert "offered load" in twin("traces", "log.swf")


def test_policies_are_listed(twin: Twin) -> None:
    assert "easy" in twin("run", "--policy", "help")
    assert "rl-sjf-backfill" in twin("run", "--policy", "help")


def test_rlscheduler_s_policies_run_under_its_own_rule(twin: Twin) -> None:
    first = twin.json("run", "log.swf", "--policy", "rl-fcfs")
    assert "event" == first["passes"]
    ours = twin.json("run", "log.swf", "--policy", "fcfs", "--passes", "event")
    assert ours["mean_wait_s"] == first["mean_wait_s"]
    assert "one queue alone" in twin.refused("run", "log.swf", "--policy", "rl-sjf", "--tenants", "user")


def test_bad_lines_are_left_out_only_when_asked_for(twin: Twin) -> None:
    lines = swf(random_work(50, 1)).splitlines()
    lines[7:7] = ["what is this"] * 15
    (twin.folder / "bad.swf").write_text("\n".join(lines))
    said = twin.refused("run", "bad.swf", "--policy", "easy", "--out", "a")
    assert "line 8" in said
    assert "--skip-bad" in said
    code, _, err = twin.ended("run", "bad.swf", "--policy", "easy", "--skip-bad")
    assert 0 == code
    assert 10 == err.count("left out: ")
    assert "15 lines left out in all" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "LOG: 'nothing' is not accepted; give a trace file, or --generate"),
        (["run", "none.swf"], "none.swf"),
        (
            ["run", "log.swf", "--policy", "magic"],
            "--policy: 'magic' is not accepted; give one of weir, weir-by-tenant, easy",
        ),
        (["run", "log.swf", "--estimates", "none"], "--estimates"),
        (["run", "log.swf", "--passes", "minute"], "--passes"),
        (["run", "log.swf", "--procs", "0"], "--procs"),
        (["run", "log.swf", "--procs", "4", "--province", "p.yaml"], "give either --procs or --province"),
        (["run", "log.swf", "--province", "none.yaml"], "none.yaml"),
        (["run", "log.swf", "--generate", "lublin"], "give either a log or --generate"),
        (
            ["run", "--generate", "dreams"],
            "--generate: 'dreams' is not accepted; give one of lublin, province",
        ),
        (["run", "--generate", "lublin"], "say for how large a machine"),
        (["run", "--generate", "province", "--procs", "8"], "it makes its own pools"),
        (["run", "nowhere.swf", "--format", "punchcards"], "nowhere.swf"),
        (["run", "log.swf", "--format", "punchcards"], "punchcards"),
        (["run", "empty.swf"], "it is empty"),
        (["run", "wide.swf", "--procs", "2"], "larger than the machine"),
        (["run", "unknown.swf"], "--procs: 'nothing' is not accepted; say how large the machine is"),
        (["run", "log.swf", "--out", "full"], "it holds 'letter.txt'"),
        (["run", "log.swf", "--out", "log.swf"], "this is a file"),
        (["run", "log.swf", "--report"], "say where to write it"),
        (["compare", "full", "full"], "give a folder that `weir twin run --out DIR` wrote"),
        (["compare", "log.swf"], "give two or more, or folders of earlier runs"),
        (["compare", "log.swf", "--policy", "easy"], "give two or more, or folders of earlier runs"),
        (["report", "full"], "with jobs.parquet and summary.json"),
        (["report", "none"], "does not exist"),
        (["sweep"], "LOG: 'nothing'"),
        (["sweep", "log.swf", "--estimates", "none"], "--estimates: 'none'"),
        (["sweep", "log.swf", "--out", "full"], "this is a folder"),
        (["sweep", "log.swf", "--out", "log.swf"], "not of an earlier sweep"),
        (["sweep", "log.swf", "--ray", "somewhere:6379"], "install Ray into this environment first"),
        (["traces", "none.swf"], "none.swf"),
        (["traces", "empty.swf"], "no job in it is usable"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line_and_writes_nothing(
    twin: Twin, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    (twin.folder / "full").mkdir()
    (twin.folder / "full/letter.txt").write_text("dear")
    (twin.folder / "p.yaml").write_text("version: 1")
    (twin.folder / "empty.swf").write_text("; MaxProcs: 4\n")
    (twin.folder / "unknown.swf").write_text(swf(random_work(5, 1), header=""))
    (twin.folder / "wide.swf").write_text("1 0 -1 9 4 -1 -1 4 9 -1 1 1 1 -1 -1 -1 -1 -1\n")
    assert said in twin.refused(*arguments)
