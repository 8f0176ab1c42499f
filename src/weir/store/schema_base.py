"""What all tables share: one set of them, names for their constraints, and the 64-bit key."""

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# A 64-bit key that SQLite also numbers by itself.
Key = BigInteger().with_variant(Integer(), "sqlite")

__all__ = ["Key", "metadata"]
