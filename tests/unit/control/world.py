"""A small province in memory, with agents played by the test."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select

from weir.access.actor import Actor
from weir.control import intake, pull, reports
from weir.control.cycle import Control, ControlSettings, StepOutcome
from weir.model.agent import (
    DesiredAttempt,
    End,
    NodeGroup,
    NodeShare,
    Observation,
    OutputFile,
    PoolObservation,
    Pull,
    PullAnswer,
    Report,
    ReportAnswer,
)
from weir.model.change import Change
from weir.model.job import JobSpecification
from weir.model.province import (
    Centre,
    CentreKind,
    City,
    DeviceKind,
    DeviceModel,
    Link,
    Organisation,
    Pool,
    Project,
    Province,
)
from weir.model.role import Role
from weir.model.state import Cause, JobState, Observed
from weir.model.view import SubmittedView
from weir.registry import apply_province
from weir.store import Store, memory_image, memory_store, schema

START_MS = 1_700_000_000_000
TENANT, OTHER, OPERATOR = "91340100MA2N00001X", "91340100MA2N00002Y", "12340000485000001Z"
GIB = 1 << 30

CPU = DeviceModel(
    id="kunpeng-920", name="Kunpeng 920", kind=DeviceKind.CPU, vendor="Huawei", stack="aarch64", domestic=True
)
NPU = DeviceModel(
    id="ascend-910b", name="Ascend 910B", kind=DeviceKind.ACCELERATOR, vendor="Huawei", stack="cann", domestic=True,
    visible_devices_variable="ASCEND_RT_VISIBLE_DEVICES", memory=64 * GIB, peak={"fp16": 1},
)  # fmt: skip

PROVINCE = Province(
    version=1,
    province="test",
    cities=(City("hefei", "Hefei"), City("wuhu", "Wuhu")),
    organisations=(Organisation(TENANT, "Tenant"), Organisation(OTHER, "Other"), Organisation(OPERATOR, "Operator")),
    projects=(Project("vision", TENANT, default_time_limit=3_600_000), Project("elsewhere", OTHER)),
    devices=(CPU, NPU),
    centres=(
        Centre(
            id="hefei-ai", kind=CentreKind.INTELLIGENT, city="hefei", operator=OPERATOR,
            pools=(
                Pool(
                    "npu", "ascend-910b", nodes=2, cores_per_node=64_000, memory_per_node=256 * GIB, devices_per_node=8
                ),
                Pool("cpu", "kunpeng-920", nodes=2, cores_per_node=8_000, memory_per_node=16 * GIB),
            ),
        ),
        Centre(
            id="wuhu-hpc", kind=CentreKind.SUPERCOMPUTING, city="wuhu", operator=OPERATOR,
            pools=(Pool("cpu", "kunpeng-920", nodes=4, cores_per_node=8_000, memory_per_node=16 * GIB),),
        ),
    ),
    links=(Link("hefei-ai", "wuhu-hpc", 10_000_000_000, 400),),
)  # fmt: skip

TENANT_MEMBER = Actor(1, "tenant", Role.TENANT_MEMBER, TENANT)
OTHER_MEMBER = Actor(2, "other", Role.TENANT_MEMBER, OTHER)
COORDINATOR = Actor(3, "coordinator", Role.COORDINATOR)

IMAGE = memory_image(random.Random(7).getrandbits)


@dataclass
class Agent:
    """A centre's agent as the test plays it: it does nothing by itself."""

    world: "World"
    centre: str
    incarnation: int = 1
    number: int = 0
    revision: int = 0
    capabilities: tuple[str, ...] = ("gang", "shares")
    store_incarnation: str = ""

    def pull(self) -> PullAnswer:
        asked = Pull(self.incarnation, self.revision, self.store_incarnation)
        answer = self.world.store.read(lambda c: pull.pull(c, self.centre, asked, self.world.now_ms))
        self.revision, self.store_incarnation = answer.revision, answer.store_incarnation
        return answer

    def report(self, *observations: Observation, **fields: Any) -> ReportAnswer:
        self.number += 1
        told = Report(
            incarnation=self.incarnation,
            number=self.number,
            store_incarnation=self.store_incarnation or self.world.store.incarnation,
            agent_time_ms=self.world.now_ms,
            observations=observations,
        )
        return self.send(replace(told, **fields))

    def send(self, told: Report) -> ReportAnswer:
        answer = self.world.store.write(lambda tx: reports.report(tx, self.centre, told, self.world.now_ms))
        self.store_incarnation = answer.store_incarnation
        return answer

    def hello(self, *observations: Observation) -> ReportAnswer:
        """The first, full report, with all pools as declared."""
        return self.report(*observations, full=True, pools=self.pools())

    def pools(self) -> tuple[PoolObservation, ...]:
        [centre] = [centre for centre in PROVINCE.centres if centre.id == self.centre]
        return tuple(
            PoolObservation(
                pool.id,
                self.world.now_ms,
                (
                    NodeGroup(
                        pool.nodes, pool.devices_per_node * 1_000, pool.cores_per_node, pool.memory_per_node
                    ),
                ),
                capabilities=self.capabilities,
            )
            for pool in centre.pools
        )

    def end(
        self,
        attempt: str,
        cause: Cause | None = None,
        outputs: Sequence[OutputFile] = (),
        exit_code: int | None = None,
    ) -> Observation:
        code = exit_code if exit_code is not None else (0 if cause is None else None)
        now_ms = self.world.now_ms
        end = End(cause, code, None, "", started_ms=now_ms, ended_ms=now_ms, outputs=tuple(outputs))
        return Observation(attempt, Observed.ENDED, end=end)

    def seen(self, attempt: str, observed: Observed) -> Observation:
        started_ms = self.world.now_ms if observed is Observed.RUNNING else None
        return Observation(attempt, observed, started_ms=started_ms)

    def held(self, attempt: str, observed: Observed, pool: str, node: int = 0) -> Observation:
        """As in a full report."""
        return replace(self.seen(attempt, observed), pool=pool, nodes=(NodeShare(node, 1),))


@dataclass
class World:
    """The store, the control loop and the clock."""

    store: Store
    now_ms: int = START_MS
    random_bits: Callable[[int], int] = field(default_factory=lambda: random.Random(11).getrandbits)
    tenant: Actor = TENANT_MEMBER
    other: Actor = OTHER_MEMBER
    coordinator: Actor = COORDINATOR
    holder: int = 0

    def __post_init__(self) -> None:
        self.control = self.new_control()

    def new_control(self) -> Control:
        self.holder += 1
        self.control = Control(self.store, ControlSettings(), f"holder-{self.holder}")
        return self.control

    def agent(self, centre: str) -> Agent:
        agent = Agent(self, centre)
        agent.hello()
        return agent

    def submit(self, *specifications: JobSpecification, actor: Actor | None = None) -> list[SubmittedView]:
        return self.store.write(
            lambda tx: intake.submit(tx, actor or self.tenant, specifications, self.now_ms, self.random_bits)
        )

    def step(self) -> StepOutcome:
        outcome = self._step_once()
        for _ in range(10):
            if not outcome.again:
                break
            outcome = self._step_once()
        return outcome

    def _step_once(self) -> StepOutcome:
        outcome = self.control.step(self.now_ms)
        if outcome.base is not None:
            self.control.keep(outcome.base)
        return outcome

    def rows(self, table: str) -> list[Any]:
        return self.store.read(lambda c: list(c.execute(select(schema.metadata.tables[table]))))

    def states(self) -> list[str]:
        return [
            JobState(row.state).name.lower() for row in sorted(self.rows("job"), key=lambda row: row.number)
        ]

    def state(self, job: str) -> str:
        name, _, index = job.partition(".")
        [submission] = [row for row in self.rows("submission") if row.id == name]
        [row] = [row for row in self.rows("job") if row.number == submission.first_job + int(index or 0)]
        return JobState(row.state).name.lower()

    def changes(self, after: int = 0) -> list[Change]:
        return self.store.changes(after, 100_000)


def world() -> World:
    """A province whose agents have not been heard of yet."""
    return declare(memory_store(IMAGE))


def declare(store: Store) -> World:
    """The province in a new store."""
    store.write(
        lambda tx: apply_province(tx, PROVINCE, Actor(0, "weir", Role.COORDINATOR), START_MS, catalogue={})
    )
    return World(store)


def job(*, cores: int = 1_000, **fields: Any) -> JobSpecification:
    """A small job."""
    return JobSpecification(**{"command": ("true",), "cores": cores, "memory": GIB, **fields})


def runs(answer: PullAnswer) -> list[DesiredAttempt]:
    """Those of an answer's attempts that should run."""
    return [attempt for attempt in answer.attempts if attempt.work]
