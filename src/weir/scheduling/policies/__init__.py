"""Scheduling policies by name: one small module each, which declares its `POLICY`."""

from weir.scheduling.policies import (
    cheapest,
    conservative,
    earliest,
    easy,
    easy_sjbf,
    f1,
    fcfs,
    nearest,
    race,
    saf,
    sjf,
    sjf_committed,
    sjf_greedy,
    unicef,
    weir,
    weir_by_tenant,
    wfp3,
)
from weir.scheduling.policy import Policy

_MODULES = (
    weir, weir_by_tenant, easy, easy_sjbf, conservative, fcfs, sjf, sjf_greedy, sjf_committed, saf, f1, wfp3, unicef,
    earliest, cheapest, nearest, race,
)  # fmt: skip
NAMED: dict[str, Policy] = {module.POLICY.name: module.POLICY for module in _MODULES}
"""Every policy by its name, the default first."""
ABOUT: dict[str, str] = {
    module.POLICY.name: (module.__doc__ or "").split(": ", 1)[1].split("\n", 1)[0] for module in _MODULES
}
"""What each is, in one sentence or the beginning of one."""

__all__ = ["ABOUT", "NAMED"]
