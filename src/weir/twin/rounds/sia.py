"""Sia's experiments: its workloads, the measured speeds of its applications, and its rule of rounds.

Facts from siasosp23/artifacts@aaf7a0de7b6c (Subramanya et al., SOSP 2023), `sia-simulator/`: applications.py and
job.py (progress, batch sizes, restarts), simulator_config.py (devices, slowdowns), sia.py (configurations).
Its folder `traces/` holds, per application, `placements-KIND.csv` and `scalability-KIND.csv` (seconds of a step and
of its synchronisation, by placement and local batch) and `validation-BATCH.csv` (by epoch: progress in iterations of
the first batch size, and the gradient's noise). Work is that progress. What differs here: steps between measured
placements are interpolated along devices, where the peer triangulates; an elastic job takes the best batch by the
measured speeds, where the peer takes it from its fit to what it has seen of them.
"""

import csv
import math
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from weir.model.problem import refused
from weir.twin.rounds.case import Case, Floats, Rule

KINDS = ("aws", "dgx-ext", "rtx")
NODES = (6, 2, 3)
NODE_DEVICES = (4, 8, 8)
ELASTIC = Rule(round_s=60.0, whole_seconds=True, first_s=60.0, doubling=True)
RIGID = Rule(round_s=360.0, whole_seconds=True, first_s=360.0)

EPOCHS = {"bert": 2, "cifar10": 100, "ncf": 10, "imagenet": 90, "deepspeech2": 80, "yolov3": 50}
SLOWDOWN = {"cifar10": 1.8, "imagenet": 1.2, "yolov3": 1.2, "bert": 1.2, "deepspeech2": 1.2, "ncf": 1.5}
RESTART_S = {"cifar10": 50, "deepspeech2": 25, "bert": 120, "yolov3": 80, "imagenet": 250, "ncf": 15}
_LARGEST_LOCAL = {("deepspeech2", "rtx"): 57}


def read_case(workload: Path, speeds: Path, *, elastic: bool = True) -> Case:
    """A workload file (`name,time,application,num_replicas,batch_size`) on the peer's three kinds of devices.

    Elastic: any power of two within a node or any number of whole nodes, batch size free, a round a minute. Rigid:
    the submitted number of devices and batch size, a round in six minutes, as the peer runs Gavel.
    """
    with workload.open(newline="") as file:
        rows = list(csv.DictReader(file))
    jobs = []
    for number, row in enumerate(rows, 2):
        try:
            application = row["application"]
            if application not in EPOCHS:
                raise ValueError(f"application {application!r}, not one of {', '.join(EPOCHS)}")
            jobs.append(
                (
                    float(row["time"]),
                    row["name"],
                    application,
                    int(row["num_replicas"]),
                    int(row["batch_size"]),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise refused(f"{workload}: line {number}", row, f"columns as documented ({error})") from None
    jobs.sort(key=lambda job: job[0])
    widths = sorted({job[3] for job in jobs})
    options = [
        (kind, size)
        for kind in range(len(KINDS))
        for size in (_elastic_widths(kind) if elastic else widths)
        if size <= NODES[kind] * NODE_DEVICES[kind]
    ]
    profiles: dict[tuple[str, int, int], int] = {}
    rates: list[Floats] = []
    ends: list[Floats] = []
    applications = {name: _Application.read(speeds, name) for name in sorted({job[2] for job in jobs})}
    phases = max(EPOCHS[name] for name in applications)
    for *_, name, size, batch in jobs:
        key = (name, 0, 0) if elastic else (name, size, batch)
        if key in profiles:
            continue
        profiles[key] = len(profiles)
        application = applications[name]
        rate = np.zeros((phases, len(options)))
        for column, (kind, width) in enumerate(options):
            if elastic:
                rate[: EPOCHS[name], column] = application.best_rates(kind, width)
            elif width == size:
                rate[: EPOCHS[name], column] = application.rates(kind, width, batch)
        end = np.full(phases, np.inf)
        end[: EPOCHS[name]] = application.progress
        rates.append(rate)
        ends.append(end)
    profile = [profiles[(job[2], 0, 0) if elastic else (job[2], job[3], job[4])] for job in jobs]
    return Case(
        name=f"sia-{workload.parent.name}-{workload.stem}",
        kinds=KINDS,
        capacity=np.array(NODES, np.int64) * np.array(NODE_DEVICES, np.int64),
        # The peer hands rigid jobs single devices, wherever they are, and takes their speed as if they were packed.
        node_devices=np.array(NODE_DEVICES if elastic else [1] * len(KINDS), np.int64),
        option_kind=np.array([kind for kind, _ in options], np.int64),
        option_devices=np.array([size for _, size in options], np.int64),
        profiles=tuple(
            name if elastic else f"{name} x{size} batch {batch}" for name, size, batch in profiles
        ),
        rate=np.array(rates),
        phase_end=np.array(ends),
        restart_s=np.array([float(RESTART_S[name]) for name, _, _ in profiles]),
        jobs=tuple(job[1] for job in jobs),
        submit_s=np.array([job[0] for job in jobs]),
        profile=np.array(profile, np.int64),
        work=np.array([applications[job[2]].progress[-1] for job in jobs]),
        rule=ELASTIC if elastic else RIGID,
    )


def _elastic_widths(kind: int) -> list[int]:
    node = NODE_DEVICES[kind]
    return [2**power for power in range(node.bit_length())] + [
        node * count for count in range(2, NODES[kind] + 1)
    ]


@dataclass(frozen=True, slots=True)
class _Steps:
    """Seconds of a step and of its synchronisation by local batch, on one placement."""

    local: Floats
    step_s: Floats
    sync_s: Floats

    def at(self, local: Floats) -> tuple[Floats, Floats]:
        """Linear between what was measured; nan beyond."""
        step = np.interp(local, self.local, self.step_s, left=np.nan, right=np.nan)
        return step, np.interp(local, self.local, self.sync_s, left=np.nan, right=np.nan)


@dataclass(frozen=True, slots=True)
class _Application:
    name: str
    progress: Floats
    """[epoch] work done at its end."""
    batches: Floats
    """Validated total batch sizes, rising."""
    noise: Floats
    """[batch, epoch, (square, variance)] of the gradient."""
    placed: dict[int, dict[int, _Steps]]
    """[kind][devices, in as few nodes as can be]"""
    local: dict[int, tuple[int, int]]
    """[kind] smallest and largest measured local batch."""

    @classmethod
    def read(cls, speeds: Path, name: str) -> "_Application":
        folder = speeds / name
        files = sorted(folder.glob("validation-*.csv"), key=lambda path: int(path.stem.partition("-")[2]))
        if not files:
            raise refused(str(folder), "no validation-*.csv", "the artifact's folder of measured speeds")
        epochs = EPOCHS[name]
        tables = [_columns(path, ("progress", "grad_sqr", "grad_var"))[:epochs] for path in files]
        placed, local = {}, {}
        for kind, suffix in enumerate(KINDS):
            by_width, limits = _read_placed(folder, suffix, kind)
            placed[kind] = by_width
            local[kind] = (limits[0], _LARGEST_LOCAL.get((name, suffix), limits[1]))
        return cls(
            name=name,
            progress=np.min([table[:, 0] for table in tables], axis=0),
            batches=np.array([float(path.stem.partition("-")[2]) for path in files]),
            noise=np.array([table[:, 1:] for table in tables]),
            placed=placed,
            local=local,
        )

    def best_rates(self, kind: int, width: int) -> Floats:
        """[epoch] work a second with the best batch size; 0 where no batch size fits."""
        if width not in self.placed[kind]:
            return np.zeros(EPOCHS[self.name])
        first, largest = self.batches[0], self.batches[-1]
        smallest_local, _ = self.local[kind]
        most_local = self.placed[kind][width].local.max()
        least = max(first, smallest_local * width)
        if least > largest:
            return np.zeros(EPOCHS[self.name])
        total = np.geomspace(least, largest, 50)
        local = total / width
        extra = np.ceil(local / most_local - 1e-8) - 1
        if width == 1:
            extra = np.where(local > first + 1e-8, np.maximum(extra, 1), extra)
        atomic = np.ceil(local / (extra + 1) - 1e-8)
        atomic = np.minimum(atomic, np.floor(largest / (width * (extra + 1))))
        found = self._rates(kind, width, atomic, extra)
        return np.asarray(found.max(axis=0))

    def rates(self, kind: int, width: int, batch: int) -> Floats:
        """[epoch] work a second with this total batch size."""
        if width not in self.placed[kind]:
            return np.zeros(EPOCHS[self.name])
        local = math.ceil(batch / width - 1e-8)
        most_local = self.placed[kind][width].local.max()
        extra = math.ceil(local / most_local - 1e-8) - 1
        if width == 1 and batch > self.batches[0]:
            extra = max(1, extra)
        atomic = min(math.ceil(local / (extra + 1) - 1e-8), int(self.batches[-1] / (width * (extra + 1))))
        return np.asarray(self._rates(kind, width, np.array([float(atomic)]), np.array([float(extra)]))[0])

    def _rates(self, kind: int, width: int, atomic: Floats, extra: Floats) -> Floats:
        """[choice, epoch] work a second: gain of the batch over the first one, by the time of its step."""
        step, sync = self.placed[kind][width].at(atomic)
        seconds = step + (step - sync) * extra
        total = atomic * (extra + 1) * width
        found = np.zeros((total.size, EPOCHS[self.name]))
        for choice, batch in enumerate(total):
            if not np.isfinite(seconds[choice]) or not self.batches[0] <= batch <= self.batches[-1]:
                continue
            above = int(np.searchsorted(self.batches, batch))
            below = above if self.batches[above] == batch else above - 1
            share = 0.0 if above == below else (batch - self.batches[below]) / np.diff(self.batches)[below]
            square, variance = ((1 - share) * self.noise[below] + share * self.noise[above]).T
            gain = (variance + square) / (variance / (batch / self.batches[0]) + square)
            found[choice] = gain / seconds[choice] / SLOWDOWN[self.name]
        return found


def _read_placed(folder: Path, suffix: str, kind: int) -> tuple[dict[int, _Steps], tuple[int, int]]:
    """Steps by width, where devices fill as few nodes as can be; and the range of local batches."""
    columns = ("placement", "local_bsz", "step_time", "sync_time")
    placements = _columns(folder / f"placements-{suffix}.csv", columns)
    by_width: dict[int, _Steps] = {}
    node, nodes = NODE_DEVICES[kind], NODES[kind]
    for width in range(1, node * nodes + 1):
        full, rest = divmod(width, node)
        digits = ([node] * full) + ([rest] if rest else [])
        # The smallest rotation: 12 in nodes of 8 is 48.
        code = min(int("".join(map(str, digits[i:] + digits[:i]))) for i in range(len(digits)))
        rows = placements[placements[:, 0] == code]
        if len(rows):
            by_width[width] = _steps(rows[:, 1:])
    scaled = _columns(folder / f"scalability-{suffix}.csv", ("num_nodes", "num_replicas", *columns[1:]))
    for width in range(node, node * nodes + 1, node):
        rows = scaled[(scaled[:, 0] == width // node) & (scaled[:, 1] == width)]
        if width not in by_width and len(rows):
            by_width[width] = _steps(rows[:, 2:])
    whole = [width for width in sorted(by_width) if width % node == 0]
    for low, high in pairwise(whole):
        for width in range(low + node, high, node):
            by_width[width] = _between(by_width[low], by_width[high], (width - low) / (high - low))
    return by_width, (int(placements[:, 1].min()), int(placements[:, 1].max()))


def _steps(rows: Floats) -> _Steps:
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    return _Steps(rows[:, 0], rows[:, 1], rows[:, 2])


def _between(low: _Steps, high: _Steps, share: float) -> _Steps:
    local = np.intersect1d(low.local, high.local)
    (a, b), (c, d) = low.at(local), high.at(local)
    return replace(low, local=local, step_s=a + share * (c - a), sync_s=b + share * (d - b))


def _columns(path: Path, names: tuple[str, ...]) -> Floats:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        missing = set(names) - set(reader.fieldnames or ())
        if missing:
            raise refused(str(path), ", ".join(reader.fieldnames or ()), f"columns {', '.join(names)}")
        return np.array([[float(row[name]) for name in names] for row in reader]).reshape(-1, len(names))


__all__ = ["ELASTIC", "KINDS", "RIGID", "read_case"]
