"""Openb's nodes and pods (Weng et al., ATC 2023) as FGD's rule sees them, and the orders in which pods arrive."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused
from weir.twin.traces.source import located
from weir.twin.traces.table import combined, read_rows

Int64s = NDArray[np.int64]

WHOLE_MILLI = 1_000
RATIO = 1.3
"""Demand for GPUs over all GPUs, at the end of the paper's runs."""

_NOWHERE = 62
"""The bit of a model that no node has; models of nodes have those below."""
_MOST_GPUS = 8


@dataclass(frozen=True, slots=True)
class GpuNodes:
    """Nodes with GPUs, one row each; `model` indexes `models`."""

    cores_milli: Int64s
    memory_mib: Int64s
    gpus: Int64s
    model: Int64s
    models: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.gpus)

    @property
    def total_milli(self) -> int:
        """Thousandths of a GPU in all."""
        return int(self.gpus.sum()) * WHOLE_MILLI


@dataclass(frozen=True, slots=True)
class GpuPods:
    """Pods, one row each: `gpus` GPUs of `gpu_milli` thousandths each (both 0 without any).

    `models` has a bit for each of the nodes' models that would do, 0 when any does.
    """

    cores_milli: Int64s
    memory_mib: Int64s
    gpus: Int64s
    gpu_milli: Int64s
    models: Int64s

    def __len__(self) -> int:
        return len(self.gpus)

    @property
    def demand_milli(self) -> Int64s:
        """Thousandths of a GPU that each asks for."""
        return self.gpus * self.gpu_milli


@dataclass(frozen=True, slots=True)
class Arrivals:
    """One order: indices into the pods, and for each node its place among nodes of equal score."""

    pods: Int64s
    tie: Int64s


def read_gpu_nodes(path: Path) -> GpuNodes:
    """Openb's node list (columns cpu_milli, memory_mib, gpu, model); nodes without GPUs are left out."""
    rows = read_rows(located(path), required=("cpu_milli", "memory_mib", "gpu", "model"))
    gpus, cores, memory = rows.whole("gpu", 0), rows.whole("cpu_milli"), rows.whole("memory_mib")
    model, models = rows.names("model", unknown="")
    rows.reject((gpus < 0) | (gpus > _MOST_GPUS), lambda row: f"gpu is not between 0 and {_MOST_GPUS}")
    rows.refuse()
    if len(models) > _NOWHERE:
        raise refused(path.name, f"{len(models)} models", f"at most {_NOWHERE} models")
    kept = gpus > 0
    return GpuNodes(cores[kept], memory[kept], gpus[kept], model[kept], tuple(models))


def read_pods(path: Path, nodes: GpuNodes) -> GpuPods:
    """Openb's pod list (columns cpu_milli, memory_mib, num_gpu, gpu_milli and, if there, gpu_spec)."""
    rows = read_rows(located(path), required=("cpu_milli", "memory_mib", "num_gpu", "gpu_milli"))
    gpus, share = rows.whole("num_gpu", 0), rows.whole("gpu_milli", 0)
    cores, memory = rows.whole("cpu_milli", 0), rows.whole("memory_mib", 0)
    spec, specs = rows.names("gpu_spec", unknown="")
    rows.reject((gpus < 0) | (gpus > _MOST_GPUS), lambda row: f"num_gpu is not between 0 and {_MOST_GPUS}")
    rows.reject(
        (gpus == 1) & ((share < 1) | (share > WHOLE_MILLI)), lambda row: "gpu_milli is not between 1 and 1000"
    )
    rows.refuse()
    if not len(rows):
        raise refused(path.name, "no pods", "a list of at least one")
    bits = np.array([_bits(each, nodes.models) for each in specs], np.int64)
    milli = np.where(gpus == 1, share, WHOLE_MILLI * (gpus > 0))
    return GpuPods(cores, memory, gpus, milli, np.where(gpus > 0, bits[spec], 0))


def draw_arrivals(
    pods: GpuPods, nodes: GpuNodes, random: np.random.Generator, ratio: float = RATIO
) -> Arrivals:
    """One order of arrivals whose demand comes to `ratio` of the GPUs. Raises ProblemError without any demand."""
    demand = pods.demand_milli
    target = ratio * nodes.total_milli
    if not demand.sum() or not target > 0:
        raise refused("pods", "no demand for GPUs", "pods that ask for some, and a ratio above 0")
    order = random.permutation(len(pods))
    asked = int(demand.sum())
    drawn: list[int] = []
    if asked > target:
        gone = random.permutation(len(pods))
        rest = asked - np.cumsum(demand[order[gone]])
        order = np.delete(order, gone[: int(np.argmax(rest <= target)) + 1])
    else:
        while True:
            pod = int(random.integers(len(pods)))
            if asked + pods.gpu_milli[pod] > target:
                break
            asked += int(demand[pod])
            drawn.append(pod)
    tie = random.permutation(len(nodes))
    return Arrivals(np.concatenate((order, np.array(drawn, np.int64))), tie)


def distinct_shapes(pods: GpuPods) -> tuple[GpuPods, Int64s]:
    """(each need once, for each pod the place of its own among them)."""
    places, first = combined(pods.cores_milli, pods.memory_mib, pods.gpus, pods.gpu_milli, pods.models)
    shapes = GpuPods(
        pods.cores_milli[first],
        pods.memory_mib[first],
        pods.gpus[first],
        pods.gpu_milli[first],
        pods.models[first],
    )
    return shapes, places


def _bits(spec: str, models: tuple[str, ...]) -> int:
    """Models of a pod as `A|B`; those that no node has become one bit that fits nowhere."""
    named = [each for each in spec.split("|") if each]
    return sum(1 << models.index(each) for each in set(named) if each in models) or (
        1 << _NOWHERE if named else 0
    )
