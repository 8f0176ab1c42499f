"""From a pod to the process that stands for its container, and to the status that tells of it; pure functions."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MISSING_IMAGE", "Container", "expand", "pod_status", "problem_of", "process_of"]

Plain = dict[str, Any]
MISSING_IMAGE = "registry.invalid/"
"""Images whose names begin so cannot be pulled."""

_INDEX = "batch.kubernetes.io/job-completion-index"
_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


@dataclass(frozen=True, slots=True)
class Container:
    """What is to be told of a container: that it waits (reason, message), runs or has ended."""

    plain: Mapping[str, Any]
    waiting: tuple[str, str] | None = None
    started: str = ""
    finished: str = ""
    exit_code: int = 0
    reason: str = ""
    message: str = ""

    def state(self) -> Plain:
        if self.waiting is not None:
            return {"waiting": {"reason": self.waiting[0], "message": self.waiting[1]}}
        if not self.finished:
            return {"running": {"startedAt": self.started}}
        said = {"message": self.message} if self.message else {}
        times = {"startedAt": self.started, "finishedAt": self.finished}
        return {"terminated": {"exitCode": self.exit_code, "reason": self.reason, **said, **times}}


def problem_of(pod: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why its container cannot be made: reason and message; None where it can."""
    container = pod["spec"]["containers"][0]
    image = container["image"]
    if image.startswith(MISSING_IMAGE):
        pull = f'failed to pull and unpack image "{image}": failed to resolve image: no such host'
        return "ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {pull}'
    volumes = {one["name"]: one for one in pod["spec"].get("volumes") or ()}
    for mount in container.get("volumeMounts") or ():
        path = volumes[mount["name"]].get("hostPath", {}).get("path")
        if path is None:
            continue
        target = Path(path) / mount.get("subPath", "")
        if os.fspath(target) != mount["mountPath"]:
            return "CreateContainerError", f"this node has no mounts: {target} must be {mount['mountPath']}"
    return None


def process_of(
    pod: Mapping[str, Any], words: Path, devices: Mapping[str, Sequence[int]]
) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment of the process: an image is this machine's own files, and so are folders that
    are mounted; `words` is the container's terminationMessagePath."""
    container, meta = pod["spec"]["containers"][0], pod["metadata"]
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    env = {"PATH": path, "HOSTNAME": pod["spec"].get("hostname") or meta["name"]}
    index = (meta.get("annotations") or {}).get(_INDEX)
    if index is not None:
        env["JOB_COMPLETION_INDEX"] = index
    for name, numbers in devices.items():
        if name == "nvidia.com/gpu":
            node = pod["spec"]["nodeName"]
            env["NVIDIA_VISIBLE_DEVICES"] = ",".join(f"GPU-{node}-{number}" for number in numbers)
    for one in container.get("env") or ():
        env[one["name"]] = expand(one.get("value") or "", env)
    places = {container["terminationMessagePath"]: os.fspath(words), **_private_folders(pod, words)}
    found = {}
    for name, value in env.items():
        found[name] = _at(places, _resolved(value, pod["spec"].get("subdomain", "")))
    argv = [expand(text, env) for text in (*container.get("command", ()), *container.get("args", ()))]
    return [_at(places, text) for text in argv], found


def _private_folders(pod: Mapping[str, Any], words: Path) -> dict[str, str]:
    """The folders above emptyDir mounts, made beside the last words; they go with the cluster's own folder."""
    private = {one["name"] for one in pod["spec"].get("volumes") or () if "emptyDir" in one}
    found = {}
    for mount in pod["spec"]["containers"][0].get("volumeMounts") or ():
        if mount["name"] in private:
            place, base = Path(mount["mountPath"]), Path(f"{words}.private")
            (base / place.name).mkdir(parents=True, exist_ok=True)
            found[os.fspath(place.parent)] = os.fspath(base)
    return found


def _at(places: Mapping[str, str], text: str) -> str:
    """A path of the container as a path of this machine."""
    for inside, outside in places.items():
        if text == inside or text.startswith(f"{inside}/"):
            return outside + text[len(inside) :]
    return text


def expand(text: str, env: Mapping[str, str]) -> str:
    """`$(NAME)` replaced by its value, where there is one; `$$` by one dollar sign. As a kubelet does."""

    def replace(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return env.get(match[2], match[0])

    return _REFERENCE.sub(replace, text)


def pod_status(
    pod: Mapping[str, Any], container: Container, phase: str, reason: str, message: str, now: str
) -> Plain:
    """A pod's status, after what was recorded of Kubernetes 1.36."""
    before, first = pod["status"], pod["spec"]["containers"][0]
    ready = phase == "Running"
    rows = {row["type"]: row for row in before.get("conditions") or ()}
    for kind in ("Initialized", "Ready", "ContainersReady"):
        status = "True" if ready or kind == "Initialized" else "False"
        if kind not in rows or rows[kind]["status"] != status:
            rows[kind] = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}
    return {
        **before,
        "phase": phase,
        "conditions": list(rows.values()),
        **({"reason": reason, "message": message} if reason else {}),
        "startTime": before.get("startTime", now),
        "containerStatuses": [
            {
                "name": first["name"],
                "state": container.state(),
                "lastState": {},
                "ready": ready,
                "restartCount": 0,
                "image": first["image"],
                "imageID": "",
                "started": ready,
            }
        ],
    }


def _resolved(value: str, subdomain: str) -> str:
    """The names of a gang's pods, which a cluster's DNS would resolve: all of them are this machine."""
    if not subdomain:
        return value
    return re.sub(rf"{re.escape(subdomain)}-\d+\.{re.escape(subdomain)}", "127.0.0.1", value)
