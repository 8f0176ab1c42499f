"""Cases about several tasks of one attempt."""

from weir.engines.conformance.stage import Case, Stage, check
from weir.model.agent import NodeShare
from weir.model.state import Cause

__all__ = ["CASES"]

_MEETING = """
import os, socket, time
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
if rank == 0:
    with socket.create_server(address) as server:
        seen = set()
        while len(seen) < size - 1:
            with server.accept()[0] as other:
                seen.add(int(other.recv(100)))
                other.sendall(b"welcome")
    print("met", sorted(seen))
else:
    while True:
        try:
            link = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    link.sendall(str(rank).encode())
    print(link.recv(100).decode())
print(*[os.environ[name] for name in ("WEIR_TASK_INDEX", "WEIR_TASK_COUNT", "LOCAL_RANK")])
"""


def meeting(stage: Stage) -> None:
    order = stage.python(_MEETING, tasks=3, nodes=(NodeShare(0, 2), NodeShare(1, 1)))
    end = stage.run(order)
    outputs = [stage.lines(order, task) for task in range(3)]
    check(end.cause is None, f"the gang meets: {end} {outputs}")
    wanted = [["met [1, 2]", "0 3 0"], ["welcome", "1 3 1"], ["welcome", "2 3 0"]]
    check(outputs == wanted, f"each task knows its place: {outputs}")


def one_fails(stage: Stage) -> None:
    text = 'if [ "$RANK" = 1 ]; then sleep 0.1; exit 9; fi; sleep 600'
    order = stage.order("sh", "-c", text, tasks=3)
    end = stage.run(order)
    check((end.cause, end.exit_code) == (Cause.EXIT, 9), f"the first failure is the gang's end: {end}")


def one_ends(stage: Stage) -> None:
    text = 'if [ "$RANK" = 1 ]; then exit 0; fi; sleep 0.3; touch late'
    order = stage.order("sh", "-c", text, tasks=2)
    end = stage.run(order)
    check(end.cause is None, f"a task that ends well does not stop the others: {end}")
    check((order.folder / "work" / "late").exists(), "the attempt ends with its last task")


def cancelled(stage: Stage) -> None:
    order = stage.order("sh", "-c", "echo up; sleep 600", tasks=2)
    stage.submit(order)
    stage.until(lambda: all(stage.lines(order, task) for task in range(2)), "both tasks to run")
    stage.driver.cancel([order.attempt])
    end = stage.end(order)
    check(end.cause is Cause.CANCELLED, f"all of it is cancelled: {end}")


_NEEDS = frozenset({"commands", "gang"})

CASES = (
    Case("a gang meets", _NEEDS, meeting),
    Case("a gang's first failure", _NEEDS, one_fails),
    Case("a gang's last task", _NEEDS, one_ends),
    Case("a gang is cancelled", _NEEDS, cancelled),
)
