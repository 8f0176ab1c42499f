"""`nearest`: at submission each job is given to the pool least far from its data; each backfills as `easy` does."""

from weir.scheduling.policy import Placement, Policy

POLICY = Policy("nearest", placement=Placement.NEAREST)
