"""Coroutines that wait are woken by what concerns them, and by the server's end."""

import asyncio
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from weir.api.waiting import KEPT_CHANGES, News
from weir.model.change import Change, ChangeKind
from weir.store import Store, memory_image, memory_store

IMAGE = memory_image(random.Random(5).getrandbits)


def moved(store: Store, first: int, count: int = 1) -> None:
    body = {"moves": [[first, count, "running"]]}
    store.write(lambda tx: tx.append(ChangeKind.MOVED, body, at_ms=0, organisation="o"))


def touched(store: Store, centre: str) -> None:
    store.write(lambda tx: tx.touch_centre(centre))


def elsewhere(work: Callable[..., None], *arguments: Any) -> None:
    """As another thread does it."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    thread.join()


def run(body: Callable[[Store, News, list[Change]], Awaitable[None]]) -> None:
    async def main() -> None:
        observed: list[Change] = []
        with memory_store(IMAGE) as store:
            news = News(store, observed.extend)
            await news.open()
            try:
                await body(store, news, observed)
            finally:
                await news.close()

    asyncio.run(main())


async def is_woken(news: News, woken: asyncio.Event, within_s: float = 5.0) -> bool:
    try:
        await asyncio.wait_for(woken.wait(), within_s)
    except TimeoutError:
        return False
    return True


def test_touch_wakes_the_agents_of_that_centre_alone() -> None:
    async def body(store: Store, news: News, _: list[Change]) -> None:
        with news.of_centre("a") as one, news.of_centre("a") as two, news.of_centre("b") as other:
            elsewhere(touched, store, "a")
            assert await is_woken(news, one)
            assert await is_woken(news, two)
            assert not await is_woken(news, other, 0.05)

    run(body)


def test_move_wakes_those_who_wait_for_one_of_its_jobs() -> None:
    async def body(store: Store, news: News, _: list[Change]) -> None:
        with news.of_jobs(10, 5) as array, news.of_jobs(14, 1) as last, news.of_jobs(15, 1) as next_:
            elsewhere(moved, store, 12, 3)
            assert await is_woken(news, array)
            assert await is_woken(news, last)
            assert not await is_woken(news, next_, 0.05)

    run(body)


def test_every_change_is_observed_once_in_order_and_kept_for_viewers() -> None:
    async def body(store: Store, news: News, observed: list[Change]) -> None:
        start = news.position
        with news.of_changes() as woken:
            for number in range(20):
                elsewhere(moved, store, number)
            while news.position < store.position():
                await news.wait(woken, 5.0)
        assert list(range(start + 1, start + 21)) == [change.position for change in observed]
        kept = news.kept_after(start + 5)
        assert kept is not None
        assert list(range(start + 6, start + 21)) == [change.position for change in kept]
        assert [] == news.kept_after(news.position)

    run(body)


def test_what_is_kept_no_longer_is_read_from_the_store() -> None:
    async def body(store: Store, news: News, _: list[Change]) -> None:
        def many() -> None:
            def work(tx: Any) -> None:
                for number in range(KEPT_CHANGES + 10):
                    tx.append(ChangeKind.CYCLE, {"n": number}, at_ms=0)

            store.write(work)

        elsewhere(many)
        with news.of_changes() as woken:
            while news.position < store.position():
                await news.wait(woken, 5.0)
        assert news.kept_after(1) is None
        assert news.kept_after(news.position - 1) is not None

    run(body)


def test_wait_ends_with_its_time() -> None:
    async def body(store: Store, news: News, _: list[Change]) -> None:
        with news.of_centre("a") as woken:
            await asyncio.wait_for(news.wait(woken, 0.01), 5.0)
            assert not woken.is_set()

    run(body)


def test_closing_wakes_everybody_and_lets_nobody_wait_again() -> None:
    async def body(store: Store, news: News, _: list[Change]) -> None:
        with news.of_centre("a") as centre, news.of_jobs(1, 1) as job, news.of_changes() as change:
            waiting = [asyncio.create_task(news.wait(woken, 60.0)) for woken in (centre, job, change)]
            waiting.append(asyncio.create_task(news.rest(60.0)))
            await asyncio.sleep(0)
            news.close_soon()
            await asyncio.wait_for(asyncio.gather(*waiting), 5.0)
        with news.of_centre("b") as late:
            await asyncio.wait_for(news.wait(late, 60.0), 5.0)
        assert news.closing

    run(body)


def test_cut_log_is_skipped_and_everybody_looks_for_themselves() -> None:
    async def body(store: Store, news: News, seen: list[Change]) -> None:
        for number in range(5):
            moved(store, number)
        store.cut(store.position())
        news.position = 0
        with news.of_jobs(100, 1) as woken:
            elsewhere(moved, store, 7)
            assert await is_woken(news, woken)
        for _ in range(100):
            if news.position == store.position():
                break
            await asyncio.sleep(0.01)
        assert store.position() == news.position

    run(body)


def test_fault_of_an_observer_does_not_end_the_following() -> None:
    async def main() -> None:
        faults = [RuntimeError("once")]

        def observe(_: object) -> None:
            if faults:
                raise faults.pop()

        with memory_store(IMAGE) as store:
            news = News(store, observe)
            await news.open()
            with news.of_jobs(1, 1) as woken:
                elsewhere(moved, store, 1)
                assert await is_woken(news, woken)
            await news.close()

    asyncio.run(main())
