"""An array of 100,000 on a running server: accepted, queued, listed, cancelled; and the server's memory then."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figure import Figure
from bench.province import running_province

ELEMENTS = 100_000


def measure(seed: int) -> Sequence[Figure]:
    """No agent, so that all of it stays queued."""
    del seed
    with running_province(agent=False) as province:
        tenant = province.tenant
        began = time.perf_counter()
        array = tenant.submit({"command": ["true"], "time_limit": "1m", "array": ELEMENTS})[0]
        accepted = time.perf_counter() - began
        # The server answers an explanation once its snapshot holds the array.
        tenant.explain(f"{array.id}.{ELEMENTS - 1}")
        queued = time.perf_counter() - began
        pid = json.loads((province.processes.server_data / "server.json").read_text(encoding="utf-8"))["pid"]
        memory = _resident_bytes(pid)
        began = time.perf_counter()
        tenant.cancel(array.id)
        tenant.wait_submission(array.id)
        cancelled = time.perf_counter() - began
    return [
        Figure("array of 100,000: accepted", accepted, "s", "one call, committed and answered"),
        Figure("array of 100,000: in the snapshot", queued, "s", "until its last element can be explained"),
        Figure("array of 100,000: cancelled", cancelled, "s", "one call, until every element has ended"),
        Figure("memory of the server then", memory / 2**20, "MiB", "resident, with 100,000 queued jobs"),
    ]


def _resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1_024
