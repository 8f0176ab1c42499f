"""Every driver that ships passes the one suite, as far as it claims to."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.engine_scale import IMAGES, engine_scale
from weir.engines.conformance import (
    NARROW,
    QUICK,
    WIDE,
    ConformanceReport,
    Provocations,
    Scale,
    run_conformance,
)
from weir.engines.driver import CAPABILITIES, Driver
from weir.engines.fake import FakeEngine, Faults
from weir.engines.local.driver import LocalDriver
from weir.model.agent import PoolEntry

LOCAL_ALWAYS = {
    "commands",
    "devices",
    "files",
    "gang",
    "kill-all",
    "kill-by-session",
    "output-live",
    "queue",
    "shared-folder",
    "shares",
    "stop-signal",
    "streams",
    "time-limit",
    "withdraw",
}
pytestmark = pytest.mark.conformance
SCALE = engine_scale()
FEW = replace(SCALE, array=50, many=20, outage_s=0.3)
"""For what was played in full elsewhere."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def local(folder: Path, scale: Scale = FEW, **options: str) -> ConformanceReport:
    kill = Provocations(kill_process=lambda pid: os.kill(pid, signal.SIGKILL))
    return run_conformance(LocalDriver, folder, scale=scale, options=options, provocations=kill)


def provocations(engine: FakeEngine) -> Provocations:
    """All that can be done to a fake engine."""

    @contextlib.contextmanager
    def unreachable() -> Iterator[None]:
        engine.go_away(3_600_000)
        try:
            yield
        finally:
            engine.come_back()

    @contextlib.contextmanager
    def with_faults(faults: Faults) -> Iterator[None]:
        engine.faults = faults
        try:
            yield
        finally:
            engine.faults = Faults()

    @contextlib.contextmanager
    def skewed(skew_ms: int) -> Iterator[None]:
        engine.skew(skew_ms)
        try:
            yield
        finally:
            engine.skew(-skew_ms)

    return Provocations(
        unreachable=unreachable,
        lose_reply=lambda: with_faults(Faults(reply_lost=1_000)),
        fail_node=engine.fail,
        vanish=engine.lose,
        skew_clock=skewed,
        left=engine.known,
    )


def play_fake(engine: FakeEngine, folder: Path, scale: Scale, *only: str) -> ConformanceReport:
    """The suite on one engine that outlives its drivers, as engines do."""

    def the_engine(folder: Path) -> Driver:
        return engine

    return run_conformance(
        the_engine, folder, scale=scale, provocations=provocations(engine), only=only or None
    )


def not_played(report: ConformanceReport) -> set[str]:
    return {one.name for one in report.results if one.verdict in ("not claimed", "not tried")}


# What takes an engine with a daemon, other users or higher ranks is played by the drivers of such.
ELSEWHERE = {
    "preempted",
    "requeued by the engine",
    "the engine is restarted",
    "a node is drained",
    "others work there too",
}
ON_THE_FAKE = {
    "a node fails",
    "lost by the engine",
    "cleaned up when forgotten",
    "the engine cannot be reached",
    "an answer is lost",
    "the engine's clock is wrong",
}
CORES = {"bound to cores"}
MEMORY = {"memory limit", "memory of a child"}


# test_local_containers.py plays those of IMAGES, with an image of its own.
def test_local_engine(tmp_path: Path) -> None:
    report = local(tmp_path, SCALE)
    print(report)
    assert report.passed, str(report)
    assert LOCAL_ALWAYS <= report.capabilities <= set(CAPABILITIES)
    unlimited = set() if "memory-limit" in report.capabilities else MEMORY
    assert ELSEWHERE | ON_THE_FAKE | CORES | IMAGES | unlimited == not_played(report)


def test_local_engine_on_a_machine_that_forbids_control_groups(tmp_path: Path) -> None:
    report = local(tmp_path, limits="off")
    assert report.passed, str(report)
    assert LOCAL_ALWAYS | {"memory-rlimit"} == report.capabilities - {"containers"}
    assert ELSEWHERE | ON_THE_FAKE | CORES | IMAGES | MEMORY == not_played(report)


def test_local_engine_with_other_centres_folders_beside_it(tmp_path: Path) -> None:
    report = local(tmp_path / "agent", private_root=str(tmp_path))
    assert report.passed, str(report)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="it takes two cores")
def test_local_engine_with_cores_of_its_own(tmp_path: Path) -> None:
    first, second = sorted(os.sched_getaffinity(0))[:2]
    wide = PoolEntry(WIDE, 2, 4, 1_000, 1 << 40, "any", True, {"core_ids": f"{first},{second}"})
    pools = (wide, PoolEntry(NARROW, 1, 0, 1_000, 1 << 34, "any", False))
    report = run_conformance(LocalDriver, tmp_path, pools=pools, only=CORES)
    assert ["passed"] == [result.verdict for result in report.results], str(report)


def test_fake_engine(tmp_path: Path) -> None:
    report = play_fake(FakeEngine(7, now_ms), tmp_path, SCALE)
    assert report.passed, str(report)
    assert ON_THE_FAKE <= {one.name for one in report.results} - not_played(report)


class Deaf(FakeEngine):
    """An engine that does not do what it is told."""

    def cancel(self, attempts: Iterable[str]) -> None:
        """Nothing."""


def test_a_driver_that_breaks_a_promise_fails(tmp_path: Path) -> None:
    scale = replace(QUICK, patience_s=0.5, many=5)
    report = play_fake(Deaf(7, now_ms), tmp_path, scale, "cancel at once", "success")
    assert not report.passed
    assert ["success"] == [result.name for result in report.results if result.verdict == "passed"]
    text = report.to_text({"engine": "deaf"})
    assert "- engine: deaf" in text
    assert "**FAILED** (1 passed, 1 failed, 0 not claimed, 0 not tried)" in text
    assert "ConformanceError: waited 0.5 s" in text


def test_what_cannot_be_provoked_is_said_not_to_be_tried(tmp_path: Path) -> None:
    report = run_conformance(LocalDriver, tmp_path, only=["preempted", "success"])
    assert ["passed", "not tried"] == [result.verdict for result in report.results]
    assert "| preempted | not tried | 0.00 | preempt |" in report.to_text({})


def test_a_suite_without_a_case_passes_nothing(tmp_path: Path) -> None:
    assert not run_conformance(LocalDriver, tmp_path, only=["preempted"]).passed
