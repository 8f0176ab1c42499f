"""Accounting of a pool: nothing is given twice, and everything comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.engines.local.allocation import Allocation, PoolSpace
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.problem import ProblemError


def pool(**changes: object) -> PoolEntry:
    fields: dict[str, object] = {
        "id": "p",
        "nodes": 2,
        "devices_per_node": 4,
        "cores_milli_per_node": 8_000,
        "memory_bytes_per_node": 1_000,
        "device_model": "m",
        "shares": True,
        **changes,
    }
    return PoolEntry(**fields)  # type: ignore[arg-type]  # fields by name, as the tests need them


def work(tasks: int = 1, devices_milli: int = 0, cores_milli: int = 1_000, memory_bytes: int = 100) -> Work:
    return Work(
        "s",
        "p",
        ("true",),
        {},
        tasks,
        cores_milli,
        memory_bytes,
        devices_milli,
        "m",
        "",
        1,
        "TERM",
        1,
        False,
        (),
        0,
        0,
    )


def on(node: int, tasks: int = 1) -> tuple[NodeShare, ...]:
    return (NodeShare(node, tasks),)


def test_devices_are_the_nodes_own() -> None:
    space = PoolSpace(pool())
    first = space.take(work(devices_milli=3_000), on(1))
    assert first is not None
    assert (4, 5, 6) == first.places[0].devices
    assert space.take(work(devices_milli=2_000), on(1)) is None
    second = space.take(work(devices_milli=1_000), on(1))
    assert second is not None
    assert (7,) == second.places[0].devices


def test_device_and_core_indexes_can_be_given() -> None:
    space = PoolSpace(pool(nodes=1, options={"device_ids": "2,4-6", "core_ids": "8-15"}))
    taken = space.take(work(devices_milli=2_000, cores_milli=2_500), on(0))
    assert taken is not None
    assert ((2, 4), (8, 9, 10)) == (taken.places[0].devices, taken.places[0].cores)
    other = space.take(work(cores_milli=500), on(0))
    assert other is not None
    assert (10,) == other.places[0].cores


def test_shares_fill_one_device_before_the_next() -> None:
    space = PoolSpace(pool())
    taken = [space.take(work(devices_milli=400), on(0)) for _ in range(3)]
    assert [(0,), (0,), (1,)] == [allocation.places[0].devices for allocation in taken if allocation]


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    space = PoolSpace(pool())
    gang = (NodeShare(0, 2), NodeShare(1, 1))
    taken = space.take(work(3, devices_milli=2_000), gang)
    assert taken is not None
    assert [(0, 0), (0, 1), (1, 0)] == [(place.node, place.local_rank) for place in taken.places]
    assert space.take(work(3, devices_milli=2_000), gang) is None
    left = space.take(work(devices_milli=2_000), on(1))
    assert left is not None


@pytest.mark.parametrize(
    ("asked", "nodes", "said"),
    [
        (work(cores_milli=9_000), on(0), "9000 thousandths of a core"),
        (work(memory_bytes=1_001), on(0), "1001 bytes"),
        (work(devices_milli=5_000), on(0), "4 devices"),
        (work(2, devices_milli=3_000), on(0, 2), "4 devices"),
        (work(devices_milli=1_500), on(0), "share of a device"),
        (work(), on(2), "node 2"),
        (work(2), on(0), "1 laid on nodes"),
    ],
)
def test_what_never_fits_is_told_with_both_values(
    asked: Work, nodes: tuple[NodeShare, ...], said: str
) -> None:
    assert said in PoolSpace(pool()).never(asked, nodes)


def test_shares_need_a_pool_that_gives_them() -> None:
    assert "does not give" in PoolSpace(pool(shares=False)).never(work(devices_milli=500), on(0))
    assert "" == PoolSpace(pool()).never(work(devices_milli=500), on(0))


@pytest.mark.parametrize(
    "options",
    [{"device_ids": "0-2"}, {"device_ids": "0,0,1,2,3,4,5,6"}, {"core_ids": "x"}, {"colour": "red"}],
)
def test_wrong_options_are_refused_by_name(options: dict[str, str]) -> None:
    with pytest.raises(ProblemError, match=rf"pools\.p\.options\.{next(iter(options))}"):
        PoolSpace(pool(options=options))


ASKED = st.tuples(
    st.integers(0, 1),
    st.sampled_from([0, 250, 500, 1_000, 2_000]),
    st.integers(1, 3_000),
    st.integers(1, 400),
)


@given(st.lists(st.one_of(ASKED, st.integers(0, 9)), max_size=40))
def test_nothing_is_given_twice_and_everything_comes_back(
    steps: list[tuple[int, int, int, int] | int],
) -> None:
    space = PoolSpace(pool())
    held: list[tuple[Work, Allocation]] = []
    for step in steps:
        if isinstance(step, int):
            if held:
                space.release(*held.pop(step % len(held)))
            continue
        node, devices_milli, cores_milli, memory_bytes = step
        asked = work(1, devices_milli, cores_milli, memory_bytes)
        allocation = space.take(asked, on(node))
        if allocation is not None:
            held.append((asked, allocation))
        for each in range(2):
            mine = [(w, a.places[0]) for w, a in held if a.places[0].node == each]
            assert sum(w.cores_milli for w, _ in mine) <= 8_000
            assert sum(w.memory_bytes for w, _ in mine) <= 1_000
            for device in range(8):
                assert sum(min(w.devices_milli, 1_000) for w, p in mine if device in p.devices) <= 1_000
    for pair in held:
        space.release(*pair)
    whole = space.take(work(4, 1_000, 2_000, 250), on(0, 4))
    assert whole is not None


def test_what_runs_is_held_again_after_a_restart() -> None:
    space, later = PoolSpace(pool()), PoolSpace(pool())
    asked = work(devices_milli=4_000)
    taken = space.take(asked, on(0))
    assert taken is not None
    later.retake(asked, Allocation.from_plain(taken.to_plain()))
    assert later.take(work(devices_milli=1_000), on(0)) is None
    later.release(asked, taken)
    assert later.take(asked, on(0)) == taken
