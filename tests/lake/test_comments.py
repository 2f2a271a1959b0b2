"""Whoever opens the records is told in SQL what every table and column is, views among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from charthouse.lake import comments, records
from charthouse.lake.session import connect, open_records
from charthouse.settings import get_settings
from transforms.tables import kind_of, published

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pytest


def snapshots(connection: duckdb.DuckDBPyConnection) -> int:
    return len(connection.execute("FROM ducklake_snapshots('records')").fetchall())


def told(connection: duckdb.DuckDBPyConnection, database: str) -> dict[tuple[str, str], str]:
    query = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE database_name = ? AND NOT internal"
    return {(table, column): comment for table, column, comment in connection.execute(query, [database]).fetchall()}


def test_every_column_that_a_client_sees_has_the_comment_of_its_declaration(home: Path) -> None:
    catalog = get_settings().records_catalog or f"sqlite:{home / 'records' / 'catalog.sqlite'}"
    with connect() as client:  # as plain DuckDB does, under a name of its own choice
        client.execute(f"ATTACH 'ducklake:{catalog}' AS mine (READ_ONLY); USE mine")
        declared = {(each.name, column.name): column.description for each in published() for column in each.columns}
        assert told(client, "mine") == declared
        query = "SELECT table_name, comment FROM duckdb_tables() WHERE database_name = 'mine'"
        said = dict(client.execute(query).fetchall())
        assert said == {each.name: each.description for each in published() if kind_of(each) != "view"}


def test_comments_are_written_when_they_change_and_only_then(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_records() as connection:
        first = snapshots(connection)
        records.create(connection)
        assert snapshots(connection) == first
        connection.execute("CREATE TABLE records.of_the_operator (a INTEGER)")

        changed = [replace(each, description=f'{each.description} It\'s "new".') for each in published()]
        changed[0] = replace(changed[0], columns=changed[0].columns[1:])
        monkeypatch.setattr(comments, "published", lambda: changed)
        assert comments.write(connection) == len([each for each in published() if kind_of(each) != "view"])
        assert comments.write(connection) == 0


def test_a_table_that_a_publication_makes_anew_has_its_comments(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    with open_records() as connection:
        columns = "NULL::VARCHAR AS table_name, NULL::VARCHAR AS row_key, NULL::VARCHAR AS rule"
        connection.execute(f"COPY (SELECT {columns} LIMIT 0) TO '{broken}'")
        connection.execute("ALTER TABLE records.vitals DROP COLUMN remarks")
        records.publish(connection, tmp_path, broken, {"somebody": 1})
        connection.execute("USE records")
        assert None not in told(connection, "records").values()
        assert ("vitals", "remarks") in told(connection, "records")
