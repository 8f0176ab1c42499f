"""What a scheduler knows, kept up change by change, against what it would know if it read everything anew."""

from collections.abc import Callable

import numpy as np

from weir.control.cycle import Control
from weir.control.snapshot import Snapshot
from weir.scheduling import layout, validate
from weir.scheduling.validation import InvalidStateError
from weir.store import Store


def check_core(control: Control, store: Store, wrong: Callable[[str], Exception]) -> bool:
    """Compare where it can be compared: the scheduler leads and has read all that is committed. Whether it was."""
    known, state = control._snapshot, control._state
    if not control.leading or state is None or known._again or known.position != store.position():
        return False
    fresh = Snapshot()
    news = store.read(lambda connection: fresh.read(connection, 0))
    assert news.changes is not None
    if fresh.versions != known.versions:
        raise wrong(f"the scheduler has {known.versions} queued, the store {fresh.versions}")
    if fresh.placed != known.placed:
        raise wrong(f"the scheduler has {known.placed} placed, the store {fresh.placed}")
    if fresh.pools.rows != known.pools.rows or fresh.pools.links != known.pools.links:
        raise wrong(
            f"the scheduler knows other pools than the store: {known.pools.rows} and {fresh.pools.rows}"
        )
    if news.stopping:
        raise wrong(f"the scheduler has read all, and has not told to stop {news.stopping}")
    others = {running.job for running in news.changes.running} - fresh.placed.keys()
    if state.run_details.keys() != fresh.placed.keys() | others or state.queued != len(fresh.versions):
        raise wrong(
            f"the core runs {sorted(state.run_details)} and has {state.queued} queued, the store {fresh.placed}"
        )
    for running in news.changes.running:
        run, pool, _ = state.run_details[running.job]
        [(nodes, _)] = layout.placements(state.runs, state.records, np.array([run]))
        if pool != running.pool or tuple(nodes) != running.nodes:
            raise wrong(
                f"the core has job {running.job} at {pool} {nodes}, the store at {running.pool} {running.nodes}"
            )
    try:
        validate(state)
    except InvalidStateError as error:
        raise wrong(f"the core's state contradicts itself: {error}") from error
    return True


__all__ = ["check_core"]
