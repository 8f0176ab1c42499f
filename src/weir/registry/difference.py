"""What applying a province file would change, entry by entry, and how people read it."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, select

from weir.model.province import DeviceModel, Province
from weir.model.view import DifferenceView
from weir.registry.catalogue import device_catalogue
from weir.registry.rows import Declared, declared_by, load_declared, running_by_pool, to_body
from weir.store import schema as s
from weir.units import format_bytes, format_duration, format_yuan


class Action(Enum):
    """What happens to one declared thing; the value is the mark at the start of its line."""

    ADD = "+"
    CHANGE = "~"
    REMOVE = "-"
    DRAIN = "drain"
    """No longer declared, and something runs there: it starts nothing new and goes when it is empty."""
    RETURN = "return"
    """Was draining because it was no longer declared, and is declared again."""
    KEEP = "keep"
    """No longer declared, and kept, since submissions or tokens belong to it. Nothing changes."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a changed thing, with the old and the new value as people write them."""

    field: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of the difference; `kind` names the list of the file that it stands in, in the singular."""

    action: Action
    kind: str
    key: str
    fields: tuple[FieldChange, ...] = ()
    note: str = ""

    def line(self) -> str:
        """The entry as one line."""
        text = f"{self.action.value} {self.kind} {self.key}"
        if self.fields:
            text += ": " + ", ".join(f"{change.field} {change.old} → {change.new}" for change in self.fields)
        return f"{text} ({self.note})" if self.note else text


@dataclass(frozen=True, slots=True)
class ProvinceDiff:
    """What a province file changes against the declared state whose digest this is.

    `centres` are those whose own entry, pools, devices or links change, in order of their id.
    """

    entries: tuple[Entry, ...]
    centres: tuple[str, ...]
    digest: str

    @property
    def changed(self) -> bool:
        return any(entry.action is not Action.KEEP for entry in self.entries)

    def lines(self) -> tuple[str, ...]:
        """One line for each entry, ready to be read."""
        return tuple(entry.line() for entry in self.entries)

    def view(self) -> DifferenceView:
        """What the API shows."""
        return DifferenceView(self.lines(), self.changed, self.digest)


def diff(
    connection: Connection, province: Province, catalogue: Mapping[str, DeviceModel] | None = None
) -> ProvinceDiff:
    """What applying the province would change. The province declares the whole: what it leaves out goes."""
    new = declared_by(province, device_catalogue() if catalogue is None else catalogue)
    return difference(load_declared(connection), new, load_use(connection))


@dataclass(frozen=True, slots=True)
class Use:
    """What stands in the way of removing: attempts by pool, and organisations and projects with a history."""

    running: Mapping[tuple[str, str], int]
    organisations: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()


def load_use(connection: Connection) -> Use:
    """What the store holds that keeps declared things from being deleted."""
    submitters = connection.execute(
        select(s.submission.c.organisation, s.submission.c.project).distinct()
    ).all()
    holders = connection.execute(
        select(s.token.c.organisation, s.token.c.project).where(s.token.c.revoked_ms.is_(None)).distinct()
    ).all()
    users = [*submitters, *holders]
    # Budgets and contracts stay with their organisation, also where it has submitted nothing yet.
    payers = connection.execute(select(s.budget.c.organisation).union(select(s.contract.c.organisation)))
    return Use(
        running_by_pool(connection),
        frozenset({*(row.organisation for row in users), *payers.scalars()}),
        frozenset(row.project for row in users),
    )


def difference(old: Declared, new: Declared, use: Use) -> ProvinceDiff:
    """The difference of two declared states; a pure function of its arguments."""
    entries = [
        *_header(old, new),
        *_compared("city", old.cities, new.cities),
        *_organisations(old, new, use),
        *_compared("device", old.devices, _with_devices_of_draining(old, new, use)),
        *_centres(old, new, use),
        *_pools(old, new, use),
        *_compared("link", _joined(old.links), _joined(new.links)),
    ]
    return ProvinceDiff(tuple(entries), _touched(old, new, entries), declared_digest(old))


def declared_digest(declared: Declared) -> str:
    """A SHA-256 over everything declared."""
    digest = hashlib.sha256()
    for field in fields(declared):
        value = getattr(declared, field.name)
        if isinstance(value, frozenset):
            parts = [str(key) for key in sorted(value)]
        else:
            parts = [f"{key} {to_body(value[key])}" for key in sorted(value)]
        digest.update("\n".join([field.name, *parts, ""]).encode())
    return digest.hexdigest()


def _header(old: Declared, new: Declared) -> Iterator[Entry]:
    if old.header != new.header:
        key = new.header["id"]
        changes = tuple(_mapping_changes(old.header, new.header))
        yield (
            Entry(Action.CHANGE, "province", key, changes)
            if old.header
            else Entry(Action.ADD, "province", key)
        )


def _compared(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Entry]:
    for key in sorted({*old, *new}):
        if key not in old:
            yield Entry(Action.ADD, kind, key)
        elif key not in new:
            yield Entry(Action.REMOVE, kind, key)
        elif old[key] != new[key]:
            yield Entry(Action.CHANGE, kind, key, tuple(_field_changes(old[key], new[key])))


def _organisations(old: Declared, new: Declared, use: Use) -> Iterator[Entry]:
    kept_projects = {key for key in old.projects if key not in new.projects and key in use.projects}
    kept_organisations = {
        key
        for key in old.organisations
        if key not in new.organisations
        and (
            key in use.organisations
            or any(old.projects[project].organisation == key for project in kept_projects)
        )
    }
    for kind, before, after, kept in (
        ("organisation", old.organisations, new.organisations, kept_organisations),
        ("project", old.projects, new.projects, kept_projects),
    ):
        for entry in _compared(kind, before, after):
            if entry.key in kept:
                yield Entry(
                    Action.KEEP, kind, entry.key, note="not in the file; submissions or tokens belong to it"
                )
            else:
                yield entry


def _with_devices_of_draining(old: Declared, new: Declared, use: Use) -> dict[str, DeviceModel]:
    """The new device models, with those of pools that stay until they are empty."""
    devices = dict(new.devices)
    for key, pool in old.pools.items():
        if key not in new.pools and use.running.get(key) and pool.device in old.devices:
            devices.setdefault(pool.device, old.devices[pool.device])
    return devices


def _centres(old: Declared, new: Declared, use: Use) -> Iterator[Entry]:
    busy = {centre for (centre, _), count in use.running.items() if count}
    for key in sorted({*old.centres, *new.centres}):
        if key not in old.centres:
            yield Entry(Action.ADD, "centre", key)
        elif key not in new.centres:
            if key not in busy:
                yield Entry(Action.REMOVE, "centre", key)
            elif key not in old.removed_centres:
                yield Entry(
                    Action.DRAIN, "centre", key, note="something runs there; it goes when it is empty"
                )
        else:
            yield from _changed("centre", key, old.centres[key], new.centres[key], key in old.removed_centres)


def _pools(old: Declared, new: Declared, use: Use) -> Iterator[Entry]:
    for key in sorted({*old.pools, *new.pools}):
        name = "/".join(key)
        if key not in old.pools:
            yield Entry(Action.ADD, "pool", name)
        elif key not in new.pools:
            count = use.running.get(key, 0)
            if not count:
                yield Entry(Action.REMOVE, "pool", name)
            elif key not in old.removed_pools:
                yield Entry(
                    Action.DRAIN, "pool", name, note=f"{_attempts(count)} there; it goes when it is empty"
                )
        else:
            yield from _changed("pool", name, old.pools[key], new.pools[key], key in old.removed_pools)


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _changed(kind: str, key: str, old: Any, new: Any, was_removed: bool) -> Iterator[Entry]:
    changes = tuple(_field_changes(old, new))
    if was_removed:
        yield Entry(Action.RETURN, kind, key, changes)
    elif changes:
        yield Entry(Action.CHANGE, kind, key, changes)


def _touched(old: Declared, new: Declared, entries: list[Entry]) -> tuple[str, ...]:
    touched: set[str] = set()
    devices = {entry.key for entry in entries if entry.kind == "device"}
    for entry in entries:
        if entry.kind == "centre":
            touched.add(entry.key)
        elif entry.kind == "pool":
            touched.add(entry.key.split("/")[0])
        elif entry.kind == "link":
            touched.update(entry.key.split(" — "))
    for pools in (old.pools, new.pools):
        touched.update(centre for (centre, _), pool in pools.items() if pool.device in devices)
    return tuple(sorted(touched))


def _joined(links: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    return {" — ".join(ends): link for ends, link in links.items()}


def _field_changes(old: Any, new: Any, before: str = "") -> Iterator[FieldChange]:
    for field in fields(old):
        was, becomes = getattr(old, field.name), getattr(new, field.name)
        name = before + field.name
        if was == becomes:
            continue
        if is_dataclass(was) and is_dataclass(becomes):
            yield from _field_changes(was, becomes, f"{name}.")
        elif isinstance(was, Mapping) and isinstance(becomes, Mapping):
            yield from _mapping_changes(was, becomes, f"{name}.")
        else:
            yield FieldChange(name, _written(field.name, was), _written(field.name, becomes))


def _mapping_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], before: str = ""
) -> Iterator[FieldChange]:
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield FieldChange(before + key, _written(key, old.get(key)), _written(key, new.get(key)))


def _written(name: str, value: Any) -> str:
    """A value as people write it, by the name of its field where that says the unit."""
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        return (
            f"[{len(value)} entries]"
            if any(map(is_dataclass, value))
            else "[" + ", ".join(map(str, value)) + "]"
        )
    writer = _WRITERS.get(name)
    return writer(value) if writer is not None and isinstance(value, int) else str(value)


_WRITERS: dict[str, Callable[[int], str]] = {
    "memory": format_bytes,
    "memory_per_node": format_bytes,
    "default_time_limit": format_duration,
    "device_hour": format_yuan,
    "core_hour": format_yuan,
    "cores_per_node": lambda value: f"{value / 1_000:g}",
    "bandwidth": lambda value: f"{value / 10**9:g} Gbit/s",
    "latency": lambda value: f"{value / 1_000:g} ms",
    "power": lambda value: f"{value} W",
}
