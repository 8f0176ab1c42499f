"""Money: prices, holds, metering, the ledger, schemes and statements. Nothing else posts to the ledger.

Amounts are integer micro-yuan. Every function takes the transaction or connection to work on, and the time.
"""

from weir.billing.accounts import (
    AccountKind,
    AccountRole,
    Side,
    account,
    chart_of_accounts,
    kind_of,
    owner_of,
)
from weir.billing.ledger import (
    Entry,
    Movement,
    Posted,
    StoredEntry,
    Transfer,
    entries_between,
    entries_by_cause,
    entries_of_book,
    entry_of,
    movements,
    open_account,
    post,
    post_within,
)
from weir.billing.ledger_counters import (
    Counter,
    LimitTooLowError,
    OverLimitError,
    Shortage,
    all_counters,
    counters,
    open_counter,
    set_limit,
)
from weir.billing.ledger_verify import Verification, balances, recomputed_counters, verify

__all__ = [
    "AccountKind",
    "AccountRole",
    "Counter",
    "Entry",
    "LimitTooLowError",
    "Movement",
    "OverLimitError",
    "Posted",
    "Shortage",
    "Side",
    "StoredEntry",
    "Transfer",
    "Verification",
    "account",
    "all_counters",
    "balances",
    "chart_of_accounts",
    "counters",
    "entries_between",
    "entries_by_cause",
    "entries_of_book",
    "entry_of",
    "kind_of",
    "movements",
    "open_account",
    "open_counter",
    "owner_of",
    "post",
    "post_within",
    "recomputed_counters",
    "set_limit",
    "verify",
]
