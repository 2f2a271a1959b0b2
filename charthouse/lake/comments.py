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


def write(connection: duckdb.DuckDBPyConnection, *, anew: bool = False) -> int:
    """Let the records say of their tables and columns what the dictionary says. Returns how many comments changed.

    The text of the macro holds a fingerprint of the whole dictionary: where it is the same, one look is all it takes.
    A table that is not there, or lacks a column until the next publication brings it, is passed over.

    Args:
        anew: Look at every comment all the same, for tables were made.
    """
    everything = [
        (each.name, column, comment)
        for each in published()
        for column, comment in ((None, each.description), *((one.name, one.description) for one in each.columns))
    ]
    fingerprint = hashlib.sha256(repr(everything).encode()).hexdigest()[:12]
    known = _macro(connection)
    if not anew and f"'{fingerprint}'" in known:
        return 0
    views = {each.name for each in published() if kind_of(each) == "view"}
    here = f"WHERE database_name = {quoted(RECORDS)}"
    standing = connection.execute(
        f"SELECT table_name, NULL, comment FROM duckdb_tables() {here} "
        f"UNION ALL SELECT table_name, column_name, comment FROM system.main.duckdb_columns() {here}"
    ).fetchall()
    said = {(table, column): comment for table, column, comment in standing}
    changed = 0
    for table, column, comment in everything:
        if table not in views and said.get((table, column), comment) != comment:
            what = f"TABLE {RECORDS}.{table}" if column is None else f'COLUMN {RECORDS}.{table}."{column}"'
            connection.execute(f"COMMENT ON {what} IS {quoted(comment)}")
            changed += 1
    if f"'{fingerprint}'" not in known:
        rows = [(table, column, comment) for table, column, comment in everything if column and table in views]
        values = ", ".join(f"({', '.join(map(quoted, row))})" for row in (*rows, ("", fingerprint, "")))
        connection.execute(_MACRO.format(values=values))
    return changed


def _macro(connection: duckdb.DuckDBPyConnection) -> str:
    """The macro as it stands; empty, where there is none."""
    found = connection.execute(
        f"SELECT macro_definition FROM duckdb_functions() WHERE database_name = {quoted(RECORDS)} "
        "AND function_name = 'duckdb_columns'"
    ).fetchone()
    return str(found[0]) if found else ""
