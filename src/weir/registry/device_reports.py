"""What the vendors' tools report of a machine's accelerators: pure readers of their output."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MIB = 1 << 20

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
NPU_SMI = ("npu-smi", "info")
HY_SMI = ("hy-smi", "--showproductname", "--showmeminfo", "vram", "--json")


@dataclass(frozen=True, slots=True)
class ReportedDevice:
    """One accelerator as its tool reports it; `memory_bytes` is None where the tool does not say."""

    name: str
    memory_bytes: int | None


def read_nvidia_smi(text: str) -> tuple[ReportedDevice, ...]:
    """The devices in the answer to NVIDIA_SMI, in the tool's order; other lines (messages) are passed over."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(\S.*?)\s*,\s*(?:(\d+) MiB|\[.*\])\s*", line)
        if match:
            found.append(ReportedDevice(match[1], int(match[2]) * MIB if match[2] else None))
    return tuple(found)


def read_npu_smi(text: str) -> tuple[ReportedDevice, ...]:
    """The chips in the answer to NPU_SMI, in the tool's order.

    The table has two lines for each: one with the card's name, and one with the chip's bus address and memory
    in use and in all. A card of two chips is two devices, as its software sees it. What the tool calls MB are
    MiB (65536 for 64 GiB).
    """
    found = []
    name = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) != 3:
            continue
        card = re.fullmatch(r"\d+\s+(\S+)", cells[0])
        if re.fullmatch(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.[0-9A-Fa-f]", cells[1]):
            amounts = re.findall(r"\d+\s*/\s*(\d+)", cells[2])
            total = int(amounts[-1]) * MIB if amounts else 0
            if name:
                found.append(ReportedDevice(name, total or None))
            name = ""
        elif card:
            name = card[1]
    return tuple(found)


def read_hy_smi(text: str) -> tuple[ReportedDevice, ...]:
    """The devices in the answer to HY_SMI, in order of their number; none where it is no such answer."""
    start = text.find("{")
    try:
        cards = json.loads(text[start:]) if start >= 0 else {}
    except ValueError:
        cards = {}
    found: list[tuple[int, ReportedDevice]] = []
    for key, facts in cards.items() if isinstance(cards, dict) else ():
        number = re.fullmatch(r"card(\d+)", str(key))
        if number and isinstance(facts, dict):
            found.extend((int(number[1]), device) for device in _hy_card(facts))
    return tuple(device for _, device in sorted(found, key=lambda entry: entry[0]))


def _hy_card(facts: dict[str, Any]) -> Iterator[ReportedDevice]:
    plain = {str(key).lower(): str(value).strip() for key, value in facts.items()}
    name = plain.get("card series", "")
    mib, plain_bytes = plain.get("vram total memory (mib)", ""), plain.get("vram total memory (b)", "")
    memory = int(mib) * MIB if mib.isdecimal() else int(plain_bytes) if plain_bytes.isdecimal() else None
    if name:
        yield ReportedDevice(name, memory)
