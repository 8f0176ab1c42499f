"""What the scheduling core needs to know of a specification: its class, shared by all jobs of the same shape."""

import functools
import json
import re
from collections.abc import Mapping
from typing import Any

from weir.model.codec import from_plain, to_plain
from weir.model.job import JobSpecification, Priority, preference_weights
from weir.model.task_range import ONE_TASK, TaskRange
from weir.scheduling.inputs import NO_DEADLINE, JobClass
from weir.units import parse_time_ms

_TASKS = re.compile(r'"tasks":\{(?:"least":(\d+),)?"most":(\d+)\}')
_DEADLINE = '"deadline":"'
_SHAPING = (
    "tasks",
    "devices",
    "cores",
    "memory",
    "variants",
    "constraints",
    "data",
    "prefer",
    "restartable",
    "options",
)

PRIORITY_LEVELS = {Priority.RESERVED: 30, Priority.URGENT: 20, Priority.NORMAL: 10, Priority.LOW: 0}
"""Priority classes as they are stored and given to the core: larger first."""
PRIORITIES = {level: priority for priority, level in PRIORITY_LEVELS.items()}


@functools.lru_cache(maxsize=16_384)
def specification_of(body: str) -> JobSpecification:
    """The specification that was stored as this text."""
    return from_plain(JobSpecification, json.loads(body))


def stored_form(specification: JobSpecification, project: str, time_limit_ms: int) -> str:
    """The one text for a specification with its project and time limit; equal ones have the same, stored once."""
    plain = {**to_plain(specification), "project": project, "time_limit": time_limit_ms}
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def class_of(specification: JobSpecification) -> JobClass:
    """The job's class: all of it that decides where it can go and what a pool scores.

    An elastic job waits as one of its fewest tasks; `widening` gives it more where it starts.
    """
    devices = specification.devices
    weights = preference_weights(specification.prefer)
    constraints = specification.constraints
    needs: dict[str, Any] = {}
    if devices is not None:
        needs = {
            "models": tuple(sorted(devices.models)),
            "device_memory_bytes": devices.memory or 0,
            "precision": devices.precision,
            "stack": devices.stack,
            "domestic": devices.domestic,
        }
    return JobClass(
        tasks=specification.tasks.least,
        devices_milli=0 if devices is None else devices.share or devices.count * 1_000,
        cores_milli=specification.cores,
        memory_bytes=specification.memory,
        variant_speeds=tuple(sorted((variant.stack, variant.speed) for variant in specification.variants)),
        centres=tuple(sorted(constraints.centres)),
        cities=tuple(sorted(constraints.cities)),
        kinds=tuple(sorted(constraints.kinds)),
        data=tuple(sorted((need.at, need.size) for need in specification.data)),
        weight_time=weights.time,
        weight_money=weights.money,
        weight_carbon=weights.carbon,
        capabilities=_capabilities(specification),
        options=tuple(sorted(specification.options.items())),
        restartable=specification.restartable,
        **needs,
    )


def _capabilities(specification: JobSpecification) -> tuple[str, ...]:
    """What the job asks of an engine beyond running one process."""
    gang = specification.tasks.least > 1
    shares = specification.devices is not None and specification.devices.share is not None
    schemes = sorted({entry.url.partition(":")[0] for entry in specification.inputs if entry.url})
    targets = sorted({delivery.url.partition(":")[0] for delivery in specification.deliver})
    # Where one stack's variant has an image, all are taken to need containers: classes know of no single stack.
    containers = bool(specification.image) or any(variant.image for variant in specification.variants)
    asked = (("gang", gang), ("shares", shares), ("containers", containers))
    found = [name for name, needed in asked if needed]
    found += [f"url/{scheme}" for scheme in schemes]
    return (*found, *(f"deliver/{scheme}" for scheme in targets))


def class_of_stored(body: str) -> JobClass:
    """The class of a stored specification, reading only what shapes it: 100,000 unlike commands share a few."""
    plain: Mapping[str, Any] = json.loads(body)
    shaping = {name: plain[name] for name in _SHAPING if name in plain}
    schemes = {entry["url"].partition(":")[0] for entry in plain.get("inputs", ()) if "url" in entry}
    if plain.get("image"):  # which one it is does not matter
        shaping["image"] = "any"
    if schemes:  # by which inputs are fetched says where it can run; from where does not
        shaping["inputs"] = [{"file": scheme, "url": f"{scheme}:"} for scheme in sorted(schemes)]
    targets = {entry["url"].partition(":")[0] for entry in plain.get("deliver", ())}
    if targets:
        shaping["deliver"] = [{"path": scheme, "url": f"{scheme}:"} for scheme in sorted(targets)]
    return _class_of_shape(json.dumps(shaping, sort_keys=True))


def tasks_of_stored(body: str) -> TaskRange:
    """How many tasks a job of a stored specification may have."""
    match = _TASKS.search(body)  # quotes within texts are escaped, so that nothing else reads like this
    return TaskRange(int(match[1] or 1), int(match[2])) if match else ONE_TASK


def deadline_of_stored(body: str) -> int:
    """When a job of a stored specification must have ended, in ms; NO_DEADLINE where it need not."""
    if _DEADLINE not in body:
        return NO_DEADLINE
    deadline = json.loads(body).get("constraints", {}).get("deadline")
    return parse_time_ms(deadline) if deadline else NO_DEADLINE


@functools.lru_cache(maxsize=16_384)
def _class_of_shape(shape: str) -> JobClass:
    return class_of(from_plain(JobSpecification, json.loads(shape)))


__all__ = [
    "PRIORITIES",
    "PRIORITY_LEVELS",
    "class_of",
    "class_of_stored",
    "deadline_of_stored",
    "specification_of",
    "stored_form",
    "tasks_of_stored",
]
