"""The tables that the state tells (`transforms.tables.standing`): made anew link by link where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from charthouse.lake import snapshots
from charthouse.lake.session import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

    from transforms.tables import Relation

_TYPES = {"VARCHAR": pa.string(), "TIMESTAMPTZ": pa.timestamp("us", tz="UTC")}


def replace(
    connection: duckdb.DuckDBPyConnection, told: Mapping[Relation, Sequence[tuple[object, ...]]], *, run_id: str = ""
) -> int:
    """Make the tables say what is told, in one transaction. Returns how many links differ.

    Each change of a catalog is a snapshot, so nothing is written where nothing differs.

    Args:
        connection: with the records attached for writing.
        told: table -> all of its rows, in the order of its columns.
        run_id: the run that tells, by whose id the snapshot is found again.
    """
    for table, rows in told.items():
        columns = [
            pa.array([row[nth] for row in rows], _TYPES[column.sql_type]) for nth, column in enumerate(table.columns)
        ]
        made = pa.table(columns, names=[column.name for column in table.columns])
        connection.register("rows_told", made)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {_told(table)} AS FROM rows_told")
        connection.unregister("rows_told")
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {_differing(table)} AS SELECT DISTINCT link_id FROM ("
            f"(FROM {_told(table)} EXCEPT FROM records.{table.name})"
            f" UNION ALL (FROM records.{table.name} EXCEPT FROM {_told(table)}))"
        )
    changed = 0
    for table in told:
        row = connection.execute(f"SELECT count(*) FROM {_differing(table)}").fetchone()
        changed += row[0] if row else 0
    if not changed:
        return 0
    with transaction(connection):
        for table in told:
            among = f"link_id IN (FROM {_differing(table)})"
            connection.execute(f"DELETE FROM records.{table.name} WHERE {among}")
            connection.execute(
                f"INSERT INTO records.{table.name} FROM {_told(table)} WHERE {among} ORDER BY person_key, link_id"
            )
        snapshots.name(connection, run_id)
    return changed


def _told(table: Relation) -> str:
    return f"told_{table.name}"


def _differing(table: Relation) -> str:
    return f"differing_{table.name}"
