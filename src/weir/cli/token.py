"""`weir token`: who may do what, and `weir whoami`."""

import os
from pathlib import Path

import typer

from weir.cli.session import client, show_json, show_table
from weir.model.view import TokenView
from weir.units import format_time

token = typer.Typer(help="Make, list and revoke tokens.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(token, name="token")
    app.command()(whoami)


@token.command()
def create(
    name: str = typer.Argument(help="Whose token it is, for people."),
    role: str = typer.Option(
        ..., help="tenant-member, tenant-admin, centre-operator, auditor or coordinator."
    ),
    to: Path = typer.Option(..., help="File to write the secret to, readable by you alone."),
    organisation: str = typer.Option("", help="Credit code of the organisation that it acts for."),
    project: str = typer.Option("", help="Only this project."),
    centre: str = typer.Option("", help="The centre that an operator runs."),
    valid_for: str = typer.Option("", help="How long it is good for, such as 90d; for ever otherwise."),
) -> None:
    """Make a token. Its secret is written to a file, shown nowhere, and cannot be read again later."""
    file = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "w", encoding="utf-8") as out:
        try:
            _, secret = client().create_token(
                name=name,
                role=role,
                organisation=organisation,
                project=project,
                centre=centre,
                valid_for=valid_for,
            )
        except BaseException:
            to.unlink()
            raise
        out.write(secret + "\n")
    print(f"{to}: WEIR_TOKEN_FILE={to} uses it")


@token.command("list")
def list_(json_: bool = typer.Option(False, "--json", help="Print JSON for a program.")) -> None:
    """List tokens, without their secrets."""
    found = client().tokens()
    if json_:
        show_json(found)
        return
    rows = [
        (
            str(one.id),
            one.name,
            one.role,
            " ".join(filter(None, (one.organisation, one.project, one.centre))) or "-",
            format_time(one.created_ms),
            _standing(one),
        )
        for one in found
    ]
    show_table(("ID", "NAME", "ROLE", "FOR", "CREATED", "STANDS"), rows, empty="no tokens")


@token.command()
def revoke(ids: list[int] = typer.Argument(help="Ids of tokens, from `weir token list`.")) -> None:
    """Make tokens useless from now on."""
    api = client()
    for one in ids:
        api.revoke_token(one)
        print(f"token {one} is revoked")


def whoami() -> None:
    """Say whom your token stands for, and which server answers."""
    who = client().whoami()
    for label, value in (
        ("name", who.name),
        ("role", who.role),
        ("organisation", who.organisation),
        ("project", who.project),
        ("centre", who.centre),
        ("server version", who.version),
    ):
        if value:
            print(f"{label:<15}{value}")


def _standing(one: TokenView) -> str:
    if one.revoked_ms:
        return "revoked"
    return f"until {format_time(one.expires_ms)}" if one.expires_ms else "good"
