"""Calls about organisations: the facts that are held about them."""

from weir.client.calls import Calls, part, query_of
from weir.model.fact import FactImportView, FactsView


class OrganisationCalls(Calls):
    """Facts about organisations."""

    def organisation_facts(self, organisation: str) -> FactsView:
        """What is held about an organisation, by name and day."""
        return self._get(f"/organisations/{part(organisation)}/facts", FactsView)

    def import_facts(self, text: str, *, source: str = "", dry_run: bool = False) -> FactImportView:
        """Import facts from a CSV text, all rows or none; with `dry_run` only say what each row would do."""
        query = query_of(source=source, dry_run="true" if dry_run else "")
        return self._send_text(f"/organisations/facts{query}", text, FactImportView, "text/csv")


__all__ = ["OrganisationCalls"]
