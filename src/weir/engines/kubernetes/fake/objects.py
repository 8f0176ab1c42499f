"""The objects of the fake API server: versions, watches of what happened, and labels."""

import itertools
import json
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

__all__ = ["GoneError", "ObjectStore", "Plain", "RefusedError", "selects"]

Plain = dict[str, Any]
_KEPT = 20_000
"""Events that a watch can be resumed from; older ones are answered 410."""


class RefusedError(Exception):
    """An answer other than success, as a Status object."""

    def __init__(self, code: int, reason: str, message: str, details: Plain | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status: Plain = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }


class GoneError(Exception):
    """What a watch asks for happened too long ago."""


class ObjectStore:
    """All objects of all kinds, by (kind, namespace, name). An object that was given out is never changed.

    `lock` is also notified of every event. Listeners are called with (type, kind, object) under it.
    """

    def __init__(self, clock: Callable[[], str]) -> None:
        self._clock = clock
        self.lock = threading.Condition(threading.RLock())
        self.version = 1
        self._objects: dict[str, dict[tuple[str, str], Plain]] = {}
        self._pods_of: dict[tuple[str, str], dict[str, None]] = {}
        """Names of pods by namespace and Job."""
        self._events: deque[tuple[int, str, str, str, Plain, list[bytes]]] = deque()
        self._floor = 1
        self.listeners: list[Callable[[str, str, Plain], None]] = []

    def create(self, kind: str, namespace: str, plain: Plain) -> Plain:
        """Add an object, with what a server fills in. Raises RefusedError (409)."""
        with self.lock:
            name = plain["metadata"]["name"]
            here = self._objects.setdefault(kind, {})
            if (namespace, name) in here:
                group = f"{kind}.batch" if kind == "jobs" else kind
                raise RefusedError(
                    409, "AlreadyExists", f'{group} "{name}" already exists', details(kind, name)
                )
            meta = {**plain["metadata"]}
            made = {**plain, "metadata": meta}
            meta |= {
                "uid": meta.get("uid") or str(uuid.uuid4()),
                "generation": 1,
                "creationTimestamp": self._clock(),
            }
            if namespace:
                meta["namespace"] = namespace
            return self._put("ADDED", kind, namespace, made)

    def get(self, kind: str, namespace: str, name: str) -> Plain:
        """Raises RefusedError (404)."""
        with self.lock:
            found = self._objects.get(kind, {}).get((namespace, name))
        if found is None:
            group = f"{kind}.batch" if kind == "jobs" else kind
            raise RefusedError(404, "NotFound", f'{group} "{name}" not found', details(kind, name))
        return found

    def find(self, kind: str, namespace: str, name: str) -> Plain | None:
        with self.lock:
            return self._objects.get(kind, {}).get((namespace, name))

    def pods_of_job(self, namespace: str, job: str) -> list[Plain]:
        with self.lock:
            names = sorted(self._pods_of.get((namespace, job), ()))
            return [self._objects["pods"][namespace, name] for name in names]

    def list(self, kind: str, namespace: str = "", selector: str = "") -> list[Plain]:
        """In order of namespace and name; of all namespaces where none is given."""
        with self.lock:
            here = list(self._objects.get(kind, {}).items())
        found = [
            (place, plain)
            for place, plain in here
            if (not namespace or place[0] == namespace) and selects(selector, plain)
        ]
        return [plain for _, plain in sorted(found, key=itemgetter(0))]

    def update(
        self, kind: str, namespace: str, name: str, change: Callable[[Plain], object], *, spec: bool = False
    ) -> Plain | None:
        """Change a copy and put it in the place; None where there is no such object. `spec` raises its
        generation. The copy goes two levels deep: what lies deeper may be replaced, and not be changed."""
        with self.lock:
            found = self.find(kind, namespace, name)
            if found is None:
                return None
            changed = {key: {**part} if isinstance(part, dict) else part for key, part in found.items()}
            change(changed)
            if changed == found:
                return found
            if spec:
                changed["metadata"]["generation"] += 1
            return self._put("MODIFIED", kind, namespace, changed)

    def delete(self, kind: str, namespace: str, name: str) -> Plain | None:
        """Remove it at once; None where there is no such object."""
        with self.lock:
            found = self._objects.get(kind, {}).pop((namespace, name), None)
            job = _job_of(kind, found)
            if job:
                self._pods_of[namespace, job].pop(name, None)
            return None if found is None else self._log("DELETED", kind, namespace, {**found})

    def events(self, kind: str, namespace: str, selector: str, after: int) -> Iterator[tuple[int, bytes]]:
        """The lines of a watch after a version, with their versions. Raises GoneError."""
        with self.lock:
            if after < self._floor:
                raise GoneError
            # Versions rise along the events, so that a watch looks at none but those that it has not had.
            events = list(itertools.takewhile(lambda event: event[0] > after, reversed(self._events)))
        for version, what, where, written, plain, line in reversed(events):
            if where == kind and (not namespace or written == namespace) and selects(selector, plain):
                if not line:
                    line.append(json.dumps({"type": what, "object": plain}).encode() + b"\n")
                yield version, line[0]

    def compact(self) -> None:
        """Forget what happened; watches can only go on from now."""
        with self.lock:
            self._events.clear()
            self._floor = self.version

    def _put(self, what: str, kind: str, namespace: str, plain: Plain) -> Plain:
        self._objects.setdefault(kind, {})[namespace, plain["metadata"]["name"]] = plain
        job = _job_of(kind, plain)
        if job:
            self._pods_of.setdefault((namespace, job), {})[plain["metadata"]["name"]] = None
        return self._log(what, kind, namespace, plain)

    def _log(self, what: str, kind: str, namespace: str, plain: Plain) -> Plain:
        self.version += 1
        plain["metadata"] = {**plain["metadata"], "resourceVersion": str(self.version)}
        self._events.append((self.version, what, kind, namespace, plain, []))
        if len(self._events) > _KEPT:
            self._floor = self._events.popleft()[0]
        for listener in self.listeners:
            listener(what, kind, plain)
        self.lock.notify_all()
        return plain


def _job_of(kind: str, plain: Plain | None) -> str:
    if kind != "pods" or plain is None:
        return ""
    return str((plain["metadata"].get("labels") or {}).get("job-name", ""))


def details(kind: str, name: str) -> Plain:
    return {"name": name, **({"group": "batch"} if kind == "jobs" else {}), "kind": kind}


def selects(selector: str, plain: Plain) -> bool:
    """Whether a label selector of the form `a=b,c!=d` takes the object."""
    labels = plain["metadata"].get("labels") or {}
    for part in selector.split(","):
        key, _, value = part.partition("=")
        if part and (labels.get(key.removesuffix("!")) == value) is key.endswith("!"):
            return False
    return True
