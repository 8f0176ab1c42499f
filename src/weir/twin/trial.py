"""A trial: everything that decides one run, as a value that can be written down, repeated and sent to a process."""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from weir.model.problem import refused
from weir.model.province import Share
from weir.scheduling import warm_up
from weir.scheduling.compilation import cache_folder
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.scheduling.policies import ABOUT
from weir.scheduling.supply import changes_with_time
from weir.twin.change import parse_change
from weir.twin.changed import PoolEvent, apply_changes
from weir.twin.metrics import capacity_milli
from weir.twin.province import load_province, load_shares, single_pool
from weir.twin.published.rl_run import RL_RUNS, rl_run
from weir.twin.results import Results, peak_rss_bytes, results_of
from weir.twin.rounds import province as rounds_province
from weir.twin.rounds.province import ROUNDS_RUNS, rounds_run
from weir.twin.run import run
from weir.twin.start import begun, read_start
from weir.twin.traces import read_trace
from weir.twin.workload import Int64s, Workload, processors

GENERATORS = ("lublin", "province")
GENERATED_JOBS = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where the jobs come from: a log, or a generator with its seed."""

    log: Path | None = None
    generator: str = ""
    """lublin: a machine's jobs (Lublin and Feitelson). province: a whole made-up province with its jobs."""
    format: str | None = None
    skip_bad: bool = False
    limit: int | None = None
    """At most so many jobs; of a generator, how many it makes."""
    load: float | None = None
    """Offered load; of a log it is reached by resampling. None leaves it as it is."""
    seed: int | None = None
    """Of the generator, 1 unless given; of a log, which resample of it is taken, none unless seed or load is given."""

    @property
    def name(self) -> str:
        return self.generator if self.log is None else str(self.log)


@dataclass(frozen=True, slots=True)
class Trial:
    """One run. Without a province there is one pool of `processors`, or of what the trace says of its machine."""

    source: Source
    policy: str
    estimates: str = "user"
    tenants: str = "none"
    passes: str = "second"
    processors: int | None = None
    province: Path | None = None
    changes: tuple[str, ...] = ()
    start: Path | None = None
    """A state of the province that the run begins with; its source may then be nothing."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a trial's policy finds: the jobs and the province."""

    workload: Workload
    pools: tuple[PoolRow, ...]
    links: tuple[LinkRow, ...]
    read_s: float
    events: tuple[PoolEvent, ...] = ()
    """What happens to pools during the run."""
    notes: tuple[str, ...] = ()
    """What the changes did, in words."""
    shares: Mapping[str, Share] | None = None
    """What tenants may use, by name; None where no province says."""
    told: Int64s | None = None
    """The rows that the run decides about, where it begins with jobs that run already."""


def prepare(
    trial: Trial, clock: Callable[[], float], on_bad: Callable[[int, str], None] = lambda line, reason: None
) -> Scene:
    """Read or make the jobs, and the province with its changes. `clock` gives seconds. Raises ProblemError."""
    source = trial.source
    if trial.province is not None and trial.processors is not None:
        raise refused("--procs", trial.processors, "give either --procs or --province")
    if source.log is not None and source.generator:
        raise refused("--generate", source.generator, "give either a log or --generate")
    changes = [parse_change(text) for text in trial.changes]
    if trial.start is not None and source.log is None and not source.generator:
        scene = _only_begun(trial)
    else:
        scene = _generated(trial) if source.log is None else _resampled(_read(trial, clock, on_bad), source)
    if changes:
        made = apply_changes(scene.pools, scene.links, changes, origin_ms=1_000 * scene.workload.origin_s)
        scene = replace(scene, pools=made.pools, links=made.links, events=made.events, notes=made.notes)
    if trial.province is not None:
        scene = replace(scene, shares=load_shares(trial.province))
    return scene if trial.start is None else _begun(scene, trial)


def perform(trial: Trial, scene: Scene, progress: Callable[[int, int], None] | None = None) -> Results:
    """Run it. `progress` is told how many of how many jobs have ended. Raises ProblemError."""
    if scene.told is not None and trial.policy in (*RL_RUNS, *ROUNDS_RUNS):
        raise refused("--start", trial.policy, "such a policy begins with nothing that runs; leave it out")
    if changes_with_time(scene.pools) and trial.policy in (*RL_RUNS, *ROUNDS_RUNS):
        raise refused(
            "--policy", trial.policy, "such a policy knows no windows or bands; choose one of Weir's own"
        )
    if trial.policy in RL_RUNS:
        return _performed_as_rlscheduler(trial, scene)
    if trial.policy in ROUNDS_RUNS:
        return _performed_in_rounds(trial, scene)
    more: dict[str, Any] = {} if progress is None else {"progress": progress}
    if scene.events:
        more["events"] = scene.events
    outcome = run(
        scene.workload,
        scene.pools,
        links=scene.links,
        policy=trial.policy,
        estimates=trial.estimates,
        tenants=trial.tenants,
        passes=trial.passes,
        shares=scene.shares,
        **more,
    )
    outcome = replace(outcome, read_s=scene.read_s)
    if scene.told is not None:
        outcome = replace(
            outcome,
            workload=scene.workload.rows(scene.told),
            start_ms=outcome.start_ms[scene.told],
            end_ms=outcome.end_ms[scene.told],
            pool=outcome.pool[scene.told],
        )
    return results_of(outcome, peak_rss_bytes=peak_rss_bytes(), notes=scene.notes)


def known_policies() -> dict[str, str]:
    """Every policy by its name, with what it is: Weir's own, those in rounds, then RLScheduler's under its own rule."""
    theirs = dict.fromkeys(RL_RUNS, "RLScheduler's heuristic of that name, under its own decision rule")
    return {**ABOUT, **rounds_province.ABOUT, **theirs}


def make_ready(trial: Trial, progress: Callable[[str], None] = lambda line: None) -> None:
    """Make compiled code ready for a trial like this, so that no measured time holds compiling or loading it.

    `progress` is told in words when something has to be compiled, which takes some tens of seconds once a machine.
    """
    if trial.processors is None:
        warm_up(progress, ["twin", "times"])
    if not any(cache_folder().rglob("*clock.run-*.nbi")):
        progress("compiling the simulation, once on this machine")
    if trial.policy in ROUNDS_RUNS:
        _rehearse_rounds(trial)
        return
    with tempfile.TemporaryDirectory(prefix="weir-twin-") as folder:
        log = Path(folder) / "ready.swf"
        log.write_text("1 0 -1 2 1 -1 -1 1 3 -1 1 1 1 -1 -1 -1 -1 -1\n" * 3, encoding="ascii")
        few = Trial(Source(log=log), trial.policy, trial.estimates, trial.tenants, trial.passes, processors=1)
        perform(few, prepare(few, lambda: 0.0))


def _performed_as_rlscheduler(trial: Trial, scene: Scene) -> Results:
    if scene.events:
        raise refused(
            "--change", trial.policy, "nothing happens to the pool under RLScheduler's rule; leave it out"
        )
    if trial.tenants != "none":
        raise refused("--tenants", trial.tenants, "RLScheduler's rule knows one queue alone; give none")
    outcome = rl_run(
        scene.workload,
        scene.pools,
        policy=trial.policy,
        clock=time.perf_counter,
        estimates=trial.estimates,
    )
    outcome = replace(outcome, read_s=scene.read_s)
    return results_of(outcome, peak_rss_bytes=peak_rss_bytes(), notes=scene.notes)


def _performed_in_rounds(trial: Trial, scene: Scene) -> Results:
    if scene.events:
        raise refused("--change", trial.policy, "nothing happens to pools in rounds yet; leave it out")
    if trial.tenants != "none":
        raise refused("--tenants", trial.tenants, f"{trial.policy} is fair between jobs; give none")
    for pool in scene.pools:
        if pool.windows:
            raise refused(
                "--policy", trial.policy, f"leave out the maintenance windows of {pool.key}: rounds know none"
            )
    run_ = rounds_run(
        scene.workload,
        scene.pools,
        scene.links,
        policy=trial.policy,
        clock=time.perf_counter,
        estimates=trial.estimates,
    )
    outcome = replace(run_.outcome, read_s=scene.read_s)
    return results_of(outcome, peak_rss_bytes=peak_rss_bytes(), notes=scene.notes, held_ms=run_.held_ms)


def _rehearse_rounds(trial: Trial) -> None:
    """Two jobs on a fast pool and a slow one."""
    one = np.array([0, 0], np.int64)
    work = Workload(
        name="", job=one, submit_ms=one, run_ms=one + 1_000, limit_ms=one + 1_000, size=one + 1, job_class=one,
        user=one, group=one, priority=one, classes=(processors(1),), users=("",), groups=("",),
    )  # fmt: skip
    pools = (replace(single_pool(1), key="a/a"), replace(single_pool(1), key="b/b", speed_milli=500))
    rounds_run(work, pools, (), policy=trial.policy, clock=lambda: 0.0)


def _only_begun(trial: Trial) -> Scene:
    """A province where no more jobs come than run and wait there."""
    assert trial.start is not None
    if trial.province is None:
        raise refused("--province", "nothing", "give the file of the province that the state is of")
    pools, links = load_province(trial.province)
    return Scene(read_start(trial.start).jobs, pools, links, 0.0)


def _begun(scene: Scene, trial: Trial) -> Scene:
    assert trial.start is not None
    if trial.province is None:
        raise refused("--province", "nothing", "give the file of the province that the state is of")
    later = None if trial.source.log is None and not trial.source.generator else scene.workload
    made = begun(read_start(trial.start), later, scene.pools)
    if not len(made.told):
        raise refused("--start", trial.start, "nothing waits in it, and no jobs come after; give a LOG too")
    events = [replace(each, at_ms=each.at_ms + made.now_ms) for each in scene.events]
    return replace(
        scene, workload=made.workload, pools=made.pools, events=(*made.events, *events), told=made.told
    )


def _read(trial: Trial, clock: Callable[[], float], on_bad: Callable[[int, str], None]) -> Scene:
    source = trial.source
    assert source.log is not None
    begun = clock()
    workload = read_trace(
        source.log,
        format=source.format,
        processors=trial.processors,
        skip_bad=source.skip_bad,
        limit=source.limit,
        on_bad=on_bad,
    )
    read_s = clock() - begun
    if not len(workload):
        why = ", ".join(f"{count:,} {rule}" for rule, count in workload.dropped if count) or "it is empty"
        raise refused("LOG", source.log, f"give a log with usable jobs; this has none ({why})")
    if trial.province is not None:
        pools, links = load_province(trial.province)
        return Scene(workload, pools, links, read_s)
    size = trial.processors or workload.machine_size
    if not size:
        widest = int(workload.size.max())
        raise refused(
            "--procs",
            "nothing",
            f"say how large the machine is: the log does not, and its largest job takes {widest:,}",
        )
    return Scene(_counted(workload), (single_pool(size),), (), read_s)


def _generated(trial: Trial) -> Scene:
    source = trial.source
    jobs = source.limit or GENERATED_JOBS
    seed = 1 if source.seed is None else source.seed
    if source.generator == "lublin":
        from weir.twin.generators.estimates import Estimates
        from weir.twin.generators.lublin import lublin
        from weir.twin.generators.people import Habits

        if trial.province is not None or trial.processors is None:
            raise refused("--procs", "nothing", "say for how large a machine lublin should make jobs")
        workload = lublin(
            seed, jobs, trial.processors, load=source.load, habits=Habits(), estimates=Estimates()
        )
        return Scene(workload, (single_pool(trial.processors),), (), 0.0)
    if source.generator == "province":
        from weir.twin.generators.province import province_case

        if trial.province is not None or trial.processors is not None:
            raise refused(
                "--generate", "province", "it makes its own pools; leave --procs and --province out"
            )
        workload, pools, links = province_case(seed, source.load or 0.85)
        return Scene(workload if source.limit is None else workload.rows(slice(0, jobs)), pools, links, 0.0)
    raise refused(
        "--generate", source.generator or "nothing", f"give a log, or one of {', '.join(GENERATORS)}"
    )


def _resampled(scene: Scene, source: Source) -> Scene:
    """Other users' weeks out of the same log, at the load that is asked for."""
    if source.load is None and source.seed is None:
        return scene
    from weir.twin.generators.resample import resample

    unit = _unit(scene.workload)
    size = sum(capacity_milli(row, unit) for row in scene.pools) // 1_000
    seed = 1 if source.seed is None else source.seed
    return replace(scene, workload=resample(scene.workload, seed, load=source.load, machine_size=size))


def _unit(workload: Workload) -> str:
    return "device" if any(each.devices_milli for each in workload.classes) else "core"


def _counted(workload: Workload) -> Workload:
    """Each job needs as many processors as the trace counts, whatever else it says: one pool counts them alike."""
    sizes, job_class = np.unique(workload.size, return_inverse=True)
    classes = tuple(processors(count) for count in sizes.tolist())
    return replace(workload, job_class=job_class.astype(np.int64), classes=classes)
