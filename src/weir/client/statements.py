"""Calls about statements and settlements."""

from weir.client.calls import Calls, part, query_of
from weir.model.statement import (
    ClosedView,
    RedemptionsView,
    RedemptionView,
    SettlementsView,
    SettlementView,
    StatementsView,
    StatementView,
    VerifiedView,
)


class StatementCalls(Calls):
    """Statements of months, settlements of quarters."""

    def statements(self, *, party: str = "", month: str = "", limit: int = 100) -> tuple[StatementView, ...]:
        """Issued statements, newest month first: the asker's own, or everybody's for those who may see all."""
        query = query_of(party=party, month=month, limit=limit)
        return self._get(f"/statements{query}", StatementsView).statements

    def statements_csv(self, *, party: str = "", month: str = "") -> bytes:
        """Issued statements, line by line, as CSV."""
        return self._bytes("/statements.csv" + query_of(party=party, month=month))

    def statement_page(self, statement: str) -> bytes:
        """One statement as a page for print (HTML)."""
        return self._bytes(f"/statements/{part(statement)}/page")

    def focus_csv(self, month: str) -> bytes:
        """The charges of a closed month as FOCUS 1.2 rows, as CSV."""
        return self._bytes("/statements/focus" + query_of(month=month))

    def city_flows_csv(self, month: str) -> bytes:
        """What tenants of each city used in each city in a closed month, as CSV."""
        return self._bytes("/settlements/cities" + query_of(month=month))

    def close_month(self, month: str) -> ClosedView:
        """Issue a month's statements; a month that is closed stays as it is."""
        return self._change("POST", "/statements/close" + query_of(month=month), ClosedView)

    def verify_statements(self) -> tuple[str, ...]:
        """What is wrong with issued statements; nothing where they are as issued."""
        return self._get("/statements/verify", VerifiedView).faults

    def settlements(self) -> tuple[SettlementView, ...]:
        """What funders pay, newest quarter first."""
        return self._get("/settlements", SettlementsView).settlements

    def settle_quarter(self, quarter: str) -> tuple[SettlementView, ...]:
        """Settle a quarter such as 2025-Q2; one that is settled stays as it is."""
        target = "/settlements/close" + query_of(quarter=quarter)
        return self._change("POST", target, SettlementsView).settlements

    def redemptions(self) -> tuple[RedemptionView, ...]:
        """What vouchers paid and is not settled, with what each waits for."""
        return self._get("/redemptions", RedemptionsView).redemptions

    def dispute_redemption(self, entry: int, line: int, why: str) -> None:
        """Hold a redemption out of settlements; with an empty reason let it in again."""
        body = {"entry": entry, "line": line, "why": why}
        self._change("POST", "/redemptions/dispute", VerifiedView, body)

    def sign_check(self, claim: int, step: str, said: str = "") -> None:
        """Sign a step of a claim's re-check trail."""
        self._change("POST", "/vouchers/check", VerifiedView, {"claim": claim, "step": step, "said": said})


__all__ = ["StatementCalls"]
