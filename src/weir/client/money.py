"""Calls about money: prices, quotes, budgets, charges, the ledger, exceptions."""

from collections.abc import Mapping
from typing import Any

from weir.client.calls import Calls, part, query_of
from weir.model.money_view import (
    BalancesView,
    BillView,
    BudgetsView,
    BudgetView,
    ExceptionsView,
    ExceptionView,
    LedgerEntryView,
    LedgerPage,
    PriceDifferenceView,
    PriceVersionsView,
    PriceVersionView,
    QuoteView,
    VerificationView,
)


class MoneyCalls(Calls):
    """What work costs, who pays it, and where every yuan went."""

    def prices(self) -> tuple[PriceVersionView, ...]:
        """Versions of the price book, newest first, without their books."""
        return self._get("/prices", PriceVersionsView).versions

    def price(self, version: int = 0) -> PriceVersionView:
        """One version of the price book, whole; by default that in force."""
        return self._get(f"/prices/{int(version)}", PriceVersionView)

    def price_diff(self, text: str, *, source: str = "") -> PriceDifferenceView:
        """What applying a price book (YAML) would change."""
        return self._send_text(f"/prices/diff{query_of(source=source)}", text, PriceDifferenceView)

    def apply_price_book(
        self, text: str, *, source: str = "", expected: int | None = None
    ) -> PriceVersionView:
        """Apply a price book. `expected`: the newest version looked at; 409 if another has come since."""
        query = query_of(source=source, expected=expected)
        return self._send_text(f"/prices/apply{query}", text, PriceVersionView)

    def quote(self, specification: Mapping[str, Any]) -> QuoteView:
        """What a job would cost, pool by pool."""
        return self._change("POST", "/quote", QuoteView, dict(specification))

    def budgets(self) -> tuple[BudgetView, ...]:
        """The budgets that the asker may see, each in its present period."""
        return self._get("/budgets", BudgetsView).budgets

    def set_budget(self, budget: str, **fields: Any) -> BudgetView:
        """Make a budget, or give it other limits: organisation, kind, period, limit, members, thresholds."""
        return self._change("PUT", f"/budgets/{part(budget)}", BudgetView, fields)

    def top_up(self, budget: str, amount: str, reference: str) -> BudgetView:
        """Book a payment into a prepaid budget, once for its reference."""
        body = {"amount": amount, "reference": reference}
        return self._change("POST", f"/budgets/{part(budget)}/top-up", BudgetView, body)

    def pay_out(self, budget: str, amount: str, reference: str) -> BudgetView:
        """Book that money was paid back out of a prepaid budget."""
        body = {"amount": amount, "reference": reference}
        return self._change("POST", f"/budgets/{part(budget)}/pay-out", BudgetView, body)

    def bill(
        self,
        *,
        from_ms: int = 0,
        to_ms: int | None = None,
        organisation: str = "",
        centre: str = "",
        cursor: str = "",
        limit: int = 200,
    ) -> BillView:
        """A page of the charges posted within [from, to), and their sums."""
        query = query_of(
            from_ms=from_ms, to_ms=to_ms, organisation=organisation, centre=centre, cursor=cursor, limit=limit
        )
        return self._get(f"/bill{query}", BillView)

    def refund(self, attempt: str, amount: str, reason: str, *, key: str = "") -> LedgerEntryView:
        """Give back part of what an attempt was charged, once for the `key`."""
        body = {"attempt": attempt, "amount": amount, "reason": reason}
        return self._create("/refunds", body, LedgerEntryView, key)

    def verify_ledger(self) -> VerificationView:
        """Walk the whole ledger."""
        return self._get("/ledger/verify", VerificationView, wait_s=600.0)

    def balances(self, prefix: str = "") -> Mapping[str, int]:
        """Balances of the accounts whose codes begin so."""
        return self._get(f"/ledger/balances{query_of(prefix=prefix)}", BalancesView).balances

    def book(self, book: str, *, cursor: str = "", limit: int = 200) -> LedgerPage:
        """A page of the ledger's entries for one payer, oldest first."""
        return self._get(f"/ledger/books/{part(book)}{query_of(cursor=cursor, limit=limit)}", LedgerPage)

    def entry(self, number: int) -> LedgerEntryView:
        """One entry of the ledger."""
        return self._get(f"/ledger/entries/{int(number)}", LedgerEntryView)

    def exceptions(self, *, settled: bool = False) -> tuple[ExceptionView, ...]:
        """What could not be metered, priced or paid; with `settled` also what has been settled."""
        return self._get(f"/exceptions{query_of(all='true' if settled else '')}", ExceptionsView).exceptions

    def resolve_exception(self, number: int, resolution: str) -> ExceptionView:
        """Settle an exception, saying how."""
        return self._change(
            "POST", f"/exceptions/{int(number)}/resolve", ExceptionView, {"resolution": resolution}
        )


__all__ = ["MoneyCalls"]
