"""The views of the records: there for every client, made anew when they are declared anew, and not otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from charthouse.lake import records, views
from charthouse.lake.session import connect, open_records
from charthouse.settings import get_settings
from transforms.tables import Relation, TableError, read_sql_view, sql_views
from transforms.tables.value_sets import value_sets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import duckdb

    from transforms.tables import SqlView

DECLARED = """\
-- How heavy people are: a row a measurement,
-- newest first.
--
-- person_key VARCHAR: The person.
-- weights STRUCT(kg DOUBLE)[]: All of them,
--   in kilograms.
SELECT person_key, [{'kg': value}] AS weights FROM vitals -- any vital sign
"""


def standing(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    found = connection.execute("SELECT view_name, sql FROM duckdb_views() WHERE database_name = 'records'").fetchall()
    return dict(found)


def snapshots(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("SELECT count(*) FROM ducklake_snapshots('records')").fetchone()
    assert row is not None
    return int(row[0])


def declare(patch: pytest.MonkeyPatch, *declared: SqlView, but: Sequence[str] = ()) -> None:
    kept = [view for view in sql_views() if view.name not in but]
    patch.setattr(views, "sql_views", lambda: (*kept, *declared))


def test_any_client_with_the_key_sees_the_views_as_declared(home: Path) -> None:
    catalog = get_settings().records_catalog or f"sqlite:{home / 'records' / 'catalog.sqlite'}"
    with connect() as client:  # as plain DuckDB does, under a name of its own choice
        client.execute(f"ATTACH 'ducklake:{catalog}' AS mine (READ_ONLY)")
        told = "SELECT view_name, comment FROM duckdb_views() WHERE database_name = 'mine'"
        comments = dict(client.execute(told).fetchall())
        assert set(comments) == {view.name for view in sql_views()}
        for view in sql_views():
            assert comments[view.name].startswith(view.description)
            rows = client.execute(f"FROM mine.{view.name}").fetchall()
            assert len(rows) == (len(value_sets()) if view.name == "value_sets" else 0)
            client.execute(Relation.create_sql(view, f"memory.{view.name}"))  # an empty table of what is declared
            shown, said = (client.execute(f"DESCRIBE {where}.{view.name}").fetchall() for where in ("mine", "memory"))
            assert [column[:2] for column in shown] == [column[:2] for column in said], view.name


def test_a_declaration_that_changes_is_made_anew_and_nothing_else_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = read_sql_view("weights", DECLARED)
    with open_records() as connection:
        first = snapshots(connection)
        records.create(connection)
        assert snapshots(connection) == first

        connection.execute("CREATE VIEW records.of_the_operator AS SELECT 1 AS one")
        declare(monkeypatch, weights)
        records.create(connection)
        assert connection.execute("FROM records.weights").fetchall() == []
        declare(monkeypatch, replace(weights, sql=weights.sql.replace("vitals", "lab_results")))
        records.create(connection)
        assert "lab_results" in standing(connection)["weights"]
        declare(monkeypatch)
        records.create(connection)
        assert set(standing(connection)) == {"of_the_operator", *(view.name for view in sql_views())}


def test_a_view_of_a_view_comes_after_it_and_one_of_a_missing_column_waits(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = read_sql_view("weights", DECLARED)
    above = replace(below, name="a_weight", sql="SELECT person_key, weights FROM weights")
    ahead = replace(below, name="ahead", sql=below.sql.replace("value", "column_of_tomorrow"))
    declare(monkeypatch, above, ahead, below)
    with open_records() as connection:
        records.create(connection)
        assert {"a_weight", "weights"} <= set(standing(connection))
        assert "ahead" not in standing(connection)
        connection.execute("ALTER TABLE records.vitals ADD COLUMN column_of_tomorrow DOUBLE")
        records.create(connection)
        assert connection.execute("FROM records.ahead").fetchall() == []


def test_a_declaration_says_what_it_is_and_what_its_columns_mean() -> None:
    view = read_sql_view("weights", DECLARED)
    assert view.description == "How heavy people are: a row a measurement, newest first."
    assert [(column.name, column.sql_type, column.description) for column in view.columns] == [
        ("person_key", "VARCHAR", "The person."),
        ("weights", "STRUCT(kg DOUBLE)[]", "All of them, in kilograms."),
    ]
    for lacking in ("SELECT 1", DECLARED.replace("--\n", ""), DECLARED.partition("SELECT")[0]):
        with pytest.raises(TableError, match=r"^weights: "):
            read_sql_view("weights", lacking)
