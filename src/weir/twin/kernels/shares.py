"""Shares of unlike devices and marginal gains of options, without a solver.

Shares: a job i runs the share x[i, k] of the time on kind k; it needs its devices[i] all at once. Shares of a job
add up to at most 1 and those of a kind to at most its capacity. Prices of the kinds are moved by multiplicative weights
(Plotkin, Shmoys, Tardos 1995): each job answers a price with its cheapest shares, whose average over the steps
fits the capacities as nearly as the steps allow; the rest is cut off. So shares are spread, as those of an interior
point method are, rather than all in one corner.
"""

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.kernels.compiled import entry, inner

Floats = NDArray[np.float64]
Int64s = NDArray[np.int64]

NONE = -1
STEPS = 160
"""Price steps of one question; the cut is below 3 % on Gavel's cases."""


@entry
def max_min_shares(rate: Floats, need: Floats, devices: Int64s, capacity: Int64s) -> tuple[float, Floats]:
    """The largest `level` such that every job can have level * need[i] units of work a second, and such shares.

    With need = what an equal share of all devices would do (per device) this is Gavel's heterogeneity-aware max-min;
    with need = remaining work it is its least time in which all can be done (1 / level).
    """
    jobs, kinds = rate.shape
    top = np.inf
    for i in range(jobs):
        top = min(top, rate[i].max() / need[i])
    low, high = 0.0, top
    shares = np.zeros((jobs, kinds))
    # The level lies above what equal time for all allows; 18 halvings leave 4e-6 of the range.
    for _ in range(18):
        level = (low + high) / 2 if low > 0 else high * 0.5
        fits, found = _cheapest_shares(rate, need, devices, capacity, level, 60)
        if fits:
            low, shares = level, found
        else:
            high = level
        if high - low <= 0.01 * high and low > 0:
            break
    if low > 0:
        _, found = _cheapest_shares(rate, need, devices, capacity, low, STEPS)
        shares = found
    return low, shares


@inner  # type: ignore[untyped-decorator]
def _cheapest_shares(
    rate: Floats, need: Floats, devices: Int64s, capacity: Int64s, level: float, steps: int
) -> tuple[bool, Floats]:
    jobs, kinds = rate.shape
    weight = np.ones(kinds)
    total = np.zeros((jobs, kinds))
    load = np.zeros(kinds)
    best = np.zeros(kinds)
    for step in range(steps):
        price = weight / (weight * capacity).sum()
        load[:] = 0.0
        cost = 0.0
        for i in range(jobs):
            cost += _answer(rate[i], level * need[i], price, best) * devices[i]
            for k in range(kinds):
                total[i, k] += best[k]
                load[k] += best[k] * devices[i]
        if cost > 1.0 + 1e-9:
            return False, total
        pace = 2.0 / np.sqrt(step + 4.0)
        for k in range(kinds):
            weight[k] *= np.exp(pace * (load[k] / capacity[k] - 1.0)) if capacity[k] > 0 else 1.0
        weight /= weight.max()
        for k in range(kinds):
            weight[k] = max(weight[k], 1e-9)
    total /= steps
    over = 0.0
    for k in range(kinds):
        used = 0.0
        for i in range(jobs):
            used += total[i, k] * devices[i]
        over = max(over, used / max(capacity[k], 1))
    if over > 1.05:
        return False, total
    return True, total / max(over, 1.0)


@inner  # type: ignore[untyped-decorator]
def _answer(rate: Floats, goal: float, price: Floats, best: Floats) -> float:
    """The cheapest shares that do `goal` a second, in `best`; what they cost a device. inf when none can."""
    kinds = rate.size
    least = np.inf
    first, second, part = -1, -1, 0.0
    for k in range(kinds):
        if rate[k] >= goal:
            cost = price[k] * goal / rate[k]
            if cost < least:
                least, first, second, part = cost, k, -1, goal / rate[k]
    for fast in range(kinds):
        for slow in range(kinds):
            if rate[fast] > goal > rate[slow]:
                share = (goal - rate[slow]) / (rate[fast] - rate[slow])
                cost = price[fast] * share + price[slow] * (1.0 - share)
                if cost < least:
                    least, first, second, part = cost, fast, slow, share
    best[:] = 0.0
    if first >= 0:
        best[first] = part
        if second >= 0:
            best[second] = 1.0 - part
    return least


@entry
def least_completion_shares(rate: Floats, remaining: Floats, devices: Int64s, capacity: Int64s) -> Floats:
    """Shares that make the sum over jobs of remaining[i] / speed[i] least: the fractional min-JCT.

    At prices, the least cost of a speed is convex and made of straight pieces, each a mix of two kinds (or of one and
    idling). A job's best speed lies where the next bit of it costs what it saves: sqrt(remaining / slope) on a piece.
    The prices are moved until the kinds are just full.
    """
    jobs, kinds = rate.shape
    weight = np.full(kinds, 1.0)
    total = np.zeros((jobs, kinds))
    counted = 0.0
    load = np.zeros(kinds)
    best = np.zeros(kinds)
    for step in range(STEPS):
        load[:] = 0.0
        for i in range(jobs):
            _best_mix(rate[i], remaining[i], devices[i], weight, best)
            if step >= STEPS // 2:
                total[i] += best
            load += best * devices[i]
        if step >= STEPS // 2:
            counted += 1.0
        pace = 2.0 / np.sqrt(step + 4.0)
        for k in range(kinds):
            # A price is in units of time saved: it starts anywhere and may have to move by powers of ten.
            gap = load[k] / max(capacity[k], 1) - 1.0
            weight[k] *= np.exp(min(max(4.0 * pace * gap, -3.0), 3.0))
            weight[k] = max(weight[k], 1e-12)
    total /= counted
    for k in range(kinds):
        used = 0.0
        for i in range(jobs):
            used += total[i, k] * devices[i]
        if used > capacity[k]:
            total[:, k] *= capacity[k] / used
    return total


@inner  # type: ignore[untyped-decorator]
def _best_mix(rate: Floats, remaining: float, devices: int, price: Floats, best: Floats) -> None:
    """The shares at which remaining / speed + what they cost is least, in `best`."""
    best[:] = 0.0
    speed, cost, last = 0.0, 0.0, NONE
    while True:
        slope, following = np.inf, NONE
        for k in range(rate.size):
            if rate[k] > speed:
                rise = (price[k] * devices - cost) / (rate[k] - speed)
                if rise < slope:
                    slope, following = rise, k
        if following == NONE:
            break
        wanted = np.sqrt(remaining / max(slope, 1e-300))
        if wanted < rate[following]:
            part = max(0.0, (wanted - speed) / (rate[following] - speed))
            best[following] = part
            if last != NONE:
                best[last] = 1.0 - part
            return
        speed, cost, last = rate[following], price[following] * devices, following
    if last != NONE:
        best[last] = 1.0


@entry
def most_gain(
    gain: Floats,
    fixed: Int64s,
    option_kind: Int64s,
    option_devices: Int64s,
    capacity: Int64s,
    price: Floats,
    steps: int,
) -> Int64s:
    """One option a job such that the sum of gain [job, option] is large; options with gain 0 are never taken.

    `fixed` [job] is an option that must be kept, or NONE. `price` [kind] is what a device of the kind was worth the
    last time; it is moved towards where demand meets capacity and left there. Jobs then choose in order of what they
    gain a device beyond the price, the last devices go to whoever gains most from them, and at last single jobs move,
    one other making room by leaving, moving or narrowing, as long as that gains. Ties go to the earlier job and option.
    """
    jobs, options = gain.shape
    chosen = fixed.copy()
    left = capacity.copy()
    for i in range(jobs):
        if fixed[i] != NONE:
            left[option_kind[fixed[i]]] -= option_devices[fixed[i]]
    open_ = np.empty((jobs, options), np.bool_)
    for i in range(jobs):
        for c in range(options):
            fits = option_devices[c] <= left[option_kind[c]]
            open_[i, c] = fixed[i] == NONE and gain[i, c] > 0 and fits
    _settle(gain, open_, option_kind, option_devices, left, price, steps)
    surplus = np.full(jobs, -np.inf)
    for i in range(jobs):
        for c in range(options):
            if open_[i, c]:
                surplus[i] = max(surplus[i], gain[i, c] / option_devices[c] - price[option_kind[c]])
    order = np.argsort(-surplus, kind="mergesort")
    for rest in range(2):
        for i in order:
            if chosen[i] != NONE:
                continue
            best, choice = 0.0 if rest == 0 else -np.inf, NONE
            for c in range(options):
                kind = option_kind[c]
                if open_[i, c] and option_devices[c] <= left[kind]:
                    net = gain[i, c] - price[kind] * option_devices[c]
                    if net > best:
                        best, choice = net, c
            if choice != NONE:
                chosen[i] = choice
                left[option_kind[choice]] -= option_devices[choice]
    while _improve(gain, open_, option_kind, option_devices, left, chosen, fixed):
        pass
    return chosen


@inner  # type: ignore[untyped-decorator]
def _settle(
    gain: Floats,
    open_: NDArray[np.bool_],
    option_kind: Int64s,
    option_devices: Int64s,
    left: Int64s,
    price: Floats,
    steps: int,
) -> None:
    """Move each kind's price towards where what jobs would take of it is what there is."""
    jobs, options = gain.shape
    load = np.zeros(left.size)
    for step in range(steps):
        load[:] = 0.0
        for i in range(jobs):
            best, choice = 0.0, NONE
            for c in range(options):
                if open_[i, c]:
                    net = gain[i, c] - price[option_kind[c]] * option_devices[c]
                    if net > best:
                        best, choice = net, c
            if choice != NONE:
                load[option_kind[choice]] += option_devices[choice]
        pace = 0.5 / np.sqrt(step + 1.0)
        for k in range(left.size):
            gap = (load[k] - left[k]) / max(left[k], 1)
            price[k] = max(price[k] * np.exp(pace * min(max(gap, -1.0), 1.0)), 1e-12)


@inner  # type: ignore[untyped-decorator]
def _improve(
    gain: Floats,
    open_: NDArray[np.bool_],
    option_kind: Int64s,
    option_devices: Int64s,
    left: Int64s,
    chosen: Int64s,
    fixed: Int64s,
) -> bool:
    """The one change of one job, with at most one other making room for it, that gains most; False when none does."""
    jobs, options = gain.shape
    kinds = left.size
    widest = option_devices.max()
    # [kind, devices] who of those that hold at least so many loses least by freeing them, what, and with what left.
    victim = np.full((kinds, widest + 1), NONE)
    loses = np.full((kinds, widest + 1), np.inf)
    instead = np.full((kinds, widest + 1), NONE)
    for i in range(jobs):
        now = chosen[i]
        if now == NONE or fixed[i] != NONE:
            continue
        kind = option_kind[now]
        for size in range(1, option_devices[now] + 1):
            keeps, rest = 0.0, NONE
            for c in range(options):
                room = option_devices[now] - size if option_kind[c] == kind else left[option_kind[c]]
                if open_[i, c] and option_devices[c] <= room and gain[i, c] > keeps:
                    keeps, rest = gain[i, c], c
            if gain[i, now] - keeps < loses[kind, size]:
                victim[kind, size], instead[kind, size] = i, rest
                loses[kind, size] = gain[i, now] - keeps
    best, who, what, out, rest = 1e-9, NONE, NONE, NONE, NONE
    for i in range(jobs):
        now = chosen[i]
        has = gain[i, now] if now != NONE else 0.0
        for c in range(options):
            if not open_[i, c] or gain[i, c] - has <= best:
                continue
            kind = option_kind[c]
            lack = option_devices[c] - left[kind]
            if now != NONE and option_kind[now] == kind:
                lack -= option_devices[now]
            other, loss, keeps_option = NONE, 0.0, NONE
            if lack > 0:
                other, keeps_option = victim[kind, lack], instead[kind, lack]
                if other in (NONE, i):
                    continue
                loss = loses[kind, lack]
            if gain[i, c] - has - loss > best:
                best, who, what, out, rest = gain[i, c] - has - loss, i, c, other, keeps_option
    if who == NONE:
        return False
    if out != NONE:
        left[option_kind[chosen[out]]] += option_devices[chosen[out]]
        chosen[out] = rest
        if rest != NONE:
            left[option_kind[rest]] -= option_devices[rest]
    if chosen[who] != NONE:
        left[option_kind[chosen[who]]] += option_devices[chosen[who]]
    chosen[who] = what
    left[option_kind[what]] -= option_devices[what]
    return True
