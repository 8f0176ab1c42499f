"""The score of one pool for one job, in fixed point: lower is better.

No step overflows 64 bits: inputs are bounded where they enter (see `inputs.py`), and each product is either below
2**63 by those bounds or saturates. Bounds: time limit < 2**35 ms, speeds 1..10**6, prices and carbon <= 2**40,
amounts (thousandths times tasks) <= 2**37, weights <= 10**5.
"""

import numpy as np

from weir.scheduling.kernels.compiled import bare_folded as folded

LONGEST_RUN = 2**38
LONGEST_MOVE = 2**39
LARGEST_RATE = 2**50
LARGEST_TERM = 2**44
"""Micro-yuan (17.6 million yuan) or milligrams: what is more counts as this. 3 x 10**5 x 2**44 < 2**63."""
HOUR_MS = 3_600_000
OVERFLOWING = 2.0**62


@folded
def scaled(value, factor, divisor, most):  # type: ignore[no-untyped-def]
    """floor(value * factor / divisor), or `most` if that is less.

    Needs values that are not negative, most <= 2**61, and (divisor - 1) * factor < 2**62. `divisor` is a constant, so
    that compiling makes a multiplication of the division.
    """
    whole = value // divisor
    # A product that rounds to less than 2**62 is less than 2**63, and so can be compared as it is.
    if float(whole) * float(factor) >= OVERFLOWING:
        return most
    return min(most, whole * factor + (value % divisor) * factor // divisor)


@folded
def time_to_move(classes, move, centre):  # type: ignore[no-untyped-def]
    """How long that much data takes to a centre that it can get to, in ms: whole seconds and then the rest."""
    bits = classes.bits[move.road, centre]
    if bits <= 0:
        return 0
    whole = move.bytes // bits
    if whole >= LONGEST_MOVE // 8_000:
        return LONGEST_MOVE
    rest = (move.bytes - whole * bits) * 8_000
    return whole * 8_000 + (rest + bits - 1) // bits + classes.latency[move.road, centre]


@folded
def run_there(pools, classes, place, job_class, limit):  # type: ignore[no-untyped-def]
    """How long in a pool a class runs that runs so long at nominal speed."""
    pool = pools[place]
    job = classes.row[job_class]
    speed = pool.speed
    if job.variant >= 0:
        speed *= classes.variant_speed[job.variant, pool.stack]
    else:
        speed *= 1_000
    speed = max(speed, 1)
    return min(LONGEST_RUN, (limit * 1_000_000 + speed - 1) // speed)


@folded
def move_there(pools, classes, place, job_class):  # type: ignore[no-untyped-def]
    """How long the data of a class take to a pool."""
    job = classes.row[job_class]
    move = np.int64(0)
    for i in range(job.data, job.data + job.moves):
        move += time_to_move(classes, classes.move[i], pools[place].centre)
        if move > LONGEST_MOVE:
            move = np.int64(LONGEST_MOVE)
    return move


@folded
def priced(pools, classes, rates, place, job_class, run, move, device_hour, core_hour, carbon_hour):  # type: ignore[no-untyped-def]
    """(run ms, data ms, money in micro-yuan, carbon in mg, score) of one job of a class that runs so long there.

    rates: what an hour and what a kilogram of CO2 is worth, in micro-yuan. device_hour, core_hour, carbon_hour: the
    prices of an hour of a device and of a core, and mg of CO2 an hour of a device, on the average of the run.
    Money is what its owner pays; in another city than its own it scores as if it waited so much longer, and so it
    does for the wait that is expected in the pool's own queue.
    """
    pool = pools[place]
    job = classes.row[job_class]
    net = job.net if job.net >= 0 else classes.net_there[-1 - job.net, place]
    away = job.away if job.home >= 0 and job.home != pool.city else np.int64(0)
    rate = scaled(device_hour, job.all_devices, 1_000, LARGEST_RATE)
    rate += scaled(core_hour, job.all_cores, 1_000, LARGEST_RATE)
    rate += scaled(classes.price[job.book, place].memory_hour, job.all_memory, 1_000, LARGEST_RATE)
    money = scaled(scaled(rate, run, HOUR_MS, LARGEST_TERM), net, 1_000, LARGEST_TERM)
    carbon = scaled(scaled(carbon_hour, job.all_devices, 1_000, LARGEST_RATE), run, HOUR_MS, LARGEST_TERM)
    time_worth = scaled(rates[0], run + move + away + pool.wait, HOUR_MS, LARGEST_TERM)
    carbon_worth = scaled(carbon, rates[1], 1_000_000, LARGEST_TERM)
    score = (
        job.weight_time * time_worth + job.weight_money * money + job.weight_carbon * carbon_worth
    ) // 1_000
    return run, move, money, carbon, score
