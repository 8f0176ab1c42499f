"""Calls about schemes and vouchers."""

from weir.client.calls import Calls, part, query_of
from weir.model.voucher import SchemeChangeView, SchemesView, SchemeView, VouchersView, VoucherView, WhyView


class SchemeCalls(Calls):
    """Schemes, what they grant, and why."""

    def schemes(self) -> tuple[SchemeView, ...]:
        """Every scheme in force."""
        return self._get("/schemes", SchemesView).schemes

    def scheme(self, scheme: str) -> SchemeView:
        """One scheme with its file."""
        return self._get(f"/schemes/{part(scheme)}", SchemeView)

    def scheme_diff(self, text: str, *, source: str = "", claw_back: bool = False) -> SchemeChangeView:
        """What applying a scheme file (YAML) would do: who gains, who loses, by how much."""
        query = query_of(source=source, claw_back="true" if claw_back else "")
        return self._send_text(f"/schemes/diff{query}", text, SchemeChangeView)

    def apply_scheme(
        self, text: str, *, source: str = "", act: str = "", expected: str = "", claw_back: bool = False
    ) -> SchemeChangeView:
        """Apply a scheme file. Where rules of past days change, give the act and the digest that was looked at."""
        flag = "true" if claw_back else ""
        query = query_of(source=source, act=act, expected=expected, claw_back=flag)
        return self._send_text(f"/schemes/apply{query}", text, SchemeChangeView)

    def vouchers(self, organisation: str = "") -> tuple[VoucherView, ...]:
        """The vouchers of an organisation (the asker's own unless named), or all."""
        return self._get("/vouchers" + query_of(organisation=organisation), VouchersView).vouchers

    def voucher_why(self, scheme: str, organisation: str = "", *, centre: str = "") -> WhyView:
        """What a scheme says about an organisation, contract by contract, and every clause that decided."""
        query = query_of(scheme=scheme, organisation=organisation, centre=centre)
        return self._get(f"/vouchers/why{query}", WhyView)

    def grant_vouchers(self, organisation: str = "") -> tuple[VoucherView, ...]:
        """Claim for every recorded contract what it is entitled to."""
        target = "/vouchers/grant" + query_of(organisation=organisation)
        return self._change("POST", target, VouchersView).vouchers


__all__ = ["SchemeCalls"]
