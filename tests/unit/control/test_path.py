"""The whole path below HTTP: submit, cycle, pull, report, ended."""

from tests.unit.control.world import job, runs, world
from weir.model.agent import OutputFile
from weir.model.change import ChangeKind
from weir.model.state import Observed


def test_a_job_goes_its_way() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    [submitted] = w.submit(job())
    assert submitted.state == "queued"
    assert w.step().starts == 1
    assert w.states() == ["placed"]
    answer = agent.pull()
    [attempt] = runs(answer)
    assert attempt.attempt == f"{submitted.id}-1"
    assert answer.works[attempt.work].command == ("true",)
    agent.report(agent.seen(attempt.attempt, Observed.INTENDED))
    assert w.states() == ["starting"]
    agent.report(agent.seen(attempt.attempt, Observed.RUNNING))
    assert w.states() == ["running"]
    w.now_ms += 5_000
    kept = agent.report(agent.end(attempt.attempt, outputs=[OutputFile(0, "model.json", 3, "a" * 64)])).kept
    assert kept == (attempt.attempt,)
    assert w.states() == ["succeeded"]
    [row] = w.rows("job")
    assert (row.exit_code, row.ended_ms, row.cause) == (0, w.now_ms, None)
    assert [output.path for output in w.rows("output")] == ["model.json"]


def test_submitting_and_placing_are_two_commits_and_then_nothing_is_written() -> None:
    w = world()
    w.agent("wuhu-hpc")
    w.step()
    before = w.store.position()
    w.submit(job())
    w.step()
    changes = w.changes(before)
    assert [change.kind for change in changes] == [ChangeKind.SUBMITTED, ChangeKind.MOVED, ChangeKind.CYCLE]
    cycle = changes[-1].body
    assert ("weir-unshared/1", "predicted/1", w.now_ms) == (
        cycle["policy"],
        cycle["forecast"],
        cycle["now_ms"],
    )
    assert all(cycle[name] for name in ("code", "prices", "plan"))
    position = w.store.position()
    for _ in range(3):
        assert w.step().planned is False
    assert w.store.position() == position
