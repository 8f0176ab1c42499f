"""What is measured of every engine alike: through Weir, by the driver alone, with thousands live, and beside what
the engine does by itself in the same run. The local engine stands here; the others have modules of their own."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import weir
from bench.centre import Centre, running_centre
from bench.figure import Figure, median, percentile
from bench.many_live import FEW, MANY, Ask, ManyLive, many_live, resident_bytes, share_of
from weir.engines.conformance import FULL, WIDE, Scale, Stage
from weir.engines.driver import AttemptOrder, Driver
from weir.engines.local.allocation import Allocation, TaskPlace
from weir.engines.local.cgroup import find_groups
from weir.engines.local.control import Control
from weir.engines.local.driver import LocalDriver
from weir.engines.local.launch import Site, launch_of, write_order
from weir.engines.local.settings import Settings
from weir.model.agent import PoolEntry

LIVE = 10_000
TURNS = 4
_WRAPPED = 100
_WRAPPER = (
    "import sys; sys.path.insert(0, sys.argv[1]); from weir.engines.local.supervisor import supervise; "
    "sys.exit(supervise(sys.argv[2], 0))"
)
_SOURCE = str(Path(weir.__file__).parents[1])
_PLACE = Allocation((TaskPlace(0, 0, (), ()),))
_QUIET_S = 10.0
_ENDS = 20


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that is up, and how it runs commands without Weir."""

    name: str
    driver: str
    """By which an agent finds its driver."""
    make: Callable[[Path], Driver]
    options: Callable[[Path], Mapping[str, str]]
    """The driver's options, by the folder that everything of a measurement lies in."""
    pool: PoolEntry
    """Where everything is measured but what concerns thousands."""
    device: str
    """What the province file says that the pool is."""
    first_ms: Callable[[], float]
    """Milliseconds from a command's submission by the engine's own means until the command's own time stamp."""
    own_rate: Callable[[int], float]
    """Commands a second that the engine runs by its own means, from the first submission until the last end."""
    how: str
    """What these means are."""
    single: int = 30
    at_once: int = 500
    turns: int = TURNS
    """So many parts of `at_once` are run through Weir, each in turn with one by the engine's own means."""
    cores_milli: int = 100
    apart: bool = False
    """Its agent keeps its work elsewhere than in its own folder, which the tasks' user could read."""
    refresh: Callable[[Any], object] = lambda driver: None
    """What the driver asks of the engine in a cycle, done by it; nothing where the engine tells by itself."""

    def province_pool(self) -> str:
        """The pool as the province file has it."""
        pool = self.pool
        options = "".join(f'{name}: "{value}", ' for name, value in pool.options.items())
        return (
            f"{{id: {pool.id}, device: {self.device}, nodes: {pool.nodes}, cores_per_node: "
            f"{pool.cores_milli_per_node // 1_000}, memory_per_node: {pool.memory_bytes_per_node >> 30}GiB, "
            f"options: {{{options}}}}}"
        )

    def province_engine(self, folder: Path) -> str:
        """The engine as the province file has it."""
        options = "".join(f'{name}: "{value}", ' for name, value in self.options(folder).items())
        return f"{{driver: {self.driver}, options: {{{options}}}}}"


def measure(seed: int) -> Sequence[Figure]:
    """The local engine, which is on any machine."""
    del seed
    return [*_local()]


def through_weir(engine: Engine) -> Iterator[Figure]:
    """Latency and rate from the tenant's call to the tenant's answer, over server, agent and engine."""
    with running_centre(
        engine.province_engine, engine.province_pool(), engine.cores_milli / 1_000, apart=engine.apart
    ) as centre:
        starts, ends, alone = _singles(centre, engine)
        through, own = in_turns(centre.rate, engine.own_rate, engine.at_once, engine.turns)
    how = f"{engine.single} jobs one by one, from the call until their own time stamp"
    yield Figure(f"engines: {engine.name}, submit to running, p50", percentile(starts, 0.5), "ms", how)
    how = f"less the same by {engine.how} alone, by turns with them, {alone:.1f} ms at the median"
    yield Figure(f"engines: {engine.name}, added to the start, p50", median(starts) - alone, "ms", how)
    how = "from the job's own time stamp until the tenant is told that it ended"
    yield Figure(f"engines: {engine.name}, end to seen, p50", percentile(ends, 0.5), "ms", how)
    how = f"{engine.turns} arrays of {engine.at_once // engine.turns}, each from the call until the last has ended"
    yield Figure(f"engines: {engine.name}, jobs a second", through, "jobs/s", how)
    how = f"{engine.how} alone, in turns with them: {own:.1f}/s"
    yield Figure(f"engines: {engine.name}, rate over the engine's own", through / own, "", how)


def _singles(centre: Centre, engine: Engine) -> tuple[list[float], list[float], float]:
    """Milliseconds until jobs start through Weir, from there until their end is seen, and the median start by the
    engine's own means: one job after another, each way by turns, so that other work on the machine meets both."""
    starts, ends = centre.one_by_one(1)
    alone = [engine.first_ms()]
    for _ in range(engine.single - 1):
        start, end = centre.one_by_one(1, warm=0)
        starts += start
        ends += end
        alone.append(engine.first_ms())
    return starts, ends, median(alone)


def in_turns(
    one: Callable[[int], float], other: Callable[[int], float], count: int, turns: int = TURNS
) -> tuple[float, float]:
    """The rates of two ways to run so many commands: each runs a part of them, then the other, and so on, so that
    what else the machine does falls upon both alike."""
    part = count // turns
    took = [0.0, 0.0]
    for turn in range(turns):
        # Who begins changes: what a turn leaves behind falls upon the next one.
        for way in (0, 1) if turn % 2 == 0 else (1, 0):
            took[way] += part / (one, other)[way](part)
    return turns * part / took[0], turns * part / took[1]


def by_driver(engine: Engine, *, scale: Scale = FULL) -> Iterator[Figure]:
    """The driver's own rate, in this process."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        pool = replace(engine.pool, id=WIDE)
        stage = Stage(
            engine.make(folder / "agent"),
            folder / "agent",
            engine.make,
            engine.options(folder),
            scale,
            (pool,),
        )
        stage.attach()

        def driven(count: int) -> float:
            orders = [
                stage.order("true", cores_milli=engine.cores_milli, memory_bytes=64 << 20)
                for _ in range(count)
            ]
            began = time.perf_counter()
            stage.submit(*orders)
            stage.ends(orders)
            return count / (time.perf_counter() - began)

        try:
            rate, own = in_turns(driven, engine.own_rate, engine.at_once)
        finally:
            stage.clear()
            stage.driver.close()
    how = (
        f"{engine.at_once // TURNS} at once by the driver in one process, {TURNS} times: {rate:.1f}/s; "
        f"{engine.how} alone, in turns with it: {own:.1f}/s"
    )
    yield Figure(f"engines: {engine.name}, driver's rate over the engine's own", rate / own, "", how)


def with_many(
    engine: Engine,
    many: PoolEntry,
    ask: Ask,
    live: int = LIVE,
    *,
    what: str,
    beside: int = _ENDS,
    more: Callable[[ManyLive], Iterator[Figure]] = lambda agent: iter(()),
) -> Iterator[Figure]:
    """An agent with so many live jobs that its engine has: `what` says what they are. So many run and end beside
    them."""
    few = replace(engine.pool, id=FEW)
    pools = (few, many)
    name = engine.name
    with many_live(
        engine.driver, engine.options, pools, Ask(engine.cores_milli), ask, apart=engine.apart
    ) as agent:
        pid = agent.process.pid
        agent.ends(2)
        before = resident_bytes(pid)
        took = agent.fill(live)
        ends = agent.ends(beside)
        memory = resident_bytes(pid)
        share = share_of(pid, _QUIET_S)
        yield from more(agent)
        looks = agent.cycle_ms(engine.make, pools, engine.refresh)
    how = (
        f"a real agent's process, {live:,} live jobs ({what}); {before >> 20} MiB before; had in {took:.0f} s"
    )
    yield Figure(f"engines: {name}, agent's memory, many live", memory / 2**20, "MiB", how)
    how = f"while nothing happens, over {_QUIET_S:.0f} s"
    yield Figure(f"engines: {name}, agent's share of a processor, many live", share, "%", how)
    how = (
        f"median of {len(looks)}: what is asked, and how each of {live:,} stands; the first {looks[0]:.0f} ms"
    )
    yield Figure(f"engines: {name}, one observe cycle, many live", median(looks), "ms", how)
    how = f"{beside} jobs beside them, from their own time stamp until the server hears of the end"
    yield Figure(f"engines: {name}, end to seen, many live, p50", percentile(ends, 0.5), "ms", how)
    yield Figure(f"engines: {name}, end to seen, many live, worst", max(ends), "ms", how)


def _local() -> Iterator[Figure]:
    engine = Engine(
        "local",
        "local",
        LocalDriver,
        lambda folder: {},
        PoolEntry("wide", 8, 0, 64_000, 1 << 36, "any", False),
        "intel-xeon-platinum-8358",
        _spawn_ms,
        _spawn_rate,
        "posix_spawn of the bare command",
        at_once=2_000,
    )
    yield from through_weir(engine)
    yield from by_driver(engine)
    yield from _wrapped(engine)
    many = PoolEntry(MANY, 1, 0, 20_000, 1 << 40, "any", False)
    yield from with_many(engine, many, Ask(1_000), what="20 run, the others wait in the engine's queue")


def _spawn_ms() -> float:
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        stamp = Path(folder) / "stamp"
        began = time.time()
        _spawn(1, ["date", "+%s.%N"], str(stamp))
        return (float(stamp.read_text(encoding="ascii")) - began) * 1_000


def _spawn_rate(count: int) -> float:
    began = time.perf_counter()
    _spawn(count, ["true"], os.devnull)
    return count / (time.perf_counter() - began)


def _spawn(count: int, command: Sequence[str], output: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [(os.POSIX_SPAWN_OPEN, 1, output, flags, 0o600)]
    pids = [
        os.posix_spawnp(command[0], list(command), os.environ, file_actions=actions) for _ in range(count)
    ]
    for pid in pids:
        os.waitpid(pid, 0)


def _wrapped(engine: Engine) -> Iterator[Figure]:
    """The driver's own work beside `Popen` of the same wrapper, the supervisor that claims, limits and records."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as name:
        folder = Path(name)
        stage = Stage(LocalDriver(folder), folder, LocalDriver, {}, FULL, (replace(engine.pool, id=WIDE),))
        stage.attach()
        groups = find_groups(f"weir-bench-{os.getpid()}", "", limit_processes=True)
        try:
            made = [stage.order("true", cores_milli=10, memory_bytes=64 << 20) for _ in range(2 * _WRAPPED)]
            began = time.perf_counter()
            stage.submit(*made[:_WRAPPED])
            stage.ends(made[:_WRAPPED])
            driven = _WRAPPED / (time.perf_counter() - began)
            site = Site(Settings(), groups, False, os.fspath(folder / "poke"), dict(os.environ))
            began = time.perf_counter()
            for order in made[_WRAPPED:]:
                write_order(order, _PLACE, launch_of(order, _PLACE, 0, site))
            wrappers = [
                subprocess.Popen([sys.executable, "-I", "-S", "-c", _WRAPPER, _SOURCE, str(order.folder)])
                for order in made[_WRAPPED:]
            ]
            failed = sum(wrapper.wait() != 0 for wrapper in wrappers)
            wrapped = _WRAPPED / (time.perf_counter() - began)
            ended = sum(_state(order) == "ended" for order in made[_WRAPPED:])
            if failed or ended != _WRAPPED:
                raise RuntimeError(
                    f"{failed} wrappers failed, and {ended} of {_WRAPPED} left a record of an end"
                )
        finally:
            stage.clear()
            stage.driver.close()
            groups.remove()
    how = f"{_WRAPPED} of `true`: {driven:.0f}/s by the driver; {wrapped:.0f}/s by Popen of a supervisor each"
    yield Figure("engines: local, driver's rate over Popen of its wrapper", driven / wrapped, "", how)


def _state(order: AttemptOrder) -> object:
    with Control(os.fspath(order.folder)) as control:
        record = control.record(0)
    return None if record is None else record["state"]
