"""Every driver that ships passes the one suite, as far as it claims to."""

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from weir.engines.conformance import CASES, ConformanceReport, run_conformance
from weir.engines.driver import CAPABILITIES, Driver
from weir.engines.fake import FakeEngine
from weir.engines.local.driver import LocalDriver

NAMES = [case.name for case in CASES]
LOCAL_ALWAYS = {"commands", "devices", "gang", "kill-by-session", "output-live", "shares", "time-limit"}


def fake(folder: Path) -> Driver:
    return FakeEngine(7, lambda: time.time_ns() // 1_000_000)


class Deaf(FakeEngine):
    """An engine that does not do what it is told."""

    def cancel(self, attempts: Iterable[str]) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def local_report(tmp_path_factory: pytest.TempPathFactory) -> ConformanceReport:
    return run_conformance(LocalDriver, tmp_path_factory.mktemp("local"))


@pytest.fixture(scope="module")
def bare_report(tmp_path_factory: pytest.TempPathFactory) -> ConformanceReport:
    """As on a machine that forbids control groups."""
    return run_conformance(LocalDriver, tmp_path_factory.mktemp("bare"), options={"limits": "off"})


@pytest.fixture(scope="module")
def hidden_report(tmp_path_factory: pytest.TempPathFactory) -> ConformanceReport:
    """With other centres' folders beside it, which tasks are not to see."""
    root = tmp_path_factory.mktemp("hidden")
    return run_conformance(LocalDriver, root / "agent", options={"private_root": str(root)})


@pytest.fixture(scope="module")
def fake_report(tmp_path_factory: pytest.TempPathFactory) -> ConformanceReport:
    return run_conformance(fake, tmp_path_factory.mktemp("fake"))


def failure(report: ConformanceReport, name: str) -> str:
    [found] = [result.failure for result in report.results if result.name == name]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_local_engine(local_report: ConformanceReport, name: str) -> None:
    assert "" == failure(local_report, name)


@pytest.mark.parametrize("name", NAMES)
def test_local_engine_without_control_groups(bare_report: ConformanceReport, name: str) -> None:
    assert "" == failure(bare_report, name)


@pytest.mark.parametrize("name", NAMES)
def test_local_engine_with_a_hidden_folder(hidden_report: ConformanceReport, name: str) -> None:
    assert "" == failure(hidden_report, name)


@pytest.mark.parametrize("name", NAMES)
def test_fake_engine(fake_report: ConformanceReport, name: str) -> None:
    assert "" == failure(fake_report, name)


def test_what_is_claimed_is_known(
    local_report: ConformanceReport, bare_report: ConformanceReport, fake_report: ConformanceReport
) -> None:
    assert local_report.capabilities >= LOCAL_ALWAYS
    assert LOCAL_ALWAYS | {"memory-rlimit"} == bare_report.capabilities
    for report in (local_report, bare_report, fake_report):
        assert set(report.capabilities) <= set(CAPABILITIES)


def test_a_driver_that_breaks_a_promise_fails(tmp_path: Path) -> None:
    def deaf(folder: Path) -> Driver:
        return Deaf(7, lambda: time.time_ns() // 1_000_000)

    report = run_conformance(deaf, tmp_path, scale=60, only=["cancel at once", "success"])
    assert not report.passed
    assert ["success"] == [result.name for result in report.results if not result.failure]
