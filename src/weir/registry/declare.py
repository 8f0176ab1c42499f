"""Making the store hold what a province file declares."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, delete, insert, update

from weir.access.actor import Actor
from weir.access.audit import record
from weir.model.change import ChangeKind
from weir.model.problem import conflict
from weir.model.province import DeviceModel, Province
from weir.registry.catalogue import device_catalogue
from weir.registry.difference import Action, Entry, ProvinceDiff, difference, load_use
from weir.registry.rows import PROVINCE_KEY, Declared, declared_by, load_declared, running_by_pool, to_body
from weir.store import Transaction
from weir.store import schema as s


def apply_province(
    tx: Transaction,
    province: Province,
    actor: Actor,
    now_ms: int,
    *,
    expected_digest: str = "",
    catalogue: Mapping[str, DeviceModel] | None = None,
) -> ProvinceDiff:
    """Make the store hold what the province declares, and say what that changed.

    Applying the same province again changes nothing. Where something changed, one PROVINCE change names the
    touched centres, their agents wake, and the audit log has an entry. A pool or centre that is left out and
    runs something stays, marked as removed, until `drop_empty`. With `expected_digest` (of a diff shown
    before) raises ProblemError (409) when what is declared has moved on since.
    """
    new = declared_by(province, device_catalogue() if catalogue is None else catalogue)
    found = difference(load_declared(tx.connection), new, load_use(tx.connection))
    if expected_digest and expected_digest != found.digest:
        raise conflict("the province has been changed since this difference was shown; look at it again")
    if not found.changed:
        return found
    _write_header(tx, new)
    for kind in _WRITE_ORDER:
        for entry in found.entries:
            if entry.kind == kind and entry.action in (Action.ADD, Action.CHANGE, Action.RETURN):
                _put(tx, entry, new)
    for kind in reversed(_WRITE_ORDER):
        for entry in found.entries:
            if entry.kind == kind and entry.action in (Action.REMOVE, Action.DRAIN):
                _take(tx, entry, now_ms)
    _tell(tx, found.centres, now_ms)
    detail = {"lines": list(found.lines()), "digest": found.digest}
    record(tx, actor, "province.apply", province.province, detail, now_ms)
    return found


def drop_empty(tx: Transaction, now_ms: int) -> tuple[str, ...]:
    """Delete the removed pools and centres where nothing runs any more; returns their names.

    Appends one PROVINCE change when there were any.
    """
    declared = load_declared(tx.connection)
    if not declared.removed_centres and not declared.removed_pools:
        return ()
    running = running_by_pool(tx.connection)
    pools = sorted(key for key in declared.removed_pools if not running.get(key))
    for centre, pool in pools:
        _delete_pool(tx, centre, pool)
    left = {centre for centre, pool in declared.pools if (centre, pool) not in pools}
    busy = {centre for centre, _ in running}
    centres = sorted(declared.removed_centres - left - busy)
    for centre in centres:
        _delete_centre(tx, centre, now_ms)
    if pools or centres:
        _tell(tx, tuple(sorted({centre for centre, _ in pools} | set(centres))), now_ms)
    return (*("/".join(key) for key in pools), *centres)


# Parents first, as foreign keys want it.
_WRITE_ORDER = ("city", "organisation", "project", "device", "centre", "pool", "link")
_TABLES: dict[str, Table] = {
    "city": s.city,
    "organisation": s.organisation,
    "project": s.project,
    "device": s.device_model,
}


def _tell(tx: Transaction, centres: tuple[str, ...], now_ms: int) -> None:
    tx.append(ChangeKind.PROVINCE, {"centres": list(centres)}, at_ms=now_ms)
    for centre in centres:
        tx.touch_centre(centre)


def _write_header(tx: Transaction, new: Declared) -> None:
    tx.connection.execute(delete(s.meta).where(s.meta.c.key == PROVINCE_KEY))
    tx.connection.execute(
        insert(s.meta).values(key=PROVINCE_KEY, value=json.dumps(new.header, ensure_ascii=False))
    )


def _put(tx: Transaction, entry: Entry, new: Declared) -> None:
    table, key, values = _row(entry, new)
    if entry.action is Action.ADD:
        tx.connection.execute(insert(table).values(**key, **values))
    else:
        condition = [table.c[name] == value for name, value in key.items()]
        tx.connection.execute(update(table).where(*condition).values(**values))


def _row(entry: Entry, new: Declared) -> tuple[Table, dict[str, str], dict[str, Any]]:
    """The table of an entry, the key of its row and the columns that follow from what is declared."""
    if entry.kind == "pool":
        centre, pool = entry.key.split("/")
        values = {"body": to_body(new.pools[centre, pool]), "removed": False}
        return s.pool, {"centre": centre, "id": pool}, values
    if entry.kind == "link":
        a, b = entry.key.split(" — ")
        return s.link, {"a": a, "b": b}, {"body": to_body(new.links[a, b])}
    if entry.kind == "centre":
        return s.centre, {"id": entry.key}, {"body": to_body(new.centres[entry.key]), "removed": False}
    if entry.kind == "project":
        project = new.projects[entry.key]
        columns = {
            "organisation": project.organisation,
            "name": project.name,
            "default_time_limit_ms": project.default_time_limit,
        }
        return s.project, {"id": project.id}, columns
    things: dict[str, Mapping[str, Any]] = {
        "city": new.cities,
        "organisation": new.organisations,
        "device": new.devices,
    }
    return _TABLES[entry.kind], {"id": entry.key}, {"body": to_body(things[entry.kind][entry.key])}


def _take(tx: Transaction, entry: Entry, now_ms: int) -> None:
    if entry.kind == "pool":
        centre, pool = entry.key.split("/")
        if entry.action is Action.REMOVE:
            _delete_pool(tx, centre, pool)
        else:
            condition = (s.pool.c.centre == centre, s.pool.c.id == pool)
            tx.connection.execute(update(s.pool).where(*condition).values(removed=True))
    elif entry.kind == "centre":
        if entry.action is Action.REMOVE:
            _delete_centre(tx, entry.key, now_ms)
        else:
            tx.connection.execute(update(s.centre).where(s.centre.c.id == entry.key).values(removed=True))
    elif entry.kind == "link":
        a, b = entry.key.split(" — ")
        tx.connection.execute(delete(s.link).where(s.link.c.a == a, s.link.c.b == b))
    else:
        table = _TABLES[entry.kind]
        tx.connection.execute(delete(table).where(table.c.id == entry.key))


def _delete_pool(tx: Transaction, centre: str, pool: str) -> None:
    tx.connection.execute(delete(s.pool).where(s.pool.c.centre == centre, s.pool.c.id == pool))


def _delete_centre(tx: Transaction, centre: str, now_ms: int) -> None:
    """With its invitations; the tokens of its agent and operators end."""
    tx.connection.execute(delete(s.invite).where(s.invite.c.centre == centre))
    tx.connection.execute(
        update(s.token)
        .where(s.token.c.centre == centre, s.token.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
    )
    tx.connection.execute(delete(s.pool).where(s.pool.c.centre == centre))
    tx.connection.execute(delete(s.centre).where(s.centre.c.id == centre))
