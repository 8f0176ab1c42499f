"""What podman is to this agent: whether it works here, and what it still keeps of attempts that are forgotten."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from weir.engines.local.podman import (
    Podman,
    container_name,
    image_problem,
    info_command,
    listed_command,
    parse_info,
    podman_environment,
    reason_of,
    remove_command,
)
from weir.engines.local.settings import Settings
from weir.engines.local.tracked import Tracked
from weir.model.agent import Work
from weir.model.problem import refused

__all__ = ["Containers", "find_podman", "most_processes"]

_ANSWER_S = 60.0
_REMOVED_AT_ONCE = 200
_MARK = "containers"
"""A file in the agent's folder from the first container on."""

_found: dict[tuple[str, int, int], Podman] = {}
"""What was found of a program, by its path, its time and the user; asking it takes as long as starting an agent."""


def find_podman(program: str, environment: Mapping[str, str], *, limits: bool) -> Podman | str:
    """The podman that works here; or, in one sentence, why none does. With `limits` it must hold a container to its
    memory."""
    path = shutil.which(program, path=environment.get("PATH", os.defpath))
    if path is None:
        return f"there is no program {program} here"
    path = os.path.abspath(path)
    key = (path, os.stat(path).st_mtime_ns, os.geteuid())
    if key not in _found:
        found = _asked(path, environment)
        if isinstance(found, str):
            return found
        _found[key] = found
    podman = _found[key]
    if limits and not podman.limits:
        return f"{path} holds no container to its memory: the control groups are not this user's to set"
    return podman


def most_processes() -> int:
    """The machine's `kernel.pid_max`."""
    return int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))


class Containers:
    """The containers of one agent's folder, from the driver's side. What podman refuses is tried again later."""

    def __init__(self, folder: Path) -> None:
        self._mark = folder / _MARK
        self._podman: Podman | None = None
        self._why = ""
        self._label = ""
        self._environment: Mapping[str, str] = {}
        self._removing: subprocess.Popen[bytes] | None = None
        self._waiting: dict[str, None] = {}

    def find(self, settings: Settings, label: str, environment: Mapping[str, str]) -> Podman | None:
        """The podman that runs images here from now on, if any does. Raises ProblemError where one must."""
        found: Podman | str = "its option containers is off"
        if settings.containers != "off":
            found = find_podman(settings.podman, environment, limits=settings.limits != "off")
        if isinstance(found, Podman):
            self._podman, self._label, self._environment = found, label, podman_environment(environment)
            self._why = ""
            return found
        if settings.containers == "required":
            raise refused("engine.options.containers", "required", f"mend this or give auto: {found}")
        # What an earlier one runs is ended and removed by it all the same.
        self._why = found
        return None

    def refusal_of(self, work: Work, devices: Sequence[str]) -> str:
        """Why this cannot run in its image; empty where it can, or asks for none. `devices` is the pool's option."""
        if not work.image:
            return ""
        if self._why:
            return f"image {work.image} is asked for, and this centre runs no container images: {self._why}"
        if work.devices_milli and not devices:
            return f"pool {work.pool} gives no device to a container: its option container_devices names none"
        return image_problem(work.image)

    def mark(self, work: Work) -> None:
        """Put down that there may be containers from now on, where there may. Raises OSError."""
        if work.image:
            self._mark.touch(mode=0o600)

    def end(self, tracked: Tracked, task: int) -> bool:
        """End and remove what a task's container still runs; False where podman did not."""
        if self._podman is None or not tracked.order.work.image:
            return True
        command = remove_command(self._podman.program, [container_name(tracked.order.attempt, task)])
        return self._run(command) is not None

    def forget(self, tracked: Tracked) -> None:
        """Remove an attempt's soon."""
        if tracked.launched:
            self._waiting.update(dict.fromkeys(_names(tracked)))
            self.sweep()

    def sweep(self) -> None:
        """Go on removing; never waits."""
        if self._removing is not None:
            if self._removing.poll() is None:
                return
            self._removing = None
        if not self._waiting or self._podman is None:
            return
        names = list(self._waiting)[:_REMOVED_AT_ONCE]
        for name in names:
            del self._waiting[name]
        with contextlib.suppress(OSError):  # then the next agent finds them
            self._removing = subprocess.Popen(
                remove_command(self._podman.program, names),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )

    def sweep_all_but(self, known: Iterable[Tracked]) -> None:
        """Remove those of attempts that are not known any more, as after a machine that went down in between."""
        if self._podman is not None and self._mark.exists():
            listed = self._run(listed_command(self._podman.program, self._label))
            kept = {name for tracked in known for name in _names(tracked)}
            self._waiting.update(dict.fromkeys(set((listed or "").split()) - kept))
            self.sweep()

    def close(self) -> None:
        """Remove the rest now."""
        while self._podman and (self._waiting or self._removing):
            if self._removing is not None:
                self._removing.wait()
            self.sweep()

    def _run(self, command: list[str]) -> str | None:
        try:
            done = subprocess.run(
                command, capture_output=True, env=self._environment, timeout=_ANSWER_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _names(tracked: Tracked) -> list[str]:
    if not tracked.order.work.image:
        return []
    return [container_name(tracked.order.attempt, task) for task in range(tracked.order.work.tasks)]


def _asked(path: str, environment: Mapping[str, str]) -> Podman | str:
    try:
        done = subprocess.run(
            info_command(path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=podman_environment(environment),
            timeout=_ANSWER_S,
            check=False,
        )
    except OSError as error:
        return f"{path} cannot be run: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"{path} did not answer within {_ANSWER_S:.0f} s"
    if done.returncode:
        return f"{path} does not work here: {reason_of(done.stderr.decode('utf-8', 'replace'))}"
    return parse_info(path, done.stdout.decode("utf-8", "replace"), os.geteuid(), os.getegid())
