"""`sjf-committed`: the shortest job first; once chosen it stays the next to start, even if a shorter one comes."""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("sjf-committed", order=Order.SHORTEST, depth=0, blocking=True, committed=True)
