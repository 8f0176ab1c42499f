"""The Ray driver on a real Ray: the suite, and every trap that was seen there."""

import os
import signal
import time
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.cut_wire import CutWire
from tests.contract.engine_scale import IMAGES, engine_scale, time_limit
from tests.contract.ray_cluster import RayCluster, find_ray
from weir.engines.conformance import FULL, NARROW, WIDE, Provocations, Stage, run_conformance
from weir.engines.driver import CAPABILITIES
from weir.engines.local.control import Control
from weir.engines.ray.driver import RayDriver
from weir.model.agent import PoolEntry
from weir.model.state import Cause, Observed

pytestmark = [pytest.mark.conformance, time_limit(600)]
POOLS = (
    PoolEntry(WIDE, 1, 8, 8_000, 16 << 30, "any", True),
    PoolEntry(NARROW, 1, 0, 8_000, 16 << 30, "any", False, {"node_resource": "narrow"}),
)
QUICKLY = {"poll": "0.5", "limits": "required"}
SCALE = replace(engine_scale(), array=20, many=8, kills=2, patience_s=120.0, step_s=1.0)
if engine_scale() is FULL:
    SCALE = replace(SCALE, array=20, many=100, kills=10, patience_s=900.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    ray = find_ray()
    if ray is None:
        reason = "there is no Ray here; `make ray` installs one beside the rest"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}, and CI runs every test")
        pytest.skip(reason)
    made = RayCluster(ray)
    try:
        yield made
    finally:
        made.remove()


def record_of(folder: Path, attempt: str) -> dict[str, object]:
    with Control(str(folder / "attempts" / attempt)) as control:
        return control.record(0) or {}


def provocations(cluster: RayCluster, wire: CutWire, folder: Path) -> Provocations:
    def fail_node(attempt: str) -> None:
        supervisor = record_of(folder, attempt)["supervisor"]
        assert isinstance(supervisor, list)
        cluster.kill_actor_of(supervisor[0])

    return Provocations(
        restart_engine=cluster.restart_dashboard,
        unreachable=wire.cut,
        lose_reply=wire.deaf,
        fail_node=fail_node,
        vanish=lambda attempt: cluster.restart(),
        occupy=lambda pool: cluster.foreign(entrypoint_num_gpus=8),
        kill_process=lambda pid: os.kill(pid, signal.SIGKILL),
        left=lambda: cluster.of_agent(RayDriver(folder).tag),
    )


def test_ray_engine(cluster: RayCluster, tmp_path: Path) -> None:
    wire = CutWire(cluster.port)
    try:
        report = run_conformance(
            RayDriver,
            tmp_path,
            scale=SCALE,
            options={**QUICKLY, "address": wire.address},
            pools=POOLS,
            provocations=provocations(cluster, wire, tmp_path),
        )
    finally:
        wire.close()
    print(report)
    assert report.passed, str(report)
    assert report.capabilities <= set(CAPABILITIES)
    assert {
        "a node is drained",
        "bound to cores",
        "shares of a device",
        "preempted",
        "requeued by the engine",
        "a gang meets",
        "a gang's first failure",
        "a gang's last task",
        "a gang is cancelled",
        "the engine's clock is wrong",
        *IMAGES,
    } == {one.name for one in report.results if one.verdict in ("not claimed", "not tried")}


@pytest.fixture
def stage(cluster: RayCluster, tmp_path: Path) -> Iterator[Stage]:
    options = {**QUICKLY, "address": cluster.address}
    stage = Stage(RayDriver(tmp_path), tmp_path, RayDriver, options, SCALE, POOLS)
    stage.attach()
    yield stage
    stage.clear()
    stage.driver.close()


def of_weir(cluster: RayCluster, stage: Stage) -> list[str]:
    return cluster.of_agent(RayDriver(stage.folder).tag)


def test_a_second_submission_under_a_name_is_an_error_500_that_means_known(
    cluster: RayCluster, stage: Stage
) -> None:
    order = stage.order("sh", "-c", "echo run >> runs")
    stage.run(order)
    with pytest.raises(urllib.error.HTTPError, match="500") as refused:
        cluster.ask("POST", "/api/jobs/", {"entrypoint": "true", "submission_id": f"weir-{order.attempt}"})
    assert b"already exists" in refused.value.read()
    stage.restart_driver()
    stage.submit(order)
    assert Observed.ENDED is stage.state(order).observed
    assert "run\n" == (order.folder / "work" / "runs").read_text()


def test_what_asks_too_much_is_refused_though_ray_would_let_it_wait(
    cluster: RayCluster, stage: Stage
) -> None:
    order = stage.order("true", devices_milli=9_000)
    [outcome] = stage.driver.submit([order], 0)
    assert not outcome.accepted
    assert "9 of GPU are asked on a node, and the nearest one of Ray's has 8" == outcome.message
    assert f"weir-{order.attempt}" not in of_weir(cluster, stage)


def test_what_waits_is_cancelled_though_ray_does_not_hear_it(cluster: RayCluster, stage: Stage) -> None:
    first = stage.blocking()
    second = stage.order("touch", "ran", pool=NARROW)
    stage.submit(first)
    stage.reach(first, Observed.RUNNING)  # Ray does not take them in their order
    stage.submit(second)
    name = f"weir-{second.attempt}"
    # Ray says that it has stopped it, and it waits on.
    assert {"stopped": True} == cluster.ask("POST", f"/api/jobs/{name}/stop")
    assert "PENDING" == cluster.ask("GET", f"/api/jobs/{name}")["status"]
    stage.driver.cancel([second.attempt])
    end = stage.end(second)
    assert (Cause.CANCELLED, None) == (end.cause, end.started_ms)
    assert "PENDING" == cluster.ask("GET", f"/api/jobs/{name}")["status"]
    stage.driver.forget([second.attempt])
    stage.driver.cancel([first.attempt])
    stage.end(first)
    stage.driver.forget([first.attempt])
    # It gets its room, ends at once, and is dropped.
    stage.until(lambda: not of_weir(cluster, stage), "Ray to be clean")
    assert not second.folder.exists()


def test_a_start_that_comes_after_all_finds_the_claim_and_runs_nothing(
    cluster: RayCluster, stage: Stage
) -> None:
    first = stage.blocking()
    second = stage.order("touch", "ran", pool=NARROW)
    stage.submit(first)
    stage.reach(first, Observed.RUNNING)  # Ray does not take them in their order
    stage.submit(second)
    stage.driver.cancel([second.attempt])
    stage.end(second)
    stage.driver.cancel([first.attempt])
    name = f"weir-{second.attempt}"
    ended = ("SUCCEEDED", "STOPPED")
    stage.until(lambda: cluster.ask("GET", f"/api/jobs/{name}")["status"] in ended, "Ray to start it late")
    assert not (second.folder / "work" / "ran").exists()
    assert Cause.CANCELLED is stage.end(second).cause


def test_a_job_that_runs_gets_its_whole_grace_though_ray_gives_three_seconds(stage: Stage) -> None:
    text = 'trap "sleep 4; echo saved; exit 0" TERM; echo up; while :; do sleep 0.05; done'
    order = stage.order("sh", "-c", text, stop_grace_ms=20_000)
    stage.submit(order)
    stage.until(lambda: stage.lines(order) == ["up"], "it to run")
    stage.driver.cancel([order.attempt])
    assert Cause.CANCELLED is stage.end(order).cause
    assert ["up", "saved"] == stage.lines(order)


def test_a_job_that_the_centre_stops_through_ray_ends_as_cancelled(cluster: RayCluster, stage: Stage) -> None:
    order = stage.order("sleep", "600")
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    cluster.ask("POST", f"/api/jobs/weir-{order.attempt}/stop")
    assert Cause.CANCELLED is stage.end(order).cause


def test_nodes_without_the_attempts_folder_or_a_python_are_named(cluster: RayCluster, tmp_path: Path) -> None:
    options = {**QUICKLY, "address": cluster.address, "python": "/nowhere/python"}
    stage = Stage(RayDriver(tmp_path), tmp_path, RayDriver, options, SCALE, POOLS)
    stage.attach()
    try:
        end = stage.run(stage.order("true"))
        assert Cause.NODE_FAILED is end.cause
        assert f"are Python 3.10 and the attempts' folder {tmp_path / 'attempts'} there?" in end.message
    finally:
        stage.clear()
        stage.driver.close()


def test_attempts_run_in_a_work_root_and_are_found_there_after_a_restart(
    cluster: RayCluster, tmp_path: Path
) -> None:
    agent, root = tmp_path / "agent", tmp_path / "shared"
    options = {**QUICKLY, "address": cluster.address, "limits": "auto", "work_root": str(root)}
    stage = Stage(RayDriver(agent), agent, RayDriver, options, SCALE, POOLS)
    stage.attach()
    try:
        made = stage.order("sh", "-c", "echo here; sleep 3")
        (root / made.attempt).mkdir()
        order = replace(made, folder=root / made.attempt)
        (order.folder / "work").mkdir()
        stage.submit(order)
        stage.reach(order, Observed.RUNNING)
        stage.restart_driver()
        assert stage.end(order).cause is None
        assert b"here\n" == stage.driver.output(order.attempt, 0, "stdout", 0, 100)
        assert not (agent / "engine").exists()
    finally:
        stage.clear()
        stage.driver.close()


def test_jobs_may_use_ray_itself(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo $RAY_ADDRESS; command -v python3")
    stage.run(order)
    address, python = stage.lines(order)
    assert ":" in address
    assert "ray" in python or python


def test_others_jobs_are_left_alone(cluster: RayCluster, stage: Stage) -> None:
    with cluster.foreign() as name:
        order = stage.order("true")
        stage.run(order)
        stage.driver.forget([order.attempt])
        stage.until(lambda: not of_weir(cluster, stage), "Ray to be clean")
        time.sleep(1)
        assert "RUNNING" == cluster.ask("GET", f"/api/jobs/{name}")["status"]
