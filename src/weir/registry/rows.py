"""Declared things as rows, and rows as what was declared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select

from weir.model.codec import from_plain, to_plain
from weir.model.province import Centre, City, DeviceModel, Link, Organisation, Pool, Project, Province
from weir.model.state import Desired, Observed
from weir.store import schema as s

T = TypeVar("T")
PROVINCE_KEY = "province"


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared, by key. A centre is without its pools here; a pool's key is (centre, pool).

    `removed_centres` and `removed_pools` are of those the ones that are no longer declared and still run
    something.
    """

    header: dict[str, str] = field(default_factory=dict)
    cities: dict[str, City] = field(default_factory=dict)
    organisations: dict[str, Organisation] = field(default_factory=dict)
    projects: dict[str, Project] = field(default_factory=dict)
    devices: dict[str, DeviceModel] = field(default_factory=dict)
    centres: dict[str, Centre] = field(default_factory=dict)
    pools: dict[tuple[str, str], Pool] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    removed_centres: frozenset[str] = frozenset()
    removed_pools: frozenset[tuple[str, str]] = frozenset()


def load_declared(connection: Connection) -> Declared:
    """What the store holds as declared."""
    header = connection.execute(
        select(s.meta.c.value).where(s.meta.c.key == PROVINCE_KEY)
    ).scalar_one_or_none()
    centres = connection.execute(select(s.centre.c.id, s.centre.c.body, s.centre.c.removed)).all()
    pools = connection.execute(select(s.pool.c.centre, s.pool.c.id, s.pool.c.body, s.pool.c.removed)).all()
    return Declared(
        header=json.loads(header) if header else {},
        cities={row.id: from_body(City, row.body) for row in connection.execute(select(s.city))},
        organisations={
            row.id: from_body(Organisation, row.body) for row in connection.execute(select(s.organisation))
        },
        projects={
            row.id: Project(row.id, row.organisation, row.name, row.default_time_limit_ms)
            for row in connection.execute(select(s.project))
        },
        devices={
            row.id: from_body(DeviceModel, row.body) for row in connection.execute(select(s.device_model))
        },
        centres={row.id: from_body(Centre, row.body) for row in centres},
        pools={(row.centre, row.id): from_body(Pool, row.body) for row in pools},
        links={(row.a, row.b): from_body(Link, row.body) for row in connection.execute(select(s.link))},
        removed_centres=frozenset(row.id for row in centres if row.removed),
        removed_pools=frozenset((row.centre, row.id) for row in pools if row.removed),
    )


def declared_by(province: Province, catalogue: Mapping[str, DeviceModel]) -> Declared:
    """What a province declares, with the catalogue's models that its pools name."""
    devices = {device.id: device for device in province.devices}
    for centre in province.centres:
        for pool in centre.pools:
            if pool.device not in devices:
                devices[pool.device] = catalogue[pool.device]
    return Declared(
        header=_header(province),
        cities={city.id: city for city in province.cities},
        organisations={organisation.id: organisation for organisation in province.organisations},
        projects={project.id: project for project in province.projects},
        devices=devices,
        centres={centre.id: replace(centre, pools=()) for centre in province.centres},
        pools={(centre.id, pool.id): pool for centre in province.centres for pool in centre.pools},
        links={(link.a, link.b): link for link in province.links},
    )


def _header(province: Province) -> dict[str, str]:
    header = {"id": province.province, "name": province.name, "name_zh": province.name_zh}
    if province.city_first is not None:
        header["city_first_ms"] = str(province.city_first)
    return header


def running_by_pool(
    connection: Connection, *, observed: Observed | None = None
) -> dict[tuple[str, str], int]:
    """How many attempts of each pool may still hold something there, or are observed in one state.

    An attempt that was given up with its centre counts no longer, though its centre may come back.
    """
    query = select(s.attempt.c.centre, s.attempt.c.pool, func.count()).group_by(
        s.attempt.c.centre, s.attempt.c.pool
    )
    if observed is None:
        query = query.where(
            s.attempt.c.observed < int(Observed.ENDED), s.attempt.c.desired < int(Desired.ABANDONED)
        )
    else:
        query = query.where(s.attempt.c.observed == int(observed))
    return {(centre, pool): count for centre, pool, count in connection.execute(query)}


def to_body(value: Any) -> str:
    """The stored form: equal values give equal texts."""
    return json.dumps(to_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_body(declared: type[T], body: str) -> T:
    """A declared thing from its stored form."""
    return from_plain(declared, json.loads(body))
