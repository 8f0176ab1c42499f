"""Rates and power: integers in the base unit inside, `312 TFLOPS`, `100 Gbit/s`, `400 W` where people write them."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated

from weir.units.marker import UnitField

_VALUE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z/]+)")
_SCALE = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18}


def _parser(units: Mapping[str, int], accepted: str) -> Callable[[object], int]:
    def parse(text: object) -> int:
        match = _VALUE.fullmatch(text.strip()) if isinstance(text, str) else None
        factor = units.get(match[2]) if match else None
        if match is None or factor is None:
            raise ValueError(f"{text!r} is not accepted; write {accepted}")
        return int(Decimal(match[1]) * factor)

    return parse


def _scaled(*names: str) -> dict[str, int]:
    return {prefix + name: factor for name in names for prefix, factor in _SCALE.items()}


_RATE = "a rate of operations such as 312 TFLOPS or 624 TOPS"
_BANDWIDTH = "a bandwidth such as 100 Gbit/s"
_POWER = "a power such as 400 W"

parse_operations_per_second = _parser(_scaled("FLOPS", "OPS"), _RATE)
parse_bits_per_second = _parser(_scaled("bit/s"), _BANDWIDTH)
parse_watts = _parser({"W": 1, "kW": 1_000}, _POWER)

OperationsPerSecond = Annotated[int, UnitField(parse_operations_per_second, _RATE, "312 TFLOPS")]
BitsPerSecond = Annotated[int, UnitField(parse_bits_per_second, _BANDWIDTH, "100 Gbit/s")]
Watts = Annotated[int, UnitField(parse_watts, _POWER, "400 W")]
