"""Small provinces to simulate, declared as any province is, and the stores that begin with them."""

import functools
from dataclasses import replace
from random import Random

from weir.access.actor import server_itself
from weir.billing.budget import Budget
from weir.billing.budget_orders import set_budget
from weir.billing.budget_periods import Period
from weir.billing.price_book import read_price_book
from weir.billing.price_versions import apply_price_book
from weir.model.agent import CentreEntry
from weir.model.province import (
    Centre,
    CentreKind,
    City,
    DeviceKind,
    DeviceModel,
    Link,
    Organisation,
    Pool,
    Price,
    Project,
    Province,
)
from weir.registry import apply_province, centre_entry
from weir.store import MemoryImage, Transaction, image_of, memory_image, memory_store
from weir.units import MICRO_YUAN_PER_YUAN

SHAPES = 12
GIB = 1 << 30
ORGANISATION = "91340100MA00000000"

_DEVICES = (
    DeviceModel("gpu-a", "A", DeviceKind.ACCELERATOR, "one", "cuda", memory=80 * GIB, peak={"fp16": 10**14}),
    DeviceModel("npu-b", "B", DeviceKind.ACCELERATOR, "two", "cann", domestic=True, memory=64 * GIB),
    DeviceModel("cpu-c", "C", DeviceKind.CPU, "three", "x86-64", cores=8),
)


_PRICES = """
version: 1
price_book: simulated
tax: {{name: VAT, rate: "0.06"}}
bands: {{day: [{{from: "08:00", to: "20:00"}}]}}
prices:
  - {{pool: "*", core_hour: "0.137", memory_gb_hour: "0.0113", device_hour: {{gpu-a: "9.99", npu-b: "3.33"}},
     minimum_charge: "0.0007", preempted: {preempted}, bands: {{day: {{core_hour: "0.271"}}}}}}
  - {{pool: "c1/*", core_hour: "0.071"}}
"""


@functools.cache
def declared_image(shape: int, *, shares: bool = False) -> tuple[MemoryImage, tuple[CentreEntry, ...]]:
    """A store in which province number `shape` is declared, and what its agents must know.

    With `shares` centres have users of their own in their pools; in those of the first they preempt nobody.
    """
    random = Random(shape)
    store = memory_store(memory_image(random.getrandbits))
    province = _province(random, 2 + shape % 3)
    if shares:
        changed = tuple(
            replace(centre, pools=tuple(_shared(random, pool, number > 0) for pool in centre.pools))
            for number, centre in enumerate(province.centres)
        )
        province = replace(province, centres=changed)
    store.write(lambda tx: apply_province(tx, province, server_itself(), 0, catalogue={}))
    if shape % 2:
        store.write(lambda tx: _price(tx, preempted="charged" if shape % 4 == 3 else "free"))
    centres = store.read(
        lambda connection: tuple(
            centre_entry(connection, centre.id, store.incarnation) for centre in province.centres
        )
    )
    image = image_of(store)
    store.close()
    return image, centres


def _price(tx: Transaction, preempted: str) -> None:
    """From the beginning work is priced, and there is money enough."""
    book = read_price_book(_PRICES.format(preempted=preempted), "prices")
    apply_price_book(tx, server_itself(), book, 0)
    budget = Budget("all", ORGANISATION, period=Period.ONCE, limit=10**9 * MICRO_YUAN_PER_YUAN)
    set_budget(tx, server_itself(), budget, 0)


def _province(random: Random, centres: int) -> Province:
    names = [f"c{number}" for number in range(centres)]
    return Province(
        version=1,
        province="simulated",
        cities=(City("here", "Here"), City("there", "There")),
        organisations=(Organisation(ORGANISATION, "Tenant", roles=("tenant",)),),
        projects=(Project("work", ORGANISATION),),
        devices=_DEVICES,
        centres=tuple(_centre(random, name, number) for number, name in enumerate(names)),
        links=tuple(Link(a, b, 10**9, 5_000) for place, a in enumerate(names) for b in names[place + 1 :]),
    )


def _centre(random: Random, name: str, number: int) -> Centre:
    # The first centre has plain pools without sharing, so that every job has somewhere to go.
    pools = [_pool(random, f"p{place}", plain=number == 0) for place in range(random.randint(1, 3))]
    return Centre(
        id=name,
        kind=random.choice((CentreKind.INTELLIGENT, CentreKind.GENERAL)),
        city=random.choice(("here", "there")),
        pools=tuple(pools),
    )


def _pool(random: Random, name: str, *, plain: bool) -> Pool:
    device = "gpu-a" if plain else random.choice(("gpu-a", "npu-b", "cpu-c"))
    return Pool(
        id=name,
        device=device,
        nodes=2 if plain else random.randint(1, 4),
        devices_per_node=0 if device == "cpu-c" else 2 if plain else random.choice((1, 2, 4)),
        cores_per_node=random.choice((4_000, 8_000)),
        memory_per_node=random.choice((16, 32)) * GIB,
        shares=device != "cpu-c" and random.random() < 0.5,
        speed=random.choice((500, 1_000, 2_000)),
        price=Price(device_hour=random.randint(1, 20) * 10**6, core_hour=10**5),
    )


def _shared(random: Random, pool: Pool, preempts: bool) -> Pool:
    if random.random() < 0.2:
        return pool
    return replace(
        pool,
        shared=True,
        waiting_at_most=random.choice((None, 1, 2, 5)),
        preempts=preempts and random.random() < 0.5,
    )


__all__ = ["GIB", "ORGANISATION", "SHAPES", "declared_image"]
