"""The fake cluster's Job controller, after what was recorded of Kubernetes 1.36: conditions and their order,
counts, Indexed Jobs, suspension, deadlines, and pods that are ended before a Job is final."""

import random
import string
from collections.abc import Callable
from typing import Any

from weir.engines.kubernetes.fake.objects import ObjectStore
from weir.engines.kubernetes.parsing import time_ms

__all__ = ["JobController"]

Plain = dict[str, Any]
_INDEX = "batch.kubernetes.io/job-completion-index"
_TRACKING = "batch.kubernetes.io/job-tracking"


class JobController:
    """Reconciles one Job at a time, as often as it is asked."""

    def __init__(self, objects: ObjectStore, now: Callable[[], str], now_ms: Callable[[], int]) -> None:
        self._objects = objects
        self._now = now
        self._now_ms = now_ms
        self._random = random.Random(1)

    def reconcile(self, namespace: str, name: str) -> int | None:
        """Bring a Job one step on; when to look again by itself, in milliseconds, None for not."""
        job = self._objects.find("jobs", namespace, name)
        pods = [
            pod
            for pod in self._objects.pods_of_job(namespace, name)
            if job is None or _owner(pod) == job["metadata"]["uid"]
        ]
        if job is None or job["metadata"].get("deletionTimestamp"):
            for pod in pods:
                self._delete_pod(pod)
            if job is not None and not pods:
                self._objects.delete("jobs", namespace, name)
            return None
        if _has(job, "Complete") or _has(job, "Failed"):
            return None
        return self._advance(job, pods)

    def _advance(self, job: Plain, pods: list[Plain]) -> int | None:
        spec = job["spec"]
        ended = [pod for pod in pods if _phase(pod) in ("Succeeded", "Failed")]
        going = [pod for pod in pods if pod not in ended]
        active = [pod for pod in going if not pod["metadata"].get("deletionTimestamp")]
        terminating = len(going) - len(active)
        for pod in ended:
            self._untrack(pod)
        succeeded = {_index(pod) for pod in ended if _phase(pod) == "Succeeded"}
        failed = [pod for pod in ended if _phase(pod) == "Failed"]
        done = (
            len(succeeded)
            if spec["completionMode"] == "Indexed"
            else sum(_phase(p) == "Succeeded" for p in ended)
        )
        counts = {
            "ready": sum(_phase(pod) == "Running" for pod in active),
            "terminating": terminating,
            **({"succeeded": done} if done else {}),
            **({"failed": len(failed)} if failed else {}),
        }
        trouble = self._trouble(job, failed, succeeded)
        if trouble:
            for pod in active:
                self._delete_pod(pod)
            self._status(
                job, {**counts, "terminating": terminating + len(active)}, ("FailureTarget", *trouble)
            )
            if not going:
                self._status(job, counts, ("FailureTarget", *trouble), ("Failed", *trouble))
            return None
        if done >= spec["completions"]:
            reached = ("CompletionsReached", "Reached expected number of succeeded pods")
            for pod in active:
                self._delete_pod(pod)
            self._status(job, counts, ("SuccessCriteriaMet", *reached))
            if not going:
                self._status(
                    job, counts, ("SuccessCriteriaMet", *reached), ("Complete", *reached), completed=True
                )
            return None
        if spec.get("suspend"):
            for pod in active:
                self._delete_pod(pod)
            counts["terminating"] = terminating + len(active)
            self._status(job, counts, ("Suspended", "JobSuspended", "Job suspended"), started=False)
            return None
        return self._run(job, active, terminating, ended, counts)

    def _run(
        self, job: Plain, active: list[Plain], terminating: int, ended: list[Plain], counts: Plain
    ) -> int | None:
        spec = job["spec"]
        replaced = terminating if spec["podReplacementPolicy"] == "Failed" else 0
        if spec["completionMode"] == "Indexed":
            given = {_index(pod) for pod in (*active, *ended)}
            missing = [index for index in range(spec["completions"]) if index not in given]
            room = spec["parallelism"] - len(active) - replaced
            new = [self._make_pod(job, index) for index in missing[: max(0, room)]]
        else:
            wanted = min(spec["parallelism"], spec["completions"] - counts.get("succeeded", 0))
            new = [self._make_pod(job, None) for _ in range(wanted - len(active) - replaced)]
        self._status(job, {"active": len(active) + len(new), **counts}, resumed=_has(job, "Suspended"))
        deadline_s: int | None = spec.get("activeDeadlineSeconds")
        if deadline_s is None:
            return None
        latest = self._objects.find("jobs", job["metadata"]["namespace"], job["metadata"]["name"]) or job
        return (time_ms(latest["status"].get("startTime")) or self._now_ms()) + deadline_s * 1_000

    def _trouble(self, job: Plain, failed: list[Plain], succeeded: set[int]) -> tuple[str, str] | None:
        spec, status = job["spec"], job.get("status") or {}
        for row in status.get("conditions") or ():
            if row["type"] == "FailureTarget":
                return row["reason"], row["message"]
        per_index = spec.get("backoffLimitPerIndex")
        if per_index is not None:
            lost = {_index(pod) for pod in failed} - succeeded
            if lost and len(lost | succeeded) >= spec["completions"]:
                return "FailedIndexes", "Job has failed indexes"
        elif len(failed) > spec["backoffLimit"]:
            return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline_s, started = spec.get("activeDeadlineSeconds"), time_ms(status.get("startTime"))
        counts = deadline_s is not None and started is not None and not spec.get("suspend")
        if counts and self._now_ms() >= (started or 0) + deadline_s * 1_000:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _status(
        self,
        job: Plain,
        counts: Plain,
        *conditions: tuple[str, str, str],
        completed: bool = False,
        started: bool = True,
        resumed: bool = False,
    ) -> None:
        def change(plain: Plain) -> None:
            before = plain.get("status") or {}
            rows = {row["type"]: row for row in before.get("conditions") or ()}
            for kind, reason, message in conditions:
                if kind not in rows or rows[kind]["status"] != "True":
                    rows[kind] = self._condition(kind, "True", reason, message)
            if resumed:
                rows["Suspended"] = self._condition("Suspended", "False", "JobResumed", "Job resumed")
            status: Plain = {"conditions": list(rows.values())} if rows else {}
            if started:
                anew = resumed or "startTime" not in before
                status["startTime"] = self._now() if anew else before["startTime"]
            if completed:
                status["completionTime"] = self._now()
            plain["status"] = {**status, **counts, "uncountedTerminatedPods": {}}

        self._objects.update("jobs", job["metadata"]["namespace"], job["metadata"]["name"], change)

    def _condition(self, kind: str, status: str, reason: str, message: str) -> Plain:
        now = self._now()
        return {
            "type": kind,
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }

    def _make_pod(self, job: Plain, index: int | None) -> Plain:
        meta, template = job["metadata"], job["spec"]["template"]
        base = meta["name"] if index is None else f"{meta['name']}-{index}"
        suffix = "".join(self._random.choices(string.ascii_lowercase + string.digits, k=5))
        marks = {} if index is None else {_INDEX: str(index)}
        spec = {
            **template["spec"],
            "containers": [
                {**one, "resources": _guaranteed(one.get("resources") or {})}
                for one in template["spec"]["containers"]
            ],
            "priority": 0,
        }
        if index is not None:
            spec["hostname"] = base
        return self._objects.create(
            "pods",
            meta["namespace"],
            {
                "metadata": {
                    "name": f"{base}-{suffix}",
                    "generateName": f"{base}-",
                    "labels": {**template["metadata"]["labels"], **marks},
                    "annotations": {**(template["metadata"].get("annotations") or {}), **marks},
                    "ownerReferences": [
                        {
                            "apiVersion": "batch/v1",
                            "kind": "Job",
                            "name": meta["name"],
                            "uid": meta["uid"],
                            "controller": True,
                            "blockOwnerDeletion": True,
                        }
                    ],
                    "finalizers": [_TRACKING],
                },
                "spec": spec,
                "status": {"phase": "Pending", "qosClass": "Guaranteed"},
            },
        )

    def _untrack(self, pod: Plain) -> None:
        if pod["metadata"].get("finalizers"):
            meta = pod["metadata"]
            self._objects.update(
                "pods", meta["namespace"], meta["name"], lambda plain: plain["metadata"].pop("finalizers")
            )

    def _delete_pod(self, pod: Plain) -> None:
        delete_pod(self._objects, pod, self._now)


def delete_pod(objects: ObjectStore, pod: Plain, now: Callable[[], str]) -> None:
    """Ask for a pod's end: what runs is told and waited for, by its kubelet; the rest is gone at once."""
    meta = pod["metadata"]
    if _phase(pod) in ("Succeeded", "Failed") or not pod["spec"].get("nodeName"):
        objects.delete("pods", meta["namespace"], meta["name"])
    elif not meta.get("deletionTimestamp"):
        grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)

        def change(plain: Plain) -> None:
            plain["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_s}

        objects.update("pods", meta["namespace"], meta["name"], change)


def _guaranteed(resources: Plain) -> Plain:
    limits = resources.get("limits") or {}
    return {**resources, "requests": {**limits, **(resources.get("requests") or {})}} if limits else resources


def _has(job: Plain, kind: str) -> bool:
    rows = (job.get("status") or {}).get("conditions") or ()
    return any(row["type"] == kind and row["status"] == "True" for row in rows)


def _phase(pod: Plain) -> str:
    return str(pod["status"]["phase"])


def _index(pod: Plain) -> int:
    return int((pod["metadata"].get("annotations") or {}).get(_INDEX, 0))


def _owner(pod: Plain) -> str:
    return next((str(row["uid"]) for row in pod["metadata"].get("ownerReferences") or ()), "")
