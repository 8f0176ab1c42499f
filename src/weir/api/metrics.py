"""What is measured for Prometheus. Money never is for billing, and no job is ever a label."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from weir.billing.counter_check import last_check
from weir.model.change import Change, ChangeKind
from weir.model.state import JobState
from weir.registry import list_centres, list_pools
from weir.store import Store, schema

LOOK_AGAIN_S = 5.0
"""What is counted in the store is counted at most this often, however often it is asked for."""
_QUICK_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_QUEUE_S = (0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400, 604_800)
_ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Meters:
    """Counts and measures of this process; safe to use from several threads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._build = Gauge(
            "weir_build_info", "Always 1; says which version runs.", ["version"], registry=self.registry
        )
        self._finished = Counter(
            "weir_jobs_finished",
            "Jobs that ended, by centre and how.",
            ["centre", "state"],
            registry=self.registry,
        )
        self._queued = Histogram(
            "weir_job_queue_duration_seconds",
            "From ready to running.",
            buckets=_QUEUE_S,
            registry=self.registry,
        )
        self._cycle = Histogram(
            "weir_cycle_duration_seconds", "One control cycle.", buckets=_QUICK_S, registry=self.registry
        )
        self._write = Histogram(
            "weir_store_write_duration_seconds",
            "One durable write.",
            buckets=_QUICK_S,
            registry=self.registry,
        )
        self._requests = Counter(
            "weir_api_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._request = Histogram(
            "weir_api_request_duration_seconds",
            "Requests, waiting for news included.",
            ["method"],
            buckets=_QUICK_S,
            registry=self.registry,
        )

    def version(self, version: str) -> None:
        """Say which version runs."""
        self._build.labels(version).set(1)

    def cycle(self, took_s: float) -> None:
        """A control cycle took so long."""
        self._cycle.observe(took_s)

    def queued(self, waited_s: float) -> None:
        """A job started after having been ready for so long."""
        self._queued.observe(max(0.0, waited_s))

    def finished(self, centre: str, state: str, count: int) -> None:
        """So many jobs ended at this centre (empty for none) in this state."""
        self._finished.labels(centre, state).inc(count)

    def request(self, method: str, route: str, status: int, took_s: float) -> None:
        """A request was answered. `route` is the pattern of its address, so that ids make no labels."""
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "other"
        self._requests.labels(known, route or "none", str(status)).inc()
        self._request.labels(known).observe(took_s)

    @contextmanager
    def write(self) -> Iterator[None]:
        """Measure a write to the store."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._write.observe(time.perf_counter() - started)

    def text(self) -> bytes:
        """Everything, in Prometheus's text form."""
        return generate_latest(self.registry)


class JobObserver:
    """Follows the change log for what only the moment of a move tells: ends, and waits that are over."""

    def __init__(self, store: Store, meters: Meters) -> None:
        self._store = store
        self._meters = meters

    def __call__(self, changes: Sequence[Change]) -> None:
        """Look at changes, each once, in order."""
        moves = [
            (first, count, state)
            for change in changes
            if change.kind is ChangeKind.MOVED
            for first, count, state in change.body["moves"]
            if state in _ENDED or state == "running"
        ]
        if moves:
            self._store.read(lambda connection: self._look(connection, moves))

    def _look(self, connection: Connection, moves: Sequence[tuple[int, int, str]]) -> None:
        job, attempt = schema.job.c, schema.attempt.c
        placed = schema.job.outerjoin(
            schema.attempt, (attempt.job == job.number) & (attempt.epoch == job.epoch)
        )
        for first, count, state in moves:
            between = job.number.between(first, first + count - 1)
            if state == "running":
                rows = connection.execute(select(job.queued_ms, job.started_ms).where(between))
                for queued_ms, started_ms in rows:
                    if queued_ms is not None and started_ms is not None:
                        self._meters.queued((started_ms - queued_ms) / 1_000)
            else:
                query = select(attempt.centre, func.count()).select_from(placed).where(between)
                for centre, ended in connection.execute(query.group_by(attempt.centre)):
                    self._meters.finished(centre or "", state, ended)


class StoreCollector(Collector):
    """What the store holds now: jobs by state, centres and their devices."""

    def __init__(self, store: Store, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._looked_s: float | None = None
        self._found: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        """Counted anew when the last count is older than LOOK_AGAIN_S."""
        with self._lock:
            now_s = self._monotonic()
            if self._looked_s is None or now_s - self._looked_s >= LOOK_AGAIN_S:
                self._found = self._store.read(_counted)
                self._looked_s = now_s
            return self._found

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering reads nothing."""
        return []


def _counted(connection: Connection) -> list[Metric]:
    jobs = GaugeMetricFamily("weir_jobs", "Jobs by state.", labels=["state"])
    state = schema.job.c.state
    counts = {
        int(row[0]): int(row[1]) for row in connection.execute(select(state, func.count()).group_by(state))
    }
    for known in JobState:
        jobs.add_metric([known.name.lower()], counts.get(known, 0))
    reachable = GaugeMetricFamily("weir_centre_reachable", "Whether its agent answers.", labels=["centre"])
    running = GaugeMetricFamily("weir_centre_running_jobs", "Jobs that run there.", labels=["centre"])
    for centre in list_centres(connection):
        reachable.add_metric([centre.id], float(centre.reachable))
        running.add_metric([centre.id], centre.running)
    devices = GaugeMetricFamily(
        "weir_centre_devices",
        "Devices by model: declared, and usable now (the lesser of declared and seen).",
        labels=["centre", "model", "state"],
    )
    found: dict[tuple[str, str, str], int] = {}
    for pool in list_pools(connection):
        each = max(1, pool.devices_per_node)
        usable = 0 if pool.draining or pool.removed else pool.used_nodes_limit
        for key, nodes in (("declared", pool.declared_nodes), ("usable", usable)):
            name = (pool.centre, pool.device, key)
            found[name] = found.get(name, 0) + nodes * each
    for labels, number in sorted(found.items()):
        devices.add_metric(labels, number)
    return [jobs, reachable, running, devices, *_money(connection)]


def _money(connection: Connection) -> list[Metric]:
    """What somebody should look at: alarms, no amounts."""
    night = last_check(connection)
    wrong = GaugeMetricFamily(
        "weir_ledger_counter_faults", "Counters that the last nightly check found wrong."
    )
    checked = GaugeMetricFamily("weir_ledger_checked_timestamp_seconds", "When counters were last made anew.")
    if night is not None:
        wrong.add_metric([], len(night.faults))
        checked.add_metric([], night.at_ms / 1_000)
    waiting = GaugeMetricFamily(
        "weir_money_exceptions", "What could not be metered, priced or paid, and is open."
    )
    case = schema.money_exception.c
    query = select(func.count()).select_from(schema.money_exception).where(case.resolved_ms.is_(None))
    waiting.add_metric([], connection.execute(query).scalar_one())
    return [wrong, checked, waiting]


__all__ = ["JobObserver", "Meters", "StoreCollector"]
