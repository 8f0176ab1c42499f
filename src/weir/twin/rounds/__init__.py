"""Rounds: jobs that are saved, moved between unlike devices, widened and narrowed, as Gavel and Sia simulate them.

A `Case` says what there is and by which rule; `simulate` runs it under a policy; `POLICIES` names the policies.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from weir.twin.rounds.case import NONE, Case, Rule
from weir.twin.rounds.policies.fifo import Fifo
from weir.twin.rounds.policies.max_min import max_min
from weir.twin.rounds.policies.min_jct import min_jct
from weir.twin.rounds.policies.min_makespan import min_makespan
from weir.twin.rounds.policies.weir import weir, weir_given
from weir.twin.rounds.simulation import Policy, RoundsOutcome, State, simulate

POLICIES: Mapping[str, Callable[[Case], Policy]] = MappingProxyType(
    {
        "fifo": Fifo,
        "max-min": max_min,
        "min-jct": min_jct,
        "min-makespan": min_makespan,
        "weir": weir,
        "weir-given": weir_given,
    }
)
"""By name. `weir`, `fifo` and `max-min` do not look at how much work a job has left; the others do."""

__all__ = ["NONE", "POLICIES", "Case", "Policy", "RoundsOutcome", "Rule", "State", "simulate"]
