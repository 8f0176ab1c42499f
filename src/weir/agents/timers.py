"""What is due when: keyed instants, cheap for ten thousand of them; and growing pauses between tries."""

import heapq
from collections.abc import Callable

Key = tuple[str, ...]


class Timers:
    """One instant a key; setting a key again moves it."""

    def __init__(self) -> None:
        self._due: dict[Key, int] = {}
        self._heap: list[tuple[int, Key]] = []

    def set(self, key: Key, due_ms: int) -> None:
        """The key comes due then, and not when it was set for before."""
        if self._due.get(key) != due_ms:
            self._due[key] = due_ms
            heapq.heappush(self._heap, (due_ms, key))

    def clear(self, key: Key) -> None:
        """The key does not come due any more."""
        self._due.pop(key, None)

    def __contains__(self, key: Key) -> bool:
        return key in self._due

    def take_due(self, now_ms: int) -> list[Key]:
        """The keys that are due, earliest first; they are set no longer."""
        taken = []
        while (due := self.next_ms()) is not None and due <= now_ms:
            key = heapq.heappop(self._heap)[1]
            del self._due[key]
            taken.append(key)
        return taken

    def next_ms(self) -> int | None:
        """When the next key comes due; None where none is set."""
        while self._heap:
            due_ms, key = self._heap[0]
            if self._due.get(key) == due_ms:
                return due_ms
            heapq.heappop(self._heap)
        return None

    def shift(self, by_ms: int) -> None:
        """Move every instant, because the clock itself was set."""
        self._due = {key: due + by_ms for key, due in self._due.items()}
        self._heap = [(due, key) for key, due in self._due.items()]
        heapq.heapify(self._heap)


class Backoff:
    """Pauses that double from `first_ms` up to `most_ms`, each shortened by up to half at random."""

    def __init__(self, random_bits: Callable[[int], int], first_ms: int = 200, most_ms: int = 10_000) -> None:
        self._random_bits = random_bits
        self._first_ms = first_ms
        self._most_ms = most_ms
        self.tries = 0

    def next_ms(self, *, lasting: bool = False) -> int:
        """How long to wait before the next try; a minute or so where trying soon will not help."""
        self.tries += 1
        pause_ms = 60_000 if lasting else min(self._most_ms, self._first_ms << min(self.tries - 1, 20))
        return pause_ms - pause_ms * self._random_bits(10) // 2_048

    def reset(self) -> bool:
        """Start anew after a success; whether there had been a failure before it."""
        failed, self.tries = self.tries > 0, 0
        return failed


__all__ = ["Backoff", "Key", "Timers"]
