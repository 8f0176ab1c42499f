"""Site options of a Ray cluster and its pools, read and checked."""

import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from weir.model.agent import PoolEntry
from weir.model.problem import refused

__all__ = ["NATIVE_DEVICES", "PoolSettings", "Settings"]

NATIVE_DEVICES = frozenset({"GPU", "NPU", "HPU", "TPU", "RBLN", "FURIOSA", "MBLT", "neuron_cores"})
"""Resources of which Ray itself says which ones a job was given, by the stack's own variable (2.60)."""

_RESOURCE = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,62}")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a cluster is reached, and how things run on its nodes."""

    address: str
    """Of the dashboard, such as `http://head:8265`."""
    token_file: str = ""
    """A file of the agent's machine with the bearer token that the dashboard asks for, where it does."""
    python: str = "python3"
    """On the nodes; Python 3.10 or newer."""
    limits: Literal["auto", "required", "off"] = "auto"
    """Whether the nodes limit memory by control groups: where they can, always (else a job fails), or never."""
    poll_s: float = 1.0
    """How often Ray is asked for the state of its jobs, while any of Weir's is live."""
    work_root: str = ""
    """The folder of the attempts, shared with the nodes; by default in the agent's folder. The agent says it."""
    pass_environment: tuple[str, ...] = ()
    """Variables of the nodes' own environment that every task gets, besides those of Ray."""

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "Settings":
        """From a centre's engine options. Raises ProblemError naming the option."""
        for name in sorted(set(options) - set(_READERS)):
            raise refused(f"engine.options.{name}", options[name], f"known are {', '.join(sorted(_READERS))}")
        if "address" not in options:
            accepted = "give the address of Ray's dashboard, such as http://head:8265"
            raise refused("engine.options.address", None, accepted)
        found = {_NAMES.get(name, name): _READERS[name](name, value) for name, value in options.items()}
        return cls(**found)


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Which nodes of the cluster are a pool, and what its devices are called there."""

    device_resource: str
    node_resource: str = ""
    """A custom resource that exactly the nodes of this pool have; empty for all nodes."""

    @classmethod
    def read(cls, entry: PoolEntry) -> "PoolSettings":
        """From a pool's options. Raises ProblemError naming the option."""
        found = {}
        for name, value in entry.options.items():
            field = f"pools.{entry.id}.options.{name}"
            if name not in ("device_resource", "node_resource"):
                raise refused(field, value, "known are device_resource, node_resource")
            if not _RESOURCE.fullmatch(value):
                raise refused(field, value, "give the name of a resource of Ray's nodes")
            found[name] = value
        return cls(found.get("device_resource", "GPU"), found.get("node_resource", ""))


def _address(name: str, value: str) -> str:
    parts = urllib.parse.urlsplit(value)
    bare = not (parts.query or parts.fragment or parts.username)
    try:
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and bare and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise refused(f"engine.options.{name}", value, "give an address such as http://head:8265")
    return value.rstrip("/")


def _path(name: str, value: str) -> str:
    if not value.startswith("/"):
        raise refused(f"engine.options.{name}", value, "give an absolute path")
    return value


def _word(name: str, value: str) -> str:
    if not value or any(character.isspace() for character in value):
        raise refused(f"engine.options.{name}", value, "give the name or path of a program")
    return value


def _limits(name: str, value: str) -> str:
    if value not in ("auto", "required", "off"):
        raise refused(f"engine.options.{name}", value, "give one of auto, required, off")
    return value


def _seconds(name: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = 0.0
    if not 0.1 <= found <= 60:
        raise refused(f"engine.options.{name}", value, "give seconds from 0.1 to 60")
    return found


def _names(name: str, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


_READERS: dict[str, Callable[[str, str], Any]] = {
    "address": _address,
    "token_file": _path,
    "work_root": _path,
    "python": _word,
    "limits": _limits,
    "poll": _seconds,
    "pass_environment": _names,
}
_NAMES = {"poll": "poll_s"}
