"""Databases as files: statistics that outlive the rows, pages that are free but not empty, journals.

DuckLake keeps the least and the greatest value of every column, of tables as well as of files; deleted rows leave those
of the tables as they were. SQLite leaves what was deleted in free pages and in its journal until it is rewritten.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from charthouse.errors import PrivacyError
from charthouse.lake.session import RECORDS, VAULT, writing
from charthouse.privacy.registry import places
from charthouse.state.engine import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from charthouse.settings import Settings

BUSY_SECONDS: Final = 60
_NUMBERS: Final = ("INT", "FLOAT", "DOUBLE", "DECIMAL", "HUGEINT")
# Rows of files and tables that are no more.
_LEFT: Final = (
    "DELETE FROM ducklake_file_column_stats WHERE data_file_id NOT IN (SELECT data_file_id FROM ducklake_data_file)",
    "DELETE FROM ducklake_file_variant_stats WHERE data_file_id NOT IN (SELECT data_file_id FROM ducklake_data_file)",
    "DELETE FROM ducklake_table_column_stats WHERE table_id NOT IN (SELECT table_id FROM ducklake_table)",
)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Where a lake's catalog is: a SQLite file, or a PostgreSQL database."""

    lake: str
    file: Path | None
    url: str

    @contextmanager
    def opened(self) -> Iterator[Connection]:
        """A transaction with it; DuckLake's own tables are plain ones."""
        made = create_engine(self.url, hide_parameters=True, **self._options())
        try:
            with made.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise PrivacyError("CH911", where=f"catalog of {self.lake}", what=type(error.orig).__name__) from None
        finally:
            made.dispose()

    def _options(self) -> dict[str, Any]:
        return {"connect_args": {"timeout": BUSY_SECONDS}} if self.file else {}


def catalogs(settings: Settings) -> list[Catalog]:
    """The catalogs of both lakes, those that there are."""
    found = []
    for lake, given in ((VAULT, settings.vault_catalog), (RECORDS, settings.records_catalog)):
        if given.startswith("postgres:"):
            found.append(Catalog(lake, None, _postgres_url(given.removeprefix("postgres:"))))
            continue
        file = Path(given.removeprefix("sqlite:")) if given else settings.home / lake / "catalog.sqlite"
        if file.exists():
            found.append(Catalog(lake, file, f"sqlite:///{file}"))
    return found


def scrub(settings: Settings) -> None:
    """Let statistics tell of rows that there are, and nothing else."""
    if not places("catalogs", "statistics"):
        return
    for catalog in catalogs(settings):
        with writing(catalog.lake, settings), catalog.opened() as connection:
            for statement in _LEFT:
                connection.execute(text(statement))
            _narrow(connection)


def _narrow(connection: Connection) -> None:
    """Give tables the least and greatest value of their files; forget those that cannot be told."""
    kinds = {
        (table, column): kind.upper()
        for table, column, kind in connection.execute(
            text("SELECT table_id, column_id, column_type FROM ducklake_column WHERE end_snapshot IS NULL")
        )
    }
    least: dict[tuple[int, int], list[str | None]] = {}
    greatest: dict[tuple[int, int], list[str | None]] = {}
    files = connection.execute(
        text(
            "SELECT s.table_id, s.column_id, s.min_value, s.max_value, s.value_count, s.null_count "
            "FROM ducklake_file_column_stats s JOIN ducklake_data_file f ON f.data_file_id = s.data_file_id "
            "WHERE f.end_snapshot IS NULL"
        )
    )
    for table, column, low, high, values, nulls in files:
        if values is not None and nulls is not None and low is None and high is None and values == 0:
            continue  # a column of nothing in that file
        least.setdefault((table, column), []).append(low)
        greatest.setdefault((table, column), []).append(high)
    stated = list(
        connection.execute(text("SELECT table_id, column_id, min_value, max_value FROM ducklake_table_column_stats"))
    )
    for table, column, low, high in stated:
        key, kind = (table, column), kinds.get((table, column), "")
        new_low = _extreme(least.get(key, []), kind, smallest=True)
        new_high = _extreme(greatest.get(key, []), kind, smallest=False)
        if (new_low, new_high) != (low, high):
            connection.execute(
                text(
                    "UPDATE ducklake_table_column_stats SET min_value = :low, max_value = :high "
                    "WHERE table_id = :table_id AND column_id = :column_id"
                ),
                {"low": new_low, "high": new_high, "table_id": table, "column_id": column},
            )


def _extreme(values: list[str | None], kind: str, *, smallest: bool) -> str | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    if not any(word in kind for word in _NUMBERS):
        return (min if smallest else max)(known, key=lambda value: value.encode())
    try:
        return (min if smallest else max)(known, key=Decimal)
    except InvalidOperation:
        return None


def rewrite(settings: Settings) -> None:
    """Rewrite all database files of the home, so that free pages and journals hold nothing.

    Raises:
        PrivacyError: CH911 when one is held by others for too long, or cannot be written.
    """
    declared = {place.name for place in places("files", "rewrite")}
    for catalog in catalogs(settings) if "catalog files" in declared else ():
        with writing(catalog.lake, settings):
            _rewrite(f"catalog of {catalog.lake}", catalog.url, catalog.file, "ducklake_%")
    if "state file" in declared:
        engine(settings).dispose()  # connections that idle here would keep the journal
        _rewrite("state", settings.state_database, _file_of(settings.state_database), "")
    airflow = settings.airflow_metadata
    file = _file_of(airflow)
    if "airflow's file" in declared and (file is None or file.exists()):
        _rewrite("airflow", airflow, file, "")


def _file_of(url: str) -> Path | None:
    made = make_url(url)
    return Path(made.database) if made.get_backend_name() == "sqlite" and made.database else None


def _rewrite(name: str, url: str, file: Path | None, tables: str) -> None:
    if file is None:
        _rewrite_postgres(name, url, tables)
        return
    try:
        with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy is not None and busy[0] == 1:
            raise PrivacyError("CH911", where=name, what="its journal is in use")
    except sqlite3.Error as error:
        raise PrivacyError("CH911", where=name, what=type(error).__name__) from None


def _rewrite_postgres(name: str, url: str, tables: str) -> None:
    made = create_engine(url, hide_parameters=True, isolation_level="AUTOCOMMIT")
    try:
        with made.connect() as connection:
            connection.execute(text(f"SET lock_timeout = '{BUSY_SECONDS}s'"))
            found = connection.execute(
                text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE :like"),
                {"like": tables or "%"},
            )
            for (table,) in found.all():
                connection.execute(text(f'VACUUM FULL "{table}"'))
    except DBAPIError as error:
        raise PrivacyError("CH911", where=name, what=type(error.orig).__name__) from None
    finally:
        made.dispose()


def _postgres_url(dsn: str) -> str:
    """A SQLAlchemy URL of a libpq connection text, as DuckDB takes it."""
    from psycopg.conninfo import conninfo_to_dict
    from sqlalchemy import URL

    words = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    return URL.create(
        "postgresql+psycopg",
        username=words.get("user"),
        password=words.get("password"),
        host=words.get("host"),
        port=int(words["port"]) if words.get("port") else None,
        database=words.get("dbname"),
    ).render_as_string(hide_password=False)
