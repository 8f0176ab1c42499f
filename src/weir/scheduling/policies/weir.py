"""`weir`: the default. Jobs go by when their patience ends, which grows slowly with their expected run and size.

Short and small jobs go ahead, yet a job is overtaken only by jobs that came within its own patience. A job that would
take nearly all of a pool waits a while before the pool is drained for it. The constants are frozen: they were chosen
on a grid over public logs and on generated loads, and bench/quality.py reports what they are worth.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("weir", order=Order.PATIENCE, gate_ms=86_400_000)
