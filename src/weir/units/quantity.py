"""Dimensioned quantities: a value with its kind, unit, precision and basis. Unlike ones never add."""

from dataclasses import dataclass, replace
from decimal import Decimal


class UnlikeQuantitiesError(TypeError):
    """Two quantities of unlike kind, unit, precision or basis cannot be added or compared."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """So much of something, such as 1200 P of intelligent computing in fp16, nominal.

    `basis` is `nominal` (what the data sheet says) or `measured`.
    """

    value: Decimal
    unit: str
    kind: str
    precision: str = ""
    basis: str = "nominal"

    def __add__(self, other: "Quantity") -> "Quantity":
        self._must_be_like(other)
        return replace(self, value=self.value + other.value)

    def __sub__(self, other: "Quantity") -> "Quantity":
        self._must_be_like(other)
        return replace(self, value=self.value - other.value)

    def __lt__(self, other: "Quantity") -> bool:
        self._must_be_like(other)
        return self.value < other.value

    def __str__(self) -> str:
        precision = f" {self.precision}" if self.precision else ""
        return f"{self.value} {self.unit}{precision} {self.kind} ({self.basis})"

    def _must_be_like(self, other: "Quantity") -> None:
        mine = (self.unit, self.kind, self.precision, self.basis)
        theirs = (other.unit, other.kind, other.precision, other.basis)
        if mine != theirs:
            raise UnlikeQuantitiesError(f"{self} and {other} are unlike and never added")
