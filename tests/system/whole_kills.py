"""When what of a province is killed, and for how long it stays away: drawn from a seed, and then carried out."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from tests.system.whole_province import CLUSTERS, WholeProvince

_SHORT_S, _LONG_S = (0.0, 1.5), (9.0, 14.0)
"""A node that is away for the longer time is given up by Slurm, and what runs there has failed with it."""


@dataclass(frozen=True, slots=True)
class Kill:
    """At `at_s` after the beginning `victim` is killed, and `away_s` later it is started again."""

    at_s: float
    victim: str
    away_s: float

    def __str__(self) -> str:
        return f"{self.at_s:6.2f} s kill -9 {self.victim}, back after {self.away_s:.2f} s"


def schedule(random: Random, victims: Sequence[str], length_s: float) -> list[Kill]:
    """Everything at least once, the server and the Slurm agents twice; nothing while it is away."""
    chosen = [*victims, "server", *(f"agent/{name}" for name in CLUSTERS)]
    random.shuffle(chosen)
    found: list[Kill] = []
    nodes = {
        cluster: [name for name in victims if name.startswith(f"{cluster}/") and name[-1].isdigit()]
        for cluster in CLUSTERS
    }
    long = {random.choice(names) for names in nodes.values()}
    back: dict[str, float] = {}
    for place, victim in enumerate(chosen):
        at_s = length_s * (place + random.random()) / len(chosen)
        if at_s < back.get(victim, -1.0) + 1.0:
            at_s = back[victim] + 1.0
        away_s = random.uniform(*(_LONG_S if victim in long else _SHORT_S))
        back[victim] = at_s + away_s + (4.0 if victim == "server" else 0.0)
        found.append(Kill(at_s, victim, away_s))
    return sorted(found, key=lambda kill: kill.at_s)


def carry_out(
    province: WholeProvince, kills: Sequence[Kill], meanwhile: Sequence[Callable[[], None]], length_s: float
) -> None:
    """Kill and start as scheduled; what is to be done meanwhile is done one by one, spread over the length."""
    began = time.monotonic()
    events: list[tuple[float, int, Callable[[str], None], str]] = []
    for number, kill in enumerate(kills):
        events.append((kill.at_s, 2 * number, province.kill, kill.victim))
        events.append((kill.at_s + kill.away_s, 2 * number + 1, province.start_one, kill.victim))

    def work() -> None:
        for place, action in enumerate(meanwhile):
            time.sleep(max(0.0, began + 0.9 * length_s * place / len(meanwhile) - time.monotonic()))
            action()

    # Work waits for a server that is away, which the other thread starts again.
    with ThreadPoolExecutor(1) as beside:
        done = beside.submit(work)
        for when_s, _, act, victim in sorted(events, key=lambda event: event[:2]):
            time.sleep(max(0.0, began + when_s - time.monotonic()))
            act(victim)
        done.result()


__all__ = ["Kill", "carry_out", "schedule"]
