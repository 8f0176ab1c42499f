"""Which classes may have room in which pools: a byte for each pair, and the same as bits for each pool.

The bytes (`Classes.barred`) are read where one class looks for a pool, and the bits (`vacant`, `eligible`) where what
happens in one pool concerns all classes: they lie together there. Whoever writes one writes the other.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.compiled import entry
from weir.scheduling.tables import BLOCKED, FAILS, SEGMENTS

_HIGHS, _NONE = np.uint64(0x8080808080808080), np.uint64(0)
"""Of eight bytes, the bits that BLOCKED has."""


@folded
def is_vacant(classes, job_class, place):  # type: ignore[no-untyped-def]
    """Whether a class may have room in a pool, as far as is known."""
    return (classes.vacant[place, job_class >> 6] >> (job_class & 63)) & 1 != 0


@folded
def is_eligible(classes, job_class, place):  # type: ignore[no-untyped-def]
    """Whether no constraint fails for a class in a pool."""
    return (classes.eligible[place, job_class >> 6] >> (job_class & 63)) & 1 != 0


@folded
def bar(classes, job_class, place):  # type: ignore[no-untyped-def]
    """A class that is eligible in a pool was found not to fit there."""
    classes.barred[job_class, place] = BLOCKED
    classes.vacant[place, job_class >> 6] &= ~(np.int64(1) << (job_class & 63))


@folded
def unbar(classes, job_class, place):  # type: ignore[no-untyped-def]
    """It may fit again."""
    classes.barred[job_class, place] = 0
    classes.vacant[place, job_class >> 6] |= np.int64(1) << (job_class & 63)
    classes.row[job_class].chances |= np.int64(1) << segment_of(classes, place)


@folded
def segment_of(classes, place):  # type: ignore[no-untyped-def]
    """The segment in which a pool lies."""
    return place // (8 * max(1, (len(classes.vacant) + 8 * SEGMENTS - 1) // (8 * SEGMENTS)))


@inner
def unbar_all(classes, job_class):  # type: ignore[no-untyped-def]
    """Of a class nothing is known: it may fit in each pool where no constraint fails."""
    for eight in range(classes.eights.shape[1]):
        if classes.eights[job_class, eight] & _HIGHS != _NONE:
            for place in range(8 * eight, 8 * eight + 8):
                if classes.barred[job_class, place] == BLOCKED:
                    unbar(classes, job_class, place)


@entry
def note_bits(barred, vacant, eligible, first, end):  # type: ignore[no-untyped-def]
    """Write the bits of the classes from 64 * first to 64 * end by their bytes."""
    pools = len(vacant)
    may, could = np.empty(pools, np.int64), np.empty(pools, np.int64)
    for word in range(first, end):
        may[:] = 0
        could[:] = 0
        for bit in range(min(64, len(barred) - 64 * word)):
            row = barred[64 * word + bit]
            for place in range(pools):
                may[place] |= np.int64(row[place] == 0) << bit
                could[place] |= np.int64(row[place] & FAILS == 0) << bit
        vacant[:, word] = may
        eligible[:, word] = could


__all__ = ["bar", "is_eligible", "is_vacant", "note_bits", "unbar", "unbar_all"]
