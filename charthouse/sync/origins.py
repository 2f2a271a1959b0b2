"""How links came to be: the provider and the route that every row of theirs names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.state import session
from charthouse.state.models import Link

if TYPE_CHECKING:
    from collections.abc import Collection

    import duckdb

RELATION = "links"
_CHUNK = 1_000


def stage_origins(connection: duckdb.DuckDBPyConnection, person_keys: Collection[str]) -> str:
    """Make the in-memory relation of these people's links: their id, provider and route. Returns its name."""
    ordered = sorted(person_keys)
    found: list[tuple[str, str, str]] = []
    with session(read_only=True) as state:
        for start in range(0, len(ordered), _CHUNK):
            some = ordered[start : start + _CHUNK]
            query = select(Link.id, Link.provider, Link.route).where(Link.person_key.in_(some)).order_by(Link.id)
            found += [(each.id, each.provider, each.route) for each in state.execute(query)]
    connection.execute(f"CREATE OR REPLACE TABLE {RELATION} (link_id VARCHAR, provider VARCHAR, route VARCHAR)")
    columns = [list(column) for column in zip(*found, strict=True)] if found else [[], [], []]
    connection.execute(
        f"INSERT INTO {RELATION} SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[])", columns
    )
    return RELATION
