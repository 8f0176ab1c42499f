"""Site options of the Kubernetes engine and of its pools, read and checked."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weir.engines.courier.settings import DoorSettings, read_address, read_listen
from weir.engines.images import image_among
from weir.model.agent import PoolEntry
from weir.model.problem import refused

__all__ = ["POOL_LABEL", "PoolSettings", "Settings", "Toleration", "read_pool", "takes_image"]

POOL_LABEL = "weir.io/pool"
"""The label by which nodes belong to a pool whose entry names no other selector."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DOTTED_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_Reader = Callable[[str, str], Any]
_AGENT = "agent"
"""The value of `run_as` by which tasks run as the agent's own user."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that pods of a pool may be put beside. No value means any; no effect means every one."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What pods of one pool get. Every one of these may be given for the engine, and again for a pool."""

    image: str = ""
    """The container image that tasks run in; it needs a POSIX /bin/sh. Without one nothing is accepted."""
    images: tuple[str, ...] = ()
    """Images that a job may ask for itself: repositories, or what they begin with, ending with a slash; `*` for
    any. Without any a job that asks for an image has no place here."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the pool's nodes; without any `weir.io/pool` with the pool's id."""
    tolerations: tuple[Toleration, ...] = ()
    device_resource: str = ""
    """The device plugin's resource; without one that of the catalogue."""
    kueue_queue: str = ""
    """The LocalQueue of Kueue by which Jobs are admitted: they are made suspended, and Kueue starts them."""
    volcano_queue: str = ""
    """The queue of Volcano, which then places the pods, a gang all at once."""
    priority_class: str = ""
    runtime_class: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the engine reaches the cluster, and what all of its Jobs have in common."""

    kubeconfig: Path | None = None
    """A kubeconfig on the agent's machine; else `kubeconfig` in the agent's folder; else the pod's own."""
    context: str = ""
    """Which of the kubeconfig's contexts; by default its current one."""
    namespace: str = ""
    """Where Jobs live; by default the context's, or the pod's own."""
    owner: str = "weir"
    """Tells the Jobs of this agent from those of another one in the same namespace."""
    shared_root: Path | None = None
    """The folder of the agent's machine that nodes see too; every attempt's folder must lie below it."""
    shared_claim: str = ""
    """The PersistentVolumeClaim that is that folder."""
    shared_host_path: str = ""
    """Or the path that it has on every node."""
    agent_address: tuple[str, int] | None = None
    """Without a shared folder: the host and port at which pods reach the agent, to fetch inputs and hand over
    outputs."""
    agent_listen: str = ""
    """The one address of the agent's machine that it listens on for them; by default every one."""
    run_as: tuple[int, int] | None = None
    """User and group that tasks run as; with a shared folder the agent's own unless given."""
    as_agent: bool = False
    """Whether it was said openly that tasks run as the agent's own user, which may be root."""
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    image_deadline_s: int = 600
    """How long an image may fail to be pulled, or a container to be made, before the attempt is given up."""
    unschedulable_deadline_s: int = 86_400
    """How long a pod may find no node before the attempt is given up; 0 for ever."""
    foreign: bool = True
    """Whether pods of others are read, cluster-wide, to tell what they leave."""
    defaults: PoolSettings = PoolSettings()

    @property
    def shared(self) -> bool:
        """Whether attempts' folders are seen by the nodes."""
        return self.shared_root is not None

    @property
    def door(self) -> DoorSettings | None:
        """Where pods come for their files; None where they see them, or there is no way."""
        return DoorSettings(*self.agent_address, self.agent_listen) if self.agent_address else None

    @property
    def task_uid(self) -> int:
        """Whose the files with tasks' output are: without a shared folder they are the agent's own copies."""
        return self.run_as[0] if self.shared and self.run_as is not None else os.geteuid()

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "Settings":
        """From a centre's engine options. Raises ProblemError naming the option."""
        known = {**_READERS, **_POOL_READERS}
        found = _read_all("engine.options", options, known)
        pool = {name: found.pop(name) for name in list(found) if name in _POOL_READERS}
        as_agent = options.get("run_as") == _AGENT
        settings = cls(**found, as_agent=as_agent, defaults=PoolSettings(**pool))
        targets = [name for name in ("shared_claim", "shared_host_path") if getattr(settings, name)]
        if settings.shared and len(targets) != 1:
            raise refused(
                "engine.options.shared_root",
                settings.shared_root,
                "with it give either shared_claim or shared_host_path",
            )
        if targets and not settings.shared:
            raise refused(
                f"engine.options.{targets[0]}",
                options[targets[0]],
                "with it give shared_root, the same folder here",
            )
        if settings.agent_address and settings.shared:
            accepted = "leave it out where shared_root is given: pods see the files themselves"
            raise refused("engine.options.agent_address", options["agent_address"], accepted)
        if settings.agent_listen and not settings.agent_address:
            raise refused("engine.options.agent_listen", settings.agent_listen, "with it give agent_address")
        _check_queues("engine.options", settings.defaults)
        return settings


def takes_image(pool: PoolSettings, image: str) -> bool:
    """Whether a job may ask for this image in the pool."""
    return image_among(pool.images, image)


def read_pool(entry: PoolEntry, defaults: PoolSettings) -> PoolSettings:
    """The settings of one pool: its own options over the engine's. Raises ProblemError naming the option."""
    where = f"pools.{entry.id}.options"
    found = _read_all(where, entry.options, _POOL_READERS)
    # A pool's own queue replaces the engine's, of whichever kind that is.
    if "kueue_queue" in found or "volcano_queue" in found:
        found = {"kueue_queue": "", "volcano_queue": "", **found}
    values = {name: getattr(defaults, name) for name in _POOL_READERS} | found
    values["node_selector"] = values["node_selector"] or {POOL_LABEL: entry.id}
    settings = PoolSettings(**values)
    _check_queues(where, settings)
    return settings


def _check_queues(where: str, settings: PoolSettings) -> None:
    if settings.kueue_queue and settings.volcano_queue:
        raise refused(f"{where}.volcano_queue", settings.volcano_queue, "give it or kueue_queue, not both")


def _read_all(where: str, options: Mapping[str, str], known: Mapping[str, _Reader]) -> dict[str, Any]:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise refused(f"{where}.{unknown[0]}", options[unknown[0]], f"known are {', '.join(sorted(known))}")
    return {name: known[name](f"{where}.{name}", value) for name, value in options.items()}


def _matching(pattern: re.Pattern[str], what: str) -> _Reader:
    def read(field_name: str, value: str) -> str:
        if not pattern.fullmatch(value):
            raise refused(field_name, value, f"give {what}")
        return value

    return read


def _path(field_name: str, value: str) -> Path:
    if not Path(value).is_absolute() or os.path.normpath(value) == "/":
        raise refused(field_name, value, "give an absolute path below /")
    return Path(os.path.normpath(value))


def _path_text(field_name: str, value: str) -> str:
    return os.fspath(_path(field_name, value))


def _seconds(field_name: str, value: str) -> int:
    if not value.isdigit():
        raise refused(field_name, value, "give a whole number of seconds")
    return int(value)


def _yes_or_no(field_name: str, value: str) -> bool:
    if value not in ("yes", "no"):
        raise refused(field_name, value, "give yes or no")
    return value == "yes"


def _user(field_name: str, value: str) -> tuple[int, int] | None:
    if value == _AGENT:
        return None
    user, _, group = value.partition(":")
    if not user.isdigit() or not group.isdigit():
        raise refused(field_name, value, "give two numbers, such as 1000:1000, or agent")
    if int(user) == 0:
        raise refused(field_name, value, "give the user and group of tasks, such as 1000:1000; never root")
    return int(user), int(group)


def _names(field_name: str, value: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in value.split(",") if part.strip())
    for name in names:
        if not _DOTTED_NAME.fullmatch(name):
            raise refused(field_name, name, "give names of Kubernetes objects, with commas between")
    return names


def _labels(field_name: str, value: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in value.split(","):
        key, equals, label = part.strip().partition("=")
        if not equals or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(label):
            raise refused(field_name, part, "give labels such as gpu.model=a100,zone=b")
        found[key] = label
    return found


def _tolerations(field_name: str, value: str) -> tuple[Toleration, ...]:
    found = []
    for part in value.split(","):
        taint, _, effect = part.strip().partition(":")
        key, _, wanted = taint.partition("=")
        if not _LABEL_KEY.fullmatch(key) or (effect and effect not in _EFFECTS):
            raise refused(field_name, part, "give taints such as dedicated=weir:NoSchedule or dedicated")
        found.append(Toleration(key, wanted, effect))
    return tuple(found)


def _image(field_name: str, value: str) -> str:
    if not value or any(character.isspace() for character in value):
        raise refused(field_name, value, "give an image such as registry.example.org/base:1")
    return value


_object = _matching(_DOTTED_NAME, "the name of a Kubernetes object")
_READERS: dict[str, _Reader] = {
    "kubeconfig": _path,
    "context": lambda _, value: value,
    "namespace": _matching(_NAME, "the name of a namespace"),
    "owner": _matching(_NAME, "a short name of letters, digits and hyphens"),
    "shared_root": _path,
    "shared_claim": _object,
    "shared_host_path": _path_text,
    "agent_address": read_address,
    "agent_listen": read_listen,
    "run_as": _user,
    "service_account": _object,
    "pull_secrets": _names,
    "image_deadline_s": _seconds,
    "unschedulable_deadline_s": _seconds,
    "foreign": _yes_or_no,
}
_POOL_READERS: dict[str, _Reader] = {
    "image": _image,
    "images": lambda name, value: tuple(_image(name, part.strip()) for part in value.split(",")),
    "node_selector": _labels,
    "tolerations": _tolerations,
    "device_resource": _matching(_LABEL_KEY, "a resource name such as nvidia.com/gpu"),
    "kueue_queue": _object,
    "volcano_queue": _object,
    "priority_class": _object,
    "runtime_class": _object,
}
