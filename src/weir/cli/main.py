"""`weir`: one command for tenants, centres and the province's coordinator."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from weir import __version__
from weir.cli import (
    agent,
    centre,
    contract,
    demo,
    engine,
    explanation,
    history,
    job,
    listing,
    money,
    org,
    price,
    province,
    scheme,
    serving,
    statement,
    token,
    twin,
    watch,
)
from weir.client import ClientError, UnreachableError
from weir.model.problem import ProblemError

app = typer.Typer(
    name="weir",
    help="Weir shares out a province's computing power. Submit work once; it runs where it suits best.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BAD_INPUT = 2
UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h: the server cannot be reached."""
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. What a person can cause ends in one line on standard error and exit code 2."""
    code: object = None
    try:
        code = app(
            args=None if arguments is None else list(arguments), prog_name="weir", standalone_mode=False
        )
        sys.stdout.flush()
    except typer.TyperException as error:
        _fail_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        print(file=sys.stderr)
        sys.exit(INTERRUPTED)
    except UnreachableError as error:
        _fail(str(error), UNAVAILABLE)
    except (ClientError, ProblemError) as error:
        _fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader (head, less) has left; what is still buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except UnicodeError as error:
        _fail(f"what was given is not UTF-8 text; save it as UTF-8 ({error})", BAD_INPUT)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail_usage(error: typer.TyperException) -> None:
    message = error.format_message()
    if not message.strip():  # a command without anything has shown its help
        sys.exit(error.exit_code)
    context: typer.Context | None = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "weir"
    _fail(f"{message[:1].lower()}{message[1:].rstrip('.')}; see `{command} --help`", error.exit_code)


def _fail(message: str, code: int) -> None:
    print(f"weir: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"weir {__version__}")
        raise typer.Exit


@app.callback()
def weir(
    version: bool = typer.Option(
        False, "--version", help="Show the version.", callback=_show_version, is_eager=True
    ),
) -> None:
    """Weir shares out a province's computing power."""


def _register(*modules: Any) -> None:
    for module in modules:
        module.register(app)


_register(
    demo,
    job,
    listing,
    explanation,
    watch,
    serving,
    province,
    centre,
    org,
    price,
    money,
    contract,
    scheme,
    statement,
    token,
    agent,
    engine,
    history,
    twin,
)
