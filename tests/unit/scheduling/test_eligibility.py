"""Where a class of jobs could ever run, and how that is said."""

from typing import Any

import pytest

from tests.unit.scheduling.provinces import GIB, pool, task
from weir.scheduling import fits_ever, largest_that_fits
from weir.scheduling.eligibility import DATA, PoolFacts, PoolKinds, failed_by_each, failed_constraints
from weir.scheduling.inputs import LinkRow
from weir.scheduling.moving import Roads, links_by_centres
from weir.scheduling.plan import Verdict


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"centres": ("wuhu",)}, ("centres", "wuhu", "hefei")),
        ({"cities": ("wuhu", "anqing")}, ("cities", "any of wuhu, anqing", "hefei")),
        ({"kinds": ("edge",)}, ("kinds", "edge", "intelligent")),
        ({"models": ("h20",)}, ("device model", "h20", "ascend-910b")),
        ({"device_memory_bytes": 80 * GIB}, ("device memory", "at least 80GiB a device", "64GiB a device")),
        ({"precision": "fp8"}, ("precision", "fp8", "fp16, fp32")),
        ({"stack": "cuda"}, ("software stack", "cuda", "cann")),
        ({"variant_speeds": (("cuda", 1_000),)}, ("variant", "cuda", "cann")),
        ({"devices_milli": 250}, ("device sharing", "250/1000 of a device", "only whole devices")),
        ({"capabilities": ("gang",)}, ("engine", "gang", "no such capability")),
        ({"devices_milli": 16_000}, ("devices a task", "16 devices", "8 devices a node")),
        ({"cores_milli": 64_500}, ("cores a task", "64.5 cores", "64 cores a node")),
        ({"memory_bytes": 513 * GIB}, ("memory a task", "513GiB", "512GiB a node")),
        (
            {"tasks": 9, "devices_milli": 4_000},
            ("tasks", "9 tasks at once", "room for 8 on 4 idle nodes"),
        ),
        ({"data": (("wuhu", 1),)}, ("data", "a link from wuhu to hefei", "no link")),
    ],
)
def test_each_constraint_is_told_in_words(wish: dict[str, Any], said: tuple[str, str, str]) -> None:
    [reason] = fits_ever([pool()], [], task(**wish))
    assert Verdict.FAILS is reason.verdict
    assert reason.failed is not None
    assert said == (reason.failed.name, reason.failed.needed, reason.failed.found)


@pytest.mark.parametrize(
    "wish",
    [
        {"centres": ("wuhu", "hefei"), "cities": ("hefei",), "kinds": ("intelligent",)},
        {"models": ("h20", "ascend-910b"), "precision": "fp16", "stack": "cann", "domestic": True},
        {"device_memory_bytes": 64 * GIB, "devices_milli": 8_000, "tasks": 4},
        {"cores_milli": 64_000, "memory_bytes": 512 * GIB},
        {"data": (("hefei", 10**15), ("anqing", 1))},
    ],
)
def test_what_can_be_met_fits(wish: dict[str, Any]) -> None:
    links = [LinkRow("anqing", "hefei", 1_000, 1)]
    assert [Verdict.FITS] == [reason.verdict for reason in fits_ever([pool()], links, task(**wish))]


def test_devices_of_foreign_vendors_and_none_at_all() -> None:
    pools = [pool("a/a", domestic=False, device_model="h20"), pool("b/a", devices_per_node=0)]
    reasons = fits_ever(pools, [], task(domestic=True))
    assert [("domestic", "h20 is not"), ("devices", "no devices")] == [
        (reason.failed.name, reason.failed.found) for reason in reasons if reason.failed
    ]


def test_a_closed_pool_still_fits() -> None:
    [reason] = fits_ever([pool(closed_because="draining")], [], task())
    assert (Verdict.FITS, "draining") == (reason.verdict, reason.note)


def test_shares_fit_as_often_as_whole_devices_hold_them() -> None:
    sharing = pool(shares=True, nodes=1, devices_per_node=2)
    assert Verdict.FITS is fits_ever([sharing], [], task(tasks=6, devices_milli=300))[0].verdict
    assert Verdict.FAILS is fits_ever([sharing], [], task(tasks=7, devices_milli=300))[0].verdict


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"devices_milli": 16_000}, "the largest that fits is 8 devices a task at a/big"),
        ({"cores_milli": 10**6}, "the largest that fits is 128 cores a task at b/many"),
        ({"memory_bytes": 2**44}, "the largest that fits is 512GiB a task at a/big"),
        (
            {"tasks": 100, "devices_milli": 8_000},
            "the largest that fits is 4 tasks of this shape at a/big",
        ),
        ({"device_memory_bytes": 2**40}, "the largest that fits is 64GiB a device at a/big"),
        ({"models": ("h20",)}, "no pool has device model h20; what there is: ascend-910b"),
        ({"centres": ("wuhu",)}, "no pool has centres wuhu; what there is: a, b"),
        ({}, "it fits"),
    ],
)
def test_the_largest_that_fits(wish: dict[str, Any], said: str) -> None:
    pools = [pool("b/many", devices_per_node=4, cores_milli_per_node=128_000), pool("a/big")]
    assert said == largest_that_fits(pools, task(**wish))


def test_without_pools_nothing_fits() -> None:
    assert [] == fits_ever([], [], task())
    assert "there are no pools yet" == largest_that_fits([], task())


def test_a_pool_larger_than_can_be_counted_is_counted_as_far_as_that() -> None:
    huge = pool(nodes=2**40, memory_bytes_per_node=2**59, devices_per_node=2**30)
    assert Verdict.FITS is fits_ever([huge], [], task(devices_milli=1_024_000))[0].verdict


def test_classes_judged_together_are_judged_as_each_alone() -> None:
    pools = [
        pool("hefei/a"),
        pool("hefei/b", devices_per_node=0, stack="x86"),
        pool("wuhu/a", city="wuhu", nodes=1),
        pool("wuhu/b", city="wuhu", shares=True, domestic=True),
        pool("far/a", nodes=2, cores_milli_per_node=1_000),
    ]
    links = links_by_centres([LinkRow("hefei", "wuhu", 10**9, 5)])
    many = [
        task(),
        task(tasks=2, devices_milli=8_000),
        task(devices_milli=500),
        task(devices_milli=0, stack="x86"),
        task(cities=("wuhu",)),
        task(centres=("far", "wuhu")),
        task(data=(("hefei", 1),)),
        task(data=(("hefei", 1), ("wuhu", 1)), domestic=True),
        task(cores_milli=2_000, memory_bytes=1),
        task(variant_speeds=(("nowhere", 1_000),)),
    ]
    kinds = PoolKinds(pools)
    together = failed_by_each(kinds, Roads(links, kinds.centres), many)
    alone = [failed_constraints(PoolFacts.of(pools), links, each) for each in many]
    assert [row.tolist() for row in alone] == together.tolist()
    assert [0, 0, DATA] == together[6, [0, 2, 4]].tolist()
