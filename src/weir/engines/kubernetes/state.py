"""What a Job and its pods mean for an attempt, as pure functions."""

import signal
from collections.abc import Sequence
from dataclasses import dataclass

from weir.engines.driver import EngineEnd, EngineState
from weir.engines.kubernetes.parsing import JobFacts, PodFacts, Stop
from weir.engines.kubernetes.wrapper import TaskEndRecord, read_end
from weir.model.state import Cause, Observed

__all__ = ["CANNOT_START", "Verdict", "judge"]

CANNOT_START = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
        "SignatureValidationFailed",
    }
)
"""Reasons of a waiting container that do not pass by themselves, as the kubelet words them."""

_NEVER_RAN = frozenset({"ContainerCannotRun", "StartError"})
_DISRUPTIONS = {
    "PreemptionByScheduler": (Cause.PREEMPTED, "preempted by a pod of higher priority"),
    "EvictionByEvictionAPI": (Cause.PREEMPTED, "evicted from its node"),
    "DeletionByTaintManager": (Cause.NODE_FAILED, "its node was lost or tainted"),
    "DeletionByPodGC": (Cause.NODE_FAILED, "its node is gone"),
    "TerminationByKubelet": (Cause.NODE_FAILED, "ended by its node"),
}
"""Reasons of a pod's DisruptionTarget condition (Kubernetes, pod disruption conditions)."""
_POD_REASONS = {
    "Evicted": (Cause.NODE_FAILED, "evicted by its node"),
    "NodeLost": (Cause.NODE_FAILED, "its node was lost"),
    "Shutdown": (Cause.NODE_FAILED, "its node was shut down"),
    "NodeShutdown": (Cause.NODE_FAILED, "its node was shut down"),
    "Terminated": (Cause.NODE_FAILED, "its node was shut down"),
    "Preempting": (Cause.PREEMPTED, "made way for a pod that its node needs"),
    "NodeAffinity": (Cause.NODE_FAILED, "its node no longer takes it"),
    "UnexpectedAdmissionError": (Cause.NODE_FAILED, "its node could not take it"),
}
"""Reasons in a failed pod's status, as kubelets write them; those that begin with OutOf are the node's too."""
_LAST_SIGNAL = 64
_PREPARATIONS = {"start": Cause.START, "folder": Cause.NODE_FAILED, "inputs": Cause.INPUTS}
"""What a wrapper tells of a command that it did not come to start."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of an attempt.

    With `doubt` it seems to have ended, and its pods must be listed once more before that is certain. With
    `unsealed` it has ended, and its Job might yet make another pod: it must be deleted before that is told.
    """

    state: EngineState
    doubt: bool = False
    unsealed: bool = False


@dataclass(frozen=True, slots=True)
class _TaskEnd:
    index: int
    cause: Cause | None
    code: int | None
    signal: int | None
    message: str
    started_ms: int | None
    ended_ms: int
    followed: bool = False
    """It was ended because something else had, such as another task of its gang."""


def judge(
    job: JobFacts, pods: Sequence[PodFacts], *, now_ms: int, certain: bool = False, vanished: bool = False
) -> Verdict:
    """The verdict on an attempt. `certain` says that the pods were just listed, so that there is no other one;
    `vanished` that the Job itself no longer exists. `now_ms` is the end where Kubernetes tells no time."""
    alive = [pod for pod in pods if not pod.ended]
    counted = [pod for pod in pods if not _is_duplicate(pod)]
    ended = {pod.index: pod for pod in counted if pod.ended}
    if alive:
        return Verdict(_going(job, counted))
    told = [pod for pod in ended.values() if pod.phase in ("Succeeded", "Failed")]
    if len(told) >= job.tasks:
        # Suspended by somebody else, such as its queue, it would be started again when it is let go on.
        unsealed = job.suspend and job.stop is None and not job.condition and not vanished
        return Verdict(_ended(job, told, now_ms), unsealed=unsealed)
    if vanished or job.condition or (job.suspended and job.stop is not None):
        if certain or vanished:
            return Verdict(_ended(job, list(ended.values()), now_ms))
        return Verdict(_going(job, counted), doubt=True)
    if job.suspended and ended:
        return Verdict(_ended(job, list(ended.values()), now_ms), unsealed=True)
    return Verdict(_going(job, counted))


def waiting_reason(job: JobFacts, pods: Sequence[PodFacts]) -> tuple[str, str]:
    """Why it does not run: a short word, and a sentence; both empty when nothing holds it."""
    for pod in pods:
        if pod.waiting in CANNOT_START and not pod.ended:
            return (
                pod.waiting,
                f"{pod.waiting}: {pod.waiting_message}" if pod.waiting_message else pod.waiting,
            )
    for pod in pods:
        if pod.unschedulable and not pod.ended:
            return "Unschedulable", f"waits for room: {pod.unschedulable}"
    if job.suspended or job.suspend:
        return "Suspended", "waits to be admitted by its queue"
    if not pods:
        return (
            "NoPod",
            f"no pod of it has been made yet; the events of Job {job.name} tell why, where one cannot be",
        )
    return "", ""


def _going(job: JobFacts, pods: Sequence[PodFacts]) -> EngineState:
    started = [pod.started_ms for pod in pods if pod.started_ms is not None]
    if started:
        return EngineState(job.attempt, Observed.RUNNING, min(started))
    reason, message = waiting_reason(job, pods)
    if not message or reason == "NoPod":
        message = "is being started"  # a pod is made within a moment, or else that is said later
    return EngineState(job.attempt, Observed.QUEUED, message=message)


def _ended(job: JobFacts, pods: Sequence[PodFacts], now_ms: int) -> EngineState:
    ends = [_task_end(job, pod, now_ms) for pod in pods]
    started_ms = min((end.started_ms for end in ends if end.started_ms is not None), default=None)
    if started_ms is None and job.stop is not None:
        started_ms = job.stop.started_ms
    ended_ms = max((end.ended_ms for end in ends), default=0)
    ended_ms = ended_ms or _stopped_ms(job) or now_ms
    failed = [end for end in ends if end.cause is not None]
    if failed:
        first = min(failed, key=lambda end: (end.followed, end.ended_ms, end.index))
        message = first.message if job.tasks == 1 else f"task {first.index}: {first.message}"
        end = EngineEnd(first.cause, first.code, first.signal, message, started_ms, ended_ms)
    elif len(ends) >= job.tasks:
        end = EngineEnd(None, 0, None, "", started_ms, ended_ms)
    else:
        cause, message = _of_job(job)
        end = EngineEnd(cause, None, None, message, started_ms, ended_ms)
    if end.started_ms is not None and end.ended_ms < end.started_ms:
        end = EngineEnd(end.cause, end.exit_code, end.signal, end.message, started_ms, end.started_ms)
    return EngineState(job.attempt, Observed.ENDED, end.started_ms, end)


def _stopped_ms(job: JobFacts) -> int:
    """When Weir told it to stop, 0 for never: the same whenever it is asked, unlike the present."""
    return 0 if job.stop is None else job.stop.at_ms


def _of_job(job: JobFacts) -> tuple[Cause, str]:
    """Why an attempt ended of which no pod can tell."""
    if job.stop is not None:
        before = job.stop.started_ms is None
        return _of_stop(job.stop, "cancelled before its start" if before else "ended when it was cancelled")
    if job.reason == "DeadlineExceeded":
        return Cause.TIME_LIMIT, "ended at its time limit"
    if job.condition:
        return Cause.LOST, f"its Job is {job.condition} ({job.reason}), and its pods are gone"
    return Cause.LOST, "its Job was deleted at the centre"


def _of_stop(stop: Stop, message: str) -> tuple[Cause, str]:
    return Cause(stop.cause), stop.message or message


def _task_end(job: JobFacts, pod: PodFacts, now_ms: int) -> _TaskEnd:
    words = read_end(pod.last_words)
    started_ms, ended_ms = _times(pod, words)
    ended_ms = ended_ms or _stopped_ms(job) or now_ms
    code, number = (words.code, words.signal) if words is not None else _code_and_signal(pod.exit_code)

    def end(cause: Cause | None, message: str, *, followed: bool = False, plain: bool = True) -> _TaskEnd:
        found = (code, number) if plain else (None, None)
        if words is not None and words.message and words.message not in message:
            message = f"{message}; {words.message}"
        return _TaskEnd(pod.index, cause, *found, message, started_ms, ended_ms, followed)

    told = words.told if words is not None else ""
    if words is not None and told in _PREPARATIONS:
        return end(_PREPARATIONS[told], words.message, plain=False)
    if words is not None and told == "outputs":
        return end(Cause.OUTPUTS, words.message)
    if told == "lost" and job.stop is None:
        return end(Cause.LOST, "what ran it was killed", plain=False)
    if told == "limit":
        killed = "killed at its time limit, after its grace" if number == 9 else "ended at its time limit"
        return end(Cause.TIME_LIMIT, killed)
    if pod.exit_reason == "OOMKilled" and pod.exit_code:
        return end(Cause.OUT_OF_MEMORY, "used more than its memory")
    if words is not None and not told and code == 0:
        return end(None, "")
    if told in ("stop", "lost") or words is None:
        forced = _forced(job, pod, started_ms is None)
        if forced is not None:
            cause, message, followed = forced
            if cause is Cause.CANCELLED and started_ms is not None:
                message = "killed when it was cancelled, after its grace" if number == 9 else message
            return end(cause, message, followed=followed, plain=started_ms is not None)
    if words is None and pod.phase == "Succeeded":
        return end(None, "")
    if pod.exit_reason in _NEVER_RAN:
        return end(Cause.START, f"its container could not be started: {pod.last_words}", plain=False)
    if code is None and number is None:
        return end(Cause.LOST, "its pod vanished", plain=False)
    if number is not None:
        return end(Cause.SIGNAL, f"ended by signal {number} ({_signal_name(number)})")
    return end(Cause.EXIT, f"ended with code {code}")


def _times(pod: PodFacts, words: TaskEndRecord | None) -> tuple[int | None, int | None]:
    """When a task started and ended. Its words can be its user's own, so they only tell the part of a second
    that Kubernetes does not: what it says of the container bounds them."""
    if words is None:
        return pod.started_ms, pod.finished_ms
    started_ms = words.started_ms
    if started_ms is None and words.told in ("", "limit", "lost"):
        started_ms = pod.started_ms
    elif started_ms is not None:
        started_ms = _within_second(started_ms, pod.started_ms)
    return started_ms, _within_second(words.ended_ms, pod.finished_ms)


def _within_second(told_ms: int, second_ms: int | None) -> int:
    return told_ms if second_ms is None else min(max(told_ms, second_ms), second_ms + 1_000)


def _forced(job: JobFacts, pod: PodFacts, unstarted: bool) -> tuple[Cause, str, bool] | None:
    """Who ended a pod that did not end by itself; None where nobody is known to have."""
    if pod.disruption in _DISRUPTIONS and job.stop is None:
        cause, message = _DISRUPTIONS[pod.disruption]
        return cause, f"{message} ({pod.disruption_message or pod.disruption})", False
    if job.stop is not None:
        before = "cancelled before its start" if unstarted else "ended when it was cancelled"
        return *_of_stop(job.stop, before), False
    if pod.reason == "DeadlineExceeded" or job.reason == "DeadlineExceeded":
        return Cause.TIME_LIMIT, "ended at its time limit", False
    if pod.reason in _POD_REASONS or pod.reason.startswith("OutOf"):
        cause, message = _POD_REASONS.get(pod.reason, (Cause.NODE_FAILED, "its node could not take it"))
        return cause, f"{message} ({pod.message or pod.reason})", False
    if job.tasks > 1 and (job.failing or job.condition == "Failed") and (pod.deleting or pod.gone):
        return Cause.LOST, "ended with its gang", True
    if job.suspend and (pod.deleting or pod.gone):
        return Cause.PREEMPTED, "its queue took its admission back", False
    if pod.deleting or pod.gone:
        return Cause.LOST, "its pod was deleted at the centre", False
    return None


def _code_and_signal(code: int | None) -> tuple[int | None, int | None]:
    # Of a container without last words: Kubernetes writes a signal as a code above 128.
    if code is not None and 128 < code <= 128 + _LAST_SIGNAL:
        return None, code - 128
    return code, None


def _is_duplicate(pod: PodFacts) -> bool:
    words = read_end(pod.last_words)
    return words is not None and words.told == "duplicate"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "a real-time signal"
