"""Exactly one, longer than in the tests: kill -9 of server and agents while jobs flow, then everything is counted."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure
from tests.system.kill_rounds import run_rounds

ROUNDS = 40
JOBS = 400


def measure(seed: int) -> Sequence[Figure]:
    """Jobs that ended otherwise than exactly once and rightly; the folder is kept where there is one."""
    folder = Path(tempfile.mkdtemp(prefix="weir-kill-"))
    found = run_rounds(folder, seed, ROUNDS, JOBS)
    for line in found.wrong:
        print(f"WRONG {line} (everything is in {folder})")
    if not found.wrong:
        shutil.rmtree(folder)
    how = f"{sum(found.kills.values())} kills over {ROUNDS} rounds, {found.jobs} jobs, {found.wall_s:.0f} s"
    return [Figure("kill -9: wrong outcomes", float(len(found.wrong)), "jobs", how)]
