"""A province after what-if changes: its pools and links anew, and what happens to them at a moment of the run."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Any

from weir.model.problem import refused
from weir.model.province import DeviceModel
from weir.registry.catalogue import device_catalogue
from weir.registry.pool_rows import CAPABILITIES
from weir.scheduling.inputs import Curve, LinkRow, PoolRow, Window
from weir.scheduling.supply import check_times
from weir.twin.change import MOST_NODES, AddPool, AddPower, AddWindow, Change, Close, Remove, SetPrice
from weir.units import format_duration, format_yuan

PETA = 10**15


@dataclass(frozen=True, slots=True)
class PoolEvent:
    """From a moment of the run on, a pool is closed for this reason, or open where it is empty."""

    at_ms: int
    pool: str
    """Its key."""
    closed_because: str
    lost: bool = False
    """What runs there at that moment is lost and waits anew."""


@dataclass(frozen=True, slots=True)
class Changed:
    """A province after its changes."""

    pools: tuple[PoolRow, ...]
    """By key."""
    links: tuple[LinkRow, ...]
    events: tuple[PoolEvent, ...]
    """By time, then by pool."""
    notes: tuple[str, ...]
    """What was done, in words: what was rounded, and what was taken from where."""


def apply_changes(
    pools: Sequence[PoolRow],
    links: Sequence[LinkRow],
    changes: Iterable[Change],
    catalogue: Mapping[str, DeviceModel] | None = None,
    origin_ms: int = 0,
) -> Changed:
    """The province with these changes made in order; `catalogue` is Weir's own unless given.

    origin_ms: the Unix time from which the run counts, since windows are kept in such times.

    Raises ProblemError naming the part, what was given and what is accepted; nothing is then changed.
    """
    made = Changed(tuple(sorted(pools, key=lambda pool: pool.key)), tuple(links), (), ())
    models = device_catalogue() if catalogue is None else catalogue
    for change in changes:
        if isinstance(change, AddPool):
            made = _with_pool(made, change, models)
        elif isinstance(change, AddPower):
            made = _with_power(made, change, models)
        elif isinstance(change, SetPrice):
            made = _with_price(made, change)
        elif isinstance(change, Close):
            made = _with_closing(made, change)
        elif isinstance(change, AddWindow):
            made = _with_window(made, change, origin_ms)
        else:
            made = _without(made, change)
    return replace(made, events=tuple(sorted(made.events, key=lambda event: (event.at_ms, event.pool))))


def _with_pool(made: Changed, change: AddPool, models: Mapping[str, DeviceModel]) -> Changed:
    key = f"{change.centre}/{change.pool}"
    if any(pool.key == key for pool in made.pools):
        raise refused("change.pool", key, "there is such a pool already; give another name")
    said = change.said
    same = [pool for pool in made.pools if pool.device_model == change.model]
    largest = max(same, key=lambda pool: (pool.nodes, pool.key), default=None)
    model = models.get(change.model)
    if model is None and largest is None:
        raise refused(
            "change.model", change.model, _near(change.model, [*models], "a device model of the catalogue")
        )
    home, links, notes = _home(made, change)
    taken: list[str] = []

    def value(given: int | None, attribute: str, option: str, default: int | None = None) -> int:
        if given is not None:
            return given
        if largest is not None:
            taken.append(option)
            return int(getattr(largest, attribute))
        if default is None:
            raise refused(
                f"change.{option}", change.model, f"no pool of the province has this model; say {option}"
            )
        return default

    is_cpu = model is not None and model.kind.value == "cpu"
    devices = value(said.devices, "devices_per_node", "devices", 0 if is_cpu else None)
    row = PoolRow(
        key=key,
        centre=change.centre,
        city=home.city,
        kind=home.kind,
        device_model=change.model,
        stack=model.stack if model else largest.stack if largest else "",
        domestic=model.domestic if model else bool(largest and largest.domestic),
        device_memory_bytes=(model.memory or 0) if model else largest.device_memory_bytes if largest else 0,
        precisions=tuple(sorted(model.peak)) if model else largest.precisions if largest else (),
        nodes=change.nodes,
        devices_per_node=devices,
        cores_milli_per_node=value(said.cores_milli, "cores_milli_per_node", "cores"),
        memory_bytes_per_node=value(said.memory_bytes, "memory_bytes_per_node", "memory"),
        shares=bool(largest and largest.shares),
        speed_milli=value(said.speed_milli, "speed_milli", "speed", 1_000),
        device_hour_micro_yuan=value(
            said.device_hour_micro_yuan, "device_hour_micro_yuan", "device-hour", None if devices else 0
        ),
        core_hour_micro_yuan=value(said.core_hour_micro_yuan, "core_hour_micro_yuan", "core-hour"),
        carbon_g_per_kwh=home.carbon_g_per_kwh if said.carbon_g_per_kwh is None else said.carbon_g_per_kwh,
        device_power_watts=(model.power or 0) if model else largest.device_power_watts if largest else 0,
        capabilities=CAPABILITIES,
        closed_because=f"it is added at {format_duration(said.at_ms)}" if said.at_ms else "",
    )
    if model is not None and (model.kind.value == "cpu") == bool(devices):
        accepted = "a CPU pool has no devices" if devices else "say how many devices a node has: devices N"
        raise refused("change.devices", devices, accepted)
    words = f"{key}: {change.nodes} nodes of {change.model} with {devices} devices each"
    if taken and largest is not None:
        words += f"; {', '.join(taken)} as at {largest.key}"
    return Changed(
        tuple(sorted((*made.pools, row), key=lambda pool: pool.key)),
        links,
        (*made.events, PoolEvent(said.at_ms, key, "")) if said.at_ms else made.events,
        (*made.notes, *notes, words),
    )


def _home(made: Changed, change: AddPool) -> tuple[PoolRow, tuple[LinkRow, ...], tuple[str, ...]]:
    """A pool of the centre, or of the one that it is like; the links with those of a new centre; and what was done."""
    here = [pool for pool in made.pools if pool.centre == change.centre]
    centres = sorted({pool.centre for pool in made.pools})
    if here:
        return here[0], made.links, ()
    if not change.said.like:
        accepted = (
            _near(change.centre, centres, "a centre of the province") + "; or found it with like CENTRE"
        )
        raise refused("change.centre", change.centre, accepted)
    like = change.said.like
    model = [pool for pool in made.pools if pool.centre == like]
    if not model:
        raise refused("change.like", like, _near(like, centres, "a centre of the province"))
    joined = [link for link in made.links if like in (link.a, link.b)]
    copied = [
        _link(change.centre, link.b if link.a == like else link.a, link.bits_per_second, link.latency_ms)
        for link in joined
    ]
    if joined:
        best = max(link.bits_per_second for link in joined)
        copied.append(_link(change.centre, like, best, min(link.latency_ms for link in joined)))
    note = f"{change.centre}: a new centre in {model[0].city}, with the links of {like} and one to it"
    return model[0], (*made.links, *copied), (note,)


def _link(one: str, other: str, bits_per_second: int, latency_ms: int) -> LinkRow:
    return LinkRow(min(one, other), max(one, other), bits_per_second, latency_ms)


def _with_power(made: Changed, change: AddPower, models: Mapping[str, DeviceModel]) -> Changed:
    model = models.get(change.model)
    if model is None:
        raise refused(
            "change.model", change.model, _near(change.model, [*models], "a device model of the catalogue")
        )
    rate = change.measured or model.peak.get(change.precision, 0)
    if not rate:
        known = ", ".join(sorted(model.peak)) or "none"
        accepted = f"the catalogue has {known} of {model.id}; name one of these, or give a measured rate"
        raise refused("change.precision", change.precision, accepted)
    same = [pool for pool in made.pools if pool.device_model == model.id]
    largest = max(same, key=lambda pool: (pool.nodes, pool.key), default=None)
    said = change.said
    if model.kind.value == "cpu":
        cores = said.cores_milli or (largest.cores_milli_per_node if largest else 0)
        each = cores // 1_000 // (model.cores or 1)
        if not each:
            raise refused(
                "change.cores", cores // 1_000, f"say the cores of a node; a socket has {model.cores or 1}"
            )
    else:
        each = said.devices if said.devices is not None else largest.devices_per_node if largest else 0
        if not each:
            raise refused("change.devices", each, "say how many devices a node has: devices N")
    wanted = change.amount * PETA
    nodes = int((wanted / (each * rate)).to_integral_value(ROUND_CEILING))
    if nodes > MOST_NODES:
        raise refused(
            "change.amount", change.amount, f"that is {nodes} nodes; at most {MOST_NODES} are accepted"
        )
    pool = change.pool or _free_name(made, change.centre, model.id)
    power = Decimal(nodes * each * rate) / PETA
    basis = f"measured at {Decimal(rate) / 10**12:f} T a device" if change.measured else "nominal"
    note = (
        f"{change.amount:,} P of {change.precision} ({basis}) is {wanted / (each * rate):.2f} nodes with {each} of "
        f"{model.id}: rounded up to {nodes} nodes, {power:,.3f} P"
    )
    added = _with_pool(made, AddPool(change.centre, pool, model.id, nodes, said), models)
    return replace(added, notes=(*made.notes, note, *added.notes[len(made.notes) :]))


def _free_name(made: Changed, centre: str, model: str) -> str:
    taken = {pool.key for pool in made.pools}
    number, name = 1, f"{model}-added"
    while f"{centre}/{name}" in taken:
        number += 1
        name = f"{model}-added-{number}"
    return name


def _with_price(made: Changed, change: SetPrice) -> Changed:
    attribute = "device_hour_micro_yuan" if change.of == "device-hour" else "core_hour_micro_yuan"

    def meant(pool: PoolRow) -> bool:
        if change.by == "kind":
            return pool.kind == change.where
        if change.by == "model":
            return pool.device_model == change.where
        return change.where in ("all", pool.centre, pool.key)

    chosen = [pool for pool in made.pools if meant(pool)]
    if not chosen:
        names = {"kind": "kind", "model": "device_model"}.get(change.by)
        known = [getattr(pool, names) for pool in made.pools] if names else [pool.key for pool in made.pools]
        known += [] if names else [pool.centre for pool in made.pools]
        raise refused("change.where", change.where, _near(change.where, known, "one that the province has"))
    if change.of == "device-hour" and not any(pool.devices_per_node for pool in chosen):
        raise refused("change.of", change.of, "these pools have no devices; change core-hour")

    def priced(pool: PoolRow) -> PoolRow:
        if not meant(pool) or (change.of == "device-hour" and not pool.devices_per_node):
            return pool
        over_time = attribute.replace("micro_yuan", "over_time")
        after = _new_price(getattr(pool, attribute), change)
        changed: dict[str, Any] = {attribute: after, over_time: _new_prices(getattr(pool, over_time), change)}
        return replace(pool, **changed)

    after = tuple(priced(pool) for pool in made.pools)
    notes = [
        f"{pool.key}: {change.of} {format_yuan(getattr(before, attribute))} -> {format_yuan(getattr(pool, attribute))}"
        for before, pool in zip(made.pools, after, strict=True)
        if before != pool
    ]
    shown = notes if len(notes) <= 4 else [*notes[:3], f"and {len(notes) - 3} more pools alike"]
    return replace(made, pools=after, notes=(*made.notes, *shown))


def _new_price(before: int, change: SetPrice) -> int:
    if change.percent is None:
        return change.micro_yuan or 0
    return int((before * (100 + change.percent) / 100).to_integral_value())


def _new_prices(curve: Curve | None, change: SetPrice) -> Curve | None:
    """A price that is said holds at all times; a change in percent is one of every band."""
    if curve is None or change.percent is None:
        return None
    return Curve(tuple((at, _new_price(value, change)) for at, value in curve.steps), curve.every_ms)


def _with_closing(made: Changed, change: Close) -> Changed:
    keys = _keys(made, change.what, change.name)
    until = "" if change.back_ms is None else f" until {format_duration(change.back_ms)}"
    reason = f"its centre is lost{until}" if change.what == "centre" else f"the pool is lost{until}"
    if not change.lost:
        reason = f"it is draining{until}"
    events = [PoolEvent(change.at_ms, key, reason, change.lost) for key in keys]
    if change.back_ms is not None:
        events += [PoolEvent(change.back_ms, key, "") for key in keys]
    what = "lost" if change.lost else "drained"
    note = f"{change.name}: {what} at {format_duration(change.at_ms)}{until}, {_pools(len(keys))}"
    return replace(made, events=(*made.events, *events), notes=(*made.notes, note))


def _with_window(made: Changed, change: AddWindow, origin_ms: int) -> Changed:
    keys = [pool.key for pool in made.pools]
    if change.what != "all":
        keys = _keys(made, change.what, change.name)
    begin = origin_ms + change.at_ms
    window = Window(begin, begin + change.lasts_ms, change.every_ms)
    pools = tuple(
        replace(pool, windows=(*pool.windows, window)) if pool.key in keys else pool for pool in made.pools
    )
    for pool in pools:
        try:
            check_times(pool)
        except ValueError as error:
            raise refused("change.every", format_duration(change.every_ms), str(error)) from None
    again = f", every {format_duration(change.every_ms)}" if change.every_ms else ""
    note = (
        f"{change.name}: out of service at {format_duration(change.at_ms)} for "
        f"{format_duration(change.lasts_ms)}{again}, {_pools(len(keys))}"
    )
    return replace(made, pools=pools, notes=(*made.notes, note))


def _without(made: Changed, change: Remove) -> Changed:
    gone = set(_keys(made, change.what, change.name))
    left = tuple(pool for pool in made.pools if pool.key not in gone)
    if not left:
        raise refused("change.name", change.name, "then no pool is left; keep one")
    return replace(
        made,
        pools=left,
        events=tuple(event for event in made.events if event.pool not in gone),
        notes=(*made.notes, f"{change.name}: removed, {_pools(len(gone))}"),
    )


def _keys(made: Changed, what: str, name: str) -> list[str]:
    keys = [pool.key for pool in made.pools if name == (pool.centre if what == "centre" else pool.key)]
    if not keys:
        known = [pool.centre if what == "centre" else pool.key for pool in made.pools]
        raise refused(f"change.{what}", name, _near(name, known, f"a {what} of the province"))
    return keys


def _pools(count: int) -> str:
    return f"{count} pool" + ("" if count == 1 else "s")


def _near(name: str, known: Sequence[str], what: str) -> str:
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, 3, 0.5)
    shown = near or names[:6]
    return f"name {what}, such as {', '.join(shown)}" if shown else f"name {what}; there is none"


__all__ = ["Changed", "PoolEvent", "apply_changes"]
