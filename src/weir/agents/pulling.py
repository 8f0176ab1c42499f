"""The conversation in which an agent asks what is desired: one long poll after the other."""

from weir.agents.agenda import Agenda
from weir.agents.effects import SendPull
from weir.agents.timers import Backoff
from weir.model.agent import Pull, PullAnswer

LEAST_PAUSE_MS = 500
"""Between two pulls when the first was answered at once and brought nothing."""


class Pulling:
    """Decides when to ask, and which answers count."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._backoff = Backoff(agenda.random_bits, 200, 5_000)
        self._in_flight = 0
        self._sent_ms = 0
        self._sent_revision = 0
        self._revision = 0
        self._seen: tuple[object, ...] = ()
        self.incarnation = 0
        self.store_incarnation = ""

    def speak(self) -> None:
        """Ask, unless a question is under way or it is not time yet."""
        agenda = self._agenda
        if self._in_flight or ("pull-again",) in agenda.timers:
            return
        self._in_flight = agenda.number()
        self._sent_ms = agenda.now_ms
        self._sent_revision = self._revision
        pull = Pull(self.incarnation, self._revision, self.store_incarnation)
        agenda.effects.append(SendPull(self._in_flight, pull))

    def answered(self, number: int, answer: PullAnswer) -> tuple[bool, bool]:
        """Whether the answer counts, and whether the server had not answered before it and does again."""
        if number != self._in_flight:
            return False, False
        self._in_flight = 0
        other_store = answer.store_incarnation != self.store_incarnation
        self.store_incarnation = answer.store_incarnation
        # The revision of another store says nothing about this one's, unless the answer holds everything.
        partial = other_store and not answer.full and self._sent_revision > 0
        self._revision = 0 if partial else answer.revision
        seen = (
            self._revision,
            answer.store_incarnation,
            answer.draining,
            answer.followed,
            answer.entry_revision,
        )
        idle = seen == self._seen and not answer.attempts
        self._seen = seen
        if idle and 0 <= self._agenda.now_ms - self._sent_ms < LEAST_PAUSE_MS:
            self._agenda.after(("pull-again",), LEAST_PAUSE_MS)
        return True, self._backoff.reset()

    def failed(self, number: int, *, lasting: bool) -> None:
        """Ask again after a pause."""
        if number == self._in_flight:
            self._in_flight = 0
            self._agenda.after(("pull-again",), self._backoff.next_ms(lasting=lasting))

    def try_now(self) -> None:
        """The server answers the other conversation: there is no reason to wait longer."""
        if ("pull-again",) in self._agenda.timers and self._backoff.tries:
            self._agenda.after(("pull-again",), 0)

    def start_over(self) -> None:
        """Ask for everything next time; what is under way counts no more."""
        self._revision = 0
        self._in_flight = 0
        self._agenda.timers.clear(("pull-again",))


__all__ = ["Pulling"]
