"""Whoever waits for a commit is told of it."""

import threading

from weir.store import ChangeNotifier


def test_subscribers_are_told_until_they_leave() -> None:
    notifier = ChangeNotifier()
    told: list[tuple[int, frozenset[str], bool]] = []
    stop = notifier.subscribe(lambda *news: told.append(news))
    notifier.committed(1, frozenset(), True)
    notifier.committed(1, frozenset({"c1"}), False)
    stop()
    stop()
    notifier.committed(2, frozenset(), True)
    assert told == [(1, frozenset(), True), (1, frozenset({"c1"}), False)]


def test_a_subscriber_may_leave_while_it_is_told() -> None:
    notifier = ChangeNotifier()
    told: list[str] = []

    def once(position: int, centres: frozenset[str], any_change: bool) -> None:
        told.append("once")
        stop()

    stop = notifier.subscribe(once)
    notifier.subscribe(lambda *news: told.append("always"))
    notifier.committed(1, frozenset(), True)
    notifier.committed(2, frozenset(), True)
    assert told == ["once", "always", "always"]


def test_the_position_never_goes_down() -> None:
    notifier = ChangeNotifier(5)
    notifier.committed(7, frozenset(), True)
    notifier.committed(6, frozenset(), True)
    assert notifier.position == 7


def test_waiting_ends_at_a_higher_position_or_when_the_time_is_over() -> None:
    notifier = ChangeNotifier(5)
    assert notifier.wait(4, 0)
    assert not notifier.wait(5, 0.001)
    ended: list[bool] = []
    waiter = threading.Thread(target=lambda: ended.append(notifier.wait(5, 30)))
    waiter.start()
    notifier.committed(5, frozenset({"c1"}), False)
    notifier.committed(6, frozenset(), True)
    waiter.join(10)
    assert ended == [True]
