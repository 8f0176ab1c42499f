"""Weir's placement of pods on shared GPUs, for FGD's rule: look ahead at what each node would end up with.

A node's rating is the idle thousandths that it is expected to keep for good. It is what is left, on average, when
streams of pods like the workload's are offered to the node as it stands: those that fit are taken (on the GPU that
fits tightest), until PATIENCE of them found no room, since by then others have served them. From it is taken what a
node with idle GPUs for a gang is worth to the gangs to come. A pod goes where the rating rises least, with two
corrections that a single node's outlook cannot see:

- packing: of nodes alike, the one that has less idle left, so that whole nodes stay whole for gangs;
- pressure: a model on which more demand insists than on others is kept for those that insist. A model's pressure is
  the demand for each GPU that may be placed on it, every shape's demand being spread evenly over all models that it
  admits, relative to all demand over all GPUs. Without demands for models it is 1 everywhere and changes nothing.

What it knows of the pods is what FGD knows: how frequent each need is in the workload, or in a sample of it. It knows
nothing of the order, of what comes next, or of when arrivals end, and it places every pod that fits somewhere. The
constants were chosen on orders and workloads other than those reported (docs/discussion/published-tables.md).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weir.twin.published.openb import WHOLE_MILLI, GpuNodes, GpuPods, distinct_shapes

Int64s = NDArray[np.int64]
Floats = NDArray[np.float64]

STREAMS = 64
LENGTH = 200
PATIENCE = 20
GANG_WEIGHT = 3.0
PACKING_PER_GPU = 6.0
PRESSURE_WEIGHT = 1.0

_SEED = 1


class Outlook(NamedTuple):
    """What the compiled score goes by; the fields are those of `weir.twin.kernels.gpu_placement.Outlook`."""

    streams: Int64s
    patience: int
    gangs: Int64s
    gang_worth: Floats
    pressure: Floats
    packing: float


NO_OUTLOOK = Outlook(np.zeros((1, 1), np.int64), 0, np.zeros(0, np.int64), np.zeros(0), np.zeros(1), 0.0)
"""For rules that do not look ahead."""


def outlook_of(nodes: GpuNodes, pods: GpuPods, known: Int64s) -> Outlook:
    """The outlook on these nodes of a workload like the `known` of the pods; the same for the same ones, always."""
    shapes, places = distinct_shapes(pods)
    shape_of = places[known]
    share = np.bincount(shape_of, minlength=len(shapes)) / len(known)
    gangs = np.flatnonzero(shapes.gpus > 1)
    return Outlook(
        _streams(shape_of),
        PATIENCE,
        gangs,
        GANG_WEIGHT * share[gangs] * shapes.demand_milli[gangs],
        PRESSURE_WEIGHT * _pressure(nodes, shapes, share),
        PACKING_PER_GPU / WHOLE_MILLI,
    )


def _streams(shape_of: Int64s) -> Int64s:
    """Streams of shapes in which, at each step, all streams together have the workload's shares."""
    draw = np.random.default_rng(_SEED)
    in_order = np.sort(shape_of)
    streams = np.empty((STREAMS, LENGTH), np.int64)
    for step in range(LENGTH):
        at = (np.arange(STREAMS) + draw.random(STREAMS)) / STREAMS * len(in_order)
        streams[:, step] = draw.permutation(in_order[at.astype(np.int64)])
    return streams


def _pressure(nodes: GpuNodes, shapes: GpuPods, share: Floats) -> Floats:
    """By model, demand for a GPU of it over demand for a GPU of any."""
    supply = np.bincount(nodes.model, nodes.gpus, minlength=len(nodes.models))
    numbers = np.arange(len(nodes.models))
    admits = (shapes.models[:, None] == 0) | (shapes.models[:, None] >> numbers & 1 == 1)
    demand = share * shapes.demand_milli
    open_to = admits @ supply
    spread = np.divide(demand, open_to, out=np.zeros(len(demand)), where=open_to > 0)
    whole = demand.sum()
    return np.asarray(spread @ admits * supply.sum() / whole) if whole else np.ones(len(numbers))
