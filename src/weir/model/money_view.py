"""What the API shows of money: prices, quotes, budgets, charges, the ledger. Amounts are integer micro-yuan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weir.model.view import StartForecastView


@dataclass(frozen=True, slots=True)
class PriceVersionView:
    """One version of the price book. `book` is empty in lists."""

    version: int
    name: str
    starts_ms: int
    applied_ms: int
    digest: str
    in_force: bool
    book: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PriceVersionsView:
    """Versions of the price book, newest first; none where work is not priced."""

    versions: tuple[PriceVersionView, ...]


@dataclass(frozen=True, slots=True)
class PriceDifferenceView:
    """What applying a price book would change: lines to read, and the newest version that it was compared with."""

    lines: tuple[str, ...]
    changed: bool
    version: int


@dataclass(frozen=True, slots=True)
class QuoteLineView:
    """One unit in one band: its list price, how much of it is used (decimal), and what it costs in all.

    `lasts_ms` is how much of the time limit falls into the band, and `quantity` then what an hour uses; 0 where time
    makes no difference.
    """

    unit: str
    band: str
    price: int
    quantity: str
    amount: int
    lasts_ms: int = 0


@dataclass(frozen=True, slots=True)
class QuoteVoucherView:
    """A voucher that would apply, and what it would pay at the time limit."""

    account: str
    share: str
    amount: int


@dataclass(frozen=True, slots=True)
class PoolQuoteView:
    """What one job costs at one pool. With `refused`, why it cannot go there, and nothing else.

    `worst` is what is held: the most for the time limit, whenever it starts. `lines`, `at_limit` and `at_forecast`
    are for a start now. `net` is `at_limit` less what vouchers pay. All are for the most tasks that an elastic job may
    have, but for `at_forecast`: for the fewest, by which its run time is foretold.
    """

    pool: str
    refused: str = ""
    worst: int = 0
    at_limit: int = 0
    at_forecast: int | None = None
    lines: tuple[QuoteLineView, ...] = ()
    vouchers: tuple[QuoteVoucherView, ...] = ()
    net: int = 0
    preempted_charged: bool = False
    at_limit_fewest: int | None = None
    """Of an elastic job, `at_limit` with its fewest tasks."""


@dataclass(frozen=True, slots=True)
class PoolStartView:
    """When a job would start in one pool, or why that is not foretold."""

    pool: str
    start: StartForecastView


@dataclass(frozen=True, slots=True)
class QuoteView:
    """What a job costs, pool by pool, cheapest first. Without `version` work is not priced.

    `forecast_ms` is for how long the scheduler would expect it to run, by the last `forecast_from` jobs of the same
    user; where it cannot say, the median of the organisation's last jobs of the same name that succeeded. `hold` is
    what submitting all `jobs` sets aside.
    """

    version: int | None
    tenant_class: str
    tax: str
    limit_ms: int
    forecast_ms: int | None
    forecast_from: int
    jobs: int
    hold: int
    pools: tuple[PoolQuoteView, ...]
    start: StartForecastView | None = None
    """When it would start if it came behind all that waits now."""
    starts: tuple[PoolStartView, ...] = ()
    """The same for each pool that could run it, by key: when, if that is where it starts."""
    class_share: str = "1"
    """Of list prices, that this class of tenants pays (decimal)."""
    tasks: str = ""
    """Of an elastic job, from how many tasks to how many, such as 2..8."""
    refused: str = ""
    """Why submitting it would be refused, whatever the budget has; empty where it would not."""


@dataclass(frozen=True, slots=True)
class CounterView:
    """A limit and what counts against it."""

    limit: int
    held: int
    spent: int
    available: int


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget in the present period. `members` by project; one without a sub-limit shows the budget's."""

    id: str
    organisation: str
    kind: str
    period_kind: str
    period: str
    total: CounterView
    members: Mapping[str, CounterView]
    thresholds: tuple[str, ...]
    warning: str = ""


@dataclass(frozen=True, slots=True)
class BudgetsView:
    """Budgets by id."""

    budgets: tuple[BudgetView, ...]


@dataclass(frozen=True, slots=True)
class TransferView:
    """So much from one account to another."""

    debit: str
    credit: str
    amount: int


@dataclass(frozen=True, slots=True)
class LedgerEntryView:
    """An entry of the ledger."""

    number: int
    book: str
    cause: str
    kind: str
    at_ms: int
    hash: str
    transfers: tuple[TransferView, ...]
    corrects: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """A page of a book, oldest first."""

    entries: tuple[LedgerEntryView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class BalancesView:
    """Balances by account, each on its kind's own side."""

    balances: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class VerificationView:
    """What walking the whole ledger found; it holds where there are no faults.

    `checked_ms` is when all counters were last made anew by night, and `check_faults` what that found.
    """

    books: int
    entries: int
    transfers: int
    root: str
    faults: tuple[str, ...]
    checked_ms: int | None = None
    check_faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChargeView:
    """Usage as it was charged, or given back (less than 0), for an interval of an attempt."""

    entry: int
    job: str
    epoch: int
    organisation: str
    centre: str
    pool: str
    contract: str
    kind: str
    at_ms: int
    from_ms: int
    to_ms: int
    parts: Mapping[str, int]
    amount: int


@dataclass(frozen=True, slots=True)
class BillView:
    """Charges posted within [from, to), a page of them, and their sums over all pages by pool."""

    from_ms: int
    to_ms: int
    total: int
    pools: Mapping[str, int]
    charges: tuple[ChargeView, ...]
    next: str = ""


@dataclass(frozen=True, slots=True)
class ExceptionView:
    """What could not be metered, priced or paid."""

    number: int
    kind: str
    at_ms: int
    organisation: str
    centre: str
    said: str
    job: str = ""
    epoch: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    resolved_ms: int | None = None
    resolution: str = ""


@dataclass(frozen=True, slots=True)
class ExceptionsView:
    """The queue of exceptions, oldest first."""

    exceptions: tuple[ExceptionView, ...]


__all__ = [
    "BalancesView",
    "BillView",
    "BudgetView",
    "BudgetsView",
    "ChargeView",
    "CounterView",
    "ExceptionView",
    "ExceptionsView",
    "LedgerEntryView",
    "LedgerPage",
    "PoolQuoteView",
    "PriceDifferenceView",
    "PriceVersionView",
    "PriceVersionsView",
    "QuoteLineView",
    "QuoteView",
    "QuoteVoucherView",
    "TransferView",
    "VerificationView",
]
