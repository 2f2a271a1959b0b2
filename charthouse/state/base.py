"""What all tables of the state database share: the declarative base, names of constraints, instants, ids."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, DateTime, Integer, MetaData, String, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

from charthouse.clock import now

__all__ = ["NAMES", "Base", "Key", "UtcDateTime", "new_key", "now", "one_of"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Dialect

# Every constraint has a name, so that a migration can change it on either database.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant, aware in Python: `timestamptz` on PostgreSQL, UTC text on SQLite, where text order is time order.

    Raises:
        ValueError: for a naive datetime, whose instant nobody knows.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC; SQLite has no zones."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime is no instant")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware, in UTC, whatever the database's zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The declarative base of the state database."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own way to declare it
        datetime: UtcDateTime,
        str: String(255),
        int: BigInteger().with_variant(Integer(), "sqlite"),  # SQLite counts rows up in INTEGER columns only
        dict[str, Any]: JSON,
    }


Key = String(36)
"""A UUID as text, and the type of every column that points at one."""


def one_of(column: str, values: Sequence[str]) -> CheckConstraint:
    """A CHECK that a text column holds one of the declared words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(value) for value in values)})", name=column)


def new_key() -> str:
    """A random id that says nothing about anyone."""
    return str(uuid.uuid4())
