"""`sjf-greedy`: whatever fits starts, the shortest first. Wide jobs may wait for ever."""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("sjf-greedy", order=Order.SHORTEST, depth=0)
