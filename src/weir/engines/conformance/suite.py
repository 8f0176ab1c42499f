"""Running the suite."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from weir.engines.conformance import gangs, repeating, running, stopping
from weir.engines.conformance.stage import Stage, stage_pools
from weir.engines.driver import Driver

__all__ = ["CASES", "CaseResult", "ConformanceReport", "run_conformance"]

CASES = (*running.CASES, *stopping.CASES, *gangs.CASES, *repeating.CASES)
"""Every case, in the order in which they are played."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How one case went. `lacking` names capabilities that it needs and the driver does not claim."""

    name: str
    lacking: frozenset[str]
    failure: str
    took_s: float


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """What the suite found. `passed` only where no case failed."""

    capabilities: frozenset[str]
    results: tuple[CaseResult, ...]

    @property
    def passed(self) -> bool:
        return not any(result.failure for result in self.results)

    def __str__(self) -> str:
        lines = []
        for result in self.results:
            verdict = "failed" if result.failure else "not claimed" if result.lacking else "passed"
            lines.append(f"{verdict:12} {result.took_s:6.2f}s  {result.name}")
            lines.extend(f"    {line}" for line in result.failure.splitlines())
        return "\n".join(lines)


def run_conformance(
    make_driver: Callable[[Path], Driver],
    folder: Path,
    scale: float = 1.0,
    only: Iterable[str] | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
) -> ConformanceReport:
    """Play every case (or those named in `only`) that the driver's capabilities allow.

    `make_driver` makes a driver for an agent's folder, and can be imported by its module and name; `folder`
    is that folder, empty. `scale` 1 means a hundred attempts at once and half a minute of patience; an
    engine that is slow to start things takes less of the one and so more of the other. `options` are the
    engine's.
    """
    wanted = None if only is None else set(only)
    driver = make_driver(folder)
    driver.attach(stage_pools(), options)
    stage = Stage(driver, folder, make_driver, options, 30.0 / scale, max(1, round(100 * scale)))
    capabilities = driver.capabilities
    results = []
    try:
        for case in CASES:
            if wanted is not None and case.name not in wanted:
                continue
            lacking = case.needs - capabilities
            began = time.monotonic()
            failure = "" if lacking else _play(case.play, stage)
            results.append(CaseResult(case.name, lacking, failure, time.monotonic() - began))
    finally:
        stage.driver.close()
    return ConformanceReport(capabilities, tuple(results))


def _play(play: Callable[[Stage], None], stage: Stage) -> str:
    failure = ""
    try:
        play(stage)
    except Exception:  # noqa: BLE001 (whatever a driver raises is its failure, and the next case is played)
        failure = traceback.format_exc()
    try:
        stage.clear()
    except Exception:  # noqa: BLE001 (likewise)
        failure += traceback.format_exc()
    return failure
