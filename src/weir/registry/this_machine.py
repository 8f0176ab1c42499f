"""The machine that the server runs on, declared as a province of one centre, so that one person has a queue."""

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from weir.model.province import (
    Centre,
    CentreKind,
    City,
    DeviceKind,
    DeviceModel,
    Engine,
    Organisation,
    Pool,
    Project,
    Province,
)
from weir.registry.catalogue import device_catalogue
from weir.registry.device_reports import (
    HY_SMI,
    NPU_SMI,
    NVIDIA_SMI,
    ReportedDevice,
    read_hy_smi,
    read_npu_smi,
    read_nvidia_smi,
)
from weir.registry.province_rules import VERSION

LOCAL = "local"
"""The id of the province, its city and its centre."""

ORGANISATION = "91000000WEYR00000Q"
"""A well-formed credit code of a division that does not exist, so that it is nobody's."""

PROJECT = "default"
TIME_LIMIT_MS = 24 * 3_600_000
TOOL_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Probe:
    """What was read of a machine: texts as the system gave them, empty or missing where there is none.

    `memory_limits` are of the control groups around this process, `cpu_limits` (quota, period) likewise.
    `reports` are the answers of the vendors' tools, by the tool's name.
    """

    cores: int
    machine: str
    meminfo: str
    cpuinfo: str = ""
    memory_limits: tuple[str, ...] = ()
    cpu_limits: tuple[tuple[str, str], ...] = ()
    reports: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Maker:
    """A vendor's tool, and what follows from the fact that this tool reports a device."""

    command: tuple[str, ...]
    read: Callable[[str], tuple[ReportedDevice, ...]]
    vendor: str
    prefix: str
    stack: str
    variable: str
    domestic: bool
    known: Mapping[str, str]
    """Names as reported, and the catalogue's model for each."""


_MAKERS = (
    _Maker(
        NVIDIA_SMI,
        read_nvidia_smi,
        "NVIDIA",
        "NVIDIA",
        "cuda",
        "CUDA_VISIBLE_DEVICES",
        False,
        {
            "NVIDIA A100-SXM4-40GB": "nvidia-a100-sxm-40gb",
            "NVIDIA A100-SXM4-80GB": "nvidia-a100-sxm-80gb",
            "NVIDIA H100 80GB HBM3": "nvidia-h100-sxm-80gb",
            "NVIDIA H20": "nvidia-h20-sxm-96gb",
            "NVIDIA GeForce RTX 4090": "nvidia-rtx-4090",
        },
    ),
    _Maker(
        NPU_SMI,
        read_npu_smi,
        "Huawei",
        "Huawei Ascend",
        "cann",
        "ASCEND_RT_VISIBLE_DEVICES",
        True,
        {
            "910B2": "huawei-ascend-910b2",
            "910B3": "huawei-ascend-910b3",
            "910B4": "huawei-ascend-910b4",
        },
    ),
    _Maker(
        HY_SMI,
        read_hy_smi,
        "Hygon",
        "Hygon DCU",
        "dtk",
        "HIP_VISIBLE_DEVICES",
        True,
        {
            "Z100": "hygon-dcu-z100",
            "K100": "hygon-dcu-k100",
            "K100_AI": "hygon-dcu-k100-ai",
            "BW1000": "hygon-dcu-bw1000",
        },
    ),
)


def look_at_this_machine() -> Probe:
    """Read this machine. A tool that is missing, fails or takes too long counts as reporting nothing."""
    own_groups = _text(Path("/proc/self/cgroup"))
    reports = {maker.command[0]: _answer(maker.command) for maker in _MAKERS}
    return Probe(
        cores=len(os.sched_getaffinity(0)),
        machine=platform.machine(),
        meminfo=_text(Path("/proc/meminfo")),
        cpuinfo=_text(Path("/proc/cpuinfo")),
        memory_limits=tuple(_text(path) for path in memory_limit_files(own_groups)),
        cpu_limits=tuple(_quota(folder) for folder in _folders(own_groups, "cpu")),
        reports={tool: answer for tool, answer in reports.items() if answer},
    )


def describe_this_machine(probe: Probe, catalogue: Mapping[str, DeviceModel] | None = None) -> Province:
    """The machine as one centre: a pool for each model of accelerator, or one of its CPU where it has none.

    Unlike devices make separate pools that share cores and memory in proportion to their devices. A device that
    the catalogue does not know is declared with what was reported and nothing else.
    """
    known = device_catalogue() if catalogue is None else catalogue
    models = _accelerators(probe, known)
    cores, memory = usable_cores_milli(probe), usable_memory_bytes(probe)
    declared = [model for model, _ in models]
    if models:
        pools = _device_pools(models, cores, memory)
        kind = CentreKind.INTELLIGENT
    else:
        cpu = _cpu(probe, known)
        declared.append(cpu)
        pools = (Pool("cpu", cpu.id, 1, cores, memory),)
        kind = CentreKind.GENERAL
    roles = ("tenant", "centre-operator", "coordinator")
    return Province(
        version=VERSION,
        province=LOCAL,
        name="This machine",
        name_zh="本机",
        cities=(City(LOCAL, "This place", "本地"),),
        organisations=(Organisation(ORGANISATION, "This machine's owner", "本机所有者", roles),),
        projects=(Project(PROJECT, ORGANISATION, "Default project", TIME_LIMIT_MS),),
        devices=tuple({model.id: model for model in declared if model.id not in known}.values()),
        centres=(
            Centre(LOCAL, kind, LOCAL, "This machine", "本机", ORGANISATION, Engine("local"), pools=pools),
        ),
    )


def usable_memory_bytes(probe: Probe) -> int:
    """The machine's memory, or the lowest limit of the control groups around this process."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", probe.meminfo, re.MULTILINE)
    limits = [int(text) for text in map(str.strip, probe.memory_limits) if text.isdecimal() and int(text) > 0]
    if total:
        limits.append(int(total[1]) * 1_024)
    if not limits:
        raise ValueError("this machine's memory cannot be read; declare it in a province file")
    return min(limits)


def usable_cores_milli(probe: Probe) -> int:
    """Thousandths of a core that this process may use: its cores, or the lowest quota around it."""
    quotas = [
        int(quota) * 1_000 // int(period)
        for quota, period in probe.cpu_limits
        if quota.isdecimal() and period.isdecimal() and int(quota) > 0 and int(period) > 0
    ]
    return max(1, min([probe.cores * 1_000, *quotas]))


def memory_limit_files(own_groups: str) -> tuple[Path, ...]:
    """The files that may hold a memory limit, for a process whose /proc/self/cgroup reads so."""
    return tuple(
        folder / name
        for folder in _folders(own_groups, "memory")
        for name in ("memory.max", "memory.limit_in_bytes")
    )


def _folders(own_groups: str, controller: str) -> tuple[Path, ...]:
    """The control groups around this process that may limit it, versions 2 and 1, up to the root."""
    root = Path("/sys/fs/cgroup")
    folders: list[Path] = []
    for line in own_groups.splitlines():
        number, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if number == "0" and not controllers:
            base = root
        elif controller in controllers.split(","):
            base = root / controller
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders += [base.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1)]
    return tuple(folders)


def _quota(folder: Path) -> tuple[str, str]:
    both = _text(folder / "cpu.max").split()
    if len(both) == 2:
        return both[0], both[1]
    return _text(folder / "cpu.cfs_quota_us").strip(), _text(folder / "cpu.cfs_period_us").strip()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _answer(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=TOOL_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _accelerators(
    probe: Probe, known: Mapping[str, DeviceModel]
) -> list[tuple[DeviceModel, tuple[int, ...]]]:
    """The accelerators by model, each with the indexes that its vendor's tool counts them by."""
    found = []
    for maker in _MAKERS:
        devices = [
            _model(maker, device, known) for device in maker.read(probe.reports.get(maker.command[0], ""))
        ]
        numbered = sorted(
            ((model, index) for index, model in enumerate(devices)), key=lambda entry: entry[0].id
        )
        for _, same in groupby(numbered, key=lambda entry: entry[0].id):
            entries = list(same)
            found.append((entries[0][0], tuple(index for _, index in entries)))
    return found


def _model(maker: _Maker, device: ReportedDevice, known: Mapping[str, DeviceModel]) -> DeviceModel:
    model = known.get(maker.known.get(device.name, ""))
    if model is not None and _about_equal(model.memory, device.memory_bytes):
        return model
    name = device.name if device.name.startswith(maker.prefix) else f"{maker.prefix} {device.name}"
    size = f" {round(device.memory_bytes / 2**30)}gb" if device.memory_bytes else ""
    source = f"reported by {maker.command[0]} on this machine"
    return DeviceModel(
        id=_unused(_slug(name + size), known),
        name=name,
        kind=DeviceKind.ACCELERATOR,
        vendor=maker.vendor,
        stack=maker.stack,
        domestic=maker.domestic,
        visible_devices_variable=maker.variable,
        memory=device.memory_bytes,
        sources={"name": source, "memory": source} if device.memory_bytes else {"name": source},
    )


def _about_equal(catalogued: int | None, reported: int | None) -> bool:
    """Tools report what is left after the firmware took its part, so an eighth less is the same."""
    return catalogued is None or reported is None or catalogued * 7 // 8 <= reported <= catalogued * 9 // 8


def _device_pools(
    models: Sequence[tuple[DeviceModel, tuple[int, ...]]], cores_milli: int, memory_bytes: int
) -> tuple[Pool, ...]:
    count = sum(len(indexes) for _, indexes in models)
    return tuple(
        Pool(
            id=model.id,
            device=model.id,
            nodes=1,
            cores_per_node=max(1, cores_milli * len(indexes) // count),
            memory_per_node=max(1, memory_bytes * len(indexes) // count),
            devices_per_node=len(indexes),
            options={}
            if indexes == tuple(range(len(indexes)))
            else {"device_ids": ",".join(map(str, indexes))},
        )
        for model, indexes in models
    )


def _cpu(probe: Probe, known: Mapping[str, DeviceModel]) -> DeviceModel:
    """The catalogue's model of the CPU's name, or one declared with the name alone."""
    match = re.search(r"^model name\s*:\s*(.+)$", probe.cpuinfo, re.MULTILINE | re.IGNORECASE)
    name = _cpu_name(match[1]) if match else ""
    for model in known.values():
        if model.kind is DeviceKind.CPU and name and _letters(model.name) == _letters(name):
            return model
    name = name or f"{probe.machine or 'unknown'} CPU"
    source = "reported by /proc/cpuinfo on this machine" if match else "reported by uname on this machine"
    return DeviceModel(
        id=_unused(_slug(name), known),
        name=name,
        kind=DeviceKind.CPU,
        vendor=name.split()[0] if match else "unknown",
        stack=probe.machine,
        sources={"name": source},
    )


def _cpu_name(text: str) -> str:
    """The name without marks, clock and core count: `Intel Xeon Platinum 8358`."""
    text = re.sub(r"\((R|TM|r|tm)\)", "", text)
    text = re.sub(r"\s*@.*$", "", text)
    text = re.sub(r"\s+(\d+-core\s+)?processor\b.*$", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\bCPU\b", "", text)
    return " ".join(text.split())


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum() or letter == "+")


def _slug(name: str) -> str:
    """Small letters, digits and single dashes, at most 60."""
    slug = "-".join(re.findall(r"[a-z0-9]+", name.lower().replace("+", " plus ")))
    return slug[:60].strip("-") or "device"


def _unused(slug: str, known: Iterable[str]) -> str:
    """The slug, made another where the catalogue has it for something that this device is not."""
    return f"{slug}-x" if slug in known else slug
