"""Budgets: who may spend how much, in which period, and what their money comes from."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum

from sqlalchemy import Connection, bindparam, select

from weir.billing.accounts import account
from weir.billing.budget_periods import Period, period_name
from weir.billing.ledger import open_account
from weir.billing.ledger_counters import Counter, counters, open_counter
from weir.model.codec import from_plain
from weir.model.problem import not_found, refused
from weir.store import Transaction, schema
from weir.units import MicroYuan, format_yuan

_STRICT = {"extra": "forbid"}
BUDGET_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
UNLIMITED = 2**62
"""The sub-limit of a member that has none."""
DEFAULT_THRESHOLDS = ("0.8", "0.95")

_budget = schema.budget.c
_OF = select(schema.budget).where(_budget.organisation == bindparam("organisation")).order_by(_budget.id)
_ONE = select(schema.budget).where(_budget.id == bindparam("id"))


class BudgetKind(Enum):
    """Where a budget's money comes from."""

    CREDIT = "credit"
    """The tenant is billed for what it used, up to the limit."""
    PREPAID = "prepaid"
    """The tenant pays first; what has been paid is the limit."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How much an organisation may spend in a period: a job counts in the period in which it was submitted."""

    __pydantic_config__ = _STRICT
    id: str
    organisation: str
    kind: BudgetKind = BudgetKind.CREDIT
    period: Period = Period.MONTH
    limit: MicroYuan = 0
    """Of each period; a prepaid budget's is what was paid in, and is not given here."""
    members: Mapping[str, MicroYuan] = field(default_factory=dict)
    """Sub-limits by project, of each period."""
    thresholds: tuple[str, ...] = DEFAULT_THRESHOLDS
    """Shares of the limit from which on submitters are warned."""


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget in one period. `members` are the projects that have used it or have a sub-limit."""

    budget: Budget
    period: str
    total: Counter
    members: Mapping[str, Counter]

    @property
    def warning(self) -> str:
        """The highest threshold that is reached, in words; empty where none is."""
        used = self.total.held + self.total.spent
        reached = [one for one in self.budget.thresholds if used >= Decimal(one) * self.total.limit]
        if not reached or not self.total.limit:
            return ""
        return (
            f"{format_yuan(used)} of {format_yuan(self.total.limit)} of budget {self.budget.id} are spent or held "
            f"in {self.period}"
        )


@dataclass(frozen=True, slots=True)
class Purse:
    """What a job of one project draws on in one period: the accounts, opened, of a budget."""

    budget: str
    period: str
    account: str
    funding: str
    counters: tuple[str, str]


def find_budget(connection: Connection, budget_id: str) -> Budget | None:
    """The budget of this id."""
    row = connection.execute(_ONE, {"id": budget_id}).one_or_none()
    return None if row is None else from_plain(Budget, json.loads(row.body))


def budgets_of(connection: Connection, organisation: str | None) -> list[Budget]:
    """The budgets of an organisation, or with None all, by id."""
    query = select(schema.budget).order_by(_budget.id) if organisation is None else _OF
    rows = connection.execute(query, {} if organisation is None else {"organisation": organisation})
    return [from_plain(Budget, json.loads(row.body)) for row in rows]


def budget_for(connection: Connection, organisation: str, named: str) -> Budget:
    """The budget that pays: the one named, or the only one of the organisation.

    Raises ProblemError that says what to do where there is none, or more than one.
    """
    its = budgets_of(connection, organisation)
    if named:
        for budget in its:
            if budget.id == named:
                return budget
        raise not_found("budget", named)
    if not its:
        said = "work is priced here, and the organisation has no budget; ask the coordinator for one"
        raise refused("budget", "", said, kind="money")
    if len(its) > 1:
        raise refused("budget", "", f"give one of {', '.join(budget.id for budget in its)}", kind="money")
    return its[0]


def state_of(connection: Connection, budget: Budget, now_ms: int) -> BudgetState:
    """How the budget stands in the present period."""
    period = period_name(budget.period, now_ms)
    total = budget_key(budget.id, period)
    query = select(schema.ledger_counter.c.key).where(
        schema.ledger_counter.c.key.startswith(f"share/{budget.id}/", autoescape=True)
    )
    named = {
        key.split("/")[2]: key for key in connection.execute(query).scalars() if key.split("/")[3] == period
    }
    found = counters(connection, [total, *named.values()])
    limit = budget.limit if budget.kind is BudgetKind.CREDIT else 0
    shown = {}
    for member, key in sorted(named.items()):
        counter = found[key]
        shown[member] = counter if counter.limit != UNLIMITED else replace(counter, limit=found[total].limit)
    return BudgetState(budget, period, found.get(total, Counter(total, limit, 0, 0)), shown)


def purse_of(tx: Transaction, budget: Budget, period: str, member: str) -> Purse:
    """The accounts that a project's jobs draw on in a period, opened where they are not yet."""
    open_period(tx, budget, period)
    return open_member(tx, budget, period, member)


def purse_named(budget: Budget, period: str, member: str) -> Purse:
    """The same, only named."""
    return Purse(
        budget.id,
        period,
        account("hold", f"{budget.id}/{period}/{member}"),
        account(budget.kind.value, budget.id),
        (budget_key(budget.id, period), member_key(budget.id, member, period)),
    )


def budget_key(budget: str, period: str) -> str:
    """The counter of a budget in a period."""
    return f"budget/{budget}/{period}"


def member_key(budget: str, member: str, period: str) -> str:
    """The counter of a member's sub-limit."""
    return f"share/{budget}/{member}/{period}"


def open_period(tx: Transaction, budget: Budget, period: str) -> None:
    """Begin the counter of a period, where it has none."""
    open_counter(tx, budget_key(budget.id, period), budget.limit if budget.kind is BudgetKind.CREDIT else 0)


def open_member(tx: Transaction, budget: Budget, period: str, member: str) -> Purse:
    """Begin a member's counter and hold account in a period, where there are none."""
    purse = purse_named(budget, period, member)
    open_counter(tx, purse.counters[1], budget.members.get(member, UNLIMITED))
    open_account(tx, purse.account, purse.counters)
    return purse


__all__ = [
    "BUDGET_ID",
    "UNLIMITED",
    "Budget",
    "BudgetKind",
    "BudgetState",
    "Purse",
    "budget_for",
    "budget_key",
    "budgets_of",
    "find_budget",
    "member_key",
    "open_member",
    "open_period",
    "purse_named",
    "purse_of",
    "state_of",
]
