"""Engines of the state database: SQLite and PostgreSQL made to behave alike.

A writing transaction holds SQLite's one write lock from its first statement (`BEGIN IMMEDIATE`): a read that turns into
a write half-way would fail at once in WAL mode, whatever the busy timeout.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url

from charthouse.settings import Settings, get_settings

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine
    from sqlalchemy.exc import DBAPIError

BUSY_SECONDS = 30


def engine(settings: Settings | None = None) -> Engine:
    """The engine of this process: a forked child gets one of its own, connections do not survive a fork."""
    return _engine((settings or get_settings()).state_database, os.getpid())


@cache
def _engine(url: str, pid: int) -> Engine:  # noqa: ARG001  # the process id is part of the cache's key
    # hide_parameters: what SQLAlchemy raises must not show values.
    if make_url(url).get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, pool_pre_ping=True, max_overflow=30)
    made = create_engine(
        url,
        hide_parameters=True,
        max_overflow=30,
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )
    event.listen(made, "connect", _prepare_sqlite)
    event.listen(made, "begin", _begin_sqlite)
    return made


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # synchronous=FULL: a rotated token that was committed must survive a power cut; the old one is spent.
    # secure_delete: what is deleted is overwritten, so that an erasure leaves no bytes.
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("postgresql_readonly", False)
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def describe(error: DBAPIError) -> str:
    """What went wrong in the database, without the values that its own message may quote."""
    diagnosis = getattr(error.orig, "diag", None)
    parts = (
        type(error.orig).__name__,
        getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None),
        getattr(diagnosis, "constraint_name", None),
    )
    return " ".join(part for part in parts if part)


def sqlite_file(settings: Settings) -> Path | None:
    """The file of an embedded state database; None where a server holds it."""
    from pathlib import Path

    url = make_url(settings.state_database)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
