"""A store on disk with a deep queue: all pools are full, so that 100,000 jobs of 50 shapes wait."""

import contextlib
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from weir.access import Actor
from weir.control import intake, reports
from weir.control.cycle import Control, ControlSettings
from weir.model.agent import NodeGroup, PoolObservation, Report
from weir.model.job import JobSpecification, Priority
from weir.model.province import Centre, CentreKind, City, Organisation, Pool, Project, Province
from weir.model.role import Role
from weir.registry import apply_province
from weir.store import Store, open_store

TENANT = "12340100WEYR00078P"
SHAPES = 50
HOUR_MS = 3_600_000
GIB = 1 << 30
START_MS = 1_700_000_000_000
ACTOR = Actor(1, "bench", Role.TENANT_ADMIN, TENANT)

_CENTRES = tuple(
    Centre(
        id=f"centre-{number:02d}",
        kind=CentreKind.GENERAL,
        city="here",
        pools=(
            Pool(
                "cpu", "intel-xeon-platinum-8358", nodes=16, cores_per_node=64_000, memory_per_node=512 * GIB
            ),
        ),
    )
    for number in range(34)
)
_PROVINCE = Province(
    version=1,
    province="bench",
    cities=(City("here", "Here"),),
    organisations=(Organisation(TENANT, "Bench"),),
    projects=(Project("bench", TENANT),),
    centres=_CENTRES,
)


@dataclass(frozen=True, slots=True)
class LoadedStore:
    """The store and how to go on from it; `filled` jobs hold every node."""

    store: Store
    path: Path
    generator: random.Random
    now_ms: int

    def control(self) -> Control:
        """A new scheduler that has not stepped yet."""
        return Control(self.store, ControlSettings(lease_ms=10**9), f"bench-{self.generator.getrandbits(32)}")

    def submit(self, specifications: list[JobSpecification]) -> list[str]:
        """Take jobs in, as the API does."""
        bits = self.generator.getrandbits
        return [
            one.id
            for one in self.store.write(
                lambda tx: intake.submit(tx, ACTOR, specifications, self.now_ms, bits)
            )
        ]


@contextlib.contextmanager
def loaded_store(queued: int, seed: int) -> Iterator[LoadedStore]:
    """A province of 34 centres whose nodes are all taken by one running array, and `queued` jobs behind it."""
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        path = Path(folder) / "weir.db"
        with open_store(f"sqlite:///{path}") as store:
            loaded = LoadedStore(store, path, generator, START_MS)
            store.write(lambda tx: apply_province(tx, _PROVINCE, ACTOR, START_MS))
            for centre in _CENTRES:
                _announce(store, centre)
            nodes = sum(pool.nodes for centre in _CENTRES for pool in centre.pools)
            loaded.submit(
                [
                    replace(
                        _shape(0),
                        cores=64_000,
                        array=nodes,
                        time_limit=90 * HOUR_MS,
                        priority=Priority.URGENT,
                    )
                ]
            )
            control = loaded.control()
            started = 0
            while started < nodes:
                outcome = control.step(START_MS)
                started += outcome.starts
                if not outcome.starts and not outcome.again:
                    raise RuntimeError(f"only {started} of {nodes} jobs fill the province")
            control.resign(START_MS)
            loaded.submit([replace(_shape(shape), array=queued // SHAPES) for shape in range(SHAPES)])
            yield loaded


def small_jobs(count: int, generator: random.Random) -> list[JobSpecification]:
    """Jobs of the shapes that wait, in a random mix."""
    return [_shape(generator.randrange(SHAPES)) for _ in range(count)]


def _shape(shape: int) -> JobSpecification:
    return JobSpecification(
        command=("true",),
        project="bench",
        cores=1_000 + 1_000 * (shape % 10),
        memory=(1 + shape % 7) * GIB,
        time_limit=(1 + shape % 24) * HOUR_MS,
    )


def _announce(store: Store, centre: Centre) -> None:
    seen = tuple(
        PoolObservation(
            pool.id,
            START_MS,
            (NodeGroup(pool.nodes, 0, pool.cores_per_node, pool.memory_per_node),),
            capabilities=("gang",),
        )
        for pool in centre.pools
    )
    told = Report(
        incarnation=1,
        number=1,
        store_incarnation=store.incarnation,
        agent_time_ms=START_MS,
        full=True,
        pools=seen,
    )
    store.write(lambda tx: reports.report(tx, centre.id, told, START_MS))
