"""What the build stage does to `staged` resources before it selects the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from transforms.tables import (
    EVERYTHING,
    accounts,
    helpers,
    observations,
    prepare_resources,
    published_tables,
    read_presence,
    sql_views,
    stage_inner,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transforms.tables import Presence


def prepared(connection: duckdb.DuckDBPyConnection, **relations: str) -> Presence:
    """Run the statements; what the resources have is for `select_sql`."""
    stage_inner(connection, "staged")
    for statement in prepare_resources("staged", **relations):
        connection.execute(statement)
    present = read_presence(connection, EVERYTHING)
    for statement in observations(present):
        connection.execute(statement)
    return present


def helped(connection: duckdb.DuckDBPyConnection, name: str, rows: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of a helper, over what was prepared and the relations in which the tables' rows stand."""
    found = connection.execute(helped_sql(name, rows))
    names = [entry[0] for entry in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def helped_sql(name: str, rows: Mapping[str, str] | None = None) -> str:
    """The SELECT of a helper."""
    (helper,) = (each for each in helpers() if each.name == name)
    listed = ", ".join(column.name for column in helper.columns)
    return f"SELECT {listed} FROM ({helper.select_sql(rows or {})})"


def with_views(connection: duckdb.DuckDBPyConnection) -> None:
    """Every table of the records, empty, and the views over them."""
    for table in (*published_tables(), *accounts()):
        connection.execute(table.create_sql(table.name))
    waiting = list(sql_views())
    while waiting:  # a view may stand on others
        view = waiting.pop(0)
        try:
            connection.execute(view.create_sql(view.name))
        except duckdb.CatalogException:
            waiting.append(view)
