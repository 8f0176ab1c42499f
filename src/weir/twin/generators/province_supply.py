"""The centres, pools and links of a made-up province."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weir.model.province import DeviceModel
from weir.registry.catalogue import device_catalogue
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.twin.generators.people import Floats, ranked
from weir.twin.generators.province_parameters import (
    ACCELERATORS,
    CPUS,
    EDGE_ACCELERATORS,
    NodeModel,
    ProvinceParameters,
)

GIB = 1 << 30
GBIT = 10**9


@dataclass(frozen=True, slots=True)
class Supply:
    """A province without its jobs."""

    pools: tuple[PoolRow, ...]
    """By key."""
    links: tuple[LinkRow, ...]
    homes: tuple[str, ...]
    """For each city with a centre, the one that keeps its data: the first that is not at the edge, if there is one."""


@dataclass(frozen=True, slots=True)
class _Centre:
    id: str
    city: int
    kind: str
    price: float
    """Factor on list prices."""
    carbon: int


def draw_supply(rng: np.random.Generator, parameters: ProvinceParameters) -> Supply:
    """The province of these parameters that the generator draws."""
    places = rng.uniform(0.0, 1.0, (parameters.cities, 2)) * np.array(parameters.extent_km)
    centres = _centres(rng, parameters)
    wanted: list[tuple[_Centre, NodeModel, float]] = []
    for centre in centres:
        wanted += [(centre, model, weight) for model, weight in _bought(rng, parameters, centre)]
    nodes = _node_counts(parameters, wanted)
    pools = [
        _pool(rng, parameters, centre, model, count)
        for (centre, model, _), count in zip(wanted, nodes, strict=True)
    ]
    return Supply(
        tuple(sorted(pools, key=lambda pool: pool.key)),
        _links(rng, parameters, centres, places),
        _homes(parameters, centres),
    )


def _centres(rng: np.random.Generator, parameters: ProvinceParameters) -> list[_Centre]:
    kinds = (
        ["intelligent"] * parameters.intelligent
        + ["supercomputing"] * parameters.supercomputing
        + ["general"] * parameters.general
        + ["edge"] * parameters.edge
    )
    first = rng.permutation(len(kinds))[: parameters.cities]
    cities = ranked(rng, parameters.cities, parameters.city_weight, len(kinds))
    cities[first] = np.arange(len(first))
    spread = parameters.price_spread
    prices = rng.uniform(1.0 - spread, 1.0 + spread, len(kinds))
    carbon = rng.integers(*parameters.carbon_g_per_kwh, len(kinds), endpoint=True)
    made: list[_Centre] = []
    for place, kind in enumerate(kinds):
        city = int(cities[place])
        number = 1 + sum(centre.city == city and centre.kind == kind for centre in made)
        made.append(
            _Centre(
                f"city-{city + 1:02d}-{kind}-{number}",
                city,
                kind,
                round(float(prices[place]), 3),
                int(carbon[place]),
            )
        )
    return made


def _bought(
    rng: np.random.Generator, parameters: ProvinceParameters, centre: _Centre
) -> list[tuple[NodeModel, float]]:
    """What a centre has, with the weight of each by which the province's nodes are shared out."""

    def some(models: Sequence[NodeModel], count: int) -> list[NodeModel]:
        weights = np.array([model.weight for model in models])
        chosen = rng.choice(len(models), count, replace=False, p=weights / weights.sum())
        return [models[place] for place in chosen]

    if centre.kind == "edge":
        return [(some(EDGE_ACCELERATORS, 1)[0], float(rng.integers(*parameters.edge_nodes, endpoint=True)))]
    size = float(rng.lognormal(0.0, parameters.size_spread))
    two = bool(rng.random() < parameters.second_pool)
    part = float(rng.uniform(0.5, 0.8)) if two else 1.0
    models = some(ACCELERATORS if centre.kind == "intelligent" else CPUS, 2 if two else 1)
    return [
        (model, size * share) for model, share in zip(models, (part, 1.0 - part)[: len(models)], strict=True)
    ]


def _node_counts(
    parameters: ProvinceParameters, wanted: Sequence[tuple[_Centre, NodeModel, float]]
) -> list[int]:
    """Whole nodes: at the edge as drawn, elsewhere so that devices and CPU nodes are as many as wanted."""
    edge_devices = sum(
        int(weight) * model.devices for centre, model, weight in wanted if centre.kind == "edge"
    )
    totals = {
        True: (parameters.devices - edge_devices) / 8,
        False: float(parameters.cpu_nodes),
    }
    weights = {
        accelerated: sum(
            weight
            for centre, model, weight in wanted
            if centre.kind != "edge" and bool(model.devices) is accelerated
        )
        for accelerated in (True, False)
    }
    return [
        int(weight)
        if centre.kind == "edge"
        else max(
            parameters.least_nodes,
            round(totals[bool(model.devices)] * weight / weights[bool(model.devices)]),
        )
        for centre, model, weight in wanted
    ]


def _pool(
    rng: np.random.Generator, parameters: ProvinceParameters, centre: _Centre, model: NodeModel, nodes: int
) -> PoolRow:
    device: DeviceModel = device_catalogue()[model.device]
    speed = model.speed * float(rng.uniform(1.0 - parameters.speed_spread, 1.0 + parameters.speed_spread))
    price = round(model.price_yuan * centre.price * 1_000) * 1_000
    core_price = round(parameters.core_hour_yuan * centre.price * 1_000) * 1_000
    return PoolRow(
        key=f"{centre.id}/{model.device}",
        centre=centre.id,
        city=f"city-{centre.city + 1:02d}",
        kind=centre.kind,
        device_model=device.id,
        stack=device.stack,
        domestic=device.domestic,
        device_memory_bytes=device.memory or 0,
        precisions=tuple(sorted(device.peak)),
        nodes=nodes,
        devices_per_node=model.devices,
        cores_milli_per_node=model.cores * 1_000,
        memory_bytes_per_node=model.memory_gib * GIB,
        shares=False,
        speed_milli=round(speed * 1_000),
        device_hour_micro_yuan=price if model.devices else 0,
        core_hour_micro_yuan=core_price if model.devices else price,
        carbon_g_per_kwh=centre.carbon,
        device_power_watts=device.power or (parameters.watts if model.devices else 0),
        capabilities=frozenset({"gang", "shares"}),
    )


def _links(
    rng: np.random.Generator, parameters: ProvinceParameters, centres: Sequence[_Centre], places: Floats
) -> tuple[LinkRow, ...]:
    """Every two centres; between two cities one bandwidth, of the backbone there."""
    low, high = parameters.backbone_gbit_s
    backbone = rng.uniform(low, high, (parameters.cities, parameters.cities))
    made = []
    ordered = sorted(centres, key=lambda centre: centre.id)
    for index, a in enumerate(ordered):
        for b in ordered[index + 1 :]:
            city, other = sorted((a.city, b.city))
            gbit = parameters.same_city_gbit_s if city == other else float(backbone[city, other])
            if "edge" in (a.kind, b.kind):
                gbit = min(gbit, parameters.edge_gbit_s)
            latency = 0.3 + float(np.hypot(*(places[city] - places[other]))) / 100.0
            made.append(LinkRow(a.id, b.id, round(gbit * 10) * GBIT // 10, math.ceil(latency)))
    return tuple(made)


def _homes(parameters: ProvinceParameters, centres: Sequence[_Centre]) -> tuple[str, ...]:
    homes = []
    for city in range(parameters.cities):
        here = [centre for centre in centres if centre.city == city]
        if here:
            homes.append(min(here, key=lambda centre: (centre.kind == "edge", centre.id)).id)
    return tuple(homes)


__all__ = ["GIB", "Supply", "draw_supply"]
