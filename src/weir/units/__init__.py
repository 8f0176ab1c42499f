"""Money, time, sizes and dimensioned quantities: names before numbers.

Everything here is standard library only, because agents import it at centres that have Python alone.
"""

from weir.units.duration import format_duration, parse_duration_ms, parse_latency_us
from weir.units.marker import Bytes, DurationMs, LatencyUs, MicroYuan, MilliCores, UnitField
from weir.units.money import MICRO_YUAN_PER_YUAN, format_yuan, parse_yuan
from weir.units.quantity import Quantity, UnlikeQuantitiesError
from weir.units.rounding import cumulative_share, round_half_even
from weir.units.size import format_bytes, parse_bytes
from weir.units.time import LATEST_MS, format_time, parse_time_ms

__all__ = [
    "LATEST_MS",
    "MICRO_YUAN_PER_YUAN",
    "Bytes",
    "DurationMs",
    "LatencyUs",
    "MicroYuan",
    "MilliCores",
    "Quantity",
    "UnitField",
    "UnlikeQuantitiesError",
    "cumulative_share",
    "format_bytes",
    "format_duration",
    "format_time",
    "format_yuan",
    "parse_bytes",
    "parse_duration_ms",
    "parse_latency_us",
    "parse_time_ms",
    "parse_yuan",
    "round_half_even",
]
