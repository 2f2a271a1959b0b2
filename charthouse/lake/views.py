"""The views of the records (`transforms.tables.sql_views`): stored in the catalog, so that every client sees them.

The comment of a view ends with the fingerprint of its declaration. What it says is compared, and nothing is written
where nothing changed: each change of a catalog is a snapshot. DuckLake keeps a view's SELECT as DuckDB writes it, which
is not what was declared, so the text itself cannot be compared.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from charthouse.lake.session import RECORDS, quoted
from charthouse.log import get_logger
from transforms.tables import sql_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transforms.tables import SqlView

log = get_logger(__name__)
_OURS = re.compile(r".*\[([0-9a-f]{12})\]", re.DOTALL)


def create(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Make, replace and drop views until the records have those that are declared. Returns the names of the changed.

    A view whose table still lacks a column, for it is declared anew and nobody was published since, is left as it
    stands: the publication that brings the column makes it. Views that somebody else put there are left alone.
    """
    found = connection.execute(
        "SELECT view_name, comment FROM duckdb_views() WHERE database_name = ? AND NOT internal", [RECORDS]
    ).fetchall()
    ours = {name: made[1] for name, comment in found if (made := _OURS.fullmatch(comment or ""))}
    declared = {view.name: view for view in sql_views()}
    stale = [name for name in ours if name not in declared]
    due = [view for view in declared.values() if ours.get(view.name) != view.fingerprint]
    if not (stale or due):
        return []
    # What a view names without a database is looked for where the connection stands, and then in the view's own.
    stood = connection.execute("SELECT current_database()").fetchone() or ("memory",)
    connection.execute(f"USE {RECORDS}")
    try:
        for name in stale:
            connection.execute(f'DROP VIEW {RECORDS}."{name}"')
        return sorted([*stale, *_made(connection, due)])
    finally:
        connection.execute(f"USE {stood[0]}")


def _made(connection: duckdb.DuckDBPyConnection, due: Sequence[SqlView]) -> list[str]:
    """Make views, those first that others name. Returns the names of those made."""
    made: list[str] = []
    left = list(due)
    while left:
        again: list[SqlView] = []
        for view in left:
            try:
                connection.execute(view.create_sql(f"{RECORDS}.{view.name}"))
            except (duckdb.BinderException, duckdb.CatalogException):
                again.append(view)
                continue
            comment = f"{view.description} [{view.fingerprint}]"
            connection.execute(f"COMMENT ON VIEW {RECORDS}.{view.name} IS {quoted(comment)}")
            made.append(view.name)
        if len(again) == len(left):
            log.warning("views wait for columns that the next publication brings", views=[view.name for view in left])
            break
        left = again
    return made
