"""The machine that the server runs on, from recorded texts of the system and of the vendors' tools."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.province import CentreKind, DeviceKind
from weir.registry import Probe, describe_this_machine, device_catalogue, look_at_this_machine
from weir.registry.device_reports import MIB, ReportedDevice, read_hy_smi, read_npu_smi, read_nvidia_smi
from weir.registry.province_file import in_one_form
from weir.registry.province_rules import province_faults
from weir.registry.this_machine import memory_limit_files, usable_cores_milli, usable_memory_bytes

GIB = 2**30
MEMINFO = "MemTotal:       65536000 kB\nMemFree:        10000000 kB\n"

NVIDIA_SMI = """\
NVIDIA A100-SXM4-80GB, 81920 MiB
Tesla T4, 15360 MiB
NVIDIA A100-SXM4-80GB, 81920 MiB
"""

NPU_SMI = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 25.2.0                   Version: 25.2.0                                               |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     910B3               | OK            | 91.3        33                0    / 0             |
| 0                         | 0000:C1:00.0  | 0           0    / 0          3197 / 65536         |
+===========================+===============+====================================================+
| 1     910B3               | OK            | 88.1        32                0    / 0             |
| 0                         | 0000:01:00.0  | 0           0    / 0          3197 / 65536         |
+===========================+===============+====================================================+
+---------------------------+---------------+----------------------------------------------------+
| NPU     Chip              | Process id    | Process name             | Process memory(MB)      |
+===========================+===============+====================================================+
| 0       0                 | 186723        | python                   | 112                     |
+===========================+===============+====================================================+
| No running processes found in NPU 1                                                            |
+===========================+===============+====================================================+
"""

# Cards of two chips: each chip is a device of its own.
NPU_SMI_TWO_CHIPS = """\
+------------------------------------------------------------------------------------------------+
| npu-smi 24.1.rc3.7               Version: 24.1.rc3.7                                           |
+---------------------------+---------------+----------------------------------------------------+
| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page)|
| Chip  Phy-ID              | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)        |
+===========================+===============+====================================================+
| 0     Ascend910           | OK            | 178.5       36                0    / 0             |
| 0     0                   | 0000:9D:00.0  | 0           0    / 0          3416 / 65536         |
+------------------------------------------------------------------------------------------------+
| 0     Ascend910           | OK            | -           36                0    / 0             |
| 1     1                   | 0000:9F:00.0  | 0           0    / 0          3195 / 65536         |
+===========================+===============+====================================================+
"""

NPU_SMI_INFERENCE = """\
| 2     310P3               | OK            | NA          54                0     / 0            |
| 0     0                   | 0000:82:00.0  | 0           1609 / 21527                           |
"""

HY_SMI = """\
WARNING: driver is older than this tool
{"card1": {"Card Series": "K100_AI", "Card Vendor": "Chengdu C-3000 IC Design Co., Ltd.",
           "vram Total Memory (MiB)": "65520", "vram Total Used Memory (MiB)": "2"},
 "card0": {"Card Series": "K100_AI", "vram Total Memory (MiB)": "65520"},
 "card10": {"Card Series": "BW", "vram Total Memory (MiB)": "65520"}}
"""


def probe(**reports: str) -> Probe:
    answers = {name.replace("_", "-"): text for name, text in reports.items()}
    return Probe(32, "x86_64", MEMINFO, reports=answers)


def test_nvidia_smi_is_read() -> None:
    a100, t4 = ReportedDevice("NVIDIA A100-SXM4-80GB", 81_920 * MIB), ReportedDevice("Tesla T4", 15_360 * MIB)
    assert (a100, t4, a100) == read_nvidia_smi(NVIDIA_SMI)
    assert (ReportedDevice("NVIDIA GB10", None),) == read_nvidia_smi("NVIDIA GB10, [N/A]\n")
    assert () == read_nvidia_smi("No devices were found\n")


def test_npu_smi_is_read() -> None:
    assert (ReportedDevice("910B3", 65_536 * MIB),) * 2 == read_npu_smi(NPU_SMI)
    assert (ReportedDevice("Ascend910", 65_536 * MIB),) * 2 == read_npu_smi(NPU_SMI_TWO_CHIPS)
    assert (ReportedDevice("310P3", 21_527 * MIB),) == read_npu_smi(NPU_SMI_INFERENCE)


def test_hy_smi_is_read_in_order_of_the_cards() -> None:
    k100, bw = ReportedDevice("K100_AI", 65_520 * MIB), ReportedDevice("BW", 65_520 * MIB)
    assert (k100, k100, bw) == read_hy_smi(HY_SMI)
    assert (ReportedDevice("Z100", 32 * GIB),) == read_hy_smi(
        '{"card0": {"Card series": "Z100", "VRAM Total Memory (B)": "34359738368"}}'
    )


@given(st.text(max_size=200))
def test_any_answer_of_a_tool_is_read_without_failing(text: str) -> None:
    for read in (read_nvidia_smi, read_npu_smi, read_hy_smi):
        assert isinstance(read(text), tuple)
    assert () == read_hy_smi("[" + text)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"card0": 3}', '{"card0": {}}', '{"system": {}}', "{"]
)
def test_an_answer_without_cards_means_none(text: str) -> None:
    assert () == read_hy_smi(text)


def test_a_machine_without_accelerators_is_one_pool_of_its_cpu() -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz\n"
    found = describe_this_machine(Probe(32, "x86_64", MEMINFO, cpuinfo))
    [centre] = found.centres
    [pool] = centre.pools
    assert ("local", "local", CentreKind.GENERAL, "local") == (
        centre.id, centre.city, centre.kind, centre.engine.driver,
    )  # fmt: skip
    assert ("cpu", "intel-xeon-platinum-8358", 0, 32_000, 65_536_000 * 1_024) == (
        pool.id, pool.device, pool.devices_per_node, pool.cores_per_node, pool.memory_per_node,
    )  # fmt: skip
    assert () == found.devices
    assert 24 * 3_600_000 == found.projects[0].default_time_limit


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("model name\t: AMD EPYC 7763 64-Core Processor", "amd-epyc-7763"),
        ("model name\t: Hygon C86 7285 32-core Processor", "hygon-c86-7285"),
        ("model name\t: Intel(R) Xeon(R) Platinum 8480+", "intel-xeon-platinum-8480-plus"),
        ("Model Name\t\t: Loongson-3C5000", "loongson-3c5000"),
    ],
)
def test_cpus_of_the_catalogue_are_known_by_their_names(line: str, device: str) -> None:
    found = describe_this_machine(Probe(4, "x86_64", MEMINFO, f"processor: 0\n{line}\n"))
    assert device == found.centres[0].pools[0].device
    assert () == found.devices


def test_an_unknown_cpu_is_declared_with_its_name_alone() -> None:
    [named] = describe_this_machine(Probe(4, "x86_64", MEMINFO, "model name : AMD EPYC\n")).devices
    assert ("amd-epyc", "AMD EPYC", "AMD", "x86_64", DeviceKind.CPU, None) == (
        named.id, named.name, named.vendor, named.stack, named.kind, named.cores,
    )  # fmt: skip
    [unnamed] = describe_this_machine(Probe(4, "aarch64", MEMINFO, "CPU part : 0xd01\n")).devices
    assert ("aarch64-cpu", "unknown") == (unnamed.id, unnamed.vendor)


def test_unlike_devices_make_pools_that_share_cores_and_memory_by_their_number() -> None:
    found = describe_this_machine(probe(nvidia_smi=NVIDIA_SMI))
    a100, t4 = found.centres[0].pools
    assert ("nvidia-a100-sxm-80gb", 2, {"device_ids": "0,2"}) == (
        a100.device,
        a100.devices_per_node,
        a100.options,
    )
    assert ("nvidia-tesla-t4-15gb", 1, {"device_ids": "1"}) == (t4.device, t4.devices_per_node, t4.options)
    assert (21_333, 10_666) == (a100.cores_per_node, t4.cores_per_node)
    assert (
        a100.memory_per_node + t4.memory_per_node
        <= 65_536_000 * 1_024
        < a100.memory_per_node + t4.memory_per_node + 2
    )
    [declared] = found.devices
    assert ("nvidia-tesla-t4-15gb", "cuda", "CUDA_VISIBLE_DEVICES", 15_360 * MIB, {}) == (
        declared.id, declared.stack, declared.visible_devices_variable, declared.memory, declared.peak,
    )  # fmt: skip
    assert CentreKind.INTELLIGENT is found.centres[0].kind


def test_devices_of_several_vendors_are_counted_each_by_its_own_tool() -> None:
    found = describe_this_machine(probe(nvidia_smi="NVIDIA H20, 97871 MiB\n", npu_smi=NPU_SMI, hy_smi=HY_SMI))
    pools = {pool.device: (pool.devices_per_node, pool.options) for pool in found.centres[0].pools}
    assert {
        "nvidia-h20-sxm-96gb": (1, {}),
        "huawei-ascend-910b3": (2, {}),
        "hygon-dcu-k100-ai": (2, {}),
        "hygon-dcu-bw-64gb": (1, {"device_ids": "2"}),
    } == pools
    assert ["HIP_VISIBLE_DEVICES"] == [device.visible_devices_variable for device in found.devices]


def test_a_known_name_with_another_memory_is_another_model() -> None:
    found = describe_this_machine(probe(nvidia_smi="NVIDIA H20, 144384 MiB\n"))
    assert ["nvidia-h20-141gb"] == [device.id for device in found.devices]


def test_memory_is_the_lowest_limit_around_the_process() -> None:
    def memory(*limits: str) -> int:
        return usable_memory_bytes(Probe(1, "x86_64", MEMINFO, memory_limits=limits))

    whole = 65_536_000 * 1_024
    assert whole == memory() == memory("max\n", "", "9223372036854771712\n")
    assert 4 * GIB == memory(f"{8 * GIB}\n", f"{4 * GIB}\n", "max\n")
    with pytest.raises(ValueError, match="declare it in a province file"):
        usable_memory_bytes(Probe(1, "x86_64", ""))


def test_cores_are_the_lowest_quota_around_the_process() -> None:
    def cores(*limits: tuple[str, str]) -> int:
        return usable_cores_milli(Probe(8, "x86_64", MEMINFO, cpu_limits=limits))

    assert 8_000 == cores() == cores(("max", "100000"), ("-1", "100000"), ("", ""), ("900000", "100000"))
    assert 2_500 == cores(("250000", "100000"), ("max", "100000"))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (
            "0::/a/b\n",
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"],
        ),
        (
            "5:cpu,cpuacct:/x\n4:memory:/c\n",
            ["/sys/fs/cgroup/memory/c/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"],
        ),
        ("0::/../../etc\n", ["/sys/fs/cgroup/etc/memory.max", "/sys/fs/cgroup/memory.max"]),
        ("", []),
    ],
)
def test_limits_are_looked_for_up_to_the_root(groups: str, expected: list[str]) -> None:
    files = memory_limit_files(groups)
    assert set(map(Path, expected)) <= set(files)
    assert 2 * len(expected) == len(files)


@pytest.mark.parametrize(
    "machine",
    [probe(), probe(nvidia_smi=NVIDIA_SMI), probe(npu_smi=NPU_SMI_TWO_CHIPS), probe(hy_smi=HY_SMI)],
    ids=["cpu", "nvidia", "ascend", "hygon"],
)
def test_what_is_declared_would_pass_as_a_province_file(machine: Probe) -> None:
    found = describe_this_machine(machine)
    assert [] == province_faults(found, device_catalogue())
    assert found == in_one_form(found)


def test_this_very_machine_can_be_described() -> None:
    found = describe_this_machine(look_at_this_machine())
    assert [] == province_faults(found, device_catalogue())
    assert all(pool.cores_per_node >= 1 and pool.memory_per_node > 2**20 for pool in found.centres[0].pools)
