"""Province files and single machines as pools."""

from pathlib import Path

import pytest

from weir.model.problem import ProblemError
from weir.registry.catalogue import data_folder
from weir.scheduling import fits_ever
from weir.scheduling.plan import Verdict
from weir.twin.province import load_province, single_pool
from weir.twin.workload import processors

_FILE = """
version: 1
province: small
cities: [{id: here, name: Here}, {id: there, name: There}]
centres:
  - id: a
    kind: intelligent
    city: here
    carbon_g_per_kwh: 500
    pools:
      - {id: new, device: nvidia-h100-sxm-80gb, nodes: 4, devices_per_node: 8, cores_per_node: 112,
         memory_per_node: 2TiB, speed: 2240, price: {device_hour: "20.00", core_hour: "0.10"}}
      - {id: old, device: nvidia-a100-sxm-40gb, nodes: 2, devices_per_node: 8, cores_per_node: 64,
         memory_per_node: 1TiB, shares: true, draining: true}
  - {id: b, kind: general, city: there,
     pools: [{id: cpu, device: hygon-c86-7390, nodes: 3, cores_per_node: 64, memory_per_node: 512GiB}]}
links: [{a: b, b: a, bandwidth: 10 Gbit/s, latency: 2.2 ms}]
"""


def test_a_province_file_becomes_pools_by_key_and_links(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(_FILE, encoding="utf-8")
    pools, links = load_province(file)
    assert ["a/new", "a/old", "b/cpu"] == [pool.key for pool in pools]
    new, old, cpu = pools
    assert ("here", "intelligent", "cuda", 2_240, 20_000_000) == (
        new.city,
        new.kind,
        new.stack,
        new.speed_milli,
        new.device_hour_micro_yuan,
    )
    assert (4, 8, 112_000, 2 << 40, 500, 700) == (
        new.nodes,
        new.devices_per_node,
        new.cores_milli_per_node,
        new.memory_bytes_per_node,
        new.carbon_g_per_kwh,
        new.device_power_watts,
    )
    assert ("", "it is draining", "") == (new.closed_because, old.closed_because, cpu.closed_because)
    assert (True, 0, "x86_64", True) == (old.shares, cpu.devices_per_node, cpu.stack, cpu.domestic)
    assert [("a", "b", 10**10, 3)] == [
        (link.a, link.b, link.bits_per_second, link.latency_ms) for link in links
    ]


def test_the_province_that_ships_with_weir_is_read() -> None:
    pools, links = load_province(data_folder("provinces") / "anhui.yaml")
    assert 34 == len({pool.centre for pool in pools})
    assert sum(pool.nodes * pool.devices_per_node for pool in pools) > 47_000
    assert links


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("version: 1\nprovince: small\ncentres: [{id: a, kind: huge, city: x}]\n", "kind"),
        ("version: [", "line"),
        (_FILE.replace("hygon-c86-7390", "abacus"), "abacus"),
    ],
)
def test_what_is_wrong_in_a_province_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ProblemError) as refused:
        load_province(file)
    assert named in refused.value.problem.title
    assert "wrong.yaml" in refused.value.problem.title


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=r"nowhere\.yaml"):
        load_province(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProblemError, match="UTF-8"):
        load_province(tmp_path / "binary.yaml")


def test_a_single_machine_holds_a_job_of_its_whole_size_and_no_larger_one() -> None:
    pool = single_pool(128)
    assert "machine/all" == pool.key
    assert Verdict.FITS is fits_ever([pool], [], processors(128))[0].verdict
    assert Verdict.FAILS is fits_ever([pool], [], processors(129))[0].verdict


@pytest.mark.parametrize("size", [0, -1, 2**20 + 1])
def test_a_machine_of_no_possible_size_is_refused(size: int) -> None:
    with pytest.raises(ProblemError, match=str(size)):
        single_pool(size)
