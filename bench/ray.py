"""Ray, where `make ray` has installed one: beside its own SDK, how many waiting jobs it bears, and what thousands
cost the agent, for which a stand-in answers in its place."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.engines import Engine, through_weir, with_many
from bench.figure import Figure, percentile
from bench.many_live import FEW, MANY, Ask
from tests.contract.ray_cluster import RayCluster, find_ray
from weir.engines.ray.driver import RayDriver
from weir.model.agent import PoolEntry

_SINGLE, _AT_ONCE, _TURNS = 6, 8, 2
_BORNE_S = 8.0
"""For so long Ray itself is given more and more jobs that wait: with each it becomes slower."""
_LIVE, _ENDS = 200, 5
"""So many of Weir's are live on the real Ray, and so many end beside them, each of which takes seconds."""


def measure(seed: int) -> Sequence[Figure]:
    """On a real Ray, where there is one, and on the stand-in."""
    del seed
    return [*_real(), *_stood_in()]


def _real() -> Iterator[Figure]:
    ray = find_ray()
    if ray is None:
        print("ray itself is left out: `make ray` installs one", file=sys.stderr)
        return
    cluster = RayCluster(ray)
    try:
        with _sdk(ray.with_name("python"), cluster.address) as ask:
            yield from through_weir(_engine(cluster.address, ask))
        engine = _engine(cluster.address, _unasked)
        what = "1 runs, the others are PENDING in a real Ray"
        engine = replace(engine, name="ray itself")
        yield from with_many(engine, _many(), _ASK, _LIVE, what=what, beside=_ENDS)
        yield from _borne(cluster)
    finally:
        cluster.remove()


def _stood_in() -> Iterator[Figure]:
    command = [sys.executable, "-m", "bench.ray_stand_in"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            engine = _engine(f"http://127.0.0.1:{int(process.stdout.readline())}", _unasked)
            what = "all but those measured are PENDING, in a stand-in for Ray's dashboard"
            yield from with_many(engine, _many(), _ASK, what=what)
        finally:
            process.stdin.close()


def _borne(cluster: RayCluster) -> Iterator[Figure]:
    """How many jobs that wait Ray takes, by its own interface, and how long it then takes to list them."""
    began, count, took = time.monotonic(), 0, []
    while time.monotonic() - began < _BORNE_S:
        asked = time.monotonic()
        body = {"entrypoint": "sleep 3600", "submission_id": f"waits-{count}", "entrypoint_num_gpus": 8}
        cluster.ask("POST", "/api/jobs/", body)
        took.append((time.monotonic() - asked) * 1_000)
        count += 1
    asked = time.monotonic()
    there = len(cluster.ask("GET", "/api/jobs/"))
    listed_ms = (time.monotonic() - asked) * 1_000
    first, last = percentile(took[:50], 0.5), percentile(took[-50:], 0.5)
    how = (
        f"by its own interface within {_BORNE_S:.0f} s, one after another: at first {first:.0f} ms each, at last "
        f"{last:.0f}; no more than about 1,400 in a minute, so 10,000 are not asked of it"
    )
    yield Figure("engines: ray itself, waiting jobs taken", count, "jobs", how)
    yield Figure("engines: ray itself, listing its jobs", listed_ms, "ms", f"all {there}")


_ASK = Ask(100, devices_milli=8_000)


def _many() -> PoolEntry:
    return PoolEntry(MANY, 1, 8, 8_000, 16 << 30, "any", False)


def _engine(address: str, ask: Callable[[str, int], tuple[float, float]]) -> Engine:
    def first_ms() -> float:
        with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
            stamp = Path(folder) / "stamp"
            began, _ = ask(f"date +%s.%N > {stamp}", 1)
            return (float(stamp.read_text(encoding="ascii")) - began) * 1_000

    def rate(count: int) -> float:
        began, ended = ask("true", count)
        return count / (ended - began)

    return Engine(
        name="ray",
        driver="ray",
        make=RayDriver,
        options=lambda folder: {"address": address},
        pool=PoolEntry(FEW, 1, 0, 8_000, 16 << 30, "any", False),
        device="intel-xeon-platinum-8358",
        first_ms=first_ms,
        own_rate=rate,
        how="Ray's own SDK",
        single=_SINGLE,
        at_once=_AT_ONCE,
        turns=_TURNS,
        apart=True,
        refresh=_round,
    )


def _round(driver: RayDriver) -> None:
    """What a cycle asks of Ray."""
    driver._keeper._round()


def _unasked(entrypoint: str, count: int) -> tuple[float, float]:
    raise AssertionError(f"nothing is run beside it: {entrypoint}, {count}")


@contextlib.contextmanager
def _sdk(python: Path, address: str) -> Iterator[Callable[[str, int], tuple[float, float]]]:
    """What submits by Ray's own SDK, in Ray's own environment, and waits for the ends."""
    # Isolated, since beside that script this module would be taken for Ray's own.
    command = [str(python), "-I", str(Path(__file__).with_name("ray_sdk.py")), address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        stdin: Any = process.stdin
        stdout: Any = process.stdout

        def ask(entrypoint: str, count: int) -> tuple[float, float]:
            stdin.write(json.dumps([entrypoint, count]) + "\n")
            stdin.flush()
            began, ended = json.loads(stdout.readline())
            return began, ended

        try:
            if stdout.readline() != "ready\n":
                raise RuntimeError("Ray's own SDK does not come up")
            yield ask
        finally:
            stdin.close()
