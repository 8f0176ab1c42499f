"""`easy`: first come, first served, and whatever does not delay the first that waits is backfilled.

D. Lifka, The ANL/IBM SP Scheduling System, JSSPP 1995.
"""

from weir.scheduling.policy import Policy

POLICY = Policy("easy")
