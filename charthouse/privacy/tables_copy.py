"""The published tables, copied out in the clear: for people who have no key, and at the operator's own responsibility.

One snapshot, whatever is published meanwhile. Every table and view is a Parquet file; one DuckDB file holds the tables
with their comments and the views as views. A copy is out of reach of an erasure: the audit trail says that it was made.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from charthouse import faults
from charthouse.clock import now
from charthouse.errors import LakeError
from charthouse.files import sync
from charthouse.lake import snapshots
from charthouse.lake.records import WIDE_BYTES
from charthouse.lake.session import RECORDS, more_memory, open_records, quoted, transaction
from charthouse.privacy import folders
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, session
from transforms.tables import dictionary_json, dictionary_markdown, sources_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from charthouse.lake.snapshots import Snapshot

DATABASE: Final = "charthouse.duckdb"
ROW_GROUP: Final = 30_720
"""Rows of hundreds of columns that the writer of a Parquet file keeps in memory."""
GIVEN_AWAY: Final = """\
It gives away the health records of everybody who is in the tables: readable by whoever has the files, without a key.
No column holds a name, address or birth date of theirs (professionals do have names), but what providers wrote in words
may, and dates, places and rare diagnoses together may tell who somebody is. Whoever is erased here stays in the copy,
as does what a link brought that is deleted: delete the copy, and what was made of it, when that happens."""
_README: Final = """\
The tables of {service}, as they stood after snapshot {snapshot} of {at}, copied on {made}.

tables/*.parquet   every table and view
{database}   the same tables with comments on every column, and the views as views
dictionary.*       what each table and column is, for people and for programs
sources.yml        the tables as a source of dbt
snapshot.json      the rows of each table

{given_away}
"""

_VIEW: Final = re.compile(r'(CREATE VIEW (?:\w+|"(?:[^"]|"")+")) \((.+?)\) AS (.+?);?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy: which snapshot, and the rows of each table and view."""

    snapshot: Snapshot
    rows: Mapping[str, int]


def copy_out(folder: Path, as_of: str | None = None, settings: Settings | None = None) -> Copied:
    """Copy the published tables into `folder`, which is absent until the copy is whole.

    Args:
        as_of: The night after which they are copied; the last one, where none is named.

    Raises:
        LakeError: CH510 where they cannot be written there; CH511 and CH512 as `snapshots.find`; CH501, CH502 and
            CH505 as `open_records`.
        StateError: CH605 when it cannot be noted in the audit trail; then there is no copy.
    """
    settings = settings or get_settings()
    folder = folder.expanduser().absolute()
    folders.refuse(folder, settings, _refused)
    chosen = snapshots.find(as_of, settings) if as_of else snapshots.newest(settings)
    with folders.whole(folder, _refused) as scratch:
        rows = _tables(scratch, chosen, settings)
        faults.point("copy.written")
        _beside(scratch, Copied(chosen, rows), settings)
        for path in scratch.rglob("*"):
            sync(path)
        with session(settings) as state:
            detail = {"snapshot": chosen.number, "tables": len(rows), "rows": sum(rows.values())}
            audit.record(state, "operator", "tables.exported", "records", RECORDS, detail)
    return Copied(chosen, rows)


def _refused(folder: Path, why: str) -> LakeError:
    return LakeError("CH510", where=str(folder), what=why)


def _tables(scratch: Path, chosen: Snapshot, settings: Settings) -> dict[str, int]:
    (scratch / "tables").mkdir(mode=0o700)
    with (
        open_records(read_only=True, snapshot=chosen.number, settings=settings) as connection,
        more_memory(connection, WIDE_BYTES),
    ):
        connection.execute(f"USE {RECORDS}")
        tables, views = (
            connection.execute(
                f"SELECT {kind}_name, sql, comment FROM duckdb_{kind}s() "
                f"WHERE database_name = '{RECORDS}' AND NOT internal ORDER BY 1"
            ).fetchall()
            for kind in ("table", "view")
        )
        rows = {}
        for name, *_ in (*tables, *views):
            file = quoted(str(scratch / "tables" / f"{name}.parquet"))
            options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}"
            [(rows[name],)] = connection.execute(f'COPY (FROM "{name}") TO {file} ({options})').fetchall()
        said = connection.execute(
            f"SELECT table_name, column_name, comment FROM duckdb_columns() WHERE database_name = '{RECORDS}'"
        ).fetchall()
        # Without the records at hand, a view that needs them by name is found out.
        connection.execute(f"ATTACH {quoted(str(scratch / DATABASE))} AS copied; USE copied; DETACH {RECORDS}")
        for name, *_ in tables:
            connection.execute(f'CREATE TABLE "{name}" AS FROM {_file(scratch, name)}')
        as_views = _views(connection, scratch, {name: sql for name, sql, _ in views})
        with transaction(connection):  # one: each commit is brought to disk
            for name, _, comment in (*tables, *views):
                kind = "VIEW" if name in as_views else "TABLE"
                connection.execute(f'COMMENT ON {kind} "{name}" IS {quoted(comment or "")}')
            for table, column, comment in said:
                connection.execute(f'COMMENT ON COLUMN "{table}"."{column}" IS {quoted(comment or "")}')
        connection.execute("USE memory; DETACH copied")
    return rows


def _views(connection: duckdb.DuckDBPyConnection, scratch: Path, left: dict[str, str]) -> set[str]:
    """Make the views in the copy, those first that others name. Returns which are views.

    One that names the records as a database of their own, as an operator's may, becomes a table of what it showed.
    """
    made: set[str] = set()
    while left:
        done = set()
        for name, sql in left.items():
            try:
                connection.execute(_named_inside(sql))
            except (duckdb.BinderException, duckdb.CatalogException):
                continue
            done.add(name)
        if not done:
            break
        made |= done
        left = {name: sql for name, sql in left.items() if name not in done}
    for name in left:
        connection.execute(f'CREATE TABLE "{name}" AS FROM {_file(scratch, name)}')
    return made


def _named_inside(sql: str) -> str:
    """`CREATE VIEW` as DuckDB writes it, with the names of columns within the query: outside of it, as a list behind
    the view's name, DuckDB takes no comment on them."""
    found = _VIEW.fullmatch(sql.strip())
    if found is None:
        return sql
    head, names, query = found.groups()
    return f"{head} AS SELECT * FROM ({query}) AS shown ({names})"


def _file(scratch: Path, name: str) -> str:
    return f"read_parquet({quoted(str(scratch / 'tables' / f'{name}.parquet'))})"


def _beside(scratch: Path, copied: Copied, settings: Settings) -> None:
    said = {
        "service": settings.service_name,
        "snapshot": copied.snapshot.number,
        "at": copied.snapshot.at.isoformat(timespec="seconds"),
        "made": now().isoformat(timespec="seconds"),
    }
    texts = {
        "README.txt": _README.format(**said, database=DATABASE, given_away=GIVEN_AWAY),
        "dictionary.md": dictionary_markdown(),
        "dictionary.json": dictionary_json(),
        "sources.yml": sources_text(),
        "snapshot.json": json.dumps(said | {"run_id": copied.snapshot.run_id, "rows": dict(copied.rows)}, indent=1),
    }
    for name, text in texts.items():
        (scratch / name).write_text(text, encoding="utf-8")
