"""How long a command that only talks to the API takes of its own: start, one request, print."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.figure import Figure, median
from bench.province import running_province

RUNS = 15


def measure(seed: int) -> Sequence[Figure]:
    """Median of whole `weir jobs` processes against an idle server, less what its request took."""
    del seed
    with running_province(agent=False) as province:
        folder = province.processes.folder
        token = folder / "bench.token"
        token.touch(mode=0o600)
        token.write_text(province.secret, encoding="utf-8")
        environment = {**os.environ, "WEIR_URL": province.url, "WEIR_TOKEN_FILE": str(token)}
        command = [sys.executable, "-m", "weir", "jobs"]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        whole, request = [], []
        for _ in range(RUNS):
            began = time.perf_counter()
            province.tenant.jobs(limit=50)
            request.append(time.perf_counter() - began)
            began = time.perf_counter()
            subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
            whole.append(time.perf_counter() - began)
    own = median(whole) - median(request)
    return [Figure("CLI: own time of a command", own, "s", f"`weir jobs`, median of {RUNS} processes")]
