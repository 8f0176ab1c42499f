"""Commands by Ray's own SDK, for the Python of Ray's own environment alone; it imports nothing of Weir.

`python ray_sdk.py ADDRESS` reads lines `[ENTRYPOINT, COUNT]`, submits that many, waits until all have ended, and
prints `[BEGAN, ENDED]`, seconds since 1970.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any


def main() -> None:
    """Serve until the input ends."""
    sdk: Any = import_module("ray.job_submission")
    client = sdk.JobSubmissionClient(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        entrypoint, count = json.loads(line)
        began = time.time()
        left = [client.submit_job(entrypoint=entrypoint, entrypoint_num_cpus=0.1) for _ in range(count)]
        while left:
            left = [name for name in left if not client.get_job_status(name).is_terminal()]
            time.sleep(0.02)
        print(json.dumps([began, time.time()]), flush=True)


if __name__ == "__main__":
    main()
