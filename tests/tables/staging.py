"""What the build stage does to `staged` resources before it selects the rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.tables import EVERYTHING, observations, prepare_resources, read_presence, stage_inner

if TYPE_CHECKING:
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
