"""What lies between agents and server: requests and answers are lost, repeated, delayed, reordered and cut off."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tests.simulation.world import Process, World

A = TypeVar("A")


class RefusedError(Exception):
    """The server has nobody who would take the request, or answers that it cannot."""


@dataclass(frozen=True, slots=True)
class Weather:
    """How bad the network is in one history; each value is a probability."""

    lost: float = 0.02
    repeated: float = 0.02
    answered_twice: float = 0.01
    late: float = 0.05
    """Delayed by seconds to a minute instead of milliseconds, so that others overtake it."""


class Exchange(Generic[A]):
    """One request of an agent and what comes of it; the asker hears of one end of it (or of two, if repeated)."""

    def __init__(
        self,
        asker: Process,
        centre: str,
        serve: Callable[[Callable[[A], None]], None],
        answered: Callable[[A], None],
        failed: Callable[[str], None],
    ) -> None:
        self.asker = asker
        self.centre = centre
        self.serve = serve
        self.answered = answered
        self.failed = failed
        self.over = False


class Network:
    """Carries exchanges between centres and the server."""

    def __init__(self, world: World, weather: Weather) -> None:
        self._world = world
        self._weather = weather
        self._cut: set[str] = set()

    def cut(self, centre: str) -> None:
        """Nothing passes between the centre and the server until `mend`."""
        self._cut.add(centre)

    def mend(self, centre: str) -> None:
        """Let things pass again."""
        self._cut.discard(centre)

    def is_cut(self, centre: str) -> bool:
        """Whether nothing passes."""
        return centre in self._cut

    def send(self, exchange: Exchange[A], patience_ms: int) -> None:
        """Carry a request there and its answer back; without an answer the asker hears of a failure."""
        world = self._world
        if exchange.centre in self._cut and world.random.random() < 0.5:
            self._fail(exchange, world.between(1, 20), "no route")
            return
        self._fail(exchange, patience_ms, "no answer")
        times = 2 if world.chance(self._weather.repeated) else 1
        for _ in range(times):
            if not world.chance(self._weather.lost):
                world.after(self._delay_ms(), lambda: self._arrive(exchange))

    def _arrive(self, exchange: Exchange[A]) -> None:
        if exchange.centre in self._cut:
            return
        try:
            exchange.serve(lambda answer: self._answer(exchange, answer))
        except RefusedError as refusal:
            self._fail(exchange, self._delay_ms(), str(refusal))

    def _answer(self, exchange: Exchange[A], answer: A) -> None:
        times = 2 if self._world.chance(self._weather.answered_twice) else 1
        for _ in range(times):
            if exchange.centre not in self._cut and not self._world.chance(self._weather.lost):
                exchange.asker.later(self._delay_ms(), lambda: self._hear(exchange, answer, times))

    def _hear(self, exchange: Exchange[A], answer: A, times: int) -> None:
        if exchange.centre in self._cut or (exchange.over and times == 1):
            return
        exchange.over = True
        exchange.answered(answer)

    def _fail(self, exchange: Exchange[A], pause_ms: int, why: str) -> None:
        def hear() -> None:
            if not exchange.over:
                exchange.over = True
                exchange.failed(why)

        exchange.asker.later(pause_ms, hear)

    def _delay_ms(self) -> int:
        if self._world.chance(self._weather.late):
            return self._world.between(500, 60_000)
        return self._world.between(1, 40)


__all__ = ["Exchange", "Network", "RefusedError", "Weather"]
