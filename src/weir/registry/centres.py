"""Centres, pools and device models as they are listed, told to agents, and drained."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select, update

from weir.access.actor import Actor
from weir.access.audit import record
from weir.model.agent import CentreEntry, PoolEntry, PoolObservation
from weir.model.change import ChangeKind
from weir.model.problem import not_found
from weir.model.province import Centre, DeviceModel, Pool
from weir.model.state import Observed
from weir.model.view import CentreView, PoolView
from weir.registry.drift import drift, observed_nodes, usable
from weir.registry.rows import from_body, running_by_pool
from weir.store import Transaction
from weir.store import schema as s


def list_centres(connection: Connection) -> tuple[CentreView, ...]:
    """All centres in order of their id, those that go when they are empty included."""
    running = running_by_pool(connection, observed=Observed.RUNNING)
    pools = [centre for (centre,) in connection.execute(select(s.pool.c.centre))]
    views = []
    for row in connection.execute(select(s.centre).order_by(s.centre.c.id)):
        centre = from_body(Centre, row.body)
        views.append(
            CentreView(
                id=row.id,
                name=centre.name,
                name_zh=centre.name_zh,
                kind=centre.kind.value,
                city=centre.city,
                operator=centre.operator,
                driver=centre.engine.driver,
                reachable=row.reachable,
                draining=row.draining or row.agent_draining,
                removed=row.removed,
                heartbeat_ms=row.heartbeat_ms,
                pools=pools.count(row.id),
                running=sum(count for (where, _), count in running.items() if where == row.id),
                unclaimed=tuple(json.loads(row.unclaimed)),
            )
        )
    return tuple(views)


def list_pools(connection: Connection, centre: str | None = None) -> tuple[PoolView, ...]:
    """The pools of all centres or of one, in order of centre and id, declared and observed.

    What is free is left out, since only the scheduler knows it; `runs_as` is whole.
    Raises ProblemError for an unknown centre.
    """
    if centre is not None:
        _centre_row(connection, centre)
    running = running_by_pool(connection, observed=Observed.RUNNING)
    query = (
        select(s.pool, (s.centre.c.draining | s.centre.c.agent_draining).label("centre_draining"))
        .join(s.centre, s.centre.c.id == s.pool.c.centre)
        .order_by(s.pool.c.centre, s.pool.c.id)
    )
    if centre is not None:
        query = query.where(s.pool.c.centre == centre)
    views = []
    for row in connection.execute(query):
        pool = from_body(Pool, row.body)
        observed = from_body(PoolObservation, row.observed) if row.observed else None
        shape = usable(pool, observed)
        views.append(
            PoolView(
                centre=row.centre,
                id=row.id,
                device=pool.device,
                declared_nodes=pool.nodes,
                speed_milli=pool.speed,
                observed_nodes=None if observed is None else observed_nodes(observed),
                used_nodes_limit=shape.nodes,
                devices_per_node=shape.devices_per_node,
                cores_milli_per_node=shape.cores_milli_per_node,
                memory_bytes_per_node=shape.memory_bytes_per_node,
                shared=pool.shared,
                reservations=pool.reservations,
                device_hour_micro_yuan=pool.price.device_hour,
                core_hour_micro_yuan=pool.price.core_hour,
                capabilities=() if observed is None else observed.capabilities,
                drift=drift(pool, observed),
                draining=pool.draining or row.removed or row.centre_draining,
                removed=row.removed,
                running=running.get((row.centre, row.id), 0),
                runs_as={} if observed is None else observed.runs_as,
            )
        )
    return tuple(views)


def list_devices(connection: Connection) -> tuple[DeviceModel, ...]:
    """The device models of the province in order of their id: those in use, and those its file declares."""
    rows = connection.execute(select(s.device_model).order_by(s.device_model.c.id))
    return tuple(from_body(DeviceModel, row.body) for row in rows)


def centre_entry(connection: Connection, centre: str, store_incarnation: str) -> CentreEntry:
    """What the agent of a centre must know to run things there; pools that are to become empty included.

    Raises ProblemError where there is no such centre.
    """
    declared = from_body(Centre, _centre_row(connection, centre))
    query = select(s.pool.c.body).where(s.pool.c.centre == centre).order_by(s.pool.c.id)
    pools = [from_body(Pool, body) for body in connection.scalars(query)]
    resources = _kubernetes_resources(connection, pools) if declared.engine.driver == "kubernetes" else {}
    return CentreEntry(
        centre=centre,
        driver=declared.engine.driver,
        options=declared.engine.options,
        pools=tuple(_pool_entry(pool, resources.get(pool.device, "")) for pool in pools),
        store_incarnation=store_incarnation,
    )


def centre_operator(connection: Connection, centre: str) -> str:
    """The organisation that operates the centre, empty for none. Raises ProblemError (404)."""
    return from_body(Centre, _centre_row(connection, centre)).operator


def visible_devices_variables(connection: Connection) -> Mapping[str, str]:
    """By device model, the variable through which its software stack is told which devices it may use."""
    return {model.id: model.visible_devices_variable for model in list_devices(connection)}


def set_draining(tx: Transaction, centre: str, draining: bool, actor: Actor, now_ms: int) -> bool:
    """Let the centre start nothing new, or let it start again; returns whether that changed anything.

    What runs there goes on. Appends a CENTRE change and wakes the agent. Raises ProblemError (404) for an
    unknown centre.
    """
    _centre_row(tx.connection, centre)
    done = tx.connection.execute(
        update(s.centre)
        .where(s.centre.c.id == centre, s.centre.c.draining != draining)
        .values(draining=draining)
    )
    if not done.rowcount:
        return False
    tx.append(ChangeKind.CENTRE, {"centre": centre}, at_ms=now_ms)
    tx.touch_centre(centre)
    record(tx, actor, "centre.drain" if draining else "centre.resume", centre, {}, now_ms)
    return True


def _centre_row(connection: Connection, centre: str) -> str:
    body = connection.execute(select(s.centre.c.body).where(s.centre.c.id == centre)).scalar_one_or_none()
    if body is None:
        raise not_found("centre", centre)
    return str(body)


def _kubernetes_resources(connection: Connection, pools: Sequence[Pool]) -> Mapping[str, str]:
    """By device model, what its device plugin calls it; only that engine has a use for it."""
    models = s.device_model
    rows = connection.execute(select(models).where(models.c.id.in_({pool.device for pool in pools})))
    return {row.id: from_body(DeviceModel, row.body).kubernetes_resource for row in rows}


def _pool_entry(pool: Pool, kubernetes_resource: str) -> PoolEntry:
    return PoolEntry(
        id=pool.id,
        nodes=pool.nodes,
        devices_per_node=pool.devices_per_node,
        cores_milli_per_node=pool.cores_per_node,
        memory_bytes_per_node=pool.memory_per_node,
        device_model=pool.device,
        shares=pool.shares,
        options=pool.options,
        kubernetes_resource=kubernetes_resource,
    )
