"""Many trials at once: on the cores of this machine as processes, or on a Ray cluster."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from importlib import import_module
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from weir.model.problem import ProblemError, refused
from weir.twin.metrics import measure, summarise
from weir.twin.trial import Scene, Source, Trial, make_ready, perform, prepare

ANSWERS_WITHIN_S = 10.0
KEYS = ("source", "load", "seed", "policy", "estimates", "tenants", "passes")
"""What tells a row of a sweep from the others."""


def grid(
    sources: Sequence[Source],
    *,
    policies: Sequence[str],
    estimates: Sequence[str],
    tenants: Sequence[str],
    passes: str,
    processors: int | None,
    province: Path | None,
    changes: Sequence[str] = (),
) -> list[Trial]:
    """Every combination, those of one source next to each other, so that it is read once by each process."""
    return [
        Trial(source, policy, estimate, tenancy, passes, processors, province, tuple(changes))
        for source, policy, estimate, tenancy in product(sources, policies, estimates, tenants)
    ]


def perform_all(
    trials: Sequence[Trial],
    *,
    workers: int = 0,
    ray: str = "",
    done: Callable[[int, int], None] = lambda n, of: None,
) -> list[dict[str, Any]]:
    """The row of each trial, in order: its keys, and either its summary or, as `error`, why it was refused.

    `workers` processes, 0 for one a core; or `ray`, the address of a cluster that has Weir and the traces at the same
    paths. `done` is told how many have ended. Raises ProblemError when Ray is asked for and not installed.
    """
    if not trials:
        return []
    if ray:
        ended = _on_ray(trials, ray)
    else:
        make_ready(trials[0])  # here once, and not by every process at the same time
        ended = _on_cores(trials, workers or os.cpu_count() or 1)
    rows: dict[int, dict[str, Any]] = {}
    for index, row in ended:
        rows[index] = row
        done(len(rows), len(trials))
    return [rows[index] for index in range(len(trials))]


def row_of(trial: Trial) -> dict[str, Any]:
    """One trial, from its log to its figures; what a person did wrong is the row's `error`."""
    source = trial.source
    keys = {
        "source": source.name,
        "load": source.load,
        "seed": source.seed,
        "policy": trial.policy,
        "estimates": trial.estimates,
        "tenants": trial.tenants,
        "passes": trial.passes,
    }
    try:
        make_ready_once(trial)
        scene = _scene(trial.source, trial.processors, trial.province, trial.changes)
        results = perform(trial, scene)
    except ProblemError as error:
        return {**keys, "error": str(error)}
    summary = summarise(results, measure(results))
    return {**summary, **keys, "trace": results.trace, "error": None}


@lru_cache(maxsize=8)
def _ready(policy: str, estimates: str, passes: str) -> None:
    make_ready(Trial(Source(), policy, estimates, passes=passes))


def make_ready_once(trial: Trial) -> None:
    """Load compiled code before the first trial of its kind in this process."""
    _ready(trial.policy, trial.estimates, trial.passes)


@lru_cache(maxsize=1)
def _scene(source: Source, processors: int | None, province: Path | None, changes: tuple[str, ...]) -> Scene:
    where = Trial(source, "", processors=processors, province=province, changes=changes)
    return prepare(where, time.perf_counter)


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The rows as one table: keys first, then every figure that is a number or a word."""
    flat = [
        {name: value for name, value in row.items() if not isinstance(value, list | tuple | dict)}
        for row in rows
    ]
    names = list(dict.fromkeys([*KEYS, *(name for row in flat for name in row)]))
    return pl.DataFrame([{name: row.get(name) for name in names} for row in flat], infer_schema_length=None)


def check_file(file: Path) -> None:
    """Raises ProblemError unless a sweep can be written there: nothing is there yet, or an earlier sweep."""
    if file.is_dir():
        raise refused("--out", file, "give a file, such as sweep.parquet; this is a folder")
    if not file.exists():
        return
    try:
        names = set(pl.read_parquet_schema(file))
    except (pl.exceptions.PolarsError, OSError):
        names = set()
    if not set(KEYS) <= names:
        raise refused("--out", file, "give a new file; this one is not of an earlier sweep")


def write_sweep(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the table as Parquet, whole or not at all."""
    check_file(file)
    part = file.with_name(f".{file.name}.part")
    try:
        table(rows).write_parquet(part)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _on_cores(trials: Sequence[Trial], workers: int) -> Iterator[tuple[int, dict[str, Any]]]:
    # Spawned, not forked: a fork would copy threads of Polars and Numba that are in the middle of something.
    with ProcessPoolExecutor(min(workers, len(trials)), mp_context=get_context("spawn")) as pool:
        left = {pool.submit(row_of, trial): index for index, trial in enumerate(trials)}
        try:
            while left:
                ended, _ = wait(left, return_when=FIRST_COMPLETED)
                for each in ended:
                    yield left.pop(each), each.result()
        except BrokenProcessPool:
            raise refused(
                "--workers",
                workers,
                "give fewer: a process was ended from outside, most likely for its memory",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _on_ray(trials: Sequence[Trial], address: str) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        ray: Any = import_module("ray")  # it is no dependency of Weir
    except ImportError:
        raise refused(
            "--ray", address, "install Ray into this environment first (pip install ray), or leave --ray out"
        ) from None
    _must_answer(address)
    try:
        ray.init(address=address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise refused("--ray", address, f"give the address of a cluster that answers ({error})") from None
    try:
        remote = ray.remote(row_of)
        left = {remote.remote(trial): index for index, trial in enumerate(trials)}
        while left:
            ended, _ = ray.wait(list(left), num_returns=1)
            for each in ended:
                yield left.pop(each), ray.get(each)
    finally:
        ray.shutdown()


def _must_answer(address: str) -> None:
    """Raises ProblemError where nobody listens: Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition("://")[2].partition("/")[0].rpartition(":")
    if not host or not port.isdigit():  # auto, or a name that Ray knows
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN_S).close()
    except (OSError, OverflowError) as error:
        raise refused("--ray", address, f"give the address of a cluster that answers ({error})") from None


__all__ = ["KEYS", "check_file", "grid", "perform_all", "row_of", "table", "write_sweep"]
