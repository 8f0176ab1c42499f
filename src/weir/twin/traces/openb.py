"""The openb cluster of Alibaba (Weng et al., ATC 2023): pods that take a share of a GPU or several, and the nodes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from weir.scheduling.inputs import JobClass
from weir.twin.traces.assembly import Columns
from weir.twin.traces.source import Source, members
from weir.twin.traces.table import combined, read_rows

PODS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")
NODES = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_MEBIBYTE = 2**20
_LISTS_OF_NODES = ("openb_node_list_gpu_node.csv", "openb_node_list_all_node.csv")


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Equal nodes: how many there are, and what each has."""

    model: str
    nodes: int
    devices: int
    cores_milli: int
    memory_bytes: int


def read_nodes(source: Source) -> tuple[NodeGroup, ...]:
    """The nodes of a node list, equal ones together, in the order in which the list first names them."""
    rows = read_rows(source, required=NODES)
    model, models = rows.names("model", unknown="")
    devices, cores, memory = rows.whole("gpu", 0), rows.whole("cpu_milli"), rows.whole("memory_mib")
    rows.refuse()
    places, first = combined(model, devices, cores, memory)
    count = np.bincount(places, minlength=len(first))
    return tuple(
        NodeGroup(
            models[model[row]],
            int(count[each]),
            int(devices[row]),
            int(cores[row]),
            int(memory[row]) * _MEBIBYTE,
        )
        for row, each in sorted((row, each) for each, row in enumerate(first.tolist()))
    )


def read(source: Source, *, skip_bad: bool, on_bad: Callable[[int, str], None]) -> Columns:
    """A pod list, one job a pod of one task: so many whole GPUs, or `gpu_milli` thousandths of one; models by gpu_spec.

    Size is `num_gpu`, a share counting as one; pods that need none have size 0 and stay. Run time is deletion minus
    scheduling; that of a pod which was never scheduled is deletion minus creation, as long as it was wanted. The
    group is the quality of service; no user, no limit. The machine's size is the GPUs of the node list beside it.
    """
    rows = read_rows(source, required=PODS)
    devices, share = rows.whole("num_gpu", 0), rows.whole("gpu_milli", 0)
    cores, memory = rows.whole("cpu_milli", 0), rows.whole("memory_mib", 0)
    spec, specs = rows.names("gpu_spec", unknown="")
    rows.reject(
        (devices == 1) & ((share < 1) | (share > 1_000)), lambda row: "gpu_milli is not between 1 and 1000"
    )
    submit_ms, deleted = rows.milliseconds("creation_time"), rows.milliseconds("deletion_time")
    scheduled = rows.milliseconds("scheduled_time", -1.0)
    devices_milli = np.where(devices == 1, share, 1_000 * devices)
    places, first = combined(devices_milli, cores, memory, spec)
    group, groups = rows.names("qos")
    columns = Columns(
        job=np.arange(1, len(rows) + 1),
        submit_ms=submit_ms,
        run_ms=deleted - np.where(scheduled >= 0, scheduled, submit_ms),
        limit_ms=np.zeros(len(rows), np.int64),
        size=devices,
        job_class=places,
        classes=[
            JobClass(
                tasks=1,
                devices_milli=int(devices_milli[row]),
                cores_milli=int(cores[row]),
                memory_bytes=int(memory[row]) * _MEBIBYTE,
                models=tuple(specs[spec[row]].split("|")) if specs[spec[row]] else (),
            )
            for row in first
        ],
        user=np.zeros(len(rows), np.int64),
        users=["unknown"],
        group=group,
        groups=groups,
        machine_size=_machine_size(source),
        sizeless=True,
    )
    return rows.settled(columns, skip_bad=skip_bad, on_bad=on_bad)


def _machine_size(source: Source) -> int:
    for name in _LISTS_OF_NODES:
        for packed in ("", ".gz", ".xz"):
            beside = source.beside(name + packed)
            if beside.path.is_file() and (not beside.member or beside.member in members(Source(beside.path))):
                return sum(each.nodes * each.devices for each in read_nodes(beside))
    return 0
