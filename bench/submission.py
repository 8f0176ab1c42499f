"""How fast jobs are accepted: single calls from several clients, and bulk calls."""

import threading
import time
from collections.abc import Sequence

from bench.figure import Figure
from bench.province import running_province
from weir.client import Client

CLIENTS = 8
CALLS_EACH = 60
BULK = 10_000


def measure(seed: int) -> Sequence[Figure]:
    """No agent, so that what is measured is acceptance alone: validated, stored, committed, answered."""
    del seed
    with running_province(agent=False) as province:
        tenant = province.tenant
        one = {"command": ["true"], "time_limit": "1m", "name": "single"}
        tenant.submit(one)

        def call() -> None:
            with Client(province.url, province.secret) as client:
                for _ in range(CALLS_EACH):
                    client.submit(one)

        threads = [threading.Thread(target=call) for _ in range(CLIENTS)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        single = CLIENTS * CALLS_EACH / (time.perf_counter() - began)

        work = [
            {"command": ["echo", str(number)], "time_limit": "1m", "name": f"bulk {number}"}
            for number in range(BULK)
        ]
        began = time.perf_counter()
        tenant.submit(work)
        bulk = BULK / (time.perf_counter() - began)
    return [
        Figure("submission: single calls", single, "jobs/s", f"{CLIENTS} clients, {CALLS_EACH} calls each"),
        Figure("submission: bulk", bulk, "jobs/s", f"one call of {BULK} unlike jobs"),
    ]
