"""`sjf`: the shortest job first, blocking: nothing starts while the shortest does not fit."""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("sjf", order=Order.SHORTEST, depth=0, blocking=True)
