"""The state of a job is a function of its facts, and moves only as the table says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.model.state import (
    LEGAL_MOVES,
    REPEATABLE,
    AttemptFacts,
    Cause,
    Dependencies,
    Desired,
    JobFacts,
    JobState,
    Observed,
    job_state,
)

causes = st.one_of(st.none(), st.sampled_from(Cause))
attempts = st.builds(
    lambda desired, observed, cause: AttemptFacts(
        desired, observed, cause if observed is Observed.ENDED else None
    ),
    st.sampled_from(Desired),
    st.sampled_from(Observed),
    causes,
)
facts = st.builds(
    JobFacts,
    cancelled=st.booleans(),
    held=st.booleans(),
    dependencies=st.sampled_from(Dependencies),
    attempt=st.one_of(st.none(), attempts),
    attempts_left=st.booleans(),
    centre_reachable=st.booleans(),
)


@given(facts)
def test_every_combination_of_facts_has_a_state_and_only_ends_without_success_have_a_cause(
    given_facts: JobFacts,
) -> None:
    state, cause = job_state(given_facts)
    assert (cause is not None) == (state in (JobState.FAILED, JobState.CANCELLED))


@given(facts)
def test_a_job_without_an_attempt_is_never_placed_and_one_with_an_unended_attempt_always_is(
    given_facts: JobFacts,
) -> None:
    state, _ = job_state(given_facts)
    attempt = given_facts.attempt
    if attempt is None:
        assert not state.placed
    elif attempt.observed is not Observed.ENDED and attempt.desired is not Desired.ABANDONED:
        assert state.placed


@given(facts)
def test_success_is_never_lost_to_a_late_cancel(given_facts: JobFacts) -> None:
    succeeded = replace(
        given_facts, attempt=AttemptFacts(Desired.STOPPED, Observed.ENDED, None), cancelled=True
    )
    assert (JobState.SUCCEEDED, None) == job_state(succeeded)


@pytest.mark.parametrize("cause", [cause for cause in Cause if cause in REPEATABLE])
def test_a_loss_that_is_not_the_jobs_own_queues_it_again_while_attempts_are_left(cause: Cause) -> None:
    ended = JobFacts(attempt=AttemptFacts(Desired.RUN, Observed.ENDED, cause), attempts_left=True)
    assert (JobState.QUEUED, None) == job_state(ended)
    assert (JobState.HELD, None) == job_state(replace(ended, held=True))
    assert (JobState.FAILED, cause) == job_state(replace(ended, attempts_left=False))
    assert (JobState.CANCELLED, Cause.CANCELLED) == job_state(replace(ended, cancelled=True))


def test_a_failure_of_its_own_is_final_even_with_attempts_left() -> None:
    for cause in set(Cause) - REPEATABLE - {Cause.CANCELLED, Cause.DEPENDENCY, Cause.WITHDRAWN}:
        ended = JobFacts(attempt=AttemptFacts(Desired.RUN, Observed.ENDED, cause), attempts_left=True)
        assert (JobState.FAILED, cause) == job_state(ended)


def test_what_was_taken_back_is_queued_again_whatever_attempts_are_left() -> None:
    for left in (False, True):
        ended = JobFacts(
            attempt=AttemptFacts(Desired.RUN, Observed.ENDED, Cause.WITHDRAWN), attempts_left=left
        )
        assert (JobState.QUEUED, None) == job_state(ended)
        assert (JobState.HELD, None) == job_state(replace(ended, held=True))
        assert (JobState.CANCELLED, Cause.CANCELLED) == job_state(replace(ended, cancelled=True))


def test_a_lost_centre_makes_its_jobs_unknown_until_they_are_given_up() -> None:
    running = AttemptFacts(Desired.RUN, Observed.RUNNING)
    assert (JobState.UNKNOWN, None) == job_state(JobFacts(attempt=running, centre_reachable=False))
    given_up = replace(running, desired=Desired.ABANDONED)
    assert (JobState.QUEUED, None) == job_state(
        JobFacts(attempt=given_up, attempts_left=True, centre_reachable=False)
    )
    assert (JobState.FAILED, Cause.CENTRE_LOST) == job_state(
        JobFacts(attempt=given_up, centre_reachable=False)
    )


single_changes = st.sampled_from(
    [
        "cancel",
        "hold",
        "release",
        "met",
        "dependency failed",
        "observe",
        "end",
        "stop",
        "abandon",
        "lose",
        "return",
    ]
)


@given(
    facts.filter(lambda f: f.attempt is None or f.dependencies is Dependencies.MET), single_changes, causes
)
def test_one_change_of_facts_makes_a_legal_move(before: JobFacts, change: str, cause: Cause | None) -> None:
    """What really happens changes one fact at a time; each such change is a move of the table, or none."""
    if job_state(before)[0].ended:
        return
    after = _changed(before, change, cause)
    old, new = job_state(before)[0], job_state(after)[0]
    assert old is new or new in LEGAL_MOVES[old], f"{old.name} → {new.name} by {change}"


def test_an_ended_job_never_moves() -> None:
    assert all(not LEGAL_MOVES[state] for state in JobState if state.ended)
    assert set(LEGAL_MOVES) == set(JobState)


def _changed(before: JobFacts, change: str, cause: Cause | None) -> JobFacts:
    attempt = before.attempt
    if change == "cancel":
        return replace(before, cancelled=True)
    if change in ("hold", "release") and attempt is None:
        return replace(before, held=change == "hold")
    if change == "met" and before.dependencies is Dependencies.UNMET:
        return replace(before, dependencies=Dependencies.MET)
    if change == "dependency failed" and before.dependencies is Dependencies.UNMET:
        return replace(before, dependencies=Dependencies.FAILED)
    if change in ("lose", "return"):
        return replace(before, centre_reachable=change == "return")
    if attempt is None or attempt.observed is Observed.ENDED:
        return before
    if change == "observe":
        return replace(before, attempt=replace(attempt, observed=Observed(min(attempt.observed + 1, 3))))
    if change == "end":
        return replace(before, attempt=replace(attempt, observed=Observed.ENDED, cause=cause))
    if change == "stop" and before.cancelled:
        return replace(
            before, attempt=replace(attempt, desired=Desired(max(attempt.desired, Desired.STOPPED)))
        )
    if change == "abandon" and not before.centre_reachable:
        return replace(before, attempt=replace(attempt, desired=Desired.ABANDONED))
    return before
