"""What will be free of a counted pool at every instant to come, once what runs and what is promised is taken off."""

from weir.scheduling.kernels.compiled import bare_folded as folded
from weir.scheduling.kernels.compiled import bare_inner as inner
from weir.scheduling.kernels.counted import FREE, RUNNING

USED = 0


@inner
def unwind(count, profile, now):  # type: ignore[no-untyped-def]
    """Lay the profile out anew from what runs, by the latest ends.

    A step holds from its `time` on until the next one's; the last holds for ever.
    """
    steps = 1
    profile.step[0].time = now
    profile.step[0].free = count.state[FREE]
    for run in range(count.state[RUNNING]):
        end = max(now, count.run[run].end)
        if end > profile.step[steps - 1].time:
            profile.step[steps].time = end
            profile.step[steps].free = profile.step[steps - 1].free
            steps += 1
        profile.step[steps - 1].free += count.run[run].need
    profile.state[USED] = steps


@folded
def find(profile, time):  # type: ignore[no-untyped-def]
    """The step that holds at a time not before the first."""
    low = 0
    high = profile.state[USED]
    while high - low > 1:
        middle = (low + high) >> 1
        if profile.step[middle].time <= time:
            low = middle
        else:
            high = middle
    return low


@inner
def cut(profile, time):  # type: ignore[no-untyped-def]
    """The step that begins at exactly that time, made where there is none."""
    at = find(profile, time)
    if profile.step[at].time == time:
        return at
    for step in range(profile.state[USED], at + 1, -1):
        profile.step[step] = profile.step[step - 1]
    profile.state[USED] += 1
    profile.step[at + 1].time = time
    profile.step[at + 1].free = profile.step[at].free
    return at + 1


@inner
def occupy(profile, begin, end, need):  # type: ignore[no-untyped-def]
    """Take so many nodes off from begin to end (negative: give them back)."""
    first = cut(profile, begin)
    last = cut(profile, end)
    for step in range(first, last):
        profile.step[step].free -= need


@inner
def earliest(profile, now, need, limit):  # type: ignore[no-untyped-def]
    """The first instant from now on at which so many nodes are free for so long."""
    begin = now
    for step in range(find(profile, now), profile.state[USED]):
        if profile.step[step].time >= begin + limit:
            break
        if profile.step[step].free < need:
            begin = profile.step[step + 1].time if step + 1 < profile.state[USED] else begin
    return begin


@inner
def fits_now(profile, need, limit):  # type: ignore[no-untyped-def]
    """Whether so many nodes are free from the first step on for so long."""
    end = profile.step[0].time + limit
    for step in range(profile.state[USED]):
        if profile.step[step].time >= end:
            return True
        if profile.step[step].free < need:
            return False
    return True
