"""Sia's workloads and speeds, on measurements made up here."""

from pathlib import Path

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.rounds import POLICIES, simulate
from weir.twin.rounds.sia import KINDS, read_case

HEADER = "name,time,application,num_replicas,batch_size\n"


@pytest.fixture
def speeds(tmp_path: Path) -> Path:
    """ncf (ten epochs, slowed by 1.5): a step takes 0.1 s at local batch 10 and 0.4 s at 40; no wait for others."""
    folder = tmp_path / "speeds" / "ncf"
    folder.mkdir(parents=True)
    for kind, node in zip(KINDS, (4, 8, 8), strict=True):
        within = [str(width) for width in range(1, node + 1)]
        rows = [
            f"{code},{local},{local / 100},0.0" for code in [*within, f"{node}{node}"] for local in (10, 40)
        ]
        (folder / f"placements-{kind}.csv").write_text(
            "placement,local_bsz,step_time,sync_time\n" + "\n".join(rows)
        )
        wide = [f"6,24,{local},{local / 100},0.0" for local in (10, 40)] if kind == "aws" else []
        if kind == "rtx":
            wide = [f"3,24,{local},{local / 100},0.0" for local in (10, 40)]
        (folder / f"scalability-{kind}.csv").write_text(
            "num_nodes,num_replicas,local_bsz,step_time,sync_time\n" + "\n".join(wide)
        )
    for batch in (10, 80):
        rows = [f"{100 * epoch},1.0,3.0" for epoch in range(1, 11)]
        (folder / f"validation-{batch}.csv").write_text("progress,grad_sqr,grad_var\n" + "\n".join(rows))
    return tmp_path / "speeds"


def workload(folder: Path, *rows: str) -> Path:
    path = folder / "workload.csv"
    path.write_text(HEADER + "\n".join(rows) + "\n")
    return path


def test_rigid_jobs_run_with_the_batch_they_asked_for(speeds: Path, tmp_path: Path) -> None:
    case = read_case(workload(tmp_path, "ncf-0,0.0,ncf,2,40"), speeds, elastic=False)
    # Batch 40 on 2 devices is 20 each: 0.2 s a step. Its gain over batch 10 is 4 / (3 / 4 + 1), slowed by 1.5.
    assert [pytest.approx(4 / 1.75 / 0.2 / 1.5)] * 3 == case.rate[0, 0].tolist()
    assert 1_000.0 == case.work[0]
    assert [100.0, 1_000.0] == [case.phase_end[0, 0], case.phase_end[0, 9]]
    outcome = simulate(case, POLICIES["weir-given"], validate=True)
    # First seen at 360 s, then a restart of 15 s, and ten epochs, each rounded to a second.
    assert 360 + 15 + 10 * 13 == outcome.end_s[0]


def test_elastic_jobs_take_the_best_batch(speeds: Path, tmp_path: Path) -> None:
    case = read_case(workload(tmp_path, "ncf-0,0.0,ncf,2,40"), speeds)
    rate = {
        (KINDS[kind], int(devices)): rate
        for kind, devices, rate in zip(case.option_kind, case.option_devices, case.rate[0, 0], strict=True)
    }
    # On 8 devices of one node any batch from 80 on costs 0.1 s a step, and 80 is the largest.
    assert pytest.approx(4 / (3 / 8 + 1) / 0.1 / 1.5) == rate["rtx", 8]
    # Of one device the first batch is best: its steps cost what they bring.
    assert pytest.approx(1 / 0.1 / 1.5) == rate["aws", 1]
    assert 0.0 == rate["aws", 24], "24 devices of at least 10 each exceed the largest batch"
    assert [1, 2, 4, 8, 16] == case.option_devices[case.option_kind == 1].tolist()
    outcome = simulate(case, POLICIES["weir"], validate=True)
    assert 0 < outcome.end_s[0] < 600


def test_widths_that_nobody_measured_lie_between(speeds: Path, tmp_path: Path) -> None:
    folder = speeds / "ncf"
    path = folder / "scalability-aws.csv"
    path.write_text(
        path.read_text().replace("6,24,10,0.1,", "6,24,10,0.3,").replace("6,24,40,0.4,", "6,24,40,0.6,")
    )
    (folder / "validation-800.csv").write_text((folder / "validation-80.csv").read_text())
    case = read_case(workload(tmp_path, "a,0.0,ncf,16,160"), speeds, elastic=False)
    # From 8 devices (0.1 s) to 24 (0.3 s), 16 lie half way.
    gain = 4 / (3 / 16 + 1)
    assert pytest.approx(gain / 0.2 / 1.5) == case.rate[0, 0, case.option_kind == 0][0]


def test_jobs_are_sorted_by_time(speeds: Path, tmp_path: Path) -> None:
    case = read_case(workload(tmp_path, "late,90.5,ncf,1,10", "early,3.0,ncf,1,10"), speeds)
    assert ("early", "late") == case.jobs
    assert np.array_equal([3.0, 90.5], case.submit_s)


@pytest.mark.parametrize(
    ("row", "words"),
    [("x,0,gpt,1,10", "gpt"), ("x,soon,ncf,1,10", "soon"), ("x,0", "line 3")],
)
def test_a_bad_line_is_named(row: str, words: str, speeds: Path, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=f"line 3.*{words}|{words}"):
        read_case(workload(tmp_path, "y,0,ncf,1,10", row), speeds)


def test_a_folder_without_measurements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match="measured speeds"):
        read_case(workload(tmp_path, "y,0,ncf,1,10"), tmp_path)
