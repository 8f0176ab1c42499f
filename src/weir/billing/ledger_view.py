"""Money for people: budgets, entries, exceptions and charges as views."""

from collections.abc import Mapping
from dataclasses import replace

from weir.billing.budget import BudgetState
from weir.billing.exceptions import MoneyException
from weir.billing.ledger import StoredEntry
from weir.billing.ledger_counters import Counter
from weir.model.money_view import (
    BillView,
    BudgetView,
    CounterView,
    ExceptionView,
    LedgerEntryView,
    TransferView,
)

Names = Mapping[int, tuple[str, str]]
"""Name and organisation of jobs by number."""


def budget_view(state: BudgetState) -> BudgetView:
    """A budget in one period."""
    budget = state.budget
    return BudgetView(
        budget.id,
        budget.organisation,
        budget.kind.value,
        budget.period.value,
        state.period,
        _counter(state.total),
        {member: _counter(counter) for member, counter in state.members.items()},
        budget.thresholds,
        state.warning,
    )


def entry_view(entry: StoredEntry) -> LedgerEntryView:
    """An entry of the ledger."""
    return LedgerEntryView(
        entry.number,
        entry.book,
        entry.cause,
        entry.kind,
        entry.at_ms,
        entry.hash,
        tuple(TransferView(debit, credit, amount) for debit, credit, amount in entry.transfers),
        entry.corrects,
        entry.detail,
    )


def exception_view(case: MoneyException, names: Names) -> ExceptionView:
    """An entry of the exceptions queue."""
    return ExceptionView(
        case.number,
        case.kind.value,
        case.at_ms,
        case.organisation,
        case.centre,
        case.said,
        names.get(case.job or 0, ("", ""))[0],
        case.epoch,
        case.detail,
        case.resolved_ms,
        case.resolution,
    )


def with_names(bill: BillView, names: Names) -> BillView:
    """The bill with its jobs' names in the place of their numbers."""
    return replace(
        bill,
        charges=tuple(replace(one, job=names.get(int(one.job), ("", ""))[0]) for one in bill.charges),
    )


def _counter(counter: Counter) -> CounterView:
    return CounterView(counter.limit, counter.held, counter.spent, counter.available)


__all__ = ["budget_view", "entry_view", "exception_view", "with_names"]
