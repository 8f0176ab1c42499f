"""The province file: what is read, what is refused and how, and the files that ship."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.registry.conftest import SMALL
from weir.model.problem import ProblemError
from weir.model.province import CentreKind, DeviceKind, Province
from weir.registry import data_folder, device_catalogue, read_province, totals
from weir.registry.catalogue import read_devices
from weir.registry.pool_rows import province_rows
from weir.registry.province_rules import province_faults
from weir.units import UnlikeQuantitiesError


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) >= 1, old
    return SMALL.replace(old, new, 1)


def test_quantities_become_integers_in_base_units(small: Province) -> None:
    pool = small.centres[0].pools[0]
    assert (64_000, 512 * 2**30, 2_500_000) == (
        pool.cores_per_node,
        pool.memory_per_node,
        pool.price.device_hour,
    )
    assert 7_200_000 == small.projects[0].default_time_limit
    assert 10**13 == small.devices[0].peak["fp16"]
    assert (10**10, 1_700) == (small.links[0].bandwidth, small.links[0].latency)


def test_a_link_is_read_with_its_ends_in_order(small: Province) -> None:
    assert ("hefei-ai", "wuhu-ai") == (small.links[0].a, small.links[0].b)


def test_a_centres_carbon_intensity_is_laid_into_its_pools(small: Province) -> None:
    found = [[pool.carbon_g_per_kwh for pool in centre.pools] for centre in small.centres]
    assert [[678, 678], [100]] == found


def test_how_many_starts_a_pool_promises_is_told_to_the_core() -> None:
    said = read_province(changed("nodes: 4,", "nodes: 4, reservations: 2,"), "small.yaml")
    rows, _ = province_rows(said, device_catalogue())
    assert {"hefei-ai/cpus": None, "hefei-ai/toys": 2, "wuhu-ai/toys": None} == {
        row.key: row.reservations for row in rows
    }


@pytest.mark.parametrize(
    ("old", "new", "field", "said"),
    [
        ("version: 1", "version: 2", "version", "give version: 1"),
        ("province: small", "province: Small", "province", "small letters"),
        ("kind: intelligent", "kind: clever", "centres[0].kind", "'intelligent', 'supercomputing'"),
        ("memory_per_node: 512 GiB", "memory_per_node: 512", "centres[0].pools[0].memory_per_node", "512MiB"),
        ("nodes: 4", "nodes: true", "centres[0].pools[0].nodes", "integer"),
        ("nodes: 4", 'nodes: "4"', "centres[0].pools[0].nodes", "integer"),
        ("nodes: 4", "nodes: 0", "centres[0].pools[0].nodes", "from 1 to"),
        ("nodes: 4, ", "", "centres[0].pools[0].nodes", "it is required"),
        ("nodes: 4", "nods: 4", "centres[0].pools[0].nods", "did you mean nodes?"),
        ('device_hour: "2.50"', "device_hour: 2.50", "centres[0].pools[0].price.device_hour", "in quotes"),
        ('device_hour: "2.50"', 'device_hour: "-1"', "centres[0].pools[0].price.device_hour", "0 or more"),
        ("device: toy, nodes: 4", "device: toys, nodes: 4", "centres[0].pools[0].device", "of the catalogue"),
        ("devices_per_node: 8, ", "", "centres[0].pools[0].devices_per_node", "say how many"),
        ("nodes: 2,", "nodes: 2, devices_per_node: 1,", "centres[0].pools[1].devices_per_node", "is a CPU"),
        ("nodes: 4,", "nodes: 4, reservations: 0,", "centres[0].pools[0].reservations", "from 1 to 32"),
        ("nodes: 4,", "nodes: 4, reservations: 33,", "centres[0].pools[0].reservations", "from 1 to 32"),
        (
            "nodes: 4,",
            "nodes: 4, shares: true, reservations: 2,",
            "centres[0].pools[0].reservations",
            "one start at a time; give 1 or leave it out",
        ),
        ("nodes: 2,", "nodes: 2, shares: true,", "centres[0].pools[1].shares", "no device to share"),
        ("id: cpus", "id: toys", "centres[0].pools[1].id", "pools[0] has this id"),
        ("id: wuhu-ai", "id: hefei-ai", "centres[1].id", "centres[0] has this id"),
        ("id: wuhu-ai", "id: Wuhu_AI", "centres[1].id", "small letters"),
        ("id: wuhu-ai", "id: 7", "centres[1].id", "put it in quotes"),
        ("    city: wuhu", "    city: nanjing", "centres[1].city", "declared under cities"),
        ("kwh: 678", "kwh: -1", "centres[0].carbon_g_per_kwh", "from 0 to"),
        (
            'operator: "91340100WEYR00027A"',
            'operator: "91340100WEYR00027B"',
            "centres[0].operator",
            "should be 'A'",
        ),
        (
            'operator: "91340100WEYR00027A"',
            'operator: "91110000802100433B"',
            "centres[0].operator",
            "organisations",
        ),
        ('- {id: "91340100WEYR00027A"', '- {id: "9134"', "organisations[0].id", "has 18 characters"),
        ("roles: [tenant]", "roles: [landlord]", "organisations[1].roles[0]", "tenant, centre-operator"),
        ("roles: [tenant]", "share: {weight: 0}", "organisations[1].share.weight", "from 1 to 100"),
        ("roles: [tenant]", 'share: {quota: "-1"}', "organisations[1].share.quota", "yuan an hour from 0"),
        (
            "roles: [tenant]",
            'share: {quota: "9", ceiling: "8.50"}',
            "organisations[1].share.ceiling",
            "from its quota",
        ),
        (
            'organisation: "91340100WEYR00027A"',
            'organisation: "x"',
            "projects[0].organisation",
            "organisations",
        ),
        ("default_time_limit: 2h", "default_time_limit: 2", "projects[0].default_time_limit", "90s"),
        ('value: "0.1"', 'value: "much"', "centres[0].capacity[0].value", "decimal number above 0"),
        ('value: "0.1"', 'value: "NaN"', "centres[0].capacity[0].value", "decimal number above 0"),
        ("basis: nominal", "basis: guessed", "centres[0].capacity[0].basis", "nominal or measured"),
        ("date: 2025-09-24", "date: September", "centres[0].capacity[0].date", "2025-09-24"),
        ("b: hefei-ai,", "b: nowhere,", "links[0].b", "declared under centres"),
        ("b: hefei-ai,", "b: wuhu-ai,", "links[0].b", "joins two centres"),
        ("latency: 1.7 ms", "latency: 1.7", "links[0].latency", "0.3 ms"),
        ("bandwidth: 10 Gbit/s", "bandwidth: 10 GB", "links[0].bandwidth", "100 Gbit/s"),
        ("name: Hefei,", "name: Hefei, latitude: 117.2,", "cities[0].latitude", "-90 to 90"),
        ("engine: {driver: local,", "engine: {driver: Local,", "centres[0].engine.driver", "small letters"),
        ("centres:", "centers:", "centers", "did you mean centres?"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_accepted(old: str, new: str, field: str, said: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_province(changed(old, new), "small.yaml")
    problem = caught.value.problem
    assert ("invalid-province", 422) == (problem.kind, problem.status)
    found = {entry.field: entry.accepted for entry in problem.fields}
    assert field in found
    assert said in found[field]
    assert problem.title.startswith("small.yaml, line ")


def test_the_line_of_a_wrong_field_is_told() -> None:
    line = next(number for number, text in enumerate(SMALL.splitlines(), 1) if "city: wuhu" in text)
    with pytest.raises(
        ProblemError, match=f"small.yaml, line {line}: centres\\[1\\].city: 'x' is not accepted"
    ):
        read_province(changed("    city: wuhu", "    city: x"), "small.yaml")


def test_everything_wrong_is_told_at_once() -> None:
    text = changed("nodes: 4", "nodes: 0").replace("    city: wuhu", "    city: x").replace("speed", "s")
    with pytest.raises(ProblemError) as caught:
        read_province(text, "small.yaml")
    expected = ["centres[0].pools[0].nodes", "centres[1].city"]
    assert expected == sorted(entry.field for entry in caught.value.problem.fields)


def test_two_links_between_the_same_centres_are_refused() -> None:
    text = SMALL + "  - {a: hefei-ai, b: wuhu-ai, bandwidth: 1 Gbit/s, latency: 9 ms}\n"
    with pytest.raises(ProblemError, match=r"links\[0\] joins the same centres"):
        read_province(text, "small.yaml")


@pytest.mark.parametrize(
    "text", ["[]", "3", "centres", "version: 1", "version: 1\nprovince: x\ncentres: 3", "a: b"]
)
def test_a_document_of_another_form_is_refused(text: str) -> None:
    if text == "version: 1":
        with pytest.raises(ProblemError, match="province: nothing is not accepted; it is required"):
            read_province(text, "x")
        return
    with pytest.raises(ProblemError):
        read_province(text, "x")


def test_a_provinces_own_device_goes_before_the_catalogues() -> None:
    text = SMALL.replace("id: toy,", "id: nvidia-rtx-4090,").replace(
        "device: toy,", "device: nvidia-rtx-4090,"
    )
    assert "Toy" == read_province(text, "x").devices[0].name


def test_anhui_has_the_published_totals_over_34_centres_of_all_kinds_in_16_cities() -> None:
    file = data_folder("provinces") / "anhui.yaml"
    anhui = read_province(file.read_text("utf-8"), file.name)
    found = {(fact.kind, fact.unit, fact.precision): fact.value for fact in totals(anhui)}
    expected = {
        ("intelligent", "P", "fp16"): Decimal(26_000),
        ("general", "P", "fp32"): Decimal(640),
        ("supercomputing", "P", "fp64"): Decimal("33.3"),
        ("quantum", "qubit", ""): Decimal(2_070),
    }
    assert expected == found
    assert 34 == len(anhui.centres)
    assert 16 == len({centre.city for centre in anhui.centres}) == len(anhui.cities)
    assert set(CentreKind) == {centre.kind for centre in anhui.centres}
    assert "illustrative" in file.read_text("utf-8").split("version: 1")[0].lower()


@pytest.mark.parametrize("file", sorted(data_folder("provinces").glob("*.yaml")), ids=lambda file: file.name)
def test_every_province_file_that_ships_is_right(file: Path) -> None:
    assert read_province(file.read_text("utf-8"), file.name).centres


def test_unlike_capacities_are_never_added() -> None:
    facts = (
        '      - {kind: intelligent, unit: P, precision: fp16, basis: nominal, value: "0.2", date: 2025-09-24}\n'
        '      - {kind: intelligent, unit: P, precision: fp16, basis: measured, value: "0.2", date: 2025-09-24}\n'
        '      - {kind: intelligent, unit: P, precision: int8, basis: nominal, value: "4", date: 2025-09-24}\n'
    )
    found = totals(read_province(changed("    pools:\n", facts + "    pools:\n"), "x"))
    assert [
        "0.2 P fp16 intelligent (measured)",
        "0.3 P fp16 intelligent (nominal)",
        "4 P int8 intelligent (nominal)",
    ] == [str(total) for total in found]
    with pytest.raises(UnlikeQuantitiesError):
        found[0] + found[1]


def test_the_catalogue_holds_what_is_asked_of_it() -> None:
    catalogue = device_catalogue()
    names = " ".join(model.name for model in catalogue.values())
    for wanted in (
        "A100", "H100", "H20", "4090", "910B", "910C", "Hygon DCU", "MLU370", "MLU590", "Kunlunxin", "Iluvatar",
        "MetaX", "Moore Threads", "Kunpeng 920", "Phytium", "3C5000", "3C6000", "Hygon C86", "Intel", "AMD",
    ):  # fmt: skip
        assert wanted in names


def test_every_figure_of_the_catalogue_has_a_source() -> None:
    for model in device_catalogue().values():
        for field in ("memory", "power", "cores", "qubits", "peak"):
            assert not getattr(model, field) or field in model.sources, (model.id, field)


def test_every_accelerator_of_the_catalogue_says_how_its_stack_is_told_of_devices() -> None:
    missing = [
        model.id
        for model in device_catalogue().values()
        if model.kind is DeviceKind.ACCELERATOR and not model.visible_devices_variable
    ]
    assert [] == missing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("devices: []", "give version: 1"),
        ("version: 1", "needs `devices`"),
        ("version: 1\ndevices: [{id: a}]", "it is required"),
        (
            "version: 1\ndevices:\n" + "- {id: a, name: A, kind: cpu, vendor: V, stack: x86_64}\n" * 2,
            "has this id",
        ),
    ],
)
def test_a_wrong_catalogue_is_refused(text: str, said: str) -> None:
    with pytest.raises(ProblemError) as caught:
        read_devices(text, "devices.yaml")
    assert said in str(caught.value)


def test_a_missing_data_folder_is_said() -> None:
    with pytest.raises(FileNotFoundError, match="'nowhere' is missing"):
        data_folder("nowhere")


def test_a_checked_province_has_no_faults(small: Province) -> None:
    assert [] == province_faults(small, device_catalogue())
