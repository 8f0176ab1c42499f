"""`weir agent`: run a centre's agent, and what works at the centre with the server out of reach."""

from pathlib import Path

import typer

from weir.units import format_time

agent = typer.Typer(help="Run a centre's agent, or look after it at the centre.")

FOLDER = typer.Option(Path("weir-agent"), "--folder", help="Where the agent keeps everything.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(agent, name="agent")


@agent.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    folder: Path = FOLDER,
    url: str = typer.Option("", help="The server's address; remembered after the first start."),
    code_file: Path | None = typer.Option(
        None, help="File with the one-time code; else asked for, or read from stdin."
    ),
    ca_file: Path | None = typer.Option(None, help="Certificates to trust instead of the system's."),
    work_root: Path | None = typer.Option(
        None, help="Where the attempts' folders lie, on a file system that the engine's nodes share."
    ),
    private_root: Path | None = typer.Option(
        None, help="Hide this folder from the tasks, but for their own in it."
    ),
    with_parent: int = typer.Option(0, hidden=True, help="End when this process, which started it, is gone."),
) -> None:
    """Run the agent of one centre until it is told to end; tasks go on without it."""
    if context.invoked_subcommand is not None:
        return
    from weir.cli.agent_runner import run_agent
    from weir.cli.parent import end_with

    if with_parent and not end_with(with_parent):
        raise typer.Exit(1)

    raise typer.Exit(
        run_agent(
            folder,
            url=url,
            code_file=code_file,
            ca_file=ca_file,
            work_root=work_root,
            private_root=private_root,
        )
    )


@agent.command()
def status(folder: Path = FOLDER, json_: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Show what the agent has, from its own record."""
    from weir.agents.local_orders import status as read_status
    from weir.cli.session import show_json, show_table

    found = read_status(folder)
    if json_:
        show_json(found)
        return
    print(f"agent {'runs' if found.running else 'does not run'}{', draining' if found.draining else ''}")
    rows = [
        (one.attempt, one.pool, one.observed, format_time(one.since_ms), one.message)
        for one in found.attempts
    ]
    show_table(("ATTEMPT", "POOL", "STATE", "SINCE", "NOTE"), rows, empty="no attempts")


@agent.command()
def drain(folder: Path = FOLDER) -> None:
    """Start nothing new here; what runs goes on."""
    from weir.agents.local_orders import drain as order

    order(folder)
    print("starts nothing new; `weir agent resume` undoes it")


@agent.command()
def resume(folder: Path = FOLDER) -> None:
    """Start new work again."""
    from weir.agents.local_orders import resume as order

    order(folder)
    print("starts new work again")


@agent.command("stop-all")
def stop_all(
    folder: Path = FOLDER, yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask.")
) -> None:
    """Stop everything that the agent runs here."""
    from weir.agents.local_orders import stop_all as order
    from weir.cli.session import confirm

    if not confirm("Stop every attempt that runs here?", yes, typer.confirm):
        print("nothing was stopped; say yes, or give --yes")
        raise typer.Exit(1)
    print(f"{order(folder)} attempts are told to stop")


@agent.command()
def bundle(out: Path = typer.Argument(Path("weir-agent.pyz"), help="The file to write.")) -> None:
    """Write one file that runs an agent on a machine that has Python alone."""
    from weir.cli.bundle import build_bundle

    build_bundle(out)
    print(f"{out}: run it with `python3 {out} run --folder … --url … --code-file …`")
