"""`conservative`: every waiting job is promised a start, and none is delayed by what is backfilled.

When something ends early, promises are gone over in order, and each may only become earlier.
A. Mu'alem and D. Feitelson, TPDS 12(6), 2001.
"""

from weir.scheduling.policy import ALL, Policy

POLICY = Policy("conservative", depth=ALL)
