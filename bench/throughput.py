"""Jobs per second end to end: submitted, placed, run, output taken over, ended."""

import time
from collections.abc import Sequence

from bench.figure import Figure
from bench.province import running_province

JOBS = 2_000
LIVE = ("waiting", "held", "queued", "placed", "starting", "running", "stopping", "unknown")


def measure(seed: int) -> Sequence[Figure]:
    """2,000 jobs of `true` on the local engine, as single jobs in one bulk call, then as one array."""
    del seed
    figures = []
    one = {"command": ["true"], "time_limit": "1m", "cores": 0.5, "memory": "64MiB"}
    with running_province() as province:
        tenant = province.tenant
        tenant.wait(tenant.submit(one)[0].id)
        for how, work in (
            (f"{JOBS} jobs of `true`", [one] * JOBS),
            (f"an array of {JOBS}", [{**one, "array": JOBS}]),
        ):
            began = time.perf_counter()
            submitted = tenant.submit(work)
            while tenant.jobs(states=LIVE, limit=1).submissions:
                time.sleep(0.1)
            seconds = time.perf_counter() - began
            states: dict[str, int] = {}
            for submission in submitted:
                for state, count in tenant.submission(submission.id).states.items():
                    states[state] = states.get(state, 0) + count
            if states != {"succeeded": JOBS}:
                raise RuntimeError(f"not every job succeeded: {states}")
            name = (
                "throughput: single jobs end to end" if len(submitted) > 1 else "throughput: array end to end"
            )
            figures.append(
                Figure(name, JOBS / seconds, "jobs/s", f"{how}, until all have ended, {seconds:.1f} s")
            )
    return figures
