"""What a job would cost and where, for somebody who has not submitted it yet."""

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import Connection

from weir.access import Actor
from weir.billing.quote import Asked, quote
from weir.billing.voucher_offers import quoted_offers
from weir.control import money
from weir.control.expectations import Forecast, Kind
from weir.control.foretelling import Foretold
from weir.control.intake import project_for
from weir.control.pools import declared_pools, why_never
from weir.control.shapes import class_of
from weir.model.job import JobSpecification
from weir.model.job_rules import check_specification
from weir.model.money_view import QuoteView
from weir.model.problem import refused

Foresee = Callable[[Kind, int], Forecast | None]
"""As `Control.forecast`, of a kind of jobs at a time."""


def quote_job(
    connection: Connection,
    actor: Actor,
    specification: JobSpecification,
    now_ms: int,
    foresee: Foresee | None = None,
    foretold: Foretold | None = None,
) -> QuoteView:
    """The quote for one job or array, checked as it would be at its submission. Writes nothing.

    `foresee`: asks the scheduler that leads for how long it would be expected to run, as it expects of those that wait.
    `foretold` knows the last forecast of starts.
    Raises ProblemError as `intake.submit` does, but for a lack of money.
    """
    check_specification(specification)
    project = project_for(connection, actor, specification.project)
    limit_ms = specification.time_limit or project.default_time_limit_ms
    if limit_ms is None:
        raise refused("time_limit", "", "give one, such as 2h; the project has no default")
    pools, job_class = declared_pools(connection), class_of(specification)
    never = why_never(pools, job_class)
    if never:
        raise refused(
            never.field, never.asked, f"no pool could ever run this; {never.said}", kind="impossible"
        )
    asked = Asked(
        project.organisation,
        project.id,
        specification.name,
        specification.purpose,
        specification.size,
        money.needs_of(specification),
        limit_ms,
        money.possible_pools(pools, job_class),
        specification.tasks.least if specification.tasks.elastic else 0,
        specification.max_price,
    )
    kind = Kind(project.organisation, actor.name, project.id, job_class.size, limit_ms)
    found = quote(connection, asked, now_ms, quoted_offers, foresee(kind, now_ms) if foresee else None)
    if specification.tasks.elastic:
        found = replace(found, tasks=str(specification.tasks))
    if foretold is None:
        return found
    expected_ms = limit_ms if found.forecast_ms is None else min(limit_ms, found.forecast_ms)
    kind_of_job = (job_class.size, expected_ms)
    return replace(
        found,
        start=foretold.behind_all(connection, *kind_of_job),
        starts=foretold.behind_all_at(connection, *kind_of_job, sorted(asked.pools)),
    )


__all__ = ["Foresee", "quote_job"]
