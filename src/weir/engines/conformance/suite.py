"""Running the suite."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from weir.engines.conformance import (
    arrays,
    containers,
    deaths,
    gangs,
    outages,
    pools,
    repeating,
    running,
    stopping,
)
from weir.engines.conformance.provocations import NO_PROVOCATIONS, Provocations
from weir.engines.conformance.report import CaseResult, ConformanceReport
from weir.engines.conformance.stage import FULL, WIDE, Case, Scale, Stage, stage_pools
from weir.engines.driver import Driver
from weir.model.agent import PoolEntry

__all__ = ["CASES", "run_conformance"]

CASES: tuple[Case, ...] = (
    *pools.CASES,
    *running.CASES,
    *deaths.CASES,
    *stopping.CASES,
    *gangs.CASES,
    *arrays.CASES,
    *containers.CASES,
    *repeating.CASES,
    *outages.CASES,
)
"""Every case, in the order in which they are played."""

_DEVICES, _NODES = 4, 2
"""What cases about devices and gangs ask of WIDE."""


def run_conformance(
    make_driver: Callable[[Path], Driver],
    folder: Path,
    *,
    scale: Scale = FULL,
    only: Iterable[str] | None = None,
    options: Mapping[str, str] = MappingProxyType({}),
    pools: tuple[PoolEntry, ...] | None = None,
    provocations: Provocations = NO_PROVOCATIONS,
    device_variable: str = "CUDA_VISIBLE_DEVICES",
    image: str = "",
    heard: Callable[[CaseResult], object] = lambda result: None,
) -> ConformanceReport:
    """Play every case (or those named in `only`) that the driver's capabilities and the provocations allow.

    `make_driver` makes a driver for an agent's folder, and can be imported by its module and name; `folder`
    is that folder, empty. `options` are the engine's. `pools` are WIDE and NARROW as they are at this engine
    (see `Stage`), and `image` is one to try there. `heard` is told of each result as it comes. Whatever a driver
    does, the report comes; only what making and attaching it raises is passed on.
    """
    wanted = None if only is None else set(only)
    driver = make_driver(folder)
    stage = Stage(
        driver,
        folder,
        make_driver,
        options,
        scale,
        stage_pools() if pools is None else pools,
        provocations,
        device_variable,
        image,
    )
    stage.attach()
    capabilities = driver.capabilities
    results = []
    try:
        for case in CASES:
            if wanted is not None and case.name not in wanted:
                continue
            lacking = case.needs - capabilities
            missing = frozenset(name for name in case.provokes if getattr(provocations, name) is None)
            missing |= _too_small(case, stage.pool(WIDE))
            if "containers" in case.needs and not image:
                missing |= {"a container image to try"}
            began = time.monotonic()
            failure = "" if lacking or missing else _play(case.play, stage)
            results.append(CaseResult(case.name, lacking, missing, failure, time.monotonic() - began))
            heard(results[-1])
    finally:
        stage.driver.close()
    return ConformanceReport(capabilities, tuple(results))


def _too_small(case: Case, wide: PoolEntry) -> frozenset[str]:
    """What the case would need of the pool and it has not."""
    missing = set()
    if case.needs & {"devices", "shares"} and wide.devices_per_node < _DEVICES:
        missing.add(f"{_DEVICES} devices on a node")
    if case.needs & {"gang", "cpu-affinity"} and wide.nodes < _NODES:
        missing.add(f"{_NODES} nodes")
    return frozenset(missing)


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
