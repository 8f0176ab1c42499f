"""The chart of accounts: a data file; and the codes of accounts, `kind:owner`."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from weir.registry import data_folder
from weir.registry.document import parse_document, read_document

CHART_VERSION = 1
_CODE = re.compile(r"([a-z][a-z-]*)(?::([^\s:][^\n]{0,199}))?")


class Side(Enum):
    """The side of a transfer on which an account grows."""

    DEBIT = "debit"
    CREDIT = "credit"


class AccountRole(Enum):
    """What a kind of account does for holds and limits."""

    PLAIN = "plain"
    FUNDING = "funding"
    """Money is set aside from it, and given back to it."""
    HOLD = "hold"
    """Money that is set aside. Its transfers move the counters that the account names."""


@dataclass(frozen=True, slots=True)
class AccountKind:
    """One kind of account of the chart."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - how Pydantic is told, as in `model`
    id: str
    name: str
    name_zh: str
    side: Side
    owner: str
    """Of what an account's owner is the id; empty where there is but one account of the kind."""
    role: AccountRole = AccountRole.PLAIN


@functools.cache
def chart_of_accounts() -> Mapping[str, AccountKind]:
    """The kinds of accounts by id, from the file `catalogue/accounts.yaml`. Read once. Raises ProblemError."""
    file = data_folder("catalogue") / "accounts.yaml"
    return MappingProxyType(read_chart(file.read_text("utf-8"), file.name))


def read_chart(text: str, source: str) -> dict[str, AccountKind]:
    """The kinds of accounts that a chart declares. Raises ProblemError naming line, field and what is accepted."""
    document = read_document(text, source)
    version = document.values.get("version") if isinstance(document.values, dict) else None
    if version != CHART_VERSION:
        raise document.problem("invalid-chart", [(("version",), version, f"give version: {CHART_VERSION}")])
    kinds = parse_document(document, tuple[AccountKind, ...], at=("accounts",), kind="invalid-chart")
    found: dict[str, AccountKind] = {}
    for index, kind in enumerate(kinds):
        if kind.id in found or not _CODE.fullmatch(kind.id):
            accepted = "give lower-case letters and -, each kind once"
            raise document.problem("invalid-chart", [(("accounts", index, "id"), kind.id, accepted)])
        found[kind.id] = kind
    return found


def account(kind: str, owner: str = "") -> str:
    """The code of an account. Raises ValueError for a kind that is not in the chart, or an owner too many or few."""
    code = f"{kind}:{owner}" if owner else kind
    kind_of(code)
    return code


@functools.lru_cache(maxsize=1 << 16)
def kind_of(code: str) -> AccountKind:
    """What kind of account a code names. Raises ValueError where it names none."""
    match = _CODE.fullmatch(code)
    kind = chart_of_accounts().get(match[1]) if match else None
    if match is None or kind is None:
        known = ", ".join(chart_of_accounts())
        raise ValueError(f"{code!r} is no account; give KIND:OWNER with one of the kinds {known}")
    if bool(match[2]) != bool(kind.owner):
        needs = f"the id of a {kind.owner} after it" if kind.owner else "nothing after it"
        raise ValueError(f"{code!r} is no account; {kind.id} has {needs}")
    return kind


def owner_of(code: str) -> str:
    """Whose account it is; empty where there is but one of the kind."""
    return code.partition(":")[2]


__all__ = [
    "AccountKind",
    "AccountRole",
    "Side",
    "account",
    "chart_of_accounts",
    "kind_of",
    "owner_of",
    "read_chart",
]
