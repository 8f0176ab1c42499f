"""Gangs: tasks that start together, find each other, and end together."""

import json
from pathlib import Path

from tests.system.conftest import RealProvince

MEET = """\
import json, os, socket, sys
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
address = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
known = [name for name in os.environ if name.startswith("WEIR_") or name.endswith("VISIBLE_DEVICES")]
mine = {name: os.environ[name] for name in known}
if rank == 0:
    met = {0: mine}
    with socket.create_server(address) as server:
        server.settimeout(60)
        for _ in range(size - 1):
            with server.accept()[0] as other, other.makefile() as lines:
                told = json.loads(lines.readline())
                met[told["rank"]] = told["mine"]
                other.sendall(b"welcome\\n")
    print(json.dumps(met))
else:
    for attempt in range(600):
        try:
            server = socket.create_connection(address, timeout=60)
            break
        except OSError:
            __import__("time").sleep(0.1)
    with server, server.makefile() as lines:
        server.sendall((json.dumps({"rank": rank, "mine": mine}) + "\\n").encode())
        print(lines.readline().strip())
"""


def test_two_tasks_meet_and_each_knows_who_it_is(tenant: RealProvince) -> None:
    job = tenant.submit(
        "python3", "-c", MEET, tasks=2, array=1, devices={"count": 2, "stack": "cann"}, name="gang"
    )
    element = f"{job}.0"
    assert "succeeded" == tenant.ended(element).state, tenant.log(element, "stderr") + tenant.log(
        element, "stderr", 1
    )
    assert b"welcome\n" == tenant.log(element, task=1)
    met = json.loads(tenant.log(element))
    assert {"0", "1"} == set(met)
    for index in ("0", "1"):
        mine = met[index]
        assert element == mine["WEIR_JOB_ID"]
        assert f"{element}-1" == mine["WEIR_ATTEMPT"]
        assert "0" == mine["WEIR_ARRAY_INDEX"]
        assert index == mine["WEIR_TASK_INDEX"]
        assert "2" == mine["WEIR_TASK_COUNT"]
        assert 2 == len(mine["WEIR_HOSTS"].split(","))
        assert mine["WEIR_DEVICES"] == mine["ASCEND_RT_VISIBLE_DEVICES"]
        assert "CUDA_VISIBLE_DEVICES" not in mine
    given = [met[index]["WEIR_DEVICES"].split(",") for index in ("0", "1")]
    assert ["0", "1", "2", "3"] == sorted(given[0] + given[1])


def test_tasks_on_two_nodes_have_their_own_devices(tenant: RealProvince) -> None:
    job = tenant.submit("python3", "-c", MEET, tasks=2, devices={"count": 2, "stack": "cuda"})
    assert "succeeded" == tenant.ended(job).state, tenant.log(job, "stderr") + tenant.log(job, "stderr", 1)
    assert 2 == tenant.client.job(job).attempts[0].nodes  # type: ignore[union-attr]  # a single job
    met = json.loads(tenant.log(job))
    assert ["0,1", "2,3"] == [met[index]["CUDA_VISIBLE_DEVICES"] for index in ("0", "1")]


def test_a_task_that_fails_ends_the_gang(tenant: RealProvince) -> None:
    others = 'trap "echo told; exit 0" TERM; touch ready.$WEIR_TASK_INDEX; while :; do sleep 0.1; done'
    failing = "until test -e ready.0 && test -e ready.2; do sleep 0.1; done; exit 5"
    script = f"if test $WEIR_TASK_INDEX = 1; then {failing}; fi; {others}"
    ended = tenant.ended(tenant.submit("sh", "-c", script, tasks=3))
    assert ("failed", "exit", 5) == (ended.state, ended.cause, ended.exit_code)
    assert "task 1" in ended.message
    assert b"told\n" == tenant.log(ended.id, task=0)
    assert b"told\n" == tenant.log(ended.id, task=2)


def test_a_gang_waits_until_all_of_it_fits(tenant: RealProvince) -> None:
    wall = tenant.submit("sleep", "60", devices={"count": 3, "stack": "cann"})
    tenant.reaches(wall, "running")
    gang = tenant.submit("true", tasks=4, devices={"count": 1, "stack": "cann"})
    alone = tenant.submit("true")
    tenant.ended(alone)
    assert "queued" == tenant.client.job(gang).state  # type: ignore[union-attr]  # a single job
    explained = {reason.pool: reason for reason in tenant.client.explain(gang).pools}
    assert "full" == explained["north/ascend"].verdict
    assert "room for 1 of 4 tasks" in explained["north/ascend"].note
    tenant.client.cancel(wall)
    assert "succeeded" == tenant.ended(gang).state


GO_ON = """\
if test -e "$SAVED"; then
  test $WEIR_TASK_INDEX != 0 || echo "weir: resumed from $(stat -c %.3Y "$SAVED")"
else
  until test -e "$GATE"; do sleep 0.1; done
  test $WEIR_TASK_INDEX != 0 || touch "$SAVED"
  until test -e "$SAVED"; do sleep 0.1; done
  kill -9 $PPID
fi
echo "task $WEIR_TASK_INDEX of $WEIR_TASK_COUNT, rank $RANK of $WORLD_SIZE, saves each $WEIR_CHECKPOINT_EVERY_MS ms"
"""


def test_an_elastic_gang_takes_what_has_room_and_goes_on_with_more_after_a_loss(
    tenant: RealProvince, tmp_path: Path
) -> None:
    gate, saved = tmp_path / "gate", tmp_path / "saved"
    wall = tenant.submit("sleep", "60", devices={"count": 2, "stack": "cann"})
    tenant.reaches(wall, "running")
    wanted = {
        "tasks": "1..4",
        "devices": {"count": 1, "stack": "cann"},
        "restartable": True,
        "checkpoint": {"every": "30m", "save": "2m", "restore": "1m"},
        "environment": {"GATE": str(gate), "SAVED": str(saved)},
    }
    job = tenant.submit("sh", "-c", GO_ON, **wanted)
    tenant.reaches(job, "running")
    why = tenant.weir("explain", job).good()
    assert "starts with 2 of 1..4 tasks: no more have room there now" in why
    assert "2 of 1..4" in tenant.weir("job", job).good()
    tenant.client.cancel(wall)
    tenant.ended(wall)
    gate.touch()
    ended = tenant.ended(job)
    assert "succeeded" == ended.state, tenant.log(job, "stderr")
    assert [2, 4] == [attempt.tasks for attempt in ended.attempts]
    assert "starts with 4 of 1..4 tasks" in tenant.weir("explain", job).good()
    first, *said = tenant.log(job).decode().splitlines()
    saved_ms = saved.stat().st_mtime_ns // 1_000_000  # as `stat` cuts it
    assert f"weir: resumed from {saved_ms // 1_000}.{saved_ms % 1_000:03}" == first
    assert ["task 0 of 4, rank 0 of 4, saves each 1800000 ms"] == said
    assert b"task 3 of 4, rank 3 of 4, saves each 1800000 ms\n" == tenant.log(job, task=3)
    tenant.weir("logs", job, "--task", "4").refused()
