"""How fast the twin simulates and reads: recorded logs where WEIR_TRACES names a folder of them, else generated work.

Every figure is of one core, compiled code warm. Simulations are of the simulation alone, without reading and without
making tables. On a machine that is shared, read the ratio to the frozen reference kernel, which runs in turn with it.
"""

import gzip
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.figure import Figure, median
from bench.logs import PHILLY, PHILLY_GPUS, Machine, generated, read_log, traces
from bench.reference_kernel import easy as reference
from weir.scheduling import Expected, SimulatedJobs, simulate
from weir.scheduling.policies import NAMED
from weir.scheduling.province_simulation import simulate_province
from weir.twin.generators.province import province_case
from weir.twin.province import single_pool
from weir.twin.traces import read_trace
from weir.twin.workload import Workload

Int64s = NDArray[np.int64]

ROUNDS = 7
LOGS = (
    ("SDSC-SP2", Path("hpc", "SDSC-SP2-pyss-filtered.swf.gz"), 128),
    ("CTC-SP2", Path("hpc", "CTC-SP2-pyss-filtered.swf.gz"), 338),
    ("HPC2N", Path("hpc", "HPC2N-2002-2.1-cln.swf.gz"), 240),
    ("SDSC-BLUE", Path("hpc", "SDSC-BLUE-2000-4.2-cln.swf.gz"), 1_152),
    ("Curie", Path("hpc", "CEA-Curie-2011-2.1-cln.swf.gz"), 93_312),
)
"""Those of which the geometric mean is taken: name, file, processors."""
DEEP_LOGS = (
    ("RICC", Path("hpc", "RICC-2010-2.swf.gz"), 8_192),
    ("Philly on 512 GPUs", PHILLY, PHILLY_GPUS),
)
"""Those with more than ten thousand jobs waiting at times."""
DEEP_ROUNDS = 3
"""Of the reference kernel on these, which looks at the whole queue in every pass."""
READ = Path("hpc", "HPC2N-2002-2.1-cln.swf.gz")
GENERATED_JOBS = 200_000
GENERAL_JOBS = 20_000
PROVINCE_JOBS = 60_000
PROVINCE_ROUNDS = 3
PROVINCE_LOAD = 0.85
GROWTH = (10_000, 100_000, 1_000_000)
GROWTH_MACHINE, GROWTH_LOAD = 1_024, 0.8


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of one run: as the wall clock has it, and of the processor."""

    wall: float
    cpu: float


def measure(seed: int) -> Sequence[Figure]:
    """All of it: one minute or two."""
    folder = traces()
    return [
        *(_logs(folder) if folder else _generated(seed)),
        *([_reading(folder)] if folder else []),
        *_province(seed),
        *_growth(seed),
    ]


def _logs(folder: Path) -> Iterator[Figure]:
    speeds: list[float] = []
    ratios: list[float] = []
    for name, path, processors in LOGS + DEEP_LOGS:
        deep = (name, path, processors) in DEEP_LOGS
        log = read_log(folder / path, processors, name=name)
        figure, speed, ratio = _easy(log, DEEP_ROUNDS if deep else ROUNDS)
        yield figure
        if not deep:
            speeds.append(speed)
            ratios.append(ratio)
    shown = ", ".join(name for name, _, _ in LOGS)
    yield Figure("speed: EASY, geometric mean of five logs", _geometric(speeds), "jobs/s", shown)
    yield Figure(
        "speed: EASY, times the reference kernel", _geometric(ratios), "x", f"geometric mean of {shown}"
    )
    name, path, processors = LOGS[0]
    yield _general(read_log(folder / path, processors, name=name, limit=GENERAL_JOBS))


def _generated(seed: int) -> Iterator[Figure]:
    figure, _, ratio = _easy(generated(seed, GENERATED_JOBS, GROWTH_MACHINE, GROWTH_LOAD), ROUNDS)
    yield replace(figure, name="speed: EASY on generated work")
    yield Figure(
        "speed: EASY, times the reference kernel",
        ratio,
        "x",
        f"{GENERATED_JOBS:,} generated jobs, as WEIR_TRACES names no folder of logs",
    )
    yield _general(generated(seed, GENERAL_JOBS, GROWTH_MACHINE, GROWTH_LOAD))


def _easy(log: Machine, reference_rounds: int) -> tuple[Figure, float, float]:
    """The log's figure, jobs a second, and how many times as fast as the reference kernel, in turn with it."""
    work, processors = log.work, log.processors
    pool, jobs = single_pool(processors), _jobs(work)
    need = np.array([job_class.tasks for job_class in work.classes], np.int64)[work.job_class]
    columns = (jobs.submitted_ms, jobs.run_ms, jobs.limit_ms, need)
    expected = reference(*columns, processors)
    if not np.array_equal(expected, simulate([pool], (), jobs, NAMED["easy"]).start_ms):
        raise AssertionError(f"{log.name}: the core and the reference kernel start jobs at unlike times")
    ours: list[Timed] = []
    theirs: list[float] = []
    for round_ in range(ROUNDS):
        ours.append(_timed(lambda clock: simulate([pool], (), jobs, NAMED["easy"], clock=clock)))
        if round_ < reference_rounds:
            began = time.process_time()
            reference(*columns, processors)
            theirs.append(time.process_time() - began)
    wall, cpu = median([each.wall for each in ours]), median([each.cpu for each in ours])
    ratio = median(theirs) / cpu
    how = (
        f"{len(work):,} jobs, median of {ROUNDS}; {len(work) / cpu:,.0f} a second of processor time, "
        f"{ratio:.2f} times the reference kernel"
    )
    return Figure(f"speed: EASY on {log.name}", len(work) / wall, "jobs/s", how), len(work) / wall, ratio


def _general(log: Machine) -> Figure:
    """The same jobs through what serves many pools."""
    work, policy = log.work, NAMED["easy"]
    pool, jobs = single_pool(log.processors), _jobs(work)

    def general(clock: Callable[[], float]) -> object:
        return simulate_province(
            [pool], (), jobs, policy, Expected.ESTIMATE, False, (), lambda done, of: None, clock
        )

    general(time.perf_counter)
    slow, fast = [], []
    for _ in range(PROVINCE_ROUNDS):
        slow.append(_timed(general).cpu)
        fast.append(_timed(lambda clock: simulate([pool], (), jobs, policy, clock=clock)).cpu)
    return Figure(
        "speed: EASY, general lane",
        len(work) / median(slow),
        "jobs/s",
        f"{len(work):,} jobs of {log.name}, processor time; {len(work) / median(fast):,.0f} through the fast lane, "
        f"{median(slow) / median(fast):.1f} times as fast",
    )


def _reading(folder: Path) -> Figure:
    path = folder / READ
    with gzip.open(path, "rb") as file:
        lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    read_trace(path)
    walls, cpus = [], []
    for _ in range(ROUNDS):
        began, cpu_began = time.perf_counter(), time.process_time()
        read_trace(path)
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu_began)
    return Figure(
        "speed: SWF read",
        lines / median(walls),
        "lines/s",
        f"{path.name}, {lines:,} lines, from gzip to columns, median of {ROUNDS}; "
        f"{lines / median(cpus):,.0f} a second of processor time",
    )


def _province(seed: int) -> Iterator[Figure]:
    whole, pools, links = province_case(seed, PROVINCE_LOAD)
    work = whole.rows(slice(0, PROVINCE_JOBS))
    jobs = _jobs(work)
    runs = [
        _timed(
            lambda clock: simulate(
                pools, links, jobs, NAMED["weir"], expected=Expected.PREDICTION, clock=clock
            )
        )
        for _ in range(PROVINCE_ROUNDS)
    ]
    wall, cpu = median([each.wall for each in runs]), median([each.cpu for each in runs])
    devices = sum(pool.nodes * pool.devices_per_node for pool in pools)
    yield Figure(
        "speed: province under weir",
        len(work) / wall,
        "jobs/s",
        f"the first {len(work):,} jobs of seed {seed} at {PROVINCE_LOAD}, "
        f"{len({pool.centre for pool in pools})} centres, "
        f"{devices:,} devices; {len(work) / cpu:,.0f} a second of processor time",
    )


def _growth(seed: int) -> Iterator[Figure]:
    """Processor time by how many jobs there are, against n log n; and memory where there are most."""
    pool = single_pool(GROWTH_MACHINE)
    simulate([pool], (), _jobs(generated(seed, 1_000, GROWTH_MACHINE, GROWTH_LOAD).work), NAMED["easy"])
    seconds, most = [], 0.0
    for count in GROWTH:
        jobs = _jobs(_hurried(generated(seed, count, GROWTH_MACHINE, GROWTH_LOAD).work))
        most = _memory(lambda jobs=jobs: simulate([pool], (), jobs, NAMED["easy"])) / count  # type: ignore[misc]
        runs = [
            _timed(lambda clock, jobs=jobs: simulate([pool], (), jobs, NAMED["easy"], clock=clock)).cpu  # type: ignore[misc]
            for _ in range(PROVINCE_ROUNDS if count == GROWTH[-1] else ROUNDS)
        ]
        seconds.append(median(runs))
    allowed = GROWTH[-1] * math.log(GROWTH[-1]) / (GROWTH[0] * math.log(GROWTH[0]))
    curve = ", ".join(
        f"{1e9 * each / count:,.0f} ns a job of {count:,}"
        for count, each in zip(GROWTH, seconds, strict=True)
    )
    yield Figure(
        "speed: growth from 10,000 to 1,000,000 jobs",
        seconds[-1] / seconds[0] / allowed,
        "of n log n",
        f"EASY on generated work at {GROWTH_LOAD}, {GROWTH_MACHINE:,} processors: {curve}",
    )
    yield Figure(
        "speed: memory a job", most, "bytes", f"what simulating {GROWTH[-1]:,} jobs adds at its peak"
    )


def _hurried(work: Workload) -> Workload:
    """The same work ten times as fast: the model's million jobs would take longer than a simulation can last."""
    shorter = {name: np.maximum(1, getattr(work, name) // 10) for name in ("submit_ms", "run_ms", "limit_ms")}
    return replace(work, **shorter)


def _jobs(work: Workload) -> SimulatedJobs:
    return SimulatedJobs(
        submitted_ms=work.submit_ms,
        run_ms=work.run_ms,
        limit_ms=work.limit_ms,
        job_class=work.job_class,
        classes=work.classes,
        tenant=np.zeros(len(work), np.int64),
        user=work.user,
        group=work.group,
        priority=work.priority,
    )


def _timed(run: Callable[[Callable[[], float]], object]) -> Timed:
    """What `run` takes between its two looks at the clock that it is given."""
    read: list[Timed] = []

    def clock() -> float:
        read.append(Timed(time.perf_counter(), time.process_time()))
        return read[-1].wall

    run(clock)
    return Timed(read[-1].wall - read[0].wall, read[-1].cpu - read[0].cpu)


def _memory(run: Callable[[], object]) -> float:
    """By how many bytes the process grows at its largest while this runs (Linux tells)."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the largest from here on
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError(f"/proc/self/status does not say {name}")


def _geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


__all__ = ["measure"]
