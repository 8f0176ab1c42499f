"""Waiting jobs in blocks (kernels/line.py) against a plain sorted list of (key, job)."""

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weir.scheduling import lanes
from weir.scheduling.compilation import kernel

kernel("clock")  # it says where compiled code is kept before the line's own module is imported

from weir.scheduling.kernels import line as kernels  # noqa: E402
from weir.scheduling.kernels.linked import EntryCompiler  # noqa: E402

INSERT, REMOVE, RESORT = 0, 1, 2
Int64s = NDArray[np.int64]
_OPTIONS: Any = {"_nrt": False, "pipeline_class": EntryCompiler}  # as those that call these functions


@numba.njit(cache=False, error_model="numpy", **_OPTIONS)
def play(order, lines, slots, scratch, actions):  # type: ignore[no-untyped-def]
    """Do what each row says: (INSERT, slot, need), (REMOVE, slot, -), or (RESORT, factor, modulus) of all keys."""
    for step in range(len(actions)):
        what, slot, need = actions[step]
        if what == INSERT:
            kernels.insert(order, lines, slots, 0, slot, slots[slot].key, need)
        elif what == REMOVE:
            kernels.remove(order, lines, 0, slot)
        else:
            block = np.int64(lines[0].head)
            while block >= 0:
                first = block * kernels.BLOCK + order.block[block].first
                for at in range(first, block * kernels.BLOCK + order.block[block].end):
                    order.entry[at].key = order.entry[at].key * slot % need
                block = np.int64(order.block[block].next)
            kernels.resort(order, lines, 0, scratch)
    block = np.int64(lines[0].head)
    while block >= 0:
        if order.block[block].stale != 0:
            kernels.refresh(order, block)
        block = np.int64(order.block[block].next)


@numba.njit(cache=False, error_model="numpy", **_OPTIONS)
def bucket_of(limit):  # type: ignore[no-untyped-def]
    return kernels.bucket_of(limit)


class Waiting:
    """The same jobs in a line of blocks and in a sorted list."""

    def __init__(self, keys: list[int], limits: list[int]) -> None:
        count = len(keys)
        self.slots = np.zeros(count, lanes.JOB)
        self.slots["job"], self.slots["key"], self.slots["limit"] = range(count), keys, limits
        self.order, self.lines = lanes.order_of(count)
        self.scratch = lanes.scratch_of(count)
        self.keys, self.limits, self.needs = list(keys), limits, dict[int, int]()
        self.removed = False

    def play(self, actions: list[tuple[int, int, int]]) -> None:
        for what, slot, need in actions:
            if what == INSERT:
                self.needs[slot] = need
                self.keys[slot] = int(self.slots["key"][slot])
            elif what == REMOVE:
                del self.needs[slot]
            else:
                for each in self.needs:
                    self.keys[each] = self.keys[each] * slot % need
        table = np.array(actions, np.int64).reshape(len(actions), 3)
        play(self.order, self.lines, self.slots, self.scratch, table)
        self.removed = REMOVE in table[:, 0] or (self.removed and table[-1, 0] != RESORT)
        self.check()

    def blocks(self) -> Iterator[tuple[int, list[int]]]:
        """Each block with its entries' places, read from the tables front to back."""
        before, block = -1, int(self.lines["head"][0])
        while block >= 0:
            row = self.order.block[block]
            assert before == row["previous"]
            places = range(block * lanes.BLOCK + row["first"], block * lanes.BLOCK + row["end"])
            assert 0 < len(places) <= lanes.BLOCK
            yield block, list(places)
            before, block = block, int(row["next"])
        assert before == self.lines["tail"][0]

    def check(self) -> None:
        expected = sorted((self.keys[slot], slot) for slot in self.needs)
        found = list[tuple[int, int]]()
        for block, places in self.blocks():
            entries = [self.order.entry[at] for at in places]
            found += [(int(entry["key"]), int(entry["slot"])) for entry in entries]
            for entry in entries:
                slot = int(entry["slot"])
                assert block == self.order.where[slot]
                assert (self.needs[slot], self.limits[slot]) == (entry["need"], entry["limit"])
            for bucket in range(lanes.BUCKETS):
                most = 4_096 * 2**bucket if bucket < lanes.BUCKETS - 1 else 2**62
                short = [int(entry["need"]) for entry in entries if entry["limit"] < most]
                least, known = min(short, default=kernels.NONE_LEAST), self.order.least[block, bucket]
                # Nobody is passed over who might fit. That the least has left is found out when that pays.
                assert known <= least if self.removed else known == least
        assert expected == found
        assert len(expected) == self.lines["waiting"][0]


@pytest.mark.parametrize("seed", range(12))
def test_thousands_come_go_and_are_sorted_anew(seed: int) -> None:
    random = np.random.default_rng(seed)
    count = 3_000
    spread = int(random.choice([1, 3, 50, 10**9]))  # 1: all keys are equal
    rising = np.arange(count) // 7 if seed % 3 else np.zeros(count, np.int64)
    keys = (random.integers(0, spread, count) + rising).tolist()
    waiting = Waiting(keys, random.integers(1, 2 ** int(random.integers(8, 34)), count).tolist())
    outside, inside = list(range(count)), list[int]()
    for share in (0.9, 0.5, 0.3, 0.8, 0.0):
        actions = list[tuple[int, int, int]]()
        for _ in range(1_200):
            coming = outside and (not inside or random.random() < share)
            source, target = (outside, inside) if coming else (inside, outside)
            if not source:
                break
            slot = source.pop(0 if coming and seed % 2 else int(random.integers(len(source))))
            target.append(slot)
            actions.append((INSERT if coming else REMOVE, slot, int(random.integers(1, 500))))
        waiting.play(actions)
        factor, modulus = int(random.integers(1, 1_000)), int(random.choice([1, 17, 10**6]))
        waiting.play([(RESORT, factor, modulus)])
        for slot in inside:
            waiting.slots["key"][slot] = waiting.keys[slot]


@given(
    keys=st.lists(st.integers(-3, 3), min_size=1, max_size=150),
    leaving=st.lists(st.integers(0, 10**6), max_size=150),
    data=st.data(),
)
@settings(max_examples=40)
def test_any_few_come_and_go_in_any_order(keys: list[int], leaving: list[int], data: st.DataObject) -> None:
    coming = data.draw(st.permutations(range(len(keys))))
    waiting = Waiting(keys, [1_000 * (each % 40 + 1) for each in range(len(keys))])
    waiting.play([(INSERT, slot, slot % 9 + 1) for slot in coming])
    left = list(coming)
    waiting.play([(REMOVE, left.pop(each % len(left)), 0) for each in leaving if left])
    gone = [slot for slot in coming if slot not in left]
    waiting.play([(INSERT, slot, 5) for slot in gone])
    assert len(keys) == len(waiting.needs)


@given(st.integers(1, 2**50))
def test_buckets_of_limits_double_from_four_seconds(limit: int) -> None:
    assert max(0, min(lanes.BUCKETS - 1, (limit // 4_096).bit_length())) == bucket_of(limit)
