"""The province's present as a run's beginning: what runs there goes on, and what waits is placed first.

A state is a table that `weir history export --state` writes (`history.py`). Jobs of a log come after it: the log's
first submission is taken for the state's instant, or later by what the log's own clock says.

How it is done: everything that runs is put on its pool at one instant before anything waits, for as long as makes it
end when it would; then all pools are closed until the state's instant, so that those that wait keep their submission
and their place in order, and nothing of them starts before.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from weir.model.problem import refused
from weir.scheduling.inputs import JobClass, PoolRow
from weir.twin.changed import PoolEvent
from weir.twin.history import NOW, RUNNING, WAITING
from weir.twin.traces import read_trace
from weir.twin.workload import Int64s, Workload

_BEFORE_MS = 2_000
"""What runs is placed so long before the first that waits was submitted."""
_SECOND_MS, _NEVER = 1_000, 2**62
_UNTIL_THEN = "the run has not begun"


@dataclass(frozen=True, slots=True)
class Present:
    """What runs and waits at an instant: rows of `jobs`, all that ran or waited then."""

    jobs: Workload
    now_ms: int
    """As `jobs` counts, from its origin."""
    running: Int64s
    waiting: Int64s
    start_ms: Int64s
    """Of each of `jobs`; looked at where it runs."""
    pool: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Begun:
    """A workload that begins with a province's present; `told` are the rows that the run decides about."""

    workload: Workload
    pools: tuple[PoolRow, ...]
    events: tuple[PoolEvent, ...]
    told: Int64s
    now_ms: int


def read_start(file: Path) -> Present:
    """A state that `weir history export --state` wrote. Raises ProblemError naming what it lacks."""
    jobs = read_trace(file)
    try:
        about, frame = _raw(file)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise refused("--start", file, f"a file of `weir history export --state` ({error})") from None
    missing = [name for name in ("job", "start_ms", "pool", "state") if name not in frame.columns]
    if missing or not about.get(NOW, "").lstrip("-").isdigit():
        raise refused(
            "--start", file, "give a file of `weir history export --state`; this says nothing of an instant"
        )
    place = {number: row for row, number in enumerate(jobs.job.tolist())}
    state, pool, start = [""] * len(jobs), [""] * len(jobs), np.full(len(jobs), -1, np.int64)
    for number, said, where, started in frame.select("job", "state", "pool", "start_ms").iter_rows():
        row = place.get(number)
        if row is not None:
            state[row], pool[row], start[row] = str(said), str(where or ""), int(started)
    states = np.array(state)
    return Present(
        jobs,
        int(about[NOW]),
        np.flatnonzero(states == RUNNING),
        np.flatnonzero(states == WAITING),
        start,
        tuple(pool),
    )


def begun(present: Present, later: Workload | None, pools: tuple[PoolRow, ...]) -> Begun:
    """The present, and then the jobs of `later`, on these pools.

    Times count from the state's origin. Raises ProblemError where something runs in a pool that is not there.
    """
    keys = {pool.key: pool for pool in pools}
    for row in present.running.tolist():
        if present.pool[row] not in keys:
            raise refused(
                "--start", present.pool[row], "a job runs there; give the --province that the state is of"
            )
    now = -(-present.now_ms // _SECOND_MS) * _SECOND_MS
    first = min([now, *present.jobs.submit_ms[present.waiting].tolist()])
    placed = first // _SECOND_MS * _SECOND_MS - _BEFORE_MS
    running = _placed(present, keys, placed, now)
    parts = [running, present.jobs.rows(present.waiting)]
    if later is not None and len(later):
        shift = now - int(later.submit_ms[0])
        parts.append(_later(later, shift))
    work = _joined(parts)
    closed = placed + _SECOND_MS
    events = [PoolEvent(closed, key, _UNTIL_THEN) for key in keys]
    events += [PoolEvent(now, pool.key, pool.closed_because) for pool in pools]
    # Everything that runs comes first: nothing else is submitted before it.
    opened = tuple(replace(pool, closed_because="") for pool in pools)
    return Begun(work, opened, tuple(events), np.arange(len(running), len(work)), now)


def _placed(present: Present, pools: dict[str, PoolRow], placed_ms: int, now_ms: int) -> Workload:
    """What runs, bound to its pool, from one instant on until it would end."""
    jobs = present.jobs.rows(present.running)
    classes: dict[JobClass, int] = {}
    run, limit, number = [], [], []
    for row, which in enumerate(present.running.tolist()):
        pool = pools[present.pool[which]]
        wish = jobs.classes[int(jobs.job_class[row])]
        own = dict(wish.variant_speeds).get(pool.stack, 1_000) if wish.variant_speeds else 1_000
        speed = max(1, pool.speed_milli * own)

        def there(nominal_ms: int, speed: int = speed) -> int:
            return -(-nominal_ms * 1_000_000 // speed)

        began = int(present.start_ms[which])
        end = max(now_ms + 1, began + there(int(jobs.run_ms[row])))
        latest = max(end, began + there(int(jobs.limit_ms[row])))
        run.append(max(1, (end - placed_ms) * speed // 1_000_000))
        limit.append(max(run[-1], (latest - placed_ms) * speed // 1_000_000))
        models = (pool.device_model,) if pool.device_model else ()
        bound = replace(wish, centres=(pool.centre,), models=models, cities=(), kinds=(), data=())
        number.append(classes.setdefault(bound, len(classes)))
    return replace(
        jobs,
        submit_ms=np.full(len(jobs), placed_ms, np.int64),
        run_ms=np.array(run, np.int64),
        limit_ms=np.array(limit, np.int64),
        job_class=np.array(number, np.int64),
        classes=tuple(classes),
    )


def _later(work: Workload, shift_ms: int) -> Workload:
    moved: dict[str, Any] = {"submit_ms": work.submit_ms + shift_ms}
    deadline = getattr(work, "deadline_ms", None)
    if deadline is not None:
        moved["deadline_ms"] = np.where(deadline >= _NEVER, deadline, deadline + shift_ms)
    return replace(work, **moved)


def _joined(parts: list[Workload]) -> Workload:
    """One workload of all, in this order, which is that of submission."""
    last = parts[-1]
    classes: dict[JobClass, int] = {}
    names: dict[str, dict[str, int]] = {"users": {}, "groups": {}}
    columns: dict[str, list[Int64s]] = {}
    for part in parts:
        moved: dict[str, Int64s] = {
            "job_class": np.array([classes.setdefault(each, len(classes)) for each in part.classes], np.int64)
        }
        for column, table in (("user", "users"), ("group", "groups")):
            known = names[table]
            moved[column] = np.array(
                [known.setdefault(each, len(known)) for each in getattr(part, table)], np.int64
            )
        for each in fields(part):
            value = getattr(part, each.name)
            if value is None and any(getattr(other, each.name) is not None for other in parts):
                value = np.full(len(part), _NEVER, np.int64)  # a deadline that only some parts have
            if isinstance(value, np.ndarray):
                table_of = moved.get(each.name)
                shown = value if table_of is None or not len(value) else table_of[value]
                columns.setdefault(each.name, []).append(shown)
    whole: dict[str, Any] = {name: np.concatenate(found) for name, found in columns.items()}
    # Numbers of the log and of the state may be the same; in the run each row has its own.
    whole["job"] = np.arange(1, len(whole["job"]) + 1)
    return replace(
        last, **whole, classes=tuple(classes), users=tuple(names["users"]), groups=tuple(names["groups"]),
        origin_s=parts[0].origin_s,
    )  # fmt: skip


def _raw(file: Path) -> tuple[dict[str, str], pl.DataFrame]:
    if file.suffix == ".csv":
        about: dict[str, str] = {}
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                if not line.startswith("#"):
                    break
                key, _, value = line[1:].partition(":")
                about[key.strip()] = value.strip()
        return about, pl.read_csv(file, comment_prefix="#")
    return pl.read_parquet_metadata(file), pl.read_parquet(file)


__all__ = ["Begun", "Present", "begun", "read_start"]
