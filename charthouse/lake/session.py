"""DuckDB connections to the two lakes. One connection a task: an attach costs more than most queries.

The vault and the records have catalogs of their own, so the analysts' credentials open the records alone. Both write
encrypted Parquet, whose keys live in the catalog: a catalog is as secret as the data behind it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import duckdb
from duckdb_extensions import import_extension
from filelock import FileLock

from charthouse.errors import LakeError
from charthouse.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

EXTENSIONS = ("httpfs", "sqlite_scanner", "postgres_scanner", "ducklake")

VAULT = "vault"
RECORDS = "records"


def quoted(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def connect(settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the lake extensions loaded and the task's limits set; nothing is downloaded."""
    settings = settings or get_settings()
    folder = settings.home / "duckdb"
    (folder / "spill").mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "extension_directory": str(folder / "extensions"),
            "temp_directory": str(folder / "spill"),
            "memory_limit": settings.duckdb_memory,
            "threads": settings.duckdb_threads,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    installed = folder / "extensions" / f"installed-{duckdb.__version__}"
    if not installed.exists():
        # Several tasks may start at once on a new home, and the copy is not atomic.
        with FileLock(folder / "extensions.lock"):
            for name in EXTENSIONS:
                import_extension(name, con=connection)
            installed.touch()
    for name in EXTENSIONS:
        connection.execute(f"LOAD {name}")
    # httpfs brings the OpenSSL that encrypted Parquet and encrypted spill files need.
    connection.execute("SET temp_file_encryption = true; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
    connection.execute("SET enable_progress_bar = false")
    return connection


def attach(
    connection: duckdb.DuckDBPyConnection, lake: str, *, read_only: bool, settings: Settings | None = None
) -> None:
    """Attach the lake `vault` or `records` under its own name.

    Raises:
        LakeError: CH501 when its catalog cannot be opened; CH502 when another process is writing to it.
    """
    settings = settings or get_settings()
    catalog, data = {
        VAULT: (settings.vault_catalog, settings.vault_data),
        RECORDS: (settings.records_catalog, settings.records_data),
    }[lake]
    if not catalog:
        file = settings.home / lake / "catalog.sqlite"
        if read_only and not file.exists():
            raise LakeError("CH501", where=lake, what="it has not been made yet")
        file.parent.mkdir(parents=True, exist_ok=True)
        catalog = f"sqlite:{file}"
    data = data or str(settings.home / lake / "data")
    # Inlined rows would stand unencrypted inside the catalog.
    options = ["READ_ONLY"] if read_only else ["ENCRYPTED", "DATA_INLINING_ROW_LIMIT 0"]
    options.append(f"DATA_PATH {quoted(data)}")
    try:
        connection.execute(f"ATTACH {quoted('ducklake:' + catalog)} AS {lake} ({', '.join(options)})")
    except duckdb.Error as error:
        # DuckDB repeats the catalog's address, which may hold a password: only the kind of fault is passed on.
        code = "CH502" if "lock" in str(error).lower() else "CH501"
        raise LakeError(code, where=lake, what=type(error).__name__) from None


@contextmanager
def open_vault(*, read_only: bool = False, settings: Settings | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the vault attached as `vault` (tables: see `charthouse.lake.vault`)."""
    with connect(settings) as connection:
        attach(connection, VAULT, read_only=read_only, settings=settings)
        yield connection


@contextmanager
def open_records(*, read_only: bool = False, settings: Settings | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the records attached as `records` (tables: see `charthouse.lake.records`)."""
    with connect(settings) as connection:
        attach(connection, RECORDS, read_only=read_only, settings=settings)
        yield connection


def maintain(connection: duckdb.DuckDBPyConnection, lake: str, *, keep_days: int = 7) -> None:
    """Compact `lake`: merge small files, rewrite files that are mostly deleted, drop snapshots past `keep_days`.

    A night of rebuilds leaves several files where one was (98 for 16 after three, as measured), and a fresh attach
    slows with each of them, so compaction belongs to every night that wrote.
    """
    connection.execute(f"CALL ducklake_merge_adjacent_files({quoted(lake)})")
    connection.execute(f"CALL ducklake_rewrite_data_files({quoted(lake)})")
    connection.execute(
        f"CALL ducklake_expire_snapshots({quoted(lake)}, older_than => now() - INTERVAL {int(keep_days)} DAY)"
    )
    connection.execute(f"CALL ducklake_cleanup_old_files({quoted(lake)}, cleanup_all => true)")
