"""What users ask for: jobs of every form that this Weir honours, in random proportions."""

from collections.abc import Sequence
from random import Random

from tests.simulation.declared import GIB
from weir.model.job import DeviceNeed, Input, JobSpecification, Preference, Priority
from weir.model.task_range import TaskRange

PRIORITIES = (Priority.URGENT, Priority.NORMAL, Priority.NORMAL, Priority.LOW)
FAILURES = (
    "exit-3",
    "signal",
    "out-of-memory",
    "node-failed",
    "node-failed",
    "preempted",
    "start",
    "rejected",
)


def random_request(random: Random, known: Sequence[str]) -> list[JobSpecification]:
    """One request's specifications. They may come after jobs that are `known` and after each other."""
    count = 1 if random.random() < 0.7 else random.randint(2, 5)
    made: list[JobSpecification] = []
    for place in range(count):
        fellows = [f"#{other}" for other in range(place)]
        made.append(_specification(random, [*known[-12:], *fellows]))
    return made


def _specification(random: Random, others: Sequence[str]) -> JobSpecification:
    after: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    if others and random.random() < 0.35:
        chosen = random.sample(others, min(len(others), random.randint(1, 2)))
        if random.random() < 0.5:
            after = tuple(chosen)
        else:
            inputs = tuple(
                Input(from_=name, path="result", to=f"in{place}") for place, name in enumerate(chosen)
            )
    outcome = "ok" if random.random() < 0.8 else random.choice(FAILURES)
    restartable = random.random() < 0.5
    gang = random.random() < 0.15
    tasks = random.randint(2, 4) if gang else 1
    duration_ms = random.choice((0, 5, 200, 2_000, 10_000, 10_000, 40_000, 150_000))
    return JobSpecification(
        command=("sim", str(duration_ms), outcome),
        environment={
            "FAKE_RUN_MS": str(max(1, duration_ms)),
            "FAKE_EXIT": "3" if outcome == "exit-3" else "0",
        },
        project="work",
        tasks=TaskRange(tasks, tasks),
        devices=_devices(random, gang=gang),
        cores=random.choice((500, 1_000, 2_000)),
        memory=random.choice((1, 2, 4)) * GIB,
        time_limit=random.choice((60_000, 200_000, 600_000)),
        array=random.choice((2, 3, 5, 8)) if random.random() < 0.2 else None,
        after=after,
        inputs=inputs,
        outputs=("result",) if random.random() < 0.8 else (),
        prefer=random.choice(list(Preference)),
        priority=random.choice(PRIORITIES),
        restartable=restartable,
        max_attempts=random.choice((None, 2, 5)) if restartable else None,
    )


def _devices(random: Random, *, gang: bool) -> DeviceNeed | None:
    draw = random.random()
    if draw < 0.5:
        return None
    if draw < 0.65 and not gang:
        return DeviceNeed(share=random.choice((200, 500)))
    return DeviceNeed(count=1 if gang else random.randint(1, 2))


__all__ = ["random_request"]
