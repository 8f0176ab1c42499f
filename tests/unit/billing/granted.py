"""A small province in a store, with facts, schemes and contracts, for what is granted in it."""

import random
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import TypeVar

from weir.access import Actor, server_itself
from weir.billing.calendar_days import begin_of
from weir.billing.contracts import (
    Contract,
    ContractDocument,
    ContractLine,
    DocumentKind,
    add_contract,
    add_document,
)
from weir.billing.scheme_change import apply_change
from weir.model.role import Role
from weir.registry import apply_province, import_facts, read_fact_file, read_province
from weir.store import MemoryImage, Store, Transaction, image_of, memory_image, memory_store

T = TypeVar("T")
IMAGE = memory_image(random.Random(7).getrandbits)
CHIEF = Actor(1, "chief", Role.COORDINATOR, address="10.0.0.1")
ACME, OTHER, OPERATOR = "91340100WEYR00027A", "91340200WEYR00035A", "12340100WEYR00078P"
YUAN = 1_000_000
DAY = date(2025, 6, 16)
NOON = begin_of(DAY) + 12 * 3_600_000

PROVINCE = f"""\
version: 1
province: small
cities: [{{id: qingyang, name: Qingyang}}, {{id: hefei, name: Hefei}}]
organisations:
  - {{id: "{ACME}", name: Acme, roles: [tenant]}}
  - {{id: "{OTHER}", name: Other, roles: [tenant]}}
  - {{id: "{OPERATOR}", name: Operator, roles: [centre-operator]}}
projects: [{{id: research, organisation: "{ACME}"}}]
devices:
  - {{id: ours, name: Ours, kind: accelerator, vendor: Toys, stack: cann, memory: 8 GiB, domestic: true}}
  - {{id: theirs, name: Theirs, kind: accelerator, vendor: Toys, stack: cuda, memory: 8 GiB}}
centres:
  - id: cluster
    kind: supercomputing
    city: qingyang
    operator: "{OPERATOR}"
    pools:
      - {{id: ours, device: ours, nodes: 4, devices_per_node: 8, cores_per_node: 64, memory_per_node: 512 GiB}}
      - {{id: theirs, device: theirs, nodes: 4, devices_per_node: 8, cores_per_node: 64, memory_per_node: 512 GiB}}
  - id: small
    kind: edge
    city: hefei
    pools: [{{id: ours, device: ours, nodes: 1, devices_per_node: 1, cores_per_node: 4, memory_per_node: 8 GiB}}]
"""
FACTS = "organisation,fact,value,valid_from\n" + "".join(
    f"{who},{name},{value},2020-01-01\n"
    for who in (ACME, OTHER)
    for name, value in (("kind", "university"), ("region", "340100"), ("controller", who))
)
SCHEME = """\
version: 1
scheme: SCHEME
name: A scheme
sources: [{title: A law, official: true}]
editions:
  - begins: 2025-01-01
    base: contract
    pool_per_year: "1000"
    holder_cap: {per_year: "600"}
    tiers: [{id: all, rate: "30%"}]
    affiliation_refused: false
    redemption: {mode: deduct}
    funders: [{id: city, name: City}]
"""


class Granted:
    """The store, and what is done in it, each in a transaction of its own."""

    def __init__(self) -> None:
        self.store: Store = memory_store(_declared())

    def write(self, work: Callable[[Transaction], T]) -> T:
        return self.store.write(work)

    def scheme(self, name: str = "city", now_ms: int = NOON, **changes: str) -> None:
        """Apply a scheme; `changes` replace texts of SCHEME, named by the field that they begin with."""
        text = scheme_text(name, **changes)
        self.write(lambda tx: apply_change(tx, text, f"{name}.yaml", CHIEF, now_ms))

    def contract(self, name: str, amount: int, organisation: str = ACME, start: str = "2025-03-01") -> str:
        """A contract with the cluster for computing at this amount in yuan, which runs for a year."""
        year = int(start[:4]) + 1
        contract = Contract(
            name,
            organisation,
            "cluster",
            signed=f"{start}T00:00+08:00",
            starts=f"{start}T00:00+08:00",
            ends=f"{year}{start[4:]}T00:00+08:00",
            amount=amount * YUAN,
            lines=(ContractLine("computing", amount * YUAN, kind="compute", chip_origin="domestic"),),
        )
        paper = ContractDocument(name, DocumentKind.EVIDENCE, "no-other-subsidy", 1, 0)
        self.write(lambda tx: add_contract(tx, CHIEF, contract, 1))
        self.write(lambda tx: add_document(tx, CHIEF, paper, 1))
        return name


@cache
def _declared() -> MemoryImage:
    """The province and its facts in a store, made once."""
    with memory_store(IMAGE) as store:
        province = read_province(PROVINCE, "small.yaml")
        store.write(lambda tx: apply_province(tx, province, server_itself(), 1))
        store.write(lambda tx: import_facts(tx, read_fact_file(FACTS, "facts.csv"), CHIEF, 1))
        return image_of(store)


def scheme_text(name: str = "city", **changes: str) -> str:
    """SCHEME with lines replaced: `rate="40%"`, or `extra` for lines of the edition."""
    text = SCHEME.replace("SCHEME", name)
    for field, value in changes.items():
        if field == "extra":
            text = text.replace("    affiliation_refused", f"    {value}\n    affiliation_refused")
        elif field == "rate":
            text = text.replace("30%", value)
        elif field == "pool":
            text = text.replace('"1000"', f'"{value}"')
        elif field == "cap":
            text = text.replace('"600"', f'"{value}"')
        elif field == "base":
            text = text.replace("base: contract", f"base: {value}")
        elif field == "mode":
            text = text.replace("mode: deduct", f"mode: {value}")
        else:
            raise ValueError(field)
    return text
