"""`weir`: the default. Jobs go by when their patience ends, which is a multiple of how long they are expected to run.

Short jobs go ahead of long ones, yet nobody waits for ever: a job is overtaken only by jobs that came at most its own
patience after it.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("weir", order=Order.SLOWDOWN, patience_milli=10_000)
