"""Why a job waits, or why it went where it is: what the core says of it, and what stands in its way before that."""

import json
import re
from collections.abc import Iterable

from sqlalchemy import Connection, select

from weir.control import money
from weir.control.cycle import Stand
from weir.control.foretelling import Foretold
from weir.control.jobs import Found, names_of
from weir.control.listed import AnyRow
from weir.control.outcomes import words_for
from weir.model.codec import from_plain
from weir.model.identity import attempt_id
from weir.model.problem import Problem, ProblemError, refused
from weir.model.state import JobState
from weir.model.view import ExplanationView, PoolReasonView, TermsView
from weir.scheduling.plan import PoolReason, Verdict
from weir.store import log, schema
from weir.units import format_time, format_yuan

_job = schema.job.c
_attempt = schema.attempt.c
_submission = schema.submission.c
_dependency = schema.dependency.c
_JOB_IN_NOTE = re.compile(r"\bjob (\d+)")


def explain(
    connection: Connection, found: Found, stand: Stand | None, now_ms: int, foretold: Foretold | None = None
) -> ExplanationView:
    """Where one job stands and why, as of a position and a time.

    `stand` is the leader's answer for the job's number, `Control.stand(found.first)`; `foretold` knows when it will
    start. A placed or ended
    job is explained by the reasons stored with its newest attempt. Raises ProblemError: 503 with the stored state
    where a queued job needs the leader and there is none, 422 for an array as a whole.
    """
    if found.is_array and found.index is None:
        raise refused("id", found.id, f"give one of its elements, such as {found.id}.0")
    row = connection.execute(select(schema.job).where(_job.number == found.first)).one()
    state = JobState(row.state)
    attempt = connection.execute(
        select(schema.attempt).where(_attempt.job == row.number).order_by(_attempt.epoch.desc()).limit(1)
    ).one_or_none()
    said = words_for(state, row.cause, attempt)
    if state is JobState.QUEUED and (short := money.waiting(connection, row.number)):
        position = log.last_position(connection)
        return ExplanationView(found.name, "queued", short, position, now_ms, waits_for=(short,))
    if state is JobState.QUEUED:
        if stand is None:
            title = f"no scheduler leads now, so that nobody can say why {found.name} waits; it is {state.name.lower()}"
            raise ProblemError(Problem("no-leader", 503, title))
        return _queued(connection, found, stand, said, foretold)
    position = log.last_position(connection)
    waits_for = _waits_for(connection, row.submission) if state is JobState.WAITING else ()
    if state is JobState.HELD:
        waits_for = (
            f"its owner's release: weir release {found.name}",
            *_waits_for(connection, row.submission),
        )
    if state is JobState.UNKNOWN and attempt is not None:
        waits_for = (f"centre {attempt.centre}, or its operator's word that it is given up",)
    if attempt is None or not (state.placed or state.ended):
        return ExplanationView(found.name, state.name.lower(), said, position, now_ms, waits_for=waits_for)
    return ExplanationView(
        job=found.name,
        state=state.name.lower(),
        summary="; ".join(filter(None, (said, _chosen(attempt)))),
        as_of_position=position,
        as_of_ms=now_ms,
        waits_for=waits_for,
        pools=_stored(connection, found, attempt.reason),
        attempt=attempt_id(found.name, attempt.epoch),
    )


def explain_past(connection: Connection, found: Found, stand: Stand | None) -> ExplanationView:
    """Where one job stood in a cycle of the last days, and why: `stand` is the leader's answer, `Control.stood`.

    Raises ProblemError: 503 where there is no leader, 422 for an array as a whole.
    """
    if found.is_array and found.index is None:
        raise refused("id", found.id, f"give one of its elements, such as {found.id}.0")
    if stand is None:
        title = f"no scheduler leads now, so that nobody can say how {found.name} stood; ask again"
        raise ProblemError(Problem("no-leader", 503, title))
    said = f"in the cycle of {format_time(stand.as_of_ms)}, through {stand.position}, it"
    explanation = stand.explanation
    if explanation is None:
        row = connection.execute(select(schema.job).where(_job.number == found.first)).one()
        state = JobState(row.state).name.lower()
        return ExplanationView(
            found.name,
            state,
            f"{said} was not in the queue; now it is {state}",
            stand.position,
            stand.as_of_ms,
        )
    if explanation.position == 0:
        chosen = next((each.pool for each in explanation.pools if each.verdict is Verdict.CHOSEN), "")
        state, said = "placed", f"{said} was started, and {chosen} was chosen"
    else:
        state, said = (
            "queued",
            f"{said} was number {explanation.position} of {explanation.queued} in the queue",
        )
    return ExplanationView(
        job=found.name,
        state=state,
        summary=said,
        as_of_position=stand.position,
        as_of_ms=stand.as_of_ms,
        position=explanation.position,
        queued=explanation.queued,
        pools=_views(connection, found, explanation.pools),
    )


def _queued(
    connection: Connection, found: Found, stand: Stand, said: str, foretold: Foretold | None
) -> ExplanationView:
    explanation = stand.explanation
    if explanation is None:
        return ExplanationView(
            found.name,
            "queued",
            f"{said}; the scheduler has not come to it yet",
            stand.position,
            stand.as_of_ms,
        )
    if explanation.position == 0:
        said = "it is being placed"
    else:
        said = f"{said}; it is number {explanation.position} of {explanation.queued} in the queue"
    start = None
    if foretold is not None and explanation.position:
        start = foretold.start(connection, found.first, explanation.position)
    return ExplanationView(
        job=found.name,
        state="queued",
        summary=said,
        as_of_position=stand.position,
        as_of_ms=stand.as_of_ms,
        position=explanation.position,
        queued=explanation.queued,
        pools=_views(connection, found, explanation.pools),
        start=start,
    )


def _chosen(attempt: AnyRow) -> str:
    return f"{attempt.centre}/{attempt.pool} was chosen at {format_time(attempt.placed_ms)}"


def _waits_for(connection: Connection, submission: int) -> tuple[str, ...]:
    """The jobs that it comes after, each with where it stands."""
    rows = connection.execute(
        select(
            _dependency.on_job, _dependency.remaining, _submission.id, _submission.first_job, _submission.size
        )
        .join(schema.submission, _submission.number == _dependency.on_submission)
        .where(_dependency.submission == submission, _dependency.remaining > 0)
        .order_by(_submission.number, _dependency.on_job)
    ).all()
    found = []
    for row in rows:
        if row.on_job or row.size == 1:
            number = row.on_job or row.first_job
            state = connection.execute(select(_job.state).where(_job.number == number)).scalar_one()
            name = f"{row.id}.{number - row.first_job}" if row.on_job else row.id
            found.append(f"{name} ({JobState(state).name.lower()})")
        else:
            found.append(f"{row.id} ({row.size - row.remaining} of {row.size} succeeded)")
    return tuple(found)


def _stored(connection: Connection, found: Found, digest: str | None) -> tuple[PoolReasonView, ...]:
    if digest is None:
        return ()
    body = connection.execute(
        select(schema.reason.c.body).where(schema.reason.c.digest == digest)
    ).scalar_one()
    return _views(connection, found, [from_plain(PoolReason, reason) for reason in json.loads(body)])


def _views(connection: Connection, found: Found, reasons: Iterable[PoolReason]) -> tuple[PoolReasonView, ...]:
    """Reasons for people: jobs by name where they are the same organisation's, and without a name otherwise."""
    reasons = tuple(reasons)
    numbers = {int(number) for reason in reasons for number in _JOB_IN_NOTE.findall(reason.note)}
    names = names_of(connection, numbers) if numbers else {}

    def name(match: re.Match[str]) -> str:
        known, organisation = names.get(int(match[1]), ("", ""))
        return f"job {known}" if known and organisation == found.organisation else "another job ahead of it"

    return tuple(
        PoolReasonView(
            pool=reason.pool,
            verdict=reason.verdict.value,
            constraint=failed.name if failed else "",
            needed=failed.needed if failed else "",
            found=failed.found if failed else "",
            terms=TermsView(
                reason.terms.run_ms,
                reason.terms.data_ms,
                reason.terms.money_micro_yuan,
                reason.terms.carbon_mg,
                reason.terms.score,
                reason.terms.wait_ms,
            )
            if reason.terms
            else None,
            free_nodes=reason.free_nodes,
            note="; ".join(filter(None, (_JOB_IN_NOTE.sub(name, reason.note), _bounds(reason)))),
        )
        for reason in reasons
        for failed in (money.in_words(reason.failed),)
    )


def _bounds(reason: PoolReason) -> str:
    """The times that bound a start there, in words."""
    parts = []
    if reason.not_before_ms:
        parts.append(f"not before {format_time(reason.not_before_ms)} by the time limits of what runs there")
    if reason.fits_until_ms:
        parts.append(f"what ends by {format_time(reason.fits_until_ms)} could use it")
    if reason.rather_at_ms:
        better = format_yuan(reason.better_by_micro_yuan)
        parts.append(f"it starts there at {format_time(reason.rather_at_ms)} and scores better by ¥{better}")
    return "; ".join(parts)


__all__ = ["explain", "explain_past"]
