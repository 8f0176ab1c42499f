"""What control wants of attempts: its one writer, and the revision by which agents see that it changed."""

from collections.abc import Collection, Sequence

from sqlalchemy import bindparam, select, update

from weir.control.listed import among_texts, text_list
from weir.control.names import AttemptKey
from weir.model.state import Desired, Observed
from weir.store import Transaction, schema

_attempt = schema.attempt.c
_centre = schema.centre.c

_RAISE = (
    update(schema.centre)
    .where(among_texts(_centre.id, "centres"))
    .values(desired_revision=_centre.desired_revision + 1)
)
_REVISIONS = select(_centre.id, _centre.desired_revision).where(among_texts(_centre.id, "centres"))
_WANT = (
    update(schema.attempt)
    .where(
        _attempt.job == bindparam("of_job"),
        _attempt.epoch == bindparam("of_epoch"),
        _attempt.desired < bindparam("wanted"),
        _attempt.observed < int(Observed.ENDED),
    )
    .values(desired=bindparam("wanted"), desired_revision=bindparam("revision"))
)


def raise_revisions(tx: Transaction, centres: Collection[str]) -> dict[str, int]:
    """Begin a new revision at these centres, whose agents wake after the commit: once in a transaction."""
    if not centres:
        return {}
    listed = {"centres": text_list(sorted(centres))}
    tx.connection.execute(_RAISE, listed)
    for centre in centres:
        tx.touch_centre(centre)
    return {row.id: row.desired_revision for row in tx.connection.execute(_REVISIONS, listed)}


def want(
    tx: Transaction, attempts: Sequence[tuple[AttemptKey, str]], desired: Desired, revisions: dict[str, int]
) -> None:
    """Set what is desired of attempts (each with its centre); one that has ended or goes further already stays."""
    if attempts:
        tx.connection.execute(
            _WANT,
            [
                {
                    "of_job": key.job,
                    "of_epoch": key.epoch,
                    "wanted": int(desired),
                    "revision": revisions[centre],
                }
                for key, centre in attempts
            ],
        )


__all__ = ["raise_revisions", "want"]
