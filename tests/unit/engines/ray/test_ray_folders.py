"""The Ray driver where no Ray is needed: what tasks may do to their folders, and where these lie."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import weir.engines.ray.driver as driver_module
from weir.agents.folder import Settings as AgentSettings
from weir.agents.local_orders import engine_options
from weir.engines.driver import AttemptOrder, EngineUnreachableError
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.control import Control
from weir.engines.local.launch import write_order
from weir.engines.ray.driver import RayDriver
from weir.engines.ray.forms import RayJob
from weir.model.agent import CentreEntry, NodeShare, PoolEntry, Work
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed

WORK = Work("s", "p", ("x",), {}, 1, 1_000, 1, 0, "any", "", 1, "TERM", 2_000, False, (), 0, 0)
POOLS = (PoolEntry("p", 1, 8, 8_000, 16 << 30, "any", True),)
OPTIONS = {"address": "http://127.0.0.1:1", "poll": "0.1"}
ONE, TWO = "aaaaaaaaaaaa-1", "bbbbbbbbbbbb-1"


class FakeApi:
    """Ray's dashboard. `faults` are raised one after the other instead of an answer."""

    def __init__(self) -> None:
        self.listed: list[RayJob] = []
        self.stopped: list[str] = []
        self.faults: list[Exception] = []
        self.asked = threading.Semaphore(0)

    def jobs(self) -> list[RayJob]:
        self.asked.release()
        if self.faults:
            raise self.faults.pop(0)
        return self.listed

    def submit(self, body: dict[str, Any]) -> str:
        raise EngineUnreachableError("not now")

    def stop(self, identity: str) -> None:
        self.stopped.append(identity)

    def delete(self, identity: str) -> bool:
        return True

    def close(self) -> None:
        pass


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    monkeypatch.setattr(driver_module, "RayApi", lambda *_: made)
    return made


@pytest.fixture
def driver(tmp_path: Path, api: FakeApi) -> Iterator[RayDriver]:
    made = RayDriver(tmp_path / "agent")
    yield made
    made.close()


def put_order(root: Path, attempt: str) -> Path:
    folder = root / attempt
    (folder / "work").mkdir(parents=True)
    order = AttemptOrder(attempt, attempt[:12], 1, None, WORK, (NodeShare(0, 1),), folder)
    write_order(order, Allocation((TaskPlace(0, 0, (), ()),)), {"launch": {}, "groups": []})
    return folder


def until(true: Any) -> None:
    end_s = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_output_is_never_read_through_a_link_or_a_pipe(driver: RayDriver, tmp_path: Path) -> None:
    folder = put_order(tmp_path / "agent" / "attempts", ONE)
    driver.attach(POOLS, OPTIONS)
    (folder / "0.stdout").write_bytes(b"0123456789")
    assert (b"345", 10) == (driver.output(ONE, 0, "stdout", 3, 3), driver.output_size(ONE, 0, "stdout"))
    (tmp_path / "agent" / "token").write_text("secret")
    (folder / "0.stdout").unlink()
    (folder / "0.stdout").symlink_to(tmp_path / "agent" / "token")
    os.mkfifo(folder / "0.stderr")
    for stream in ("stdout", "stderr"):
        assert (b"", 0) == (driver.output(ONE, 0, stream, 0, 9), driver.output_size(ONE, 0, stream))


def test_a_folder_that_cannot_be_read_ends_its_own_attempt_alone(
    driver: RayDriver, api: FakeApi, tmp_path: Path
) -> None:
    folders = [put_order(tmp_path / "agent" / "attempts", attempt) for attempt in (ONE, TWO)]
    api.listed = [
        RayJob(f"weir-{attempt}", "RUNNING", "", "", "", driver.tag, attempt) for attempt in (ONE, TWO)
    ]
    driver.attach(POOLS, OPTIONS)
    with Control(str(folders[0]), write=True) as control:
        control.write(0, strange=True)
    until(lambda: [TWO] == driver.live())
    [state] = driver.observe([ONE])
    assert Observed.ENDED is state.observed
    assert state.end is not None
    assert Cause.NODE_FAILED is state.end.cause
    assert "cannot be read" in state.end.message
    until(lambda: [f"weir-{ONE}"] == api.stopped)


def test_an_order_that_cannot_be_read_keeps_no_driver_from_its_start(
    driver: RayDriver, tmp_path: Path
) -> None:
    folders = [put_order(tmp_path / "agent" / "attempts", attempt) for attempt in (ONE, TWO)]
    (folders[0] / "control").unlink()
    (folders[0] / "control").symlink_to("control")
    driver.attach(POOLS, OPTIONS)
    assert [TWO] == driver.live()


def test_the_thread_that_deals_with_ray_outlives_a_fault(
    driver: RayDriver, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.faults = [EngineUnreachableError("no answer"), RuntimeError("a fault"), RuntimeError("a fault")]
    with caplog.at_level(logging.ERROR):
        driver.attach(POOLS, OPTIONS)
        driver._keeper.clean()
        for _ in range(4):
            assert api.asked.acquire(timeout=10)
    assert 2 == caplog.text.count("broke off")


def test_attempts_in_a_work_root_are_found_again_and_read(driver: RayDriver, tmp_path: Path) -> None:
    root = tmp_path / "shared"
    folder = put_order(root, ONE)
    (folder / "0.stdout").write_bytes(b"out")
    driver.attach(POOLS, {**OPTIONS, "work_root": str(root)})
    assert [ONE] == driver.live()
    assert b"out" == driver.output(ONE, 0, "stdout", 0, 9)
    # What the nodes need lies there too: they may not see the agent's folder.
    assert {"poke", "engine"} == {path.name for path in (root / ".weir").iterdir()}
    assert not (tmp_path / "agent").exists()


def test_the_agent_tells_the_driver_its_work_root() -> None:
    settings = AgentSettings("https://weir.test", work_root="/shared/weir", private_root="/private")
    ray = CentreEntry("c", "ray", OPTIONS, POOLS, "")
    assert {**OPTIONS, "work_root": "/shared/weir"} == engine_options(ray, settings)
    assert OPTIONS == engine_options(ray, None)
    assert {"private_root": "/private"} == engine_options(CentreEntry("c", "local", {}, POOLS, ""), settings)


@pytest.mark.parametrize("place", ["", "agent/inside"])
def test_attempts_do_not_lie_beside_the_centres_token(tmp_path: Path, place: str) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "token").touch(mode=0o600)
    options = {**OPTIONS, **({"work_root": str(tmp_path / place)} if place else {})}
    driver = RayDriver(tmp_path / "agent")
    with pytest.raises(ProblemError, match="could read the centre's token"):
        driver.attach(POOLS, options)
    driver.close()
