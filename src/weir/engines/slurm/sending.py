"""Handing attempts over to Slurm: the intention on disk first, then the job, then its number."""

import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from weir.engines.driver import AttemptOrder, EngineUnreachableError
from weir.engines.slurm.carried import Carried
from weir.engines.slurm.parcel import batch_name, launch_of, portions, request_of, script_of
from weir.engines.slurm.port import Cluster, ClusterFacts, NotDeliveredError, NotNowError, RejectedError
from weir.engines.slurm.roll import Roll
from weir.engines.slurm.settings import Settings, chosen
from weir.engines.slurm.tracked import Phase, Tracked
from weir.engines.slurm.users import Users

__all__ = ["Sender", "Sent"]

_AT_ONCE = 32
"""So many jobs are put down as intended before the first of them is handed over."""
_NOT_NOW_S = 15.0
_ELEMENTS_AT_ONCE = 1_000


@dataclass(slots=True)
class Sent:
    """What came of handing over: attempts that Slurm refuses, with its words, and what broke it off."""

    refused: dict[str, str] = field(default_factory=dict)
    trouble: EngineUnreachableError | None = None


class Sender:
    """Moves what is held back to Slurm, as far as it is reached and the pools' own limits let it."""

    def __init__(
        self,
        roll: Roll,
        cluster: Cluster,
        facts: ClusterFacts,
        settings: Settings,
        users: Users,
        carried: Carried | None = None,
    ) -> None:
        """`carried` brings the files where nodes do not see them."""
        self._carried = carried
        self._roll = roll
        self._cluster = cluster
        self._settings = settings
        self._users = users
        self._array_limit = max(1, min(facts.limit_of_array, _ELEMENTS_AT_ONCE))
        self._one_at_a_time = threading.Lock()
        self._not_before: dict[str, float] = {}

    def send(self) -> Sent:
        """Hand over what may be. What Slurm refuses is left as it is, for the caller to end."""
        sent = Sent()
        with self._one_at_a_time:
            while sent.trouble is None:
                with self._roll.lock:
                    parcels = self._intend(sent.refused)
                if not parcels:
                    break
                for parcel in parcels:
                    self._send(parcel, sent)
                with self._roll.lock:
                    self._roll.save()
        return sent

    def _intend(self, refused: Mapping[str, str]) -> list[list[Tracked]]:
        """The next parcels, put down on disk as intended, their files laid ready."""
        parcels = self._next(refused)
        for parcel in parcels:
            name = batch_name(_orders(parcel))
            for place, tracked in enumerate(parcel):
                tracked.batch = name
                tracked.element = place if len(parcel) > 1 else None
                tracked.sent_s = math.inf  # under way: no reading says anything about it
                self._roll.move(tracked, Phase.SENDING)
        self._roll.save()
        return parcels

    def _next(self, refused: Mapping[str, str]) -> list[list[Tracked]]:
        attempts, now = self._roll.attempts, time.monotonic()
        room: dict[str, int] = {}
        chosen: list[AttemptOrder] = []
        alone: list[AttemptOrder] = []
        for name in self._roll.held_back:
            tracked = attempts[name]
            pool = self._settings.pools.get(tracked.pool)
            if name in refused or pool is None or now < self._not_before.get(tracked.pool, 0.0):
                continue
            if pool.waiting:
                if tracked.pool not in room:
                    room[tracked.pool] = pool.waiting - self._roll.waiting(tracked.pool)
                if room[tracked.pool] <= 0:
                    message = f"held back: {pool.waiting} of Weir's wait in the partition"
                    if tracked.state.message != message:  # of thousands nothing is made anew
                        self._roll.show(tracked, tracked.waits(message))
                    continue
                room[tracked.pool] -= 1
            assert tracked.order is not None
            (alone if tracked.again else chosen).append(tracked.order)
        found = [*portions(chosen, self._array_limit), *([order] for order in alone)]
        return [[attempts[order.attempt] for order in orders] for orders in found[:_AT_ONCE]]

    def _send(self, parcel: list[Tracked], sent: Sent) -> None:
        if sent.trouble is not None:
            self._hold_back(parcel, str(sent.trouble))
            return
        try:
            number = self._hand_over(parcel)
        except RejectedError as error:
            sent.refused |= {tracked.attempt: str(error) for tracked in parcel}
            self._hold_back(parcel, str(error))
        except NotNowError as error:
            self._not_before[parcel[0].pool] = time.monotonic() + _NOT_NOW_S
            self._hold_back(parcel, f"Slurm takes no more at present: {error}")
        except NotDeliveredError as error:
            sent.trouble = error
            self._hold_back(parcel, str(error))
        except EngineUnreachableError as error:
            sent.trouble = error
            with self._roll.lock:
                for tracked in parcel:
                    tracked.sent_s = time.monotonic()
        else:
            with self._roll.lock:
                for tracked in parcel:
                    tracked.job, tracked.sent_s = number, time.monotonic()
                    self._roll.move(tracked, Phase.SENT)
                    self._roll.show(tracked, tracked.waits(f"handed to Slurm as job {tracked.number}"))

    def _hand_over(self, parcel: list[Tracked]) -> int:
        orders = _orders(parcel)
        first = parcel[0]
        pool = chosen(self._settings.pools[first.pool], orders[0].work.options)
        # The mapping may have changed since it was accepted: what it no longer allows must not run as anybody.
        user = self._users.of(orders[0].work.account)
        owner = None if user is None else self._users.owner(user)
        if user is None or owner is None or (user.name, owner.uid) != (first.user, first.uid):
            raise RejectedError(f"this centre no longer runs work as {first.user} for this account")
        folder = self._roll.folder(first)
        try:
            for tracked in parcel:
                folder.prepare(tracked.attempt, tracked.folder, owner.uid, owner.gid)
            launch = launch_of(orders, self._settings, pool, folder.stops, folder.news_folder)
            if self._carried is not None:
                launch["door"] = self._carried.lodge(orders, first.batch, self._settings.node_folder)
            batch = folder.write_batch(first.batch, launch, owner.uid, owner.gid)
            if self._carried is not None:
                script = self._carried.script(first.batch, batch, self._settings)
            else:
                script = script_of(self._settings.python, folder.program, batch)
        except FileNotFoundError as error:
            raise RejectedError(f"the attempt's folder was removed before its start: {error}") from error
        except OSError as error:
            raise NotDeliveredError(f"the attempt's folder cannot be made ready: {error}") from error
        name = "" if user == self._users.own else user.name
        carried = self._carried is not None
        return self._cluster.submit(request_of(orders, pool, name, script, user.gid, carried=carried))

    def _hold_back(self, parcel: list[Tracked], message: str) -> None:
        with self._roll.lock:
            for tracked in parcel:
                self._roll.move(tracked, Phase.HELD_BACK)
                self._roll.show(tracked, tracked.waits(message))


def _orders(parcel: Sequence[Tracked]) -> list[AttemptOrder]:
    return [tracked.order for tracked in parcel if tracked.order is not None]
