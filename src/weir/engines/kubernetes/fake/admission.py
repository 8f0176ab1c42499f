"""What the fake API server refuses, and what it fills in, after what was recorded of Kubernetes 1.36."""

import re
import uuid
from typing import Any

from weir.engines.kubernetes.fake.objects import RefusedError

__all__ = ["admitted"]

Plain = dict[str, Any]
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    f"'{_SUBDOMAIN.pattern}')"
)
_RESTARTS = 'valid values: "OnFailure", "Never"'
_CONTAINER = {"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}


def admitted(kind: str, body: Plain) -> Plain:
    """The object as it is stored, made of the body itself. Raises RefusedError (422)."""
    plain = {key: part for key, part in body.items() if key not in ("kind", "apiVersion")}
    if kind == "jobs":
        _validate(plain)
        _fill_in(plain)
    return plain


def _validate(job: Plain) -> None:
    name, spec = str(job["metadata"].get("name", "")), job.get("spec") or {}
    template = (spec.get("template") or {}).get("spec") or {}
    causes = []
    if not _SUBDOMAIN.fullmatch(name):
        causes.append(("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}": {_NAME_RULE}'))
    if not template.get("containers"):
        causes.append(("spec.template.spec.containers", "FieldValueRequired", "Required value"))
    if template.get("restartPolicy") not in ("Never", "OnFailure"):
        field = "spec.template.spec.restartPolicy"
        causes.append((field, "FieldValueRequired", f"Required value: {_RESTARTS}"))
    for container in template.get("containers") or ():
        resources = container.get("resources") or {}
        for resource, amount in (resources.get("requests") or {}).items():
            if "/" in resource and (resources.get("limits") or {}).get(resource) != amount:
                field = f"spec.template.spec.containers[0].resources.requests[{resource}]"
                causes.append((field, "FieldValueInvalid", "must be equal to the limit"))
    if spec.get("backoffLimitPerIndex") is not None and spec.get("completionMode") != "Indexed":
        message = "Invalid value: requires indexed completion mode"
        causes.append(("spec.backoffLimitPerIndex", "FieldValueInvalid", message))
    if causes:
        shown = [f"{field}: {message}" for field, _, message in causes]
        text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        rows = [{"reason": reason, "message": message, "field": field} for field, reason, message in causes]
        raise RefusedError(
            422,
            "Invalid",
            f'Job.batch "{name}" is invalid: {text}',
            {"name": name, "group": "batch", "kind": "Job", "causes": rows},
        )


def _fill_in(job: Plain) -> None:
    spec, name = job["spec"], job["metadata"]["name"]
    uid = job["metadata"]["uid"] = str(uuid.uuid4())
    for field, value in (
        ("parallelism", 1),
        ("completions", 1),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("podReplacementPolicy", "TerminatingOrFailed"),
        ("manualSelector", False),
    ):
        spec.setdefault(field, value)
    spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1)
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    meta = spec["template"].setdefault("metadata", {})
    meta["labels"] = {
        **(meta.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    pod = spec["template"]["spec"]
    for field, default in (
        ("terminationGracePeriodSeconds", 30),
        ("dnsPolicy", "ClusterFirst"),
        ("securityContext", {}),
        ("schedulerName", "default-scheduler"),
    ):
        pod.setdefault(field, default)
    for container in pod["containers"]:
        for field, text in _CONTAINER.items():
            container.setdefault(field, text)
        latest = container["image"].endswith(":latest") or ":" not in container["image"]
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    job["status"] = {}
