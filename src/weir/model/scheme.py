"""A public scheme as dated rules over facts: who gets how much public money for computing, and how it is paid."""

from dataclasses import dataclass
from datetime import date
from enum import Enum

from weir.units import MicroYuan
from weir.units.share import SharePpm

_STRICT = {"extra": "forbid"}


class Base(Enum):
    """What the rate is taken of."""

    CONTRACT = "contract"
    """the eligible lines of a contract with agreed amounts; the claim is for a sum"""
    USAGE = "usage"
    """each eligible charge as it is posted; the claim is for up to what the caps leave"""


class Mode(Enum):
    """How a voucher becomes money."""

    DEDUCT = "deduct"
    """taken off each charge; the funder pays the supplier afterwards"""
    REIMBURSE = "reimburse"
    """the holder pays in full first, and is paid back on evidence"""


class Combine(Enum):
    """What happens where several tiers apply."""

    HIGHEST = "highest"
    """the one that gives most, alone"""
    SUM = "sum"
    """all of them, up to the whole cost"""


class Count(Enum):
    """What counts against a holder's yearly cap."""

    CLAIMED = "claimed"
    """what is claimed, in the year of the claim"""
    REDEEMED = "redeemed"
    """what is redeemed, in the year in which the charge is posted"""


class Scope(Enum):
    """Within what a scheme excludes others."""

    CONTRACT = "contract"
    HOLDER = "holder"


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one fact, or of several conditions. A fact that is missing makes it undecided.

    Facts are `holder.NAME` and `supplier.NAME` with a name of `catalogue/facts.yaml`; `centre.kind`,
    `centre.city` and `centre.capacity.KIND.UNIT[.PRECISION]`; and of what is bought `line.kind`,
    `line.chip-origin` (domestic or foreign), `line.purpose` and `line.registered-model` (yes or no).
    """

    __pydantic_config__ = _STRICT
    fact: str = ""
    one_of: tuple[str, ...] = ()
    """The value is one of these."""
    within: tuple[str, ...] = ()
    """The value begins with one of these: `11` is Beijing in a division code, `I65` software in an industry."""
    at_least: int | None = None
    """The value is a number that is not below this one."""
    at_most: int | None = None
    """The value is a number that is not above this one."""
    above: int | None = None
    """The value is a number above this one."""
    since: date | None = None
    """The value is this day or a later one."""
    until: date | None = None
    """The value is this day or an earlier one."""
    first_months: int | None = None
    """The day of the claim lies within so many months after the value."""
    all_of: tuple["Condition", ...] = ()
    any_of: tuple["Condition", ...] = ()
    none_of: tuple["Condition", ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One clause that must hold."""

    __pydantic_config__ = _STRICT
    id: str
    text: str
    """The clause in plain words, as it is shown with its verdict."""
    when: Condition
    text_zh: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """A rate, and when it applies. Without `when` it always does."""

    __pydantic_config__ = _STRICT
    id: str
    rate: SharePpm
    """Of the eligible cost, such as `30%`."""
    text: str = ""
    text_zh: str = ""
    when: Condition | None = None
    most: MicroYuan | None = None
    """The most that one claim of this tier gives."""
    once: bool = False
    """A holder gets it once, ever."""


@dataclass(frozen=True, slots=True)
class HolderCap:
    """The most that one holder gets in a calendar year."""

    __pydantic_config__ = _STRICT
    per_year: MicroYuan
    counts: tuple[Count, ...] = (Count.CLAIMED, Count.REDEEMED)
    unless: Condition | None = None
    """Holders for which this holds have no such cap."""


@dataclass(frozen=True, slots=True)
class Validity:
    """How long what was claimed can be used; give one. With none it has no end."""

    __pydantic_config__ = _STRICT
    months: int | None = None
    """So many months after the day of the claim, which does not count (Civil Code, articles 201 to 203)."""
    year_end: bool = False
    """Through 31 December of the year of the claim."""
    through: date | None = None


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """What a contract must be like."""

    __pydantic_config__ = _STRICT
    signed_from: date | None = None
    signed_through: date | None = None
    most_months: int | None = None
    """Its term is not longer."""
    one_claim: bool = True
    """A contract is claimed for once."""


@dataclass(frozen=True, slots=True)
class Exclusive:
    """No double subsidy: no other scheme or subsidy of this group goes with it."""

    __pydantic_config__ = _STRICT
    group: str
    scope: Scope = Scope.CONTRACT


@dataclass(frozen=True, slots=True)
class Redemption:
    """How a voucher becomes money, and whom the funder pays: each quarter, by the day of posting."""

    __pydantic_config__ = _STRICT
    mode: Mode
    evidence: tuple[str, ...] = ("delivery",)
    """What must be there before it is settled: `delivery` is metered usage; `invoice`, `payment`, `electricity`
    and others are recorded with the contract."""


@dataclass(frozen=True, slots=True)
class Funder:
    """Who pays, and how many parts of the whole."""

    __pydantic_config__ = _STRICT
    id: str
    name: str
    name_zh: str = ""
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Check:
    """A step of the re-check trail that somebody signs before a redemption is settled."""

    __pydantic_config__ = _STRICT
    id: str
    by: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where a rule was read."""

    __pydantic_config__ = _STRICT
    title: str
    url: str = ""
    official: bool = False
    """Whether it is the official text, rather than a publication about it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """The rules for claims from one day through another. Editions do not overlap."""

    __pydantic_config__ = _STRICT
    begins: date
    base: Base
    tiers: tuple[Tier, ...]
    redemption: Redemption
    funders: tuple[Funder, ...]
    ends: date | None = None
    """The last day of claims."""
    pool_per_year: MicroYuan | None = None
    """All claims of a calendar year together; without it there is no such limit."""
    holder_cap: HolderCap | None = None
    combine: Combine = Combine.HIGHEST
    least_claim: MicroYuan | None = None
    """A smaller claim is refused."""
    most_claim: MicroYuan | None = None
    validity: Validity = Validity()
    cost_lines: tuple[str, ...] = ("compute",)
    """Kinds of cost that count: compute, memory, storage, transfer, network, security, service."""
    holder: tuple[Rule, ...] = ()
    """Who may hold it."""
    supplier: tuple[Rule, ...] = ()
    """Whom it may be bought from."""
    contract: ContractTerms = ContractTerms()
    affiliation_refused: bool = True
    """Buying from an affiliated body does not count."""
    credit_clear_years: int = 0
    """So many years back there is no entry for bad credit; 0 asks nothing."""
    exclusive: tuple[Exclusive, ...] = ()
    evidence: tuple[str, ...] = ()
    """What must be recorded with the contract before it is claimed for, such as `contract`."""
    transferable: bool = False
    """Whether a voucher may be used by another than its holder. Weir transfers none; true is refused."""
    checks: tuple[Check, ...] = ()
    assumed: tuple[str, ...] = ()
    """Parameters that the sources do not show, and that are Weir's reading of them."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A whole scheme file."""

    __pydantic_config__ = _STRICT
    version: int
    scheme: str
    name: str
    sources: tuple[Source, ...]
    editions: tuple[Edition, ...]
    name_zh: str = ""
    authority: str = ""
    notice: str = ""
    """What a reader must know; required where no source is the official text."""
