"""Small traces made up for the tests, written to disk and read."""

from pathlib import Path
from typing import Any

import pytest

from weir.model.problem import ProblemError
from weir.twin.traces import read_trace
from weir.twin.workload import Workload


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, name: str, content: str | bytes, **how: Any) -> Workload:
    return read_trace(written(folder, name, content), **how)


def refusal(folder: Path, name: str, content: str | bytes, **how: Any) -> str:
    """What is said when it is not accepted."""
    with pytest.raises(ProblemError) as told:
        read(folder, name, content, **how)
    return told.value.problem.title


def shapes(workload: Workload) -> list[tuple[int, int, int, int]]:
    """For each job (tasks, devices_milli, cores_milli, memory_bytes)."""
    classes = [workload.classes[each] for each in workload.job_class.tolist()]
    return [(each.tasks, each.devices_milli, each.cores_milli, each.memory_bytes) for each in classes]


def named(places: Any, names: tuple[str, ...]) -> list[str]:
    return [names[each] for each in places.tolist()]


def dropped(workload: Workload) -> dict[str, int]:
    return {rule: count for rule, count in workload.dropped if count}
