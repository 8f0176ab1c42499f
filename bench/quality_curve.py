"""Waiting against cost over a province: where `weir` lies as time is worth more, and where the others lie.

`python -m bench quality-province --curve` takes SEEDS generated provinces of JOBS jobs (with as many nodes for them as
a whole province has), each under `weir` with an hour worth from nothing to ¥1,000 (the policy's default is ¥10), under
`weir` that lets no job wait for a better pool while there is room in another, and under the policies that send each job
to one pool. All predict run times and backfill alike. Every point is the geometric mean over seeds of the ratio to
`weir` as it is, with Student's 95 % interval of paired logarithms. Writes bench/results/quality-curve.md, .json and
.svg.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.figure import Figure, machine
from bench.quality_province import FIRST_SEED, smaller
from weir import __version__
from weir.scheduling.policies import NAMED
from weir.twin.comparison import student_quantile
from weir.twin.generators.province import province_case
from weir.twin.metrics import measure as measures_of
from weir.twin.results import results_of
from weir.twin.run import run

RESULTS = Path(__file__).parent / "results"
SEEDS, JOBS, LOAD = 20, 12_000, 0.85
WORTHS_YUAN = (0, 1, 3, 10, 30, 100, 1_000)
"""What an hour until a job's end is worth, at weight 1000."""
OTHERS = ("earliest", "race", "cheapest", "nearest")
NOW_ALONE = "weir, now alone"
SHORTEST_WAIT_S = 1.0
"""A mean wait below this counts as this, so that its ratio exists."""


@dataclass(frozen=True, slots=True)
class Run:
    """One province under one policy."""

    seed: int
    policy: str
    mean_wait_s: float
    p999_wait_s: float
    mean_cost_micro_yuan: float


@dataclass(frozen=True, slots=True)
class Point:
    """A policy's wait and cost over those of `weir`: means over seeds with the bounds of their intervals."""

    policy: str
    mean_wait_s: float
    """Over seeds, not a ratio."""
    mean_cost_yuan: float
    wait: tuple[float, float, float]
    cost: tuple[float, float, float]


def measure(seed: int) -> Sequence[Figure]:
    """Run everything, and write the page."""
    seeds = range(FIRST_SEED * seed, FIRST_SEED * seed + SEEDS)
    runs = [each for number in seeds for each in runs_of(number, JOBS)]
    found = points(runs)
    write(found, runs, seeds)
    at = {point.policy: point for point in found}
    moved = [at[weighed(worth)].cost[0] for worth in WORTHS_YUAN]
    how = (
        f"{SEEDS} provinces of {JOBS:,} jobs at {LOAD}; hour worth ¥{WORTHS_YUAN[0]} to ¥{WORTHS_YUAN[-1]:,}"
    )
    rivals = [each for each in OTHERS if at[each].cost[0] <= 1 and at[each].wait[0] <= 1]
    return [
        Figure("curve: weir's cost from end to end", max(moved) / min(moved), "times", how),
        Figure(
            "curve: others with less wait at less cost", len(rivals), "policies", ", ".join(rivals) or "none"
        ),
    ]


def weighed(worth_yuan: int) -> str:
    """The name of `weir` with an hour worth so much."""
    return f"weir, ¥{worth_yuan:,} an hour"


def runs_of(seed: int, jobs: int) -> Iterator[Run]:
    """One province under every policy."""
    work, pools, links = province_case(seed, LOAD, smaller(jobs))
    ours = {
        weighed(worth): replace(
            NAMED["weir"], name=weighed(worth), time_micro_yuan_per_hour=worth * 1_000_000
        )
        for worth in WORTHS_YUAN
    }
    ours[NOW_ALONE] = replace(NAMED["weir"], name=NOW_ALONE, later=False)
    NAMED.update(ours)
    try:
        for policy in (*ours, *OTHERS):
            outcome = run(work, pools, policy=policy, estimates="predicted", links=links)
            results = results_of(outcome)
            found = measures_of(results)
            yield Run(
                seed=seed,
                policy=policy,
                mean_wait_s=found.mean_wait_s or 0.0,
                p999_wait_s=found.p999_wait_s or 0.0,
                mean_cost_micro_yuan=found.cost_micro_yuan / max(1, int(results.started.sum())),
            )
    finally:
        for name in ours:
            del NAMED[name]


def points(runs: Sequence[Run]) -> list[Point]:
    """Every policy against `weir` at its default, by pairs of the same seed."""
    default = weighed(NAMED["weir"].time_micro_yuan_per_hour // 1_000_000)
    base = {each.seed: each for each in runs if each.policy == default}
    found = []
    for policy in dict.fromkeys(each.policy for each in runs):
        own = [each for each in runs if each.policy == policy]
        waits = [_wait(each) / _wait(base[each.seed]) for each in own]
        costs = [each.mean_cost_micro_yuan / base[each.seed].mean_cost_micro_yuan for each in own]
        found.append(
            Point(
                policy,
                float(np.mean([each.mean_wait_s for each in own])),
                float(np.mean([each.mean_cost_micro_yuan for each in own])) / 1e6,
                interval(waits),
                interval(costs),
            )
        )
    return found


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of paired ratios, and the bounds of its 95 % interval (Student's t of logarithms)."""
    logs = np.log(ratios)
    middle = float(logs.mean())
    reach = 0.0
    if len(logs) > 1:
        reach = student_quantile(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - reach), math.exp(middle + reach)


def table(found: Sequence[Point]) -> str:
    """The points in Markdown."""
    lines = [
        "| policy | mean wait, s | mean cost, ¥ | wait over weir's | 95 % | cost over weir's | 95 % |",
        "|---|---:|---:|---:|---|---:|---|",
    ]
    for point in found:
        wait, cost = (f"{each[0]:.3f} | {each[1]:.3f} to {each[2]:.3f}" for each in (point.wait, point.cost))
        lines.append(
            f"| {point.policy} | {point.mean_wait_s:,.0f} | {point.mean_cost_yuan:,.2f} | {wait} | {cost} |"
        )
    return "\n".join(lines)


def drawing(found: Sequence[Point], file: Path) -> None:
    """The points as a plot, wait and cost both as ratios on logarithmic scales."""
    from matplotlib.figure import Figure as Plot

    plot = Plot(figsize=(7.5, 5.0), layout="constrained")
    axes = plot.subplots()
    for ours, colour in ((True, "#1f5fa8"), (False, "#b04a2f")):
        these = [point for point in found if point.policy.startswith("weir, ¥") is ours]
        axes.errorbar(
            [point.cost[0] for point in these],
            [point.wait[0] for point in these],
            xerr=np.array([[p.cost[0] - p.cost[1], p.cost[2] - p.cost[0]] for p in these]).T,
            yerr=np.array([[p.wait[0] - p.wait[1], p.wait[2] - p.wait[0]] for p in these]).T,
            fmt="o-" if ours else "s", color=colour, elinewidth=0.8, capsize=2, markersize=4,
        )  # fmt: skip
        for point in these:
            axes.annotate(
                point.policy.removeprefix("weir, ").removesuffix(" an hour"),
                (point.cost[0], point.wait[0]), textcoords="offset points", xytext=(6, 4), fontsize=8,
            )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("mean cost of a job, over that of weir at ¥10 an hour")
    axes.set_ylabel("mean wait, over that of weir at ¥10 an hour")
    axes.set_title(f"Waiting against cost: {SEEDS} provinces of {JOBS:,} jobs at load {LOAD}", fontsize=10)
    axes.grid(visible=True, which="major", linewidth=0.3)
    # Without a date and with fixed names, so that the same figures make the same file.
    import matplotlib as mpl

    with mpl.rc_context({"svg.hashsalt": "weir", "svg.fonttype": "none"}):
        plot.savefig(file, format="svg", metadata={"Date": None})


def write(found: Sequence[Point], runs: Sequence[Run], seeds: range) -> None:
    """The page, the plot and the runs."""
    RESULTS.mkdir(exist_ok=True)
    measured = datetime.now(UTC).isoformat(timespec="seconds")
    document = {
        "measured": measured,
        "weir": __version__,
        "seeds": list(seeds),
        "jobs": JOBS,
        "load": LOAD,
        **machine(),
        "points": [asdict(each) for each in found],
        "runs": [asdict(each) for each in runs],
    }
    (RESULTS / "quality-curve.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    heading = (
        f"Measured {measured}: seeds {seeds[0]} to {seeds[-1]}, provinces of {JOBS:,} jobs at {LOAD}, all policies "
        "with predictions. Ratios are geometric means over seeds, to weir at ¥10, with paired intervals."
    )
    page = f"{heading}\n\n{table(found)}\n\n![Waiting against cost](quality-curve.svg)\n"
    (RESULTS / "quality-curve.md").write_text(page, encoding="utf-8")
    drawing(found, RESULTS / "quality-curve.svg")


def _wait(one: Run) -> float:
    return max(SHORTEST_WAIT_S, one.mean_wait_s)


__all__ = ["Point", "Run", "interval", "measure", "points", "runs_of", "table", "write"]
