"""What commands say: endings and their exit codes, explanations, changes, tables."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weir.cli.completion import complete_centre, complete_job
from weir.cli.endings import ending, exit_code, state_words, submission_ending, submission_exit_code
from weir.cli.explanation import explanation_lines
from weir.cli.job import output_target
from weir.cli.session import aligned_columns
from weir.cli.watch import event_lines
from weir.client import UnreachableError
from weir.model.change import ChangeKind
from weir.model.problem import ProblemError
from weir.model.view import (
    AttemptView,
    EventView,
    ExplanationView,
    JobView,
    OutputView,
    PoolReasonView,
    SubmissionPage,
    SubmissionView,
    TermsView,
)

ID = "k7m2q9xw4tcd"
ATTEMPT = AttemptView(f"{ID}-1", 1, "hefei", "a100", "a100", 1, "run", "ended", 0, signal=11)
JOB = JobView(
    ID, "train", "org", "vision", "Li", "succeeded", "normal", 0, 60_000, centre="hefei", pool="a100"
)
ARRAY = SubmissionView(ID, "", "org", "vision", "Li", 0, 3, True, {"succeeded": 2, "failed": 1}, True)


@pytest.mark.parametrize(
    ("changes", "code", "line", "column"),
    [
        ({}, 0, f"{ID} succeeded at hefei/a100", "succeeded"),
        (
            {"state": "failed", "cause": "exit", "exit_code": 7, "message": "ended with code 7"},
            7,
            f"{ID} failed at hefei/a100: ended with code 7",
            "failed (exit 7)",
        ),
        (
            {"state": "failed", "cause": "signal", "attempts": (ATTEMPT,)},
            139,
            f"{ID} failed (signal) at hefei/a100",
            "failed (signal)",
        ),
        ({"state": "failed", "cause": "start"}, 127, f"{ID} failed (start) at hefei/a100", "failed (start)"),
        ({"state": "failed", "cause": "time-limit"}, 124, None, "failed (time-limit)"),
        ({"state": "failed", "cause": "out-of-memory"}, 137, None, "failed (out-of-memory)"),
        ({"state": "failed", "cause": "lost"}, 1, None, "failed (lost)"),
        ({"state": "failed", "cause": "exit", "exit_code": 0}, 1, None, "failed (exit 0)"),
        ({"state": "cancelled", "cause": "cancelled"}, 130, f"{ID} cancelled at hefei/a100", "cancelled"),
        (
            {"state": "cancelled", "cause": "dependency", "pool": "", "message": "a job failed"},
            3,
            f"{ID} cancelled: a job failed",
            "cancelled (dependency)",
        ),
        ({"state": "queued", "message": "waits"}, 1, f"{ID} queued: waits", "queued"),
    ],
)
def test_an_ending(changes: Mapping[str, Any], code: int, line: str | None, column: str) -> None:
    job = replace(JOB, **changes)
    assert code == exit_code(job)
    assert column == state_words(job)
    if line is not None:
        assert line == ending(job)


def test_the_ending_of_an_array() -> None:
    assert f"{ID} 2 succeeded, 1 failed" == submission_ending(ARRAY)
    assert 1 == submission_exit_code(ARRAY)
    assert 0 == submission_exit_code(replace(ARRAY, states={"succeeded": 3}))
    assert 0 == submission_exit_code(replace(ARRAY, job=JOB))


def test_an_explanation_has_one_thing_a_line() -> None:
    explanation = ExplanationView(
        ID,
        "queued",
        "it is number 2 of 5 in the queue",
        as_of_position=42,
        as_of_ms=0,
        position=2,
        queued=5,
        waits_for=("abc (running)",),
        pools=(
            PoolReasonView("hefei/a100", "fails", "stack", "cann", "cuda"),
            PoolReasonView(
                "wuhu/910b",
                "full",
                terms=TermsView(60_000, 2_000, 1_500_000, 2_500_000, 12_345),
                note="room for 0",
            ),
        ),
    )
    assert [
        f"{ID} queued: it is number 2 of 5 in the queue",
        "  waits for abc (running)",
        "  hefei/a100  fails     stack: it needs cann, and there is cuda",
        (
            "  wuhu/910b   full      score 12,345 (lower is better), runs up to 1m00s, data there in 2.0s,"
            " costs up to ¥1.50, emits 2.5 kg CO2; room for 0"
        ),
        "as of 1970-01-01T00:00:00.000Z, position 42 of the change log",
    ] == explanation_lines(explanation)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (ChangeKind.SUBMITTED, {"submission": ID, "size": 1}, [ID]),
        (ChangeKind.SUBMITTED, {"submission": ID, "size": 9}, [f"{ID} (9 jobs)"]),
        (
            ChangeKind.MOVED,
            {"moves": [[ID, None, 1, "placed"], [ID, 3, 1, "running"], [ID, 4, 5, "failed"]]},
            [f"{ID} is placed", f"{ID}.3 is running", f"{ID}.4 to .8 is failed"],
        ),
        (ChangeKind.EDITED, {"jobs": [[ID, 0, 2]]}, [f"{ID}.0 to .1"]),
        (ChangeKind.CENTRE, {"centre": "hefei"}, ["centre hefei"]),
        (ChangeKind.PROVINCE, {"centres": ["hefei", "wuhu"]}, ["centres hefei, wuhu"]),
        (ChangeKind.CYCLE, {"through": 7, "starts": 2, "plan": "x"}, ["through 7, 2 started"]),
    ],
)
def test_changes_in_words(kind: ChangeKind, body: Mapping[str, Any], said: list[str]) -> None:
    before = f"1970-01-01T00:00:00.000Z  {kind.value:<10} "
    assert [before + words for words in said] == event_lines(EventView(1, 0, kind, body))


def test_columns_are_aligned_by_what_they_take_on_the_screen() -> None:
    assert ["ID   NAME  X", "a    南方  1", "bbb  x     2"] == aligned_columns(
        [("ID", "NAME", "X"), ("a", "南方", "1"), ("bbb", "x", "2")]
    )


def test_outputs_of_several_jobs_lie_apart_and_none_leaves_the_folder() -> None:
    file = OutputView(f"{ID}.1", "model/a.json", 1, "00")
    assert Path("to/model/a.json") == output_target(Path("to"), file, alone=True)
    assert Path(f"to/{ID}.1/model/a.json") == output_target(Path("to"), file, alone=False)
    with pytest.raises(ProblemError, match=r"without '\.\.'"):
        output_target(Path("to"), replace(file, path="../x"), alone=True)


class _Listing:
    def jobs(self, *, limit: int) -> SubmissionPage:
        return SubmissionPage((ARRAY, replace(ARRAY, id="zzzz", name="other")))


def test_ids_are_completed_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weir.cli.completion.client", _Listing)
    assert [(ID, "")] == list(complete_job("k7"))
    assert [(ID, ""), ("zzzz", "other")] == list(complete_job(""))


def test_completion_is_silent_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> _Listing:
        raise UnreachableError("nobody is there")

    monkeypatch.setattr("weir.cli.completion.client", away)
    assert [] == [*complete_job(""), *complete_centre("")]
