"""The results of one run: a row a job, and a folder that holds them as `jobs.parquet` and `summary.json`.

Times in `jobs.parquet` are seconds since the trace's origin: 64-bit integers when every time of the run is a whole
second, else doubles, which hold every millisecond exactly. A job that never started has no start, end, run and pool.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import reduce
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from weir.model.problem import ProblemError, refused
from weir.scheduling.inputs import Curve, PoolRow, Prices, Window
from weir.scheduling.supply import changes_with_time
from weir.twin.footprint import carbon_mg, cost_micro_yuan, energy_joules
from weir.twin.outcome import NEVER, Outcome
from weir.twin.workload import NO_DEADLINE, Int64s

JOBS, SUMMARY = "jobs.parquet", "summary.json"
FORMAT: Final = "weir-twin-results-1"
OURS = (JOBS, SUMMARY, "report.html")
SECOND_MS = 1_000


@dataclass(frozen=True, slots=True)
class Results:
    """One run as it is measured, written and shown. Columns are parallel, int64, in order of submission.

    Times are milliseconds since the trace's origin. A job that never started has start, end and pool -1.
    """

    trace: str
    policy: str
    estimates: str
    tenancy: str
    """none or user: whether the policy told users apart."""
    passes: str
    pools: tuple[PoolRow, ...]
    tenants: tuple[str, ...]
    """The trace's users, whatever the policy made of them."""
    job: Int64s
    submit_ms: Int64s
    start_ms: Int64s
    end_ms: Int64s
    run_ms: Int64s
    """How long it ran: from start to end, less where it was preempted in between; 0 if it never started."""
    limit_ms: Int64s
    size: Int64s
    devices_milli: Int64s
    """Of all tasks together."""
    cores_milli: Int64s
    """Of all tasks together."""
    pool: Int64s
    """Index into `pools`."""
    tenant: Int64s
    """Index into `tenants`."""
    cost_micro_yuan: Int64s
    energy_joules: Int64s
    carbon_mg: Int64s
    simulated_s: float
    read_s: float
    peak_rss_bytes: int
    origin_s: int = 0
    has_estimates: bool = True
    dropped: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    """What was changed about the province, in words."""
    deadline_ms: Int64s | None = None
    """When each was to have ended, NO_DEADLINE for one without; None where no job had one."""
    given_way: Int64s | None = None
    """How often each gave way to a job of a higher class; None where none did."""

    def __len__(self) -> int:
        return len(self.job)

    @property
    def started(self) -> NDArray[np.bool_]:
        """Which jobs started."""
        which: NDArray[np.bool_] = self.start_ms != NEVER
        return which

    @property
    def wait_ms(self) -> Int64s:
        """From submission to end without the run: the start's wait, and more where it was preempted. Look at it only
        where a job started."""
        return self.end_ms - self.submit_ms - self.run_ms

    @property
    def preempted(self) -> bool:
        """Whether some job did not run from its start to its end."""
        return bool((self.wait_ms != self.start_ms - self.submit_ms)[self.started].any())


def results_of(
    outcome: Outcome,
    *,
    peak_rss_bytes: int = 0,
    notes: tuple[str, ...] = (),
    held_ms: Int64s | None = None,
) -> Results:
    """An outcome with what each job occupied, cost, drew and emitted.

    held_ms: [job, pool] how long each ran where, if jobs were preempted and moved.
    """
    work = outcome.workload
    shape = np.array([(c.tasks * c.devices_milli, c.tasks * c.cores_milli) for c in work.classes], np.int64)
    devices, cores = shape.reshape(-1, 2)[work.job_class].T.copy()
    run_ms = np.where(outcome.start_ms == NEVER, 0, outcome.end_ms - outcome.start_ms)
    stays = [(run_ms, outcome.pool)]
    if held_ms is not None:
        run_ms = held_ms.sum(axis=1)
        stays = [(held_ms[:, place], np.full_like(run_ms, place)) for place in range(held_ms.shape[1])]
    pools = outcome.pools
    begin_ms = outcome.start_ms + 1_000 * work.origin_s if changes_with_time(pools) else None
    given_way = _given_way(outcome)
    kept_ms, cost, energy, carbon = _earlier_attempts(outcome, devices, cores)
    return Results(
        trace=work.name,
        policy=outcome.policy,
        estimates=outcome.estimates,
        tenancy=outcome.tenants,
        passes=outcome.passes,
        pools=outcome.pools,
        tenants=work.users,
        job=work.job,
        submit_ms=work.submit_ms,
        start_ms=outcome.start_ms,
        end_ms=outcome.end_ms,
        run_ms=run_ms + kept_ms,
        limit_ms=work.limit_ms,
        size=work.size,
        devices_milli=devices,
        cores_milli=cores,
        pool=outcome.pool,
        tenant=work.user,
        cost_micro_yuan=cost
        + _total(cost_micro_yuan(run, devices, cores, pool, pools, begin_ms) for run, pool in stays),
        energy_joules=energy + _total(energy_joules(run, devices, pool, pools) for run, pool in stays),
        carbon_mg=carbon + _total(carbon_mg(run, devices, pool, pools, begin_ms) for run, pool in stays),
        simulated_s=outcome.simulated_s,
        read_s=outcome.read_s,
        peak_rss_bytes=peak_rss_bytes,
        origin_s=work.origin_s,
        has_estimates=work.has_estimates,
        dropped=work.dropped,
        notes=notes,
        deadline_ms=work.deadline_ms,
        given_way=given_way,
    )


def check_folder(folder: Path) -> None:
    """Raises ProblemError unless results can go there: it is new, empty, or holds the results of an earlier run."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise refused("--out", folder, "give a folder; this is a file")
    foreign = sorted(each.name for each in folder.iterdir() if each.name not in OURS)
    if foreign:
        raise refused(
            "--out", folder, f"give a new or empty folder, or one of an earlier run; it holds {foreign[0]!r}"
        )


def write_results(results: Results, summary: Mapping[str, Any], folder: Path) -> None:
    """Write both files. A folder without `summary.json` holds no results: it goes first and comes last.

    What an earlier run left there is replaced, its report too, since that would no longer be of these results.
    """
    check_folder(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    jobs, said = folder / f".{JOBS}.part", folder / f".{SUMMARY}.part"
    try:
        table(results).write_parquet(jobs)
        said.write_text(
            json.dumps({**summary, **_about(results)}, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        for name in reversed(OURS):
            (folder / name).unlink(missing_ok=True)
        jobs.replace(folder / JOBS)
        said.replace(folder / SUMMARY)
    finally:
        for part in (jobs, said):
            part.unlink(missing_ok=True)
        if made:
            with suppress(OSError):  # it holds the results, as it should
                folder.rmdir()


def table(results: Results) -> pl.DataFrame:
    """The rows of `jobs.parquet`."""
    started = results.started
    times = {
        "submit": results.submit_ms,
        "start": results.start_ms,
        "end": results.end_ms,
        "run": results.run_ms,
        "wait": results.wait_ms,
        "limit": results.limit_ms,
    }
    never = {"start", "end", "run", "wait"}
    whole = all(_whole(value[started] if name in never else value) for name, value in times.items())
    columns: dict[str, pl.Series] = {"job": pl.Series(results.job)}
    for name, value in times.items():
        seconds = value // SECOND_MS if whole else value / SECOND_MS
        column = pl.Series(name, seconds)
        columns[name] = column.set(pl.Series(~started), None) if name in never else column
    keys = pl.Series([row.key for row in results.pools], dtype=pl.String)
    users = pl.Series(list(results.tenants), dtype=pl.String)
    columns |= {
        "size": pl.Series(results.size),
        "pool": keys.gather(pl.Series(results.pool).set(pl.Series(~started), None)),
        "tenant": users.gather(results.tenant),
        "devices_milli": pl.Series(results.devices_milli),
        "cores_milli": pl.Series(results.cores_milli),
        "cost_micro_yuan": pl.Series(results.cost_micro_yuan),
        "energy_joules": pl.Series(results.energy_joules),
        "carbon_mg": pl.Series(results.carbon_mg),
    }
    if results.given_way is not None:
        columns["given_way"] = pl.Series(results.given_way)
    if results.deadline_ms is not None:
        none = pl.Series(results.deadline_ms == NO_DEADLINE)
        columns["deadline"] = pl.Series(results.deadline_ms / SECOND_MS).set(none, None)
    return pl.DataFrame(columns)


def read_results(folder: Path) -> Results:
    """The results that `weir twin run --out` wrote to a folder. Raises ProblemError when there are none."""
    if not folder.exists():
        raise refused(
            "DIR", folder, "give a folder that `weir twin run --out DIR` wrote; this does not exist"
        )
    try:
        about = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        rows = pl.read_parquet(folder / JOBS)
    except (FileNotFoundError, NotADirectoryError):
        raise refused(
            "DIR", folder, f"give a folder that `weir twin run --out DIR` wrote, with {JOBS} and {SUMMARY}"
        ) from None
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise refused("DIR", folder, f"its files cannot be read ({error}); run the twin again") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise refused("DIR", folder, f"its {SUMMARY} is not of this version of Weir; run the twin again")
    try:
        return _results(about, rows)
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise _damaged(folder, error) from None


def read_summary(folder: Path) -> dict[str, Any]:
    """What `summary.json` says, of a folder that `read_results` has read."""
    said: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return said


def peak_rss_bytes() -> int:
    """The most memory that this process has held so far."""
    import resource
    import sys

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1_024


def _total(parts: Iterable[Int64s]) -> Int64s:
    found: Int64s = reduce(np.add, parts)
    return found


def _damaged(folder: Path, error: Exception) -> ProblemError:
    why = f"{type(error).__name__} {error}".splitlines()[0]
    return refused("DIR", folder, f"{JOBS} and {SUMMARY} do not fit each other ({why}); run the twin again")


def _about(results: Results) -> dict[str, Any]:
    pools = [
        {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(row).items()
        }
        for row in results.pools
    ]
    return {
        "format": FORMAT,
        "origin_s": results.origin_s,
        "has_estimates": results.has_estimates,
        "dropped": [list(each) for each in results.dropped],
        "users": list(results.tenants),
        "pool_rows": pools,
    }


def _results(about: Mapping[str, Any], rows: pl.DataFrame) -> Results:
    pools = tuple(_pool_row(row) for row in about["pool_rows"])
    users = tuple(about["users"])
    place = {row.key: index for index, row in enumerate(pools)}
    number = {name: index for index, name in enumerate(users)}
    return Results(
        trace=about["trace"],
        policy=about["policy"],
        estimates=about["estimates"],
        tenancy=about["tenants"],
        passes=about["passes"],
        pools=pools,
        tenants=users,
        job=_integers(rows["job"]),
        submit_ms=_milliseconds(rows["submit"]),
        start_ms=_milliseconds(rows["start"]),
        end_ms=_milliseconds(rows["end"]),
        run_ms=np.maximum(0, _milliseconds(rows["run"])),
        limit_ms=_milliseconds(rows["limit"]),
        size=_integers(rows["size"]),
        devices_milli=_integers(rows["devices_milli"]),
        cores_milli=_integers(rows["cores_milli"]),
        pool=_integers(rows["pool"].replace_strict(place, return_dtype=pl.Int64)),
        tenant=_integers(rows["tenant"].replace_strict(number, return_dtype=pl.Int64)),
        cost_micro_yuan=_integers(rows["cost_micro_yuan"]),
        energy_joules=_integers(rows["energy_joules"]),
        carbon_mg=_integers(rows["carbon_mg"]),
        simulated_s=float(about["simulated_seconds"]),
        read_s=float(about["read_seconds"]),
        peak_rss_bytes=int(about["peak_rss_bytes"]),
        origin_s=int(about["origin_s"]),
        has_estimates=bool(about["has_estimates"]),
        dropped=tuple((str(rule), int(count)) for rule, count in about["dropped"]),
        notes=tuple(about["changes"]),
        deadline_ms=_deadlines(rows),
        given_way=_integers(rows["given_way"]) if "given_way" in rows.columns else None,
    )


def _given_way(outcome: Outcome) -> Int64s | None:
    if not outcome.given_up:
        return None
    rows = np.array([attempt.row for attempt in outcome.given_up], np.int64)
    return np.bincount(rows, minlength=len(outcome.workload)).astype(np.int64)


def _earlier_attempts(
    outcome: Outcome, devices: Int64s, cores: Int64s
) -> tuple[Int64s, Int64s, Int64s, Int64s]:
    """Of the attempts that gave way: how long each job's work was kept, what that cost, and what all of it drew."""
    kept, cost, energy, carbon = np.zeros((4, len(outcome.workload)), np.int64)
    if outcome.given_up:
        given = outcome.given_up
        rows = np.array([each.row for each in given], np.int64)
        pool = np.array([each.pool for each in given], np.int64)
        start = np.array([each.start_ms for each in given], np.int64)
        until = np.array([each.end_ms for each in given], np.int64)
        kept_ms = np.array([each.kept_ms for each in given], np.int64)
        begin, pools = start + 1_000 * outcome.workload.origin_s, outcome.pools
        devices, cores = devices[rows], cores[rows]
        np.add.at(kept, rows, kept_ms)
        # What is lost is not charged for.
        np.add.at(cost, rows, cost_micro_yuan(kept_ms, devices, cores, pool, pools, begin))
        np.add.at(energy, rows, energy_joules(until - start, devices, pool, pools))
        np.add.at(carbon, rows, carbon_mg(until - start, devices, pool, pools, begin))
    return kept, cost, energy, carbon


def _deadlines(rows: pl.DataFrame) -> Int64s | None:
    if "deadline" not in rows.columns:
        return None
    column = rows["deadline"]
    return np.where(column.is_null().to_numpy(), NO_DEADLINE, _milliseconds(column.fill_null(0)))


def _pool_row(row: Mapping[str, Any]) -> PoolRow:
    known = {each.name for each in fields(PoolRow)}
    values = {name: value for name, value in row.items() if name in known}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = frozenset(value) if name == "capabilities" else tuple(value)
    values["windows"] = tuple(Window(**window) for window in row.get("windows", ()))
    values |= _curves(row, ("device_hour_over_time", "core_hour_over_time", "carbon_over_time"))
    values["books"] = tuple(
        Prices(**{**book, **_curves(book, ("device_hour_over_time", "core_hour_over_time"))})
        for book in row.get("books", ())
    )
    return PoolRow(**values)


def _curves(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Curve | None]:
    found = ((name, row.get(name)) for name in names)
    return {
        name: curve and Curve(tuple((at, value) for at, value in curve["steps"]), curve["every_ms"])
        for name, curve in found
    }


def _integers(column: pl.Series) -> Int64s:
    return column.cast(pl.Int64).fill_null(NEVER).to_numpy().copy()


def _milliseconds(column: pl.Series) -> Int64s:
    if column.dtype.is_integer():
        return _integers(column * SECOND_MS)
    return _integers((column * SECOND_MS).round())


def _whole(value_ms: Int64s) -> bool:
    return not np.any(value_ms % SECOND_MS)


__all__ = [
    "JOBS",
    "SUMMARY",
    "Results",
    "check_folder",
    "peak_rss_bytes",
    "read_results",
    "read_summary",
    "results_of",
    "table",
    "write_results",
]
