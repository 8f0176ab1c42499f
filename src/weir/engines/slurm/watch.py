"""Watching what was handed over: one reading of Slurm for all of it, and what the nodes have recorded."""

import pwd
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from weir.engines.driver import EngineState, EngineUnreachableError
from weir.engines.slurm.node.run import DUPLICATE
from weir.engines.slurm.parcel import COMMENT, is_attempt, is_batch
from weir.engines.slurm.port import Cluster, JobRow
from weir.engines.slurm.roll import Roll
from weir.engines.slurm.settings import Settings
from weir.engines.slurm.states import (
    RecordedRun,
    engine_end,
    has_ended,
    is_held_by_slurm,
    is_waiting,
    recorded_end,
    waiting_message,
)
from weir.engines.slurm.tracked import Phase, Tracked
from weir.engines.slurm.users import Users
from weir.model.state import Cause, Observed

__all__ = ["Watch"]

_SHARE = 0.02
"""At most so much of the controller's time goes into readings."""
_SETTLE_S, _SETTLE_AGAIN_S = 30.0, 3.0
"""A job whose submission got no answer may come to exist so much later: longer than Slurm's own patience with a
message. The shorter one is for what was ordered once more, where the claim keeps the second job from running too."""
_MISSING_S = 8.0
_LAG_S = 2.0
"""A record may be seen so much later than its job's end."""
_BACK_S = 10.0
_ASK_AGAIN_S = 30.0
_ROUGHLY_AFTER_S = 10.0
"""So long after its grace, what was told to stop and has not is ended by Slurm."""

_OUTLIVES_S = 30.0
"""An attempt's end is recorded just before its job ends; a job that lives on for so long is ended by Slurm."""

_CLAIM = re.compile(r"([0-9]{1,10})(?:_([0-9]{1,9}))?")
_Index = Mapping[tuple[int, int | None], JobRow]


@dataclass(slots=True)
class _Wanted:
    """What a reading leaves to be asked or done."""

    codes: list[tuple[Tracked, JobRow]] = field(default_factory=list)
    missing: list[Tracked] = field(default_factory=list)
    cancel: list[str] = field(default_factory=list)


class Watch:
    """Finds out how attempts stand. `work` is called often, by one thread at a time, and knows when to do what."""

    def __init__(
        self, roll: Roll, cluster: Cluster, settings: Settings, users: Users, attempts: Path
    ) -> None:
        """`attempts` is where an attempt that is in no record has its folder."""
        self._roll = roll
        self._cluster = cluster
        self._settings = settings
        self._users = users
        self._attempts = attempts
        self._partitions = {pool.partition for pool in settings.pools.values()}
        self._due_s = 0.0
        self._not_before_s = 0.0
        self._batches: dict[str, list[JobRow]] = {}
        self._outlived: dict[str, float] = {}
        """Attempts that have ended while Slurm was not heard to end their jobs, and since when (monotonic)."""
        self.strays: frozenset[str] = frozenset()
        """Attempts that live in Slurm and are in no record here."""
        self.trouble = "Slurm was not asked yet"
        """Why nothing is known of the present; empty while Slurm answers."""
        self.reading_s = 0.0
        """How long the last reading took."""

    def work(self) -> None:
        """Take in what nodes have left, read Slurm's list when it is time, end what does not end by itself."""
        with self._roll.lock:
            self.hear()
            self._roll.save()
            roughly = self._overdue()
            live = any(self._roll.attempts[name].at_slurm for name in self._roll.live) or self._outlived
        now = time.monotonic()
        if (live or self.trouble) and now >= max(self._due_s, self._not_before_s):
            try:
                self.read()
            except EngineUnreachableError:
                return
        if roughly:
            self._cancel(roughly)

    def soon(self) -> None:
        """There is a reason to read as soon as the controller's share of time lets it."""
        self._due_s = 0.0

    def next_s(self) -> float:
        """Monotonic: when the next reading may be due."""
        return max(self._due_s, self._not_before_s)

    def read(self) -> None:
        """One reading of all of Weir's jobs. Raises EngineUnreachableError, and then nothing has changed."""
        began = time.monotonic()
        try:
            rows = self._cluster.jobs(self._user_names())
        except EngineUnreachableError as error:
            self.trouble = str(error) or "Slurm does not answer"
            self._pace(began)
            raise
        self.trouble = ""
        with self._roll.lock:
            wanted = self._take(rows, began)
            self._roll.save()
        self._pace(began)
        try:
            self._ask(wanted)
        finally:
            with self._roll.lock:
                self._roll.save()

    def hear(self) -> None:
        """Take in what nodes have left since; the caller holds the roll's lock."""
        for folder in self._roll.folders():
            for name in folder.news():
                tracked = self._roll.attempts.get(name)
                if tracked is not None and not tracked.ended:
                    self._look(tracked)

    def adopt(self, name: str) -> Tracked | None:
        """Take up an attempt that is in no record though Slurm has it; None where it has none, or it was forgotten."""
        for batch, rows in self._batches.items():
            for row in rows:
                for place, attempt in self._names(batch, row):
                    if attempt == name and not self._roll.record.is_forgotten(name):
                        return self._adopted(name, batch, place, row)
        return None

    def _user_names(self) -> list[str]:
        """As whom work may run, and as whom it still does though the centre maps it no longer."""
        names = {user.name: None for user in self._users.everybody}
        with self._roll.lock:
            others = {self._roll.attempts[name].user for name in self._roll.live} - names.keys()
        # Slurm answers nothing at all where one of the users does not exist.
        return [*names, *sorted(name for name in others if _uid_of(name) is not None)]

    def _pace(self, began: float) -> None:
        now = time.monotonic()
        self.reading_s = now - began
        pause = self.reading_s * (1 / _SHARE - 1)
        self._not_before_s = now + min(pause, self._settings.most_poll_ms / 1_000)
        least, most = self._settings.least_poll_ms / 1_000, self._settings.most_poll_ms / 1_000
        self._due_s = now + min(max(pause, least), most)

    def _look(self, tracked: Tracked) -> RecordedRun | None:
        """See what the node has recorded, and draw what conclusions that alone allows."""
        record = self._roll.folder(tracked).record(tracked.folder, tracked.uid)
        if record is None:
            return None
        if (end := recorded_end(record)) is not None:
            if tracked.at_slurm:
                self._outlived.setdefault(tracked.attempt, time.monotonic())
            self._roll.settle(tracked, end)
        else:
            self._started(tracked, record)
            if record.ended:
                self.soon()
        return record

    def _started(self, tracked: Tracked, record: RecordedRun) -> None:
        if tracked.state.observed < Observed.RUNNING and record.started_ms is not None:
            self._roll.show(
                tracked, EngineState(tracked.attempt, Observed.RUNNING, started_ms=record.started_ms)
            )

    def _take(self, rows: Sequence[JobRow], began: float) -> _Wanted:
        wanted = _Wanted()
        index: dict[tuple[int, int | None], JobRow] = {}
        batches: dict[str, list[JobRow]] = {}
        for row in rows:
            for element in row.indexes or (None,):
                index[row.array, element] = row
            name = row.comment.removeprefix(COMMENT)
            if row.comment.startswith(COMMENT) and is_batch(name):
                batches.setdefault(name, []).append(row)
        self._batches = batches
        for name in list(self._roll.live):
            tracked = self._roll.attempts[name]
            if tracked.sent_s > began:
                continue  # it was handed over after the question
            if tracked.phase is Phase.SENDING:
                self._search(tracked, batches, began)
            if tracked.phase is Phase.SENT:
                own = _own_row(tracked, index)
                if own is None:
                    self._missing(tracked, wanted)
                else:
                    self._judge(tracked, own, wanted)
        self._note_strays(batches, wanted)
        return wanted

    def _search(self, tracked: Tracked, batches: Mapping[str, Sequence[JobRow]], began: float) -> None:
        """Whether Slurm has what it was handed without an answer."""
        found = batches.get(tracked.batch)
        if found:
            tracked.job, tracked.submitted_s = found[0].array, found[0].submit_s
            self._roll.move(tracked, Phase.SENT)
        elif tracked.again and began - tracked.sent_s > _SETTLE_AGAIN_S:
            self._roll.move(tracked, Phase.HELD_BACK)
        elif began - tracked.sent_s > _SETTLE_S:
            self._give_up(tracked, "it was handed to Slurm, which has no job of it")

    def _judge(self, tracked: Tracked, row: JobRow, wanted: _Wanted) -> None:
        tracked.missing_s = None
        if not has_ended(row.state):
            tracked.ended_s = None
        if (tracked.own, tracked.submitted_s) != (row.job, row.submit_s):
            tracked.own, tracked.submitted_s = row.job, row.submit_s
            self._roll.changed_job(tracked)
        if is_waiting(row.state):
            if is_held_by_slurm(row) and (tracked.order is None or tracked.order.work.restartable):
                self._take_back(tracked, wanted)
            elif tracked.state.observed < Observed.RUNNING:
                self._roll.show(tracked, tracked.waits(waiting_message(row)))
            return
        if not has_ended(row.state):
            if tracked.state.observed < Observed.RUNNING or row.state == "COMPLETING":
                record = self._look(tracked)
                if record is None and not tracked.ended:
                    self._roll.show(tracked, tracked.waits("Slurm is starting it"))
            return
        self._conclude(tracked, row, wanted)

    def _conclude(self, tracked: Tracked, row: JobRow, wanted: _Wanted | None) -> None:
        """Slurm lists it as ended."""
        folder = self._roll.folder(tracked)
        record = folder.record(tracked.folder, tracked.uid)
        if row.exit_code is None and row.state == "FAILED" and record is None and wanted is not None:
            wanted.codes.append((tracked, row))
            return
        claimed = folder.claimed_by(tracked.folder, tracked.uid)
        duplicate = row.exit_code == DUPLICATE and claimed != tracked.number
        if duplicate and self._follow(tracked, claimed):
            return
        if claimed and self._too_early(tracked, row, record):
            self.soon()
            return
        if record is None or not record.ended:
            # Slurm may call lost what still runs, or starts late, on a node that does not hear it.
            folder.stop(tracked.attempt)
        now_ms = self._roll.clock()
        end = engine_end(row, record, stopped=tracked.stopping, now_ms=now_ms, claimed=bool(claimed))
        self._roll.settle(tracked, end)

    def _too_early(self, tracked: Tracked, row: JobRow, record: RecordedRun | None) -> bool:
        """Whether Slurm's plain word may still be followed by another, or by the record of what ran."""
        if row.state not in ("COMPLETED", "FAILED"):
            return False
        lag_s = 0.0
        if record is None or not record.ended:
            lag_s = _LAG_S
        elif record.cause == "engine":
            # Slurm told it to end: while it puts it back into its queue it may call it failed.
            lag_s = _BACK_S
        now = time.monotonic()
        if tracked.ended_s is None:
            tracked.ended_s = now
        return now - tracked.ended_s < lag_s

    def _follow(self, tracked: Tracked, claimed: str) -> bool:
        """Another job of the same attempt has claimed it, and is the one that counts.

        The claim is its user's to write: it is followed to no job but one of theirs that is known to be about it.
        """
        match = _CLAIM.fullmatch(claimed)
        if match is None:
            return False
        job, element = int(match[1]), None if match[2] is None else int(match[2])
        for batch, rows in self._batches.items():
            for row in rows:
                if row.array != job or row.user not in ("", tracked.user):
                    continue
                if (element, tracked.attempt) in self._names(batch, row):
                    tracked.job, tracked.element, tracked.batch = job, element, batch
                    self._roll.changed_job(tracked)
                    self.soon()
                    return True
        return False

    def _missing(self, tracked: Tracked, wanted: _Wanted) -> None:
        """Slurm does not list what it had: forgotten, or an element that was cancelled before its start."""
        self._look(tracked)
        if tracked.ended:
            return
        never = tracked.state.observed < Observed.RUNNING
        claimed = self._roll.folder(tracked).claimed_by(tracked.folder, tracked.uid)
        if (tracked.stopping or tracked.withdrawing) and never and not claimed:
            if not tracked.stopping:
                self._roll.folder(tracked).stop(tracked.attempt)  # should it come to light after all
            self._roll.end_unstarted(tracked, Cause.CANCELLED, "cancelled before its start")
            return
        now = time.monotonic()
        if tracked.missing_s is None:
            tracked.missing_s = now
            self.soon()
        if now - tracked.asked_s > _ASK_AGAIN_S or tracked.asked_s == 0.0:
            tracked.asked_s = now
            wanted.missing.append(tracked)
        elif now - tracked.missing_s > _MISSING_S:
            self._give_up(
                tracked, f"Slurm knows nothing of job {tracked.number} any more, nor of how it ended"
            )

    def _take_back(self, tracked: Tracked, wanted: _Wanted) -> None:
        """Held, as Slurm does for ever where a node could not start a job: nobody here waits for a person's word."""
        self._roll.folder(tracked).stop(tracked.attempt)
        wanted.cancel.append(tracked.number)
        message = "Slurm holds it: a node could not start it, or somebody at the centre had it held"
        self._roll.end_unstarted(tracked, Cause.NODE_FAILED, message)

    def _give_up(self, tracked: Tracked, message: str) -> None:
        """Lost; and should it come to light after all it is not to start."""
        self._roll.folder(tracked).stop(tracked.attempt)
        self._roll.end_unstarted(tracked, Cause.LOST, message)

    def _note_strays(self, batches: Mapping[str, Sequence[JobRow]], wanted: _Wanted) -> None:
        strays, outlived, now = set(), {}, time.monotonic()
        for batch, rows in batches.items():
            for row in rows:
                if has_ended(row.state) or row.partition not in self._partitions:
                    continue
                for place, name in self._names(batch, row):
                    tracked = self._roll.attempts.get(name)
                    if tracked is None and not self._roll.record.is_forgotten(name):
                        strays.add(name)
                    elif tracked is None or tracked.ended:
                        since = outlived[name] = self._outlived.get(name, now)
                        if now - since > _OUTLIVES_S or (tracked is not None and _is_lost(tracked)):
                            wanted.cancel.append(f"{row.array}_{place}" if row.indexes else str(row.job))
        self.strays, self._outlived = frozenset(strays), outlived

    def _names(self, batch: str, row: JobRow) -> Iterable[tuple[int | None, str]]:
        """The attempts that a row is about, each with its place in the array."""
        if not row.indexes:
            return ((None, batch),) if is_attempt(batch) else ()
        known = self._known_names(batch)
        return tuple((place, known[place]) for place in row.indexes if place < len(known))

    def _known_names(self, batch: str) -> list[str]:
        if self._attempts.is_dir():
            self._roll.shared(self._attempts)
        for folder in self._roll.folders():
            names = folder.batch_attempts(batch)
            if names != [batch]:
                return names
        return []

    def _adopted(self, name: str, batch: str, place: int | None, row: JobRow) -> Tracked:
        tracked = Tracked(
            name,
            pool="",
            folder=self._attempts / name,
            user=row.user,
            uid=self._uid_of_row(row),
            phase=Phase.SENT,
            state=EngineState(name, Observed.QUEUED, message="found in Slurm"),
            batch=batch,
            element=place,
            job=row.array,
        )
        self._roll.add(tracked)
        self._judge(tracked, row, _Wanted())
        return tracked

    def _uid_of_row(self, row: JobRow) -> int:
        """Whose files its folder holds; -1, whose are nobody's, where Slurm names nobody known here."""
        if not row.user and self._users.mapped is None:
            return self._users.own.uid
        if self._users.carried:
            return self._users.own.uid
        known = {user.name: user.uid for user in self._users.everybody}
        found = known[row.user] if row.user in known else _uid_of(row.user)
        return -1 if found is None else found

    def _ask(self, wanted: _Wanted) -> None:
        """What a reading left open, with the lock let go while Slurm is asked."""
        if wanted.codes:
            codes = self._cluster.exit_codes([row.job for _, row in wanted.codes])
            with self._roll.lock:
                for tracked, row in wanted.codes:
                    if not tracked.ended:
                        self._conclude(tracked, _with_code(row, codes.get(row.job)), None)
        if wanted.missing:
            rows = self._cluster.ended([tracked.own or tracked.job for tracked in wanted.missing])
            found = {(row.array, element): row for row in rows for element in row.indexes or (None,)}
            numbers = {row.job: row for row in rows}
            with self._roll.lock:
                for tracked in wanted.missing:
                    last = found.get((tracked.job, tracked.element)) or numbers.get(tracked.own)
                    # A completion file outlives the controller's state, after whose loss numbers begin anew.
                    older = last is not None and 0 < (last.end_s or 0) < tracked.submitted_s
                    if last is not None and not older and has_ended(last.state) and not tracked.ended:
                        self._conclude(tracked, last, None)
        if wanted.cancel:
            self._cluster.cancel(wanted.cancel, waiting_only=False)

    def _overdue(self) -> list[str]:
        now = time.monotonic()
        found = []
        for name in self._roll.live:
            tracked = self._roll.attempts[name]
            if tracked.stopping and tracked.phase is Phase.SENT and 0.0 < tracked.kill_s <= now:
                tracked.kill_s = now + 3 * _ROUGHLY_AFTER_S
                found.append(tracked.number)
        return found

    def _cancel(self, numbers: list[str]) -> None:
        try:
            self._cluster.cancel(numbers, waiting_only=False)
        except EngineUnreachableError as error:
            self.trouble = str(error)


def _own_row(tracked: Tracked, index: _Index) -> JobRow | None:
    """Its row, unless the number has been given to another job since."""
    row = index.get((tracked.job, tracked.element))
    if row is None or row.comment == f"{COMMENT}{tracked.batch}":
        return row
    # A centre may put words of its own in the place of a comment; then the time of submission tells.
    same = not row.comment.startswith(COMMENT) and tracked.submitted_s in (0, row.submit_s)
    return row if same else None


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _is_lost(tracked: Tracked) -> bool:
    return tracked.state.end is not None and tracked.state.end.cause is Cause.LOST


def _with_code(row: JobRow, code: int | None) -> JobRow:
    return replace(row, exit_code=-1 if code is None else code)
