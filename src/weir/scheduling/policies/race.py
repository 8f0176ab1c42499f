"""`race`: each job waits at every pool that it fits, and the first with room has it, as MultiKueue does.

In the twin alone: at real centres it would be submitted everywhere, and withdrawn everywhere else.
"""

from weir.scheduling.policy import Placement, Policy

POLICY = Policy("race", placement=Placement.RACE)
