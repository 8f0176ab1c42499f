"""Site options of a Slurm centre, read and checked: typed, named, and never a piece of somebody's command line."""

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from weir.engines.courier.settings import DoorSettings, read_address, read_listen
from weir.engines.slurm.users import SHARED
from weir.model.agent import PoolEntry
from weir.model.job_rules import JOB_OPTIONS
from weir.model.problem import refused

__all__ = ["PoolSettings", "Settings", "chosen"]

_Reader = Callable[[str, str], Any]


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What a pool is in Slurm. Every option may stand at the centre for all pools, and at a pool for itself."""

    partition: str = ""
    """Default: named like the pool."""
    account: str = ""
    qos: str = ""
    constraint: str = ""
    """Features that nodes must have, in Slurm's own form (`a100&nvlink`)."""
    licenses: str = ""
    reservation: str = ""
    gres: str = "gpu"
    """The generic resource that is a device of the pool: `gpu`, or with its type `gpu:ascend910b`."""
    waiting: int = 0
    """So many of Weir's elements may wait in the partition at a time; 0 for any number."""

    @property
    def gres_name(self) -> str:
        return self.gres.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Settings:
    """How the agent speaks with the cluster."""

    rest: str = ""
    """slurmrestd: `unix:/run/slurmrestd.sock` or `http://host:6820`; empty to use Slurm's commands."""
    token_file: str = ""
    """A JWT for slurmrestd, readable by its owner alone; read again when it has expired."""
    token_user: str = ""
    """Who the token is for; by default the one named in it."""
    reads: Literal["rest", "commands"] = "rest"
    """Where slurmrestd takes orders: whether it is asked for states too, or `squeue`, which is many times
    cheaper for thousands of jobs."""
    ssh: str = ""
    """Run Slurm's commands on this host."""
    ssh_config: str = ""
    commands: str = ""
    """The folder of Slurm's commands; by default they are looked for on the PATH."""
    conf: str = ""
    """SLURM_CONF for the commands."""
    python: str = "python3"
    """The Python (3.6 or newer) of the compute nodes."""
    users: str = ""
    """The file that maps accounts to local users; `one` to run everybody's work as the agent's own user."""
    folder: Literal["shared", "agent"] = "shared"
    """Whether the attempts' folders lie on a file system that the compute nodes see under the same path, or nodes
    come to the agent for their files."""
    agent_address: tuple[str, int] | None = None
    """For the latter, the host and port at which compute nodes reach the agent."""
    agent_listen: str = ""
    """The one address of the agent's machine that it listens on for them; by default every one."""
    node_folder: str = "/tmp"  # noqa: S108 (the default of a node's own disk; folders in it are made anew, mode 700)
    """Where nodes then keep an attempt's files while it runs."""
    kills_all: Literal["yes", "no"] = "no"
    """Whether slurm.conf has `ProctrackType=proctrack/cgroup`; asked where Slurm's commands are used."""
    limits_memory: Literal["yes", "no"] = "no"
    """Whether it has `TaskPlugin=task/cgroup` with `ConstrainRAMSpace=yes`; likewise."""
    least_poll_ms: int = 1_000
    most_poll_ms: int = 15_000
    look_ms: int = 1_000
    """How often what runs looks whether it was told to stop."""
    pools: Mapping[str, PoolSettings] = PoolSettings  # type: ignore[assignment]  # always given by `read`

    @property
    def door(self) -> DoorSettings | None:
        """Where nodes come for their files; None where they see them."""
        return DoorSettings(*self.agent_address, self.agent_listen) if self.agent_address else None

    @classmethod
    def read(cls, entries: tuple[PoolEntry, ...], options: Mapping[str, str]) -> "Settings":
        """From a centre's engine options and its pools'. Raises ProblemError naming the option."""
        where = "engine.options"
        unknown = sorted(set(options) - set(_READERS) - set(_POOL_READERS))
        if unknown:
            known = ", ".join(sorted({*_READERS, *_POOL_READERS}))
            raise refused(f"{where}.{unknown[0]}", options[unknown[0]], f"known are {known}")
        found = {
            name: _READERS[name](f"{where}.{name}", value)
            for name, value in options.items()
            if name in _READERS
        }
        of_all = {
            name: _POOL_READERS[name](f"{where}.{name}", value)
            for name, value in options.items()
            if name in _POOL_READERS
        }
        settings = cls(**found, pools={entry.id: _pool(entry, of_all) for entry in entries})
        settings._check()
        return settings

    def _check(self) -> None:
        where = "engine.options"
        if not self.users:
            accepted = (
                "give the path of a file that maps accounts to local users, or `one` to run everybody's work "
                "as the agent's own user"
            )
            raise refused(f"{where}.users", "", accepted)
        if self.rest and not self.token_file:
            raise refused(f"{where}.token_file", "", "give the path of a JWT's file: slurmrestd asks for it")
        if not self.rest and self.reads != "rest":
            raise refused(f"{where}.reads", self.reads, "leave it out where no slurmrestd is used")
        if self.rest and self.ssh and self.reads != "commands":
            raise refused(f"{where}.ssh", self.ssh, "leave it out where slurmrestd is used for everything")
        if self.folder == "agent" and self.agent_address is None:
            raise refused(
                f"{where}.agent_address", "", "give the host and port at which compute nodes reach the agent"
            )
        if self.folder == "shared" and (self.agent_address or self.agent_listen):
            raise refused(
                f"{where}.folder", self.folder, "give agent where nodes are to come to the agent's address"
            )
        if self.most_poll_ms < self.least_poll_ms:
            raise refused(f"{where}.most_poll_ms", self.most_poll_ms, f"at least {self.least_poll_ms}")


def chosen(pool: PoolSettings, options: Mapping[str, str]) -> PoolSettings:
    """The pool's settings with what a job chose in their place. Raises ProblemError naming the option."""
    known = {name: reader for name, reader in _POOL_READERS.items() if name in JOB_OPTIONS}
    found = {}
    for name, value in options.items():
        if name not in known:
            raise refused(f"options.{name}", value, f"a job may choose {', '.join(known)}")
        found[name] = known[name](f"options.{name}", value)
    return replace(pool, **found)


def _pool(entry: PoolEntry, of_all: Mapping[str, Any]) -> PoolSettings:
    where = f"pools.{entry.id}.options"
    for name in sorted(set(entry.options) - set(_POOL_READERS)):
        known = ", ".join(sorted(_POOL_READERS))
        raise refused(f"{where}.{name}", entry.options[name], f"known are {known}")
    own = {name: _POOL_READERS[name](f"{where}.{name}", value) for name, value in entry.options.items()}
    return PoolSettings(**{"partition": entry.id, **of_all, **own})


def _matching(pattern: str, accepted: str) -> _Reader:
    compiled = re.compile(pattern)

    def read(field: str, value: str) -> str:
        if not compiled.fullmatch(value):
            raise refused(field, value, accepted)
        return value

    return read


def _choice(*accepted: str) -> _Reader:
    def read(field: str, value: str) -> str:
        if value not in accepted:
            raise refused(field, value, f"give one of {', '.join(accepted)}")
        return value

    return read


def _number(least: int, most: int) -> _Reader:
    def read(field: str, value: str) -> int:
        if not value.isdecimal() or not least <= int(value) <= most:
            raise refused(field, value, f"give a whole number from {least} to {most}")
        return int(value)

    return read


def _path(field: str, value: str) -> str:
    if not value.startswith("/") or "\0" in value or "\n" in value or posixpath.normpath(value) != value:
        raise refused(field, value, "give an absolute path, in its plain form")
    return value


def _users(field: str, value: str) -> str:
    return value if value == SHARED else _path(field, value)


_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}"
"""A name never begins with a hyphen, and holds nothing that Slurm or a shell takes for more than a name."""
_name = _matching(_NAME, "give a name of letters, digits and _ . + -, not beginning with a sign")

_POOL_READERS: dict[str, _Reader] = {
    "partition": _name,
    "account": _name,
    "qos": _name,
    "constraint": _matching(
        r"[A-Za-z0-9_\[(][A-Za-z0-9_.&|*()\[\]-]{0,255}", "give features such as a100 or a100&nvlink"
    ),
    "licenses": _matching(
        rf"{_NAME}(@{_NAME})?(:\d+)?(,{_NAME}(@{_NAME})?(:\d+)?)*", "give licences such as fluent:2,matlab"
    ),
    "reservation": _name,
    "gres": _matching(
        r"[A-Za-z0-9_]+(:[A-Za-z0-9_.-]+)?", "give a name or name:type, such as gpu:ascend910b"
    ),
    "waiting": _number(0, 1_000_000),
}

_READERS: dict[str, _Reader] = {
    "rest": _matching(
        r"unix:/[^\s\0]+|http://[A-Za-z0-9.\[\]:-]+", "give unix:/path/of/the/socket or http://host:port"
    ),
    "token_file": _path,
    "token_user": _name,
    "reads": _choice("rest", "commands"),
    "ssh": _matching(rf"({_NAME}@)?[A-Za-z0-9][A-Za-z0-9.-]*", "give host or user@host"),
    "ssh_config": _path,
    "commands": _path,
    "conf": _path,
    "python": _matching(r"[A-Za-z0-9_/][A-Za-z0-9_./+-]*", "give the name or absolute path of a Python"),
    "users": _users,
    "folder": _choice("shared", "agent"),
    "agent_address": read_address,
    "agent_listen": read_listen,
    "node_folder": _path,
    "kills_all": _choice("yes", "no"),
    "limits_memory": _choice("yes", "no"),
    "least_poll_ms": _number(50, 15_000),
    "most_poll_ms": _number(50, 600_000),
    "look_ms": _number(20, 60_000),
}
