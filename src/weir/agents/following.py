"""Logs that somebody reads now: what they have new is sent, as long as the server wants it."""

from dataclasses import dataclass

from weir.agents.agenda import Agenda
from weir.agents.attempts import Attempts
from weir.agents.effects import SendLogs
from weir.agents.inputs import LogsSent
from weir.agents.record import Phase
from weir.model.agent import Follow
from weir.model.state import Observed

_SHORTEST_MS = 100
_LONGEST_MS = 1_000

LogKey = tuple[str, int, str]


@dataclass(slots=True)
class _Followed:
    offset: int
    until_ms: int
    pause_ms: int = _SHORTEST_MS
    in_flight: bool = False


class Following:
    """Which logs are sent while their attempt runs, and from where. At its end everything is sent anyway."""

    def __init__(self, agenda: Agenda, attempts: Attempts) -> None:
        self._agenda = agenda
        self._attempts = attempts
        self._followed: dict[LogKey, _Followed] = {}

    def replace(self, follows: tuple[Follow, ...]) -> None:
        """The whole present list of what is followed."""
        before, self._followed = self._followed, {}
        for follow in follows:
            key = (follow.attempt, follow.task, follow.stream)
            known = before.get(key) or _Followed(follow.offset, follow.until_ms)
            known.until_ms = follow.until_ms
            self._followed[key] = known
            self._look(key)
        for key in before.keys() - self._followed.keys():
            self._agenda.timers.clear(_timer(key))

    def timer(self, key: tuple[str, ...]) -> None:
        """It is time to look for more."""
        _, attempt, task, stream = key
        self._look((attempt, int(task), stream))

    def sent(self, answer: LogsSent) -> None:
        """So much has arrived; look again soon, later where nothing comes."""
        key = (answer.attempt, answer.task, answer.stream)
        followed = self._followed.get(key)
        if followed is None:
            return
        followed.in_flight = False
        more = answer.offset != followed.offset and not answer.failed
        followed.pause_ms = _SHORTEST_MS if more else min(_LONGEST_MS, 2 * followed.pause_ms)
        if not answer.failed:
            followed.offset = answer.offset
        self._agenda.after(_timer(key), followed.pause_ms)

    def _look(self, key: LogKey) -> None:
        followed = self._followed.get(key)
        attempt = self._attempts.get(key[0])
        if followed is None or followed.in_flight:
            return
        if followed.until_ms <= self._agenda.now_ms or (attempt is not None and attempt.phase > Phase.HELD):
            del self._followed[key]
            return
        if attempt is None or attempt.work is None or attempt.observed is not Observed.RUNNING:
            self._agenda.after(_timer(key), _SHORTEST_MS)
            return
        followed.in_flight = True
        self._agenda.effects.append(SendLogs(*key, followed.offset, attempt.work.log_limit_bytes))


def _timer(key: LogKey) -> tuple[str, ...]:
    return ("follow", key[0], str(key[1]), key[2])


__all__ = ["Following"]
