"""`f1`: EASY backfilling in an order that was fitted to simulations: log10(run) x nodes + 870 log10(submitted).

D. Carastan-Santos and R. de Camargo, Obtaining Dynamic Scheduling Policies with Simulation and Machine Learning, SC'17.
"""

from weir.scheduling.policy import Order, Policy

POLICY = Policy("f1", order=Order.F1)
