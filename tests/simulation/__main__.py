"""Run histories: `python -m tests.simulation SEED…` tells single ones, `--seconds N` lives through as many as fit.

The machine's cores share the time. A history that fails is printed with the command that lives through it again.
"""

import argparse
import multiprocessing
import os
import secrets
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.exploring import Tally, live_through
from tests.simulation.history import STEPS, run_history
from tests.simulation.world import HistoryError
from weir import scheduling


def main() -> int:
    """0 when every history held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument(
        "seeds", nargs="*", type=int, metavar="SEED", help="live through these again, and tell all"
    )
    parser.add_argument(
        "--seconds", type=float, default=180, help="time for new seeds (default: %(default)s)"
    )
    parser.add_argument("--base", type=int, help="first seed (default: a random one)")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help="steps with faults in each (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="of single seeds, only what came of them")
    given = parser.parse_args()
    scheduling.warm_up(lambda line: print(line, flush=True))
    if given.seeds:
        return _replay(given.seeds, given.steps, quiet=given.quiet)
    base = secrets.randbelow(1 << 40) if given.base is None else given.base
    return _explore(base, given.seconds, given.steps, given.workers)


def _replay(seeds: list[int], steps: int, *, quiet: bool) -> int:
    status = 0
    for seed in seeds:
        try:
            print(run_history(seed, steps, None if quiet else print))
        except HistoryError as error:
            status = 1
            print(f"seed {seed}, step {error.step}: {error.problem}" if not quiet else error)
    return status


def _explore(base: int, seconds: float, steps: int, workers: int) -> int:
    print(
        f"seeds from {base}, {workers} workers, {seconds:g} s, {steps} steps with faults in each history",
        flush=True,
    )
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        at_work = [
            pool.submit(live_through, base + number, workers, seconds, steps) for number in range(workers)
        ]
        found = [tally.result() for tally in at_work]
    return _say(found, steps)


def _say(tallies: list[Tally], steps: int) -> int:
    total: Counter[str] = Counter()
    for tally in tallies:
        for name in ("histories", "steps", "jobs", "attempts", "restores", "virtual_ms"):
            total[name] += getattr(tally, name)
    failures = [failure for tally in tallies for failure in tally.failures]
    for failure in failures:
        print(f"\n{failure}")
    each = sum(tally.busy_s for tally in tallies) / len(tallies)
    print(
        f"{total['histories']} histories, {total['steps']} steps ({total['steps'] / each:,.0f}/s), "
        f"{total['jobs']} jobs, {total['attempts']} attempts, {total['restores']} restores, "
        f"{total['virtual_ms'] / 3_600_000:,.0f} hours of virtual time, {len(failures)} failures"
    )
    for failure in failures:
        print(
            f"again: .venv/bin/python -m tests.simulation --steps {steps} {failure.seed}   # {failure.problem}"
        )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
