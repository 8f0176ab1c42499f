"""RLScheduler's rule on logs small enough to follow by hand, and against a slow reading of the same rule."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.published.rlscheduler import RL_POLICIES, RlLog, read_rl_log, rl_starts, rl_table

LINES = """\
; MaxNodes: 4
; MaxProcs: 8
;
3 20 0 30 2 -1 -1 3 -1 -1 1 1 1 1 1 1 -1 -1
1 0 0 100 8 -1 -1 4 50 -1 1 1 1 1 1 1 -1 -1
2 10 0 -1 1 -1 -1 -1 60 -1 1 1 1 1 1 1 -1 -1
4 30 0 0 1 -1 -1 1 60 -1 1 1 1 1 1 1 -1 -1
"""


def log(jobs: list[tuple[int, int, int, int]], processors: int = 4, nodes: int = 4) -> RlLog:
    """A log of (submit, run, request, processors) rows."""
    submit, run, request, size = np.array(jobs, np.int64).T
    return RlLog("made", submit, run, request, size, processors, nodes)


def starts(made: RlLog, policy: str = "rl-fcfs", *, backfill: bool = False) -> list[int]:
    return [int(each) for each in rl_starts(made, policy, backfill=backfill, first=0, length=len(made))]


@pytest.mark.parametrize("packed", [False, True])
def test_a_log_is_read_by_its_number_with_its_own_cleaning(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / ("small.swf.gz" if packed else "small.swf")
    path.write_bytes(gzip.compress(LINES.encode()) if packed else LINES.encode())
    read = read_rl_log(path)
    assert ("small", 8, 4) == (read.name, read.machine_processors, read.machine_nodes)
    assert [0, 10, 20] == read.submit_s.tolist()
    assert [100, 10, 30] == read.run_s.tolist()  # a negative one is 10 s, one of 0 is left out
    assert [50, 60, 30] == read.request_s.tolist()  # without a request the run time is it
    assert [8, 1, 3] == read.processors.tolist()  # the larger of allocated and requested


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("; nothing\n1 0 0 9 1 -1 -1 1 9\n", "MaxNodes"),
        ("; MaxProcs: 4\n1 0 0 0 1 -1 -1 1 9\n", "0 jobs"),
        ("; MaxProcs: 4\n1 0 0 x 1 -1 -1 1 9\n", "18 numbers"),
        ("; MaxProcs: 4\n1 0 0\n", "18 numbers"),
    ],
)
def test_a_log_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.swf"
    path.write_text(text)
    with pytest.raises(ProblemError, match=said):
        read_rl_log(path)


def test_the_chosen_job_is_not_overtaken() -> None:
    # The wide job is chosen at 1 and blocks until 100, although the short one comes at 2 and would fit at once.
    made = log([(0, 100, 100, 3), (1, 5, 5, 4), (2, 1, 1, 1)])
    assert [0, 100, 105] == starts(made, "rl-sjf")


def test_backfill_needs_an_end_strictly_before_the_moment_promised() -> None:
    made = log([(0, 100, 100, 3), (1, 5, 5, 4), (2, 98, 98, 1)])
    assert [0, 100, 105] == starts(made, backfill=True)
    made = log([(0, 100, 100, 3), (1, 5, 5, 4), (2, 97, 97, 1)])
    assert [0, 100, 2] == starts(made, backfill=True)


def test_the_moment_promised_is_computed_once_and_from_requests() -> None:
    # The first job runs on after its request of 50, so nothing more is backfilled although two processors stay free.
    made = log([(0, 100, 50, 2), (1, 5, 5, 4), (60, 1, 1, 1)])
    assert [0, 100, 105] == starts(made, backfill=True)


def test_what_is_chosen_runs_beyond_its_request() -> None:
    assert [0, 40] == starts(log([(0, 40, 10, 4), (1, 5, 5, 4)]))


def test_processors_are_rounded_up_to_nodes() -> None:
    made = log([(0, 50, 50, 3), (1, 5, 5, 5)], processors=8, nodes=4)
    assert [0, 50] == starts(made)  # 2 nodes and 3 nodes of 4
    assert [0, 1] == starts(replace(made, machine_nodes=8))


def test_order_is_by_each_score() -> None:
    # All four wait for the first job's end and then run one after the other.
    made = log([(0, 10, 10, 4), (1, 30, 30, 4), (2, 20, 20, 4), (3, 20, 20, 4), (4, 90, 90, 4)])
    order = {policy: np.argsort(starts(made, policy), kind="stable").tolist() for policy in RL_POLICIES}
    assert [0, 1, 2, 3, 4] == order["rl-fcfs"]
    # The second job is committed when it comes alone, before anything better does.
    assert [0, 1, 2, 3, 4] == order["rl-sjf"]
    assert [0, 1, 2, 3, 4] == order["rl-f1"]
    # The longest request has the least of these two; a job's wait counts as if it had started at -1.
    assert [0, 1, 4, 2, 3] == order["rl-wfp3"]
    assert [0, 1, 4, 2, 3] == order["rl-unicep"]


@pytest.mark.parametrize("backfill", [False, True])
@pytest.mark.parametrize("policy", RL_POLICIES)
@pytest.mark.parametrize("seed", range(6))
def test_like_a_slow_reading_of_the_rule(policy: str, backfill: bool, seed: int) -> None:
    draw = np.random.default_rng(seed)
    count = 120
    request = draw.integers(1, 40, count) * 10
    made = RlLog(
        "made",
        np.sort(draw.integers(0, 3_000, count)),
        np.maximum(1, (request * draw.uniform(0.2, 1.3, count)).astype(np.int64)),
        request,
        draw.integers(1, 9, count),
        16,
        8,
    )
    assert _slowly(made, policy, backfill) == starts(made, policy, backfill=backfill)


def _slowly(made: RlLog, policy: str, backfill: bool) -> list[int]:
    submit: list[int] = made.submit_s.tolist()
    run: list[int] = made.run_s.tolist()
    request: list[int] = made.request_s.tolist()
    size: list[int] = made.processors.tolist()
    needs = [-(-each * made.machine_nodes // made.machine_processors) for each in size]

    def score(j: int) -> tuple[float, ...]:
        match policy:
            case "rl-fcfs":
                return (submit[j],)
            case "rl-sjf":
                return (request[j], submit[j])
            case "rl-f1":
                return (np.log10(request[j]) * size[j] + 870 * np.log10(submit[j] or 0.1),)
            case "rl-wfp3":
                return (((1 + submit[j]) / request[j]) ** 3 * size[j],)
            case _:
                return ((1 + submit[j] - 1e-15) / (np.log2(size[j] + 1e-15) * request[j]),)

    begun: dict[int, int] = {}
    running: list[int] = []  # its order decides which of two that end at once is freed first
    queue, coming, now = [0], 1, submit[0]

    def free() -> int:
        return made.machine_nodes - sum(needs[job] for job in running)

    def begin(job: int) -> None:
        begun[job] = now
        running.append(job)
        queue.remove(job)

    def next_event() -> None:
        nonlocal now, coming
        running.sort(key=lambda job: begun[job] + run[job])
        if coming < len(submit) and (not running or submit[coming] <= begun[running[0]] + run[running[0]]):
            now = max(now, submit[coming])
            queue.append(coming)
            coming += 1
        else:
            now = max(now, begun[running[0]] + run[running[0]])
            running.pop(0)

    while queue:
        head = min(queue, key=lambda j: (score(j), j))
        promised, room = now, free()
        if needs[head] > free() and backfill:
            running.sort(key=lambda job: begun[job] + request[job])
            for job in running:
                room += needs[job]
                promised = begun[job] + request[job]
                if room >= needs[head]:
                    break
        while needs[head] > free():
            if backfill:
                for job in tuple(queue):
                    if needs[job] <= free() and now + request[job] < promised:
                        begin(job)
            next_event()
        begin(head)
        while not queue and coming < len(submit):
            next_event()
    return [begun[job] for job in range(len(submit))]


def test_a_row_is_the_mean_over_sequences() -> None:
    made = log([(0, 100, 100, 4), (0, 10, 10, 4), (1_000, 5, 5, 4), (1_000, 5, 5, 4)])
    [row] = rl_table(made, policies=["rl-fcfs"], backfills=[False], starts=[0, 2], length=2)
    assert ((1 + 110 / 10) / 2, (1 + 10 / 10) / 2) == row.sequences
    assert (6 + 1) / 2 == row.bounded_slowdown
    assert 440 / (4 * 100) == pytest.approx(row.utilisation * 2 - 40 / (4 * 5))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"policies": ["fcfs"]}, "rl-fcfs"),
        ({"starts": [1]}, "within the 2"),
        ({"starts": [-1]}, "within the 2"),
        ({"length": 0}, "within the 2"),
    ],
)
def test_what_cannot_be_tabled_is_refused(change: dict[str, object], said: str) -> None:
    made = log([(0, 100, 100, 4), (0, 10, 10, 4)])
    asked: dict[str, object] = {"starts": [0], "length": 2, **change}
    with pytest.raises(ProblemError, match=said):
        rl_table(made, **asked)  # type: ignore[arg-type]


def test_a_job_wider_than_the_machine_is_refused() -> None:
    with pytest.raises(ProblemError, match="at most 4 nodes"):
        rl_table(log([(0, 1, 1, 5)]), starts=[0], length=1)
