"""What a trial's policy finds: the jobs as one pool counts them, at the load that was asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.scheduling.inputs import JobClass
from weir.twin.history import WAITING, PastJob, write_history
from weir.twin.trial import Source, Trial, perform, prepare
from weir.twin.workload import Workload

HERE = """\
version: 1
province: here
cities: [{id: hefei, name: Hefei}]
centres:
  - id: a
    kind: general
    city: hefei
    engine: {driver: local}
    pools:
      - {id: a, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 8, memory_per_node: 8GiB}
      - {id: b, device: huawei-kunpeng-920-7260, nodes: 1, cores_per_node: 8, memory_per_node: 8GiB}
"""


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


def log_of(folder: Path, rows: list[tuple[int, int, int]]) -> Source:
    text = "".join(f"{submit * 1_000},{run * 1_000},{size},u{submit % 7}\n" for submit, run, size in rows)
    (folder / "jobs.csv").write_text("submit_ms,run_ms,size,user\n" + text)
    return Source(log=folder / "jobs.csv")


def test_a_province_files_shares_are_of_the_users_named_like_its_organisations(tmp_path: Path) -> None:
    shared = HERE.replace(
        "centres:",
        'organisations: [{id: "91340100WEYR00027A", name: u1, share: {ceiling: "8"}}]\ncentres:',
        1,
    )
    (tmp_path / "here.yaml").write_text(shared)
    # Each job takes a node: 8 cores at 1 yuan an hour, as the file has no prices.
    rows = "".join(f"0,60000,1,8000,u{user}\n" for user in (1, 1, 2, 2))
    (tmp_path / "jobs.csv").write_text("submit_ms,run_ms,tasks,cores_milli,user\n" + rows)
    source = Source(log=tmp_path / "jobs.csv")
    trial = Trial(source, "weir-by-tenant", tenants="user", province=tmp_path / "here.yaml")
    found = perform(trial, prepare(trial, clock))
    assert [0, 60_000, 0, 60_000] == found.start_ms.tolist()
    # Alone, u1 still takes one node at a time.
    (tmp_path / "jobs.csv").write_text("submit_ms,run_ms,tasks,cores_milli,user\n" + rows[: len(rows) // 2])
    alone = perform(trial, prepare(trial, clock))
    assert [0, 60_000] == alone.start_ms.tolist()


def test_a_load_is_reached_by_resampling_which_a_seed_decides(tmp_path: Path) -> None:
    rows = [(at * 5_000, 500 + at % 911, 1 + at % 3) for at in range(1_000)]
    source = log_of(tmp_path, rows)
    plain = prepare(Trial(source, "easy", processors=8), clock).workload
    assert 1_000 == len(plain)

    def resampled(seed: int | None) -> Workload:
        return prepare(Trial(replace(source, load=0.9, seed=seed), "easy", processors=8), clock).workload

    work = resampled(1)
    span = int(work.submit_ms.max() - work.submit_ms.min())
    assert pytest.approx(0.9, rel=0.1) == int((work.run_ms * work.size).sum()) / (8 * span)
    assert set(plain.run_ms.tolist()) >= set(work.run_ms.tolist())
    assert resampled(None).submit_ms.tolist() == work.submit_ms.tolist() != resampled(2).submit_ms.tolist()


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


def test_a_state_needs_its_province_and_a_policy_that_can_begin_with_it(tmp_path: Path) -> None:
    file = tmp_path / "state.parquet"
    job = PastJob(0, 60_000, 60_000, "u", "g", 0, JobClass(1, 0, 1_000, 0), WAITING)
    write_history([job], file, now_ms=5_000)
    with pytest.raises(ProblemError, match=r"--province"):
        prepare(Trial(Source(), "easy", start=file), clock)
    (tmp_path / "here.yaml").write_text(HERE, encoding="utf-8")
    trial = Trial(Source(), "easy", province=tmp_path / "here.yaml", start=file, changes=("remove pool a/b",))
    scene = prepare(trial, clock)
    assert [0] == (scene.told if scene.told is not None else np.array([])).tolist()
    assert ["a/a"] == [pool.key for pool in scene.pools]
    results = perform(trial, scene)
    assert [5_000] == results.start_ms.tolist()
    with pytest.raises(ProblemError, match="begins with nothing that runs"):
        perform(replace(trial, policy="max-min"), scene)
