"""Cases about arrays: many elements of one submission, given over together."""

from dataclasses import replace

from weir.engines.conformance.stage import Case, Stage, check
from weir.engines.driver import AttemptOrder
from weir.model.state import Cause, Observed

__all__ = ["CASES"]

_ELEMENT = 'echo "element $WEIR_ARRAY_INDEX"; exit $((WEIR_ARRAY_INDEX % 3))'


def array(stage: Stage) -> None:
    orders = _elements(stage, stage.scale.array, "sh", "-c", _ELEMENT)
    stage.submit(*orders)
    ends = stage.ends(orders)
    wrong = [
        (index, end.cause, end.exit_code, end.signal, end.message)
        for index, end in enumerate(ends)
        if (end.exit_code, end.cause) != (index % 3, Cause.EXIT if index % 3 else None)
    ]
    check(
        not wrong,
        f"each element ends with its own code; not so (index, cause, code, signal, message): {wrong}",
    )
    if "commands" in stage.driver.capabilities:
        for index in {0, 1, len(orders) // 2, len(orders) - 1}:
            check(stage.lines(orders[index]) == [f"element {index}"], "each element has its own output")
    check(not set(stage.driver.live()) & {order.attempt for order in orders}, "none is live")


def one_fails_one_is_cancelled(stage: Stage) -> None:
    text = f"[ $WEIR_ARRAY_INDEX = 3 ] && exit 7; {stage.shell_gate()}"
    orders = _elements(stage, 10, "sh", "-c", text, fake_ms=2_000, codes={3: 7})
    stage.submit(*orders)
    check(stage.end(orders[3]).exit_code == 7, "element 3 fails by itself")
    stage.driver.cancel([orders[5].attempt])
    check(stage.end(orders[5]).cause is Cause.CANCELLED, "element 5 is cancelled by itself")
    stage.open_gate(*orders)
    ends = stage.ends([order for order in orders if order.array_index not in (3, 5)])
    check({end.cause for end in ends} == {None}, f"the other eight succeed: {ends}")


def a_part_forgotten(stage: Stage) -> None:
    orders = _elements(stage, 4, "sh", "-c", "exit 0")
    stage.submit(*orders)
    stage.ends(orders)
    stage.driver.forget([order.attempt for order in orders[:2]])
    states = [state.observed for state in stage.driver.observe([order.attempt for order in orders])]
    wanted = [Observed.NOTHING, Observed.NOTHING, Observed.ENDED, Observed.ENDED]
    check(states == wanted, f"forgetting some elements leaves the others: {states}")


def _elements(
    stage: Stage, size: int, *command: str, fake_ms: int = 20, codes: dict[int, int] | None = None
) -> list[AttemptOrder]:
    """Elements that share one work, as those of a submission do; what runs nothing is told each one's end in it."""
    found: list[AttemptOrder] = []
    for index in range(size):
        code = index % 3 if codes is None else codes.get(index, 0)
        alike_ms = fake_ms // 2 if codes and code else fake_ms  # what fails is the first to end
        order = stage.order(
            *command,
            array_index=index,
            job=found[0].work.job_submission if found else "",
            cores_milli=10,
            memory_bytes=1 << 26,
            fake=(alike_ms, code),
        )
        shared = found and "commands" in stage.driver.capabilities
        found.append(replace(order, work=found[0].work) if shared else order)
    return found


_NOTHING: frozenset[str] = frozenset()

CASES = (
    Case("an array", _NOTHING, array),
    Case("one element fails, one is cancelled", _NOTHING, one_fails_one_is_cancelled),
    Case("a part of an array is forgotten", _NOTHING, a_part_forgotten),
)
