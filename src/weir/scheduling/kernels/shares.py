"""Fair shares: what each tenant has lately used, and by how much that puts off his waiting jobs.

Usage fades by half every half-life. It is kept as usage x 2**(time / half-life), so that fading moves nobody; now and
then all of it is scaled down together.
"""

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.prediction import exponential, logarithm

EPOCH, TOTAL, USERS, HALF_LIFE_MS, SHARE_MS = 0, 1, 2, 3, 4
PLACES = 5
OCTAVE = 1 << 16
_AHEAD = 8
"""Half-lives after which all usage is scaled down."""


@inner
def charge(trace, tenant, amount, now):  # type: ignore[no-untyped-def]
    """Add node-seconds to what a tenant has used (negative: take them back, though never below nothing)."""
    half_life = trace.share[HALF_LIFE_MS]
    while now - trace.share[EPOCH] >= _AHEAD * half_life:
        trace.share[EPOCH] += _AHEAD * half_life
        total = 0
        for each in range(len(trace.used)):
            trace.used[each] >>= _AHEAD
            total += trace.used[each]
        trace.share[TOTAL] = total
    weight = exponential(max(0, (((now - trace.share[EPOCH]) << 16) // half_life) + 6 * OCTAVE))
    before = trace.used[tenant]
    after = max(0, before + amount * weight)
    if before == 0 and after > 0:
        trace.share[USERS] += 1
    elif before > 0 and after == 0:
        trace.share[USERS] -= 1
    trace.used[tenant] = after
    trace.share[TOTAL] += after - before


@folded
def put_off(trace, tenant):  # type: ignore[no-untyped-def]
    """By how many milliseconds a tenant's jobs stand back: SHARE_MS for each doubling of his use over the average."""
    used = trace.used[tenant]
    users = max(1, trace.share[USERS])
    average = max(1, trace.share[TOTAL] // users)
    if used <= average:
        return 0
    return (logarithm(used) - logarithm(average)) * (trace.share[SHARE_MS] >> 10) >> 6
