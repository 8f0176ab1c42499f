"""Virtual time: a heap of events, one source of randomness, and the trace of what happened."""

import heapq
from collections import deque
from collections.abc import Callable
from random import Random
from typing import NamedTuple

BEGINNING_MS = 1_790_000_000_000
SHARED_SEEDS = 100_000
"""From this seed on, pools are shared with their centres' own users."""
TRACE_LENGTH = 80
LONGEST_THING = 700


class HistoryError(AssertionError):
    """A history went wrong: which seed and step, what is wrong, and what happened last."""

    def __init__(self, seed: int, step: int, problem: str, trace: list[str]) -> None:
        self.seed = seed
        self.step = step
        self.problem = problem
        self.trace = trace
        super().__init__(f"seed {seed}, step {step}: {problem}\n" + "\n".join(trace))

    def __reduce__(self) -> tuple[object, ...]:
        return (HistoryError, (self.seed, self.step, self.problem, self.trace))


class Noted(NamedTuple):
    """A line of the trace before it is put into words."""

    at_ms: int
    step: int
    text: str
    thing: object

    def line(self) -> str:
        """In words."""
        thing = "" if self.thing is None else f" {self.thing!r}"
        if len(thing) > LONGEST_THING:
            thing = thing[:LONGEST_THING] + "…"
        return f"{(self.at_ms - BEGINNING_MS) / 1000:10.3f}s #{self.step} {self.text}{thing}"


class Crash(BaseException):
    """A process is killed at this very point; nothing of it runs on. Not an Exception, so that nobody catches it."""

    def __init__(self, process: "Process", where: str) -> None:
        self.process = process
        self.where = where
        super().__init__(f"{process.name} is killed {where}")


class Process:
    """Something that can be killed: what was put off in an earlier life of it never happens."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.life = 0
        self.alive = False

    def later(self, pause_ms: int, action: Callable[[], object]) -> None:
        """Do it then, if this life of the process lasts so long."""
        life = self.life

        def in_this_life() -> None:
            if self.alive and self.life == life:
                action()

        self.world.after(pause_ms, in_this_life)

    def kill(self) -> None:
        """End this life at once."""
        self.life += 1
        self.alive = False
        self.killed()

    def killed(self) -> None:
        """What the world does about it, such as starting it again later."""


class World:
    """The clock, the dice and the trace of one history."""

    def __init__(self, seed: int, tell: Callable[[str], None] | None = None) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.now_ms = BEGINNING_MS
        self.steps = 0
        """Steps of controls and agents, and requests served."""
        self.faults = True
        """Whether things may still go wrong by chance."""
        self._trace: deque[Noted] = deque(maxlen=TRACE_LENGTH)
        self._tell = tell
        self._heap: list[tuple[int, int, Callable[[], object]]] = []
        self._order = 0

    @property
    def shares(self) -> bool:
        """Whether centres have users of their own in this history."""
        return self.seed >= SHARED_SEEDS

    def after(self, pause_ms: int, action: Callable[[], object]) -> None:
        """Do it that long from now, after what was put off to the same instant before."""
        self._order += 1
        heapq.heappush(self._heap, (self.now_ms + max(0, pause_ms), self._order, action))

    def perform_next(self) -> None:
        """Let time pass until the next event, and let that happen."""
        at_ms, _, action = heapq.heappop(self._heap)
        self.now_ms = max(self.now_ms, at_ms)
        self.perform(action)

    def perform(self, action: Callable[[], object]) -> None:
        """Let something happen now, a kill in the midst of it included."""
        try:
            action()
        except Crash as crash:
            self.note(f"KILL {crash}")
            crash.process.kill()

    def chance(self, probability: float) -> bool:
        """Whether a fault happens: with this probability, and never once faults have stopped."""
        return self.faults and self.random.random() < probability

    def between(self, least_ms: int, most_ms: int) -> int:
        """A pause."""
        return self.random.randint(least_ms, most_ms)

    def note(self, text: str, thing: object = None) -> None:
        """Keep for the trace what happened, and to what; it is put into words only when somebody reads it."""
        noted = Noted(self.now_ms, self.steps, text, thing)
        self._trace.append(noted)
        if self._tell:
            self._tell(noted.line())

    def trace(self) -> list[str]:
        """What happened last, in words."""
        return [noted.line() for noted in self._trace]

    def wrong(self, problem: str) -> HistoryError:
        """The error to raise."""
        return HistoryError(self.seed, self.steps, problem, self.trace())
