"""What the Slurm driver decides without a cluster: options, users, what is refused, what an end means."""

import ast
import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.engines.slurm.recorded import text
from weir.engines.driver import AttemptOrder
from weir.engines.slurm import command_form
from weir.engines.slurm.description import devices_of, pool_observation
from weir.engines.slurm.node.run import DUPLICATE, tasks_per_node
from weir.engines.slurm.parcel import (
    batch_name,
    carried_script_of,
    launch_of,
    never,
    portions,
    request_of,
    script_of,
)
from weir.engines.slurm.port import JobRow
from weir.engines.slurm.settings import PoolSettings, Settings
from weir.engines.slurm.states import NO_PYTHON, RecordedRun, engine_end, recorded_end
from weir.engines.slurm.users import parse_users, read_users
from weir.model.agent import NodeShare, PoolEntry, Work
from weir.model.problem import ProblemError
from weir.model.state import Cause

ENTRY = PoolEntry(
    "ascend", 4, 8, 64_000, 1 << 40, "ascend", False, {"partition": "npu", "gres": "gpu:ascend910b"}
)
WORK = Work(
    job_submission="aaaaaaaaaaaa",
    pool="ascend",
    command=("true",),
    environment={},
    tasks=1,
    cores_milli=1_500,
    memory_bytes=3 << 20,
    devices_milli=2_000,
    device_model="ascend",
    visible_devices_variable="ASCEND_RT_VISIBLE_DEVICES",
    time_limit_ms=61_000,
    stop_signal="TERM",
    stop_grace_ms=1_000,
    restartable=False,
    outputs=(),
    output_limit_bytes=0,
    log_limit_bytes=0,
)
ROW = JobRow(
    7, 7, (), "COMPLETED", "", "wang", "npu", "weir:a-1", 1_700_000_000, 1_700_000_001, 1_700_000_002
)
NOW_MS = 1_700_000_100_000


def order(index: int | None = None, shares: tuple[int, ...] = (1,), work: Work = WORK) -> AttemptOrder:
    name = "aaaaaaaaaaaa" if index is None else f"aaaaaaaaaaaa.{index}"
    nodes = tuple(NodeShare(node, tasks) for node, tasks in enumerate(shares))
    return AttemptOrder(f"{name}-1", name, 1, index, work, nodes, Path(f"/share/{name}-1"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", "--wrap=x"),
        ("partition", "a b"),
        ("account", "x;rm"),
        ("qos", "$(id)"),
        ("constraint", "-x"),
        ("licenses", "fluent:2 --uid=0"),
        ("gres", "gpu:x:8"),
        ("reservation", ""),
        ("ssh", "-oProxyCommand=x"),
        ("rest", "file:///etc/passwd"),
        ("python", "python3; id"),
        ("conf", "slurm.conf"),
        ("commands", "/opt/../bin"),
        ("least_poll_ms", "0"),
        ("folder", "staged"),
        ("wrap", "x"),
    ],
)
def test_an_option_that_is_no_plain_value_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ProblemError) as refusal:
        Settings.read((ENTRY,), {"users": "one", name: value})
    assert f"engine.options.{name}" == refusal.value.problem.fields[0].field


def test_a_pools_own_options_come_before_the_centres() -> None:
    other = PoolEntry("cpu", 1, 0, 1_000, 1, "cpu", False)
    settings = Settings.read((ENTRY, other), {"users": "one", "account": "weir", "partition": "all"})
    assert ("npu", "weir", "gpu:ascend910b") == (
        settings.pools["ascend"].partition,
        settings.pools["ascend"].account,
        settings.pools["ascend"].gres,
    )
    assert "all" == settings.pools["cpu"].partition
    assert (
        "ascend" == Settings.read((replace(ENTRY, options={}),), {"users": "one"}).pools["ascend"].partition
    )
    with pytest.raises(ProblemError, match=r"pools.ascend.options.users"):
        Settings.read((replace(ENTRY, options={"users": "one"}),), {"users": "one"})


def test_nobody_runs_everybodys_work_as_one_user_without_saying_so() -> None:
    with pytest.raises(ProblemError, match="maps accounts to local users, or `one`"):
        Settings.read((ENTRY,), {})
    me = pwd.getpwuid(os.geteuid()).pw_name
    users = read_users("one")
    assert ({"*": me}, me) == (users.shown(), getattr(users.of("anybody"), "name", ""))


def test_the_table_of_users_names_each_account_once(tmp_path: Path) -> None:
    assert {"91A": "wang", "92B": "li"} == parse_users("# ours\n91A = wang\n\n92B=li # guest\n", "users")
    for wrong in ("91A", "91A = wang li", "91A = -x", "91A = a\n91A = b"):
        with pytest.raises(ProblemError, match="users, line"):
            parse_users(wrong, "users")
    table = tmp_path / "users"
    table.write_text("91A = nosuchuser77\n")
    with pytest.raises(ProblemError, match="a user that exists"):
        read_users(str(table))
    table.chmod(0o666)
    with pytest.raises(ProblemError, match="only its owner can write"):
        read_users(str(table))


def test_a_table_leaves_out_whom_it_does_not_name(tmp_path: Path) -> None:
    name = "games" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    table = tmp_path / "users"
    table.write_text(f"91A = {name}\n")
    table.chmod(0o644)
    users = read_users(str(table))
    assert (name, None) == (getattr(users.of("91A"), "name", ""), users.of("92B"))
    assert {"91A": name} == users.shown()


@pytest.mark.parametrize(
    ("changes", "shares", "said"),
    [
        ({"command": ()}, (1,), "command is empty"),
        ({"command": ("a\0b",)}, (1,), "zero byte"),
        ({"stop_signal": "NOPE"}, (1,), "stop signal"),
        ({"devices_milli": 500}, (1,), "whole devices"),
        ({"devices_milli": 9_000}, (1,), "thousandths of a device"),
        ({"cores_milli": 40_000}, (2,), "thousandths of a core"),
        ({"memory_bytes": 1 << 41}, (1,), "bytes of memory"),
        ({}, (1,) * 5, "needs 5 nodes"),
        ({}, (1,), ""),
    ],
)
def test_what_can_never_run_is_refused_with_the_two_values(
    changes: dict[str, Any], shares: tuple[int, ...], said: str
) -> None:
    message = never(order(shares=shares, work=replace(WORK, **changes)), ENTRY)
    assert said in message
    assert bool(said) == bool(message)


def test_what_slurm_is_asked_for_is_rounded_up() -> None:
    pool = PoolSettings(partition="npu", gres="gpu:ascend910b", qos="guest")
    asked = request_of([order()], pool, "wang", "script")
    assert (1, 1, 2, 3, 0) == (
        asked.nodes,
        asked.tasks,
        asked.cpus_per_task,
        asked.memory_mb_per_node,
        asked.elements,
    )
    assert ("gpu:ascend910b:2", "weir:aaaaaaaaaaaa-1", "npu", "guest", "wang") == (
        asked.gres,
        asked.comment,
        asked.partition,
        asked.qos,
        asked.user,
    )
    assert 3 == asked.time_limit_minutes, "62 seconds are two minutes, and one for the runner"
    assert not asked.requeue
    assert request_of([order(work=replace(WORK, restartable=True))], pool, "", "").requeue


def test_uneven_gangs_ask_for_memory_by_the_core() -> None:
    large = replace(WORK, memory_bytes=300 << 20)
    uneven = request_of([order(work=large, shares=(2, 1))], PoolSettings(partition="npu"), "", "")
    assert (2, 3, 0, 0, 150, "gpu:4") == (
        uneven.nodes,
        uneven.tasks,
        uneven.tasks_per_node,
        uneven.memory_mb_per_node,
        uneven.memory_mb_per_cpu,
        uneven.gres,
    )
    even = request_of([order(work=large, shares=(2, 2))], PoolSettings(partition="npu"), "", "")
    assert (2, 600, 0) == (even.tasks_per_node, even.memory_mb_per_node, even.memory_mb_per_cpu)


def test_gangs_over_nodes_are_given_what_their_runner_needs_beside_them() -> None:
    pool = PoolSettings(partition="npu")
    assert [128, 3] == [
        request_of([order(shares=shares)], pool, "", "").memory_mb_per_node for shares in ((1, 1), (1,))
    ]
    assert 128 <= 2 * request_of([order(shares=(2, 1))], pool, "", "").memory_mb_per_cpu


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 99)), unique_by=lambda n: n if n is not None else object())
)
def test_every_order_is_in_one_portion_and_none_is_too_large(indexes: list[int | None]) -> None:
    orders = [order(index) for index in indexes]
    found = portions(orders, 7)
    assert sorted(map(id, orders)) == sorted(id(one) for portion in found for one in portion)
    assert all(len(portion) <= 7 for portion in found)
    assert all(len(portion) == 1 or all(o.array_index is not None for o in portion) for portion in found)


def test_elements_of_unequal_work_do_not_go_together() -> None:
    other = replace(WORK, command=("false",))
    found = portions([order(0), order(1, work=other), order(2)], 100)
    assert [["aaaaaaaaaaaa.0-1", "aaaaaaaaaaaa.2-1"], ["aaaaaaaaaaaa.1-1"]] == [
        [o.attempt for o in portion] for portion in found
    ]
    assert "aaaaaaaaaaaa.0-1~2" == batch_name(found[0])


def test_the_batch_script_holds_quoted_paths_and_nothing_of_the_tenants() -> None:
    settings = Settings.read((ENTRY,), {"users": "one"})
    work = replace(WORK, command=("echo", "$(id)"), environment={"SECRET": "s3cret"})
    launch = launch_of(
        [order(work=work)], settings, settings.pools["ascend"], Path("/share/stops"), Path("/share/news")
    )
    assert (2, True, 15, ["echo", "$(id)"]) == (
        launch["devices"],
        launch["devices_listed"],
        launch["stop_signal"],
        launch["command"],
    )
    script = script_of("python3", Path("/share/a b/p.zip"), Path("/share/b.json"))
    assert "'/share/a b/p.zip'" in script
    assert "s3cret" not in script
    assert f"exit {NO_PYTHON}" in script


def test_where_no_folder_is_shared_the_script_fetches_everything() -> None:
    options = {"users": "one", "folder": "agent", "agent_address": "login1:8471", "node_folder": "/scratch"}
    settings = Settings.read((ENTRY,), options)
    assert settings.door is not None
    script = carried_script_of(settings, "print('$x')", f"{settings.door.address}/v1/batch~a-1", "t0ken")
    assert "export WEIR_FILES_TOKEN=t0ken\n" in script
    assert script.endswith("boot 'http://login1:8471/v1/batch~a-1' /scratch\n")
    plain, carried = (
        request_of([order()], settings.pools["ascend"], "", script, carried=one) for one in (False, True)
    )
    assert carried.time_limit_minutes > plain.time_limit_minutes + 30


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folder": "agent"}, "agent_address"),
        ({"agent_address": "h:1"}, "folder"),
        ({"folder": "agent", "agent_address": "h"}, "host and port"),
    ],
)
def test_an_address_goes_with_a_folder_of_the_agents(options: dict[str, str], words: str) -> None:
    with pytest.raises(ProblemError, match=words):
        Settings.read((ENTRY,), {"users": "one", **options})


def recorded(**changes: Any) -> RecordedRun:
    return replace(RecordedRun("7", 1_700_000_001_000, True, None, 0, None, "", 1_700_000_002_000), **changes)


@pytest.mark.parametrize(
    ("state", "record", "stopped", "cause"),
    [
        ("COMPLETED", recorded(), False, None),
        ("FAILED", recorded(cause="exit", code=3), False, Cause.EXIT),
        ("FAILED", recorded(cause="signal", code=None, signal=9), False, Cause.SIGNAL),
        ("OUT_OF_MEMORY", recorded(cause="signal", code=None, signal=9), False, Cause.OUT_OF_MEMORY),
        ("OUT_OF_MEMORY", None, False, Cause.OUT_OF_MEMORY),
        ("TIMEOUT", recorded(cause="engine"), False, Cause.TIME_LIMIT),
        ("FAILED", recorded(cause="time-limit"), False, Cause.TIME_LIMIT),
        ("NODE_FAIL", recorded(ended=False), False, Cause.NODE_FAILED),
        ("BOOT_FAIL", None, False, Cause.NODE_FAILED),
        ("PREEMPTED", recorded(cause="engine"), False, Cause.PREEMPTED),
        ("CANCELLED", None, False, Cause.CANCELLED),
        ("CANCELLED", recorded(ended=False), True, Cause.CANCELLED),
        ("FAILED", recorded(cause="cancelled"), True, Cause.CANCELLED),
        ("NODE_FAIL", recorded(ended=False), True, Cause.NODE_FAILED),
        ("FAILED", recorded(ended=False), False, Cause.LOST),
        ("FAILED", recorded(cause="engine"), False, Cause.LOST),
        ("FAILED", recorded(cause="start", code=None), False, Cause.START),
    ],
)
def test_each_kind_of_death_is_told_apart(
    state: str, record: RecordedRun | None, stopped: bool, cause: Cause | None
) -> None:
    end = engine_end(replace(ROW, state=state), record, stopped=stopped, now_ms=NOW_MS)
    assert cause is end.cause
    assert (end.exit_code == 0) == (cause is None)
    assert (end.started_ms or 0) <= end.ended_ms <= NOW_MS


def test_a_node_that_refuses_to_start_a_job_has_failed_though_slurm_says_cancelled() -> None:
    refused = replace(ROW, state="CANCELLED", host="n1")
    end = engine_end(refused, None, stopped=False, now_ms=NOW_MS)
    assert (Cause.NODE_FAILED, "node n1 did not start it") == (end.cause, end.message)
    assert Cause.CANCELLED is engine_end(refused, None, stopped=True, now_ms=NOW_MS).cause
    begun = engine_end(refused, None, stopped=False, now_ms=NOW_MS, claimed=True)
    assert Cause.CANCELLED is begun.cause, "a node had begun it"
    assert Cause.CANCELLED is engine_end(refused, recorded(ended=False), stopped=False, now_ms=NOW_MS).cause


@pytest.mark.parametrize(
    ("row", "cause", "said"),
    [
        (replace(ROW, state="NODE_FAIL"), Cause.NODE_FAILED, "did not start it in time"),
        (replace(ROW, state="FAILED", exit_code=NO_PYTHON), Cause.NODE_FAILED, "no such Python"),
        (replace(ROW, state="FAILED", exit_code=DUPLICATE), Cause.NODE_FAILED, "not restartable"),
        (replace(ROW, state="FAILED", reason="JobLaunchFailure"), Cause.NODE_FAILED, "JobLaunchFailure"),
        (
            replace(ROW, state="FAILED", reason="BadConstraints", start_s=None),
            Cause.REJECTED,
            "BadConstraints",
        ),
    ],
)
def test_what_never_ran_says_what_the_node_lacks(row: JobRow, cause: Cause, said: str) -> None:
    end = engine_end(row, None, stopped=False, now_ms=NOW_MS)
    assert (cause, None) == (end.cause, end.started_ms)
    assert said in end.message


def test_the_runners_word_alone_is_enough_where_slurm_cannot_know_better() -> None:
    assert recorded_end(recorded()) is not None
    assert recorded_end(recorded(cause="exit", code=3)) is not None
    for cause, number in (("engine", 15), ("gang", 9), ("signal", 9)):
        assert recorded_end(recorded(cause=cause, signal=number)) is None
    assert recorded_end(recorded(ended=False)) is None


@pytest.mark.parametrize(
    ("gres", "wanted", "count"),
    [
        ("gpu:any:4", "gpu:any", 4),
        ("gpu:any:4(S:0-1),npu:2", "gpu", 4),
        ("gres:gpu:ascend910b:2", "gpu:ascend910b", 2),
        ("gres/gpu:ascend910b:2", "gpu:ascend910b", 2),
        ("gpu:any:2(IDX:0-1)", "gpu:any", 2),
        ("gpu:a100:8,gpu:h20:4", "gpu", 12),
        ("gpu:a100:8,gpu:h20:4", "gpu:h20", 4),
        ("npu:8", "npu", 8),
        ("", "gpu", 0),
    ],
)
def test_devices_are_counted_by_name_and_type(gres: str, wanted: str, count: int) -> None:
    assert count == devices_of(gres, wanted)


def test_a_pool_is_described_by_what_serves_and_who_else_is_there() -> None:
    nodes = command_form.parse_nodes(text("nodes-22.05.txt"))
    queue = command_form.parse_jobs(text("squeue-22.05-live.txt"), "MARK")
    pool = PoolSettings(partition="urgent", gres="gpu:any")
    now_ms = 1_795_351_509_000
    seen = pool_observation(
        "urgent", pool, nodes, queue, set(), now_ms, capabilities=("gang",), runs_as={"*": "weir"}
    )
    assert (1, 1, {"*": "weir"}) == (seen.drained_nodes, seen.queued_foreign, seen.runs_as)
    assert () == seen.present, "one node is down and the other drained"
    narrow = pool_observation(
        "narrow", PoolSettings(partition="narrow"), nodes, queue, set(), now_ms, capabilities=(), runs_as={}
    )
    assert [(1, 0, 1_000)] == [(g.nodes, g.devices_milli, g.cores_milli) for g in narrow.present]
    assert (narrow.present, 0, ()) == (narrow.free, narrow.expected_wait_ms, narrow.foreign)


def test_foreign_work_is_counted_in_nodes_rounded_up() -> None:
    nodes = [replace(node, partitions=("p",)) for node in command_form.parse_nodes(text("nodes-22.05.txt"))][
        -1:
    ]
    nodes = [replace(nodes[0], usable=True, drained=False, name=str(n)) for n in range(2)]
    theirs = replace(ROW, state="RUNNING", partition="p", comment="", cpus=10, nodes=1, end_s=1_700_000_500)
    rows = [
        theirs,
        replace(theirs, job=8, array=8, cpus=512),
        replace(theirs, job=9, array=9, comment="weir:x-1", cpus=512),
    ]
    pool = PoolSettings(partition="p", gres="gpu:any")
    seen = pool_observation("p", pool, nodes, rows, {9}, NOW_MS, capabilities=(), runs_as={})
    assert [(2, 1_700_000_500_000)] == [(block.nodes, block.until_ms) for block in seen.foreign]


@pytest.mark.parametrize(
    ("said", "tasks", "wanted"),
    [("1", 3, [3]), ("2(x2)", 3, [2, 1]), ("2,1", 3, [2, 1]), ("4(x2),1", 9, [4, 4, 1])],
)
def test_tasks_lie_on_nodes_as_slurm_says(said: str, tasks: int, wanted: list[int]) -> None:
    assert wanted == tasks_per_node(said, tasks)


def test_the_program_for_the_nodes_is_one_that_old_pythons_read() -> None:
    folder = Path(tasks_per_node.__code__.co_filename).parent
    for path in folder.glob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6))
