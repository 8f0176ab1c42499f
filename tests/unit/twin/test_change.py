"""What-if changes: their words, what they do to a province, and that every mistake is named."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.problem import ProblemError
from weir.registry.catalogue import data_folder
from weir.scheduling.inputs import LinkRow, PoolRow
from weir.twin.change import AddPool, AddPower, Close, NewPool, Remove, SetPrice, parse_change
from weir.twin.changed import Changed, PoolEvent, apply_changes
from weir.twin.province import load_province

POOLS, LINKS = load_province(data_folder("provinces") / "anhui.yaml")
HOUR_MS = 3_600_000


def changed(*texts: str) -> Changed:
    return apply_changes(POOLS, LINKS, [parse_change(text) for text in texts])


def row(made: Changed, key: str) -> PoolRow:
    return next(pool for pool in made.pools if pool.key == key)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        (
            "add pool wuhu-ai-2/new of nvidia-h100-sxm-80gb nodes 100 devices 8 memory 2TiB at 2d",
            AddPool(
                "wuhu-ai-2",
                "new",
                "nvidia-h100-sxm-80gb",
                100,
                NewPool(devices=8, memory_bytes=2 << 40, at_ms=48 * HOUR_MS),
            ),
        ),
        (
            "add 1,000 P of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2",
            AddPower(Decimal(1_000), "huawei-ascend-910b2", "fp16", 0, "wuhu-ai-2", ""),
        ),
        (
            "add 1.5P of huawei-ascend-910b4 fp16 measured 210 TFLOPS in wuhu-ai-2/x",
            AddPower(Decimal("1.5"), "huawei-ascend-910b4", "fp16", 210 * 10**12, "wuhu-ai-2", "x"),
        ),
        ("price all device-hour -20%", SetPrice("all", "place", "device-hour", None, Decimal(-20))),
        ("price kind general core-hour 0.05", SetPrice("general", "kind", "core-hour", 50_000, None)),
        (
            "lose centre wuhu-ai-1 at 2d back at 60h",
            Close("centre", "wuhu-ai-1", 48 * HOUR_MS, 60 * HOUR_MS, True),
        ),
        ("drain pool wuhu-ai-1/ascend-910c at start", Close("pool", "wuhu-ai-1/ascend-910c", 0, None, False)),
        ("  remove   centre wuhu-ai-1 ", Remove("centre", "wuhu-ai-1")),
    ],
)
def test_words_become_a_change(text: str, change: object) -> None:
    assert change == parse_change(text)


def test_power_becomes_whole_nodes_and_the_rounding_is_shown() -> None:
    made = changed("add 1,000 P of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2/more")
    # 1,000 P / (8 x 376 T) = 332.45 nodes.
    assert 333 == row(made, "wuhu-ai-2/more").nodes
    assert "1,000 P of fp16 (nominal) is 332.45 nodes" in made.notes[0]
    assert "rounded up to 333 nodes, 1,001.664 P" in made.notes[0]
    exact = changed("add 3.008 P of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2/more")
    assert 1 == row(exact, "wuhu-ai-2/more").nodes


def test_power_of_cpus_counts_their_sockets() -> None:
    made = changed("add 50 P of amd-epyc-7763 fp64 nominal in suzhou-general-1")
    added = row(made, "suzhou-general-1/amd-epyc-7763-added")
    # Two sockets of 64 cores a node, 2,508.8 GFLOPS each.
    assert (9_965, 0, 128_000) == (added.nodes, added.devices_per_node, added.cores_milli_per_node)


def test_measured_power_goes_by_the_rate_that_is_given() -> None:
    made = changed(
        "add 100 P of huawei-ascend-910b4 fp16 measured 210TFLOPS in wuhu-ai-2/x devices 8 cores 192 memory 1TiB "
        "device-hour 7 core-hour 0.10"
    )
    assert 60 == row(made, "wuhu-ai-2/x").nodes
    assert "measured at 210 T a device" in made.notes[0]


def test_a_new_pool_takes_what_is_not_said_from_the_largest_of_its_model() -> None:
    made = changed("add pool wuhu-ai-2/new of nvidia-h100-sxm-80gb nodes 100 device-hour 15.00 speed 2.2")
    new, like = row(made, "wuhu-ai-2/new"), row(made, "hefei-ai-2/h100")
    assert ("wuhu", "intelligent", "cuda", 8) == (new.city, new.kind, new.stack, new.devices_per_node)
    assert (like.cores_milli_per_node, like.memory_bytes_per_node) == (
        new.cores_milli_per_node,
        new.memory_bytes_per_node,
    )
    assert (15_000_000, 2_200) == (new.device_hour_micro_yuan, new.speed_milli)
    assert "as at hefei-ai-2/h100" in made.notes[-1]
    assert [pool.key for pool in made.pools] == sorted(pool.key for pool in made.pools)
    assert () == made.events


def test_a_pool_added_later_is_closed_until_then() -> None:
    made = changed("add pool wuhu-ai-2/new of metax-c500 nodes 10 at 36h")
    assert "it is added at 1d12h" == row(made, "wuhu-ai-2/new").closed_because
    assert (PoolEvent(36 * HOUR_MS, "wuhu-ai-2/new", ""),) == made.events


def test_a_new_centre_is_founded_like_another() -> None:
    made = changed("add pool new-ai-1/a of metax-c500 nodes 10 like wuhu-ai-1")
    assert "wuhu" == row(made, "new-ai-1/a").city
    joined = [link for link in LINKS if "wuhu-ai-1" in (link.a, link.b)]
    fresh = made.links[len(LINKS) :]
    assert len(joined) + 1 == len(fresh)
    assert all("new-ai-1" in (link.a, link.b) and link.a < link.b for link in fresh)
    assert (
        LinkRow(
            "new-ai-1",
            "wuhu-ai-1",
            max(link.bits_per_second for link in joined),
            min(link.latency_ms for link in joined),
        )
        in fresh
    )


def test_prices_change_for_those_named_and_no_other() -> None:
    made = changed(
        "price wuhu-ai-1 device-hour 15.00",
        "price kind general core-hour +5%",
        "price model metax-c500 device-hour -10%",
    )
    assert 15_000_000 == row(made, "wuhu-ai-1/ascend-910c").device_hour_micro_yuan
    assert 105_000 == row(made, "chuzhou-general-1/xeon-8358").core_hour_micro_yuan
    assert 5_850_000 == row(made, "anqing-ai-1/metax-c500").device_hour_micro_yuan
    touched = {a.key for a, b in zip(POOLS, made.pools, strict=True) if a != b}
    assert all(key.startswith("wuhu-ai-1/") or "general" in key or "metax" in key for key in touched)
    assert any("¥18.00 -> ¥15.00" in note for note in made.notes)


def test_a_lost_centre_closes_all_its_pools_and_comes_back() -> None:
    made = changed("lose centre wuhu-ai-2 at 2d back at 3d", "drain pool wuhu-ai-1/ascend-910c at 12h")
    lost, drained = "its centre is lost until 3d00h", "it is draining"
    assert (
        PoolEvent(12 * HOUR_MS, "wuhu-ai-1/ascend-910c", drained),
        PoolEvent(48 * HOUR_MS, "wuhu-ai-2/a100-80gb", lost, lost=True),
        PoolEvent(48 * HOUR_MS, "wuhu-ai-2/ascend-910b2", lost, lost=True),
        PoolEvent(72 * HOUR_MS, "wuhu-ai-2/a100-80gb", ""),
        PoolEvent(72 * HOUR_MS, "wuhu-ai-2/ascend-910b2", ""),
    ) == made.events
    assert POOLS == made.pools


def test_what_is_removed_is_gone_with_its_events() -> None:
    made = changed("lose centre wuhu-ai-2 at 2d", "remove centre wuhu-ai-2")
    assert "wuhu-ai-2" not in {pool.centre for pool in made.pools}
    assert () == made.events


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "change.verb", "begin with"),
        ("grow", "change", "add, price, lose"),
        ("add pool x", "change.pool", "CENTRE/POOL"),
        ("add 1,000 P", "change.of", "device model, precision and basis"),
        ("add 1,000 P of huawei-ascend-910b2", "change.precision", "fp16"),
        ("add 1,000 P of huawei-ascend-910b2 fp16", "change.basis", "nominal or measured"),
        ("add 1,000 P of huawei-ascend-910b2 fp16 measured in wuhu-ai-2", "change.rate", "one device"),
        ("add 1,000 P of huawei-ascend-910b2 fp16 nominal", "change.in", "say where"),
        ("add -5 P of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2", "change.amount", "above 0"),
        ("add 1,000 of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2", "change.P", "in P"),
        ("add 9,000,000 P of huawei-ascend-910b2 fp16 nominal in wuhu-ai-2", "change.amount", "at most"),
        ("add 1,000 P of huawei-ascend-910b2 fp8 nominal in wuhu-ai-2", "change.precision", "fp16"),
        ("add 1,000 P of huawei fp16 nominal in wuhu-ai-2", "change.model", "huawei-ascend"),
        ("add 1 P of moore-threads-mtt-s4000 fp16 nominal in nowhere", "change.centre", "like CENTRE"),
        ("add pool wuhu-ai-1/x of moore-threads-mtt-s80 nodes 5", "change.devices", "devices"),
        ("add pool wuhu-ai-1/x of metax-c500 nodes 0", "change.nodes", "1 to"),
        ("add pool wuhu-ai-1/x of metax-c500 nodes 5 gpus 3", "change.option", "devices"),
        ("add pool wuhu-ai-1/x of metax-c500 nodes 5 cores 8 cores 8", "change.cores", "twice"),
        ("add pool wuhu-ai-1/x of metax-c500 nodes 5 memory 8", "change.memory", "unit"),
        ("add pool wuhu-ai-1/x of intel-xeon-platinum-8358 nodes 5 devices 4", "change.devices", "CPU"),
        ("add pool wuhu-ai-1/ascend-910c of metax-c500 nodes 5", "change.pool", "already"),
        ("add pool new/x of metax-c500 nodes 5 like old", "change.like", "centre of the province"),
        ("price all device-hour 20%", "change.price", "+20% or -20%"),
        ("price all device-hour -120%", "change.price", "-100%"),
        ("price all device-hour free", "change.price", "yuan"),
        ("price all device-hour -1", "change.price", "yuan"),
        ("price all hour 1", "change.of", "device-hour or core-hour"),
        ("price all device-hour 1 at 2d", "change.at", "whole run"),
        ("price nowhere device-hour 1", "change.where", "such as"),
        ("price kind general device-hour 1", "change.of", "core-hour"),
        ("lose centre wuhu-ai-9 at 2d", "change.centre", "wuhu-ai-"),
        ("lose centre wuhu-ai-1", "change.at", "36h"),
        ("lose centre wuhu-ai-1 at 2", "change.at", "36h"),
        ("lose centre wuhu-ai-1 at 2d back at 1d", "change.back", "later"),
        ("remove centre", "change.name", "centre"),
        ("remove centre wuhu-ai-1 now", "change", "leave it out"),
    ],
)
def test_each_mistake_is_named(text: str, field: str, said: str) -> None:
    with pytest.raises(ProblemError) as refused:
        changed(text)
    [problem] = refused.value.problem.fields
    assert field == problem.field
    assert said in problem.accepted


def test_the_last_pool_stays() -> None:
    with pytest.raises(ProblemError, match="no pool is left"):
        apply_changes(POOLS[:1], (), [parse_change(f"remove pool {POOLS[0].key}")])


@given(
    st.lists(
        st.sampled_from(
            [
                "add",
                "pool",
                "P",
                "of",
                "nodes",
                "price",
                "all",
                "at",
                "lose",
                "centre",
                "back",
                "1,000",
                "2d",
                "-5%",
                "wuhu-ai-1",
                "a/b",
            ]
        )
    )
)
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    with contextlib.suppress(ProblemError):
        changed(" ".join(words))
