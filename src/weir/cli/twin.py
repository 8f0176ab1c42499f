"""`weir twin`: try a policy, a price or another province on recorded or generated work, in simulated time."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from weir.cli.progress import progress_bar
from weir.cli.session import show_json, show_table
from weir.model.problem import refused

if TYPE_CHECKING:  # these load NumPy, Polars and Numba, which only a command that runs should wait for
    from weir.twin.comparison import Comparison
    from weir.twin.results import Results
    from weir.twin.trial import Scene, Source, Trial

twin = typer.Typer(
    help="Try policies and provinces on recorded work, in simulated time.", no_args_is_help=True
)

Estimates = Literal["user", "exact", "predicted"]
Tenants = Literal["none", "user"]
Passes = Literal["second", "event"]

LOG = typer.Argument(None, metavar="LOG", help="A trace file; `weir twin traces` lists the formats.")
FORMAT = typer.Option("", "--format", help="The trace's format, where its content does not tell.")
GENERATE = typer.Option("", help="Instead of a trace: lublin (one machine) or province (a whole one).")
PROCS = typer.Option(None, min=1, help="One pool of so many processors; else as large as the trace says.")
PROVINCE = typer.Option(None, metavar="FILE", help="A whole province, from its file.")
CHANGE = typer.Option([], help="What if: a change, such as 'lose centre C at 2d' (may be repeated).")
SKIP_BAD = typer.Option(False, "--skip-bad", help="Leave bad lines of the trace out, and say how many.")
JOBS = typer.Option(None, "--jobs", min=1, help="At most so many jobs of the trace; or how many to generate.")
LOAD = typer.Option(None, min=0.001, help="Offered load; a trace is resampled to it.")
SEED = typer.Option(None, min=0, help="Of what is generated; of a trace, take this resample of it.")
SEEDS = typer.Option(
    0, min=0, help="With so many seeds, from 1 on: of what is generated, or of a trace's resamples."
)
DEFAULT_DRAWS = 1
DRAWS = typer.Option(DEFAULT_DRAWS, min=0, help="Seed of the resamples that intervals come from.")
START = typer.Option(
    None, metavar="FILE", help="Begin with a state of the province: what runs and waits there."
)
LIVE = typer.Option(False, "--from-live", help="Begin with the live province's state, asked for now.")
POLICY = typer.Option("weir", help="How jobs are ordered and placed; --policy help lists the names.")
ESTIMATES = typer.Option("user", help="What is known of run times.")
TENANTS = typer.Option("none", help="Whether users share out fairly, or all are one queue.")
PASSES = typer.Option("second", help="One pass a second of simulated time, or one after each event.")
JSON = typer.Option(False, "--json", help="Print JSON for a program.")

MOST_BAD_LINES = 10
"""That are shown one by one."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(twin, name="twin")


@twin.command()
def run(
    log: Path | None = LOG,
    procs: int | None = PROCS,
    province: Path | None = PROVINCE,
    change: list[str] = CHANGE,
    policy: str = POLICY,
    estimates: Estimates = ESTIMATES,
    tenants: Tenants = TENANTS,
    passes: Passes = PASSES,
    generate: str = GENERATE,
    format_: str = FORMAT,
    jobs: int | None = JOBS,
    load: float | None = LOAD,
    seed: int | None = SEED,
    skip_bad: bool = SKIP_BAD,
    start: Path | None = START,
    from_live: bool = LIVE,
    out: Path | None = typer.Option(None, metavar="DIR", help="Write jobs.parquet and summary.json there."),
    page: bool = typer.Option(False, "--report", help="Write report.html there too."),
    json_: bool = JSON,
) -> None:
    """Run a trace through the scheduling core, and say how long jobs waited and what it cost."""
    _known_policies([policy])
    from weir.twin.metrics import measure, summarise
    from weir.twin.results import check_folder, write_results
    from weir.twin.trial import Trial
    from weir.twin.wording import figure_rows, lines, setting_rows

    if out is not None:
        check_folder(out)
    elif page:
        raise refused("--report", "alone", "say where to write it, with --out DIR")
    with _state(start, from_live) as begins:
        source = _source(log, generate, format_, skip_bad, jobs, load, seed, begins)
        trial = Trial(source, policy, estimates, tenants, passes, procs, province, tuple(change), begins)
        scene = _ready_scene(trial)
    results = _performed(trial, scene)
    measures = measure(results)
    summary = summarise(results, measures)
    if out is not None:
        write_results(results, summary, out)
    if out is not None and page:
        _write_report(results, None, out / "report.html", DEFAULT_DRAWS)
    if json_:
        show_json(summary)
        return
    for line in (*lines(setting_rows(results)), "", *lines(figure_rows(results, measures))):
        print(line)
    if out is not None:
        print(f"\n{out} holds the results; `weir twin report {out}` makes a page of them")


@twin.command()
def compare(
    what: list[Path] = typer.Argument(
        None,
        metavar="DIR DIR… | LOG…",
        help="Folders of runs of the same jobs; or traces, with --policy twice.",
    ),
    policy: list[str] = typer.Option(
        [], help="Run the traces under these policies; the first is the baseline."
    ),
    procs: int | None = PROCS,
    province: Path | None = PROVINCE,
    change: list[str] = CHANGE,
    estimates: Estimates = ESTIMATES,
    tenants: Tenants = TENANTS,
    passes: Passes = PASSES,
    generate: str = GENERATE,
    seeds: int = SEEDS,
    format_: str = FORMAT,
    jobs: int | None = JOBS,
    load: float | None = LOAD,
    skip_bad: bool = SKIP_BAD,
    start: Path | None = START,
    draws: int = DRAWS,
    json_: bool = JSON,
) -> None:
    """Say by how much runs differ, with paired 95 % intervals.

    Two runs of the same jobs are paired job by job, with a bootstrap over blocks of jobs; three or more pairs of runs
    (traces or seeds) are paired run by run.
    """
    from weir.twin.pairing import compare_folders, compare_policies
    from weir.twin.results import SUMMARY
    from weir.twin.trial import Trial

    folders = [(each / SUMMARY).is_file() or each.is_dir() for each in what or ()]
    if any(folders) and not policy:
        comparisons = compare_folders(what, draws)
    else:
        if len(policy) < 2:
            raise refused(
                "--policy", ", ".join(policy) or "nothing", "give two or more, or folders of earlier runs"
            )
        _known_policies(policy)
        sources = [
            _source(log, generate, format_, skip_bad, jobs, load, seed, start)
            for log in _logs(what)
            for seed in _seeds(seeds)
        ]
        trials = [
            [
                Trial(source, name, estimates, tenants, passes, procs, province, tuple(change), start)
                for name in policy
            ]
            for source in sources
        ]
        comparisons = compare_policies(trials, _ready_scene, _performed, draws)
    if json_:
        show_json([_comparison_json(each) for each in comparisons])
        return
    for number, each in enumerate(comparisons):
        print("\n" * bool(number) + f"{each.second} against {each.first}: {_rests_on(each)}")
        _show_comparison(each)


@twin.command()
def sweep(
    logs: list[Path] = typer.Argument(None, metavar="LOG…", help="Trace files."),
    policy: list[str] = typer.Option(["weir"], help="May be repeated."),
    procs: int | None = PROCS,
    province: Path | None = PROVINCE,
    change: list[str] = CHANGE,
    estimates: list[str] = typer.Option(["user"], help="user, exact or predicted; may be repeated."),
    tenants: list[str] = typer.Option(["none"], help="none or user; may be repeated."),
    passes: Passes = PASSES,
    generate: str = GENERATE,
    load: list[float] = typer.Option(
        [], min=0.001, help="Offered load; a trace is resampled to it; may be repeated."
    ),
    seeds: int = SEEDS,
    format_: str = FORMAT,
    jobs: int | None = JOBS,
    skip_bad: bool = SKIP_BAD,
    workers: int = typer.Option(0, min=0, help="Processes; 0 takes one a core."),
    ray: str = typer.Option("", metavar="ADDRESS", help="Run on this Ray cluster instead."),
    out: Path | None = typer.Option(None, metavar="FILE", help="Write the table there, as Parquet."),
    json_: bool = JSON,
) -> None:
    """Run every combination of traces, loads, seeds and policies, on all cores."""
    _known_policies(policy)
    _known("--estimates", estimates, ("user", "exact", "predicted"))
    _known("--tenants", tenants, ("none", "user"))
    from weir.twin.sweep import check_file, grid, perform_all, write_sweep

    if out is not None:
        check_file(out)
    loads: Sequence[float | None] = load or [None]
    sources = [
        _source(log, generate, format_, skip_bad, jobs, each, seed)
        for log in _logs(logs)
        for each in loads
        for seed in _seeds(seeds)
    ]
    trials = grid(
        sources,
        policies=policy,
        estimates=estimates,
        tenants=tenants,
        passes=passes,
        processors=procs,
        province=province,
        changes=change,
    )
    with progress_bar("sweep", "runs") as advance:
        rows = perform_all(trials, workers=workers, ray=ray, done=advance)
    if out is not None:
        write_sweep(rows, out)
    if json_:
        show_json(rows)
    else:
        _show_sweep(rows)
    failed = sum(1 for row in rows if row["error"])
    if failed:
        print(
            f"weir: {failed} of {len(rows)} runs were refused; the first: {_first_error(rows)}",
            file=sys.stderr,
        )
        raise typer.Exit(2 if failed == len(rows) else 1)


@twin.command()
def report(
    folder: Path = typer.Argument(metavar="DIR", help="Results of `weir twin run --out DIR`."),
    against: Path | None = typer.Option(None, metavar="DIR", help="A second run of the same jobs."),
    out: Path | None = typer.Option(None, metavar="FILE", help="Where to write; else report.html in DIR."),
    draws: int = DRAWS,
) -> None:
    """Make one HTML page of a run: waits, utilisation, a Gantt chart, cost, energy, carbon, who gained and lost."""
    from weir.twin.results import read_results

    results = read_results(folder)
    other = None if against is None else read_results(against)
    file = out or folder / "report.html"
    names = (folder.name, "" if against is None else against.name)
    _write_report(results, other, file, draws, names)
    print(file)


@twin.command()
def traces(
    file: Path | None = typer.Argument(None, metavar="FILE", help="Say what this trace holds."),
    format_: str = FORMAT,
    procs: int | None = PROCS,
    jobs: int | None = JOBS,
    skip_bad: bool = SKIP_BAD,
    json_: bool = JSON,
) -> None:
    """List the formats of traces that can be read; with FILE, say what it holds and what cleaning left out."""
    from weir.twin.traces.formats import FORMATS

    if file is None:
        if json_:
            show_json(
                [{n: getattr(f, n) for n in ("name", "title", "says", "lacks", "source")} for f in FORMATS]
            )
        else:
            show_table(("FORMAT", "WHAT IT IS"), [(each.name, each.title) for each in FORMATS], empty="none")
        return
    from weir.twin.description import describe
    from weir.twin.traces import read_trace
    from weir.twin.wording import description_rows, lines

    with _bad_lines(file) as on_bad:
        workload = read_trace(
            file, format=format_ or None, processors=procs, skip_bad=skip_bad, limit=jobs, on_bad=on_bad
        )
    if not len(workload):
        raise refused("FILE", file, "no job in it is usable")
    found = describe(workload)
    if json_:
        show_json(found)
    else:
        for line in lines(description_rows(found)):
            print(line)


def _write_report(
    results: "Results", other: "Results | None", file: Path, draws: int, names: tuple[str, str] = ("", "")
) -> None:
    import numpy as np

    from weir.twin.report import report_html

    random = np.random.default_rng(draws)
    page = report_html(results, other, random=random, name=names[0], other_name=names[1])
    part = file.with_name(f".{file.name}.part")
    try:
        part.write_text(page, encoding="utf-8")
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _source(
    log: Path | None,
    generate: str,
    format_: str,
    skip_bad: bool,
    jobs: int | None,
    load: float | None,
    seed: int | None,
    start: Path | None = None,
) -> "Source":
    from weir.twin.trial import GENERATORS, Source

    if log is None and not generate and start is None:
        raise refused(
            "LOG", "nothing", f"give a trace file, or --generate with one of {', '.join(GENERATORS)}"
        )
    if generate:
        _known("--generate", [generate], GENERATORS)
    return Source(log, generate, format_ or None, skip_bad, jobs, load, seed)


@contextmanager
def _state(start: Path | None, from_live: bool) -> Iterator[Path | None]:
    """The file of a state to begin with, if any; that of the live province is gone afterwards."""
    if not from_live:
        yield start
        return
    if start is not None:
        raise refused("--from-live", "with --start", "give one of them")
    import tempfile

    from weir.cli.history import write_export

    with tempfile.TemporaryDirectory(prefix="weir-state-") as folder:
        file = Path(folder) / "state.parquet"
        count, _ = write_export(file, state=True)
        print(f"weir: the province has {count:,} jobs that run or wait", file=sys.stderr)
        yield file


def _logs(given: Sequence[Path] | None) -> list[Path | None]:
    """The traces that were named; without any, what is generated takes their place."""
    return [*given] if given else [None]


def _seeds(count: int) -> list[int | None]:
    return list(range(1, count + 1)) or [None]


def _ready_scene(trial: "Trial") -> "Scene":
    """The jobs and the province, with compiled code ready."""
    from weir.twin.trial import make_ready, prepare

    make_ready(trial, lambda line: print(f"weir: {line}", file=sys.stderr))
    with _bad_lines(trial.source.log) as on_bad:
        return prepare(trial, time.perf_counter, on_bad)


def _performed(trial: "Trial", scene: "Scene") -> "Results":
    from weir.twin.trial import perform

    with progress_bar(f"{scene.workload.name} {trial.policy}", "jobs") as advance:
        return perform(trial, scene, advance)


def _comparison_json(comparison: "Comparison") -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(comparison)
    for row, each in zip(found["differences"], comparison.differences, strict=True):
        row["told_apart"] = each.told_apart
    return {**found, "confidence": 0.95}


def _rests_on(comparison: "Comparison") -> str:
    if comparison.block:
        left_out = f", {comparison.left_out:,} left out" if comparison.left_out else ""
        return f"paired by job over {comparison.pairs:,} jobs{left_out}, blocks of {comparison.block:,}"
    return f"{comparison.pairs} pairs of runs"


def _show_comparison(comparison: "Comparison") -> None:
    from weir.twin.wording import format_interval, format_value

    rows = [
        (
            each.figure,
            format_value(each.first, each.unit),
            format_value(each.second, each.unit),
            format_interval(each),
            "told apart" if each.told_apart else "not told apart",
        )
        for each in comparison.differences
    ]
    heads = ("", comparison.first.upper(), comparison.second.upper(), "DIFFERENCE [95 % INTERVAL]", "")
    show_table(heads, rows, empty="nothing to compare")


def _show_sweep(rows: Sequence[dict[str, Any]]) -> None:
    from weir.twin.wording import format_percent, format_span, format_value

    shown = [
        (
            str(row.get("trace") or row["source"]),
            "-" if row["load"] is None else f"{row['load']:g}",
            "-" if row["seed"] is None else str(row["seed"]),
            row["policy"],
            row["estimates"],
            row["tenants"],
            format_span(row.get("mean_wait_s")),
            format_span(row.get("p95_wait_s")),
            format_value(row.get("mean_bounded_slowdown")),
            format_percent(row.get("utilisation")),
            "refused" if row["error"] else format_value(row.get("jobs_per_second")),
        )
        for row in rows
    ]
    heads = (
        "TRACE", "LOAD", "SEED", "POLICY", "ESTIMATES", "TENANTS", "MEAN WAIT", "95 %", "SLOWDOWN", "OCCUPIED", "JOBS/S"
    )  # fmt: skip
    show_table(heads, shown, empty="no runs")


def _first_error(rows: Sequence[dict[str, Any]]) -> str:
    return next(str(row["error"]) for row in rows if row["error"])


def _known_policies(names: Sequence[str]) -> None:
    from weir.twin.trial import known_policies

    known = known_policies()
    if "help" in names:
        show_table(("POLICY", "WHAT IT IS"), list(known.items()), empty="none")
        raise typer.Exit
    _known("--policy", names, tuple(known))


def _known(option: str, values: Sequence[str], accepted: Sequence[str]) -> None:
    for value in values:
        if value not in accepted:
            raise refused(option, value, f"give one of {', '.join(accepted)}")


@contextmanager
def _bad_lines(log: Path | None) -> Iterator[Callable[[int, str], None]]:
    """Tells of lines that were left out: the first few by number and reason, then how many there were."""
    count = 0

    def on_bad(line: int, reason: str) -> None:
        nonlocal count
        count += 1
        if count <= MOST_BAD_LINES:
            print(f"weir: {log} line {line} left out: {reason}", file=sys.stderr)

    yield on_bad
    if count > MOST_BAD_LINES:
        print(f"weir: {log}: {count:,} lines left out in all", file=sys.stderr)
