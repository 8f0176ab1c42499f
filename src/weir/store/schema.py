"""The tables. Each column has one writer, named in its table's comment (design: one writer of each fact).

Times are integer milliseconds since the epoch; sizes are bytes; enumerations are stored as their value.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
)

from weir.store.schema_base import Key, metadata
from weir.store.schema_cycles import cycle_base, forecast, kept_cycle
from weir.store.schema_facts import organisation_fact
from weir.store.schema_ledger import (
    counter_check,
    ledger_account,
    ledger_book,
    ledger_counter,
    ledger_entry,
    ledger_transfer,
)
from weir.store.schema_money import (
    budget,
    charge,
    contract,
    contract_document,
    hold,
    job_hold,
    meter,
    money_exception,
    price_book,
)
from weir.store.schema_schemes import (
    redemption,
    scheme,
    settlement,
    statement,
    statement_close,
    voucher_check,
    voucher_claim,
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    comment="store: incarnation (new at every restore), change_floor (lowest position still kept)",
)

change = Table(
    "change",
    metadata,
    Column("position", Key, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("organisation", Text, nullable=False, server_default=""),
    Column("body", Text, nullable=False),
    comment="store: the change log; position order is commit order",
)

lease = Table(
    "lease",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    comment="control: who leads, since which election, reachable where",
)

organisation = Table(
    "organisation",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="registry: model.province.Organisation",
)

project = Table(
    "project",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organisation", Text, ForeignKey("organisation.id"), nullable=False, index=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("default_time_limit_ms", BigInteger),
    comment="registry",
)

city = Table(
    "city",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="registry: model.province.City",
)

device_model = Table(
    "device_model",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="registry: model.province.DeviceModel",
)

centre = Table(
    "centre",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("removed", Boolean, nullable=False, server_default="0"),
    Column("draining", Boolean, nullable=False, server_default="0"),
    Column("agent_draining", Boolean, nullable=False, server_default="0"),
    Column("agent_incarnation", BigInteger, nullable=False, server_default="0"),
    Column("report_number", BigInteger, nullable=False, server_default="0"),
    Column("synchronised_with", Text, nullable=False, server_default=""),
    Column("heartbeat_ms", BigInteger),
    Column("reachable", Boolean, nullable=False, server_default="0"),
    Column("desired_revision", BigInteger, nullable=False, server_default="0"),
    Column("unclaimed", Text, nullable=False, server_default="[]"),
    comment="body, removed, draining: registry. agent_*, report_number, synchronised_with (the store's "
    "incarnation of which a full report was taken in), heartbeat_ms, unclaimed: control.reports. reachable, "
    "desired_revision: control",
)

pool = Table(
    "pool",
    metadata,
    Column("centre", Text, ForeignKey("centre.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("removed", Boolean, nullable=False, server_default="0"),
    Column("observed", Text),
    Column("expected_wait_ms", BigInteger),
    Column("expected_wait_from", Text, nullable=False, server_default=""),
    comment="body, removed (draining until empty): registry. observed (model.agent.PoolObservation), expected_wait_ms "
    "(in its own queue) and whose word that is (engine or history): control.reports",
)

link = Table(
    "link",
    metadata,
    Column("a", Text, primary_key=True),
    Column("b", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="registry: model.province.Link, a < b",
)

token = Table(
    "token",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("organisation", Text, nullable=False, server_default=""),
    Column("project", Text, nullable=False, server_default=""),
    Column("centre", Text, nullable=False, server_default=""),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    comment="access: SHA-256 of a random 256-bit secret",
)

invite = Table(
    "invite",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("centre", Text, ForeignKey("centre.id"), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    comment="access: one-time codes with which agents join",
)

audit = Table(
    "audit",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("organisation", Text, nullable=False, server_default=""),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("detail", Text, nullable=False, server_default="{}"),
    comment="access: every mutating call: who, what, from where; append-only",
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("token", BigInteger, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    comment="access: answers already given to a create with this key",
)

specification = Table(
    "specification",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="control.intake: model.job.JobSpecification, by the SHA-256 of its canonical JSON",
)

submission = Table(
    "submission",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("organisation", Text, ForeignKey("organisation.id"), nullable=False),
    Column("project", Text, ForeignKey("project.id"), nullable=False),
    Column("owner", Text, nullable=False),
    Column("name", Text, nullable=False, server_default=""),
    Column("specification", Text, ForeignKey("specification.digest"), nullable=False),
    Column("first_job", BigInteger, nullable=False, unique=True),
    Column("size", Integer, nullable=False),
    Column("is_array", Boolean, nullable=False),
    Column("submitted_ms", BigInteger, nullable=False),
    Column("attempts_allowed", Integer, nullable=False),
    Column("unmet", Integer, nullable=False, server_default="0"),
    Column("dependency_failed", Boolean, nullable=False, server_default="0"),
    Column("labels", Text, nullable=False, server_default="{}"),
    Index(None, "organisation", "number"),
    comment="control.intake; unmet (dependencies not met yet), dependency_failed: control.dependencies",
)

job = Table(
    "job",
    metadata,
    Column("number", Key, primary_key=True, autoincrement=False),
    Column("submission", BigInteger, ForeignKey("submission.number"), nullable=False),
    Column("array_index", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("cause", Text),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("priority", SmallInteger, nullable=False),
    Column("time_limit_ms", BigInteger, nullable=False),
    Column("held", Boolean, nullable=False, server_default="0"),
    Column("cancelled_ms", BigInteger),
    Column("exit_code", Integer),
    Column("queued_ms", BigInteger),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("withdrawals", Integer, nullable=False, server_default="0"),
    Index(None, "submission", "array_index"),
    Index(None, "state", "number"),
    comment="priority, time_limit_ms, held, cancelled_ms: intake. epoch, withdrawals (how many of its attempts "
    "were taken back before they started): control. state, cause, exit_code "
    "and the times: the state function, in whichever transaction changes a fact; each write raises version",
)

dependency = Table(
    "dependency",
    metadata,
    Column("submission", BigInteger, ForeignKey("submission.number"), primary_key=True),
    Column("on_submission", BigInteger, ForeignKey("submission.number"), primary_key=True),
    Column("on_job", BigInteger, primary_key=True),
    Column("remaining", Integer, nullable=False),
    Index(None, "on_submission"),
    comment="on_job: one element's number, or 0 for all of the submission. remaining: jobs yet to succeed, "
    "control.dependencies",
)

attempt = Table(
    "attempt",
    metadata,
    Column("job", BigInteger, ForeignKey("job.number"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("centre", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("desired", SmallInteger, nullable=False),
    Column("desired_revision", BigInteger, nullable=False),
    Column("observed", SmallInteger, nullable=False, server_default="0"),
    Column("placed_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("cause", Text),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("message", Text, nullable=False, server_default=""),
    Column("dropped_log_bytes", BigInteger, nullable=False, server_default="0"),
    Column("term", BigInteger, nullable=False),
    Column("reason", Text),
    Column("expected_wait_ms", BigInteger),
    Column("withdrawn", Text, nullable=False, server_default=""),
    Index(None, "centre", "desired_revision"),
    Index(None, "centre", "observed"),
    comment="placement, desired, desired_revision, term, reason, expected_wait_ms (when it was placed), withdrawn (why "
    "it is to be taken back unless it has started): control. observed and what follows from it: "
    "control.reports, from the agent's reports alone",
)

reason = Table(
    "reason",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("body", Text, nullable=False),
    comment="control: why a pool was chosen, per pool; shared by attempts decided alike",
)

promise = Table(
    "promise",
    metadata,
    Column("job", BigInteger, primary_key=True, autoincrement=False),
    Column("pool", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("first_start_ms", BigInteger, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("cause", Text, nullable=False, server_default=""),
    comment="control.promises: what the last plan promised of pools (centre/pool), to which version of which job",
)

output = Table(
    "output",
    metadata,
    Column("job", BigInteger, ForeignKey("job.number"), primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("url", Text, nullable=False, server_default=""),
    comment="control.reports: files that an attempt handed over; with a url they lie there, and no blob is kept",
)

upload = Table(
    "upload",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("organisation", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    comment="control.intake: who has brought which blob, and so may use and read it",
)

followed = Table(
    "followed",
    metadata,
    Column("job", BigInteger, primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("task", Integer, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("centre", Text, nullable=False, index=True),
    Column("until_ms", BigInteger, nullable=False),
    comment="control: logs that somebody reads now",
)

__all__ = [
    "attempt",
    "audit",
    "budget",
    "centre",
    "change",
    "charge",
    "city",
    "contract",
    "contract_document",
    "counter_check",
    "cycle_base",
    "dependency",
    "device_model",
    "followed",
    "forecast",
    "hold",
    "idempotency",
    "invite",
    "job",
    "job_hold",
    "kept_cycle",
    "lease",
    "ledger_account",
    "ledger_book",
    "ledger_counter",
    "ledger_entry",
    "ledger_transfer",
    "link",
    "meta",
    "metadata",
    "meter",
    "money_exception",
    "organisation",
    "organisation_fact",
    "output",
    "pool",
    "price_book",
    "project",
    "promise",
    "reason",
    "redemption",
    "scheme",
    "settlement",
    "specification",
    "statement",
    "statement_close",
    "submission",
    "token",
    "upload",
    "voucher_check",
    "voucher_claim",
]
