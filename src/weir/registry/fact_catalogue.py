"""The facts that can be stated about organisations, and the form of their values."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from enum import Enum
from types import MappingProxyType

from weir.registry.catalogue import data_folder
from weir.registry.credit_code import credit_code_fault
from weir.registry.document import parse_document, read_document

_STRICT = {"extra": "forbid"}
VERSION = 1
KIND = "invalid-catalogue"
_DIVISION = re.compile(r"\d{6}")
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_INDUSTRY = re.compile(r"[A-T]\d{0,4}")


class FactForm(Enum):
    """How a fact's value is written."""

    CHOICE = "choice"
    """one of `values`"""
    YES_NO = "yes-no"
    """yes or no"""
    DAY = "day"
    """an ISO date"""
    DIVISION = "division"
    """six digits of GB/T 2260"""
    INDUSTRY = "industry"
    """a letter and up to four digits of GB/T 4754"""
    ID = "id"
    """small letters, digits and single dashes, as ids of the province file"""
    ORGANISATION = "organisation"
    """a unified social credit code"""


@dataclass(frozen=True, slots=True)
class FactKind:
    """What can be stated. Of a fact that is not `many`, the value in force is the one that began last."""

    __pydantic_config__ = _STRICT
    id: str
    name: str
    name_zh: str
    form: FactForm
    values: tuple[str, ...] = ()
    many: bool = False


@functools.cache
def fact_catalogue() -> Mapping[str, FactKind]:
    """Every fact that can be stated, by id. Read once."""
    file = data_folder("catalogue") / "facts.yaml"
    return MappingProxyType({kind.id: kind for kind in read_facts(file.read_text("utf-8"), file.name)})


def read_facts(text: str, source: str) -> tuple[FactKind, ...]:
    """The facts of a catalogue file. Raises ProblemError naming line, field and what is accepted."""
    document = read_document(text, source)
    version = document.values.get("version") if isinstance(document.values, dict) else None
    if version != VERSION:
        raise document.problem(KIND, [(("version",), version, f"give version: {VERSION}")])
    kinds = parse_document(document, tuple[FactKind, ...], at=("facts",), kind=KIND)
    seen: set[str] = set()
    for index, kind in enumerate(kinds):
        if kind.id in seen:
            raise document.problem(
                KIND, [(("facts", index, "id"), kind.id, "this id is taken; choose another")]
            )
        if bool(kind.values) != (kind.form is FactForm.CHOICE):
            found = (
                ("facts", index, "values"),
                list(kind.values),
                "a choice has values, other forms have none",
            )
            raise document.problem(KIND, [found])
        seen.add(kind.id)
    return kinds


def fact_fault(name: str, value: str, catalogue: Mapping[str, FactKind]) -> str:
    """What is wrong with stating this, in words that say what is accepted; empty where nothing is."""
    kind = catalogue.get(name)
    if kind is None:
        near = get_close_matches(name, catalogue, 1, 0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"there is no fact {name!r}{hint} (catalogue/facts.yaml lists them)"
    if kind.form is FactForm.CHOICE and value not in kind.values:
        return f"{name} is one of {', '.join(kind.values)}"
    if kind.form is FactForm.YES_NO and value not in ("yes", "no"):
        return f"{name} is yes or no"
    if kind.form is FactForm.DAY and not is_day(value):
        return f"{name} is a day such as 2025-09-24"
    if kind.form is FactForm.DIVISION and not _DIVISION.fullmatch(value):
        return f"{name} is a division's six digits such as 340100"
    if kind.form is FactForm.INDUSTRY and not _INDUSTRY.fullmatch(value):
        return f"{name} is a letter from A to T and up to four digits such as I65"
    if kind.form is FactForm.ID and not _ID.fullmatch(value):
        return f"{name} is an id such as wuhu"
    if kind.form is FactForm.ORGANISATION:
        return credit_code_fault(value)
    return ""


def is_day(text: str) -> bool:
    """Whether the text is a day written YYYY-MM-DD."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


__all__ = ["FactForm", "FactKind", "fact_catalogue", "fact_fault", "is_day", "read_facts"]
