"""`easy-sjbf`: the first come is promised a start, and the shortest that does not delay it is backfilled first.

D. Tsafrir, Y. Etsion and D. Feitelson, Backfilling Using System-Generated Predictions, TPDS 18(6), 2007.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("easy-sjbf", backfill_order=Order.SHORTEST)
