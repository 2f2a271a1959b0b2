"""The records: the category tables, their child tables and helpers, published together for the people rebuilt.

Helpers: some are built as the tables are (`transforms.tables.helpers`). `built_people` says up to which version of the
vault each person's rows stand (and by which declaration of the tables), so a night knows who is due without trusting
any file; `withheld_rows` names the rows that an audit rule kept out of the tables, by key and rule alone. A row that a
rule merely marks carries the rule's id in its `remarks`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from charthouse import faults
from charthouse.lake import comments, marks, snapshots, views
from charthouse.lake.session import RECORDS, maintain, more_memory, purge, quoted, transaction
from transforms.auditing import rules_of
from transforms.duplicates import fingerprint
from transforms.tables import (
    Helper,
    Table,
    accounts,
    all_tables,
    built_tables,
    helpers,
    other_tables,
    prepare,
    published_tables,
    standing_tables,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import duckdb

    from transforms.tables import Relation

PARTITIONS = 4
"""Files that a table of a compacted lake has. A file of hundreds of columns costs some 15 ms to write and commit, and
1 ms to a question: with sixteen of them, publishing cost a small night as much as building. With one, an erasure would
write a whole table anew.
"""
WIDE_BYTES = 1_500_000_000
"""What DuckDB books to write a table of hundreds of columns into several partitions at once; much stays untouched."""


@dataclass(frozen=True, slots=True)
class TableChange:
    """What a publication did to one table."""

    table: str
    rows: int
    removed: int
    inserted: int
    withheld: int


@cache
def declaration() -> str:
    """A fingerprint of how the tables and their rules are declared: when it changes, everyone is due for a rebuild."""
    said = [f"{table.create_sql(table.name)}\n{table.select_sql()}" for table in (*all_tables(), *other_tables())]
    named = {table.name: table.name for table in tables()}
    said += [f"{helper.create_sql(helper.name)}\n{helper.select_sql(named)}" for helper in helpers()]
    said.append(fingerprint())
    rules = [repr(rules_of(table.name)) for table in tables()]
    text = "\n".join((*prepare("staged"), *said, *rules))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables and views where they are missing. A table that was lost makes everyone due: its rows are gone."""
    found = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [RECORDS]).fetchall()
    standing = {name for (name,) in found}
    missing = [table for table in built_tables() if table.name not in standing]
    with transaction(connection):  # one: after each commit of a declaration, the whole catalog is read anew
        for account in accounts():
            if account.name not in standing:
                connection.execute(account.create_sql(f"records.{account.name}"))
        if missing:
            forget_built(connection)
        for table in missing:
            _make(connection, table)
        for told in standing_tables():  # at the end of the next run, whoever is due
            if told.name not in standing:
                connection.execute(told.create_sql(f"records.{told.name}"))
        views.create(connection)
        comments.write(connection, anew=bool(missing))


def built(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, str]]:
    """For each person: the vault sequence and the declaration that their published rows were built from."""
    rows = connection.execute("SELECT person_key, vault_seq, declaration FROM records.built_people").fetchall()
    return {person: (sequence, fingerprint) for person, sequence, fingerprint in rows}


def built_from_of(person: str, marks_of: Mapping[str, str]) -> str:
    """What the rows of a person are built from beside the vault: the declaration of the tables, and their marks."""
    return f"{declaration()}+{marks_of[person]}" if person in marks_of else declaration()


def forget_built(connection: duckdb.DuckDBPyConnection) -> None:
    """Make everyone due for a rebuild; the rows stay until it is published."""
    connection.execute("DELETE FROM records.built_people")


def publish(
    connection: duckdb.DuckDBPyConnection,
    staged: Path,
    broken: Path,
    people: Mapping[str, int],
    *,
    gone: Sequence[str] = (),
    marks_of: Mapping[str, str] | None = None,
    run_id: str = "",
) -> list[TableChange]:
    """Replace the rows of `people` in all tables with the staged ones, in one transaction. Others' rows stay out.

    Args:
        staged: a folder with `<table>/*.parquet`, each file having exactly the table's columns.
        broken: a Parquet file `table_name, row_key, rule`: rows that the audit marks or keeps out.
        people: person_key -> the vault sequence that the staged rows were built from.
        gone: links of which nothing is published any more, though rows may be staged.
        marks_of: person_key -> a hash of what else their rows say than the vault does; nobody's, where there is none.
        run_id: the run by whose id the published snapshot is found again.
    """
    connection.execute("CREATE OR REPLACE TEMP TABLE gone_links AS SELECT unnest(?::VARCHAR[]) AS key", [list(gone)])
    connection.execute("CREATE OR REPLACE TEMP TABLE due (person_key VARCHAR, vault_seq BIGINT, declaration VARCHAR)")
    built_from = [built_from_of(person, marks_of or {}) for person in people]
    connection.execute(
        "INSERT INTO due SELECT unnest(?), unnest(?), unnest(?)", [list(people), list(people.values()), built_from]
    )
    marks.read(connection, broken)
    changes = []
    standing = _standing_columns(connection)
    with transaction(connection):
        kept_out = _note_withheld(connection, staged)
        made = False
        for table in built_tables():
            if standing.get(table.name) != [column.name for column in table.columns]:
                # Its declaration changed, so everyone is due: analysts see the old table until this commits.
                connection.execute(f"DROP TABLE IF EXISTS records.{table.name}")
                _make(connection, table)
                made = True
            changes.append(_replace(connection, table, _files(staged, table), kept_out.get(table.name, 0)))
        connection.execute("DELETE FROM records.built_people WHERE person_key IN (SELECT person_key FROM due)")
        connection.execute("INSERT INTO records.built_people SELECT person_key, vault_seq, declaration FROM due")
        views.create(connection)
        comments.write(connection, anew=made)
        snapshots.name(connection, run_id)
    return changes


def remove_links(connection: duckdb.DuckDBPyConnection, people: Sequence[str], link_ids: Sequence[str]) -> int:
    """Take away the rows that came by these links, so that no file and no snapshot holds them. Returns how many.

    Their `people` are due for a rebuild: what remains of them came by other links.
    """
    create(connection)
    removed = 0
    with transaction(connection):
        for table in published_tables():
            gone = f"DELETE FROM records.{table.name} WHERE link_id IN (SELECT unnest($links))"
            removed += _changed(connection, gone, {"links": list(link_ids)})
            if isinstance(table, Helper) and table.settle:
                _settle(connection, table, people)
        _changed(
            connection,
            "DELETE FROM records.withheld_rows WHERE split_part(row_key, '/', 1) IN (SELECT unnest($links))",
            {"links": list(link_ids)},
        )
        _changed(
            connection,
            "DELETE FROM records.built_people WHERE person_key IN (SELECT unnest($people))",
            {"people": list(people)},
        )
    faults.point("removal.records")
    purge(connection, RECORDS)
    return removed


def staged_links(connection: duckdb.DuckDBPyConnection, staged: Path) -> set[str]:
    """The links whose rows are staged."""
    found: set[str] = set()
    for table in built_tables():
        files = _files(staged, table)
        if files:
            rows = connection.execute(f"SELECT DISTINCT link_id FROM read_parquet({files})").fetchall()
            found.update(link for (link,) in rows)
    return found


def counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of each table in the attached snapshot."""
    found = {}
    for table in built_tables():
        row = connection.execute(f"SELECT count(*) FROM records.{table.name}").fetchone()
        found[table.name] = row[0] if row else 0
    return found


def compact(connection: duckdb.DuckDBPyConnection) -> None:
    """Merge what a night of rebuilds left."""
    maintain(connection, RECORDS)


def _files(staged: Path, table: Relation) -> str:
    """The staged files of a table as an SQL list; empty when there are none."""
    listed = ", ".join(quoted(str(file)) for file in sorted((staged / table.name).glob("*.parquet")))
    return f"[{listed}]" if listed else ""


def _note_withheld(connection: duckdb.DuckDBPyConnection, staged: Path) -> dict[str, int]:
    """Put down which rows of the people due are kept out, in place of what stood there. Returns rows by table."""
    connection.execute("DELETE FROM records.withheld_rows WHERE person_key IN (SELECT person_key FROM due)")
    concerned = {name for (name,) in connection.execute("SELECT DISTINCT table_name FROM withheld").fetchall()}
    parts = [
        f"SELECT person_key, table_name, row_key, rule FROM read_parquet({_files(staged, table)}) "
        f"JOIN (FROM withheld WHERE table_name = {quoted(table.name)}) USING (row_key) "
        "WHERE person_key IN (SELECT person_key FROM due) AND link_id NOT IN (FROM gone_links)"
        for table in all_tables()
        if table.name in concerned
    ]
    if not parts:
        return {}
    connection.execute(f"INSERT INTO records.withheld_rows {' UNION ALL '.join(parts)}")
    counted = connection.execute("SELECT table_name, count(DISTINCT row_key) FROM withheld GROUP BY ALL").fetchall()
    return dict(counted)


def _replace(connection: duckdb.DuckDBPyConnection, table: Relation, files: str, withheld: int) -> TableChange:
    name = f"records.{table.name}"
    removed = _changed(connection, f"DELETE FROM {name} WHERE person_key IN (SELECT person_key FROM due)")
    inserted = 0
    if files:
        permitted = "person_key IN (SELECT person_key FROM due) AND link_id NOT IN (FROM gone_links)"
        if isinstance(table, Table):
            # What is kept out takes the rows along that belong to it.
            key, owner = ("row_key", table.name) if table.parent is None else ("parent_key", table.parent)
            kept_out = f"SELECT row_key FROM withheld WHERE table_name = {quoted(owner)}"
            source = f"{marks.select_sql(connection, table, files)} WHERE {key} NOT IN ({kept_out}) AND {permitted}"
        else:
            source = f"(SELECT * FROM read_parquet({files}) WHERE {permitted})"
            if {"table_name", "row_key"} <= {column.name for column in table.columns}:
                kept_out = "SELECT table_name, row_key FROM withheld"
                source = f"(FROM {source} WHERE (table_name, row_key) NOT IN ({kept_out}))"
            source = table.settled_sql(source) if isinstance(table, Helper) else f"FROM {source}"
        with more_memory(connection, WIDE_BYTES):
            inserted = _changed(connection, f"INSERT INTO {name} {source}")
    rows = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
    return TableChange(table.name, rows[0] if rows else 0, removed, inserted, withheld)


def _settle(connection: duckdb.DuckDBPyConnection, helper: Helper, people: Sequence[str]) -> None:
    """Put the rows of these people right, once others that they speak of are gone."""
    theirs = f"FROM records.{helper.name} WHERE person_key IN (SELECT unnest($people))"
    values = {"people": list(people)}
    connection.execute(f"CREATE OR REPLACE TEMP TABLE settled AS {helper.settled_sql(f'({theirs})')}", values)
    _changed(connection, f"DELETE {theirs}", values)
    connection.execute(f"INSERT INTO records.{helper.name} FROM settled")
    connection.execute("DROP TABLE settled")


def _changed(connection: duckdb.DuckDBPyConnection, statement: str, values: Mapping[str, object] | None = None) -> int:
    row = connection.execute(statement, dict(values or {})).fetchone()
    return int(row[0]) if row else 0


def _make(connection: duckdb.DuckDBPyConnection, table: Relation) -> None:
    connection.execute(table.create_sql(f"records.{table.name}"))
    if table in all_tables():
        # The others are small: several files each, most of them of a few rows, would cost a night more than all else.
        connection.execute(f"ALTER TABLE records.{table.name} SET PARTITIONED BY (bucket({PARTITIONS}, person_key))")
    connection.execute(f"ALTER TABLE records.{table.name} SET SORTED BY (person_key ASC)")


def _standing_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The columns of every table as it stands. Asked once: DuckDB binds every view of the catalog to answer."""
    rows = connection.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() WHERE database_name = ?"
        " GROUP BY table_name",
        [RECORDS],
    ).fetchall()
    return dict(rows)
