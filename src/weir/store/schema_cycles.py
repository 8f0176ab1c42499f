"""The tables of cycles that are kept, so that they can be run again."""

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Table, Text

from weir.store.schema_base import metadata

kept_cycle = Table(
    "kept_cycle",
    metadata,
    Column("through", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("code", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("body", LargeBinary, nullable=False),
    comment="control.journal: by the position that a cycle rests on, what it was told and what came of it; whole: it "
    "began from nothing. Dropped after some days",
)

cycle_base = Table(
    "cycle_base",
    metadata,
    Column("through", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
    comment="control.journal: all that the scheduler knew after the cycle that rests on this position",
)

__all__ = ["cycle_base", "kept_cycle"]
