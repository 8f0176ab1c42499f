"""Runs one peer on an SWF file and prints its time and the jobs' starts; for the Python of bench/peers.py alone.

It imports nothing of Weir. `python peers_child.py PEER LOG PROCESSORS` prints `{"seconds": …, "starts": […]}`.
"""

import collections
import collections.abc
import json
import logging
import re
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

_GONE = ("Mapping", "MutableMapping", "Iterable", "Sequence", "Callable")
"""Names that AccaSim imports from where they have not been since Python 3.10."""
_STARTED = re.compile(r"^(\d+);.*__(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d);")


def accasim(log: Path, processors: int, scheduler: str) -> tuple[float, list[int]]:
    """With first-fit allocation, as its documentation sets it up; its log and statistics are off."""
    for name in _GONE:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    schedulers: Any = import_module("accasim.base.scheduler_class")
    simulator: Any = import_module("accasim.base.simulator_class")
    allocators: Any = import_module("accasim.base.allocator_class")
    logging.disable(logging.CRITICAL)
    system = log.with_name("system.json")
    system.write_text(
        json.dumps(
            {
                "system_name": "machine",
                "start_time": 0,
                "equivalence": {"processor": {"core": 1}},
                "groups": {"all": {"core": 1}},
                "resources": {"all": processors},
            }
        ),
        encoding="ascii",
    )
    began = time.perf_counter()
    run = simulator.Simulator(
        str(log),
        str(system),
        getattr(schedulers, scheduler)(allocators.FirstFit()),
        statistics_output=False,
        show_statistics=False,
        RESULTS_FOLDER_PATH=str(log.parent),
        RESULTS_FOLDER_NAME="",
    )
    files = run.start_simulation()
    seconds = time.perf_counter() - began
    started: dict[int, int] = {}
    for line in Path(files["sched-"]).read_text(encoding="ascii").splitlines():
        found = _STARTED.match(line)
        if found is not None:
            then = time.strptime(found[2] + " +0000", "%Y-%m-%d %H:%M:%S %z")
            started[int(found[1])] = int(_unix(then))
    return seconds, [started.get(number, -1) for number in range(1, max(started) + 1)]


def simpy(log: Path, processors: int) -> tuple[float, list[int]]:
    """A machine as a `Container` of processors, which serves requests strictly in order: first come, first served."""
    engine: Any = import_module("simpy")
    began = time.perf_counter()
    rows = [line.split() for line in log.read_text(encoding="ascii").splitlines() if not line.startswith(";")]
    jobs = [(int(row[1]), int(row[3]), int(row[7])) for row in rows]
    world = engine.Environment()
    machine = engine.Container(world, processors, init=processors)
    starts = [-1] * len(jobs)

    def job(number: int, run: int, size: int) -> Any:
        yield machine.get(size)
        starts[number] = int(world.now)
        yield world.timeout(run)
        yield machine.put(size)

    def arrivals() -> Any:
        for number, (submit, run, size) in enumerate(jobs):
            if submit > world.now:
                yield world.timeout(submit - world.now)
            world.process(job(number, run, size))

    world.process(arrivals())
    world.run()
    return time.perf_counter() - began, starts


def _unix(then: time.struct_time) -> int:
    import calendar

    return calendar.timegm(then)


def main() -> int:
    """Print the answer as one line of JSON."""
    peer, log, processors = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if peer == "simpy":
        seconds, starts = simpy(log, processors)
    else:
        name = {"accasim-fifo": "FirstInFirstOut", "accasim-easy": "EASYBackfilling"}[peer]
        seconds, starts = accasim(log, processors, name)
    print(json.dumps({"seconds": seconds, "starts": starts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
