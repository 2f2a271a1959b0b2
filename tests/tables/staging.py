"""What the build stage does to `staged` resources before it selects the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transforms.tables import EVERYTHING, helpers, observations, prepare_resources, read_presence, stage_inner

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

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
    (helper,) = (each for each in helpers() if each.name == name)
    found = connection.execute(helper.select_sql(rows))
    names = [entry[0] for entry in found.description or ()]
    assert names == [column.name for column in helper.columns]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
