"""What a centre's operator can see and order on the spot, with the server and even the agent out of reach."""

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from weir.agents.folder import AgentFolder, Settings, read_json
from weir.agents.record import STOPPED_HERE, Batch, Order, Phase, RecordedAttempt
from weir.agents.sqlite_record import SqliteRecord
from weir.engines.driver import Driver
from weir.engines.names import load_driver
from weir.model.agent import CentreEntry
from weir.model.codec import from_plain
from weir.model.problem import conflict, refused
from weir.model.state import Desired

_STOP_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class LocalAttempt:
    """One attempt as the agent's own record has it."""

    attempt: str
    job: str
    pool: str
    desired: str
    observed: str
    since_ms: int
    devices_milli: int
    """Of all its tasks, thousandths of a device."""
    message: str


@dataclass(frozen=True, slots=True)
class LocalStatus:
    """What is known at the centre alone."""

    running: bool
    """Whether an agent runs on the folder now."""
    draining: bool
    """Whether an operator has ordered here that nothing new is started."""
    incarnation: int
    attempts: tuple[LocalAttempt, ...]


def status(folder: Path) -> LocalStatus:
    """What the record in the folder says. Raises ProblemError where no agent has ever run."""
    here = AgentFolder(folder)
    with _record(here) as record:
        recorded = record.load()
        draining = recorded.drained
        for _, order in record.orders():
            draining = order is not Order.RESUME
    attempts = sorted(recorded.attempts, key=lambda one: (one.since_ms, one.id))
    return LocalStatus(here.is_locked(), draining, recorded.incarnation, tuple(map(_row, attempts)))


def drain(folder: Path) -> None:
    """Have nothing new started; what runs goes on. Holds over restarts of the agent, until `resume`."""
    _leave(AgentFolder(folder), Order.DRAIN)


def resume(folder: Path) -> None:
    """Have new work started again."""
    _leave(AgentFolder(folder), Order.RESUME)


def stop_all(folder: Path) -> int:
    """Stop every recorded attempt and start nothing new until `resume`; how many were told to stop.

    A running agent carries the order out. Where none runs it is done here, through the engine, and the next start
    of the agent tells the server. Returns at the latest after half a minute; what takes longer ends by itself.
    """
    here = AgentFolder(folder)
    with _record(here) as record:
        count = sum(_may_run(attempt) for attempt in record.load().attempts)
    if not here.is_locked():
        with here.locked():
            _stop_without_agent(here)
        return count
    _leave(here, Order.STOP_ALL)
    return count


def poke(here: AgentFolder) -> bool:
    """Tell the agent that runs on the folder to look at its orders now; False when none listens."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender:
        try:
            with here.short_path(here.poke_socket) as address:
                sender.sendto(b"!", address)
        except OSError:
            return False
    return True


def _leave(here: AgentFolder, order: Order) -> None:
    with _record(here) as record:
        record.leave_order(order, time.time_ns() // 1_000_000)
    poke(here)


def _stop_without_agent(here: AgentFolder) -> None:
    """Only with the folder's lock held."""
    with _record(here) as record:
        attempts = [attempt for attempt in record.load().attempts if _may_run(attempt)]
        batch = Batch(drained=True)
        for attempt in attempts:
            reason = attempt.stop_reason or STOPPED_HERE
            desired = max(attempt.desired, Desired.STOPPED)
            batch.attempts[attempt.id] = replace(attempt, desired=desired, stop_reason=reason)
        waiting = record.orders()
        if waiting:
            batch.orders_done = waiting[-1][0]
        # First the record, so that an agent started meanwhile stops what this does not come to.
        record.commit(batch)
    at_engine = [attempt.id for attempt in attempts if attempt.phase in (Phase.SUBMITTED, Phase.HELD)]
    if not at_engine:
        return
    driver = _driver(here)
    try:
        driver.cancel(at_engine)
        until = time.monotonic() + _STOP_WAIT_S
        while set(at_engine) & set(driver.live()) and time.monotonic() < until:
            driver.wait(1.0)
            driver.changed()
    finally:
        driver.close()


def _driver(here: AgentFolder) -> Driver:
    plain = read_json(here.entry_file)
    if plain is None:
        raise conflict(f"{here.entry_file} is missing: what engine runs here is not known")
    entry = from_plain(CentreEntry, plain)
    driver = load_driver(entry.driver)(here.path)
    driver.attach(entry.pools, engine_options(entry, here.read_settings()))
    return driver


def engine_options(entry: CentreEntry, settings: Settings | None) -> dict[str, str]:
    """The options that the engine is attached with: the centre's, and what only this machine can say."""
    here: dict[str, str] = {}
    if settings is not None and settings.private_root and entry.driver == "local":
        here["private_root"] = settings.private_root
    if settings is not None and settings.work_root and entry.driver == "ray":
        here["work_root"] = settings.work_root
    return {**entry.options, **here}


@contextmanager
def _record(here: AgentFolder) -> Iterator[SqliteRecord]:
    if not here.record_file.exists():
        raise refused("--folder", here.path, "the folder of an agent that has run before")
    try:
        with closing(SqliteRecord(here.record_file)) as record:
            yield record
    except sqlite3.OperationalError as error:
        raise conflict(f"{here.record_file} cannot be used now: {error}") from None


def _may_run(attempt: RecordedAttempt) -> bool:
    return attempt.phase < Phase.COLLECTING


def _row(attempt: RecordedAttempt) -> LocalAttempt:
    work = attempt.work
    message = attempt.message if attempt.end is None else attempt.end.message
    if attempt.phase is Phase.COLLECTING:
        message = "ended; logs and outputs are being sent"
    elif attempt.end is not None:
        message = (
            f"{'succeeded' if attempt.end.cause is None else attempt.end.cause.value}: {message}".rstrip(": ")
        )
    return LocalAttempt(
        attempt=attempt.id,
        job=attempt.job,
        pool=attempt.pool,
        desired=attempt.desired.name.lower(),
        observed=attempt.observed.name.lower(),
        since_ms=attempt.since_ms,
        devices_milli=0 if work is None else work.tasks * work.devices_milli,
        message=message,
    )


__all__ = [
    "LocalAttempt",
    "LocalStatus",
    "drain",
    "engine_options",
    "poke",
    "resume",
    "status",
    "stop_all",
]
