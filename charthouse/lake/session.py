"""DuckDB connections to the two lakes. One connection a task: an attach costs more than most queries.

The vault and the records have catalogs of their own, so the analysts' credentials open the records alone. Both write
encrypted Parquet, whose keys live in the catalog: a catalog is as secret as the data behind it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from charthouse.errors import LakeError
from charthouse.log import get_logger
from charthouse.settings import Settings, get_settings
from transforms.failures import FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.resources.abc import Traversable

log = get_logger(__name__)

EXTENSIONS = ("httpfs", "sqlite_scanner", "postgres_scanner", "ducklake")

VAULT = "vault"
RECORDS = "records"
SPILL = "duckdb"
WRITING_SECONDS = 1800.0
"""How long a writer waits for another: a rewrite of a large lake takes minutes."""
BUSY_MILLISECONDS = 60_000
"""How long a SQLite catalog is waited for, which is locked for moments only."""
COMPACTION_BYTES = (400_000_000, 600_000_000, 2_000_000_000)
"""What a compaction may use, one after the other, that did not get by with a task's memory.

The rewriting of a partition sorts it: two threads took 2.1 GB where 2 GB were given, and one got by with 400 MB (a lake
of 10,000,000 rows, 100 people erased).
"""


_checked: set[tuple[str, int, int, int]] = set()
"""The extension files whose signature this process has seen DuckDB accept, each as it then was."""


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(
    settings: Settings | None = None, *, extensions: Sequence[str] = EXTENSIONS, trusting: bool = False
) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with extensions loaded and the task's limits set.

    Extensions are read from their packages, so nothing is downloaded or copied. DuckDB checks their signatures, which
    means hashing 20 to 40 MB each: 0.25 s of a core for a lake, a third of what a small night took. A process checks
    each file once, and again when it is another. A `trusting` connection leaves that to others. They stand beside
    DuckDB's own library, from the same hashed lock, and every night checks them.
    """
    settings = settings or get_settings()
    sealed = {_sealed(name) for name in extensions}
    checking = not trusting and not sealed <= _checked
    # A folder of its own: DuckDB refuses to encrypt into one in which another process spills, or left something.
    spill = settings.home / SPILL / f"{os.getpid()}-{secrets.token_hex(4)}"
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    spill.parent.mkdir(exist_ok=True, mode=0o700)
    connection = duckdb.connect(
        config={
            "temp_directory": str(spill),
            "memory_limit": settings.duckdb_memory,
            "threads": settings.duckdb_threads,
            # Freed memory goes back at once, at no measurable cost: a fifth less at the peak of a build.
            "allocator_flush_threshold": "1MB",
            "allocator_bulk_deallocation_flush_threshold": "1MB",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_unsigned_extensions": not checking,
        }
    )
    load(connection, *extensions)
    if checking:
        _checked.update(sealed)
    else:
        connection.execute("SET allow_unsigned_extensions = false")  # from here on, and there is no way back
    # httpfs brings the OpenSSL that encrypted Parquet and encrypted spill files need.
    connection.execute("SET temp_file_encryption = true; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    return connection


def load(connection: duckdb.DuckDBPyConnection, *extensions: str) -> None:
    """Load some of `EXTENSIONS`. What is loaded already costs nothing."""
    for name in extensions:
        connection.execute(f"LOAD {quoted(str(_extension_file(name)))}")


def _sealed(name: str) -> tuple[str, int, int, int]:
    """What tells the file of an extension from any other that may come to its place."""
    file = Path(str(_extension_file(name)))
    try:
        found = file.stat()
    except OSError:  # which `LOAD` will say
        return str(file), 0, 0, 0
    return str(file), found.st_ino, found.st_size, found.st_mtime_ns


def _needed(catalog: str) -> tuple[str, ...]:
    """The extensions that a lake of this catalog needs: httpfs writes and reads its encrypted files."""
    return ("httpfs", "postgres_scanner" if catalog.startswith("postgres:") else "sqlite_scanner", "ducklake")


def data_of(lake: str, settings: Settings) -> str:
    """The folder or object-store prefix of a lake's files."""
    return {VAULT: settings.vault_data, RECORDS: settings.records_data}[lake] or str(settings.home / lake / "data")


def is_made(lake: str, settings: Settings) -> bool:
    """Whether a lake was made; one whose catalog is on a server is taken for made."""
    return bool(_given_catalog(lake, settings)) or _catalog_file(lake, settings).exists()


def _given_catalog(lake: str, settings: Settings) -> str:
    return {VAULT: settings.vault_catalog, RECORDS: settings.records_catalog}[lake]


def _catalog_file(lake: str, settings: Settings) -> Path:
    return settings.home / lake / "catalog.sqlite"


def _catalog_of(lake: str, settings: Settings, *, read_only: bool) -> str:
    if given := _given_catalog(lake, settings):
        return given
    file = _catalog_file(lake, settings)
    if not read_only:
        file.parent.mkdir(parents=True, exist_ok=True)
    elif not is_made(lake, settings):
        raise LakeError("CH501", where=lake, what="it has not been made yet")
    return f"sqlite:{file}"


@contextmanager
def _opened(
    lake: str, settings: Settings | None, *, read_only: bool, trusting: bool = False, snapshot: int | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    catalog = _catalog_of(lake, settings or get_settings(), read_only=read_only)  # whoever only looks makes nothing
    try:
        opened = connect(settings, extensions=_needed(catalog), trusting=trusting)
    except FAILURES as error:  # an extension's file is gone, or another's
        raise LakeError("CH501", where=lake, what=type(error).__name__) from None
    with opened as connection:
        attach(connection, lake, read_only=read_only, snapshot=snapshot, settings=settings)
        try:
            yield connection
        except FAILURES as error:
            # DuckDB quotes what it stumbled over, which may be a person's: where it was is logged, its words go no
            # further than this block.
            log.exception("a statement failed in a lake", lake=lake)
            raise LakeError(_code_of(error, "CH505"), where=lake, what=type(error).__name__) from None


def _code_of(error: Exception, otherwise: str) -> str:
    """CH502 where another process writes to the catalog, which passes."""
    return "CH502" if any(sign in str(error).lower() for sign in ("is locked", "conflict")) else otherwise


def _extension_file(name: str) -> Traversable:
    folder = files(f"duckdb_extension_{name}") / "extensions" / f"v{duckdb.__version__}"
    return folder / f"{name}.duckdb_extension"


def sweep_spilled(settings: Settings | None = None) -> None:
    """Remove what connections of killed processes have spilled (encrypted, with keys that died with them)."""
    import psutil

    for folder in ((settings or get_settings()).home / SPILL).glob("*-*"):
        if not psutil.pid_exists(int(folder.name.partition("-")[0])):
            shutil.rmtree(folder, ignore_errors=True)


def attach(
    connection: duckdb.DuckDBPyConnection,
    lake: str,
    *,
    read_only: bool,
    snapshot: int | None = None,
    settings: Settings | None = None,
) -> None:
    """Attach the lake `vault` or `records` under its own name, as it is or as a snapshot shows it.

    Raises:
        LakeError: CH501 when its catalog cannot be opened; CH502 when another process is writing to it.
    """
    settings = settings or get_settings()
    catalog = _catalog_of(lake, settings, read_only=read_only)
    # Inlined rows would stand unencrypted inside the catalog.
    options = ["READ_ONLY"] if read_only else ["ENCRYPTED", "DATA_INLINING_ROW_LIMIT 0"]
    # A home may have been moved or restored elsewhere: where its files are is said here, not in the catalog.
    if catalog.startswith("sqlite:"):
        options.append(f"META_BUSY_TIMEOUT {BUSY_MILLISECONDS}")
        if not read_only:  # it stays in the file: whoever reads neither waits for who commits, nor keeps them waiting
            options.append("META_JOURNAL_MODE 'WAL'")
    options += [f"DATA_PATH {quoted(data_of(lake, settings))}", "OVERRIDE_DATA_PATH true"]
    if snapshot is not None:
        options.append(f"SNAPSHOT_VERSION {int(snapshot)}")
    try:
        load(connection, *_needed(catalog))
        connection.execute(f"ATTACH {quoted('ducklake:' + catalog)} AS {lake} ({', '.join(options)})")
    except FAILURES as error:
        # DuckDB repeats the catalog's address, which may hold a password: only the kind of fault is passed on.
        raise LakeError(_code_of(error, "CH501"), where=lake, what=type(error).__name__) from None


@contextmanager
def open_vault(*, read_only: bool = False, settings: Settings | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the vault attached as `vault` (tables: see `charthouse.lake.vault`).

    Raises:
        LakeError: CH501 or CH502 as `attach`; CH505 or CH502 for what DuckDB raises in the block and nobody caught.
    """
    with _opened(VAULT, settings, read_only=read_only) as connection:
        yield connection


@contextmanager
def open_records(
    *,
    read_only: bool = False,
    trusting: bool = False,
    snapshot: int | None = None,
    settings: Settings | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the records attached as `records` (tables: see `charthouse.lake.records`).

    Args:
        read_only: Nothing is written, and a catalog that is missing is not made.
        trusting: Extensions are not checked anew: see `connect`.
        snapshot: What is shown is what this one did (`charthouse.lake.snapshots`).

    Raises:
        LakeError: as `open_vault`.
    """
    with _opened(RECORDS, settings, read_only=read_only, trusting=trusting, snapshot=snapshot) as connection:
        yield connection


@contextmanager
def writing(lake: str, settings: Settings | None = None) -> Iterator[None]:
    """Hold a lake alone among all that write to it, from the look at who is gone to the commit.

    An erasure takes people away under the same hold: whoever comes later sees that they are gone, and brings nobody
    back. Nobody holds both lakes at once.

    Raises:
        StateError: CH608 when it is not free in time.
    """
    from charthouse.state.locks import exclusive  # SQLAlchemy: whoever only reads does without it

    with exclusive(f"lake {lake}", settings, wait=WRITING_SECONDS):
        yield


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of it or nothing: committed at the end of the block, rolled back where it raises."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a commit that failed has rolled back already
            connection.execute("ROLLBACK")
        raise


def maintain(connection: duckdb.DuckDBPyConnection, lake: str, *, keep_days: int = 7) -> None:
    """Compact `lake`: merge small files, rewrite files that are mostly deleted, drop snapshots past `keep_days`.

    A night of rebuilds leaves several files where one was (98 for 16 after three, as measured), and a fresh attach
    slows with each of them, so compaction belongs to every night that wrote.
    """
    statements = (
        f"CALL ducklake_merge_adjacent_files({quoted(lake)})",
        f"CALL ducklake_rewrite_data_files({quoted(lake)})",
        f"CALL ducklake_expire_snapshots({quoted(lake)}, older_than => now() - INTERVAL {int(keep_days)} DAY)",
        # What a merge left over is still read by whoever asked before it: analysts do while a night publishes.
        f"CALL ducklake_cleanup_old_files({quoted(lake)}, older_than => now() - INTERVAL 1 DAY)",
    )
    for statement in statements:
        _compacted(connection, statement)


def purge(connection: duckdb.DuckDBPyConnection, lake: str) -> None:
    """Leave no file of `lake` that holds what was deleted: rewrite the others, and drop every older snapshot."""
    for statement in (
        f"CALL ducklake_rewrite_data_files({quoted(lake)}, delete_threshold => 0.0)",
        f"CALL ducklake_expire_snapshots({quoted(lake)}, older_than => now())",
        f"CALL ducklake_cleanup_old_files({quoted(lake)}, cleanup_all => true)",
    ):
        _compacted(connection, statement)


def _compacted(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    try:
        connection.execute(statement)
        return
    except duckdb.OutOfMemoryException:
        pass
    # Large partitions are sorted by every thread, so one is enough; or a file holds a text of many megabytes, which is
    # merged row by row, but in memory several times over.
    *fewer, most = COMPACTION_BYTES
    threads = get_settings().duckdb_threads
    connection.execute("SET threads = 1")
    try:
        for needed in fewer:
            with suppress(duckdb.OutOfMemoryException), more_memory(connection, needed):
                connection.execute(statement)
                return
        with more_memory(connection, most):
            connection.execute(statement)
    finally:
        connection.execute(f"SET threads = {threads}")


@contextmanager
def more_memory(connection: duckdb.DuckDBPyConnection, needed: int) -> Iterator[None]:
    """Let a connection use `needed` bytes, if that is more than a task may, until the block ends."""
    usual = get_settings().duckdb_memory
    # Literals: values given as parameters would make DuckDB import pandas (50 MB).
    if connection.execute(f"SELECT {int(needed)} > parse_formatted_bytes({quoted(usual)})").fetchone() != (True,):
        yield
        return
    connection.execute(f"SET memory_limit = '{needed}B'")
    try:
        yield
    finally:
        connection.execute(f"SET memory_limit = {quoted(usual)}")
