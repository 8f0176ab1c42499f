"""Podman's command lines, and what its answers say. Pure.

Sources: the manual pages podman-create(1), podman-init(1), podman-start(1), podman-inspect(1) and podman-info(1),
versions 4.3 to 5.x; what they leave open was seen with podman 4.3.1.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = [
    "FOLDER_LABEL",
    "Ended",
    "Podman",
    "container_name",
    "create_command",
    "device_arguments",
    "image_problem",
    "info_command",
    "listed_command",
    "parse_info",
    "parse_state",
    "podman_environment",
    "reason_of",
    "remove_command",
    "start_failure",
]

FOLDER_LABEL = "weir.folder"
_ATTEMPT_LABEL, _TASK_LABEL = "weir.attempt", "weir.task"
# Podman's own: where it keeps its images and finds its settings, never anything of a job's.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "REGISTRY_AUTH_FILE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
_SIGNALS_FROM, _SIGNALS_TO = 128, 128 + 64
_REASON_CHARACTERS = 160
_UNHEARD = "no logs from conmon"
_IMAGE = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/)?"  # the registry
    r"[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"  # the repository
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]{64})?"
)
_TRANSPORTS = (
    "containers-storage",
    "dir",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "sif",
    "tarball",
)
"""What podman takes for places of this machine, by containers-transports(5)."""


class Podman(NamedTuple):
    """A podman that works here. `limits` is whether it holds containers to memory and numbers of processes,
    `cpusets` whether it binds them to cores. `user` and `group` are the agent's, as which tasks run."""

    program: str
    rootless: bool
    limits: bool
    cpusets: bool
    user: int
    group: int


class Ended(NamedTuple):
    """How a container's command ended: by itself with a code, or by a signal."""

    code: int | None
    signal: int | None
    out_of_memory: bool


def podman_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What of the agent's environment podman itself runs with."""
    return {name: own[name] for name in _ENVIRONMENT if name in own}


def info_command(program: str) -> list[str]:
    return [program, "info", "--format", "json"]


def parse_info(program: str, text: str, user: int, group: int) -> Podman | str:
    """What `podman info` says of itself; or, in one sentence, why containers cannot run by it."""
    try:
        host = json.loads(text)["host"]
        remote, security = host.get("serviceIsRemote", False), host["security"]
        rootless, controllers = bool(security["rootless"]), set(host.get("cgroupControllers") or ())
        runtime = host["ociRuntime"]["name"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{program} says of itself what cannot be read"
    if remote:
        return f"{program} only speaks to a podman elsewhere, and tasks run on this machine"
    if not runtime:
        return f"{program} has no runtime such as crun or runc"
    limits = {"memory", "pids"} <= controllers
    return Podman(program, rootless, limits, "cpuset" in controllers, user, group)


def image_problem(image: str) -> str:
    """Why podman is not to be given this as an image's name, in one sentence; empty where it may be.

    The name comes from a tenant. It must be a registry's, so that it is no option, and no file or folder that the
    agent may read and the tenant may not.
    """
    if not _IMAGE.fullmatch(image):
        return f"{image} is no image's name; give one such as registry.example.org/team/train:1.2"
    if image.partition(":")[0] in _TRANSPORTS:
        return f"{image} would be a place of this machine to podman; give the image's name with its registry"
    return ""


def container_name(attempt: str, task: int) -> str:
    """The container's name: one attempt's task has one container, whoever asks for it and how often."""
    return f"weir-{attempt}.{task}"


def create_command(
    podman: Podman,
    *,
    attempt: str,
    task: int,
    image: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    work: str,
    mounts: Sequence[str],
    kept: str,
    label: str,
    memory_bytes: int,
    processes: int,
    cores: Sequence[int],
    devices: Sequence[str],
    limits: Mapping[str, tuple[int, int]],
) -> list[str]:
    """Makes a task's container, and starts nothing.

    `work` is the working folder; `mounts` are the folders that the container sees, under the names that they have
    outside; `kept` is a folder of the supervisor's own, for the numbers of the processes. `label` names the
    agent's folder. `memory_bytes` and `processes` 0 are no limit. `limits` are soft and hard resource limits, as
    the agent's own: podman's defaults may be above what it is allowed.
    """
    return [
        *(podman.program, "create", "--pull=never"),
        f"--name={container_name(attempt, task)}",
        *(
            f"--label={FOLDER_LABEL}={label}",
            f"--label={_ATTEMPT_LABEL}={attempt}",
            f"--label={_TASK_LABEL}={task}",
        ),
        *(f"--pidfile={kept}/pid", f"--conmon-pidfile={kept}/conmon"),
        # The command writes to the very files that podman is started with, so nothing of it passes by podman.
        "--log-driver=passthrough",
        *(
            "--network=host",
            "--http-proxy=false",
            "--systemd=false",
            "--no-healthcheck",
            "--image-volume=ignore",
        ),
        *("--cap-drop=all", "--security-opt=no-new-privileges", "--security-opt=label=disable"),
        *(("--userns=keep-id",) if podman.rootless else ()),
        f"--user={podman.user}:{podman.group}",
        *_bounds(podman, memory_bytes, processes, cores),
        *(f"--ulimit={name}={soft}:{hard}" for name, (soft, hard) in sorted(limits.items())),
        *(f"--device={device}" for device in devices),
        *(f"--mount={_mount(folder)}" for folder in mounts),
        f"--workdir={work}",
        *(f"--env={name}={value}" for name, value in environment.items()),
        # The job's command is the whole command, whatever the image would put before it.
        "--entrypoint=",
        image,
        *command,
    ]


def remove_command(program: str, names: Sequence[str]) -> list[str]:
    """Ends and removes the containers; those that are not there are no error."""
    return [program, "rm", "--force", "--time=0", "--ignore", *names]


def listed_command(program: str, label: str) -> list[str]:
    """Names every container of the agent's folder, one a line."""
    return [program, "ps", "--all", f"--filter=label={FOLDER_LABEL}={label}", "--format={{.Names}}"]


def parse_state(text: str) -> Ended | str:
    """What `podman inspect --format '{{json .State}}'` says of a container that is to have ended, or what is wrong."""
    try:
        state = json.loads(text)
        status, code, killed = (
            str(state["Status"]),
            int(state["ExitCode"]),
            bool(state.get("OOMKilled", False)),
        )
    except (ValueError, KeyError, TypeError):
        return "podman does not say how the container ended"
    if status not in ("exited", "stopped"):
        return f"podman calls the container {status}, after its end"
    # The runtimes and conmon tell of a signal as shells do, so a command's own 143 cannot be told from a TERM.
    if _SIGNALS_FROM < code <= _SIGNALS_TO:
        return Ended(None, code - _SIGNALS_FROM, killed)
    return Ended(code, None, killed)


def reason_of(errors: str) -> str:
    """The reason in what podman wrote to its error stream, on one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    # Where conmon's own pipe broke off, the runtime's reason stands in a line before podman's.
    lines = [line for line in lines if _UNHEARD not in line] or lines
    told = [line.removeprefix("Error: ") for line in lines if line.startswith("Error: ")]
    reason = (told or lines or ["podman does not say why"])[-1]
    # The last of what is nested with colons says most.
    while len(reason) > _REASON_CHARACTERS and ": " in reason:
        reason = reason.partition(": ")[2]
    return reason[:_REASON_CHARACTERS]


def start_failure(program: str, image: str, errors: str) -> tuple[str, str]:
    """The cause, and the message, where podman could not make or start the container; `errors` is what it wrote."""
    reason = reason_of(errors)
    words = reason.lower()
    if "image not known" in words:
        return (
            "start",
            f"image {image} is not at this centre, which pulls none of that name (option pull_images)",
        )
    named = program.lower() in words
    if named and ("executable file" in words or "no such file" in words):
        return (
            "start",
            f"{program}: not found; give a program that is in the image, or a path below the work folder",
        )
    if named and "permission denied" in words:
        return "start", f"{program}: not executable; check its permissions"
    return "node-failed", f"the container could not be started: {reason}"


def device_arguments(templates: Sequence[str], devices: Sequence[int]) -> list[str]:
    """What `--device` is given for these devices: a template with `{index}` for each, any other one once."""
    if not devices:
        return []
    found: list[str] = []
    for template in templates:
        indexes: Sequence[Any] = devices if "{index}" in template else ("",)
        found += [template.replace("{index}", str(index)) for index in indexes]
    return found


def _bounds(podman: Podman, memory_bytes: int, processes: int, cores: Sequence[int]) -> list[str]:
    found: list[str] = []
    if podman.limits:
        # Without a number of its own podman has one, 2,048.
        found.append(f"--pids-limit={processes or -1}")
        if memory_bytes:
            # With as much memory and swap as memory, there is no swap.
            found += [f"--memory={memory_bytes}b", f"--memory-swap={memory_bytes}b"]
    if memory_bytes:
        found.append(f"--shm-size={memory_bytes}b")
    if cores and podman.cpusets:
        found.append(f"--cpuset-cpus={','.join(map(str, cores))}")
    return found


def _mount(folder: str) -> str:
    """A mount's description is a line of CSV."""
    fields = ("type=bind", f"source={folder}", f"destination={folder}")
    return ",".join(
        '"' + field.replace('"', '""') + '"' if set(field) & set(',"\n') else field for field in fields
    )
