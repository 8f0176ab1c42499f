"""`weir apply`: declare or change the province from a file, after showing what would change."""

from pathlib import Path

import typer

from weir.cli.session import client, confirm


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(apply)


def apply(
    file: Path = typer.Option(..., "--file", "-f", help="A province file, such as provinces/anhui.yaml."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask."),
) -> None:
    """Declare or change centres, pools, device models and links: shows the difference, asks, applies.

    A pool or centre that is left out and still runs something is drained, and goes when it is empty. A file with
    `price_book:` becomes the next version of the price book instead.
    """
    text = file.read_text(encoding="utf-8")
    if any(line.startswith("price_book:") for line in text.splitlines()):
        from weir.cli.price import apply_price_book

        apply_price_book(text, file.name, yes)
        return
    api = client()
    difference = api.province_diff(text, source=file.name)
    for line in difference.lines:
        print(line)
    if not difference.changed:
        print("nothing to change")
        return
    if not confirm("Apply these changes?", yes, typer.confirm):
        print("nothing was changed; say yes, or give --yes")
        raise typer.Exit(1)
    api.apply_province(text, source=file.name, expected=difference.digest)
    print(f"applied {len(difference.lines)} changes")
