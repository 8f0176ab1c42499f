"""Declared pools and links as the scheduling core takes them: one rule for the live province and the twin."""

from collections.abc import Mapping

from weir.model.agent import PoolObservation
from weir.model.job_rules import URL_SCHEMES
from weir.model.province import Centre, DeviceModel, Link, Pool, Province, Share
from weir.registry.drift import usable
from weir.registry.pool_times import curves, windows
from weir.scheduling.inputs import LinkRow, PoolRow, TenantRow

CAPABILITIES = frozenset(
    {
        "gang",
        "shares",
        "containers",
        *(f"{way}/{scheme}" for way in ("url", "deliver") for scheme in URL_SCHEMES),
    }
)
"""All that a class of jobs may ask of an engine."""


def pool_row(
    centre: Centre,
    pool: Pool,
    device: DeviceModel,
    observed: PoolObservation | None = None,
    *,
    capabilities: frozenset[str] = frozenset(),
    closed_because: str = "",
    expected_wait_ms: int = 0,
    sends_ahead: bool = False,
) -> PoolRow:
    """One pool for the core: the lesser of declared and observed.

    Without a declared carbon intensity, price or power these terms count nothing.
    """
    shape = usable(pool, observed)
    device_hour, core_hour, carbon = curves(pool)
    return PoolRow(
        key=f"{centre.id}/{pool.id}",
        centre=centre.id,
        city=centre.city,
        kind=centre.kind.value,
        device_model=device.id,
        stack=device.stack,
        domestic=device.domestic,
        device_memory_bytes=device.memory or 0,
        precisions=tuple(sorted(device.peak)),
        # An agent's word is not to stop the core, which takes nothing below zero.
        nodes=max(0, shape.nodes),
        devices_per_node=max(0, shape.devices_per_node),
        cores_milli_per_node=max(0, shape.cores_milli_per_node),
        memory_bytes_per_node=max(0, shape.memory_bytes_per_node),
        shares=pool.shares,
        speed_milli=pool.speed,
        device_hour_micro_yuan=pool.price.device_hour or 0,
        core_hour_micro_yuan=pool.price.core_hour or 0,
        carbon_g_per_kwh=pool.carbon_g_per_kwh or 0,
        device_power_watts=device.power or 0,
        capabilities=capabilities,
        closed_because=closed_because,
        windows=windows(pool),
        device_hour_over_time=device_hour,
        core_hour_over_time=core_hour,
        # The share book is this file's prices, whatever a price book says later.
        share_device_hour_micro_yuan=pool.price.device_hour or 0,
        share_core_hour_micro_yuan=pool.price.core_hour or 0,
        carbon_over_time=carbon,
        expected_wait_ms=expected_wait_ms,
        sends_ahead=sends_ahead,
        job_options=tuple(sorted((name, tuple(values)) for name, values in pool.job_options.items())),
        preempts=pool.preempts,
        reservations=pool.reservations,
    )


def link_row(link: Link) -> LinkRow:
    """One link for the core; a latency below a millisecond counts as one."""
    return LinkRow(link.a, link.b, link.bandwidth, -(-link.latency // 1_000))


def province_rows(
    province: Province, catalogue: Mapping[str, DeviceModel]
) -> tuple[tuple[PoolRow, ...], tuple[LinkRow, ...]]:
    """All declared pools by key, whole, with every capability; and the links. What drains starts nothing."""
    devices = {**catalogue, **{device.id: device for device in province.devices}}
    rows = [
        pool_row(
            centre,
            pool,
            devices[pool.device],
            capabilities=CAPABILITIES,
            closed_because="it is draining" if pool.draining else "",
        )
        for centre in province.centres
        for pool in centre.pools
    ]
    return tuple(sorted(rows, key=lambda row: row.key)), tuple(link_row(link) for link in province.links)


def tenant_row(number: int, share: Share) -> TenantRow:
    """A tenant's share for the core, which knows it by a number."""
    return TenantRow(number, 1_000 * share.weight, share.quota, share.ceiling)


__all__ = ["CAPABILITIES", "link_row", "pool_row", "province_rows", "tenant_row"]
