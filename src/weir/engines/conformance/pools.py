"""Cases about what a driver says of its pools."""

import time

from weir.engines.conformance.stage import WIDE, Case, Stage, check
from weir.engines.driver import CAPABILITIES
from weir.model.agent import PoolObservation

__all__ = ["CASES"]


def described(stage: Stage) -> None:
    now_ms = time.time_ns() // 1_000_000
    observations = stage.driver.describe(now_ms)
    wanted = [entry.id for entry in stage.pools]
    check([one.pool for one in observations] == wanted, f"one observation a pool: {observations}")
    for one, entry in zip(observations, stage.pools, strict=True):
        check(one.read_ms <= now_ms, "it says when it was read")
        check(sum(group.nodes for group in one.present) >= 1, f"there are nodes: {one}")
        check(one.drained_nodes >= 0 and one.queued_foreign >= 0, f"nothing is below zero: {one}")
        most = max(group.devices_milli for group in one.present)
        check(most >= entry.devices_per_node * 1_000, f"the devices of {entry.id} are there: {one}")
        check(set(one.capabilities) == stage.driver.capabilities, "with what the driver can do")
    unknown = stage.driver.capabilities - set(CAPABILITIES)
    check(not unknown, f"every capability has a known name, and so not {sorted(unknown)}")


def own_work_is_not_foreign(stage: Stage) -> None:
    order = stage.blocking()
    stage.submit(order)
    stage.until(lambda: order.attempt in stage.driver.live(), "it to be live")
    foreign = sum(block.nodes for one in stage.driver.describe(0) for block in one.foreign)
    check(not foreign, "Weir's own attempts are nobody else's work")


def drained(stage: Stage) -> None:
    drain = stage.provocations.drain_node
    assert drain
    before = _wide(stage)
    with drain(WIDE):
        stage.until(lambda: _wide(stage).drained_nodes == before.drained_nodes + 1, "a node to be drained")
        check(_nodes(_wide(stage)) == _nodes(before) - 1, "a drained node is not in service")
    stage.until(lambda: _nodes(_wide(stage)) == _nodes(before), "it to be in service again")


def foreign_work(stage: Stage) -> None:
    occupy = stage.provocations.occupy
    assert occupy
    check(not _wide(stage).foreign, "nobody else is there")
    with occupy(WIDE):
        stage.until(lambda: bool(_wide(stage).foreign), "others' work to be seen")
        blocks = _wide(stage).foreign
        check(sum(block.nodes for block in blocks) >= 1, f"it holds a node: {blocks}")
        check(all(block.until_ms > 0 for block in blocks), f"until some time: {blocks}")
    stage.until(lambda: not _wide(stage).foreign, "others' work to be gone")


def _wide(stage: Stage) -> PoolObservation:
    return next(one for one in stage.driver.describe(time.time_ns() // 1_000_000) if one.pool == WIDE)


def _nodes(one: PoolObservation) -> int:
    return sum(group.nodes for group in one.present)


_NOTHING: frozenset[str] = frozenset()

CASES = (
    Case("pools are described", _NOTHING, described),
    Case("own work is not foreign", _NOTHING, own_work_is_not_foreign),
    Case("a node is drained", _NOTHING, drained, frozenset({"drain_node"})),
    Case("others work there too", _NOTHING, foreign_work, frozenset({"occupy"})),
)
