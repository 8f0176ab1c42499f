"""What agents are told: revisions, full answers, followed logs."""

from functools import partial

from tests.unit.control.world import Agent, job, runs, world
from weir.control import follow, pull
from weir.control.names import AttemptKey
from weir.model.agent import Pull
from weir.model.state import Observed
from weir.model.task_range import TaskRange


def test_each_change_is_told_once_and_everything_on_request() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job())
    w.step()
    assert agent.pull().full
    w.submit(job(array=3))
    w.step()
    answer = agent.pull()
    assert (answer.full, len(answer.attempts), len(answer.works)) == (False, 3, 1)
    assert {attempt.revision for attempt in answer.attempts} == {answer.revision}
    assert agent.pull().attempts == ()
    again = Agent(w, "wuhu-hpc", incarnation=2)
    answer = again.pull()
    assert (answer.full, len(answer.attempts)) == (True, 4)


def test_one_transaction_raises_a_centres_revision_once() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    before = agent.pull().revision
    w.submit(*(job(name=str(number)) for number in range(5)))
    w.step()
    assert agent.pull().revision == before + 1


def test_what_has_ended_is_not_told_again() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job(array=2))
    w.step()
    first, second = [attempt.attempt for attempt in runs(agent.pull())]
    agent.report(agent.end(first))
    agent.revision = 0
    assert [attempt.attempt for attempt in agent.pull().attempts] == [second]


def test_another_incarnation_of_the_store_or_a_revision_from_its_future_makes_the_answer_full() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    revision = agent.pull().revision
    for asked in (Pull(1, revision, "another"), Pull(1, revision + 7, w.store.incarnation)):
        answer = w.store.read(partial(pull.pull, centre="wuhu-hpc", asked=asked, now_ms=w.now_ms))
        assert answer.full
        assert pull.has_news(asked, answer)
    same = Pull(1, revision, w.store.incarnation)
    answer = w.store.read(lambda c: pull.pull(c, "wuhu-hpc", same, w.now_ms))
    assert not pull.has_news(same, answer)


def test_a_gang_is_told_its_nodes_and_an_element_its_index() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job(tasks=TaskRange(3, 3), cores=8_000, array=1))
    w.step()
    [attempt] = runs(agent.pull())
    assert sum(share.tasks for share in attempt.nodes) == 3
    assert len({share.node for share in attempt.nodes}) == 3
    assert attempt.array_index == 0


def test_nothing_of_another_centre_is_told() -> None:
    w = world()
    here, there = w.agent("wuhu-hpc"), w.agent("hefei-ai")
    w.submit(job(array=30, cores=8_000))
    w.step()
    mine, theirs = ({attempt.attempt for attempt in agent.pull().attempts} for agent in (here, there))
    assert mine
    assert theirs
    assert not mine & theirs
    assert len(mine | theirs) == 22


def test_a_log_that_somebody_reads_is_followed_until_nobody_does() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [one] = w.submit(job())
    w.step()
    [attempt] = runs(agent.pull())
    key = AttemptKey(w.rows("job")[0].number, 1)
    assert w.store.read(lambda c: follow.needs_following(c, key, 0, "stdout", w.now_ms))
    w.store.write(lambda tx: follow.follow(tx, key, 0, "stdout", w.now_ms))
    assert not w.store.read(lambda c: follow.needs_following(c, key, 0, "stdout", w.now_ms))
    before = agent.revision
    answer = agent.pull()
    assert answer.revision == before + 1
    [entry] = answer.followed
    assert (entry.attempt, entry.stream, entry.until_ms) == (
        f"{one.id}-1",
        "stdout",
        w.now_ms + follow.FOLLOW_MS,
    )
    [entry] = follow.from_held(answer, lambda attempt, task, stream: 17).followed
    assert entry.offset == 17
    w.now_ms += 31_000
    assert w.store.read(lambda c: follow.needs_following(c, key, 0, "stdout", w.now_ms))
    w.now_ms += 30_000
    assert agent.pull().followed == ()
    w.store.write(lambda tx: follow.follow(tx, key, 0, "stdout", w.now_ms))
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING), agent.end(attempt.attempt))
    assert agent.pull().followed == ()
    assert w.rows("followed") == []
    assert not w.store.read(lambda c: follow.needs_following(c, key, 0, "stdout", w.now_ms))
