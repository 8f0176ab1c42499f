"""How good the schedules are, policy by policy, over recorded logs and generated loads.

`WEIR_TRACES=… python -m bench quality` writes bench/results/quality.md and .json: every SWF log of the folder, Philly
on 512 GPUs, generated loads, and the five logs in the mode of Gaussier et al., SC'15, beside their figures. Without
WEIR_TRACES only the generated loads are left, and the page says so. docs/discussion/quality.md says what it means.
"""

import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.figure import Figure, machine
from bench.logs import PHILLY, PHILLY_GPUS, Machine, generated, read_log, traces
from weir import __version__
from weir.twin.comparison import compare_jobs
from weir.twin.metrics import Measures
from weir.twin.metrics import measure as measures_of
from weir.twin.province import single_pool
from weir.twin.results import Results, results_of
from weir.twin.run import run

RESULTS = Path(__file__).parent / "results"
ROUNDS = 2_000
"""Of the bootstrap."""
GEOMETRIC_AIM = 0.55
APART = "lublin_256"
"""More work than its machine can do, and no estimates: kept out of the geometric mean."""
GENERATED = ((30_000, 256, 0.70), (30_000, 256, 0.90), (30_000, 1_024, 0.80), (30_000, 1_024, 0.95))
"""Jobs, processors, load."""
GENERATED_SEED = 1_000


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a log."""

    policy: str
    estimates: str = "user"
    tenants: str = "none"
    most_jobs: int = 10**9
    """On larger logs it takes too long for a table that is made often."""

    def __str__(self) -> str:
        said = {"user": "", "exact": ", exact estimates", "predicted": ", predictions"}[self.estimates]
        return self.policy + said + (", shares of users" if self.tenants == "user" else "")


EASY, WEIR = Way("easy"), Way("weir", "predicted")
WAYS = (
    EASY,
    Way("easy-sjbf"),
    Way("conservative", most_jobs=80_000),
    Way("saf"),
    Way("wfp3", most_jobs=80_000),
    Way("weir"),
    WEIR,
    Way("weir", "predicted", "user"),
    Way("easy", "exact"),
)


@dataclass(frozen=True, slots=True)
class Published:
    """A log of SC'15 and its means: EASY, EASY with exact estimates, and the best of all that was learnt."""

    name: str
    path: Path
    processors: int
    easy: float
    exact: float
    best: float


SC15 = (
    Published("KTH-SP2", Path("hpc", "KTH-SP2-1996-2.1-cln.swf.gz"), 100, 92.58, 71.72, 45.80),
    Published("CTC-SP2", Path("hpc", "CTC-SP2-pyss-filtered.swf.gz"), 338, 49.57, 37.17, 15.15),
    Published("SDSC-SP2", Path("hpc", "SDSC-SP2-pyss-filtered.swf.gz"), 128, 87.87, 70.48, 65.02),
    Published("SDSC-BLUE", Path("hpc", "SDSC-BLUE-2000-4.2-cln.swf.gz"), 1_152, 36.52, 30.62, 16.75),
    Published("Curie", Path("hpc", "CEA-Curie-2011-2.1-cln.swf.gz"), 80_640, 202.13, 69.93, 21.40),
)
SC15_WITHIN = 0.03


@dataclass(frozen=True, slots=True)
class Row:
    """One log run one way; the ratio is of mean bounded slowdowns, to EASY's, with its paired 95 % interval."""

    log: str
    way: str
    jobs: int
    mean_wait_s: float
    mean_bounded_slowdown: float
    rms_bounded_slowdown: float
    p999_wait_s: float
    max_wait_s: float
    longest_limit_s: float
    ratio: float
    low: float | None
    high: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Aim:
    """What is aimed at, and what came of it."""

    what: str
    aim: str
    measured: str
    met: bool


def measure(seed: int) -> Sequence[Figure]:
    """Make the tables and write them; some minutes. `seed` is the bootstrap's and moves the generated loads."""
    began = time.process_time()
    left_out: list[str] = []
    rows = [row for log in _machines(seed, left_out) for row in _rows(log, WAYS, "second", seed)]
    recorded = [row for log in _sc15(left_out) for row in _rows(log, (EASY, WEIR, WAYS[-1]), "event", seed)]
    aims = [*_sc15_aims(recorded), *_overall(rows)]
    page = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "weir": __version__,
        "seed": seed,
        "processor_seconds": round(time.process_time() - began, 1),
        **machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    document = {
        **page,
        "left_out": left_out,
        "aims": [asdict(each) for each in aims],
        "rows": [asdict(each) for each in rows],
        "sc15": [asdict(each) for each in recorded],
    }
    (RESULTS / "quality.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    shown = "\n\n".join(
        [
            (
                f"Measured {page['measured']} with seed {seed} in {page['processor_seconds']:.0f} s of processor time "
                "by `python -m bench quality`; docs/discussion/quality.md says what it means."
            ),
            "## Aims\n\n" + aims_table(aims),
            "## All logs\n\n" + table(rows),
            "## In the mode of SC'15\n\nA pass after every event; Curie on 80,640 processors.\n\n"
            + table(recorded),
            "Left out: " + ("; ".join(left_out) or "nothing") + ".",
        ]
    )
    (RESULTS / "quality.md").write_text(shown + "\n", encoding="utf-8")
    ratios = [row.ratio for row in rows if row.way == str(WEIR) and row.log != APART]
    figures = [
        Figure(
            "quality: weir over EASY",
            _geometric(ratios),
            "of EASY's",
            f"geometric mean of {len(ratios)} logs",
        )
    ]
    if recorded:
        met = sum(aim.met for aim in aims[:-1])
        how = "; ".join(f"{aim.what}: {aim.measured}" for aim in aims[:-1] if not aim.met)
        figures.append(
            Figure("quality: aims of SC'15 met", met, f"of {len(aims) - 1}", f"missed: {how or 'none'}")
        )
    return figures


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    shown = [
        (
            "| log | jobs | policy | mean wait, s | bounded slowdown: mean | RMS | wait: p99.9, s | longest, s "
            "| slowdown to EASY's | 95 % |"
        ),
        "|---|---:|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        interval = "-" if row.low is None or row.high is None else f"{row.low:.3f} to {row.high:.3f}"
        shown.append(
            f"| {row.log} | {row.jobs:,} | {row.way} | {row.mean_wait_s:,.0f} | {row.mean_bounded_slowdown:,.2f} "
            f"| {row.rms_bounded_slowdown:,.1f} | {row.p999_wait_s:,.0f} | {row.max_wait_s:,.0f} | {row.ratio:.3f} "
            f"| {interval} |"
        )
    return "\n".join(shown)


def aims_table(aims: Sequence[Aim]) -> str:
    """The aims in Markdown, missed ones in bold."""
    return "\n".join(
        [
            "| what | aim | measured | |",
            "|---|---|---|---|",
            *(
                f"| {each.what} | {each.aim} | {each.measured} | {'met' if each.met else '**missed**'} |"
                for each in aims
            ),
        ]
    )


def _machines(seed: int, left_out: list[str]) -> Iterator[Machine]:
    folder = traces()
    if folder is None:
        left_out.append("recorded logs, as WEIR_TRACES names no folder of traces")
    else:
        for path in sorted([*folder.glob("hpc/*.swf*"), *folder.glob("synthetic/*.swf*")]):
            if path.suffix == ".machines":
                continue
            try:
                yield read_log(path)
            except ValueError as error:
                left_out.append(str(error))
        if (folder / PHILLY).is_file():
            yield read_log(folder / PHILLY, PHILLY_GPUS, name=f"Philly on {PHILLY_GPUS} GPUs")
    for number, (jobs, size, load) in enumerate(GENERATED):
        yield generated(GENERATED_SEED * seed + number, jobs, size, load)


def _sc15(left_out: list[str]) -> Iterator[Machine]:
    folder = traces()
    for log in SC15:
        if folder is not None and (folder / log.path).is_file():
            yield read_log(folder / log.path, log.processors, name=log.name)
        else:
            left_out.append(f"{log.name} in the mode of SC'15")


def _rows(log: Machine, ways: Sequence[Way], passes: str, seed: int) -> Iterator[Row]:
    print(f"  {log.name}: {len(log.work):,} jobs on {log.processors:,}", file=sys.stderr, flush=True)
    first: Results | None = None
    for way in ways:
        alone = len(log.work.users) < 2 and way.tenants == "user"
        exact = not log.work.has_estimates and way.estimates == "exact"
        if len(log.work) > way.most_jobs or alone or exact:
            continue
        began = time.process_time()
        outcome = run(
            log.work,
            [single_pool(log.processors)],
            policy=way.policy,
            estimates=way.estimates,
            tenants=way.tenants,
            passes=passes,
        )
        results = results_of(outcome)
        seconds = time.process_time() - began
        first = first or results
        yield _row(log, way, first, results, seed, seconds)


def _row(log: Machine, way: Way, first: Results, results: Results, seed: int, seconds: float) -> Row:
    found = measures_of(results)
    low = high = None
    ratio = _slowdown(found) / _slowdown(measures_of(first))
    if results is not first:
        compared = compare_jobs(
            first, results, names=("easy", str(way)), random=np.random.default_rng(seed), rounds=ROUNDS
        )
        [slowdown] = [each for each in compared.differences if each.figure == "mean bounded slowdown"]
        if slowdown.percent_low is not None and slowdown.percent_high is not None:
            low, high = 1 + slowdown.percent_low / 100, 1 + slowdown.percent_high / 100
    return Row(
        log=log.name,
        way=str(way),
        jobs=len(log.work),
        mean_wait_s=found.mean_wait_s or 0.0,
        mean_bounded_slowdown=_slowdown(found),
        rms_bounded_slowdown=found.rms_bounded_slowdown or 1.0,
        p999_wait_s=found.p999_wait_s or 0.0,
        max_wait_s=found.max_wait_s or 0.0,
        longest_limit_s=int(log.work.limit_ms.max()) / 1_000,
        ratio=ratio,
        low=low,
        high=high,
        seconds=seconds,
    )


def _slowdown(found: Measures) -> float:
    assert found.mean_bounded_slowdown is not None  # every log has jobs that start
    return found.mean_bounded_slowdown


def _sc15_aims(rows: Sequence[Row]) -> Iterator[Aim]:
    at = {(row.log, row.way): row for row in rows}
    for log in SC15:
        if (log.name, str(EASY)) not in at:
            continue
        easy, weir = at[log.name, str(EASY)], at[log.name, str(WEIR)]
        apart = easy.mean_bounded_slowdown / log.easy - 1
        yield Aim(
            f"{log.name}: EASY's published mean",
            f"{log.easy:.2f} within 3 %",
            f"{easy.mean_bounded_slowdown:.2f} ({apart:+.1%})",
            abs(apart) <= SC15_WITHIN,
        )
        yield Aim(
            f"{log.name}: weir's mean slowdown",
            f"below {log.best:.2f}, the best learnt",
            f"{weir.mean_bounded_slowdown:.2f}",
            weir.mean_bounded_slowdown < log.best,
        )
        for what, ours, most in (
            ("RMS slowdown", weir.rms_bounded_slowdown, easy.rms_bounded_slowdown),
            ("p99.9 wait, s", weir.p999_wait_s, easy.p999_wait_s),
            ("longest wait, s", weir.max_wait_s, easy.max_wait_s + easy.longest_limit_s),
        ):
            yield Aim(f"{log.name}: weir's {what}", f"at most {most:,.0f}", f"{ours:,.0f}", ours <= most)


def _overall(rows: Sequence[Row]) -> Iterator[Aim]:
    ratios = [row.ratio for row in rows if row.way == str(WEIR) and row.log != APART]
    mean = _geometric(ratios)
    yield Aim(
        f"all {len(ratios)} logs but {APART}: weir's mean slowdown to EASY's, geometric mean",
        f"at most {GEOMETRIC_AIM}",
        f"{mean:.3f}",
        mean <= GEOMETRIC_AIM,
    )


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


__all__ = ["measure"]
