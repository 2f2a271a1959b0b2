"""What comes in another layout than the vault has it, and says the same: no new version of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from transforms.same_content import same_content

if TYPE_CHECKING:
    from collections.abc import Iterable

    import duckdb

_ROWS: Final = 500
"""Pairs of texts that are compared at once."""


def note(connection: duckdb.DuckDBPyConnection, incoming: Iterable[str]) -> None:
    """Make the temporary table `rewritten` of what comes and says what the current version, as in `known`, does.

    Only texts that differ from it are compared, so a night on which nothing is laid out anew compares what has changed.

    Args:
        connection: that of the vault, with `known`.
        incoming: what comes, as SQL that reads it, a part at a time: its texts are in memory with those it is held to.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE rewritten"
        " (link_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR, content_hash VARCHAR)"
    )
    for part in incoming:
        found = connection.execute(
            f"""
            SELECT incoming.link_id, incoming.resource_type, incoming.resource_id, incoming.content_hash,
                   encode(incoming.resource), encode(held.resource)
            FROM {part} AS incoming
            JOIN known ON known.link_id = incoming.link_id AND known.resource_type = incoming.resource_type
                 AND known.resource_id = incoming.resource_id AND known.content_hash <> incoming.content_hash
            JOIN vault.resources AS held
              ON held.person_key = incoming.person_key AND held.stored_seq = known.stored_seq
                 AND held.link_id = incoming.link_id AND held.resource_type = incoming.resource_type
                 AND held.resource_id = incoming.resource_id
            """
        )
        same: list[tuple[str, ...]] = []
        while rows := found.fetchmany(_ROWS):
            same += [row[:4] for row in rows if same_content(row[4], row[5])]
        if same:
            columns = [list(column) for column in zip(*same, strict=True)]
            connection.execute(f"INSERT INTO rewritten SELECT {', '.join(['unnest(?::VARCHAR[])'] * 4)}", columns)
