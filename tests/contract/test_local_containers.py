"""The local engine runs work in container images, by a real podman."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.contract.engine_scale import IMAGES
from tests.contract.podman_image import IMAGE, OPTIONS, PodmanStore, podman_problem
from weir.engines.conformance import NARROW, WIDE, Stage, run_conformance
from weir.engines.local.control import Control
from weir.engines.local.driver import LocalDriver
from weir.engines.local.process import alive
from weir.model.agent import PoolEntry
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodmanStore]:
    problem = podman_problem()
    if problem and os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and CI runs every test")
    if problem:
        pytest.skip(problem)
    made = PodmanStore(tmp_path_factory.mktemp("podman"))
    yield made
    made.close()


@pytest.fixture
def podman(store: PodmanStore, monkeypatch: pytest.MonkeyPatch) -> PodmanStore:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def stage_at(tmp_path: Path, podman: PodmanStore) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(pool_options: dict[str, str] | None = None, **options: str) -> Stage:
        folder = tmp_path / f"an agent's, {len(stages)}"
        wide = PoolEntry(WIDE, 2, 4, 512_000, 1 << 42, "any", True, pool_options or {})
        pools = (wide, PoolEntry(NARROW, 1, 0, 1_000, 1 << 34, "any", False))
        stage = Stage(LocalDriver(folder), folder, LocalDriver, OPTIONS | options, pools=pools, image=IMAGE)
        stage.attach()
        stages.append(stage)
        return stage

    yield make
    for stage in stages:
        stage.clear()
        stage.driver.close()


def test_the_suite_in_containers(tmp_path: Path, podman: PodmanStore) -> None:
    report = run_conformance(LocalDriver, tmp_path, only=IMAGES, options=OPTIONS, image=IMAGE)
    assert report.passed, str(report)
    memory = set() if "memory-limit" in report.capabilities else {"memory limit in an image"}
    assert set(IMAGES) - memory == {one.name for one in report.results if one.verdict == "passed"}
    assert [] == podman.names(), "and nothing of it is kept once it is forgotten"


def test_a_task_sees_its_image_and_its_devices_alone(stage_at: Callable[..., Stage]) -> None:
    # Any two files of devices do: podman is told their names, and the task finds them under others.
    stage = stage_at(
        {"device_ids": "1,3,5,7,8,9,10,11", "container_devices": "/dev/zero:/dev/weir{index},/dev/full"}
    )
    text = "ls -d /only-in-the-image /dev/weir* /dev/full; ls -d /proc/[0-9]*; echo $CUDA_VISIBLE_DEVICES"
    order = stage.order("sh", "-c", text, image=IMAGE, devices_milli=2_000)
    assert stage.run(order).cause is None
    *seen, visible = stage.lines(order)
    assert seen[:4] == ["/dev/full", "/dev/weir1", "/dev/weir3", "/only-in-the-image"]
    assert len(seen[4:]) <= 2, "and no process but its own"
    assert visible == "0,1", "the stacks count what is there from 0"


def test_what_cannot_be_started_says_why(stage_at: Callable[..., Stage]) -> None:
    stage = stage_at(pull_images="localhost:1/")
    for image, command, why in (
        ("localhost/other:1", "sh", "is not at this centre"),
        ("localhost:1/team/train:1", "sh", "could not be pulled"),
        (IMAGE, "nowhere", "nowhere: not found; give a program that is in the image"),
        (IMAGE, "./given", "./given: not executable"),
    ):
        order = stage.order(command, image=image)
        (order.folder / "work" / "given").touch(0o600)
        end = stage.run(order)
        assert (end.cause, end.started_ms, why in end.message) == (Cause.START, None, True), end
        assert (stage.output(order), stage.output(order, stream="stderr")) == (b"", b"")
    [outcome] = stage.driver.submit([stage.order("sh", image=IMAGE, devices_milli=1_000)], 0)
    assert not outcome.accepted
    assert "container_devices" in outcome.message


def test_a_container_whose_supervisor_was_killed_is_ended(
    stage_at: Callable[..., Stage], podman: PodmanStore
) -> None:
    stage = stage_at()
    order = stage.order("sleep", "600", image=IMAGE)
    stage.submit(order)
    stage.reach(order, Observed.RUNNING)
    with Control(str(order.folder)) as control:
        record = control.record(0)
    assert record is not None
    os.kill(record["supervisor"][0], signal.SIGKILL)
    assert stage.end(order).cause is Cause.LOST
    assert not alive(record["process"])
    assert [] == podman.names()


def test_containers_that_nobody_knows_any_more_are_removed(
    stage_at: Callable[..., Stage], podman: PodmanStore, tmp_path: Path
) -> None:
    stage = stage_at()
    order = stage.order("sh", "-c", ":", image=IMAGE)
    stage.run(order)
    stage.driver.close()
    assert [f"weir-{order.attempt}.0"] == podman.names(), "it is kept until its end is acknowledged"
    # As where the machine goes down between the end of the folder and the end of the container.
    order.folder.rename(tmp_path / "gone")
    stage.restart_driver()
    deadline = time.monotonic() + 30
    while podman.names() and time.monotonic() < deadline:
        stage.driver.wait(0.05)
    assert [] == podman.names()


def test_without_podman_an_image_is_refused_and_nothing_else(tmp_path: Path) -> None:
    refusals: tuple[tuple[dict[str, str], str], ...] = (
        ({"containers": "off"}, "its option containers is off"),
        ({"podman": "no-such-podman"}, "there is no program no-such-podman here"),
        ({"podman": "/bin/false"}, "/bin/false does not work here: podman does not say why"),
        ({"podman": "/bin/true"}, "/bin/true says of itself what cannot be read"),
    )
    for number, (options, why) in enumerate(refusals):
        folder = tmp_path / str(number)
        stage = Stage(LocalDriver(folder), folder, LocalDriver, options)
        stage.attach()
        assert "containers" not in stage.driver.capabilities
        [outcome] = stage.driver.submit([stage.order("true", image=IMAGE)], 0)
        assert not outcome.accepted
        assert why in outcome.message
        stage.driver.close()
    with pytest.raises(ProblemError, match="no-such-podman"):
        LocalDriver(tmp_path).attach((), {"containers": "required", "podman": "no-such-podman"})
