"""`earliest`: at submission each job is given to the pool where it would start first, as a federation of Slurm does.

From then on it waits there; each pool backfills as `easy` does.
"""

from weir.scheduling.policy import Placement, Policy

POLICY = Policy("earliest", placement=Placement.EARLIEST)
