"""What is known of Weir's Jobs and their pods: kept up by two watches, judged, and told as states."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from pathlib import Path

from weir.engines.driver import EngineState, EngineUnreachableError
from weir.engines.kubernetes.api import Api, ApiError, Plain
from weir.engines.kubernetes.manifest import ATTEMPT, OWNER
from weir.engines.kubernetes.parsing import JobFacts, PodFacts, Stop, read_job, read_pod
from weir.engines.kubernetes.state import judge
from weir.engines.kubernetes.tracked import EndNotes, Tracked
from weir.engines.kubernetes.watching import Watcher
from weir.engines.others_files import read_part
from weir.model.state import Observed

__all__ = ["Mirror"]

_FIRST_SYNC_S = 10.0
_MOST_WORDS = 4_096
"""Bytes; as many as Kubernetes keeps."""


class Mirror:
    """The attempts of one owner in one namespace. All public methods may be called from several threads."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        owner: str,
        notes: EndNotes,
        clock: Callable[[], int],
        task_uid: int,
    ) -> None:
        """`task_uid` is the user whose files in a shared folder are read."""
        self._api = api
        self._notes = notes
        self._clock = clock
        self._owner = owner
        self._task_uid = task_uid
        self.jobs_path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.pods_path = f"/api/v1/namespaces/{namespace}/pods"
        self.changed_state = threading.Condition(threading.RLock())
        self.doubts: dict[str, None] = {}
        """Attempts whose pods must be listed before their end is certain."""
        self.unsealed: dict[str, None] = {}
        """Attempts that have ended and whose Job must be deleted before that is told."""
        self.news = False
        self._changed: dict[str, None] = {}
        self._tracked: dict[str, Tracked] = {}
        self._early_pods: dict[str, dict[str, PodFacts]] = {}
        """Pods of attempts whose Job was not heard of yet."""
        self._forgotten: dict[str, str] = {}
        """Attempts by the uid of Jobs that were deleted on purpose and may still be spoken of."""
        with self.changed_state:
            for attempt in notes.attempts():
                self._recall(attempt)
        selector = f"{OWNER}={owner}"
        self._watchers = (
            Watcher(api, self.jobs_path, selector, _Jobs(self)),
            Watcher(api, self.pods_path, selector, _Pods(self)),
        )

    @property
    def trouble(self) -> str:
        """Why nothing can be said now; empty while the server answers."""
        return next((watcher.trouble for watcher in self._watchers if watcher.trouble), "")

    def reached(self) -> None:
        """Return once everything was listed. Raises EngineUnreachableError where the server does not answer."""
        until = time.monotonic() + _FIRST_SYNC_S
        for watcher in self._watchers:
            while not watcher.synced.wait(0.05):
                if self.trouble or time.monotonic() > until:
                    raise EngineUnreachableError(
                        self.trouble or "the API server takes long to list what it has"
                    )
        if self.trouble:
            raise EngineUnreachableError(self.trouble)

    def get(self, attempt: str) -> Tracked | None:
        with self.changed_state:
            return self._tracked.get(attempt)

    def live(self) -> list[str]:
        """Attempts that have not ended."""
        with self.changed_state:
            return [name for name, tracked in self._tracked.items() if not tracked.ended]

    def waiting(self) -> list[Tracked]:
        """Attempts that have not started."""
        with self.changed_state:
            return [one for one in self._tracked.values() if one.state.observed is Observed.QUEUED]

    def take_changed(self) -> list[str]:
        with self.changed_state:
            names = list(self._changed)
            self._changed.clear()
            return names

    def find(self, attempt: str, name: str) -> Tracked | None:
        """An attempt that is known, or that the server has after all; None where it definitely has none.

        Raises EngineUnreachableError.
        """
        tracked = self.get(attempt)
        if tracked is not None:
            return tracked
        try:
            plain = self._api.find(f"{self.jobs_path}/{name}")
        except ApiError as error:
            raise EngineUnreachableError(f"the API server does not tell: {error}") from error
        if plain is None or not self.is_own(plain, attempt):
            return None
        self.job_found(plain)
        return self.get(attempt)

    def is_own(self, plain: Plain, attempt: str) -> bool:
        """Whether a Job is this owner's, and of this attempt."""
        labels = plain["metadata"].get("labels") or {}
        return bool(labels.get(OWNER) == self._owner and labels.get(ATTEMPT) == attempt)

    def job_found(self, plain: Plain) -> None:
        """A Job that was made or asked for just now. Where a watch has told of it, that is newer."""
        with self.changed_state:
            if read_job(plain).attempt not in self._tracked:
                self.job_seen(plain)

    def job_seen(self, plain: Plain, deleted: bool = False) -> None:
        """A Job as it is now, or as it was when it ceased to exist."""
        job = read_job(plain)
        if not job.attempt:
            return
        with self.changed_state:
            if job.uid in self._forgotten:
                if deleted:
                    del self._forgotten[job.uid]
                return
            tracked = self._tracked.get(job.attempt)
            if tracked is None:
                if deleted:
                    return
                state = EngineState(job.attempt, Observed.QUEUED, message="is being started")
                tracked = self._tracked[job.attempt] = Tracked(job.attempt, job, state)
                tracked.pods = self._early_pods.pop(job.attempt, {})
                self._note(job.attempt)
            elif tracked.ended and tracked.vanished:
                return
            if tracked.job.stop is not None and job.stop is None:
                job = replace(job, stop=tracked.job.stop)  # told by this driver, and not heard of yet
            tracked.job = job
            if deleted:
                self._gone(tracked)
            tracked.vanished = deleted
            self._judge(tracked)

    def job_vanished(self, attempt: str) -> None:
        """The Job of an attempt definitely does not exist any more."""
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            if tracked is not None:
                self._gone(tracked)
                tracked.vanished = True
                self._judge(tracked)

    def taking_back(self, attempt: str, stop: Stop | None) -> None:
        """Should the Job be gone from now on, this is why; None for no longer."""
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            if tracked is not None:
                tracked.taking_back = stop

    def stop_told(self, attempt: str, stop: Stop) -> None:
        """This driver has told a Job to stop, of which a watch may have told more already."""
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            if tracked is not None and not tracked.ended:
                tracked.job = replace(tracked.job, stop=tracked.job.stop or stop)
                self._judge(tracked)

    def explain(self, attempt: str, message: str) -> None:
        """Why an attempt waits, where its Job and pods do not say."""
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            waits = tracked is not None and tracked.state.observed is Observed.QUEUED
            if tracked is not None and waits and tracked.state.message != message:
                tracked.state = replace(tracked.state, message=message)
                self._note(attempt)

    def pod_seen(self, plain: Plain, deleted: bool = False) -> None:
        """A pod as it is now, or as it was when it ceased to exist."""
        attempt = str((plain["metadata"].get("labels") or {}).get(ATTEMPT, ""))
        if not attempt:
            return
        pod = read_pod(plain, deleted)
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            if tracked is None:
                early = self._early_pods.setdefault(attempt, {})
                early[pod.uid] = pod
                if deleted:
                    del self._early_pods[attempt]
                return
            tracked.pods[pod.uid] = self._with_words(tracked, pod)
            self._judge(tracked)

    def pods_certain(self, attempt: str, objects: Iterable[Plain]) -> None:
        """All the pods that an attempt has."""
        found = {pod.uid: pod for pod in map(read_pod, objects)}
        with self.changed_state:
            tracked = self._tracked.get(attempt)
            if tracked is None or tracked.ended:
                return
            for uid, pod in tracked.pods.items():
                if uid not in found and not pod.gone:
                    found[uid] = replace(pod, gone=True)
            tracked.pods.update({uid: self._with_words(tracked, pod) for uid, pod in found.items()})
            tracked.certain = True
            self._judge(tracked)
            tracked.certain = False

    def pods_listed(self, objects: list[Plain], missing: Set[str]) -> None:
        """All pods; of those known before, `missing` exist no longer."""
        with self.changed_state:
            self._early_pods.clear()
        for plain in objects:
            self.pod_seen(plain)
        with self.changed_state:
            for tracked in self._tracked.values():
                for uid in missing & tracked.pods.keys():
                    tracked.pods[uid] = self._with_words(tracked, replace(tracked.pods[uid], gone=True))
                    self._judge(tracked)

    def jobs_listed(self, objects: list[Plain], missing: Set[str]) -> None:
        """All Jobs; of those known before, `missing` exist no longer."""
        for plain in objects:
            self.job_seen(plain)
        with self.changed_state:
            for uid in missing:
                self._forgotten.pop(uid, None)
            for name, tracked in list(self._tracked.items()):
                if tracked.job.uid in missing:
                    self.job_vanished(name)

    def known_jobs(self) -> Set[str]:
        with self.changed_state:
            return {one.job.uid for one in self._tracked.values() if one.job.uid} | self._forgotten.keys()

    def known_pods(self) -> Set[str]:
        with self.changed_state:
            return {uid for one in self._tracked.values() for uid, pod in one.pods.items() if not pod.gone}

    def seal(self, attempt: str) -> None:
        """The Job of an ended attempt was deleted, so that nothing of it can start: its end may be told."""
        self.job_vanished(attempt)

    def forget(self, attempt: str) -> None:
        """Drop an ended attempt, whose Job was deleted."""
        with self.changed_state:
            tracked = self._tracked.pop(attempt, None)
            if tracked is not None and tracked.job.uid and not tracked.vanished:
                self._forgotten[tracked.job.uid] = attempt
            self._early_pods.pop(attempt, None)
            self._changed.pop(attempt, None)
            self._notes.drop(attempt)

    def note_all(self) -> None:
        """Name every known attempt once."""
        with self.changed_state:
            for attempt in self._tracked:
                self._note(attempt)

    def heard(self) -> None:
        """Wake who waits, for it may have become possible to ask, or impossible."""
        with self.changed_state:
            self.news = True
            self.changed_state.notify_all()

    def close(self) -> None:
        for watcher in self._watchers:
            watcher.close()

    def _recall(self, attempt: str) -> None:
        end = self._notes.read(attempt)
        if end is None:
            return
        state = EngineState(attempt, Observed.ENDED, end.started_ms, end)
        job = JobFacts(attempt, "", "", "", 1, False, False, False, "", "", "", None)
        self._tracked[attempt] = Tracked(attempt, job, state, vanished=True)
        self._note(attempt)

    def _gone(self, tracked: Tracked) -> None:
        if tracked.taking_back is not None:
            tracked.job = replace(tracked.job, stop=tracked.job.stop or tracked.taking_back)

    def _judge(self, tracked: Tracked) -> None:
        """Draw the conclusions of what has become known."""
        if tracked.ended:
            return
        verdict = judge(
            tracked.job,
            list(tracked.pods.values()),
            now_ms=self._clock(),
            certain=tracked.certain,
            vanished=tracked.vanished,
        )
        if verdict.doubt:
            self.doubts[tracked.attempt] = None
            self.changed_state.notify_all()
        if verdict.unsealed:
            self.unsealed[tracked.attempt] = None
            self.changed_state.notify_all()
            return
        state = verdict.state
        if state.observed < tracked.state.observed:
            return
        if state.observed is Observed.RUNNING and tracked.state.started_ms is not None:
            state = replace(state, started_ms=tracked.state.started_ms)
        if state == tracked.state:
            return
        if state.end is not None and tracked.vanished:
            # On a full disk it is told all the same; a new driver would then find nothing, which is `lost`.
            with contextlib.suppress(OSError):
                self._notes.write(tracked.attempt, state.end)
        tracked.state = state
        self._note(tracked.attempt)

    def _with_words(self, tracked: Tracked, pod: PodFacts) -> PodFacts:
        """With its last words from the shared folder, where the cluster did not keep them."""
        if not pod.ended or pod.last_words or not tracked.job.folder:
            return pod
        path = Path(tracked.job.folder) / f"{pod.index}.end"
        words = read_part(path, self._task_uid, 0, _MOST_WORDS)
        return replace(pod, last_words=words.decode("utf-8", "replace"))

    def _note(self, attempt: str) -> None:
        self._changed[attempt] = None
        self.news = True
        self.changed_state.notify_all()


class _Jobs:
    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.known, self.listed, self.heard = mirror.known_jobs, mirror.jobs_listed, mirror.heard

    def happened(self, kind: str, plain: Plain) -> None:
        self._mirror.job_seen(plain, kind == "DELETED")


class _Pods:
    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self.known, self.listed, self.heard = mirror.known_pods, mirror.pods_listed, mirror.heard

    def happened(self, kind: str, plain: Plain) -> None:
        self._mirror.pod_seen(plain, kind == "DELETED")
