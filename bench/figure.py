"""A measured figure, its accepted range, and the machine that it was measured on."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

ACCEPTED = Path(__file__).parent / "accepted.yaml"
_PACKAGES = ("fastapi", "numba", "numpy", "pydantic", "sqlalchemy", "uvicorn")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with its unit and how it came about in a few words."""

    name: str
    value: float
    unit: str
    how: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The aim as the issue states it, and the range outside of which `make bench` fails on any machine."""

    aim: str
    least: float | None
    most: float | None

    def holds(self, value: float) -> bool:
        """Whether the value lies in the accepted range."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


def accepted_ranges() -> dict[str, Accepted]:
    """The ranges kept beside the code, by figure. Every figure must have one."""
    rows = yaml.safe_load(ACCEPTED.read_text(encoding="utf-8"))
    return {name: Accepted(row["aim"], row.get("least"), row.get("most")) for name, row in rows.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1_000) * len(ordered) // 1_000) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle of the values."""
    return statistics.median(values)


def machine() -> dict[str, Any]:
    """What the figures were measured on and with."""
    model = "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
        model = next(
            (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
