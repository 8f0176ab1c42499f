"""A deterministic simulation: the real control and agents in virtual time, over random histories full of faults.

`run_history(seed)` lives through one; the same seed is the same history. `python -m tests.simulation SEED` tells it.
"""

from tests.simulation.history import HistoryResult, run_history
from tests.simulation.world import HistoryError

__all__ = ["HistoryError", "HistoryResult", "run_history"]
