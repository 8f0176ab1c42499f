"""`weir centre`: show one, invite agents, drain and resume centres, give up what a lost one holds."""

import os
from pathlib import Path

import typer

from weir.cli.completion import complete_centre, complete_job
from weir.cli.session import client, show_facts, show_json
from weir.model.problem import not_found
from weir.units import format_time

centre = typer.Typer(help="Show a centre, invite agents, drain and resume centres.", no_args_is_help=True)
CENTRES = typer.Argument(help="Ids of centres.", autocompletion=complete_centre)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(centre, name="centre")


@centre.command()
def invite(
    ids: list[str] = typer.Argument(None, help="Ids of centres.", autocompletion=complete_centre),
    all_: bool = typer.Option(False, "--all", help="Every centre of the province."),
    to: Path | None = typer.Option(
        None, help="Write each code to ID.code in this folder, readable by you alone."
    ),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """Make a one-time code for each centre, with which its agent joins (`weir agent --code-file …`)."""
    api = client()
    wanted = [one.id for one in api.centres() if not one.removed] if all_ else list(ids or [])
    if not wanted:
        raise typer.BadParameter("name at least one centre, or give --all")
    invites = api.invite(wanted)
    if to is not None:
        to.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in invites:
            file = os.open(to / f"{one.centre}.code", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(one.code + "\n")
            print(to / f"{one.centre}.code")
    elif json_:
        show_json(invites)
    else:
        for one in invites:
            print(f"{one.centre}\t{one.code}\tuntil {format_time(one.expires_ms)}")


@centre.command()
def show(
    id_: str = typer.Argument(metavar="ID", help="Id of a centre.", autocompletion=complete_centre),
    json_: bool = typer.Option(False, "--json", help="Print JSON for a program."),
) -> None:
    """Show one centre, its pools, and as which of its users whose work runs."""
    api = client()
    found = next((one for one in api.centres() if one.id == id_), None)
    if found is None:
        raise not_found("centre", id_)
    pools = [one for one in api.pools() if one.centre == id_]
    if json_:
        show_json({"centre": found, "pools": pools})
        return
    print(f"{found.id} {found.name} {found.name_zh}".rstrip())
    state = "draining" if found.draining or found.removed else "up" if found.reachable else "not reachable"
    # The pools of a centre have one engine, and so one mapping.
    runs_as = {account: user for one in pools for account, user in one.runs_as.items()}
    show_facts(
        ("kind", found.kind),
        ("city", found.city),
        ("operator", found.operator),
        ("engine", found.driver),
        ("state", state),
        ("last heard of", "" if found.heartbeat_ms is None else f"{format_time(found.heartbeat_ms)}"),
        ("running", str(found.running)),
        *(("unclaimed", attempt) for attempt in found.unclaimed),
        *(
            ("pool", f"{one.id}: {one.used_nodes_limit} of {one.declared_nodes} nodes of {one.device}")
            for one in pools
        ),
        *(
            ("runs as", f"{user}, for {'everybody' if account == '*' else account}")
            for account, user in sorted(runs_as.items())
        ),
    )


@centre.command()
def drain(ids: list[str] = CENTRES) -> None:
    """Start nothing new at these centres; what runs there goes on."""
    api = client()
    for one in ids:
        api.drain_centre(one)
        print(f"{one} starts nothing new; `weir centre resume {one}` undoes it")


@centre.command()
def resume(ids: list[str] = CENTRES) -> None:
    """Let drained centres start jobs again."""
    api = client()
    for one in ids:
        api.resume_centre(one)
        print(f"{one} starts jobs again")


@centre.command("give-up")
def give_up(
    jobs: list[str] = typer.Argument(
        help="Jobs that are unknown since their centre was lost.", autocompletion=complete_job
    ),
) -> None:
    """Stop waiting for a lost centre's answer about these jobs: they run again elsewhere if they may, else fail."""
    api = client()
    for job in jobs:
        print(f"{job} {api.give_up(job).said}")
