"""Listings: jobs, one job, centres and pools."""

import shlex
import sys
import time
from collections.abc import Sequence

import typer

from weir.cli.completion import complete_job
from weir.cli.endings import counts, ending, state_words
from weir.cli.session import client, show_facts, show_json, show_table
from weir.cli.starting import expected_words, start_words
from weir.client import Client
from weir.model.task_range import TaskRange
from weir.model.view import JobView, PoolView, SubmissionView
from weir.units import format_bytes, format_duration, format_time, format_yuan

JSON = typer.Option(False, "--json", help="Print JSON for a program.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (jobs, job, centres, pools, devices):
        app.command()(command)


def jobs(
    state: list[str] = typer.Option([], help="Only in this state (may be repeated)."),
    name: str = typer.Option("", help="Only with this name."),
    limit: int = typer.Option(50, min=1, help="At most so many, newest first."),
    json_: bool = JSON,
) -> None:
    """List jobs, newest first; an array is one line."""
    found, more = _newest(client(), state, name, limit)
    if json_:
        show_json(found)
        return
    rows = [(one.id, one.name or "-", _state(one), _where(one), _instant(one.submitted_ms)) for one in found]
    show_table(("ID", "NAME", "STATE", "WHERE", "SUBMITTED (UTC)"), rows, empty="no jobs")
    if more:
        print(f"weir: there are more; --limit {limit * 4} shows them", file=sys.stderr)


def job(
    id_: str = typer.Argument(
        metavar="ID", help="A job's id, or the beginning of it.", autocompletion=complete_job
    ),
    elements: bool = typer.Option(False, "--elements", help="List the elements of an array."),
    state: list[str] = typer.Option([], help="Of the elements, only in this state (may be repeated)."),
    json_: bool = JSON,
) -> None:
    """Show one job, an element (ID.7), or an array."""
    api = client()
    if elements:
        rows = list(api.elements(id_, states=state))
        if json_:
            show_json(rows)
        else:
            show_table(
                ("ID", "STATE", "WHERE", "WAITED", "RAN"),
                [_element(one) for one in rows],
                empty="no elements",
            )
        return
    one = api.job(id_)
    if json_:
        show_json(one)
    elif isinstance(one, SubmissionView):
        _show_array(one)
    else:
        _show_job(one)


def centres(json_: bool = JSON) -> None:
    """List centres: what they are, whether they answer, what runs there."""
    found = client().centres()
    if json_:
        show_json(found)
        return
    rows = [
        (
            one.id,
            one.kind,
            one.city,
            one.driver,
            "draining" if one.draining or one.removed else "up" if one.reachable else "not reachable",
            str(one.pools),
            str(one.running),
            f"{len(one.unclaimed)} unclaimed" if one.unclaimed else "-",
        )
        for one in found
    ]
    show_table(
        ("CENTRE", "KIND", "CITY", "ENGINE", "STATE", "POOLS", "RUNNING", "NOTE"), rows, empty="no centres"
    )


def pools(centre: str = typer.Option("", help="Only this centre's."), json_: bool = JSON) -> None:
    """List pools: what each node has, what it costs, what is declared and what is seen."""
    found = [one for one in client().pools() if centre in ("", one.centre)]
    if json_:
        show_json(found)
        return
    rows = [
        (
            f"{one.centre}/{one.id}",
            one.device,
            f"{one.used_nodes_limit}/{one.declared_nodes}",
            str(one.devices_per_node),
            f"{one.cores_milli_per_node / 1000:g}",
            format_bytes(one.memory_bytes_per_node),
            _price(one.device_hour_micro_yuan, one.core_hour_micro_yuan),
            str(one.running),
            _note(one),
        )
        for one in found
    ]
    headings = ("POOL", "DEVICE", "NODES", "DEVICES", "CORES", "MEMORY", "PRICE", "RUNNING", "NOTE")
    show_table(headings, rows, empty="no pools")


def devices(json_: bool = JSON) -> None:
    """List device models of the catalogue."""
    found = client().devices()
    if json_:
        show_json(found)
        return
    rows = [
        (
            one.id,
            one.vendor,
            one.stack,
            format_bytes(one.memory) if one.memory else "-",
            _rate(one.peak.get("fp16")),
        )
        for one in found
    ]
    show_table(("DEVICE", "VENDOR", "STACK", "MEMORY", "PEAK FP16"), rows, empty="no device models")


def _newest(api: Client, states: Sequence[str], name: str, limit: int) -> tuple[list[SubmissionView], bool]:
    """The newest submissions, and whether there are more than were asked for."""
    found: list[SubmissionView] = []
    cursor = ""
    while True:
        page = api.jobs(states=states, name=name, cursor=cursor, limit=max(1, min(limit - len(found), 1_000)))
        found += page.submissions
        cursor = page.next
        if not cursor or len(found) >= limit:
            return found, bool(cursor)


def _state(one: SubmissionView) -> str:
    return counts(one) if one.job is None else _state_of(one.job)


def _state_of(one: JobView) -> str:
    """With how long it is foretold to wait still."""
    if one.start is None or not one.start.start_ms:
        return state_words(one)
    return f"{state_words(one)} ({expected_words(one.start, time.time_ns() // 1_000_000)})"


def _where(one: SubmissionView) -> str:
    return f"{one.job.centre}/{one.job.pool}" if one.job is not None and one.job.pool else "-"


def _instant(ms: int) -> str:
    return format_time(ms)[:19].replace("T", " ")


def _element(one: JobView) -> tuple[str, ...]:
    where = f"{one.centre}/{one.pool}" if one.pool else "-"
    return (one.id, _state_of(one), where, format_duration(one.waiting_ms), format_duration(one.running_ms))


def _show_array(one: SubmissionView) -> None:
    print(f"{one.id} array of {one.size}: {counts(one)}")
    show_facts(
        ("name", one.name),
        ("project", one.project),
        ("owner", one.owner),
        ("submitted", f"{_instant(one.submitted_ms)} UTC"),
    )
    print(f"  weir job {one.id} --elements lists them, weir job {one.id}.0 shows the first")


def _show_job(one: JobView) -> None:
    print(ending(one))
    specification = one.specification
    show_facts(
        ("name", one.name),
        ("project", one.project),
        ("owner", one.owner),
        ("priority", one.priority),
        ("submitted", f"{_instant(one.submitted_ms)} UTC"),
        ("started", f"{_instant(one.started_ms)} UTC" if one.started_ms else ""),
        ("ended", f"{_instant(one.ended_ms)} UTC" if one.ended_ms else ""),
        ("waited", format_duration(one.waiting_ms)),
        ("ran", format_duration(one.running_ms) if one.started_ms else ""),
        ("tasks", _tasks(one)),
        ("time limit", format_duration(one.time_limit_ms)),
        ("starts", start_words(one.start, time.time_ns() // 1_000_000) if one.start else ""),
        ("device-seconds", f"{one.device_seconds:.1f}" if one.device_seconds else ""),
        ("command", shlex.join(specification.get("command", []))),
        *((("labels" if not at else ""), f"{k}={v}") for at, (k, v) in enumerate(one.labels.items())),
    )
    if len(one.attempts) > 1:
        for attempt in one.attempts:
            how = f", {attempt.message or attempt.cause}" if attempt.cause else ""
            tasks = f" with {attempt.tasks} tasks" if _range(one).elastic else ""
            print(
                f"  attempt {attempt.epoch:<7}{attempt.observed} at {attempt.centre}/{attempt.pool}{tasks}{how}"
            )
    why = "it was placed there" if one.ended_ms else "it is placed there" if one.pool else "it waits"
    print(f"  weir explain {one.id} says why {why}")


def _range(one: JobView) -> TaskRange:
    tasks = one.specification.get("tasks", {})
    return TaskRange(tasks.get("least", 1), tasks.get("most", 1))


def _tasks(one: JobView) -> str:
    """Of a gang how many tasks it has, and of an elastic one how many of those that it may have."""
    tasks = _range(one)
    if not tasks.elastic:
        return "" if tasks.most == 1 else str(tasks)
    return f"{one.attempts[-1].tasks} of {tasks}" if one.attempts else str(tasks)


def _note(pool: PoolView) -> str:
    if pool.draining or pool.removed:
        return "draining"
    reservations = f"{pool.reservations} reservations at a time" if pool.reservations is not None else ""
    return ", ".join(filter(None, (pool.drift, reservations))) or "-"


def _price(device_hour: int | None, core_hour: int | None) -> str:
    parts = []
    if device_hour is not None:
        parts.append(f"{format_yuan(device_hour)}/device-h")
    if core_hour is not None:
        parts.append(f"{format_yuan(core_hour)}/core-h")
    return " ".join(parts) or "-"


def _rate(operations_per_second: int | None) -> str:
    return f"{operations_per_second / 1e12:g} T" if operations_per_second else "-"
