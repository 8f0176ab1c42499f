"""The runner of an agent: it owns the threads, the sockets, the clock and the sleeps around the agent's step.

    step loop (the main thread)   takes what happened from one queue, steps, hands out the effects
    pull, report                  one thread and one connection each
    engine                        carries out what the engine is asked, in order
    engine news                   sleeps in the driver until something may have changed
    files                         a few threads that fetch inputs and take over outputs
    logs                          sends followed logs, clears away what is forgotten
    orders                        listens for local orders

Standard library only: the same file runs in the bundle for machines that have Python alone.
"""

import contextlib
import functools
import logging
import queue
import random
import shutil
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from weir.agents.agenda import Pace
from weir.agents.collecting import collect, send_log
from weir.agents.effects import (
    Cancel,
    Collect,
    Describe,
    Effect,
    Fetch,
    Forget,
    Observe,
    SendLogs,
    SendPull,
    SendReport,
    Submit,
    Withdraw,
)
from weir.agents.fetching import disk_problem, fetch_inputs, make_work_folder
from weir.agents.folder import AgentFolder, Settings
from weir.agents.inputs import (
    Collected,
    Described,
    EngineStates,
    EngineUnreachable,
    Forgotten,
    Input,
    LocalOrder,
    LogsSent,
    PullAnswered,
    PullFailed,
    ReportAnswered,
    ReportFailed,
    Started,
    SubmitAnswered,
    SubmitUnknown,
    Tick,
)
from weir.agents.local_orders import engine_options, poke
from weir.agents.machine import Machine
from weir.agents.reserve import Reserve
from weir.agents.sources import read_sources
from weir.agents.sqlite_record import SqliteRecord
from weir.agents.transport import HttpTransport, Transport, TransportError, UnreachableError
from weir.cli.agent_start import Stop, join_centre, keep_entry, read_entry, settle, transport_for
from weir.engines.driver import Driver, EngineUnreachableError, SubmitOutcome
from weir.engines.names import load_driver
from weir.model.agent import LONG_POLL_MS, CentreEntry, entry_revision
from weir.model.problem import ProblemError
from weir.model.state import Observed

log = logging.getLogger("weir.agent")

FILE_THREADS = 4
LARGEST_STEP = 2_000
ORDERS_EVERY_S = 1.0
DISK_PAUSE_S = 3.0
RESERVE_PAUSE_S = 10.0
"""So often the room that is kept for a full disk is looked after."""
RENEW_PAUSE_S = 5.0
FAILED = 1


def run_agent(
    folder: Path,
    *,
    url: str = "",
    code_file: Path | None = None,
    ca_file: Path | None = None,
    work_root: Path | None = None,
    private_root: Path | None = None,
) -> int:
    """Run the agent of a centre until SIGTERM or SIGINT; what it started goes on. The exit code.

    Joins first, with a one-time code, where the folder has no token. Settings given are remembered. Raises
    ProblemError for what a person has to put right before it can run, such as a second agent on the folder.
    """
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    here = AgentFolder(folder)
    with here.locked(), Stop() as stop:
        settings = settle(here, url, ca_file, work_root, private_root)
        try:
            join_centre(here, settings, code_file)
            entry = read_entry(here, settings, stop)
        except TransportError as error:
            log.error("%s", error)
            return FAILED
        if entry is None:
            return 0  # told to end before the server was reached
        driver = load_driver(entry.driver)(here.path)
        try:
            driver.attach(entry.pools, engine_options(entry, settings))
            return _Runner(here, settings, entry, driver, stop).run()
        finally:
            driver.close()


class _Runner:
    def __init__(
        self, here: AgentFolder, settings: Settings, entry: CentreEntry, driver: Driver, stop: Stop
    ) -> None:
        self._here = here
        self._settings = settings
        self._entry = entry
        self._asked_revision = entry_revision(entry)
        self._driver = driver
        self._stop = stop
        self._record = SqliteRecord(here.record_file)
        self._inbox: queue.SimpleQueue[Input | None] = stop.inbox
        self._ending = threading.Event()
        self._queues: dict[str, queue.SimpleQueue[Callable[[], None] | None]] = {
            name: queue.SimpleQueue() for name in ("pull", "report", "engine", "files", "logs")
        }
        self._sources = read_sources(here.sources_file)
        self._token = here.read_token()
        self._pull, self._report = self._transport(), self._transport()
        self._transports: list[Transport] = [self._pull, self._report]
        self._local = threading.local()
        self._crash: BaseException | None = None
        self._reserve = Reserve(self._here.path / "reserve")
        self._reserve_from_s = 0.0
        self._orders_seen = 0
        self._pull_under_way = False
        self._renew_after_s = 0.0
        self._said: dict[str, str] = {}

    def run(self) -> int:
        self._record.tidy()
        threads = [self._thread("engine news", self._news), self._thread("orders", self._orders)]
        for name, tasks in self._queues.items():
            count = FILE_THREADS if name == "files" else 1
            threads += [self._thread(name, functools.partial(self._serve, tasks)) for _ in range(count)]
        log.info("agent of centre %s: %d pools", self._entry.centre, len(self._entry.pools))
        try:
            while not self._stop.asked and self._crash is None:
                self._step_until_broken()
            crash = self._crash
        finally:
            self._end(threads)
        if crash is not None:
            log.error("the agent ends because of a fault of its own", exc_info=crash)
            return FAILED
        return 0

    def _step_until_broken(self) -> None:
        """Step until told to end, or until the record cannot be written: then begin anew from the record."""
        machine = self._machine()
        inputs: list[Input] = [Started()]
        try:
            while True:
                for effect in machine.step(_now_ms(), inputs):
                    self._carry_out(effect)
                if time.monotonic() >= self._reserve_from_s:
                    self._reserve.keep()
                    self._reserve_from_s = time.monotonic() + RESERVE_PAUSE_S
                self._look_at_entry(machine.entry_revision)
                taken = self._wait(machine.wake_ms())
                if taken is None:
                    return
                inputs = taken
        except sqlite3.Error as error:
            log.error("the agent's record cannot be written (%s); make room on %s", error, self._here.path)
            self._orders_seen = 0
            if self._reserve.give_up():
                log.warning("it is written with the room that was kept for this")
                self._reserve_from_s = time.monotonic() + RESERVE_PAUSE_S
            else:
                self._stop.sleep(DISK_PAUSE_S)  # what happens meanwhile is asked anew at the next start

    def _machine(self) -> Machine:
        return Machine(self._record, self._here.attempts_root(self._settings), random.getrandbits, Pace())

    def _wait(self, wake_ms: int | None) -> list[Input] | None:
        """What has happened, at the latest when the machine wants to be woken. None: told to end."""
        inputs: list[Input] = []
        pause_s = 60.0 if wake_ms is None else min(60.0, max(0.0, (wake_ms - _now_ms()) / 1_000))
        try:
            first = self._inbox.get(timeout=pause_s)
            while first is not None:
                inputs.append(first)
                if len(inputs) >= LARGEST_STEP:
                    return inputs
                first = self._inbox.get_nowait()
        except queue.Empty:
            return inputs or [Tick()]
        return None

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendPull():
                if self._pull_under_way:  # it has been overtaken: its answer would not count
                    self._pull.interrupt()
                self._pull_under_way = True
                self._queues["pull"].put(lambda: self._send_pull(effect))
            case SendReport():
                self._queues["report"].put(lambda: self._send_report(effect))
            case Fetch():
                self._queues["files"].put(lambda: self._fetch(effect))
            case Collect():
                self._queues["files"].put(lambda: self._collect(effect))
            case SendLogs():
                self._queues["logs"].put(lambda: self._send_logs(effect))
            case Forget():
                self._queues["logs"].put(lambda: self._forget(effect))
            case Submit():
                self._queues["engine"].put(lambda: self._submit(effect))
            case Observe():
                self._queues["engine"].put(lambda: self._ask_engine(lambda: self._observe(effect)))
            case Cancel():
                self._queues["engine"].put(
                    lambda: self._ask_engine(lambda: self._driver.cancel(effect.attempts))
                )
            case Withdraw():
                if "withdraw" in self._driver.capabilities:
                    self._queues["engine"].put(
                        lambda: self._ask_engine(lambda: self._driver.withdraw(effect.attempts))
                    )
            case Describe():
                self._queues["engine"].put(lambda: self._ask_engine(self._describe))

    def _send_pull(self, effect: SendPull) -> None:
        try:
            answer = self._pull.pull(effect.pull, LONG_POLL_MS)
            self._pull_under_way = False
        except TransportError as error:
            self._pull_under_way = False
            self._say("pull", str(error))
            self._put(PullFailed(effect.number, str(error), not isinstance(error, UnreachableError)))
        else:
            self._say("pull", "")
            self._put(PullAnswered(effect.number, answer))

    def _send_report(self, effect: SendReport) -> None:
        try:
            answer = self._report.report(effect.report)
        except TransportError as error:
            self._say("report", str(error))
            self._put(ReportFailed(effect.number, str(error), not isinstance(error, UnreachableError)))
        else:
            self._say("report", "")
            self._put(ReportAnswered(effect.number, answer))

    def _fetch(self, effect: Fetch) -> None:
        files = Path(effect.folder), effect.inputs
        self._put(fetch_inputs(self._own_transport(), effect.attempt, *files, self._sources, effect.account))

    def _collect(self, effect: Collect) -> None:
        try:
            collected = collect(
                self._driver, self._own_transport(), effect.attempt, effect.tries, self._sources
            )
        except EngineUnreachableError as error:
            self._put(EngineUnreachable(str(error)))
            collected = Collected(effect.attempt.id, problem=str(error), again=True)
        if collected.problem:
            log.warning("%s: %s", collected.attempt, collected.problem)
        self._put(collected)

    def _send_logs(self, effect: SendLogs) -> None:
        place = effect.attempt, effect.task, effect.stream, effect.offset
        try:
            self._put(send_log(self._driver, self._own_transport(), *place, effect.limit))
        except EngineUnreachableError:
            self._put(LogsSent(*place, failed=True))

    def _forget(self, effect: Forget) -> None:
        try:
            self._driver.forget([attempt for attempt, _ in effect.attempts])
        except EngineUnreachableError as error:
            self._put(EngineUnreachable(str(error)))
            return
        gone = []
        for attempt, folder in effect.attempts:
            # A fetch that was overtaken by a stop may still write into it; the machine asks again then.
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            if not folder or not Path(folder).exists():
                gone.append(attempt)
        self._put(Forgotten(tuple(gone)))

    def _submit(self, effect: Submit) -> None:
        orders, refusals = [], []
        for order in effect.orders:
            if order.work.image and "containers" not in self._driver.capabilities:
                message = f"the engine of this centre runs no container images, and the job asks for {order.work.image}"
                refusals.append(SubmitOutcome(order.attempt, False, message))
                continue
            try:
                make_work_folder(order.folder)
                orders.append(order)
            except OSError as error:
                refusals.append(SubmitOutcome(order.attempt, False, disk_problem("its work folder", error)))
        if refusals:
            self._put(SubmitAnswered(tuple(refusals)))
        if not orders:
            return
        try:
            outcomes = self._driver.submit(orders, _now_ms())
        except EngineUnreachableError as error:
            self._say("engine", str(error))
            self._put(SubmitUnknown(tuple(order.attempt for order in orders), str(error)))
        else:
            self._put(SubmitAnswered(tuple(outcomes)))

    def _ask_engine(self, question: Callable[[], None]) -> None:
        try:
            question()
        except EngineUnreachableError as error:
            self._say("engine", str(error))
            self._put(EngineUnreachable(str(error)))
        else:
            self._say("engine", "")

    def _observe(self, effect: Observe) -> None:
        self._put(EngineStates(tuple(self._driver.observe(effect.attempts)), effect.number))

    def _describe(self) -> None:
        # URLs are fetched and written by the agent itself, whatever its engine can do.
        pools = tuple(
            replace(pool, capabilities=tuple(sorted({*pool.capabilities, *self._sources.capabilities})))
            for pool in self._driver.describe(_now_ms())
        )
        self._put(Described(pools, frozenset(self._driver.live())))

    def _news(self) -> None:
        """Sleep in the driver until something may have changed, and tell it."""
        while not self._ending.is_set():
            try:
                self._driver.wait(30.0)
                changed = self._driver.changed()
                if changed:
                    states = tuple(self._driver.observe(changed))
                    self._put(EngineStates(tuple(s for s in states if s.observed is not Observed.NOTHING)))
            except EngineUnreachableError as error:
                self._put(EngineUnreachable(str(error)))
                self._ending.wait(1.0)

    def _orders(self) -> None:
        """Look for local orders when poked, and every second, since a poke may be lost."""
        self._here.poke_socket.unlink(missing_ok=True)
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
            with self._here.short_path(self._here.poke_socket) as address:
                listener.bind(address)
            listener.settimeout(ORDERS_EVERY_S)
            while not self._ending.is_set():
                for number, order in self._record.orders():
                    if number > self._orders_seen:
                        self._orders_seen = number
                        log.info("local order: %s", order.value)
                        self._put(LocalOrder(order, number))
                with contextlib.suppress(TimeoutError):
                    listener.recv(16)

    def _look_at_entry(self, revision: str) -> None:
        """Fetch the centre's entry again when the server names another one than this."""
        if revision and revision != self._asked_revision and time.monotonic() >= self._renew_after_s:
            self._asked_revision = revision
            self._queues["logs"].put(self._renew_entry)

    def _renew_entry(self) -> None:
        try:
            entry = self._own_transport().centre()
            if entry.driver != self._entry.driver:
                log.warning("the centre's engine is now %s: start the agent again to use it", entry.driver)
                return
            self._driver.attach(entry.pools, engine_options(entry, self._settings))
        except (TransportError, EngineUnreachableError) as error:
            log.warning("the centre's entry has changed and could not be taken up yet: %s", error)
            self._renew_after_s = time.monotonic() + RENEW_PAUSE_S
            self._asked_revision = ""  # so that the next pull's answer asks again
        except ProblemError as error:
            log.error("the centre's entry has changed and cannot be used: %s", error)
        else:
            log.info("the centre's entry has changed: %d pools", len(entry.pools))
            self._entry = entry
            keep_entry(self._here, entry)
            self._queues["engine"].put(lambda: self._ask_engine(self._describe))

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=self._guard, args=(work,), daemon=True, name=name)
        thread.start()
        return thread

    def _serve(self, tasks: "queue.SimpleQueue[Callable[[], None] | None]") -> None:
        while (task := tasks.get()) is not None and not self._ending.is_set():
            task()

    def _guard(self, work: Callable[[], None]) -> None:
        """A thread that dies must not leave an agent that looks alive: the whole process ends, and says why."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (told to the main thread, which ends with it)
            self._crash = error
            self._inbox.put(None)

    def _own_transport(self) -> Transport:
        transport: Transport | None = getattr(self._local, "transport", None)
        if transport is None:
            transport = self._local.transport = self._transport()
            self._transports.append(transport)
        return transport

    def _transport(self) -> HttpTransport:
        return transport_for(self._settings, self._token)

    def _put(self, happened: Input) -> None:
        self._inbox.put(happened)

    def _say(self, what: str, trouble: str) -> None:
        """Log a trouble once, and its end."""
        before = self._said.get(what, "")
        self._said[what] = trouble
        if trouble and trouble != before and not self._ending.is_set():
            log.warning("%s: %s", what, trouble)
        elif before and not trouble:
            log.info("%s: works again", what)

    def _end(self, threads: Iterable[threading.Thread]) -> None:
        self._ending.set()
        for tasks in self._queues.values():
            for _ in range(FILE_THREADS):
                tasks.put(None)
        for transport in list(self._transports):
            transport.interrupt()
        self._driver.wake()
        poke(self._here)  # the thread that listens for orders
        until = time.monotonic() + 5.0
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        self._here.poke_socket.unlink(missing_ok=True)
        self._record.close()
        log.info("agent of centre %s ends; what it started goes on", self._entry.centre)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


__all__ = ["run_agent"]
