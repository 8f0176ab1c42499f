"""Jobs after others: whatever the order in which these end, the same comes of it."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.control.world import World, job, runs, world
from weir.model.change import ChangeKind
from weir.model.state import LEGAL_MOVES, Cause, JobState


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[int, tuple[str, ...]]]:
    """Array sizes (0 for a single job) with what each comes after, among the entries before it."""
    entries: list[tuple[int, tuple[str, ...]]] = []
    for position in range(draw(st.integers(2, 6))):
        after = []
        for other in range(position):
            if draw(st.booleans()):
                size = entries[other][0]
                element = draw(st.integers(0, size - 1)) if size and draw(st.booleans()) else None
                after.append(f"#{other}" if element is None else f"#{other}.{element}")
        entries.append((draw(st.integers(0, 3)), tuple(after)))
    return entries


def due(entries: Sequence[tuple[int, tuple[str, ...]]], fails: set[int]) -> list[str]:
    """What becomes of each job, said simply: `fails` are numbers from 0 of jobs that fail when they run."""
    first: list[int] = []
    outcome: list[str] = []
    for size, after in entries:
        first.append(len(outcome))
        good = True
        for reference in after:
            entry, _, element = reference[1:].partition(".")
            other = int(entry)
            jobs = range(first[other], first[other] + max(1, entries[other][0]))
            wanted = [first[other] + int(element)] if element else list(jobs)
            good = good and all(outcome[number] == "succeeded" for number in wanted)
        for _ in range(max(1, size)):
            outcome.append("cancelled" if not good else "failed" if len(outcome) in fails else "succeeded")
    return outcome


def run_out(w: World, data: st.DataObject, fails: set[int]) -> None:
    """Let every job that may run end, in an order and in groups that are drawn."""
    agents = [w.agent("wuhu-hpc"), w.agent("hefei-ai")]
    names = {row.id: row.first_job for row in w.rows("submission")}
    pending: dict[str, list[str]] = {agent.centre: [] for agent in agents}
    while True:
        w.step()
        for agent in agents:
            pending[agent.centre] += [attempt.attempt for attempt in runs(agent.pull())]
        waiting = [agent for agent in agents if pending[agent.centre]]
        if not waiting:
            return
        agent = data.draw(st.sampled_from(waiting))
        mine = pending[agent.centre]
        ending = data.draw(st.lists(st.sampled_from(mine), min_size=1, unique=True))
        observations = []
        for attempt in ending:
            mine.remove(attempt)
            name, _, index = attempt.rpartition("-")[0].partition(".")
            number = names[name] + int(index or 0) - 1
            observations.append(agent.end(attempt, Cause.EXIT if number in fails else None))
        agent.report(*observations)


@settings(max_examples=40)
@given(graphs(), st.sets(st.integers(0, 12)), st.data())
def test_order_makes_no_difference(
    entries: list[tuple[int, tuple[str, ...]]], fails: set[int], data: st.DataObject
) -> None:
    w = world()
    w.submit(*(job(array=size or None, after=after) for size, after in entries))
    run_out(w, data, fails)
    assert w.states() == due(entries, fails)
    assert all(row.unmet >= 0 for row in w.rows("submission"))
    moved: dict[int, JobState] = {}
    for change in w.changes():
        if change.kind is ChangeKind.MOVED:
            for first, count, state in change.body["moves"]:
                for number in range(first, first + count):
                    new = JobState[state.upper()]
                    before = moved.get(number)
                    assert before is None or new in LEGAL_MOVES[before]
                    moved[number] = new
    assert [state.name.lower() for _, state in sorted(moved.items())] == w.states()


def test_a_whole_chain_moves_in_the_transaction_that_ends_its_beginning() -> None:
    w = world()
    agent = w.agent("wuhu-hpc")
    w.submit(job(), job(after=("#0",)), job(array=50, after=("#1",)), job(after=("#2.7",)))
    w.step()
    [attempt] = runs(agent.pull())
    before = w.store.position()
    agent.report(agent.end(attempt.attempt, Cause.EXIT))
    [change] = w.changes(before)
    assert change.body == {
        "moves": [[1, 1, "failed"], [2, 1, "cancelled"], [3, 50, "cancelled"], [53, 1, "cancelled"]]
    }
    assert {row.cause for row in w.rows("job")} == {"exit", "dependency"}
