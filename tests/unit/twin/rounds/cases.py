"""Small cases made up for the tests of rounds."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from weir.twin.rounds import Case, Rule


def case(
    jobs: list[tuple[float, int, float]],
    rates: list[list[float]],
    options: list[tuple[int, int]],
    capacity: list[int],
    rule: Rule | None = None,
    restart_s: float = 0.0,
) -> Case:
    """Jobs of (submit, profile, work), one phase; rates [profile][option]; options of (kind, devices)."""
    return phased(jobs, [[row] for row in rates], [[np.inf]] * len(rates), options, capacity, rule, restart_s)


def phased(
    jobs: list[tuple[float, int, float]],
    rates: list[list[list[float]]],
    ends: list[list[float]],
    options: list[tuple[int, int]],
    capacity: list[int],
    rule: Rule | None = None,
    restart_s: float = 0.0,
) -> Case:
    """Likewise, with rates [profile][phase][option] and the work done at the end of each phase."""
    return Case(
        name="made up",
        kinds=tuple("abcdef"[: len(capacity)]),
        capacity=np.array(capacity, np.int64),
        node_devices=np.ones(len(capacity), np.int64),
        option_kind=np.array([kind for kind, _ in options], np.int64),
        option_devices=np.array([devices for _, devices in options], np.int64),
        profiles=tuple(f"p{number}" for number in range(len(rates))),
        rate=np.array(rates, np.float64),
        phase_end=np.array(ends, np.float64),
        restart_s=np.full(len(rates), restart_s),
        jobs=tuple(f"j{number}" for number in range(len(jobs))),
        submit_s=np.array([job[0] for job in jobs], np.float64),
        profile=np.array([job[1] for job in jobs], np.int64),
        work=np.array([job[2] for job in jobs], np.float64),
        rule=rule or Rule(round_s=10.0),
    )


def random_case(random: np.random.Generator, *, elastic: bool) -> Case:
    """Two or three kinds, a handful of profiles, up to 25 jobs."""
    kinds = int(random.integers(2, 4))
    capacity = [int(random.integers(2, 9)) for _ in range(kinds)]
    options = [(kind, size) for kind in range(kinds) for size in (1, 2, 4, 8) if size <= capacity[kind]]
    rates = []
    for _ in range(int(random.integers(1, 5))):
        speed = random.uniform(0.2, 4.0, kinds)
        width = int(random.choice([size for kind, size in options if kind == 0]))
        decay = random.uniform(0.5, 1.0)
        rates.append(
            [float(speed[kind] * size**decay) if elastic or size == width else 0.0 for kind, size in options]
        )
    count = int(random.integers(1, 26))
    submit = np.sort(random.uniform(0, 500, count))
    jobs = [(float(at), int(random.integers(len(rates))), float(random.uniform(1, 400))) for at in submit]
    rule = Rule(
        round_s=float(random.choice([5.0, 30.0])),
        until_last=bool(random.integers(2)) and not elastic,
        doubling=elastic,
    )
    return case(
        jobs, rates, options, capacity, rule, restart_s=float(random.choice([0.0, 3.0])) if elastic else 0.0
    )


def made_up_speeds(folder: Path, epochs: Mapping[str, int]) -> Path:
    """A folder of speeds as Sia's artifact has them: a step takes a hundredth of a second for each of a device's batch,
    and a tenth more for every further node."""
    for name, count in epochs.items():
        place = folder / name
        place.mkdir(parents=True)
        for kind, node, nodes in (("aws", 4, 6), ("dgx-ext", 8, 2), ("rtx", 8, 3)):
            rows = []
            for width in range(1, node * nodes + 1):
                full, rest = divmod(width, node)
                digits = [node] * full + ([rest] if rest else [])
                code = min("".join(map(str, digits[i:] + digits[:i])) for i in range(len(digits)))
                step = 0.01 * (1 + 0.1 * (len(digits) - 1))
                rows += [f"{code},{local},{step * local},0.0" for local in (1, 4096)]
            header = "placement,local_bsz,step_time,sync_time\n"
            (place / f"placements-{kind}.csv").write_text(header + "\n".join(rows) + "\n")
            (place / f"scalability-{kind}.csv").write_text(
                "num_nodes,num_replicas,local_bsz,step_time,sync_time\n"
            )
        for batch in (8, 8192):
            rows = [f"{1_000 * epoch},1.0,{batch}.0" for epoch in range(1, count + 1)]
            header = "progress,grad_sqr,grad_var\n"
            (place / f"validation-{batch}.csv").write_text(header + "\n".join(rows) + "\n")
    return folder
