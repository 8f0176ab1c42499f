"""Pools as the scheduling core sees them: the lesser of declared and observed, and why one is closed."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, select

from weir.billing.price_rows import with_prices
from weir.control.listed import AnyRow
from weir.control.sharing import Shared, declared, full, load_shared, observation_of
from weir.model.province import Centre, DeviceModel, Link, Pool
from weir.registry.pool_rows import CAPABILITIES, link_row, pool_row
from weir.registry.rows import from_body
from weir.scheduling.eligibility import fits_ever, largest_that_fits
from weir.scheduling.inputs import JobClass, LinkRow, PoolRow
from weir.scheduling.plan import Verdict
from weir.store import schema
from weir.store.migrate import RESTORED

_pool = schema.pool.c
_centre = schema.centre.c

_POOLS = (
    select(
        _pool.centre,
        _pool.id,
        _pool.body,
        _pool.removed,
        _pool.observed,
        _pool.expected_wait_ms,
        _centre.body.label("centre_body"),
        _centre.removed.label("centre_removed"),
        _centre.draining,
        _centre.agent_draining,
        _centre.reachable,
        _centre.synchronised_with,
    )
    .join(schema.centre, _centre.id == _pool.centre)
    .order_by(_pool.centre, _pool.id)
)
_DECLARED = (
    select(_pool.centre, _pool.id, _pool.body, _centre.body.label("centre_body"))
    .join(schema.centre, _centre.id == _pool.centre)
    .where(_pool.removed.is_(False), _centre.removed.is_(False))
)
_DEVICES = select(schema.device_model.c.id, schema.device_model.c.body)
_LINKS = select(schema.link.c.body)
_INCARNATION = select(schema.meta.c.value).where(schema.meta.c.key == "incarnation")
_RESTORED = select(schema.meta.c.value).where(schema.meta.c.key == RESTORED)


_FIELDS = {
    "centres": "constraints.centres",
    "cities": "constraints.cities",
    "kinds": "constraints.kinds",
    "devices": "devices",
    "device model": "devices.models",
    "device memory": "devices.memory",
    "precision": "devices.precision",
    "software stack": "devices.stack",
    "domestic": "devices.domestic",
    "variant": "variants",
    "device sharing": "devices.share",
    "engine": "tasks",
    "site options": "options",
    "preemption": "restartable",
    "devices a task": "devices.count",
    "cores a task": "cores",
    "memory a task": "memory",
    "tasks": "tasks",
    "data": "data",
}
"""The core's constraints, in the order in which it looks at them, by the field that states each."""


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """All pools and links. Compared by identity, so that what follows from them can be remembered."""

    rows: tuple[PoolRow, ...]
    links: tuple[LinkRow, ...] = ()
    removing: bool = False
    """Whether a pool waits to be empty before it is removed."""
    shared: Mapping[str, Shared] = field(default_factory=dict)
    """By key, the pools that are shared with their centre's own users."""

    @property
    def limited(self) -> bool:
        """Whether some pool takes only so many of Weir's jobs to wait there."""
        return any(pool.most_waiting is not None for pool in self.shared.values())

    def speed(self, key: str, job_class: JobClass) -> int:
        """How fast a pool runs a class of jobs, in millionths of nominal; nominal where it is not declared."""
        row = _by_key(self).get(key)
        if row is None:
            return 1_000_000
        return max(1, row.speed_milli * dict(job_class.variant_speeds).get(row.stack, 1_000))

    @property
    def prices(self) -> str:
        """What pools cost and emit, as a hash: equal where no price differs."""
        return _prices_of(self)


@functools.lru_cache(maxsize=4)
def _by_key(pools: Pools) -> dict[str, PoolRow]:
    return {row.key: row for row in pools.rows}


@functools.lru_cache(maxsize=4)
def _prices_of(pools: Pools) -> str:
    told = [
        (
            row.key,
            row.device_hour_micro_yuan,
            row.core_hour_micro_yuan,
            row.carbon_g_per_kwh,
            row.device_power_watts,
            row.memory_gb_hour_micro_yuan,
            row.device_hour_over_time,
            row.core_hour_over_time,
            row.carbon_over_time,
            row.books,
        )
        for row in pools.rows
    ]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def load_pools(connection: Connection) -> Pools:
    """What can be used now. Where the store was restored and a centre has not reported to it since, all is closed."""
    rows = connection.execute(_POOLS).all()
    incarnation = connection.execute(_INCARNATION).scalar_one()
    restored = connection.execute(_RESTORED).first() is not None
    awaited = sorted(
        {
            row.centre
            for row in rows
            if row.synchronised_with != incarnation
            # A store that was put back knows nothing of centres that came, or came back, after it was copied.
            and (row.reachable or (restored and not row.centre_removed))
        }
    )
    waiting = ""
    if awaited:
        shown = ", ".join(awaited[:3]) + (f" and {len(awaited) - 3} more" if len(awaited) > 3 else "")
        waiting = (
            f"nothing is placed until every centre has reported in full, or is known to be lost: {shown}"
        )
    devices = _devices(connection)
    shared = load_shared(connection, rows)
    made = [
        _pool_row(
            row,
            devices,
            shared.get(f"{row.centre}/{row.id}"),
            closed_because(row, incarnation) or waiting or full(shared, row),
        )
        for row in rows
    ]
    made = with_prices(connection, made)
    return Pools(
        tuple(sorted(made, key=lambda row: row.key)),
        tuple(_link_row(body) for body in connection.execute(_LINKS).scalars()),
        any(row.removed or row.centre_removed for row in rows),
        shared,
    )


def declared_pools(connection: Connection) -> Pools:
    """All pools that are declared and not removed, whole and open: what could ever be used."""
    rows = connection.execute(_DECLARED).all()
    return _declared(
        tuple((row.centre, row.id, row.body, row.centre_body) for row in rows),
        _device_bodies(connection),
        tuple(connection.execute(_LINKS).scalars()),
    )


class Never(NamedTuple):
    """That no pool could ever run a job: the field of its specification that asks too much, what it asks, and
    in words the largest that would fit."""

    field: str
    asked: str
    said: str


@functools.lru_cache(maxsize=4_096)
def why_never(pools: Pools, job_class: JobClass) -> Never | None:
    """Why no pool could ever run a job of this class; None where one could."""
    reasons = fits_ever(pools.rows, pools.links, job_class)
    if any(reason.verdict is Verdict.FITS for reason in reasons):
        return None
    failed = [reason.failed for reason in reasons if reason.failed]
    said = largest_that_fits(pools.rows, job_class)
    if said == "it fits":
        said = "its size would fit"
    if not failed:
        return Never("command", "to be run", said)
    # The pool that comes furthest through the constraints is the nearest to what is asked for.
    nearest = max(failed, key=lambda constraint: list(_FIELDS).index(constraint.name))
    return Never(_FIELDS[nearest.name], nearest.needed, said)


def closed_because(row: AnyRow, incarnation: str) -> str:
    """Why the pool starts nothing now, in words; empty where it does."""
    if row.removed or row.centre_removed:
        return "it is being removed"
    if row.draining or row.agent_draining or declared(Pool, row.body).draining:
        return "it is draining"
    if not row.reachable:
        return "its centre cannot be reached"
    if row.synchronised_with != incarnation:
        return "its centre has not reported in full yet"
    if row.observed is None:
        return "its engine has not been read yet"
    return ""


def _devices(connection: Connection) -> Mapping[str, DeviceModel]:
    return {name: declared(DeviceModel, body) for name, body in _device_bodies(connection)}


def _device_bodies(connection: Connection) -> tuple[tuple[str, str], ...]:
    return tuple((row.id, row.body) for row in connection.execute(_DEVICES))


@functools.lru_cache(maxsize=4)
def _declared(
    rows: tuple[tuple[str, str, str, str], ...], devices: tuple[tuple[str, str], ...], links: tuple[str, ...]
) -> Pools:
    models = {name: declared(DeviceModel, body) for name, body in devices}
    made = []
    for _, _, body, centre_body in rows:
        pool = declared(Pool, body)
        centre: Centre = declared(Centre, centre_body)
        # What its engine can do is not known before it has been read, so that nothing is ruled out by that.
        made.append(pool_row(centre, pool, models[pool.device], capabilities=CAPABILITIES))
    return Pools(tuple(sorted(made, key=lambda row: row.key)), tuple(_link_row(body) for body in links))


def _pool_row(row: AnyRow, devices: Mapping[str, DeviceModel], shared: Shared | None, closed: str) -> PoolRow:
    pool: Pool = declared(Pool, row.body)
    observed = None if row.observed is None else observation_of(row.observed)
    centre: Centre = declared(Centre, row.centre_body)
    return pool_row(
        centre,
        pool,
        devices[pool.device],
        observed,
        capabilities=frozenset(observed.capabilities if observed else ()),
        closed_because=closed,
        expected_wait_ms=(row.expected_wait_ms or 0) if shared else 0,
        sends_ahead=shared is not None and shared.sends_ahead,
    )


@functools.lru_cache(maxsize=8_192)
def _link_row(body: str) -> LinkRow:
    return link_row(from_body(Link, body))


__all__ = [
    "Pools",
    "closed_because",
    "declared_pools",
    "load_pools",
    "why_never",
]
