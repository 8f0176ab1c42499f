"""The scheduling core: arrays in, plan out. No I/O but the cache of compiled code, no clock, no database, no logging.

Importing this room does not import Numba; the first `State`, `step` or `warm_up` does.
"""

from weir.scheduling.compilation import code_version, warm_up
from weir.scheduling.eligibility import fits_ever, largest_that_fits
from weir.scheduling.explanation import explain
from weir.scheduling.policy import Policy
from weir.scheduling.simulation import Expected, Simulated, SimulatedJobs, simulate
from weir.scheduling.state import State
from weir.scheduling.step import step
from weir.scheduling.validation import validate

__all__ = [
    "Expected",
    "Policy",
    "Simulated",
    "SimulatedJobs",
    "State",
    "code_version",
    "explain",
    "fits_ever",
    "largest_that_fits",
    "simulate",
    "step",
    "validate",
    "warm_up",
]
