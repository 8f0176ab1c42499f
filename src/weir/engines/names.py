"""Drivers by name."""

from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from weir.engines.driver import Driver
from weir.model.problem import refused

__all__ = ["GROUP", "DriverFactory", "driver_names", "load_driver"]

DriverFactory = Callable[[Path], Driver]
"""Makes a driver for an agent's folder; `attach` comes next."""

GROUP = "weir.engines"
"""The entry point group under which an installed package may bring further drivers: name = "module:Class"."""

_OWN = {
    "kubernetes": ("weir.engines.kubernetes.driver", "KubernetesDriver"),
    "local": ("weir.engines.local.driver", "LocalDriver"),
    "ray": ("weir.engines.ray.driver", "RayDriver"),
    "slurm": ("weir.engines.slurm.driver", "SlurmDriver"),
}
"""Weir's own need no entry point, so that they are there in an archive too; nobody can replace them."""


def driver_names() -> list[str]:
    """The names that `load_driver` accepts here."""
    found = {name for name, (module, _) in _OWN.items() if _exists(module)}
    return sorted(found | {point.name for point in metadata.entry_points(group=GROUP)})


def load_driver(name: str) -> DriverFactory:
    """The factory of the driver with this name. Raises ProblemError listing the names that exist."""
    known = driver_names()
    if name in _OWN:
        module, driver = _OWN[name]
        if name not in known:
            accepted = f"not supported yet; known are {', '.join(known)}"
            raise refused("engine.driver", name, accepted, kind="not-supported-yet")
        return cast(DriverFactory, getattr(import_module(module), driver))
    for point in metadata.entry_points(group=GROUP, name=name):
        return cast(DriverFactory, point.load())
    raise refused("engine.driver", name, f"known are {', '.join(known)}")


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
