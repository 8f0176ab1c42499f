"""What the core is told by following the log is what it would be told by reading everything anew."""

import random
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.world import World, job, runs, world
from weir.control import orders
from weir.control.snapshot import News, Snapshot
from weir.model.job import Constraints, DeviceNeed, Priority
from weir.model.problem import ProblemError
from weir.model.state import Cause, Observed
from weir.model.task_range import TaskRange
from weir.scheduling.inputs import Changes


class Told:
    """The core's place, taken by plain dictionaries; it refuses what contradicts itself."""

    def __init__(self) -> None:
        self.queued: dict[int, Any] = {}
        self.running: dict[int, Any] = {}
        self.pools: Any = None

    def take(self, changes: Changes | None) -> None:
        if changes is None:
            return
        if changes.pools is not None:
            self.pools = changes.pools
        for number in changes.freed:
            del self.running[number]
        for number in changes.unqueued.tolist():
            del self.queued[number]
        for batch in changes.queued:
            columns = (batch.job, batch.priority, batch.submitted_ms, batch.time_limit_ms)
            assert all(column.dtype == np.int64 for column in columns)
            for number, *rest in zip(*(column.tolist() for column in columns), strict=True):
                assert number not in self.queued
                assert number not in self.running
                self.queued[number] = (batch.job_class, *rest)
        for placed in changes.running:
            assert placed.job not in self.queued
            assert placed.job not in self.running
            self.running[placed.job] = placed

    def all(self) -> tuple[Any, ...]:
        return self.queued, self.running, self.pools


def read(w: World, snapshot: Snapshot) -> News:
    return w.store.read(lambda connection: snapshot.read(connection, w.now_ms))


def anew(w: World) -> Told:
    told = Told()
    told.take(read(w, Snapshot()).changes)
    return told


def disturb(w: World, what: str, chance: random.Random) -> None:
    """Something happens."""
    agents = w.agents  # type: ignore[attr-defined]
    agent = chance.choice(agents)
    open_attempts = [
        row for row in w.rows("attempt") if row.observed < Observed.ENDED and row.centre == agent.centre
    ]
    names = {}
    submissions = w.rows("submission")
    for row in submissions:
        for index in range(row.size):
            names[row.first_job + index] = f"{row.id}.{index}" if row.is_array else row.id
    if what == "submit":
        w.submit(
            *(job(cores=chance.choice([1_000, 8_000]), restartable=True) for _ in range(chance.randint(1, 3)))
        )
    elif what == "array":
        w.submit(job(array=chance.choice([2, 300]), priority=chance.choice([Priority.LOW, Priority.URGENT])))
    elif what == "gang":
        w.submit(job(tasks=TaskRange(2, 2), devices=DeviceNeed(count=4)))
    elif what == "step":
        w.step()
    elif what in ("cancel", "hold", "release", "update") and submissions:
        name = chance.choice([row.id for row in submissions] + list(names.values())[:5])
        fields = {"priority": chance.choice([Priority.LOW, Priority.NORMAL])} if what == "update" else {}
        with suppress(ProblemError):  # it cannot be held or changed any more
            w.store.write(lambda tx: getattr(orders, what)(tx, w.tenant, name, w.now_ms, **fields))
    elif what in ("run", "end", "lose") and open_attempts:
        row = chance.choice(open_attempts)
        attempt = f"{names[row.job]}-{row.epoch}"
        told = {
            "run": agent.seen(attempt, Observed.RUNNING),
            "end": agent.end(attempt, chance.choice([None, Cause.EXIT])),
            "lose": agent.end(attempt, Cause.LOST),
        }[what]
        agent.report(told)
    elif what == "silence":
        w.now_ms += chance.choice([31_000, 400_000])
        chance.choice(agents).report()
    elif what == "drain":
        agent.report(draining=chance.random() < 0.5)


WHAT = (
    *("submit", "array", "gang", "step", "step", "step", "cancel", "hold", "release", "update"),
    *("run", "end", "lose", "silence", "drain"),
)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(WHAT), st.booleans()), max_size=40), st.integers(0, 2**32))
def test_following_is_reading_anew(happenings: list[tuple[str, bool]], seed: int) -> None:
    chance = random.Random(seed)
    w = world()
    w.agents = [w.agent("wuhu-hpc"), w.agent("hefei-ai")]  # type: ignore[attr-defined]
    follower, told = Snapshot(), Told()
    for what, look in happenings:
        disturb(w, what, chance)
        if look:
            told.take(read(w, follower).changes)
            assert told.all() == anew(w).all()
            assert read(w, follower).changes is None
    told.take(read(w, follower).changes)
    assert told.all() == anew(w).all()


def test_a_reader_whose_changes_were_cut_off_reads_anew() -> None:
    w = world()
    w.agent("wuhu-hpc")
    follower, told = Snapshot(), Told()
    w.submit(job())
    told.take(read(w, follower).changes)
    w.submit(job())
    w.step()
    w.submit(job(array=3))
    w.store.cut(w.store.position() + 1)
    w.submit(job())
    w.store.cut(w.store.position() + 1)
    told.take(read(w, follower).changes)
    assert told.all() == anew(w).all()
    assert follower.position == w.store.position()


def test_what_a_given_up_attempt_may_still_hold_is_not_given_away_when_its_centre_returns() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    whole = [
        job(cores=8_000, restartable=True, constraints=Constraints(centres=("wuhu-hpc",))) for _ in range(4)
    ]
    w.submit(*whole)
    w.step()
    attempts = [attempt.attempt for attempt in runs(agent.pull())]
    assert len(attempts) == 4
    w.now_ms += 31_000
    w.step()
    w.now_ms += 300_000
    w.step()
    assert w.states() == ["queued"] * 4
    agent.report()
    w.step()
    assert w.states() == ["queued"] * 4
    agent.report(agent.end(attempts[0], Cause.CANCELLED))
    w.step()
    assert sorted(w.states()) == ["placed", "queued", "queued", "queued"]
