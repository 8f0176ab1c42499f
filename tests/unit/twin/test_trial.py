"""What a trial's policy finds: the jobs as one pool counts them, at the load that was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.twin.made import column, pool, workload
from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass
from weir.twin.trial import Source, Trial, offered_load, prepare


def clock() -> float:
    return 0.0


def test_a_log_of_accelerators_runs_on_one_pool_that_counts_them(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text(
        "submit_ms,run_ms,tasks,devices_milli,cores_milli\n0,3600000,8,1000,500\n60000,7200000,1,1000,500\n120000,600000,4,1000,500\n"
    )
    trial = Trial(Source(log=tmp_path / "jobs.csv"), "easy", processors=16)
    scene = prepare(trial, clock)
    assert [8, 1, 4] == scene.workload.size.tolist()
    needs = [scene.workload.classes[index] for index in scene.workload.job_class]
    assert [(8, 0, 1_000), (1, 0, 1_000), (4, 0, 1_000)] == [
        (each.tasks, each.devices_milli, each.cores_milli) for each in needs
    ]
    assert 16 == scene.pools[0].nodes


def test_the_offered_load_is_work_over_what_there_is_while_jobs_come() -> None:
    work = workload([(0, 100, 4), (50, 100, 2), (200, 100, 2)])
    assert 800 / (4 * 200) == offered_load(work, [pool(nodes=4)])
    assert 800 / (8 * 200) == offered_load(work, [pool("a/a", nodes=4), pool("b/b", nodes=4)])
    training = JobClass(tasks=1, devices_milli=2_000, cores_milli=9_000, memory_bytes=0)
    devices = replace(work, classes=(training,), job_class=column([0, 0, 0]))
    assert 600 / (8 * 200) == offered_load(
        devices, [pool(nodes=1, devices_per_node=8), pool("b/cpu", nodes=99)]
    )
    assert 0.0 == offered_load(workload([(0, 100, 4)]), [pool()])


def test_a_load_is_reached_by_time_alone(tmp_path: Path) -> None:
    rows = "".join(f"{at * 100_000},{50_000 + at * 1_000},{1 + at % 3}\n" for at in range(200))
    (tmp_path / "jobs.csv").write_text("submit_ms,run_ms,size\n" + rows)
    source = Source(log=tmp_path / "jobs.csv")
    plain = prepare(Trial(source, "easy", processors=8), clock).workload
    scene = prepare(Trial(replace(source, load=0.9), "easy", processors=8), clock)
    assert pytest.approx(0.9, rel=0.01) == offered_load(scene.workload, scene.pools)
    assert plain.run_ms.tolist() == scene.workload.run_ms.tolist()
    assert not np.any(scene.workload.submit_ms % 1_000)
    assert np.all(np.diff(scene.workload.submit_ms) >= 0)


def test_jobs_all_at_once_have_no_load_to_scale(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("submit_ms,run_ms,size\n5,10,1\n5,10,1\n")
    with pytest.raises(ProblemError, match="no load to scale"):
        prepare(Trial(Source(log=tmp_path / "jobs.csv", load=0.5), "easy", processors=8), clock)


def test_a_generated_province_brings_its_own_pools() -> None:
    scene = prepare(Trial(Source(generator="province", seed=3, load=0.7, limit=500), "weir"), clock)
    assert 500 == len(scene.workload)
    assert len(scene.pools) > 10
    assert scene.links


def test_changes_are_made_to_the_province_and_said(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("submit_ms,run_ms,size\n5,10,1\n5,10,1\n")
    source = Source(log=tmp_path / "jobs.csv")
    changes = ("price all core-hour 0.50", "lose pool machine/all at 2h back at 3h")
    scene = prepare(Trial(source, "easy", processors=8, changes=changes), clock)
    assert 500_000 == scene.pools[0].core_hour_micro_yuan
    assert [7_200_000, 10_800_000] == [each.at_ms for each in scene.events]
    assert 2 == len(scene.notes)


def test_a_change_that_cannot_be_read_is_refused_before_the_trace_is_read(tmp_path: Path) -> None:
    trial = Trial(Source(log=tmp_path / "none.csv"), "easy", processors=8, changes=("more!",))
    with pytest.raises(ProblemError, match="more!"):
        prepare(trial, clock)
