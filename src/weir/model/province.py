"""The province as data: cities, organisations, device models, centres, pools and links."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from weir.units import Bytes, DurationMs, LatencyUs, MicroYuan, MilliCores
from weir.units.rate import BitsPerSecond, OperationsPerSecond, Watts

_STRICT = {"extra": "forbid"}


class CentreKind(Enum):
    """What a centre is for (智算, 超算, 通算, 边缘, 量子)."""

    INTELLIGENT = "intelligent"
    SUPERCOMPUTING = "supercomputing"
    GENERAL = "general"
    EDGE = "edge"
    QUANTUM = "quantum"


class DeviceKind(Enum):
    """What a device model is."""

    ACCELERATOR = "accelerator"
    CPU = "cpu"
    QPU = "qpu"


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """An accelerator or CPU model. Peak rates are dense; a figure without a public source is absent."""

    __pydantic_config__ = _STRICT
    id: str
    name: str
    kind: DeviceKind
    vendor: str
    stack: str
    """Software stack (cuda, cann, dtk …) or, for a CPU, its instruction set."""
    domestic: bool = False
    visible_devices_variable: str = ""
    kubernetes_resource: str = ""
    memory: Bytes | None = None
    cores: int | None = None
    qubits: int | None = None
    power: Watts | None = None
    peak: Mapping[str, OperationsPerSecond] = field(default_factory=dict)
    """By precision, operations per second."""
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""


@dataclass(frozen=True, slots=True)
class City:
    """A city of the province."""

    __pydantic_config__ = _STRICT
    id: str
    name: str
    name_zh: str = ""
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the province a tenant may use, against others. Values are by the list prices of this file."""

    __pydantic_config__ = _STRICT
    weight: int = 1
    """A tenant of weight 2 uses twice as much as one of weight 1 before the other goes ahead; up to 100."""
    quota: MicroYuan = 0
    """Yuan an hour: as long as what it runs is worth less, it goes before all who run more than their own quota. What
    it runs beyond it is borrowed of what others leave."""
    ceiling: MicroYuan | None = None
    """Yuan an hour: nothing of it starts by which what it runs would be worth more. Without one there is no limit."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """A legal body, keyed by its unified social credit code (GB 32100-2015)."""

    __pydantic_config__ = _STRICT
    id: str
    name: str
    name_zh: str = ""
    roles: tuple[str, ...] = ()
    """tenant, centre-operator, coordinator"""
    share: Share = Share()


@dataclass(frozen=True, slots=True)
class Project:
    """Who may spend what, within one organisation."""

    __pydantic_config__ = _STRICT
    id: str
    organisation: str
    name: str = ""
    default_time_limit: DurationMs | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """A dated fact about a centre's computing power. Never added across kind, unit, precision or basis."""

    __pydantic_config__ = _STRICT
    kind: str
    unit: str
    value: str
    """A decimal number, as text so that it stays exact."""
    basis: str
    """nominal or measured"""
    date: str
    precision: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Price:
    """What the use of a pool costs, in micro-yuan a unit; written in yuan."""

    __pydantic_config__ = _STRICT
    device_hour: MicroYuan | None = None
    core_hour: MicroYuan | None = None


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs things at a centre: the driver's name and its site options."""

    __pydantic_config__ = _STRICT
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which a pool is out of service. A job starts only where its time limit ends before that."""

    __pydantic_config__ = _STRICT
    start: str
    """Each day (`"02:00"`) or each week (`"sun 02:00"`), both UTC+8, or once: an ISO 8601 instant with its offset."""
    lasts: DurationMs
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """What holds from a time on until another band says something else of the same figure.

    The bands of one figure begin all at times of day, or all at times of the week, or all at instants.
    """

    __pydantic_config__ = _STRICT
    start: str
    """As of a window."""
    device_hour: MicroYuan | None = None
    core_hour: MicroYuan | None = None
    carbon_g_per_kwh: int | None = None


@dataclass(frozen=True, slots=True)
class Pool:
    """Identical nodes of a centre behind one engine queue."""

    __pydantic_config__ = _STRICT
    id: str
    device: str
    """The catalogue id of its accelerator, or of its CPU where it has none."""
    nodes: int
    cores_per_node: MilliCores
    memory_per_node: Bytes
    devices_per_node: int = 0
    shared: bool = False
    """Shared with the centre's own users, rather than owned by Weir alone."""
    waiting_at_most: int | None = None
    """Of a shared pool: so many of Weir's jobs may wait there at a time, in the centre's own queue. Without it, any
    number may, and those alone are sent for which there was room when they were placed."""
    preempts: bool = False
    """Of a shared pool: the centre's own work may preempt Weir's there, so that only restartable jobs go there."""
    shares: bool = False
    """Whether one device may be shared in thousandths."""
    reservations: int | None = None
    """1..32: to so many waiting jobs at a time it promises a start, each with nodes of its own; without it, to as many
    as the policy in force says. A pool with `shares: true` promises one at a time."""
    speed: int = 1_000
    """Speed relative to the province's reference, in thousandths; a job's variant multiplies it by its own."""
    price: Price = Price()
    carbon_g_per_kwh: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    job_options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What a job may choose instead of these options, each with the values that it may have there."""
    draining: bool = False
    windows: tuple[Window, ...] = ()
    """When it is out of service."""
    bands: tuple[Band, ...] = ()
    """Prices and carbon intensity that change with time, in place of those above."""


@dataclass(frozen=True, slots=True)
class Centre:
    """A site with engines."""

    __pydantic_config__ = _STRICT
    id: str
    kind: CentreKind
    city: str
    name: str = ""
    name_zh: str = ""
    operator: str = ""
    engine: Engine = Engine()
    carbon_g_per_kwh: int | None = None
    """Of the electricity there; a pool's own figure goes first. Reading a file lays it into the pools."""
    capacity: tuple[Capacity, ...] = ()
    pools: tuple[Pool, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A connection between two centres, the same in both directions."""

    __pydantic_config__ = _STRICT
    a: str
    b: str
    bandwidth: BitsPerSecond
    latency: LatencyUs
    """In microseconds, since sites of one city are less than a millisecond apart."""


@dataclass(frozen=True, slots=True)
class Province:
    """A whole province file. Device models named by pools come from the catalogue or from `devices` here."""

    __pydantic_config__ = _STRICT
    version: int
    province: str
    name: str = ""
    name_zh: str = ""
    city_first: DurationMs | None = None
    """How much longer a tenant's job rather waits for a pool of its own city (the fact `home-city`) than goes to
    another city's (城市内供给); without it cities make no difference."""
    cities: tuple[City, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    projects: tuple[Project, ...] = ()
    devices: tuple[DeviceModel, ...] = ()
    centres: tuple[Centre, ...] = ()
    links: tuple[Link, ...] = ()
