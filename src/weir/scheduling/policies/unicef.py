"""`unicef`: EASY backfilling in the order of wait / (log2(nodes) x expected run), the largest first.

As in D. Zhang et al., RLScheduler, SC'20.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("unicef", order=Order.UNICEF)
