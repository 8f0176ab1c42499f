"""From the call that submits a job until its own first time stamp, on an idle province."""

import time
from collections.abc import Sequence

from bench.figure import Figure, percentile
from bench.province import running_province

JOBS = 100


def measure(seed: int) -> Sequence[Figure]:
    """One job at a time: each writes the time at which it runs, read back through its log."""
    del seed
    waits = []
    with running_province() as province:
        tenant = province.tenant
        for number in range(JOBS + 3):
            began = time.time()
            job = tenant.submit(
                {"command": ["date", "+%s.%N"], "time_limit": "1m", "cores": 0.1, "memory": "64MiB"}
            )[0].id
            tenant.wait(job)
            said = b"".join(tenant.logs(job, stream="stdout", follow=False))
            if number >= 3:
                waits.append((float(said) - began) * 1_000)
    how = f"{JOBS} jobs one by one, until the job's own time stamp"
    return [
        Figure("latency: submit to running, p50", percentile(waits, 0.5), "ms", how),
        Figure("latency: submit to running, p99", percentile(waits, 0.99), "ms", how),
    ]
