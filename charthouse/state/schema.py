"""The version of the state database's schema: what it is, what this code wants, and how to get there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from charthouse.errors import StateError
from charthouse.settings import Settings, get_settings
from charthouse.state.engine import describe, engine, sqlite_file

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x636861727468  # an advisory lock of PostgreSQL: one migrates, the others wait

_current: set[tuple[str, int]] = set()


def migrate(settings: Settings | None = None) -> str:
    """Bring the state database to this code's version, in one transaction. Returns that version; safe to repeat.

    Raises:
        StateError: CH603 when the database is ahead of this code, CH605 when it cannot be used.
    """
    settings = settings or get_settings()
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))  # SQLite itself would leave it open to others
    now = current_version(settings)
    if now is not None and now not in _known_versions():
        raise StateError("CH603", what=f"it is at {now}, which this code does not know")
    try:
        with engine(settings).begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise StateError("CH605", what=describe(error)) from None
    return head_version()


def current_version(settings: Settings | None = None) -> str | None:
    """The version the database is at; None where there is none yet.

    Raises:
        StateError: CH605 when the database cannot be used.
    """
    settings = settings or get_settings()
    file = sqlite_file(settings)
    if file is not None and not file.exists():
        return None
    try:
        with engine(settings).execution_options(postgresql_readonly=True).connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise StateError("CH605", what=describe(error)) from None


@cache
def head_version() -> str:
    """The version this code wants."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def require_current(settings: Settings) -> None:
    """Check, once a process and database, that the schema is this code's.

    Raises:
        StateError: CH603 when it is not, CH609 when there is none.
    """
    seen = (settings.state_database, os.getpid())
    if seen in _current:
        return
    now = current_version(settings)
    if now is None:
        raise StateError("CH609", where=str(sqlite_file(settings) or "CHARTHOUSE_STATE_URL"))
    if now != head_version():
        raise StateError("CH603", what=f"it is at {now}, this code wants {head_version()}")
    _current.add(seen)


@cache
def _known_versions() -> frozenset[str]:
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
