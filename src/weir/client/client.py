"""The typed client: one method for each thing that the API does."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from weir.client.calls import part, query_of
from weir.client.contracts import ContractCalls
from weir.client.events import follow_events
from weir.client.money import MoneyCalls
from weir.client.organisations import OrganisationCalls
from weir.client.schemes import SchemeCalls
from weir.client.settings import checked_token, checked_url
from weir.client.statements import StatementCalls
from weir.client.transfer import LONG_POLL_MS, download_output, log_pieces, upload_blob
from weir.client.transport import Sender, Transport, Urllib3Transport
from weir.model.view import (
    AuditPage,
    CentresView,
    CentreView,
    DifferenceView,
    EventView,
    ExplanationView,
    InvitesView,
    InviteView,
    JobPage,
    JobView,
    OrderView,
    OutputPage,
    OutputView,
    PoolsView,
    PoolView,
    SubmissionPage,
    SubmissionView,
    SubmittedView,
    SubmittedViews,
    TokenMadeView,
    TokensView,
    TokenView,
    WhoView,
)

if TYPE_CHECKING:
    from pathlib import Path

    from weir.model.province import DeviceModel

T = TypeVar("T")


class Client(OrganisationCalls, SchemeCalls, StatementCalls, MoneyCalls, ContractCalls):
    """Speaks to one Weir server with one token. Threads may share it; close it, or use it in a `with`.

    Every method raises ApiError (a refusal, with the problem's fields) or UnreachableError. What can be asked
    twice without harm is asked again by itself when the connection breaks.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        ca_file: str = "",
        proxy: str = "",
        transport: Transport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is sent yet. Raises SettingsError for plain http to another machine."""
        checked = checked_url(url)
        used = transport or Urllib3Transport(checked, ca_file=ca_file, proxy=proxy)
        super().__init__(
            Sender(checked, checked_token(token, "the token"), used, timeout_s=timeout_s, sleep=sleep)
        )
        self._monotonic = monotonic

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._sender.close()

    # Jobs

    def submit(
        self, specifications: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, idempotency_key: str = ""
    ) -> tuple[SubmittedView, ...]:
        """Submit one job, array or a list of these, all or none; quantities have units (`2h`, `16GiB`).

        Submitting again with the same key (by default a fresh one) answers as the first time did.
        """
        body = specifications if isinstance(specifications, Mapping) else {"jobs": list(specifications)}
        return self._create("/jobs", body, SubmittedViews, idempotency_key).submissions

    def retry(self, job: str, *, idempotency_key: str = "") -> SubmittedView:
        """Submit the same as an ended job once more, as a new submission."""
        query = query_of(retry_of=job)
        return self._create(f"/jobs{query}", None, SubmittedViews, idempotency_key).submissions[0]

    def jobs(
        self,
        *,
        states: Sequence[str] = (),
        name: str = "",
        cursor: str = "",
        limit: int = 50,
    ) -> SubmissionPage:
        """A page of submissions, newest first; `cursor` is the `next` of the page before."""
        query = query_of(state=list(states), name=name, cursor=cursor, limit=limit)
        return self._get(f"/jobs{query}", SubmissionPage)

    def all_jobs(self, *, states: Sequence[str] = (), name: str = "") -> Iterator[SubmissionView]:
        """Every submission, newest first, fetched page by page."""
        cursor = ""
        while True:
            page = self.jobs(states=states, name=name, cursor=cursor, limit=500)
            yield from page.submissions
            if not (cursor := page.next):
                return

    def job(self, job: str) -> JobView | SubmissionView:
        """One job or one element (`ID.7`) with its attempts; for an array, its summary. A prefix will do."""
        return _job_of(self.submission(job))

    def submission(self, job: str) -> SubmissionView:
        """The submission that made a job; `job` in it is the one job or the element that was asked for."""
        return self._get(_job_path(job), SubmissionView)

    def elements_page(
        self, job: str, *, states: Sequence[str] = (), cursor: str = "", limit: int = 500
    ) -> JobPage:
        """A page of an array's elements by their index."""
        return self._get(
            _job_path(job, "/elements") + query_of(state=list(states), cursor=cursor, limit=limit), JobPage
        )

    def elements(self, job: str, *, states: Sequence[str] = ()) -> Iterator[JobView]:
        """Every element of an array by its index, fetched page by page."""
        cursor = ""
        while True:
            page = self.elements_page(job, states=states, cursor=cursor)
            yield from page.jobs
            if not (cursor := page.next):
                return

    def cancel(self, job: str) -> OrderView:
        """Cancel a job, an element, or all of an array."""
        return self._change("POST", _job_path(job, "/cancel"), OrderView)

    def hold(self, job: str) -> OrderView:
        """Keep a job from being placed until it is released."""
        return self._change("POST", _job_path(job, "/hold"), OrderView)

    def release(self, job: str) -> OrderView:
        """Let a held job be placed."""
        return self._change("POST", _job_path(job, "/release"), OrderView)

    def update(self, job: str, *, priority: str | None = None, time_limit: str | None = None) -> OrderView:
        """Change a job that has not been placed yet."""
        body = {
            key: value
            for key, value in (("priority", priority), ("time_limit", time_limit))
            if value is not None
        }
        return self._change("PATCH", _job_path(job), OrderView, body)

    def give_up(self, job: str) -> OrderView:
        """Stop waiting for a lost centre's answer about an unknown job."""
        return self._change("POST", _job_path(job, "/give-up"), OrderView)

    def wait(self, job: str) -> JobView | SubmissionView:
        """Wait until a job, or all of an array, has ended."""
        found = self.wait_submission(job)
        assert found is not None
        return _job_of(found)

    def wait_submission(self, job: str, *, timeout_s: float | None = None) -> SubmissionView | None:
        """Wait until a job, or all of an array, has ended; None when it has not within the time given."""
        deadline = None if timeout_s is None else self._monotonic() + timeout_s
        while True:
            left_ms = LONG_POLL_MS if deadline is None else round((deadline - self._monotonic()) * 1_000)
            asked_ms = max(0, min(LONG_POLL_MS, left_ms))
            target = _job_path(job, "/wait") + query_of(timeout_ms=asked_ms)
            view = self._get(target, SubmissionView, wait_s=asked_ms / 1_000)
            if _has_ended(view):
                return view
            if deadline is not None and self._monotonic() >= deadline:
                return None

    def explain(self, job: str, *, cycle: int | None = None, at_ms: int | None = None) -> ExplanationView:
        """Where a job stands, and per pool why it is, or is not, placed there.

        With `cycle` (a position of the change log) or `at_ms`, where it stood in the last cycle by then.
        """
        return self._get(_job_path(job, "/explain") + query_of(cycle=cycle, at_ms=at_ms), ExplanationView)

    # Content

    def logs(
        self, job: str, stream: str = "stdout", *, task: int = 0, offset: int = 0, follow: bool = False
    ) -> Iterator[bytes]:
        """What a task wrote to `stdout` or `stderr`; with `follow` as it comes, until the job has ended."""
        return log_pieces(self._sender, job, stream=stream, task=task, offset=offset, follow=follow)

    def outputs(self, job: str) -> tuple[OutputView, ...]:
        """Every file that a job, or all elements of an array, have handed over."""
        found: list[OutputView] = []
        cursor = ""
        while True:
            page = self._get(_job_path(job, "/outputs") + query_of(cursor=cursor, limit=1_000), OutputPage)
            found += page.outputs
            if not (cursor := page.next):
                return tuple(found)

    def download_output(self, job: str, path: str, to: "Path") -> str:
        """Fetch one output into the file `to`, whole or not at all; returns its SHA-256, now checked."""
        return download_output(self._sender, job, path, to)

    def upload_blob(self, path: "Path") -> str:
        """Bring a file's content to the server, unless it is there already; returns its SHA-256."""
        return upload_blob(self._sender, path)

    # The province

    def centres(self) -> tuple[CentreView, ...]:
        """Every centre."""
        return self._get("/centres", CentresView).centres

    def pools(self) -> tuple[PoolView, ...]:
        """Every pool."""
        return self._get("/pools", PoolsView).pools

    def devices(self) -> "tuple[DeviceModel, ...]":
        """Every device model of the catalogue."""
        from weir.model.province import DeviceModel

        return self._get("/devices", dict[str, tuple[DeviceModel, ...]])["devices"]

    def province_diff(self, text: str, *, source: str = "") -> DifferenceView:
        """What applying a province file (YAML) would change. `source` names it in problems."""
        return self._send_text("/province/diff" + query_of(source=source), text, DifferenceView)

    def apply_province(self, text: str, *, source: str = "", expected: str = "") -> DifferenceView:
        """Apply a province file. `expected`: digest of the difference looked at; 409 if it is old."""
        target = "/province/apply" + query_of(source=source, expected=expected)
        return self._send_text(target, text, DifferenceView)

    def invite(self, centres: Sequence[str]) -> tuple[InviteView, ...]:
        """A one-time code for each centre, with which its agent joins."""
        return self._change("POST", "/centres/invites", InvitesView, {"centres": list(centres)}).invites

    def drain_centre(self, centre: str) -> CentreView:
        """Start nothing new at a centre; what runs there goes on."""
        return self._change("POST", f"/centres/{part(centre)}/drain", CentreView)

    def resume_centre(self, centre: str) -> CentreView:
        """Let a drained centre start jobs again."""
        return self._change("POST", f"/centres/{part(centre)}/resume", CentreView)

    # Access

    def tokens(self) -> tuple[TokenView, ...]:
        """The tokens that the asker may see, without their secrets."""
        return self._get("/tokens", TokensView).tokens

    def create_token(
        self,
        name: str,
        role: str,
        *,
        organisation: str = "",
        project: str = "",
        centre: str = "",
        valid_for: str = "",
    ) -> tuple[TokenView, str]:
        """A new token and its secret, which cannot be read again. `valid_for` is a duration such as `90d`."""
        given = {"organisation": organisation, "project": project, "centre": centre, "valid_for": valid_for}
        body = {"name": name, "role": role} | {key: value for key, value in given.items() if value}
        made = self._change("POST", "/tokens", TokenMadeView, body)
        return made.token, made.secret

    def revoke_token(self, token_id: int) -> None:
        """Make a token useless from now on."""
        self._sender.send("DELETE", f"/api/v1/tokens/{int(token_id)}", again=True).read()

    def audit(self, *, cursor: str = "", limit: int = 100) -> AuditPage:
        """A page of the audit log, newest first."""
        return self._get("/audit" + query_of(cursor=cursor, limit=limit), AuditPage)

    def whoami(self) -> WhoView:
        """Whom the token stands for."""
        return self._get("/whoami", WhoView)

    def events(self, since: int | None = None) -> Iterator[EventView]:
        """What changes, after position `since` (None: from now on), for ever, across broken connections."""
        return follow_events(self._sender, since)


def _job_path(job: str, rest: str = "") -> str:
    return f"/jobs/{part(job)}{rest}"


def _job_of(view: SubmissionView) -> JobView | SubmissionView:
    return view if view.job is None else view.job


def _has_ended(view: SubmissionView) -> bool:
    return view.ended if view.job is None else view.job.state in ("succeeded", "failed", "cancelled")


__all__ = ["Client"]
