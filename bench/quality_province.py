"""How good the schedules of a whole province are: `weir` against sending each job where it seems best, all predicting.

`python -m bench quality-province` takes generated provinces of 34 centres with a fifth of the nodes and jobs of the
full ones, so that it takes minutes, at three loads of the binding kind, the same seeds for every policy; `--seeds N`
through `python -m bench.quality_province` takes more, `--jobs 300000` whole provinces. Writes
bench/results/quality-province.md and .json. docs/discussion/quality.md says what it means.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bench.figure import Figure, machine
from bench.least_cost import least_cost
from weir import __version__
from weir.twin.comparison import student_quantile
from weir.twin.generators.province import province_case
from weir.twin.generators.province_parameters import ProvinceParameters
from weir.twin.metrics import measure as measures_of
from weir.twin.results import results_of
from weir.twin.run import run

RESULTS = Path(__file__).parent / "results"
FIRST_SEED = 100
LOADS = (0.70, 0.85, 0.95)
OURS, THEIRS, CHEAPEST = "weir", ("earliest", "race", "cheapest"), "cheapest"
JOBS, SEEDS = 60_000, 3
HEAVY, LEAST_GAIN, MOST_COST = (0.85, 0.95), 0.30, 1.10
FEWEST_FOR_INTERVAL = 3


@dataclass(frozen=True, slots=True)
class Row:
    """One province under one policy."""

    seed: int
    load: float
    policy: str
    jobs: int
    unstarted: int
    mean_wait_s: float
    p999_wait_s: float
    mean_bounded_slowdown: float
    mean_cost_micro_yuan: float
    seconds: float
    """Of the simulation, by the wall clock."""
    least_cost_micro_yuan: float = 0.0
    """With `weir`: what a job costs in the mean, at the least, under any schedule that is over as soon as this one."""
    lasting_cost_micro_yuan: float = 0.0
    """With `weir`: the same under any schedule that does as much as comes in, so that queues would not grow without
    end if such work came for ever."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """`weir` to another policy at a load: the geometric mean over seeds, and its 95 % interval from three seeds on."""

    load: float
    other: str
    figure: str
    value: float
    low: float | None
    high: float | None
    most: float | None
    """The aim, where there is one for this figure."""

    @property
    def met(self) -> bool:
        """Whether the aim is reached, if there is one."""
        return self.most is None or self.value <= self.most


def measure(seed: int) -> Sequence[Figure]:
    """A few seeds on small provinces."""
    return _figures(_made(range(FIRST_SEED * seed, FIRST_SEED * seed + SEEDS), JOBS))


def main() -> int:
    """As many seeds as wanted."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality_province", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="provinces at each load")
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    parser.add_argument("--jobs", type=int, default=JOBS, help="in each; 300,000 are a whole province's")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs: at least 1")
    for figure in _figures(_made(range(options.first, options.first + options.seeds), options.jobs)):
        print(f"{figure.name}: {figure.value:.3f} {figure.unit} ({figure.how})")
    return 0


def smaller(jobs: int) -> ProvinceParameters:
    """A province with as many nodes for its jobs as the full one has for its; pools keep at least two nodes."""
    full = ProvinceParameters()
    part = jobs / full.jobs
    if part >= 1:
        return replace(full, jobs=jobs)
    return replace(
        full,
        jobs=jobs,
        devices=round(full.devices * part),
        cpu_nodes=max(1, round(full.cpu_nodes * part)),
        edge_nodes=(max(1, round(full.edge_nodes[0] * part)), max(1, round(full.edge_nodes[1] * part))),
        least_nodes=max(2, round(full.least_nodes * part)),
    )


def ratios(rows: Sequence[Row]) -> Iterator[Ratio]:
    """`weir` to each other policy, by load, for waits and costs."""
    at = {(row.load, row.policy, row.seed): row for row in rows}
    seeds = sorted({row.seed for row in rows})
    for load in sorted({row.load for row in rows}):
        for other in THEIRS:
            pairs = [(at[load, OURS, seed], at[load, other, seed]) for seed in seeds]
            wait_aim = 1 - LEAST_GAIN if load in HEAVY else 1.0
            cost_aim = (MOST_COST if load in HEAVY else 1.0) if other == CHEAPEST else None
            if load not in HEAVY:
                cost_aim = 1.0
            yield _ratio(
                load, other, "mean wait", [(a.mean_wait_s, b.mean_wait_s) for a, b in pairs], wait_aim
            )
            yield _ratio(
                load,
                other,
                "mean cost",
                [(a.mean_cost_micro_yuan, b.mean_cost_micro_yuan) for a, b in pairs],
                cost_aim,
            )


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, the mean over the seeds."""
    shown = [
        "| load | policy | mean wait, s | wait: p99.9, s | mean bounded slowdown | mean cost, ¥ | jobs/s |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for load in sorted({row.load for row in rows}):
        for policy in (OURS, *THEIRS):
            these = [row for row in rows if row.load == load and row.policy == policy]

            def mean(name: str, these: list[Row] = these) -> float:
                return float(np.mean([getattr(row, name) for row in these]))

            speed = sum(row.jobs for row in these) / sum(row.seconds for row in these)
            shown.append(
                f"| {load:.2f} | {policy} | {mean('mean_wait_s'):,.0f} | {mean('p999_wait_s'):,.0f} "
                f"| {mean('mean_bounded_slowdown'):,.2f} | {mean('mean_cost_micro_yuan') / 1e6:,.2f} | {speed:,.0f} |"
            )
        ours = [row for row in rows if row.load == load and row.policy == OURS]
        least = np.mean([row.least_cost_micro_yuan for row in ours]) / 1e6
        lasting = np.mean([row.lasting_cost_micro_yuan for row in ours]) / 1e6
        shown.append(
            f"| {load:.2f} | any that is over as soon as {OURS}, at the least | | | | {least:,.2f} | |"
        )
        shown.append(
            f"| {load:.2f} | any that does as much as comes in, at the least | | | | {lasting:,.2f} | |"
        )
    return "\n".join(shown)


def ratio_table(found: Sequence[Ratio]) -> str:
    """The ratios in Markdown, missed aims in bold."""
    shown = ["| load | to | figure of weir | ratio | 95 % | aim | |", "|---:|---|---|---:|---|---|---|"]
    for each in found:
        interval = "-" if each.low is None or each.high is None else f"{each.low:.3f} to {each.high:.3f}"
        aim = "-" if each.most is None else f"at most {each.most:.2f}"
        verdict = "" if each.most is None else "met" if each.met else "**missed**"
        shown.append(
            f"| {each.load:.2f} | {each.other} | {each.figure} | {each.value:.3f} | {interval} | {aim} | {verdict} |"
        )
    return "\n".join(shown)


def bounds(rows: Sequence[Row]) -> Iterator[Ratio]:
    """By load, over what `cheapest` costs: the least that any schedule costs that is over as soon as `weir`'s, and that
    any does that keeps up with what comes in."""
    for load in sorted({row.load for row in rows}):
        cheapest = {
            row.seed: row.mean_cost_micro_yuan for row in rows if (row.load, row.policy) == (load, CHEAPEST)
        }
        ours = [row for row in rows if (row.load, row.policy) == (load, OURS)]
        soon = [(row.least_cost_micro_yuan, cheapest[row.seed]) for row in ours]
        yield _ratio(load, CHEAPEST, "least cost, over as soon", soon, None)
        lasting = [(row.lasting_cost_micro_yuan, cheapest[row.seed]) for row in ours]
        yield _ratio(load, CHEAPEST, "least cost, keeping up", lasting, None)


def _made(seeds: range, jobs: int) -> list[Row]:
    """Every row, and the page written."""
    rows = [row for seed in seeds for load in LOADS for row in _rows(seed, load, jobs)]
    found = [*ratios(rows), *bounds(rows)]
    page = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "weir": __version__,
        "seeds": list(seeds),
        "jobs": jobs,
        **machine(),
    }
    document = {**page, "ratios": [asdict(each) for each in found], "rows": [asdict(each) for each in rows]}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "quality-province.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    heading = (
        f"Measured {page['measured']}: seeds {seeds[0]} to {seeds[-1]}, provinces of {jobs:,} jobs, all policies with "
        "predictions, means over seeds."
    )
    shown = f"{heading}\n\n{table(rows)}\n\n{ratio_table(found)}\n"
    (RESULTS / "quality-province.md").write_text(shown, encoding="utf-8")
    return rows


def _rows(seed: int, load: float, jobs: int) -> Iterator[Row]:
    work, pools, links = province_case(seed, load, smaller(jobs))
    for policy in (OURS, *THEIRS):
        began = time.process_time()
        outcome = run(work, pools, policy=policy, estimates="predicted", links=links)
        results = results_of(outcome)
        found = measures_of(results)
        started = int(results.started.sum())
        least = lasting = 0.0
        if policy == OURS:
            span_ms = int(outcome.end_ms.max() - work.submit_ms.min())
            least = least_cost(work, pools, links, span_ms) / max(1, started)
            coming_ms = int(np.ptp(work.submit_ms))
            lasting = least_cost(work, pools, links, coming_ms) / max(1, started)
        row = Row(
            seed=seed,
            load=load,
            policy=policy,
            jobs=len(work),
            unstarted=found.unstarted,
            mean_wait_s=found.mean_wait_s or 0.0,
            p999_wait_s=found.p999_wait_s or 0.0,
            mean_bounded_slowdown=found.mean_bounded_slowdown or 1.0,
            mean_cost_micro_yuan=found.cost_micro_yuan / max(1, started),
            seconds=outcome.simulated_s,
            least_cost_micro_yuan=least,
            lasting_cost_micro_yuan=lasting,
        )
        print(
            f"  seed {seed}, {load:.2f}, {policy}: wait {row.mean_wait_s:,.0f} s, "
            f"¥{row.mean_cost_micro_yuan / 1e6:.2f}, {time.process_time() - began:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        yield row


def _ratio(
    load: float, other: str, figure: str, pairs: Sequence[tuple[float, float]], most: float | None
) -> Ratio:
    logs = np.log([a / b for a, b in pairs])
    low = high = None
    if len(logs) >= FEWEST_FOR_INTERVAL:
        reach = student_quantile(0.975, len(logs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
        low, high = math.exp(logs.mean() - reach), math.exp(logs.mean() + reach)
    return Ratio(load, other, figure, math.exp(logs.mean()), low, high, most)


def _figures(rows: Sequence[Row]) -> list[Figure]:
    found = list(ratios(rows))
    waits = [each for each in found if each.figure == "mean wait" and each.load in HEAVY]
    costs = [
        each for each in found if each.figure == "mean cost" and each.load in HEAVY and each.other == CHEAPEST
    ]
    missed = [
        f"{each.figure} to {each.other} at {each.load:.2f} is {each.value:.3f}"
        for each in found
        if not each.met
    ]
    how = f"missed: {'; '.join(missed) or 'none'}"
    return [
        Figure(
            "quality: province, wait under load", max(each.value for each in waits), "of the others'", how
        ),
        Figure("quality: province, cost under load", max(each.value for each in costs), "of cheapest's", how),
    ]


if __name__ == "__main__":
    sys.exit(main())
