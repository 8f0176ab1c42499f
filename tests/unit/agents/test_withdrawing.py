"""What an agent does about an attempt that is to be taken back unless it has started."""

from tests.unit.agents.centre import Centre
from weir.agents.effects import Fetch, SendPull, Submit, Withdraw
from weir.agents.inputs import Fetched, SubmitUnknown
from weir.model.agent import InputFile
from weir.model.state import Cause, Observed

ONE = "aaaaaaaaaaaa-1"
TWO = "aaaaaaaaaaaa-2"
FILE = InputFile("data", "0" * 64, 4)


def waiting(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle()
    assert Observed.QUEUED is centre.server.observed[ONE]


def test_what_waits_in_the_engine_is_taken_back_and_never_starts(centre: Centre) -> None:
    waiting(centre)
    centre.server.take_back(ONE)
    centre.settle()
    end = centre.server.ends[ONE]
    assert (Cause.CANCELLED, None) == (end.cause, end.started_ms)
    assert {} == centre.engine.started
    centre.server.run(TWO)
    centre.settle()
    assert [ONE, TWO] == centre.submitted


def test_what_has_started_goes_on(centre: Centre) -> None:
    waiting(centre)
    centre.engine.begin(ONE)  # nobody knows of that yet
    centre.server.take_back(ONE)
    centre.settle()
    assert Observed.RUNNING is centre.server.observed[ONE]
    centre.later(60_000)
    assert not centre.asked(Withdraw)
    centre.finish(ONE)
    assert (None, []) == (centre.server.ends[ONE].cause, centre.engine.cancelled)


def test_the_engine_is_asked_until_it_has_said_either(centre: Centre) -> None:
    waiting(centre)
    centre.server.take_back(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    for _ in range(3):
        assert (ONE,) == centre.take(Withdraw).attempts
        centre.later(5_000)
    centre.start()  # another life of the agent is told again
    centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause


def test_what_the_engine_never_had_ends_at_once(centre: Centre) -> None:
    centre.server.run(ONE, inputs=(FILE,))
    centre.settle(lambda effect: isinstance(effect, SendPull))
    assert centre.asked(Fetch)
    centre.server.take_back(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.give(Fetched(ONE))
    centre.settle()
    assert (Cause.CANCELLED, []) == (centre.server.ends[ONE].cause, centre.submitted)


def test_one_that_was_never_heard_of_never_starts(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.server.take_back(ONE)
    centre.settle()
    assert (Cause.CANCELLED, []) == (centre.server.ends[ONE].cause, centre.submitted)


def test_one_whose_submission_is_in_doubt_is_asked_for_before_it_is_taken_back(centre: Centre) -> None:
    centre.server.run(ONE)
    centre.settle(lambda effect: isinstance(effect, SendPull))
    centre.take(Submit)
    centre.engine.submit(ONE)  # it arrived, and the answer did not
    centre.give(SubmitUnknown((ONE,), "no answer"))
    centre.server.take_back(ONE)
    centre.settle()
    for _ in range(3):
        centre.later(10_000)
        centre.settle()
    assert Cause.CANCELLED is centre.server.ends[ONE].cause
    assert {} == centre.engine.started
