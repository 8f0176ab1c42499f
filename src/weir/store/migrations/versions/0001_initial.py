"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), server_default="", nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="access: every mutating call: who, what, from where; append-only",
    )
    op.create_table(
        "centre",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("draining", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("agent_draining", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("agent_incarnation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("report_number", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("synchronised_with", sa.Text(), server_default="", nullable=False),
        sa.Column("heartbeat_ms", sa.BigInteger(), nullable=True),
        sa.Column("reachable", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("desired_revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unclaimed", sa.Text(), server_default="[]", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_centre")),
        comment=(
            "body, removed, draining: registry. agent_*, report_number, synchronised_with (the "
            "store's incarnation of which a full report was taken in), heartbeat_ms, unclaimed: "
            "control.reports. reachable, desired_revision: control"
        ),
    )
    op.create_table(
        "change",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), server_default="", nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_change")),
        comment="store: the change log; position order is commit order",
    )
    op.create_table(
        "city",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_city")),
        comment="registry: model.province.City",
    )
    op.create_table(
        "device_model",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_model")),
        comment="registry: model.province.DeviceModel",
    )
    op.create_table(
        "followed",
        sa.Column("job", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job", "epoch", "task", "stream", name=op.f("pk_followed")),
        comment="control: logs that somebody reads now",
    )
    op.create_index(op.f("ix_followed_centre"), "followed", ["centre"], unique=False)
    op.create_table(
        "idempotency",
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token", "key", name=op.f("pk_idempotency")),
        comment="access: answers already given to a create with this key",
    )
    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
        comment="control: who leads, since which election, reachable where",
    )
    op.create_table(
        "link",
        sa.Column("a", sa.Text(), nullable=False),
        sa.Column("b", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("a", "b", name=op.f("pk_link")),
        comment="registry: model.province.Link, a < b",
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
        comment="store: incarnation (new at every restore), change_floor (lowest position still kept)",
    )
    op.create_table(
        "organisation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organisation")),
        comment="registry: model.province.Organisation",
    )
    op.create_table(
        "reason",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_reason")),
        comment="control: why a pool was chosen, per pool; shared by attempts decided alike",
    )
    op.create_table(
        "specification",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_specification")),
        comment="control.intake: model.job.JobSpecification, by the SHA-256 of its canonical JSON",
    )
    op.create_table(
        "token",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), server_default="", nullable=False),
        sa.Column("project", sa.Text(), server_default="", nullable=False),
        sa.Column("centre", sa.Text(), server_default="", nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_token")),
        sa.UniqueConstraint("digest", name=op.f("uq_token_digest")),
        comment="access: SHA-256 of a random 256-bit secret",
    )
    op.create_table(
        "upload",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", "organisation", name=op.f("pk_upload")),
        comment="control.intake: who has brought which blob, and so may use and read it",
    )
    op.create_table(
        "invite",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["centre"], ["centre.id"], name=op.f("fk_invite_centre")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_invite")),
        comment="access: one-time codes with which agents join",
    )
    op.create_table(
        "pool",
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("removed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("observed", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["centre"], ["centre.id"], name=op.f("fk_pool_centre")),
        sa.PrimaryKeyConstraint("centre", "id", name=op.f("pk_pool")),
        comment=(
            "body, removed (draining until empty): registry. observed (model.agent.PoolObservation): "
            "control.reports"
        ),
    )
    op.create_table(
        "project",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("default_time_limit_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["organisation"], ["organisation.id"], name=op.f("fk_project_organisation")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        comment="registry",
    )
    op.create_index(op.f("ix_project_organisation"), "project", ["organisation"], unique=False)
    op.create_table(
        "submission",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("first_job", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("is_array", sa.Boolean(), nullable=False),
        sa.Column("submitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts_allowed", sa.Integer(), nullable=False),
        sa.Column("unmet", sa.Integer(), server_default="0", nullable=False),
        sa.Column("dependency_failed", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("labels", sa.Text(), server_default="{}", nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"], ["organisation.id"], name=op.f("fk_submission_organisation")
        ),
        sa.ForeignKeyConstraint(["project"], ["project.id"], name=op.f("fk_submission_project")),
        sa.ForeignKeyConstraint(
            ["specification"], ["specification.digest"], name=op.f("fk_submission_specification")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_submission")),
        sa.UniqueConstraint("first_job", name=op.f("uq_submission_first_job")),
        sa.UniqueConstraint("id", name=op.f("uq_submission_id")),
        comment="control.intake; unmet (dependencies not met yet), dependency_failed: control.dependencies",
    )
    op.create_index(
        op.f("ix_submission_organisation_number"), "submission", ["organisation", "number"], unique=False
    )
    op.create_table(
        "dependency",
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("on_submission", sa.BigInteger(), nullable=False),
        sa.Column("on_job", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["on_submission"], ["submission.number"], name=op.f("fk_dependency_on_submission")
        ),
        sa.ForeignKeyConstraint(["submission"], ["submission.number"], name=op.f("fk_dependency_submission")),
        sa.PrimaryKeyConstraint("submission", "on_submission", "on_job", name=op.f("pk_dependency")),
        comment=(
            "on_job: one element's number, or 0 for all of the submission. remaining: jobs yet to "
            "succeed, control.dependencies"
        ),
    )
    op.create_index(op.f("ix_dependency_on_submission"), "dependency", ["on_submission"], unique=False)
    op.create_table(
        "job",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("submission", sa.BigInteger(), nullable=False),
        sa.Column("array_index", sa.Integer(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("epoch", sa.Integer(), server_default="0", nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("time_limit_ms", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.Boolean(), server_default="0", nullable=False),
        sa.Column("cancelled_ms", sa.BigInteger(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("queued_ms", sa.BigInteger(), nullable=True),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["submission"], ["submission.number"], name=op.f("fk_job_submission")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_job")),
        comment=(
            "priority, time_limit_ms, held, cancelled_ms: intake. epoch: control. state, cause, "
            "exit_code and the times: the state function, in whichever transaction changes a fact; "
            "each write raises version"
        ),
    )
    op.create_index(op.f("ix_job_state_number"), "job", ["state", "number"], unique=False)
    op.create_index(op.f("ix_job_submission_array_index"), "job", ["submission", "array_index"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("job", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("centre", sa.Text(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("nodes", sa.Text(), nullable=False),
        sa.Column("desired", sa.SmallInteger(), nullable=False),
        sa.Column("desired_revision", sa.BigInteger(), nullable=False),
        sa.Column("observed", sa.SmallInteger(), server_default="0", nullable=False),
        sa.Column("placed_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.Integer(), nullable=True),
        sa.Column("message", sa.Text(), server_default="", nullable=False),
        sa.Column("dropped_log_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["job.number"], name=op.f("fk_attempt_job")),
        sa.PrimaryKeyConstraint("job", "epoch", name=op.f("pk_attempt")),
        comment=(
            "placement, desired, desired_revision, term, reason: control. observed and what follows "
            "from it: control.reports, from the agent's reports alone"
        ),
    )
    op.create_index(
        op.f("ix_attempt_centre_desired_revision"), "attempt", ["centre", "desired_revision"], unique=False
    )
    op.create_index(op.f("ix_attempt_centre_observed"), "attempt", ["centre", "observed"], unique=False)
    op.create_table(
        "output",
        sa.Column("job", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["job.number"], name=op.f("fk_output_job")),
        sa.PrimaryKeyConstraint("job", "epoch", "task", "path", name=op.f("pk_output")),
        comment="control.reports: files that an attempt handed over",
    )
    op.create_index(op.f("ix_output_digest"), "output", ["digest"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # Positions are drawn from it under a lock; SQLite's single writer counts by itself.
        op.execute("CREATE SEQUENCE change_position")
