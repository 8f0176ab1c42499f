"""Gavel's experiments: its jobs drawn from its seeds, its throughputs, its traces and its rule of rounds.

Facts from stanford-futuredata/gavel@c4fa40097339 (MIT; Narayanan et al., OSDI 2020), `scheduler/`: jobs and their
random streams in utils.py and job_table.py, rounds in scheduler.py. A preempted job loses nothing in its simulator.
"""

import gzip
import json
import math
import random
import re
from pathlib import Path

import numpy as np

from weir.model.problem import refused
from weir.twin.rounds.case import Case, Rule

KINDS = ("v100", "p100", "k80")
SIZES = (1, 2, 4, 8)
RULE = Rule(round_s=360.0, until_last=True, whole_steps=True)

_DISTRIBUTED = (
    *(f"ResNet-18 (batch size {size})" for size in (16, 32, 64, 128, 256)),
    *(f"ResNet-50 (batch size {size})" for size in (16, 32, 64, 128)),
    *(f"Transformer (batch size {size})" for size in (16, 32, 64, 128, 256)),
    *(f"LM (batch size {size})" for size in (5, 10, 20, 40, 80)),
)
_SINGLE = (
    *(f"Recommendation (batch size {size})" for size in (512, 1024, 2048, 4096, 8192)),
    "A3C",
    "CycleGAN",
)
MODELS = (*_DISTRIBUTED, *_SINGLE)
"""In the order in which its generator draws from them."""

Rates = dict[tuple[str, int], tuple[float, ...]]
"""(model, devices) -> steps a second on each of KINDS; 0 where it does not run."""


def read_rates(path: Path) -> Rates:
    """`simulation_throughputs.json`, plain or gzipped: each job alone on devices of one server."""
    raw = path.read_bytes()
    document = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    found: dict[tuple[str, int], list[float]] = {}
    for place, kind in enumerate(KINDS):
        if kind not in document:
            raise refused(str(path), "without " + kind, f"throughputs of {', '.join(KINDS)}")
        for key, row in document[kind].items():
            match = re.fullmatch(r"\('(.*)', (\d+)\)", key)
            if match is None or "null" not in row:
                raise refused(f"{path}: {kind}", key, "keys like ('A3C', 1) with an entry for \"null\"")
            found.setdefault((match[1], int(match[2])), [0.0] * len(KINDS))[place] = float(row["null"])
    return {key: tuple(speeds) for key, speeds in found.items()}


def generated(
    rates: Rates, count: int, seed: int, *, gap_s: float = 0.0, gangs: bool = True,
    devices: tuple[int, int, int] = (36, 36, 36),
) -> Case:  # fmt: skip
    """`count` jobs as its generator draws them from this seed, `gap_s` apart on average (0: all at once).

    Of jobs with `gangs`, 70 % have 1 device, 10 % 2, 15 % 4 and 5 % 8; 80 % last 10^1.5 to 10^3 minutes and the rest
    10^3 to 10^4 on V100, uniformly in the exponent; models are drawn until one can be distributed, if need be.
    """
    draws, gaps = random.Random(seed + 2), random.Random(seed + 3)
    submit, names, sizes, work = [], [], [], []
    at = 0.0
    for _ in range(count):
        point = draws.uniform(0, 1)
        size = 1 if point < 0.7 else 2 if point <= 0.8 else 4 if point < 0.95 else 8
        long = draws.random() >= 0.8
        minutes = 10 ** (draws.uniform(3, 4) if long else draws.uniform(1.5, 3))
        size = size if gangs else 1
        model = draws.choice(MODELS)
        while size > 1 and model in _SINGLE:
            model = draws.choice(MODELS)
        submit.append(at)
        names.append(model)
        sizes.append(size)
        work.append(60 * minutes * rates[model, size][0])
        if gap_s:
            at += -math.log(1.0 - gaps.random()) * gap_s
    return _case(f"gavel-{count}-{seed}", rates, devices, submit, names, sizes, work)


def read_trace(path: Path, rates: Rates, devices: tuple[int, int, int] = (36, 36, 36)) -> Case:
    """One of its `.trace` files: tab-separated, a job a line, with model, steps, devices and arrival in seconds.

    Seven columns (msr) or ten (physical_cluster): steps and devices are told apart by position from either end.
    Raises ProblemError naming the line that cannot be read.
    """
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        cells = line.split("\t")
        try:
            if len(cells) == 10:
                row = (float(cells[9]), cells[0], int(cells[6]), float(cells[5]))
            elif len(cells) == 7:
                row = (float(cells[5]), cells[0], int(cells[6]), float(cells[4]))
            else:
                raise ValueError(f"{len(cells)} columns")
            if (row[1], row[2]) not in rates:
                raise ValueError(f"no throughput of {row[1]} on {row[2]} devices")
        except ValueError as error:
            raise refused(f"{path}: line {number}", line[:80], f"7 or 10 columns ({error})") from None
        rows.append(row)
    rows.sort(key=lambda row: row[0])
    submit, names, sizes, work = (list(column) for column in zip(*rows, strict=True))
    return _case(path.stem, rates, devices, submit, names, sizes, work)


def _case(
    name: str, rates: Rates, devices: tuple[int, int, int], submit: list[float], models: list[str],
    sizes: list[int], work: list[float],
) -> Case:  # fmt: skip
    keys = sorted(set(zip(models, sizes, strict=True)))
    options = [(kind, size) for kind in range(len(KINDS)) for size in SIZES if size <= devices[kind]]
    rate = np.zeros((len(keys), 1, len(options)))
    for row, key in enumerate(keys):
        for column, (kind, size) in enumerate(options):
            if size == key[1]:
                rate[row, 0, column] = rates[key][kind]
    place = {key: row for row, key in enumerate(keys)}
    return Case(
        name=name,
        kinds=KINDS,
        capacity=np.array(devices, np.int64),
        node_devices=np.ones(len(KINDS), np.int64),
        option_kind=np.array([kind for kind, _ in options], np.int64),
        option_devices=np.array([size for _, size in options], np.int64),
        profiles=tuple(f"{model} x{size}" for model, size in keys),
        rate=rate,
        phase_end=np.full((len(keys), 1), np.inf),
        restart_s=np.zeros(len(keys)),
        jobs=tuple(str(number) for number in range(len(submit))),
        submit_s=np.array(submit),
        profile=np.array([place[key] for key in zip(models, sizes, strict=True)], np.int64),
        work=np.array(work, np.float64),
        rule=RULE,
    )


__all__ = ["KINDS", "MODELS", "RULE", "Rates", "generated", "read_rates", "read_trace"]
