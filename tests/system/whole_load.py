"""A mixed load for a whole province: what is asked of each centre, and how each job of it has to end."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

JOBS = 300
CORES = 0.1
ATTEMPTS = 6
"""A restartable job may be started so often."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job has to end if nothing is done to its centre."""

    state: str = "succeeded"
    cause: str | None = None
    exit_code: int | None = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """One submission."""

    key: str
    specification: dict[str, Any]
    endings: tuple[Ending, ...]
    """One for each element."""
    after: str = ""
    """Key of the submission whose output it takes."""

    @property
    def is_array(self) -> bool:
        return "array" in self.specification

    @property
    def restartable(self) -> bool:
        return bool(self.specification["restartable"])

    @property
    def tasks(self) -> int:
        return int(self.specification.get("tasks", 1))

    @property
    def devices(self) -> int:
        return int(self.specification.get("devices", {}).get("count", 0))


@dataclass(frozen=True, slots=True)
class Share:
    """What one centre is given of each sort. A chain is three jobs, each of which takes what the one before made."""

    centre: str
    singles: int
    arrays: tuple[int, ...]
    devices: int
    gangs: int
    late: int
    greedy: int
    chains: int

    @property
    def jobs(self) -> int:
        return (
            self.singles
            + sum(self.arrays)
            + self.devices
            + self.gangs
            + self.late
            + self.greedy
            + 3 * self.chains
        )


SHARES = (
    Share("alpha", singles=24, arrays=(30, 12), devices=8, gangs=6, late=3, greedy=3, chains=4),
    Share("beta", singles=18, arrays=(25,), devices=6, gangs=4, late=2, greedy=2, chains=2),
    Share("ray", singles=8, arrays=(3,), devices=2, gangs=0, late=1, greedy=1, chains=0),
    Share("local", singles=37, arrays=(30,), devices=6, gangs=4, late=3, greedy=3, chains=3),
    Share("", singles=26, arrays=(), devices=0, gangs=0, late=0, greedy=0, chains=2),
)
"""Ray takes a second to start a job, and runs no gangs. The last share may run at any of the other centres."""

# Each task proves by a lock that it is alone, and writes its beginning and end by single appends.
_SCRIPT = """
umask 0
ledger=$1/$WEIR_JOB_ID
exec 9>>"$ledger.$WEIR_TASK_INDEX.lock"
flock -n 9 || echo "overlap $WEIR_ATTEMPT $WEIR_TASK_INDEX 0" >>"$ledger"
echo "start $WEIR_ATTEMPT $WEIR_TASK_INDEX $(date +%s%3N) $(id -un)" >>"$ledger"
echo "log of $WEIR_ATTEMPT"
echo "devices ${WEIR_DEVICES:-none}"
[ -z "$4" ] || cat "$4" >>result
case $2 in
    greedy) exec python3 -c 'x = bytearray(1 << 28)';;
    *) sleep "$2";;
esac
[ "$WEIR_TASK_INDEX" != 0 ] || echo "made by $WEIR_ATTEMPT" >>result
echo "end $WEIR_ATTEMPT $WEIR_TASK_INDEX $(date +%s%3N)" >>"$ledger"
[ "$WEIR_ARRAY_INDEX" != 7 ] || exit 3
exit "$3"
"""
_PAUSES = ("0", "0", "0.1", "0.5", "1", "2")


def load(random: Random, ledger: Path, mark: str) -> list[Wanted]:
    """The whole load in random order, but that what makes an input comes before what takes it.

    Tasks write into the folder `ledger`, and have `mark` in their environment.
    """
    sequences = [list(one) for share in SHARES for one in _of(share, random, ledger, mark)]
    found: list[Wanted] = []
    while sequences:
        sequence = random.choice(sequences)
        found.append(sequence.pop(0))
        if not sequence:
            sequences.remove(sequence)
    assert JOBS == sum(len(wanted.endings) for wanted in found)
    return found


def _of(share: Share, random: Random, ledger: Path, mark: str) -> Iterator[Iterator[Wanted]]:
    names = (f"{share.centre or 'any'}-{number}" for number in itertools.count())

    def job(*, code: int = 0, does: str = "", ending: Ending | None = None, **more: Any) -> Wanted:
        takes = "input/result" if "inputs" in more else ""
        specification = {
            "command": [
                "sh",
                "-c",
                _SCRIPT,
                "job",
                str(ledger),
                does or random.choice(_PAUSES),
                str(code),
                takes,
            ],
            "project": "work",
            "cores": CORES,
            "memory": "64MiB",
            "time_limit": "5m",
            "environment": {"WHOLE_PROVINCE": mark},
            "outputs": ["result"],
            # What may run at any centre must not be lost with one.
            "restartable": random.random() < 0.5 if share.centre else True,
            "constraints": {"centres": [share.centre] if share.centre else ["alpha", "beta", "local"]},
            **more,
        }
        specification |= {"max_attempts": ATTEMPTS} if specification["restartable"] else {}
        ending = ending or (Ending("failed", "exit", code) if code else Ending())
        endings = [ending] * more.get("array", 1)
        if len(endings) > 7:
            endings[7] = Ending("failed", "exit", 3)
        name = next(names)
        return Wanted(name, specification | {"name": name}, tuple(endings))

    for _ in range(share.singles):
        yield iter((job(code=3 if random.random() < 0.2 else 0),))
    for elements in share.arrays:
        yield iter((job(array=elements),))
    for _ in range(share.devices):
        yield iter((job(devices={"count": random.randint(1, 2)}),))
    for _ in range(share.gangs):
        yield iter((job(tasks=2),))
    for _ in range(share.late):
        yield iter((job(does="60", time_limit="3s", ending=Ending("failed", "time-limit", None)),))
    for _ in range(share.greedy):
        yield iter((job(does="greedy", ending=Ending("failed", "out-of-memory", None)),))
    for _ in range(share.chains):
        links = [job(), *(job(inputs=[{"from": "", "path": "result", "to": "input"}]) for _ in range(2))]
        yield iter((links[0], *(_after(one, before) for before, one in itertools.pairwise(links))))


def _after(one: Wanted, before: Wanted) -> Wanted:
    return Wanted(one.key, one.specification, one.endings, before.key)
