"""What a state has of time: what pools offer as it passes, and as of when they are scored."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import PoolRow
from weir.scheduling.supply import Supply, changes_with_time, supply_of
from weir.scheduling.tables import Int64s

SCORED_EVERY_MS = 300_000
"""Where prices, windows or deadlines make scores change with time, they are as of the last full so long, or of the
last instant since then at which a window began or ended or a price changed."""
NOW, TOLD, HURRIED = 0, 1, 2


class Hours(NamedTuple):
    """Made anew whenever pools are declared anew; what is as of when stays."""

    supply: Supply
    timed: bool
    """Whether anything of the supply changes with time."""
    moment: Int64s
    """As `now` of lanes.World; and 1 while any job that waits may have a deadline."""

    def next_change_ms(self, now_ms: int) -> int:
        """The first instant after `now_ms` at which a window begins or ends or a price changes; 2**62: never."""
        return int(kernel("live").changes_next(self.supply, now_ms))

    def turn(self, now_ms: int) -> bool:
        """Say as of when pools are scored in a pass made now; whether what passes found before may be different now.

        So what is found depends on when that is only as far as this says.
        """
        moment, after = now_ms - now_ms % SCORED_EVERY_MS, 0
        while self.timed and after <= now_ms:
            moment = max(moment, after)
            after = self.next_change_ms(moment)
        before, self.moment[NOW] = int(self.moment[NOW]), moment
        return before != moment and (self.timed or bool(self.moment[HURRIED]))


def hours_of(rows: Sequence[PoolRow], moment: Int64s | None = None) -> Hours:
    """Of these pools, in the core's order. Raises ValueError naming the pool whose windows or curves cannot be."""
    if moment is None:
        moment = np.zeros(3, np.int64)
        moment[TOLD] = 1
    return Hours(supply_of(rows), changes_with_time(rows), moment)


__all__ = ["HURRIED", "SCORED_EVERY_MS", "Hours", "hours_of"]
