"""What a trace holds: its jobs in a dozen figures, before anything is simulated."""

from dataclasses import dataclass

import numpy as np

from weir.twin.metrics import exact_sum, mean_s, percentile_s
from weir.twin.workload import Workload


@dataclass(frozen=True, slots=True)
class Description:
    """The figures of a trace; times in seconds. `size` counts processors or accelerators, as the trace does."""

    trace: str
    jobs: int
    users: int
    groups: int
    classes: int
    """Distinct shapes and demands."""
    first_submit_s: int
    """Unix time; 0 where the trace does not say."""
    span_days: float
    """From first to last submission."""
    machine_size: int
    """As the trace states it; 0 where it does not."""
    offered_load: float | None
    """Run times x sizes over machine size x span; None without a machine size or a span."""
    work_hours: float
    """Processor- or accelerator-hours."""
    median_size: float
    largest_size: int
    serial_share: float
    asks_for_accelerators: bool
    mean_run_s: float
    median_run_s: float
    longest_run_s: float
    has_estimates: bool
    mean_run_over_limit: float
    longest_limit_s: float
    cleaning: dict[str, int]
    """How many jobs each rule left out, or cut."""


def describe(workload: Workload) -> Description:
    """The figures of a workload with at least one job."""
    span_ms = int(workload.submit_ms.max() - workload.submit_ms.min())
    work = exact_sum(workload.run_ms * workload.size)
    available = workload.machine_size * span_ms
    return Description(
        trace=workload.name,
        jobs=len(workload),
        users=len(workload.users),
        groups=len(workload.groups),
        classes=len(workload.classes),
        first_submit_s=workload.origin_s and workload.origin_s + int(workload.submit_ms[0]) // 1_000,
        span_days=span_ms / 86_400_000,
        machine_size=workload.machine_size,
        offered_load=work / available if available else None,
        work_hours=work / 3_600_000,
        median_size=float(np.median(workload.size)),
        largest_size=int(workload.size.max()),
        serial_share=int(np.count_nonzero(workload.size == 1)) / len(workload),
        asks_for_accelerators=any(each.devices_milli for each in workload.classes),
        mean_run_s=mean_s(workload.run_ms),
        median_run_s=percentile_s(workload.run_ms, 500),
        longest_run_s=int(workload.run_ms.max()) / 1_000,
        has_estimates=workload.has_estimates,
        mean_run_over_limit=float((workload.run_ms / workload.limit_ms).mean()),
        longest_limit_s=int(workload.limit_ms.max()) / 1_000,
        cleaning=dict(workload.dropped),
    )


__all__ = ["Description", "describe"]
