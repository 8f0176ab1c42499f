"""What a job costs, draws and emits where it ran: its pool's rates times what it occupied times how long.

The core scores with the same products (`scheduling/kernels/score.py`): money is the device rate times devices plus
the core rate times cores; energy is the devices' rated power, since no rate for cores or whole nodes is declared;
carbon is that energy times the pool's intensity. Prices and intensity that change count as they are while the job runs.
Amounts are per job, rounded half up, so that totals are sums of what is shown.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weir.scheduling.inputs import Curve, PoolRow
from weir.scheduling.supply import value_over
from weir.twin.workload import Int64s

HOUR_MS = 3_600_000
LARGEST_FACTOR = 2**31
"""Up to this the arithmetic stays in 64 bits, as long as a job occupies less than 2**31 thousandth-hours."""


def cost_micro_yuan(
    run_ms: Int64s,
    devices_milli: Int64s,
    cores_milli: Int64s,
    pool: Int64s,
    pools: Sequence[PoolRow],
    begin_ms: Int64s | None = None,
) -> Int64s:
    """Micro-yuan of each job; 0 for one that never started (pool -1). begin_ms: Unix times, for prices that change."""
    device = by_pool([row.device_hour_micro_yuan for row in pools], pool)
    core = by_pool([row.core_hour_micro_yuan for row in pools], pool)
    devices = _priced(run_ms, devices_milli, device, 1_000 * HOUR_MS)
    cores = _priced(run_ms, cores_milli, core, 1_000 * HOUR_MS)
    if begin_ms is not None:
        for place, row in enumerate(pools):
            there = pool == place
            _price_over_time(devices, row.device_hour_over_time, there, begin_ms, run_ms, devices_milli)
            _price_over_time(cores, row.core_hour_over_time, there, begin_ms, run_ms, cores_milli)
    return devices + cores


def energy_joules(run_ms: Int64s, devices_milli: Int64s, pool: Int64s, pools: Sequence[PoolRow]) -> Int64s:
    """Joules of each job's devices at their rated power; 0 for one that never started."""
    watts = by_pool([row.device_power_watts for row in pools], pool)
    return _priced(run_ms, devices_milli, watts, 1_000_000)


def carbon_mg(
    run_ms: Int64s,
    devices_milli: Int64s,
    pool: Int64s,
    pools: Sequence[PoolRow],
    begin_ms: Int64s | None = None,
) -> Int64s:
    """Milligrams of CO2 of each job's devices: watts times grams a kilowatt-hour are milligrams an hour."""
    intensity = by_pool([row.device_power_watts * row.carbon_g_per_kwh for row in pools], pool)
    found = _priced(run_ms, devices_milli, intensity, 1_000 * HOUR_MS)
    if begin_ms is not None:
        for place, row in enumerate(pools):
            drawn = devices_milli * row.device_power_watts
            _price_over_time(found, row.carbon_over_time, pool == place, begin_ms, run_ms, drawn)
    return found


def by_pool(values: Sequence[int], pool: Int64s) -> Int64s:
    """Each job's pool's value; 0 where the pool is -1."""
    return np.array([*values, 0], np.int64)[pool]


def _priced(run_ms: Int64s, amount: Int64s, factor: Int64s, divisor: int) -> Int64s:
    """round(run * amount * factor / divisor), half up, without overflow."""
    if len(run_ms) == 0 or not factor.any():
        return np.zeros(len(run_ms), np.int64)
    occupied = run_ms * amount
    if factor.max() > LARGEST_FACTOR:
        exact = occupied.astype(object) * factor.astype(object)
        return np.array((exact + divisor // 2) // divisor, np.int64)
    whole, rest = np.divmod(occupied, divisor)
    priced: Int64s = whole * factor + (rest * factor + divisor // 2) // divisor
    return priced


def _price_over_time(
    found: Int64s,
    curve: Curve | None,
    which: NDArray[np.bool_],
    begin_ms: Int64s,
    run_ms: Int64s,
    amount: Int64s,
) -> None:
    """Write what these jobs take at a figure that changes: its sum over the run, times the amount, rounded half up."""
    if curve is None:
        return
    divisor = 1_000 * HOUR_MS
    for job in np.flatnonzero(which).tolist():
        begin = int(begin_ms[job])
        taken = value_over(curve, begin, begin + int(run_ms[job])) * int(amount[job])
        found[job] = (taken + divisor // 2) // divisor
