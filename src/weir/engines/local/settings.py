"""Site options of the local engine, read and checked."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from weir.model.problem import refused

__all__ = ["Settings", "check_pool_options", "read_device_templates", "read_indexes"]

Isolation = Literal["auto", "required", "off"]
_Reader = Callable[[str, str], Any]
POOL_OPTIONS = frozenset({"device_ids", "core_ids", "container_devices"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How the engine runs things here."""

    private_root: str = ""
    """A folder of which tasks see nothing but their own attempt's work, such as a province's base folder."""
    isolation: Isolation = "auto"
    """Whether tasks get their own view of files: where it works, always (else refuse to run), or never."""
    cgroup: str = ""
    """A control group (version 2) that was handed to the agent; else its own is used where it can be
    written."""
    limits: Literal["auto", "off"] = "auto"
    """Whether control groups are used at all."""
    process_limit: int = 0
    """Processes and threads of one task, at most; 0 for any number."""
    pass_environment: tuple[str, ...] = ()
    """Variables of the agent's own environment that every task gets."""
    containers: Literal["auto", "required", "off"] = "auto"
    """Whether jobs may ask for a container image: where podman works (else the agent does not start), or never."""
    podman: str = "podman"
    """The program, looked for as a shell would."""
    pull_images: tuple[str, ...] = ()
    """Images that may be fetched from their registry: repositories, or what they begin with, ending with a slash; `*`
    for any. Every other image must have been loaded at the centre."""
    image_deadline_s: int = 600
    """How long fetching an image may take, before the attempt is given up."""

    @property
    def hidden(self) -> str:
        """The folder that tasks are not to see, empty for none."""
        return "" if self.isolation == "off" else self.private_root

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "Settings":
        """From a centre's engine options. Raises ProblemError naming the option."""
        unknown = sorted(set(options) - set(_READERS))
        if unknown:
            raise refused(
                f"engine.options.{unknown[0]}",
                options[unknown[0]],
                f"known are {', '.join(sorted(_READERS))}",
            )
        return cls(**{name: _READERS[name](name, value) for name, value in options.items()})


def check_pool_options(pool: str, options: Mapping[str, str]) -> None:
    """Raises ProblemError for an option of a pool that this engine does not know."""
    for name in sorted(set(options) - POOL_OPTIONS):
        known = ", ".join(sorted(POOL_OPTIONS))
        raise refused(f"pools.{pool}.options.{name}", options[name], f"known are {known}")


def read_indexes(field: str, text: str) -> tuple[int, ...]:
    """Indexes such as `0-3,8`, in the order given, each once. Raises ProblemError."""
    found: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            found.extend(range(int(first), int(last or first) + 1))
    except ValueError:
        found = []
    if not found or len(set(found)) != len(found) or min(found) < 0:
        raise refused(field, text, "give indexes such as 0-3,8, each once")
    return tuple(found)


def read_device_templates(field: str, text: str) -> tuple[str, ...]:
    """What `podman create --device` is given: CDI names or device files, with `{index}` for a device's own number.
    Raises ProblemError."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not any("{index}" in one for one in found):
        raise refused(field, text, "give CDI names or device files such as nvidia.com/gpu={index}")
    return found


def _folder(name: str, value: str) -> str:
    if not os.path.isabs(value) or os.path.normpath(value) == "/":
        raise refused(f"engine.options.{name}", value, "give the absolute path of a folder below /")
    return os.path.realpath(value)


def _choice(*accepted: str) -> _Reader:
    def read(name: str, value: str) -> str:
        if value not in accepted:
            raise refused(f"engine.options.{name}", value, f"give one of {', '.join(accepted)}")
        return value

    return read


def _positive(name: str, value: str) -> int:
    if not value.isdigit() or not int(value):
        raise refused(f"engine.options.{name}", value, "give a whole number from 1")
    return int(value)


def _program(name: str, value: str) -> str:
    if not value or ("/" in value and not os.path.isabs(value)):
        raise refused(f"engine.options.{name}", value, "give a program's name, or its absolute path")
    return value


def _names(name: str, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


_READERS: dict[str, _Reader] = {
    "private_root": _folder,
    "isolation": _choice("auto", "required", "off"),
    "cgroup": _folder,
    "limits": _choice("auto", "off"),
    "process_limit": _positive,
    "pass_environment": _names,
    "containers": _choice("auto", "required", "off"),
    "podman": _program,
    "pull_images": _names,
    "image_deadline_s": _positive,
}
