"""FGD's rule and Weir's placement under it, on made-up nodes and pods."""

from pathlib import Path

import numpy as np
import pytest

from weir.model.problem import ProblemError
from weir.twin.published.fgd import FGD_POLICIES, FgdRow, Placed, fgd_table, gain, place
from weir.twin.published.openb import (
    Arrivals,
    GpuNodes,
    GpuPods,
    distinct_shapes,
    draw_arrivals,
    read_gpu_nodes,
    read_pods,
)

NODE_LIST = """\
sn,cpu_milli,memory_mib,gpu,model
n0,16000,65536,2,T4
n1,96000,393216,8,G2
n2,32000,65536,0,
n3,16000,65536,2,T4
"""
POD_LIST = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
p0,4000,1024,1,460,
p1,8000,1024,2,1000,T4|A10
p2,2000,1024,0,0,
p3,4000,1024,1,1000,A10
p4,4000,1024,1,460,G2
"""


def nodes(*rows: tuple[int, int, int, int]) -> GpuNodes:
    """Nodes of (cores, memory, gpus, model) rows, with models T4 and G2."""
    cores, memory, gpus, model = np.array(rows, np.int64).T
    return GpuNodes(cores, memory, gpus, model, ("T4", "G2"))


def pods(*rows: tuple[int, int, int, int, int]) -> GpuPods:
    """Pods of (cores, memory, gpus, thousandths, models) rows."""
    return GpuPods(*np.array(rows, np.int64).T)


def made(seed: int, count: int = 300) -> tuple[GpuNodes, GpuPods]:
    draw = np.random.default_rng(seed)
    gpus = draw.choice([1, 2, 4, 8], 30)
    some = GpuNodes(
        gpus * draw.choice([8_000, 12_000, 50_000], 30),
        gpus * 60_000,
        gpus,
        draw.integers(0, 2, 30),
        ("T4", "G2"),
    )
    wanted = draw.choice([0, 1, 1, 1, 1, 1, 2, 4, 8], count)
    milli = np.where(wanted == 1, draw.choice([160, 320, 470, 810, 1_000], count), 1_000 * (wanted > 0))
    return some, GpuPods(
        draw.choice([2_000, 4_000, 11_000], count) * np.maximum(wanted, 1),
        draw.choice([1_000, 30_000], count),
        wanted,
        milli,
        np.where(wanted > 0, draw.choice([0, 0, 0, 1, 2], count), 0),
    )


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "nodes.csv").write_text(NODE_LIST)
    (tmp_path / "pods.csv").write_text(POD_LIST)
    return tmp_path / "nodes.csv", tmp_path / "pods.csv"


def test_lists_are_read(lists: tuple[Path, Path]) -> None:
    read = read_gpu_nodes(lists[0])
    assert [2, 8, 2] == read.gpus.tolist()  # a node without GPUs is no part of it
    assert ["T4", "G2", "T4"] == [read.models[model] for model in read.model]
    assert 12_000 == read.total_milli
    wanted = read_pods(lists[1], read)
    assert [460, 2_000, 0, 1_000, 460] == wanted.demand_milli.tolist()
    t4, g2 = 1 << read.models.index("T4"), 1 << read.models.index("G2")
    nowhere = 1 << 62
    assert [0, t4, 0, nowhere, g2] == wanted.models.tolist()


def test_a_list_without_demands_for_models_is_read(lists: tuple[Path, Path]) -> None:
    lists[1].write_text("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np0,4000,1024,1,460\n")
    assert [0] == read_pods(lists[1], read_gpu_nodes(lists[0])).models.tolist()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("p9,4000,1024,1,0,", "line 7: gpu_milli"),
        ("p9,4000,1024,1,1001,", "line 7: gpu_milli"),
        ("p9,4000,1024,9,1000,", "line 7: num_gpu"),
        ("p9,much,1024,1,1000,", "line 7: cpu_milli"),
    ],
)
def test_a_pod_that_cannot_be_is_refused(lists: tuple[Path, Path], line: str, said: str) -> None:
    lists[1].write_text(POD_LIST + line + "\n")
    with pytest.raises(ProblemError, match=said):
        read_pods(lists[1], read_gpu_nodes(lists[0]))


def test_lists_that_cannot_be_used_are_refused(lists: tuple[Path, Path]) -> None:
    known = read_gpu_nodes(lists[0])
    lists[1].write_text(POD_LIST.splitlines()[0] + "\n")
    with pytest.raises(ProblemError, match="at least one"):
        read_pods(lists[1], known)
    lists[0].write_text(NODE_LIST + "n4,1,1,9,T4\n")
    with pytest.raises(ProblemError, match="line 6: gpu"):
        read_gpu_nodes(lists[0])


@pytest.mark.parametrize("seed", range(5))
def test_an_order_holds_the_workload_once_and_then_draws_from_it(seed: int) -> None:
    some, wanted = made(seed, 40)
    demand = wanted.demand_milli
    ratio = 2.0 + demand.sum() / some.total_milli
    order = draw_arrivals(wanted, some, np.random.default_rng(seed), ratio)
    assert list(range(40)) == sorted(order.pods[:40].tolist())
    arrived = int(demand[order.pods].sum())
    assert ratio * some.total_milli - 8_000 <= arrived
    assert sorted(order.tie.tolist()) == list(range(len(some)))
    again = draw_arrivals(wanted, some, np.random.default_rng(seed), ratio)
    assert order.pods.tolist() == again.pods.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_an_order_of_less_than_the_workload_leaves_some_out(seed: int) -> None:
    some, wanted = made(seed)
    ratio = 0.5 * int(wanted.demand_milli.sum()) / some.total_milli
    order = draw_arrivals(wanted, some, np.random.default_rng(seed), ratio)
    arrived = int(wanted.demand_milli[order.pods].sum())
    assert len(set(order.pods.tolist())) == len(order.pods)
    assert ratio * some.total_milli - 8_000 < arrived <= ratio * some.total_milli


def test_without_demand_there_is_no_order() -> None:
    with pytest.raises(ProblemError, match="ask for some"):
        draw_arrivals(pods((1, 1, 0, 0, 0)), nodes((9, 9, 1, 0)), np.random.default_rng(0))


def test_equal_needs_are_one_shape() -> None:
    shapes, of = distinct_shapes(pods((1, 1, 1, 500, 0), (1, 1, 1, 500, 1), (1, 1, 1, 500, 0)))
    assert 2 == len(shapes)
    assert of[0] == of[2] != of[1]


@pytest.mark.parametrize("policy", FGD_POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_overfull_and_only_what_fits_nowhere_is_dropped(policy: str, seed: int) -> None:
    some, wanted = made(seed)
    order = draw_arrivals(wanted, some, np.random.default_rng(seed))
    done = place(some, wanted, order, policy)
    cores, memory = some.cores_milli.copy(), some.memory_mib.copy()
    left = np.where(np.arange(8) < some.gpus[:, None], 1_000, 0)
    for pod, node, taken in zip(order.pods, done.node, done.devices, strict=True):
        gpus, milli, models = wanted.gpus[pod], wanted.gpu_milli[pod], wanted.models[pod]
        fits = (cores >= wanted.cores_milli[pod]) & (memory >= wanted.memory_mib[pod])
        fits &= (models == 0) | (models >> some.model & 1 == 1)
        fits &= ((left >= max(milli, 1)).sum(axis=1) >= gpus) | (gpus == 0)
        assert fits.any() == (node >= 0)
        if node >= 0:
            assert fits[node]
            bits = [device for device in range(8) if taken >> device & 1]
            assert gpus == len(bits)
            left[node, bits] -= milli
            cores[node] -= wanted.cores_milli[pod]
            memory[node] -= wanted.memory_mib[pod]
    assert left.min() >= 0
    assert done.allocated_milli[-1] == some.total_milli - left.sum()
    assert done.arrived_milli[-1] == wanted.demand_milli[order.pods].sum()


def sigmoid(fall: float) -> int:
    return int(100 / (1 + np.exp(-fall / 1_000)))


def fragments(some: GpuNodes, wanted: GpuPods, node: int, cores: int, left: list[int]) -> float:
    """The paper's measure, slowly, with every pod typical."""
    total = 0.0
    for pod in range(len(wanted)):
        milli = int(wanted.gpu_milli[pod])
        admitted = wanted.models[pod] == 0 or wanted.models[pod] >> some.model[node] & 1
        enough = sum(each >= milli for each in left) >= wanted.gpus[pod]
        if milli and admitted and enough and cores >= wanted.cores_milli[pod]:
            total += sum(each for each in left if each < milli)
        else:
            total += sum(left)
    return total / len(wanted)


@pytest.mark.parametrize("seed", range(4))
def test_fgd_places_as_its_measure_says(seed: int) -> None:
    # Twenty distinct needs or fewer, each as frequent as the next: all of them are typical.
    draw = np.random.default_rng(seed)
    some, _ = made(seed)
    wanted = GpuPods(
        np.arange(1, 13) * 1_000,
        np.full(12, 10),
        np.array([1] * 9 + [0, 2, 4]),
        np.array([160, 320, 470, 650, 810, 1_000, 1_000, 500, 230, 0, 1_000, 1_000]),
        np.array([0, 0, 1, 0, 2, 0, 1, 0, 0, 0, 0, 0]),
    )
    order = draw_arrivals(wanted, some, draw, 1.1)
    done = place(some, wanted, order, "fgd")
    cores = some.cores_milli.tolist()
    left = [[1_000] * count for count in some.gpus.tolist()]
    for pod, node, taken in zip(order.pods.tolist(), done.node.tolist(), done.devices.tolist(), strict=True):
        gpus, milli = int(wanted.gpus[pod]), int(wanted.gpu_milli[pod])
        best = (-1, 0, -1, 0)
        for each in range(len(some)):
            admitted = wanted.models[pod] == 0 or wanted.models[pod] >> some.model[each] & 1
            if not admitted or cores[each] < wanted.cores_milli[pod]:
                continue
            fitting = [device for device, free in enumerate(left[each]) if free >= milli]
            choices = [[device] for device in fitting] if gpus == 1 else [fitting[:gpus]]
            for devices in choices:
                if len(devices) < gpus:
                    continue
                after = [free - milli * (device in devices) for device, free in enumerate(left[each])]
                before = fragments(some, wanted, each, cores[each], left[each])
                kept = fragments(some, wanted, each, cores[each] - int(wanted.cores_milli[pod]), after)
                bits = sum(1 << device for device in devices)
                candidate = (sigmoid(before - kept), -int(order.tie[each]), each, bits)
                if candidate[:2] > best[:2] or best[2] < 0:
                    best = candidate
        assert (best[2], best[3]) == (node, taken if node >= 0 else best[3])
        if node >= 0:
            cores[node] -= int(wanted.cores_milli[pod])
            for device in range(len(left[node])):
                left[node][device] -= milli * (taken >> device & 1)


def test_best_fit_takes_the_fullest_and_packing_the_opened() -> None:
    some = nodes((20_000, 100, 2, 0), (10_000, 100, 1, 0))
    wanted = pods((1_000, 1, 1, 600, 0), (1_000, 1, 1, 300, 0))
    order = Arrivals(np.array([0, 1, 1]), np.array([0, 1]))
    assert [1, 1, 0] == place(some, wanted, order, "best-fit").node.tolist()
    # An idle node of one GPU scores above one of two, and a GPU in use above an idle one.
    assert [1, 1, 0] == place(some, wanted, order, "gpu-packing").node.tolist()


def test_equal_scores_go_by_the_order_of_nodes() -> None:
    some = nodes((9_000, 9, 1, 0), (9_000, 9, 1, 0), (9_000, 9, 1, 0))
    wanted = pods((1_000, 1, 1, 1_000, 0))
    for policy in FGD_POLICIES:
        done = place(some, wanted, Arrivals(np.zeros(4, np.int64), np.array([1, 2, 0])), policy)
        assert [2, 0, 1, -1] == done.node.tolist()


def test_foresight_keeps_a_scarce_model_for_those_that_insist_on_it() -> None:
    some = nodes((96_000, 900, 8, 0), (96_000, 900, 8, 1))
    wanted = pods(*[(1_000, 1, 1, 1_000, 0)] * 8, *[(1_000, 1, 1, 1_000, 1)] * 8)
    order = Arrivals(np.arange(16), np.array([0, 1]))
    assert [1] * 8 + [0] * 8 == place(some, wanted, order, "foresight").node.tolist()


def test_foresight_keeps_whole_nodes_for_gangs() -> None:
    some = nodes((96_000, 900, 8, 0), (96_000, 900, 8, 0))
    wanted = pods(*[(1_000, 1, 1, 1_000, 0)] * 8, (1_000, 1, 8, 1_000, 0))
    done = place(some, wanted, Arrivals(np.arange(9), np.array([0, 1])), "foresight")
    assert [0] * 8 + [1] == done.node.tolist()


def test_the_figure_is_the_mean_over_what_rounds_to_the_demand() -> None:
    done = Placed(
        np.zeros(4, np.int64),
        np.zeros(4, np.int64),
        np.array([500, 1_291, 1_296, 1_304]),
        np.array([500, 900, 910, 951]),
        1_000,
    )
    assert 93.05 == done.percent_at(130)
    assert 50.0 == done.percent_at(50) == done.percent_at(51)
    with pytest.raises(ProblemError, match="some arrival reaches"):
        done.percent_at(120)


def test_a_table_has_every_policy_on_the_same_orders() -> None:
    some, wanted = made(3)
    rows = fgd_table(some, wanted, seeds=[1, 2, 3], demands_percent=[130])
    assert list(FGD_POLICIES) == [row.policy for row in rows]
    assert {3} == {len(row.percent[130]) for row in rows}
    assert 60 < rows[0].mean(130) <= 100


def test_a_gain_is_paired() -> None:
    less, more = FgdRow("a", {130: (1.0, 5.0, 9.0)}), FgdRow("b", {130: (2.0, 6.0, 10.5)})
    found = gain(more, less)
    assert 3 == found.orders
    assert pytest.approx(3.5 / 3) == found.mean
    # Student's 4.3027 with two degrees of freedom, a deviation of 0.288675 over the root of three.
    assert pytest.approx((3.5 / 3 - 0.71709, 3.5 / 3 + 0.71709), abs=1e-4) == (found.low, found.high)
    with pytest.raises(ProblemError, match="at least 2"):
        gain(FgdRow("a", {130: (1.0,)}), FgdRow("b", {130: (1.0,)}))


def test_an_unknown_policy_is_refused() -> None:
    some, wanted = made(0)
    with pytest.raises(ProblemError, match="foresight"):
        place(some, wanted, Arrivals(np.zeros(1, np.int64), np.arange(len(some))), "weir")


def test_what_is_known_may_be_a_sample_of_the_workload() -> None:
    some, wanted = made(2)
    order = draw_arrivals(wanted, some, np.random.default_rng(2))
    for policy in ("fgd", "foresight"):
        whole = place(some, wanted, order, policy)
        again = place(some, wanted, order, policy, known=np.arange(len(wanted)))
        sample = place(some, wanted, order, policy, known=np.arange(0, len(wanted), 9))
        assert whole.node.tolist() == again.node.tolist() != sample.node.tolist()
        # A sample without any demand for GPUs says nothing, and does no harm.
        place(some, wanted, order, policy, known=np.flatnonzero(wanted.gpus == 0))
    with pytest.raises(ProblemError, match="at least one"):
        place(some, wanted, order, "fgd", known=np.zeros(0, np.int64))
