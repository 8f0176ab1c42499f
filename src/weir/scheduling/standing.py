"""What the live loop's state knows that forecasts follow from, at one step, in arrays of its own."""

from dataclasses import dataclass

import numpy as np

from weir.scheduling.compilation import kernel
from weir.scheduling.inputs import Int64s, JobClass, LinkRow, PoolRow
from weir.scheduling.policy import Policy
from weir.scheduling.state import State
from weir.scheduling.usage import Usage, by_turns, usage_of


@dataclass(frozen=True, slots=True)
class Standing:
    """What a state knows that an outlook follows from."""

    policy: Policy
    pools: tuple[PoolRow, ...]
    links: tuple[LinkRow, ...]
    described: tuple[JobClass | None, ...]
    """The classes; `job_class` of what waits and runs are rows of them."""
    job: Int64s
    """What waits, in order, or where tenants share about as turns come to them; so are the next seven."""
    job_class: Int64s
    size: Int64s
    priority: Int64s
    submitted_ms: Int64s
    limit_ms: Int64s
    expected_ms: Int64s
    tenant: Int64s
    """Whose each is, by number; 0 where nothing is shared."""
    running: Int64s
    """What runs, by number; so are the next five."""
    run_class: Int64s
    run_pool: Int64s
    placed_ms: Int64s
    end_ms: Int64s
    """By its limit."""
    run_tenant: Int64s
    usage: Usage | None
    """None where tenants do not share."""


def standing_of(state: State) -> Standing:
    """What a state knows, copied: whoever steps it has to wait for so long alone."""
    slots = state.queue.slots
    rows = state.queue.rows_in_order()
    # Where tenants take turns each has a line of its own; here all are one, in the order that each has.
    rows = rows[np.lexsort((slots["job"][rows], slots["key"][rows]))]
    sharing = state.policy.by_tenant
    if sharing:
        rows = by_turns(state, rows)

    def column(name: str) -> Int64s:
        return slots[name][rows].astype(np.int64)

    runs = sorted((job, run, placed_ms) for job, (run, _, placed_ms) in state.run_details.items())
    table = np.array(runs, np.int64).reshape(-1, 3)
    declared = state.runs["pool"][table[:, 1]] >= 0
    table = table[declared]
    which = table[:, 1]
    whose = state.tenants.table.number
    return Standing(
        policy=state.policy,
        pools=state.rows,
        links=tuple(dict.fromkeys(state.links.values())),
        described=tuple(state.known.described),
        job=column("job"),
        job_class=column("need"),
        size=column("size"),
        priority=kernel("waiting").priority_of(column("key")),
        submitted_ms=column("submitted"),
        limit_ms=column("limit"),
        expected_ms=column("expected"),
        tenant=state.tenants.numbers_of(slots["line"][rows]),
        running=table[:, 0].copy(),
        run_class=state.runs["job_class"][which].astype(np.int64),
        run_pool=state.runs["pool"][which].astype(np.int64),
        placed_ms=table[:, 2].copy(),
        end_ms=state.runs["end"][which].astype(np.int64),
        run_tenant=whose[state.runs["tenant"][which]] if sharing else np.zeros(len(which), np.int64),
        usage=usage_of(state) if sharing else None,
    )


__all__ = ["Standing", "standing_of"]
