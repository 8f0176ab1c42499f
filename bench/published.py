"""`python -m bench.published`: others' published figures beside ours, under the others' own rules.

Reads the traces in the folder that WEIR_TRACES names (or --traces), prints the table, and writes it to
`bench/results/published.md` and `.json`. docs/discussion/published-tables.md says what each rule is.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.figure import Figure, machine
from weir import __version__
from weir.twin.published.fgd import DEMANDS_PERCENT, FGD_POLICIES, FGD_PUBLISHED, FgdRow, fgd_table, gain
from weir.twin.published.openb import read_gpu_nodes, read_pods
from weir.twin.published.rlscheduler import RL_POLICIES, RL_PUBLISHED, read_rl_log, rl_table
from weir.twin.published.wait_awhile import WAIT_AWHILE_PUBLISHED, carbon_table, ml_project, read_intensity

RESULTS = Path(__file__).parent / "results"
ORDERS = 10
FIRST_SEED = 42
"""Of the orders of arrivals; the placement's constants were chosen on others."""

_LOGS = {
    "Lublin-1": Path("synthetic", "lublin_256.swf.gz"),
    "HPC2N": Path("hpc", "HPC2N-2002-2.1-cln.swf.gz"),
}
_SERIES = {
    "Germany": Path("carbon", "ger_ci_2020.csv.gz"),
    "Great Britain": Path("carbon", "gb_ci_2020.csv.gz"),
}
_NODES = Path("gpu", "openb_node_list_gpu_node.csv.gz")
_PODS = Path("gpu", "openb_pod_list_default.csv.gz")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; `published` is None for what only Weir has."""

    source: str
    what: str
    unit: str
    published: float | None
    ours: float
    note: str = ""


def measure(seed: int) -> Sequence[Figure]:
    """How far from the published figures ours lie at worst, FGD's over `ORDERS` orders of arrivals from `seed` on."""
    traces = Path(os.environ["WEIR_TRACES"])
    found = list(rlscheduler(traces))
    first = [row for row in found if row.what.startswith("Lublin-1")]
    second = [row for row in found if row.what.startswith("HPC2N")]
    carbon = [row for row in wait_awhile(traces) if row.published is not None]
    nodes = read_gpu_nodes(traces / _NODES)
    pods = read_pods(traces / _PODS, nodes)
    seeds = range(FIRST_SEED + seed, FIRST_SEED + seed + ORDERS)
    theirs, ours = fgd_table(nodes, pods, seeds=seeds, policies=["fgd", "foresight"])
    gained = gain(ours, theirs, 130)
    apart = abs(theirs.mean(130) - FGD_PUBLISHED["fgd"][130])
    interval = f"paired 95 %: {gained.low:+.3f} to {gained.high:+.3f} over {gained.orders} orders"
    return [
        Figure("published: RLScheduler's table on Lublin-1", _farthest(first), "", f"{len(first)} cells"),
        Figure(
            "published: RLScheduler's table on HPC2N",
            100 * _farthest(second, relative=True),
            "%",
            f"{len(second)} cells; version 2.1 of the log, where the paper's is 2.2",
        ),
        Figure("published: Wait Awhile's savings", _farthest(carbon), "points", f"{len(carbon)} cells"),
        Figure("published: FGD at 130 % of arrivals", apart, "points", f"from 95.39, {ORDERS} orders"),
        Figure("published: foresight over FGD", gained.low, "points", interval),
    ]


def _farthest(rows: Sequence[Line], *, relative: bool = False) -> float:
    """The largest difference, to the two decimals that were published, or as a part of what was."""
    return max(
        abs(row.ours / row.published - 1) if relative else abs(round(row.ours, 2) - row.published)
        for row in rows
        if row.published is not None
    )


def lines(traces: Path, orders: int) -> Iterator[Line]:
    """Every line of the table; the FGD part takes some seconds an order."""
    yield from rlscheduler(traces)
    yield from wait_awhile(traces)
    yield from fgd(traces, orders)


def rlscheduler(traces: Path) -> Iterator[Line]:
    """RLScheduler's table of heuristics."""
    for name, path in _LOGS.items():
        log = read_rl_log(traces / path, name)
        for row in rl_table(log):
            published = RL_PUBLISHED[name][row.backfill][RL_POLICIES.index(row.policy)]
            what = f"{name}, {row.policy}, {'its backfill' if row.backfill else 'no backfill'}"
            note = "" if name == "Lublin-1" else "version 2.1 of the log; the paper's is 2.2"
            yield Line(
                "RLScheduler SC'20", what, "mean bounded slowdown", published, row.bounded_slowdown, note
            )


def wait_awhile(traces: Path) -> Iterator[Line]:
    """Let's Wait Awhile's avoided emissions."""
    series = [read_intensity(traces / path, country) for country, path in _SERIES.items()]
    for row in carbon_table(series, ml_project()):
        cell = (row.country, row.deadline, row.error, row.interruptible)
        kind = "interruptible" if row.interruptible else "in one piece"
        what = f"{row.country}, {row.deadline}, {row.error:.0%} error, {kind}"
        yield Line(
            "Wait Awhile Middleware'21",
            what,
            "% avoided",
            WAIT_AWHILE_PUBLISHED.get(cell),
            row.avoided_percent,
        )


def fgd(traces: Path, orders: int) -> Iterator[Line]:
    """FGD's allocation on openb's default workload, and Weir's placement under its rule on the same orders."""
    nodes = read_gpu_nodes(traces / _NODES)
    pods = read_pods(traces / _PODS, nodes)
    seeds = range(FIRST_SEED, FIRST_SEED + orders)
    rows: dict[str, FgdRow] = {}
    for policy in FGD_POLICIES:
        began = time.monotonic()
        [row] = fgd_table(nodes, pods, seeds=seeds, policies=[policy])
        each = (time.monotonic() - began) / orders
        rows[policy] = row
        for demand in DEMANDS_PERCENT:
            published = FGD_PUBLISHED.get(policy, {}).get(demand)
            what = f"openb default, {policy}, at {demand} % of arrivals"
            note = f"{orders} orders, {each:.1f} s each"
            yield Line("FGD ATC'23", what, "% of GPUs allocated", published, row.mean(demand), note)
    for demand in DEMANDS_PERCENT:
        found = gain(rows["foresight"], rows["fgd"], demand)
        note = f"paired 95 %: {found.low:+.3f} to {found.high:+.3f} over {found.orders} orders"
        what = f"openb default, foresight over fgd, at {demand} % of arrivals"
        yield Line("FGD ATC'23", what, "points", None, found.mean, note)


def table(rows: list[Line]) -> str:
    """The lines in Markdown."""
    shown = [
        "| source | what | unit | published | ours | difference | remark |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for row in rows:
        digits = 3 if row.source.startswith("FGD") else 2
        if row.published is None:
            published, difference = "-", "-"
        else:
            published = f"{row.published:.{digits}f}"
            difference = f"{row.ours / row.published - 1:+.2%}"
        shown.append(
            f"| {row.source} | {row.what} | {row.unit} | {published} | {row.ours:.{digits}f} | {difference} "
            f"| {row.note} |"
        )
    return "\n".join(shown)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.published", description=__doc__)
    parser.add_argument("--traces", type=Path, default=os.environ.get("WEIR_TRACES"))
    parser.add_argument("--orders", type=int, default=30, help="orders of arrivals for FGD's rule")
    options = parser.parse_args()
    if options.traces is None or not Path(options.traces).is_dir():
        parser.error("name the folder of traces in WEIR_TRACES or --traces")
    if options.orders < 2:
        parser.error("--orders: at least 2, for an interval")
    rows = []
    for row in lines(Path(options.traces), options.orders):
        print(f"{row.source}: {row.what}: {row.ours:.3f} {row.unit}", file=sys.stderr, flush=True)
        rows.append(row)
    shown = table(rows)
    print(shown)
    about = {"measured": datetime.now(UTC).isoformat(timespec="seconds"), "weir": __version__, **machine()}
    RESULTS.mkdir(exist_ok=True)
    document = {**about, "lines": [asdict(row) for row in rows]}
    (RESULTS / "published.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    heading = f"Measured {about['measured']} on {about['cores']} cores by `python -m bench.published`."
    (RESULTS / "published.md").write_text(f"{heading}\n\n{shown}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
