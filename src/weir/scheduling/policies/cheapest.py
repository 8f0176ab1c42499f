"""`cheapest`: at submission each job is given to the pool where it costs least; each pool backfills as `easy` does."""

from weir.scheduling.policy import Placement, Policy

POLICY = Policy("cheapest", placement=Placement.CHEAPEST)
