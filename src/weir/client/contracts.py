"""Calls about contracts: what was agreed, invoiced, paid and charged."""

from typing import Any

from weir.client.calls import Calls, part, query_of
from weir.model.contract_view import ContractsView, ContractView


class ContractCalls(Calls):
    """Contracts of tenants and centres, with their papers."""

    def contracts(self, *, organisation: str = "", centre: str = "") -> tuple[ContractView, ...]:
        """The contracts that the asker may see, by id."""
        query = query_of(organisation=organisation, centre=centre)
        return self._get(f"/contracts{query}", ContractsView).contracts

    def contract(self, contract: str) -> ContractView:
        """One contract; a standing one is `standing/ORGANISATION/CENTRE`."""
        return self._get(f"/contracts/{part(contract, safe='/')}", ContractView)

    def add_contract(self, text: str, *, source: str = "") -> ContractView:
        """Record a contract (YAML). The same once more changes nothing."""
        return self._send_text(f"/contracts{query_of(source=source)}", text, ContractView)

    def add_contract_document(self, contract: str, kind: str, reference: str, **fields: Any) -> ContractView:
        """Record an `invoice`, a `payment` or `evidence`, once for its reference: amount, at, digest."""
        body = {"kind": kind, "reference": reference, **{name: one for name, one in fields.items() if one}}
        return self._change("POST", f"/contracts/{part(contract)}/documents", ContractView, body)

    def end_contract(self, contract: str, ends: str) -> ContractView:
        """End a contract sooner or later than it says."""
        return self._change("POST", f"/contracts/{part(contract)}/end", ContractView, {"ends": ends})


__all__ = ["ContractCalls"]
