"""The score of one pool for one job, in fixed point: lower is better.

No step overflows 64 bits: inputs are bounded where they enter (see `inputs.py`), and each product is either below
2**63 by those bounds or saturates. Bounds: time limit < 2**35 ms, speeds 1..10**6, prices and carbon <= 2**40,
amounts (thousandths times tasks) <= 2**37, weights <= 10**5.
"""

import numba

compiled = numba.njit(cache=True, error_model="numpy")

LONGEST_RUN = 2**38
LONGEST_MOVE = 2**39
LARGEST_RATE = 2**50
LARGEST_TERM = 2**44
"""Micro-yuan (17.6 million yuan) or milligrams: what is more counts as this. 3 x 10**5 x 2**44 < 2**63."""
HOUR_MS = 3_600_000


@compiled
def scaled(value, factor, divisor, most):  # type: ignore[no-untyped-def]
    """floor(value * factor / divisor), or `most` if that is less. Needs (divisor - 1) * factor + most < 2**63."""
    if value <= 0 or factor <= 0:
        return 0
    whole = value // divisor
    if whole > most // factor:
        return most
    return min(most, whole * factor + (value % divisor) * factor // divisor)


@compiled
def terms(pools, classes, rates, pool, job_class, limit):  # type: ignore[no-untyped-def]
    """(run ms, data ms, money in micro-yuan, carbon in mg, score) of one job of a class with that time limit.

    rates: what an hour and what a kilogram of CO2 is worth, in micro-yuan.
    """
    speed = pools.speed[pool]
    variant = classes.variant[job_class]
    if variant >= 0:
        speed *= classes.variant_speed[variant, pools.stack[pool]]
    else:
        speed *= 1_000
    speed = max(speed, 1)
    run = min(LONGEST_RUN, (limit * 1_000_000 + speed - 1) // speed)
    move = 0
    data = classes.data[job_class]
    if data >= 0:
        move = classes.data_ms[data, pools.centre[pool]]
    devices = classes.all_devices[job_class]
    rate = scaled(pools.device_hour[pool], devices, 1_000, LARGEST_RATE)
    rate += scaled(pools.core_hour[pool], classes.all_cores[job_class], 1_000, LARGEST_RATE)
    money = scaled(rate, run, HOUR_MS, LARGEST_TERM)
    carbon = scaled(scaled(pools.carbon[pool], devices, 1_000, LARGEST_RATE), run, HOUR_MS, LARGEST_TERM)
    time_worth = scaled(rates[0], run + move, HOUR_MS, LARGEST_TERM)
    carbon_worth = scaled(carbon, rates[1], 1_000_000, LARGEST_TERM)
    score = (
        classes.weight_time[job_class] * time_worth
        + classes.weight_money[job_class] * money
        + classes.weight_carbon[job_class] * carbon_worth
    ) // 1_000
    return run, move, money, carbon, score
