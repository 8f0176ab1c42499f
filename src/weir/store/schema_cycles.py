"""The tables of cycles that are kept, so that they can be run again, and of what is foretold."""

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Table, Text

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

forecast = Table(
    "forecast",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("as_of_ms", BigInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("none", Text, nullable=False),
    Column("calibration", Text, nullable=False),
    Column("body", LargeBinary),
    comment="control.foretelling: one row, the last outlook on when jobs will start, or why there is none; and what "
    "was learnt from all before it",
)

__all__ = ["cycle_base", "forecast", "kept_cycle"]
