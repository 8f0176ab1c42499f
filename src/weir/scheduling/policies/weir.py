"""`weir`: the default. Jobs go by when their patience ends, which grows slowly with their expected run and size.

Short and small jobs go ahead, yet a job is overtaken only by jobs that came within its own patience. A job that would
take nearly all of a pool waits a while before the pool is drained for it. A job that could start waits for a better
pool while it is promised a start there that is worth it. Where there are several tenants, those who lately used more
than the average stand back. The constants are frozen; docs/discussion/quality.md says how they were chosen and what
they are worth, also on logs that had no say.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy(
    "weir",
    order=Order.PATIENCE,
    patience_ms=36 * 3_600_000,
    run_power_milli=300,
    size_power_milli=50,
    gate_ms=24 * 3_600_000,
    fair=True,
    later=True,
)
