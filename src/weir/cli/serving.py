"""`weir serve`: the control plane in one process, and an agent for this machine beside it."""

from pathlib import Path

import typer

DEFAULT_PORT = 8470


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(serve)


def serve(
    data: Path = typer.Option(Path("weir-data"), help="Folder for the database, files and tokens."),
    database: str = typer.Option("", help="Another database, such as postgresql://user@host/weir."),
    host: str = typer.Option("127.0.0.1", help="Address to listen on."),
    port: int = typer.Option(DEFAULT_PORT, help="Port to listen on; 0 takes a free one."),
    province: Path | None = typer.Option(None, help="Apply this province file at the start, without asking."),
    machine: bool = typer.Option(
        True, help="Without any centre declared, make this machine one, and run its agent."
    ),
    settings: bool = typer.Option(True, help="Write the client's settings file when there is none."),
    certificate: Path | None = typer.Option(None, help="PEM file with the certificate, to serve https."),
    key: Path | None = typer.Option(None, help="PEM file with the certificate's key."),
    trusted_proxies: str = typer.Option("", help="Proxies whose X-Forwarded-For is believed, with commas."),
    restored: bool = typer.Option(
        False, help="The database was put back from a copy: agents report everything anew."
    ),
    lost_after: str = typer.Option(
        "30s", help="A centre whose agent is silent for so long is lost; its jobs are unknown."
    ),
    grace: str = typer.Option(
        "5m", help="So long after that, restartable jobs of a lost centre are started elsewhere."
    ),
    json_logs: bool = typer.Option(False, help="Log as JSON, one object a line."),
    with_parent: int = typer.Option(0, hidden=True, help="End when this process, which started it, is gone."),
) -> None:
    """Serve the API and schedule: on a single machine this is all that is needed."""
    from weir.cli.parent import end_with
    from weir.cli.server_runner import ServerOptions, run_server_process

    if with_parent and not end_with(with_parent):
        raise typer.Exit(1)
    options = ServerOptions(
        data=data,
        database=database,
        host=host,
        port=port,
        province=province,
        machine=machine,
        settings=settings,
        certificate=certificate,
        key=key,
        trusted_proxies=trusted_proxies,
        restored=restored,
        lost_after=lost_after,
        grace=grace,
        json_logs=json_logs,
    )
    raise typer.Exit(run_server_process(options))
