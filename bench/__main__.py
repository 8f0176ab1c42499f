"""`make bench`: measure, write `bench/results/`, and fail when a figure leaves its accepted range."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import (
    billing,
    command_line,
    control_cycle,
    engines,
    exact,
    forecast,
    forecast_live,
    forecast_province,
    kill,
    kubernetes,
    latency,
    live_array,
    live_cycle,
    peers,
    prediction,
    published,
    quality,
    quality_curve,
    quality_province,
    ray,
    rounds,
    schemes,
    simulation,
    slurm,
    speed,
    statements,
    submission,
    take_over,
    throughput,
    writers,
)
from bench.figure import Figure, accepted_ranges, machine
from weir import __version__

RESULTS = Path(__file__).parent / "results"

MEASUREMENTS: dict[str, Callable[[int], Sequence[Figure]]] = {
    "command-line": command_line.measure,
    "latency": latency.measure,
    "throughput": throughput.measure,
    "submission": submission.measure,
    "array": live_array.measure,
    "cycle": control_cycle.measure,
    "live-cycle": live_cycle.measure,
    "live-cycle-distinct": live_cycle.measure_distinct,
    "past-cycle": live_cycle.measure_past,
    "take-over": take_over.measure,
    "take-over-million": take_over.measure_million,
    "local": engines.measure,
    "slurm": slurm.measure,
    "kubernetes": kubernetes.measure,
    "ray": ray.measure,
    "simulation": simulation.measure,
    "kill": kill.measure,
    "prediction": prediction.measure,
    "speed": speed.measure,
    "quality": quality.measure,
    "quality-province": quality_province.measure,
    "quality-curve": quality_curve.measure,
    "published": published.measure,
    "rounds": rounds.measure,
    "statements": statements.measure,
    "schemes": schemes.measure,
    "exact": exact.measure,
    "forecast": forecast.measure,
    "forecast-live": forecast_live.measure,
    "forecast-province": forecast_province.measure,
    "peers": peers.measure,
    "billing": billing.measure,
    "writers": writers.measure,
}
ON_REQUEST = (
    "billing",
    "quality",
    "quality-province",
    "quality-curve",
    "published",
    "rounds",
    "exact",
    "forecast-live",
    "forecast-province",
    "live-cycle-distinct",
    "past-cycle",
    "take-over-million",
    "peers",
)
"""Measured only when named: they take minutes, or are among others."""
NEED_TRACES = ("published", "rounds")


def main() -> int:
    """Run the measurements that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "only", nargs="*", metavar="NAME", help="measure only these (without any: all but those on request)"
    )
    parser.add_argument("--list", action="store_true", help="name the measurements")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--curve", action="store_true", help="of quality-province: waiting against cost instead"
    )
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name} (on request)" if name in ON_REQUEST else name for name in MEASUREMENTS))
        return 0
    if options.curve:
        if options.only != ["quality-province"]:
            parser.error("--curve goes with quality-province alone")
        options.only = ["quality-curve"]
    unknown = [name for name in options.only if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"no measurement {unknown[0]!r}; there are {', '.join(MEASUREMENTS)}")
    chosen = options.only or [name for name in MEASUREMENTS if name not in ON_REQUEST]
    traceless = [name for name in chosen if name in NEED_TRACES and not os.environ.get("WEIR_TRACES")]
    if traceless:
        parser.error(f"{traceless[0]} needs recorded work: name the folder of traces in WEIR_TRACES")

    # Whoever ends it so wants what it has started ended too: engines, and the jobs in them.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    about = {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "weir": __version__,
        "seed": options.seed,
    }
    about.update(machine())
    figures: list[Figure] = []
    for name in chosen:
        began = time.monotonic()
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += MEASUREMENTS[name](options.seed)
        print(f"  took {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)

    table, kept = _table(figures)
    print(table)
    RESULTS.mkdir(exist_ok=True)
    stem = "all" if not options.only else "only-" + "-".join(sorted(options.only))
    rows = [{"name": f.name, "value": f.value, "unit": f.unit, "how": f.how} for f in figures]
    document = {**about, "figures": rows}
    (RESULTS / f"{stem}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    heading = (
        f"Measured {about['measured']} on {about['cores']} cores ({about['cpu']}), Python {about['python']}."
    )
    (RESULTS / f"{stem}.md").write_text(f"{heading}\n\n{table}\n", encoding="utf-8")
    return 0 if kept else 1


def _table(figures: Sequence[Figure]) -> tuple[str, bool]:
    ranges = accepted_ranges()
    lines = ["| figure | measured | aim | accepted | how |", "|---|---:|---|---|---|"]
    kept = True
    for figure in figures:
        accepted = ranges[figure.name]
        good = accepted.holds(figure.value)
        kept = kept and good
        bounds = " and ".join(
            f"{sign} {bound:g}"
            for sign, bound in (("at least", accepted.least), ("at most", accepted.most))
            if bound is not None
        )
        value = f"{figure.value:,.0f}" if abs(figure.value) >= 100 else f"{figure.value:.3g}"
        verdict = (bounds or "-") + ("" if good else " **MISSED**")
        lines.append(f"| {figure.name} | {value} {figure.unit} | {accepted.aim} | {verdict} | {figure.how} |")
    return "\n".join(lines), kept


if __name__ == "__main__":
    sys.exit(main())
