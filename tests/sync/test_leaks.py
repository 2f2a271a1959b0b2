"""No column of any table or view of a published night says who somebody is, and where it may, it says so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.lake.session import open_records
from tests.sync.adversarial import records
from transforms.tables import is_free_text, published_tables, sql_views

if TYPE_CHECKING:
    from tests.sync.conftest import House

OURS = {"built_people", "withheld_rows"}


def test_what_names_somebody_stands_in_free_text_or_nowhere(house: House) -> None:
    house.provider.resources[:] = records()
    house.night()
    leaking, typed, filled = set(), set(), set()
    with open_records(read_only=True) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'records' ORDER BY ALL"
        ).fetchall()
        assert {table for table, _ in columns} - OURS == {each.name for each in (*published_tables(), *sql_views())}
        for table, column in columns:
            texts = connection.execute(f'SELECT DISTINCT "{column}"::VARCHAR FROM records.{table}').fetchall()
            told = " ".join(text for (text,) in texts if text)
            if told:
                filled.add(table)
            if "SECRET" in told or "Lovelace" in told.replace("as told by Ms Lovelace", ""):
                leaking.add((table, column))
            if "TYPED" in told:
                typed.add((table, column))
    assert not leaking
    declared = {
        (each.name, column.name)
        for each in (*published_tables(), *sql_views())
        for column in each.columns
        if is_free_text(column)
    }
    assert typed <= declared, sorted(typed - declared)
    for table, column in declared:
        relation = next(each for each in (*published_tables(), *sql_views()) if each.name == table)
        (said,) = (each.description for each in relation.columns if each.name == column)
        assert said.endswith("Free text.")
    assert {("conditions", "text"), ("medications", "dosage_text"), ("surveys", "value_text")} <= typed
    assert filled >= {each.name for each in published_tables()} - {"unmapped_units", "allergy_reactions"}
