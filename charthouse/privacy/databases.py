"""Databases as a backup sees them: an SQLite file, copied while others write, or PostgreSQL, by its own tools."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import conninfo
from sqlalchemy import make_url

from charthouse.errors import PrivacyError
from charthouse.lake.session import RECORDS, VAULT
from charthouse.state.engine import BUSY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charthouse.settings import Settings

STATE: Final = "state"


@dataclass(frozen=True, slots=True)
class Database:
    """One of the three that a home has: a file, or an address of PostgreSQL (with its password)."""

    name: str
    file: Path | None
    address: str = ""

    @property
    def kind(self) -> str:
        """`sqlite` or `postgres`."""
        return "postgres" if self.file is None else "sqlite"

    @property
    def copy_name(self) -> str:
        """Where its copy stands in a backup."""
        where = "" if self.name == STATE else f"{self.name}/"
        base = "state" if self.name == STATE else "catalog"
        return f"{where}{base}.{'dump' if self.file is None else 'sqlite'}"


def database_of(name: str, settings: Settings) -> Database:
    """The state (`state`), or the catalog of a lake (`vault`, `records`).

    Raises:
        PrivacyError: CH955 for a catalog that is neither an SQLite file nor PostgreSQL.
    """
    if name == STATE:
        url = make_url(settings.state_database)
        if url.get_backend_name() == "sqlite":
            return Database(name, Path(str(url.database)))
        words = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
        return Database(name, None, conninfo.make_conninfo(**{key: str(value) for key, value in words.items()}))
    given = {VAULT: settings.vault_catalog, RECORDS: settings.records_catalog}[name]
    if not given:
        return Database(name, settings.home / name / "catalog.sqlite")
    kind, _, address = given.partition(":")
    return Database(name, Path(address)) if kind.lower() == "sqlite" else Database(name, None, address)


@contextmanager
def copied(database: Database, target: Path) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Copy a database as it is at one moment to `target`; gives what asks questions of that very moment.

    Raises:
        PrivacyError: CH952 when it is not there or cannot be read, CH957 when PostgreSQL's tools are missing,
            or too old.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if database.file is not None:
        _copy_file(database, target)
        with closing(sqlite3.connect(f"{target.absolute().as_uri()}?mode=ro", uri=True)) as made:
            yield lambda query: made.execute(query).fetchall()
        return
    dump = _tool("pg_dump", database.name)
    try:
        with psycopg.connect(database.address, autocommit=True) as connection:
            _require(dump, connection.info.server_version // 10_000, database.name)
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            moment = str(row[0]) if row else ""
            run = [dump, "--format=custom", "--no-owner", "--no-privileges", f"--snapshot={moment}", f"--file={target}"]
            _run(run, database, "CH952")
            yield lambda query: connection.execute(query).fetchall()
            connection.execute("ROLLBACK")
    except psycopg.Error as error:
        raise PrivacyError("CH952", where=database.name, what=type(error).__name__) from None


def put_back(database: Database, copy: Path, *, replace: bool) -> None:
    """Load a dump into the PostgreSQL database of the settings: all of it, or nothing.

    Raises:
        PrivacyError: CH957 when its tool is missing;
            CH954 when the database has tables already and may not be replaced, or does not take the dump.
    """
    restore = _tool("pg_restore", database.name)
    if not replace and not is_empty(database):
        raise PrivacyError("CH954", where=database.name, what="the database has tables already")
    options = ["--clean", "--if-exists"] if replace else []
    words = [restore, *options, "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(copy)]
    _run(words, database, "CH954", into=True)


def is_empty(database: Database) -> bool:
    """Whether there is nothing in it yet, or no file.

    Raises:
        PrivacyError: CH954 when the database cannot be asked.
    """
    if database.file is not None:
        return not database.file.exists()
    try:
        with psycopg.connect(database.address) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LIMIT 1"
            ).fetchone()
    except psycopg.Error as error:
        raise PrivacyError("CH954", where=database.name, what=type(error).__name__) from None
    return found is None


def _copy_file(database: Database, target: Path) -> None:
    source = database.file
    if source is None or not source.is_file():
        raise PrivacyError("CH952", where=database.name, what="there is no such file; run: charthouse init")
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        with (
            closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS)
            ) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)  # in one step: writers wait for milliseconds, and it is of one moment
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", "") in ("SQLITE_FULL", "SQLITE_IOERR_WRITE"):
            raise PrivacyError("CH952", where=str(target), what="no space left on the device") from None
        raise PrivacyError("CH952", where=database.name, what=type(error).__name__) from None


def _tool(name: str, database: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise PrivacyError("CH957", where=database, what=f"it is PostgreSQL, and {name} is not on the PATH")
    return found


def _require(dump: str, server: int, database: str) -> int:
    """The version of `pg_dump`, which has to be the server's or a newer one: it refuses a newer server."""
    said = subprocess.run([dump, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\s(\d+)", said)
    mine = int(found[1]) if found else 0
    if mine < server:
        raise PrivacyError("CH957", where=database, what=f"pg_dump is of version {mine}, the server of {server}")
    return mine


def tools(settings: Settings) -> str | None:
    """What backs up the databases that are PostgreSQL, in words; None where none is.

    Raises:
        PrivacyError: CH957 when a tool is missing or too old, CH952 when a database cannot be asked.
    """
    said = None
    for name in (STATE, VAULT, RECORDS):
        database = database_of(name, settings)
        if database.file is not None:
            continue
        dump, _ = _tool("pg_dump", name), _tool("pg_restore", name)
        try:
            with psycopg.connect(database.address) as connection:
                server = connection.info.server_version // 10_000
        except psycopg.Error as error:
            raise PrivacyError("CH952", where=name, what=type(error).__name__) from None
        said = f"pg_dump {_require(dump, server, name)}, server {server}"
    return said


def _run(command: list[str], database: Database, code: str, *, into: bool = False) -> None:
    """Run a tool of PostgreSQL. The password goes by its environment, where `ps` does not show it."""
    words: dict[str, Any] = dict(conninfo.conninfo_to_dict(database.address))
    password = words.pop("password", None)
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    address = conninfo.make_conninfo(**words)
    done = subprocess.run(  # noqa: S603
        [*command[:1], f"--dbname={address}", *command[1:]], env=environment, capture_output=True, check=False
    )
    if done.returncode:
        what = f"{Path(command[0]).name} ended with {done.returncode}"
        raise PrivacyError(code, where=database.name, what=f"{what}; nothing was loaded" if into else what)
