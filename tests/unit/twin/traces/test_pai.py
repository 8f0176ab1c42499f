"""Alibaba PAI: tables without headers, tasks of several instances, shares of GPUs."""

import gzip
import io
import tarfile
from pathlib import Path

import polars as pl
import pytest

from tests.unit.twin.traces.written import dropped, named, read, refusal, shapes, written
from weir.twin.traces import read_trace
from weir.twin.traces.pai import JOBS, TASKS
from weir.twin.workload import Workload

TASK_LINES = (
    "j1,tensorflow,1.0,Terminated,110.0,150.0,600.0,29.296875,50.0,MISC\n"
    "j2,ps,2.0,Terminated,200.0,290.0,100.0,1.0,,V100\n"
    "j2,worker,3.0,Failed,210.0,300.0,400.0,2.0,25.0,V100\n"
    "j3,evaluator,1.0,Terminated,5.0,6.0,100.0,1.0,,\n"
    "j4,worker,4.0,Running,400.0,,100.0,1.0,100.0,V100\n"
    "j5,worker,1.0,Terminated,500.0,501.0,100.0,1.0,150.0,V100\n"
)
JOB_LINES = "j1,i1,alice,Terminated,100.0,150.0\nj2,i2,bob,Failed,,300.0\nj9,i9,eve,Waiting,1.0,\n"


def expected(workload: Workload) -> None:
    assert [1, 2, 5] == workload.job.tolist()
    assert [40_000, 100_000, 1_000] == workload.run_ms.tolist()
    assert [1, 1, 2] == workload.size.tolist()
    gigabyte = 10**9
    assert [
        (1, 500, 6_000, 29_296_875_000),
        (3, 250, -(-14_000 // 3), -(-8 * gigabyte // 3)),  # cores and memory of all five instances
        (1, 2_000, 1_000, gigabyte),
    ] == shapes(workload)
    assert {"run time not positive": 1, "size not positive": 1} == dropped(workload)


def test_tables_as_they_come(tmp_path: Path) -> None:
    written(tmp_path, "pai_job_table.csv", JOB_LINES)
    workload = read(tmp_path, "pai_task_table.csv", TASK_LINES)
    expected(workload)
    assert [100_000, 200_000, 500_000] == workload.submit_ms.tolist()
    assert ["alice", "bob", "unknown"] == named(workload.user, workload.users)
    expected(read_trace(tmp_path))


def test_tables_in_archives_of_their_own(tmp_path: Path) -> None:
    for name, text in (("pai_task_table", TASK_LINES), ("pai_job_table", JOB_LINES)):
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo(f"{name}.csv")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    workload = read_trace(tmp_path / "pai_task_table.tar.gz")
    expected(workload)
    assert [100_000, 200_000, 500_000] == workload.submit_ms.tolist()


def test_the_task_table_alone_and_joined(tmp_path: Path) -> None:
    alone = read(tmp_path, "tasks.csv", ",".join(TASKS) + "\n" + TASK_LINES)
    expected(alone)
    assert [110_000, 200_000, 500_000] == alone.submit_ms.tolist()
    joined = pl.read_csv(TASK_LINES.encode(), has_header=False, new_columns=list(TASKS)).with_columns(
        submit_time=pl.col("start_time") - 5, user=pl.lit("carol"), group=pl.lit("g")
    )
    workload = read(tmp_path, "joined.csv", joined.write_csv())
    expected(workload)
    assert [105_000, 195_000, 495_000] == workload.submit_ms.tolist()
    assert (("carol",), ("g",)) == (workload.users, workload.groups)


def test_bad_lines_of_both_tables(tmp_path: Path) -> None:
    written(tmp_path, "pai_job_table.csv", JOB_LINES)
    broken = TASK_LINES.replace("j1,tensorflow,1.0", "j1,tensorflow,x")
    assert "pai_task_table.csv line 1: inst_num is 'x'" in refusal(tmp_path, "pai_task_table.csv", broken)
    assert [2, 5] == [
        job + 1 for job in read(tmp_path, "pai_task_table.csv", broken, skip_bad=True).job.tolist()
    ]
    written(tmp_path, "pai_job_table.csv", JOB_LINES + "short\n")
    assert "pai_job_table.csv line 4: 1 cells" in refusal(tmp_path, "pai_task_table.csv", TASK_LINES)
    expected(read(tmp_path, "pai_task_table.csv", TASK_LINES, skip_bad=True))


def test_the_simulators_table(tmp_path: Path) -> None:
    text = (
        "job_id,user,group,gpu_type,num_inst,num_gpu,num_cpu,submit_time,duration\n"
        "7,u1,g1,T4,2,0.5,6,10,100.5\n"
        "8,u2,g2,CPU,,0,6,11,100\n"
        "9,u2,g2,V100,,2,6,12,0\n"
    )
    workload = read(tmp_path, "pai_job_no_estimate_100K.csv.gz", gzip.compress(text.encode()))
    assert [7] == workload.job.tolist()
    assert [100_500] == workload.run_ms.tolist()
    assert [1] == workload.size.tolist()
    assert [(2, 500, 6_000, 0)] == shapes(workload)
    assert {"run time not positive": 1, "size not positive": 1} == dropped(workload)


@pytest.mark.parametrize("names", [TASKS, JOBS])
def test_the_tables_columns(names: tuple[str, ...]) -> None:
    assert "job_name" == names[0]
    assert len(set(names)) == len(names)


def test_numbers_that_no_machine_has(tmp_path: Path) -> None:
    line = "j1,worker,999999999999,Terminated,1,2,999999999999,999999999999,999999999999,\n"
    workload = read(tmp_path, "pai_task_table.csv", line)
    assert [10**12] == workload.size.tolist()
    assert "plan_gpu is larger than" in refusal(tmp_path, "pai_task_table.csv", line.replace("9,\n", "90,\n"))
