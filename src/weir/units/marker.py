"""Field types for boundary classes: integers inside, texts with a unit where people write them.

`Annotated[int, UnitField]` tells Pydantic how to read a field, by the protocol that it looks for on any
annotation. Core schemas are plain dictionaries, so nothing of Pydantic is imported: agents use the same
classes with the standard library alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from weir.units.duration import ACCEPTED as DURATION_ACCEPTED
from weir.units.duration import LATENCY_ACCEPTED, parse_duration_ms, parse_latency_us
from weir.units.money import ACCEPTED as MONEY_ACCEPTED
from weir.units.money import parse_yuan
from weir.units.size import ACCEPTED as SIZE_ACCEPTED
from weir.units.size import parse_bytes


@dataclass(frozen=True, slots=True)
class UnitField:
    """How a quantity is written by people, and how it is read into an integer.

    `parse` raises ValueError with a message that says what is accepted.
    """

    parse: Callable[[object], int]
    accepted: str
    example: str
    number: bool = False
    """Whether a plain number is accepted too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        return {"type": "function-plain", "function": {"type": "no-info", "function": self.parse}}

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        kinds = ["number", "string"] if self.number else "string"
        return {"type": kinds, "description": self.accepted, "examples": [self.example]}


def parse_milli_cores(value: object) -> int:
    """Thousandths of a core from a number of cores such as `4` or `0.5`. Raises ValueError."""
    try:
        cores = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        cores = Decimal("NaN")
    if not cores.is_finite() or not 0 < cores <= 65_536 or cores * 1_000 != int(cores * 1_000):
        raise ValueError(
            f"{value!r} is not a number of cores; write one in thousandths or coarser, such as 4 or 0.5"
        )
    return int(cores * 1_000)


DurationMs = Annotated[int, UnitField(parse_duration_ms, DURATION_ACCEPTED, "2h30m")]
LatencyUs = Annotated[int, UnitField(parse_latency_us, LATENCY_ACCEPTED, "0.3 ms")]
Bytes = Annotated[int, UnitField(parse_bytes, SIZE_ACCEPTED, "16GiB")]
MicroYuan = Annotated[int, UnitField(parse_yuan, MONEY_ACCEPTED, "12.50")]
MilliCores = Annotated[
    int, UnitField(parse_milli_cores, "a number of cores, such as 4 or 0.5", "4", number=True)
]
