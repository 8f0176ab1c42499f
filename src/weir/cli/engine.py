"""`weir engine`: which engines an agent can drive, and whether one does what its driver promises."""

import platform
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from weir import __version__
from weir.model.problem import refused
from weir.units import format_time, parse_bytes
from weir.units.marker import parse_milli_cores

engine = typer.Typer(help="The engines that an agent can drive, and checks of them.", no_args_is_help=True)
FAILED = 1


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(engine, name="engine")


@engine.command("list")
def list_() -> None:
    """Name the drivers that are there, Weir's own and those of other installed packages."""
    from weir.engines.names import driver_names

    for name in driver_names():
        print(name)


@engine.command()
def check(
    name: str = typer.Argument(help="A driver; `weir engine list` names them."),
    option: list[str] = typer.Option([], metavar="K=V", help="An engine option of the centre's entry."),
    pool_option: list[str] = typer.Option([], metavar="K=V", help="An option of the pool, such as a queue."),
    nodes: int = typer.Option(2, min=1, help="Nodes of the pool to try on."),
    devices: int = typer.Option(4, min=0, help="Devices of each node."),
    cores: str = typer.Option("512", help="Cores of each node."),
    memory: str = typer.Option("4TiB", help="Memory of each node."),
    device_model: str = typer.Option("any", help="The devices' model, as the pool's entry names it."),
    device_variable: str = typer.Option("CUDA_VISIBLE_DEVICES", help="The stack's own variable."),
    image: str = typer.Option("", help="A container image with sh to try, where the driver runs them."),
    folder: Path | None = typer.Option(
        None, help="An empty folder that the engine reaches too; else a temporary one of this machine."
    ),
    full: bool = typer.Option(False, "--full", help="At full size; it takes minutes."),
    array: int | None = typer.Option(None, min=10, help="Elements of the array to try."),
    many: int | None = typer.Option(
        None, min=2, help="Attempts to submit at once, where a hundred are too many."
    ),
    patience: float | None = typer.Option(None, min=1, help="Seconds to wait for anything, at most."),
    only: list[str] = typer.Option([], metavar="CASE", help="Only this case (may be repeated)."),
    report: Path | None = typer.Option(None, metavar="FILE", help="Write a report to keep, as Markdown."),
) -> None:
    """Run the conformance suite on an engine, through its driver. Exit code 1 when it fails.

    It submits some thousand short commands, and removes what it made. What the driver does not claim is listed;
    so is what would need the engine to be stopped or broken, which only a driver's own tests do.
    """
    from weir.engines.conformance import CASES, FULL, NARROW, QUICK, WIDE, run_conformance
    from weir.engines.names import load_driver
    from weir.model.agent import PoolEntry

    unknown = sorted(set(only) - {case.name for case in CASES})
    if unknown:
        raise refused("--only", unknown[0], f"known are {', '.join(case.name for case in CASES)}")
    make_driver = load_driver(name)
    options, pool_options = _pairs("--option", option), _pairs("--pool-option", pool_option)
    core_count, memory_bytes = parse_milli_cores(cores), parse_bytes(memory)
    sizes = (core_count, memory_bytes, device_model)
    pools = (
        PoolEntry(WIDE, nodes, devices, *sizes, shares=True, options=pool_options),
        PoolEntry(NARROW, 1, 0, *sizes, shares=False, options=pool_options),
    )
    scale = FULL if full else QUICK
    scale = replace(
        scale,
        array=array or scale.array,
        many=many or scale.many,
        patience_s=patience or scale.patience_s,
    )
    with _empty_folder(folder) as place:
        found = run_conformance(
            make_driver,
            place,
            scale=scale,
            only=only or None,
            options=options,
            pools=pools,
            device_variable=device_variable,
            image=image,
            heard=print,
        )
    if report is not None:
        shown = {
            "engine": name,
            "options": ", ".join(option) or "none",
            "pool options": ", ".join(pool_option) or "none",
            "image": image or "none",
            "size": "full" if full else "quick",
            "host": platform.node(),
            "date": format_time(time.time_ns() // 1_000_000),
            "weir": __version__,
        }
        report.write_text(found.to_text(shown), encoding="utf-8")
    verdict = "does what its driver claims" if found.passed else "does NOT do what its driver claims"
    print(f"{name} {verdict}: {found.count('passed')} cases passed, {found.count('failed')} failed")
    if not found.passed:
        raise typer.Exit(FAILED)


@contextmanager
def _empty_folder(given: Path | None) -> Iterator[Path]:
    if given is None:
        with tempfile.TemporaryDirectory(prefix="weir-check-", ignore_cleanup_errors=True) as made:
            yield Path(made)
        return
    if given.exists() and any(given.iterdir()):
        raise refused("--folder", str(given), "give a folder that is empty, or none")
    given.mkdir(mode=0o700, parents=True, exist_ok=True)
    yield given.absolute()


def _pairs(field: str, texts: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals) or key in found:
            raise refused(field, text, "give KEY=VALUE, each key once")
        found[key] = value
    return found
