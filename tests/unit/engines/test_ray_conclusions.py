"""What Ray's word means for an attempt, case by case; its record comes first."""

import os
from pathlib import Path

import pytest

from weir.engines.driver import AttemptOrder, EngineState
from weir.engines.local.control import Control, write_control
from weir.engines.local.supervisor import STOP_CANCELLED
from weir.engines.local.tracked import state_of
from weir.engines.ray.forms import RayJob
from weir.engines.ray.tracked import RayTracked, conclude, put_down, unstarted
from weir.model.agent import NodeShare, Work
from weir.model.state import Cause, Observed

WORK = Work("s", "p", ("x",), {}, 1, 1_000, 1, 0, "any", "", 1, "TERM", 2_000, False, (), 0, 0)
ASKED, NOW_MS = 100.0, 1_000_000


@pytest.fixture
def tracked(tmp_path: Path) -> RayTracked:
    """An attempt that Ray had at 50 s."""
    folder = tmp_path / "attempts" / "a-1"
    folder.mkdir(parents=True)
    write_control(str(folder), {"launch": {}}, 1)
    order = AttemptOrder("a-1", "a", 1, None, WORK, (NodeShare(0, 1),), folder)
    found = RayTracked(order, EngineState("a-1", Observed.QUEUED))
    found.records = [None]
    found.posted_s = 50.0
    return found


def job(status: str, message: str = "", error_type: str = "") -> RayJob:
    return RayJob("weir-a-1", status, message, error_type, "", "tag", "a-1")


def state(tracked: RayTracked) -> EngineState:
    with Control(os.fspath(tracked.order.folder)) as control:
        return state_of("a-1", [control.record(0)], tracked.waiting)


def claim(tracked: RayTracked, **record: object) -> None:
    with Control(os.fspath(tracked.order.folder), write=True) as control:
        assert control.claim(0)
        if record:
            control.write(0, **record)


def running(tracked: RayTracked) -> None:
    claim(tracked, state="running", boot="b", supervisor=[1, 1], started_ms=NOW_MS - 500)


def test_what_waits_says_why(tracked: RayTracked) -> None:
    conclude(tracked, job("PENDING", "It may be waiting for resources."), ASKED, ASKED, NOW_MS)
    assert (Observed.QUEUED, "It may be waiting for resources.") == (
        state(tracked).observed,
        state(tracked).message,
    )


def test_an_answer_from_before_the_submission_means_nothing(tracked: RayTracked) -> None:
    tracked.posted_s = ASKED + 1
    conclude(tracked, None, ASKED, ASKED + 2, NOW_MS)
    assert ASKED + 1 == tracked.posted_s


def test_what_ray_has_forgotten_before_its_start_is_submitted_again(tracked: RayTracked) -> None:
    conclude(tracked, None, ASKED, ASKED, NOW_MS)
    assert (None, 1, Observed.QUEUED) == (tracked.posted_s, tracked.number, state(tracked).observed)


def test_what_waited_too_long_for_ray_waits_on_under_a_further_name(tracked: RayTracked) -> None:
    late = job("FAILED", "failed to start within 900 seconds.", "JOB_SUPERVISOR_ACTOR_START_TIMEOUT")
    conclude(tracked, late, ASKED, ASKED, NOW_MS)
    assert (None, "weir-a-1~2") == (tracked.posted_s, tracked.identity)


def test_what_ray_could_not_start_ends_with_its_words_and_is_never_started(tracked: RayTracked) -> None:
    conclude(tracked, job("FAILED", "trace\nno such node", "JOB_SUPERVISOR_ACTOR_DIED"), ASKED, ASKED, NOW_MS)
    end = state(tracked).end
    assert end is not None
    assert (Cause.NODE_FAILED, None) == (end.cause, end.started_ms)
    assert end.message.endswith("no such node")
    assert not unstarted(tracked)


def test_a_runner_that_fails_names_what_the_nodes_lack(tracked: RayTracked) -> None:
    failed = job("FAILED", "python3: not found", "JOB_ENTRYPOINT_COMMAND_ERROR")
    conclude(tracked, failed, ASKED, ASKED, NOW_MS)
    end = state(tracked).end
    assert end is not None
    assert f"the attempts' folder {tracked.order.folder.parent} there" in end.message


@pytest.mark.parametrize("said", [None, job("FAILED", "actor died"), job("SUCCEEDED")])
def test_what_ran_gets_its_time_to_say_how_it_ended(tracked: RayTracked, said: RayJob | None) -> None:
    running(tracked)
    conclude(tracked, said, ASKED, ASKED, NOW_MS)
    conclude(tracked, said, ASKED + 6.9, ASKED + 6.9, NOW_MS)
    assert Observed.RUNNING is state(tracked).observed
    conclude(tracked, said, ASKED + 7, ASKED + 7, NOW_MS)
    end = state(tracked).end
    assert end is not None
    assert (Cause.LOST if said is None else Cause.NODE_FAILED) is end.cause
    assert (NOW_MS - 500, NOW_MS) == (end.started_ms, end.ended_ms)


def test_a_doubt_that_passes_is_forgotten(tracked: RayTracked) -> None:
    running(tracked)
    conclude(tracked, None, ASKED, ASKED, NOW_MS)
    conclude(tracked, job("RUNNING"), ASKED + 5, ASKED + 5, NOW_MS)
    conclude(tracked, None, ASKED + 8, ASKED + 8, NOW_MS)
    assert Observed.RUNNING is state(tracked).observed


def test_a_record_s_end_is_not_overwritten(tracked: RayTracked) -> None:
    claim(tracked, state="ended", cause=None, code=0, signal=None, started_ms=1, ended_ms=2)
    conclude(tracked, job("FAILED"), ASKED, ASKED + 99, NOW_MS)
    end = state(tracked).end
    assert end is not None
    assert (None, 0, 2) == (end.cause, end.exit_code, end.ended_ms)


@pytest.mark.parametrize("said", [None, job("PENDING"), job("STOPPED")])
def test_what_was_cancelled_before_its_start_is_cancelled_whatever_ray_says(
    tracked: RayTracked, said: RayJob | None
) -> None:
    tracked.stopping = STOP_CANCELLED
    conclude(tracked, said, ASKED, ASKED, NOW_MS)
    end = state(tracked).end
    assert end is not None
    assert (Cause.CANCELLED, None) == (end.cause, end.started_ms)


def test_what_was_cancelled_and_left_no_record_is_cancelled(tracked: RayTracked) -> None:
    running(tracked)
    tracked.stopping = STOP_CANCELLED
    conclude(tracked, None, ASKED, ASKED, NOW_MS)
    conclude(tracked, None, ASKED + 9, ASKED + 9, NOW_MS)
    assert Cause.CANCELLED is (state(tracked).end or pytest.fail("no end")).cause


def test_it_ends_where_its_folder_is_gone(tracked: RayTracked) -> None:
    (tracked.order.folder / "control").unlink()
    tracked.order.folder.rmdir()
    conclude(tracked, None, ASKED, ASKED, NOW_MS)
    assert not unstarted(tracked)
    put_down(tracked, Cause.LOST, "", NOW_MS)
    tracked.fail("its folder was removed", NOW_MS)
    assert tracked.state.end is not None
    assert Cause.NODE_FAILED is tracked.state.end.cause
