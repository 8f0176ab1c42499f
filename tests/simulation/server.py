"""A server process of a history: the agents' requests, users' orders, and a scheduler that may lead."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.network import RefusedError
from tests.simulation.tap import Tap
from tests.simulation.world import Process, World
from weir.control.cycle import Control, ControlSettings
from weir.control.liveness import Patience
from weir.control.pull import has_news, pull
from weir.control.reports import report
from weir.model.agent import LONG_POLL_MS, Pull, PullAnswer, Report, ReportAnswer
from weir.model.problem import ProblemError
from weir.store import EVERY_CENTRE, StoreError, Transaction

if TYPE_CHECKING:
    from tests.simulation.province import SimulatedProvince

T = TypeVar("T")
SETTINGS = ControlSettings(patience=Patience(lost_after_ms=12_000, grace_ms=20_000), lease_ms=6_000)


SHARED = replace(
    SETTINGS, patience=replace(SETTINGS.patience, wait_grace_ms=1_000, wait_factor=0, margin_percent=0)
)
"""Where pools are shared: what waits is soon taken back."""


class Server(Process):
    """One life after the other of one server process."""

    def __init__(self, world: World, province: "SimulatedProvince", name: str, killing: float) -> None:
        super().__init__(world, name)
        self.province = province
        self.killing = killing
        self.control: Control | None = None
        self._tap: Tap | None = None
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._step_at_ms: int | None = None
        self._stepping = False

    def start(self) -> None:
        """Begin a new life, which knows nothing but the store."""
        province = self.province
        self.alive = True
        self._tap = Tap(
            self.world,
            self,
            province.store,
            province.committed,
            lambda: province.interleave(self),
            self.killing,
        )
        settings = replace(SHARED if self.world.shares else SETTINGS, alone=len(province.servers) == 1)
        self.control = Control(self._tap, settings, f"{self.name}/{self.life}")
        self._waiting = {}
        self._step_at_ms = None
        self._stepping = False
        self._unsubscribe = province.store.notifier.subscribe(self._told)
        self.world.note(f"{self.name} starts (life {self.life})")
        self._step_by(self.world.now_ms)

    def killed(self) -> None:
        self.control = None
        self._waiting = {}
        self._unsubscribe()
        self.province.server_killed(self)

    @property
    def busy(self) -> bool:
        """Whether its scheduler is in the midst of a step."""
        return self._stepping

    def serve_pull(self, centre: str, asked: Pull, reply: Callable[[PullAnswer], None]) -> None:
        """Answer a pull at once where there is news, else when there is, or when the poll has lasted long enough."""
        until_ms = self.world.now_ms + LONG_POLL_MS
        answered = False

        def look() -> None:
            nonlocal answered
            if answered:
                return
            self.world.steps += 1
            assert self._tap is not None
            answer = self._tap.read(lambda connection: pull(connection, centre, asked, self.world.now_ms))
            if has_news(asked, answer) or self.world.now_ms >= until_ms:
                answered = True
                reply(answer)
            else:
                self._waiting.setdefault(centre, []).append(look)

        look()
        if not answered:
            self.later(LONG_POLL_MS, look)

    def serve_report(self, centre: str, told: Report, reply: Callable[[ReportAnswer], None]) -> None:
        """Take a report in."""
        self.world.steps += 1
        self.world.note(f"{self.name} ⇐ {centre}", told)
        reply(self.write("report", lambda tx: report(tx, centre, told, self.world.now_ms)))

    def write(self, label: str, work: Callable[[Transaction], T]) -> T:
        """A write of this process. Raises RefusedError where the store cannot, and what the work refuses."""
        assert self._tap is not None
        before, self._tap.label = self._tap.label, label
        try:
            return self._tap.write(work)
        except StoreError as error:
            raise RefusedError(str(error)) from None
        except ProblemError as error:
            self.world.note(f"refused: {error}")
            raise RefusedError(str(error)) from None
        finally:
            self._tap.label = before

    def step(self) -> None:
        """One step of its scheduler."""
        assert self.control is not None
        assert self._tap is not None
        if self._stepping:
            self.later(5, self._due)
            return
        self.world.steps += 1
        self._step_at_ms = None
        self._stepping = True
        life = self.life
        self._tap.label = "control"
        try:
            outcome = self.control.step(self.world.now_ms)
        finally:
            if self.life == life:
                self._stepping = False
        if outcome.planned:
            self.world.note(
                f"{self.name} cycle: {outcome.starts} starts, {outcome.refused} refused, {outcome.queued} queued"
            )
        elif not self.province.interleaving:
            self.province.check_scheduler(self.control)
        self._step_by(self.world.now_ms + 1 if outcome.again else outcome.next_ms)

    def pause(self, for_ms: int) -> None:
        """The scheduler's thread sleeps where it stands, between two steps."""
        self._step_at_ms = self.world.now_ms + for_ms
        self.later(for_ms, self._due)

    def _step_by(self, at_ms: int) -> None:
        at_ms = max(at_ms, self.world.now_ms + 1)
        if self._step_at_ms is None or at_ms < self._step_at_ms:
            self._step_at_ms = at_ms
            self.later(at_ms - self.world.now_ms, self._due)

    def _due(self) -> None:
        if self._step_at_ms is not None and self.world.now_ms >= self._step_at_ms:
            self.step()

    def _told(self, position: int, centres: frozenset[str], any_change: bool) -> None:
        """Something was committed, by whichever process."""
        if any_change:
            self.later(0, lambda: self._step_by(self.world.now_ms + self.world.between(1, 10)))
        # In order, since a set's own differs from process to process, and a seed must not.
        touched = list(self._waiting) if EVERY_CENTRE in centres else sorted(centres)
        for centre in touched:
            for look in self._waiting.pop(centre, ()):
                self.later(self.world.between(0, 3), look)


__all__ = ["SETTINGS", "Server"]
