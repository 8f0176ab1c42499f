"""What must hold in a province file beyond the form of its fields."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation

from weir.model.job_rules import JOB_OPTIONS
from weir.model.province import Capacity, Centre, CentreKind, DeviceKind, DeviceModel, Pool, Province, Share
from weir.registry.credit_code import credit_code_fault
from weir.registry.pool_times import curve, parse_start
from weir.scheduling.inputs import MOST_SEATS
from weir.units import format_duration, format_yuan

Path = tuple[str | int, ...]
Fault = tuple[Path, object, str]
"""Where, the value given, and what is accepted."""

VERSION = 1
ROLES = ("tenant", "centre-operator", "coordinator")
MOST_NODES = 1_000_000
MOST_DEVICES_PER_NODE = 1_024
MOST_SPEED = 1_000_000
MOST_CARBON = 10_000
LONGEST_CITY_FIRST_MS = 30 * 86_400_000
MOST_WAITING = 1_000_000
WITHOUT_OPTIONS = ("local", "kubernetes", "ray")
"""Engines of whose means a job chooses none."""
LONGEST_WINDOW_MS = 366 * 86_400_000
MOST_WEIGHT = 100
LARGEST_SHARE = 1_000_000_000_000_000
"""Micro-yuan an hour."""
DEAREST_BAND = 2_000_000_000
"""Micro-yuan for an hour."""

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ID_ACCEPTED = "give 1 to 63 small letters, digits and single dashes between them, such as wuhu-ai-1"


def province_faults(province: Province, catalogue: Mapping[str, DeviceModel]) -> list[Fault]:
    """Everything that is wrong with the province; empty where nothing is."""
    return [
        *_header(province),
        *_cities(province),
        *_organisations(province),
        *_projects(province),
        *_devices(province),
        *_centres(province, catalogue),
        *_links(province),
    ]


def _header(province: Province) -> Iterator[Fault]:
    if province.version != VERSION:
        yield ("version",), province.version, f"give version: {VERSION}"
    yield from _identity(("province",), province.province)
    if province.city_first is not None and not 0 < province.city_first <= LONGEST_CITY_FIRST_MS:
        accepted = (
            "give how long a job rather waits for its own city, up to 30 days, such as 30m; or leave it out"
        )
        yield ("city_first",), format_duration(province.city_first), accepted


def _cities(province: Province) -> Iterator[Fault]:
    yield from _unique("cities", (city.id for city in province.cities))
    for index, city in enumerate(province.cities):
        where = ("cities", index)
        yield from _identity((*where, "id"), city.id)
        for name, value, most in (("latitude", city.latitude, 90), ("longitude", city.longitude, 180)):
            if value is not None and not -most <= value <= most:
                yield (*where, name), value, f"give degrees from -{most} to {most}"


def _organisations(province: Province) -> Iterator[Fault]:
    yield from _unique("organisations", (organisation.id for organisation in province.organisations))
    for index, organisation in enumerate(province.organisations):
        where = ("organisations", index)
        fault = credit_code_fault(organisation.id)
        if fault:
            yield (*where, "id"), organisation.id, fault
        for place, role in enumerate(organisation.roles):
            if role not in ROLES:
                yield (*where, "roles", place), role, f"give one of {', '.join(ROLES)}"
        yield from _share((*where, "share"), organisation.share)


def _share(where: Path, share: Share) -> Iterator[Fault]:
    yield from _within((*where, "weight"), share.weight, 1, MOST_WEIGHT)
    if not 0 <= share.quota <= LARGEST_SHARE:
        accepted = f"give yuan an hour from 0 to {format_yuan(LARGEST_SHARE)}"
        yield (*where, "quota"), format_yuan(share.quota), accepted
    elif share.ceiling is not None and not share.quota <= share.ceiling <= LARGEST_SHARE:
        accepted = f"give yuan an hour from its quota to {format_yuan(LARGEST_SHARE)}, or leave it out"
        yield (*where, "ceiling"), format_yuan(share.ceiling), accepted


def _projects(province: Province) -> Iterator[Fault]:
    yield from _unique("projects", (project.id for project in province.projects))
    known = {organisation.id for organisation in province.organisations}
    for index, project in enumerate(province.projects):
        where = ("projects", index)
        yield from _identity((*where, "id"), project.id)
        yield from _known((*where, "organisation"), project.organisation, known, "organisations")


def _devices(province: Province) -> Iterator[Fault]:
    yield from _unique("devices", (device.id for device in province.devices))
    for index, device in enumerate(province.devices):
        where = ("devices", index)
        yield from _identity((*where, "id"), device.id)
        for name, value in (("cores", device.cores), ("qubits", device.qubits)):
            if value is not None:
                yield from _within((*where, name), value, 1, 1_000_000)


def _centres(province: Province, catalogue: Mapping[str, DeviceModel]) -> Iterator[Fault]:
    yield from _unique("centres", (centre.id for centre in province.centres))
    cities = {city.id for city in province.cities}
    organisations = {organisation.id for organisation in province.organisations}
    devices = {**catalogue, **{device.id: device for device in province.devices}}
    for index, centre in enumerate(province.centres):
        where = ("centres", index)
        yield from _known((*where, "city"), centre.city, cities, "cities")
        if centre.operator:
            fault = credit_code_fault(centre.operator)
            if fault:
                yield (*where, "operator"), centre.operator, fault
            else:
                yield from _known((*where, "operator"), centre.operator, organisations, "organisations")
        yield from _centre(where, centre, devices)


def _centre(where: Path, centre: Centre, devices: Mapping[str, DeviceModel]) -> Iterator[Fault]:
    yield from _identity((*where, "id"), centre.id)
    yield from _identity((*where, "engine", "driver"), centre.engine.driver)
    yield from _carbon(where, centre.carbon_g_per_kwh)
    for index, capacity in enumerate(centre.capacity):
        yield from _capacity((*where, "capacity", index), capacity)
    yield from _unique("pools", (pool.id for pool in centre.pools), where)
    for index, pool in enumerate(centre.pools):
        yield from _pool((*where, "pools", index), pool, devices)
        yield from _job_options((*where, "pools", index), pool, centre.engine.driver)


def _pool(where: Path, pool: Pool, devices: Mapping[str, DeviceModel]) -> Iterator[Fault]:
    yield from _identity((*where, "id"), pool.id)
    yield from _within((*where, "nodes"), pool.nodes, 1, MOST_NODES)
    yield from _within((*where, "devices_per_node"), pool.devices_per_node, 0, MOST_DEVICES_PER_NODE)
    yield from _within((*where, "speed"), pool.speed, 1, MOST_SPEED)
    yield from _carbon(where, pool.carbon_g_per_kwh)
    for name, price in (("device_hour", pool.price.device_hour), ("core_hour", pool.price.core_hour)):
        if price is not None and price < 0:
            yield (*where, "price", name), price, "a price is 0 or more"
    device = devices.get(pool.device)
    if device is None:
        accepted = "name a device model of the catalogue, or declare it under devices"
        yield (*where, "device"), pool.device, accepted
    elif device.kind is DeviceKind.CPU and pool.devices_per_node:
        accepted = f"{device.id} is a CPU: leave devices_per_node out, or name the accelerator as device"
        yield (*where, "devices_per_node"), pool.devices_per_node, accepted
    elif device.kind is not DeviceKind.CPU and not pool.devices_per_node:
        accepted = (
            f"say how many of {device.id} a node has; a pool without accelerators names its CPU as device"
        )
        yield (*where, "devices_per_node"), pool.devices_per_node, accepted
    if pool.shares and not pool.devices_per_node:
        yield (*where, "shares"), pool.shares, "there is no device to share; leave it out"
    yield from _reservations(where, pool)
    if pool.waiting_at_most is not None:
        yield from _within((*where, "waiting_at_most"), pool.waiting_at_most, 1, MOST_WAITING)
    for name, value in (("waiting_at_most", pool.waiting_at_most), ("preempts", pool.preempts)):
        if value and not pool.shared:
            yield (*where, name), value, "that is for a pool with shared: true; leave it out"
    yield from _windows(where, pool)
    yield from _bands(where, pool)


def _reservations(where: Path, pool: Pool) -> Iterator[Fault]:
    if pool.reservations is None:
        return
    here = (*where, "reservations")
    yield from _within(here, pool.reservations, 1, MOST_SEATS)
    if pool.shares and pool.reservations > 1:
        accepted = "a pool with shares: true promises one start at a time; give 1 or leave it out"
        yield here, pool.reservations, accepted


def _job_options(where: Path, pool: Pool, driver: str) -> Iterator[Fault]:
    for name, values in pool.job_options.items():
        here = (*where, "job_options", name)
        if driver in WITHOUT_OPTIONS:
            yield here, list(values), f"work of the {driver} engine has no such options; leave it out"
        elif name not in JOB_OPTIONS:
            yield here, list(values), f"a job may choose {', '.join(JOB_OPTIONS)}"
        elif not values:
            yield here, list(values), "say which values a job may give it"


def _windows(where: Path, pool: Pool) -> Iterator[Fault]:
    for index, window in enumerate(pool.windows):
        try:
            start = parse_start(window.start)
        except ValueError as error:
            yield (*where, "windows", index, "start"), window.start, str(error)
            continue
        if not 0 < window.lasts < (start.every_ms or LONGEST_WINDOW_MS):
            accepted = "give how long it is out of service, less than until the next time, such as 4h"
            yield (*where, "windows", index, "lasts"), format_duration(window.lasts), accepted


def _bands(where: Path, pool: Pool) -> Iterator[Fault]:
    faults = 0
    for index, band in enumerate(pool.bands):
        here = (*where, "bands", index)
        try:
            parse_start(band.start)
        except ValueError as error:
            faults += 1
            yield (*here, "start"), band.start, str(error)
        yield from _carbon(here, band.carbon_g_per_kwh)
        figures = {"device_hour": band.device_hour, "core_hour": band.core_hour}
        for name, price in figures.items():
            if price is not None and not 0 <= price <= DEAREST_BAND:
                yield (*here, name), format_yuan(price), f"give a price from 0 to {format_yuan(DEAREST_BAND)}"
        if all(figure is None for figure in (*figures.values(), band.carbon_g_per_kwh)):
            yield here, band.start, "say what holds from then on: device_hour, core_hour or carbon_g_per_kwh"
        if band.device_hour is not None and not pool.devices_per_node:
            yield (
                (*here, "device_hour"),
                format_yuan(band.device_hour),
                "the pool has no devices; leave it out",
            )
    if not faults:
        for name in ("device_hour", "core_hour", "carbon_g_per_kwh"):
            try:
                curve(pool.bands, name)
            except ValueError as error:
                yield (*where, "bands"), name, str(error)


def _capacity(where: Path, capacity: Capacity) -> Iterator[Fault]:
    kinds = [kind.value for kind in CentreKind]
    if capacity.kind not in kinds:
        yield (*where, "kind"), capacity.kind, f"give one of {', '.join(kinds)}"
    if not capacity.unit:
        yield (*where, "unit"), capacity.unit, "give its unit, such as P or qubit"
    if capacity.basis not in ("nominal", "measured"):
        yield (*where, "basis"), capacity.basis, "give nominal or measured"
    try:
        value = Decimal(capacity.value)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value <= 0:
        yield (*where, "value"), capacity.value, 'give a decimal number above 0 in quotes, such as "33.3"'
    try:
        date.fromisoformat(capacity.date)
    except ValueError:
        yield (*where, "date"), capacity.date, "give the day that the figure is of, such as 2025-09-24"


def _links(province: Province) -> Iterator[Fault]:
    known = {centre.id for centre in province.centres}
    seen: dict[frozenset[str], int] = {}
    for index, link in enumerate(province.links):
        where = ("links", index)
        yield from _known((*where, "a"), link.a, known, "centres")
        yield from _known((*where, "b"), link.b, known, "centres")
        ends = frozenset((link.a, link.b))
        if len(ends) == 1:
            yield (*where, "b"), link.b, "a link joins two centres; name another than a"
        elif ends in seen:
            accepted = f"links[{seen[ends]}] joins the same centres, and a link holds both ways; keep one"
            yield where, f"{link.a} and {link.b}", accepted
        seen.setdefault(ends, index)


def _carbon(where: Path, value: int | None) -> Iterator[Fault]:
    if value is not None:
        yield from _within((*where, "carbon_g_per_kwh"), value, 0, MOST_CARBON)


def _identity(where: Path, text: str) -> Iterator[Fault]:
    if not _ID.fullmatch(text) or len(text) > 63:
        yield where, text, ID_ACCEPTED


def _within(where: Path, value: int, least: int, most: int) -> Iterator[Fault]:
    if not least <= value <= most:
        yield where, value, f"give a number from {least} to {most}"


def _known(where: Path, name: str, known: Iterable[str], place: str) -> Iterator[Fault]:
    if name not in known:
        yield where, name, f"name one that is declared under {place}"


def _unique(kind: str, ids: Iterable[str], where: Path = ()) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, name in enumerate(ids):
        if name in seen:
            yield (*where, kind, index, "id"), name, f"{kind}[{seen[name]}] has this id; choose another"
        seen.setdefault(name, index)
