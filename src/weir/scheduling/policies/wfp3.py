"""`wfp3`: EASY backfilling in the order of (wait / expected run)^3 x nodes, the largest first.

W. Tang et al., Fault-aware, utility-based job scheduling on Blue Gene/P systems, CLUSTER 2009.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("wfp3", order=Order.WFP3)
