"""How a count of accelerators becomes tasks."""

from weir.scheduling.inputs import JobClass

PER_NODE = 8
"""Accelerators in a node of the machines whose traces are read: no task asks for more of them."""


def gang(devices: int, nodes: int = 0, *, cores_milli: int = 0, memory_bytes: int = 0) -> JobClass:
    """A gang of equal tasks that together have so many whole accelerators, so many cores, so much memory.

    As many tasks as the trace states nodes, if they share the accelerators evenly and none gets more than PER_NODE;
    else the fewest equal tasks of at most PER_NODE each. Cores and memory per task are rounded up.
    """
    devices = max(devices, 0)
    tasks = max(nodes, 1)
    if devices and (nodes < 1 or devices % nodes or devices // nodes > PER_NODE):
        tasks = devices // next(each for each in range(PER_NODE, 0, -1) if devices % each == 0)
    return JobClass(
        tasks=tasks,
        devices_milli=1_000 * (devices // tasks),
        cores_milli=-(-max(cores_milli, 0) // tasks),
        memory_bytes=-(-max(memory_bytes, 0) // tasks),
    )
