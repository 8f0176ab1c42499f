"""The table of what is held about organisations. Days are ISO texts, which compare as days do."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from weir.store.schema_base import Key, metadata

organisation_fact = Table(
    "organisation_fact",
    metadata,
    Column("id", Key, primary_key=True, autoincrement=True),
    Column("organisation", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("valid_from", Text, nullable=False),
    Column("valid_through", Text),
    Column("evidence", Text, nullable=False, server_default=""),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("recorded_by", Text, nullable=False),
    Column("withdrawn_ms", BigInteger),
    Column("withdrawn_by", Text),
    Index(None, "organisation", "name"),
    comment="registry: model.fact.Fact; rows are added and withdrawn, never changed. An "
    "organisation need not be declared, since facts may come before it does",
)

__all__ = ["organisation_fact"]
