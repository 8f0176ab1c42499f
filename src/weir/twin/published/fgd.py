"""FGD's GPUs allocated on openb (Weng et al., "Beware of Fragmentation", ATC 2023), under that paper's rule.

The rule, as the simulator states it (hkust-adsl/kubernetes-scheduler-simulator, commit 8f3d641: pkg/utils/frag.go,
pkg/simulator, experiments/README.md; ties in selectHost of its fork of Kubernetes):

- Pods arrive one at a time and stay. One that fits on no node is dropped; one that fits somewhere is placed: there is
  no queue, no migration and no refusal. Cores, memory, GPUs, shares of a GPU and the models that a pod asks for hold.
- The order is a shuffle of the workload's pods, followed by pods drawn from it anew, with replacement, until the next
  one would take the demand above 130 % of the GPUs; of a workload that is larger, pods are taken out at random.
- Scores are whole numbers from 0 to 100. Among equal ones, the node of the lowest name has it, and names are shuffled
  once a run; so the order of nodes is drawn as well, and holds for the whole run.
- FGD scores a node by how far its fragmentation would fall: 100 / (1 + exp(-(before - after) / 1000)), rounded down.
  Fragmentation is the sum over typical pods of their share times the idle thousandths that such a pod cannot use: all
  of them when it asks for none, lacks cores, models or GPUs there, and otherwise those of GPUs too small for it. For a
  share of a GPU, each GPU is tried, the first best taken. Typical are the most frequent needs (cores, GPUs,
  thousandths, models) of the whole workload, down to 95 % of its pods, their shares summing to one.
- The figure is allocated over all GPUs, in per cent rounded to two decimals, averaged over the arrivals at which the
  demand, rounded to whole per cents, is 130 % (or, when there are none, within one of it).

The draws are NumPy's rather than Go's: the orders are as random as theirs, and not the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weir.model.problem import refused
from weir.scheduling.compilation import kernel_of
from weir.twin.comparison import CONFIDENCE, student_quantile
from weir.twin.published.foresight import NO_OUTLOOK, outlook_of
from weir.twin.published.openb import Arrivals, GpuNodes, GpuPods, distinct_shapes, draw_arrivals
from weir.twin.traces.table import combined

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

FGD_POLICIES = ("fgd", "best-fit", "gpu-packing", "foresight")
"""The paper's own, two of those that it is compared with, and Weir's (`weir.twin.published.foresight`)."""

FGD_PUBLISHED: dict[str, dict[int, float]] = {
    "fgd": {100: 95.227, 130: 95.391},
    "best-fit": {100: 92.862, 130: 93.076},
    "gpu-packing": {100: 91.779, 130: 92.002},
}
"""Per cent of GPUs allocated on openb's default workload by per cent of demand, means over the paper's ten seeds."""

DEMANDS_PERCENT = (90, 100, 110, 130)

_POPULAR = 0.95


@dataclass(frozen=True, slots=True)
class Placed:
    """Where each arrival went: its node (-1: dropped) and the GPUs that it took there, a bit each."""

    node: Int64s
    devices: Int64s
    arrived_milli: Int64s
    """Demand up to and with each arrival."""
    allocated_milli: Int64s
    """What of it was placed."""
    total_milli: int

    def percent_at(self, demand_percent: int) -> float:
        """GPUs allocated, in per cent, averaged over the arrivals at which the demand rounds to this.

        Where a step is so large that none does, over those within one per cent of it. Raises ProblemError when there
        are none of these either.
        """
        demand = np.rint(self.arrived_milli / self.total_milli * 100)
        at = demand == demand_percent
        if not at.any():
            at = np.abs(demand - demand_percent) <= 1
        if not at.any():
            raise refused("demand_percent", demand_percent, "a per cent of demand that some arrival reaches")
        return float(np.round(self.allocated_milli[at] / self.total_milli * 100, 2).mean())


@dataclass(frozen=True, slots=True)
class FgdRow:
    """One policy over all orders: GPUs allocated in per cent, by demand in per cent, one value an order."""

    policy: str
    percent: dict[int, tuple[float, ...]]

    def mean(self, demand_percent: int) -> float:
        return float(np.mean(self.percent[demand_percent]))


@dataclass(frozen=True, slots=True)
class Gain:
    """What a policy allocates more than another on the same orders, in points, with a paired 95 % interval."""

    orders: int
    mean: float
    low: float
    high: float


def fgd_table(
    nodes: GpuNodes,
    pods: GpuPods,
    *,
    seeds: Sequence[int],
    policies: Sequence[str] = FGD_POLICIES,
    demands_percent: Sequence[int] = DEMANDS_PERCENT,
    known: Int64s | None = None,
) -> list[FgdRow]:
    """Every policy on the same orders, one a seed, up to 130 % of the GPUs; `known` as in `place`."""
    orders = [draw_arrivals(pods, nodes, np.random.default_rng(seed)) for seed in seeds]
    rows = []
    for policy in policies:
        placed = [place(nodes, pods, order, policy, known=known) for order in orders]
        percent = {demand: tuple(each.percent_at(demand) for each in placed) for demand in demands_percent}
        rows.append(FgdRow(policy, percent))
    return rows


def gain(row: FgdRow, over: FgdRow, demand_percent: int = 130) -> Gain:
    """How much more one row allocates than another, by Student's t over the orders; needs two orders at least."""
    differences = np.array(row.percent[demand_percent]) - np.array(over.percent[demand_percent])
    orders = len(differences)
    if orders < 2:
        raise refused("orders", orders, "at least 2, for an interval")
    middle = float(differences.mean())
    reach = student_quantile((1 + CONFIDENCE) / 2, orders - 1) * float(differences.std(ddof=1)) / orders**0.5
    return Gain(orders, middle, middle - reach, middle + reach)


def place(
    nodes: GpuNodes, pods: GpuPods, arrivals: Arrivals, policy: str, *, known: Int64s | None = None
) -> Placed:
    """Place the arrivals one at a time by one of FGD_POLICIES.

    `known`: the pods from which a policy learns how frequent each need is; all of them as in the paper, unless given.
    Raises ProblemError for another policy, or when nothing is known.
    """
    if policy not in FGD_POLICIES:
        raise refused("policy", policy, f"one of {', '.join(FGD_POLICIES)}")
    known = np.arange(len(pods)) if known is None else known
    if not len(known):
        raise refused("known", "no pods", "at least one")
    kernel: Any = kernel_of("twin", "gpu_placement")
    shapes, shape_of = distinct_shapes(pods)
    outlook = outlook_of(nodes, pods, known) if policy == "foresight" else NO_OUTLOOK
    alike, _ = combined(nodes.cores_milli, nodes.memory_mib, nodes.gpus, nodes.model)
    machines = (nodes.cores_milli, nodes.memory_mib, nodes.gpus, nodes.model, alike)
    needs = (shapes.cores_milli, shapes.memory_mib, shapes.gpus, shapes.gpu_milli, shapes.models)
    # One layout of arrays, so that the code is compiled once.
    where, devices = kernel.place(
        kernel.Machines(*map(np.ascontiguousarray, machines)),
        kernel.Shapes(*map(np.ascontiguousarray, needs)),
        shape_of[arrivals.pods],
        np.ascontiguousarray(arrivals.tie),
        FGD_POLICIES.index(policy),
        kernel.Target(*map(np.ascontiguousarray, _typical(pods, known))),
        kernel.Outlook(*outlook),
    )
    demand = pods.demand_milli[arrivals.pods]
    return Placed(
        where, devices, np.cumsum(demand), np.cumsum(np.where(where >= 0, demand, 0)), nodes.total_milli
    )


def _typical(pods: GpuPods, known: Int64s) -> tuple[Int64s, Int64s, Int64s, Int64s, Floats]:
    """The typical pods: cores, GPUs, thousandths, models, and the share of each."""
    needs = np.stack((pods.cores_milli, pods.gpu_milli, pods.gpus, pods.models), axis=1)[known]
    distinct, count = np.unique(needs, axis=0, return_counts=True)
    order = np.lexsort((*distinct.T[::-1], count))[::-1]
    most = int(np.argmax(np.cumsum(count[order]) >= _POPULAR * len(known))) + 1
    cores, milli, gpus, models = np.ascontiguousarray(distinct[order[:most]].T)
    share = count[order[:most]] / count[order[:most]].sum()
    return cores, gpus, milli, models, share
