"""`saf`: EASY backfilling in the order of expected run x nodes, the smallest area first."""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("saf", order=Order.SMALLEST_AREA)
