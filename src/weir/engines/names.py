"""Drivers by name."""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import cast

from weir.engines.driver import Driver
from weir.model.problem import refused

DriverFactory = Callable[[Path], Driver]
"""Makes a driver for an agent's folder; `attach` comes next."""

GROUP = "weir.engines"
"""The entry point group under which an installed package may bring further drivers."""

PLANNED = ("slurm", "kubernetes", "ray")


def driver_names() -> list[str]:
    """The names that `load_driver` accepts here."""
    return sorted({"local", *(point.name for point in metadata.entry_points(group=GROUP))})


def load_driver(name: str) -> DriverFactory:
    """The factory of the driver with this name. Raises ProblemError listing the names that exist."""
    if name == "local":
        from weir.engines.local.driver import LocalDriver

        return LocalDriver
    for point in metadata.entry_points(group=GROUP, name=name):
        return cast(DriverFactory, point.load())
    known = ", ".join(driver_names())
    if name in PLANNED:
        raise refused(
            "engine.driver", name, f"not supported yet; known are {known}", kind="not-supported-yet"
        )
    raise refused("engine.driver", name, f"known are {known}")
