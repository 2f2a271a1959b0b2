"""No column of any table or view of a published night says who somebody is, and where it may, it says so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charthouse.lake.session import open_records
from tests.sync.adversarial import records
from transforms.tables import is_free_text, published_tables
from transforms.tables.catalogue import published

if TYPE_CHECKING:
    from tests.sync.conftest import House


def test_what_names_somebody_stands_in_free_text_or_nowhere(house: House) -> None:
    house.provider.resources[:] = records()
    house.night()
    leaking, typed, filled = set(), set(), set()
    with open_records(read_only=True) as connection:
        for each in published():
            rows = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM records.{each.name}")
            names = [entry[0] for entry in rows.description or ()]
            assert names == [column.name for column in each.columns]
            for name, texts in zip(names, zip(*rows.fetchall(), strict=True), strict=False):
                filled.add(each.name)
                told = " ".join(text for text in texts if text)
                if "SECRET" in told or "Lovelace" in told.replace("as told by Ms Lovelace", ""):
                    leaking.add((each.name, name))
                if "TYPED" in told:
                    typed.add((each.name, name))
    assert not leaking
    declared = {
        (each.name, column.name): column.description
        for each in published()
        for column in each.columns
        if is_free_text(column)
    }
    assert typed <= declared.keys(), sorted(typed - declared.keys())
    assert all(said.endswith("Free text.") for said in declared.values())
    assert {("conditions", "text"), ("medications", "dosage_text"), ("surveys", "value_text")} <= typed
    assert {each.name for each in published_tables()} - filled == {"duplicates"}, (
        "tables are looked at with rows in them"
    )
