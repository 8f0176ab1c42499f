"""One random history: a while in which everything may go wrong, then calm, in which everything must come to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.simulation.core import check_core
from tests.simulation.declared import ORGANISATION
from tests.simulation.engine import SimulatedEngine
from tests.simulation.network import RefusedError
from tests.simulation.province import SimulatedProvince
from tests.simulation.workload import PRIORITIES, random_request
from tests.simulation.world import HistoryError, World
from weir.access.actor import Actor, server_itself
from weir.agents.record import Order
from weir.control import intake, orders
from weir.model.problem import ProblemError
from weir.model.role import Role
from weir.model.state import JobState
from weir.model.view import SubmittedView
from weir.registry import set_draining
from weir.store import Transaction

Work = Callable[[Transaction], Any]

STEPS = 400
"""With faults, in a history of usual length."""
LONGEST_CALM_MS = 2 * 3_600_000
QUIET_MS = 70_000
"""After the last end, time enough for whatever is repeated until it is answered."""
TENANT = Actor(1, "tenant", Role.TENANT_ADMIN, ORGANISATION, address="simulated")


@dataclass(frozen=True, slots=True)
class HistoryResult:
    """What a history came to."""

    seed: int
    steps: int
    """Steps of controls and agents, and requests served."""
    jobs: int
    attempts: int
    restores: int
    virtual_ms: int
    endings: dict[str, int]


def run_history(seed: int, steps: int = STEPS, tell: Callable[[str], None] | None = None) -> HistoryResult:
    """Live through the history of this seed: `steps` with faults, then as many as it takes to end every job.

    Raises HistoryError at the first thing that is not as it must be. `tell` gets every line of the trace.
    """
    world = World(seed, tell)
    try:
        return _History(world).run(steps)
    except HistoryError:
        raise
    except Exception as error:
        raise world.wrong(f"{type(error).__name__}: {error}") from error


class _History:
    """The faults and the requests of one history, and its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.started_ms = world.now_ms
        self.province = SimulatedProvince(world)
        self.known: list[str] = []
        """Names of submissions of which the user knows."""
        self._busy_ms = world.random.choice((150, 600, 2_000, 6_000))
        """About how long it is from one thing that happens to the next."""
        self._most = world.random.choice((6, 15, 40))
        """So many submissions at most."""
        self.restores = 0
        kinds: dict[Callable[[], None], int] = {
            self._submit: 30,
            self._order: 25,
            self._cut: 6,
            self._kill_agent: 4,
            self._kill_server: 3,
            self._kill_both: 1,
            self._split: 3,
            self._step_another: 4,
            self._pause_control: 3,
            self._engine_away: 4,
            self._engine_fails: 5,
            self._nodes_missing: 2,
            self._clock_jumps: 3,
            self._slow: 3,
            self._drain: 3,
            self._local_order: 1,
            self._back_up: 3,
            self._restore: 2,
        }
        if world.shares:
            kinds |= {self._others_come: 40, self._preempt: 5}
        # No two histories are alike in what goes wrong most, so that rare things meet each other too.
        self._weights = {kind: weight * world.random.choice((0.2, 1, 1, 4)) for kind, weight in kinds.items()}
        for kind in world.random.choice(self._themes()):
            self._weights[kind] *= 8
        self.province.between = [self._submit, self._order, self._step_another]

    def run(self, steps: int) -> HistoryResult:
        """The whole history."""
        world = self.world
        world.after(100, self._something)
        while world.steps < steps:
            world.perform_next()
        self._calm()
        self._until_ended()
        return self._result()

    def _themes(self) -> tuple[tuple[Callable[[], None], ...], ...]:
        return (
            (),
            (self._cut,),
            (self._back_up, self._restore),
            (self._kill_agent, self._kill_server, self._split),
            (self._pause_control, self._step_another, self._kill_server),
            (self._engine_away, self._engine_fails, self._slow),
        )

    def _something(self) -> None:
        """Something happens that no process does by itself; and again, later."""
        if not self.world.faults:
            return
        random = self.world.random
        self.world.after(random.randint(1, 2 * self._busy_ms), self._something)
        (action,) = random.choices(list(self._weights), list(self._weights.values()))
        self.world.perform(action)

    def _submit(self) -> None:
        world = self.world
        if len(self.known) >= self._most:
            return
        specifications = random_request(world.random, self.known)

        def work(tx: Transaction) -> list[SubmittedView]:
            return intake.submit(tx, TENANT, specifications, world.now_ms, bits)

        # A work may be done twice, and must come to the same then; so its random bits are drawn before.
        drawn = [world.random.getrandbits(80) for _ in specifications]

        def bits(count: int) -> int:
            drawn.append(drawn.pop(0))
            return drawn[-1]

        try:
            views = self.province.server().write("submit", work)
        except RefusedError as refusal:
            world.note(f"user: not submitted: {refusal}")
            return
        for view, specification in zip(views, specifications, strict=True):
            self.known.append(view.id)
            world.note(f"user: {view.id} × {view.size}", specification)

    def _order(self) -> None:
        """An order for a job that is there, or for one element of it."""
        if not self.known:
            return
        world, random, now_ms = self.world, self.world.random, self.world.now_ms
        name = random.choice(self.known)
        if random.random() < 0.2:
            name += f".{random.randint(0, 8)}"
        kind = random.choices(
            ("cancel", "hold", "release", "update", "give up", "retry"), (5, 4, 6, 3, 3, 1)
        )[0]
        drawn = random.getrandbits(80)
        priority, time_limit_ms = random.choice(PRIORITIES), random.choice((None, 30_000, 300_000))
        works: dict[str, Work] = {
            "cancel": lambda tx: orders.cancel(tx, TENANT, name, now_ms),
            "hold": lambda tx: orders.hold(tx, TENANT, name, now_ms),
            "release": lambda tx: orders.release(tx, TENANT, name, now_ms),
            "update": lambda tx: orders.update(
                tx, TENANT, name, now_ms, priority=priority, time_limit_ms=time_limit_ms
            ),
            "give up": lambda tx: orders.give_up(tx, server_itself(), name, now_ms),
            "retry": lambda tx: orders.retry(tx, TENANT, name, now_ms, lambda bits: drawn),
        }
        if kind == "retry" and len(self.known) >= self._most:
            return
        world.note(f"user: {kind} {name}")
        before, self.province.by_hand = self.province.by_hand, kind == "give up"
        try:
            self._ask(kind, works[kind])
        finally:
            self.province.by_hand = before

    def _cut(self) -> None:
        name = self._centre()
        self.province.network.cut(name)
        longest_ms = 120_000 if self.world.chance(0.5) else 10_000
        for_ms = self.world.between(500, longest_ms)
        self.world.note(f"{name} is cut off for {for_ms} ms")
        self.world.after(for_ms, lambda: self.province.network.mend(name))

    def _kill_agent(self) -> None:
        agent = self.province.centres[self._centre()].agent
        if agent.alive:
            self.world.note(f"KILL {agent.name}")
            agent.kill()

    def _kill_server(self) -> None:
        server = self.world.random.choice(self.province.servers)
        if server.alive:
            self.world.note(f"KILL {server.name}")
            server.kill()

    def _kill_both(self) -> None:
        self._kill_agent()
        self._kill_server()

    def _split(self) -> None:
        self.province.centres[self._centre()].split()

    def _step_another(self) -> None:
        server = self.world.random.choice(self.province.servers)
        if server.alive and not server.busy:
            server.step()

    def _pause_control(self) -> None:
        server = self.world.random.choice(self.province.servers)
        if server.alive:
            server.pause(self.world.between(1_000, 60_000))

    def _engine_away(self) -> None:
        engine = self.province.centres[self._centre()].engine
        engine.reachable = False
        self.world.after(self.world.between(100, 60_000), lambda: setattr(engine, "reachable", True))

    def _engine_fails(self) -> None:
        self.province.centres[self._centre()].engine.fail_something()

    def _nodes_missing(self) -> None:
        engine = self.province.centres[self._centre()].engine
        pool = self.world.random.choice(engine.pools)
        engine.missing_nodes[pool.id] = self.world.random.randint(0, pool.nodes)

    def _others_come(self) -> None:
        engine = self.province.centres[self._centre()].engine
        if not isinstance(engine, SimulatedEngine):
            return  # a fake engine has no users of its own
        pool = self.world.random.choice(engine.pools)
        engine.come(
            pool, self.world.random.choice((1, pool.nodes, pool.nodes)), self.world.between(1_000, 120_000)
        )

    def _preempt(self) -> None:
        name = self._centre()
        engine = self.province.centres[name].engine
        if not isinstance(engine, SimulatedEngine):
            return
        pools = self.province.rows(
            "SELECT id FROM pool WHERE centre = ? AND json_extract(body, '$.preempts')", name
        )
        engine.preempt_something({pool for (pool,) in pools})

    def _clock_jumps(self) -> None:
        centre = self.province.centres[self._centre()]
        jump_ms = self.world.random.choice((-600_000, -5_000, 5_000, 120_000, 7_200_000))
        if self.world.random.random() < 0.5:
            centre.skew_ms += jump_ms
        else:
            centre.engine.skew_ms += jump_ms
        self.world.note(f"{centre.name}: a clock jumps by {jump_ms} ms")
        if centre.agent.alive:
            centre.agent.clock_was_set()

    def _slow(self) -> None:
        centre = self.province.centres[self._centre()]
        centre.slow = True
        self.world.after(self.world.between(1_000, 60_000), lambda: setattr(centre, "slow", False))

    def _drain(self) -> None:
        name, draining = self._centre(), self.world.random.random() < 0.4
        now_ms = self.world.now_ms
        self._ask("drain", lambda tx: set_draining(tx, name, draining, server_itself(), now_ms))

    def _local_order(self) -> None:
        centre = self.province.centres[self._centre()]
        order = self.world.random.choice((Order.DRAIN, Order.RESUME, Order.RESUME, Order.STOP_ALL))
        self.world.note(f"{centre.name}: operator orders {order.value}")
        if order is Order.STOP_ALL:
            self.province.stopped_all.add(centre.name)
        centre.order_locally(order)

    def _back_up(self) -> None:
        self.province.back_up()

    def _restore(self) -> None:
        if self.province.backup is not None:
            self.restores += 1
            self.province.restore()
            known = {row[0] for row in self.province.rows("SELECT id FROM submission")}
            self.known = [name for name in self.known if name in known]

    def _centre(self) -> str:
        return self.world.random.choice(list(self.province.centres))

    def _ask(self, label: str, work: Work) -> None:
        """A request of a user or operator, of which nothing is known when it gets no answer."""
        try:
            self.province.server().write(label, work)
        except (RefusedError, ProblemError) as refusal:
            self.world.note(f"user: {label} refused: {refusal}")

    def _calm(self) -> None:
        """From now on nothing goes wrong by chance, and what was broken is mended."""
        world, province = self.world, self.province
        world.note("CALM")
        world.faults = False
        for server in province.servers:
            if not server.alive:
                server.start()
        for name, centre in province.centres.items():
            province.network.mend(name)
            centre.engine.calm()
            centre.slow = False
            centre.order_locally(Order.RESUME)
            if not centre.agent.alive:
                centre.agent.start()
            self._resume(name)
        for (name,) in province.rows("SELECT id FROM submission"):
            self._release(name)
        province.check_whole()

    def _resume(self, centre: str) -> None:
        now_ms = self.world.now_ms
        self._until_done("resume", lambda tx: set_draining(tx, centre, False, server_itself(), now_ms))

    def _release(self, job: str) -> None:
        now_ms = self.world.now_ms
        self._until_done("release", lambda tx: orders.release(tx, TENANT, job, now_ms))

    def _until_done(self, label: str, work: Work) -> None:
        """A request repeated until it is answered."""
        while True:
            try:
                self.province.server().write(label, work)
            except RefusedError:
                self.world.perform_next()
            else:
                return

    def _until_ended(self) -> None:
        world, province = self.world, self.province
        until_ms = world.now_ms + LONGEST_CALM_MS
        while world.now_ms < until_ms:
            for _ in range(50):
                world.perform_next()
            if not self._open_jobs() and not province.rows(
                "SELECT 1 FROM attempt WHERE observed < 4 LIMIT 1"
            ):
                break
        else:
            raise world.wrong(f"after {LONGEST_CALM_MS} ms of calm there are still {self._open_jobs()}")
        quiet_ms = world.now_ms + QUIET_MS
        while world.now_ms < quiet_ms:
            world.perform_next()
        province.check_whole()
        if not any(
            server.control and check_core(server.control, province.store, world.wrong)
            for server in province.servers
        ):
            raise world.wrong("all is quiet, and no scheduler has read everything that was committed")
        province.forget_nobody()

    def _open_jobs(self) -> list[tuple[Any, ...]]:
        return self.province.rows("SELECT number, state, epoch FROM job WHERE state < 30 LIMIT 10")

    def _result(self) -> HistoryResult:
        rows = self.province.rows
        endings = {
            JobState(state).name.lower(): count
            for state, count in rows("SELECT state, count(*) FROM job GROUP BY state")
        }
        return HistoryResult(
            seed=self.world.seed,
            steps=self.world.steps,
            jobs=sum(endings.values()),
            attempts=rows("SELECT count(*) FROM attempt")[0][0],
            restores=self.restores,
            virtual_ms=self.world.now_ms - self.started_ms,
            endings=endings,
        )
