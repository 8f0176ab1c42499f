"""Which blobs an organisation has brought, and so may use in its jobs."""

from sqlalchemy import Connection, select

from weir.access import Actor, record
from weir.control.additions import add_missing
from weir.store import Transaction, schema

_upload = schema.upload.c
_output = schema.output.c


def is_uploaded(connection: Connection, organisation: str, digest: str) -> bool:
    """Whether this organisation has brought this blob."""
    query = select(_upload.digest).where(_upload.digest == digest, _upload.organisation == organisation)
    return connection.execute(query).first() is not None


def is_kept(connection: Connection, digest: str) -> bool:
    """Whether anybody has brought this blob, or any job has handed it over."""
    uploads = select(_upload.digest).where(_upload.digest == digest)
    outputs = select(_output.digest).where(_output.digest == digest, _output.url == "")
    return any(connection.execute(query.limit(1)).first() is not None for query in (uploads, outputs))


def note_upload(
    tx: Transaction, actor: Actor, organisation: str, digest: str, size_bytes: int, now_ms: int
) -> None:
    """This organisation has brought the blob, which is here whole. Doing so again changes nothing."""
    if is_uploaded(tx.connection, organisation, digest):
        return
    row = {"digest": digest, "organisation": organisation, "size_bytes": size_bytes, "at_ms": now_ms}
    add_missing(tx.connection, schema.upload, [row])
    record(tx, actor, "blob.upload", digest, {"size_bytes": size_bytes}, now_ms, organisation=organisation)


__all__ = ["is_kept", "is_uploaded", "note_upload"]
