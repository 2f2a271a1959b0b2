"""The dictionary inside the records: a comment on every table and column, which `duckdb_columns()` shows.

What stands there is compared, and nothing is written where nothing changed: each change of a catalog is a snapshot. Of
views DuckLake keeps no comments of columns (DuckDB 1.5 refuses them). So the records have a macro `duckdb_columns` of
their own, which whoever says `USE records` finds before DuckDB's, and which adds them. Comments of views themselves are
written with the views (`charthouse.lake.views`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from charthouse.lake.session import RECORDS, quoted
from transforms.tables import kind_of, published

if TYPE_CHECKING:
    import duckdb

_MACRO = """
CREATE OR REPLACE MACRO records.duckdb_columns() AS TABLE
SELECT columns.* REPLACE (coalesce(columns.comment, said.comment) AS comment)
FROM system.main.duckdb_columns() AS columns
LEFT JOIN (VALUES {values}) AS said (view_name, column_name, comment)
  ON columns.table_name = said.view_name AND columns.column_name = said.column_name
    AND columns.database_name = current_database()
"""


def write(connection: duckdb.DuckDBPyConnection) -> int:
    """Let the records say of their tables and columns what the dictionary says. Returns how many comments changed.

    A table that is not there, or lacks a column until the next publication brings it, is passed over.
    """
    here = f"WHERE database_name = {quoted(RECORDS)}"
    standing = connection.execute(
        f"SELECT table_name, NULL, comment FROM duckdb_tables() {here} "
        f"UNION ALL SELECT table_name, column_name, comment FROM system.main.duckdb_columns() {here}"
    ).fetchall()
    said = {(table, column): comment for table, column, comment in standing}
    changed = 0
    for each in published():
        if kind_of(each) == "view":
            continue
        wanted = {None: each.description} | {column.name: column.description for column in each.columns}
        for column, comment in wanted.items():
            if said.get((each.name, column), comment) != comment:
                what = f"TABLE {RECORDS}.{each.name}"
                if column is not None:
                    what = f'COLUMN {RECORDS}.{each.name}."{column}"'
                connection.execute(f"COMMENT ON {what} IS {quoted(comment)}")
                changed += 1
    return changed + _of_views(connection)


def _of_views(connection: duckdb.DuckDBPyConnection) -> int:
    """Make the macro anew where the views are declared differently. Its text holds a fingerprint of what it says."""
    rows = [
        f"({quoted(each.name)}, {quoted(column.name)}, {quoted(column.description)})"
        for each in published()
        if kind_of(each) == "view"
        for column in each.columns
    ]
    fingerprint = hashlib.sha256("".join(rows).encode()).hexdigest()[:12]
    rows.append(f"('', {quoted(fingerprint)}, '')")
    standing = connection.execute(
        f"SELECT macro_definition FROM duckdb_functions() WHERE database_name = {quoted(RECORDS)} "
        "AND function_name = 'duckdb_columns'"
    ).fetchone()
    if standing is not None and f"'{fingerprint}'" in standing[0]:
        return 0
    connection.execute(_MACRO.format(values=", ".join(rows)))
    return 1
