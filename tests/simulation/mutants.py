"""Faults put into control and agents on purpose, each of which some history must notice.

A mutant is a way to break Weir: a function that puts the fault in by a MonkeyPatch.
"""

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection

from tests.simulation import centre as simulated_centre
from tests.simulation import server as simulated_server
from tests.simulation.world import SHARED_SEEDS
from weir.agents.inputs import SubmitUnknown
from weir.agents.lifecycle import Lifecycle
from weir.agents.machine import Machine
from weir.agents.record import Batch, MemoryRecord, Phase
from weir.control import applier, dependencies, leader, liveness, reports, snapshot, withdrawals
from weir.control.pools import Pools, load_pools
from weir.control.sharing import Shared
from weir.control.snapshot import Snapshot
from weir.control.withdrawals import Withdrawal
from weir.engines.driver import AttemptOrder
from weir.model.agent import PullAnswer
from weir.model.state import Cause, Desired
from weir.store import Transaction

Mutant = Callable[[pytest.MonkeyPatch], None]


def rewritten(function: Any, *changes: tuple[str, str]) -> Any:
    """The same function with some of its source text changed."""
    source = inspect.getsource(function)
    for before, after in changes:
        assert before in source, f"{function.__name__} does not say {before!r} any more"
        source = source.replace(before, after)
    made: dict[str, Any] = {}
    exec(compile(source, f"<{function.__name__}, rewritten>", "exec"), function.__globals__, made)  # noqa: S102 - a mutant
    return made[function.__name__]


def server_forgets_report_numbers(patch: pytest.MonkeyPatch) -> None:
    """A late report counts like a new one."""
    report = rewritten(
        reports.report,
        ("told.incarnation < here.agent_incarnation", "False"),
        ("told.incarnation == here.agent_incarnation and told.number <= here.report_number", "False"),
    )
    patch.setattr(simulated_server, "report", report)


def agent_submits_again_after_a_lost_answer(patch: pytest.MonkeyPatch) -> None:
    """Instead of searching the engine."""

    def submit_unknown(self: Lifecycle, answer: SubmitUnknown) -> None:
        for name in answer.attempts:
            one = self._attempts.get(name)
            if one is not None and one.work is not None:
                order = AttemptOrder(
                    one.id, one.job, one.epoch, one.array_index, one.work, one.nodes, self._root / one.id
                )
                self._agenda.orders.append(order)

    patch.setattr(Lifecycle, "submit_unknown", submit_unknown)


def agent_takes_a_lost_answer_for_a_refusal(patch: pytest.MonkeyPatch) -> None:
    """What was accepted runs on, and is called lost."""

    def submit_unknown(self: Lifecycle, answer: SubmitUnknown) -> None:
        for name in answer.attempts:
            one = self._attempts.get(name)
            if one is not None and one.phase is Phase.SUBMITTED:
                self._end_unstarted(one, Cause.LOST, "no answer")

    patch.setattr(Lifecycle, "submit_unknown", submit_unknown)


def agent_takes_absence_for_a_stop(patch: pytest.MonkeyPatch) -> None:
    """What a full answer does not list is stopped."""
    original = Machine._pull_answered

    def pull_answered(self: Machine, number: int, answer: PullAnswer) -> None:
        original(self, number, answer)
        listed = {wanted.attempt for wanted in answer.attempts}
        for one in list(self._attempts) if answer.full else []:
            if one.id not in listed and one.phase < Phase.COLLECTING and one.desired is Desired.RUN:
                self._lifecycle._stop(replace(one, desired=Desired.STOPPED), "not listed")

    patch.setattr(Machine, "_pull_answered", pull_answered)


def agent_acts_before_it_commits(patch: pytest.MonkeyPatch) -> None:
    """A crash forgets what the last step had decided."""
    fields = tuple(name for name in vars(MemoryRecord()) if name.startswith("_"))

    def commit(self: Any, batch: Batch) -> None:
        self.before()
        self.before_the_last = {name: copy(getattr(self, name)) for name in fields}
        MemoryRecord.commit(self, batch)
        self.after()

    def killed(self: Any) -> None:
        vars(self.record).update(getattr(self.record, "before_the_last", {}))
        original(self)

    original = simulated_centre.Agent.killed
    patch.setattr(simulated_centre.FragileRecord, "commit", commit)
    patch.setattr(simulated_centre.Agent, "killed", killed)


def agent_forgets_what_has_ended(patch: pytest.MonkeyPatch) -> None:
    """A restored server can start it once more."""
    patch.setattr(MemoryRecord, "past_end", lambda self, attempt: None)


def control_ignores_what_abandoned_attempts_hold(patch: pytest.MonkeyPatch) -> None:
    """Their nodes are given to others while they still run."""
    patch.setattr(Snapshot, "_haunt", lambda self, connection: ([], []))


def control_gives_up_too_early(patch: pytest.MonkeyPatch) -> None:
    """A centre that was silent for a moment has its jobs started elsewhere."""
    original = liveness.look

    def look(
        connection: Connection, now_ms: int, since_ms: int, patience: liveness.Patience
    ) -> liveness.Silence:
        return original(connection, now_ms, since_ms, liveness.Patience(1_000, 1_000))

    patch.setattr(liveness, "look", look)


def control_does_not_wait_for_centres_after_a_restore(patch: pytest.MonkeyPatch) -> None:
    """It places before it was told what runs."""

    def load(connection: Connection) -> Pools:
        pools = load_pools(connection)
        rows = tuple(
            replace(row, closed_because="") if row.closed_because.startswith("nothing is placed") else row
            for row in pools.rows
        )
        return replace(pools, rows=rows)

    patch.setattr(snapshot, "load_pools", load)
    patch.setattr(applier, "load_pools", load)


def control_does_not_check_its_lease(patch: pytest.MonkeyPatch) -> None:
    """A leader that was replaced goes on placing."""
    patch.setattr(leader, "check", lambda connection, held: None)


def control_trusts_its_snapshot(patch: pytest.MonkeyPatch) -> None:
    """A start is made whatever has become of the job meanwhile."""

    def checked(connection: Connection, pools: Any, starts: Any, versions: Any, now_ms: int) -> Any:
        rows = {row.number: row for row in connection.execute(applier._JOBS, {"jobs": _listed(starts)})}
        return {start: rows[start.job].epoch for start in starts}, ()

    patch.setattr(applier, "_checked", checked)


def control_lets_any_number_wait(patch: pytest.MonkeyPatch) -> None:
    """Whatever a shared pool's centre has said."""
    patch.setattr(Shared, "may_be_sent", property(lambda self: None))


def control_places_anew_before_a_withdrawal_is_confirmed(patch: pytest.MonkeyPatch) -> None:
    """What waits may start while its job is started elsewhere."""

    def withdraw(tx: Transaction, taken_back: Sequence[Withdrawal], now_ms: int) -> None:
        liveness.abandon(tx, [(each.key, each.centre) for each in taken_back], now_ms)

    patch.setattr(withdrawals, "withdraw", withdraw)


def agent_cancels_what_it_is_to_take_back(patch: pytest.MonkeyPatch) -> None:
    """Also what has started."""
    patch.setattr(Lifecycle, "_ask_back", lambda self, attempt: attempt and self._cancel(attempt.id))


def dependants_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What comes after a job that ended is never told."""
    patch.setattr(dependencies, "settle", lambda connection, ended: [])


def _listed(starts: Any) -> str:
    return f"[{','.join(str(start.job) for start in starts)}]"


MUTANTS: dict[Mutant, tuple[int, ...]] = {
    server_forgets_report_numbers: (2,),
    agent_submits_again_after_a_lost_answer: (1,),
    agent_takes_a_lost_answer_for_a_refusal: (9,),
    agent_takes_absence_for_a_stop: (15,),
    agent_acts_before_it_commits: (4,),
    agent_forgets_what_has_ended: (4, 11),
    control_ignores_what_abandoned_attempts_hold: (572, 140, 172),
    control_gives_up_too_early: (2,),
    control_does_not_wait_for_centres_after_a_restore: (10,),
    control_does_not_check_its_lease: (33, 48, 66),
    control_trusts_its_snapshot: (31,),
    dependants_are_forgotten: (1,),
    control_lets_any_number_wait: (SHARED_SEEDS,),
    control_places_anew_before_a_withdrawal_is_confirmed: (SHARED_SEEDS,),
    agent_cancels_what_it_is_to_take_back: (SHARED_SEEDS,),
}
"""Each with the seeds that are known to notice it, which are tried first."""

__all__ = ["MUTANTS", "Mutant"]
