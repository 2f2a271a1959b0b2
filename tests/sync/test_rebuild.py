"""The tables come anew from the vault alone, the same to the byte, and no provider is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from charthouse.lake.session import open_records
from transforms.tables import MAPPING_VERSION, all_tables

if TYPE_CHECKING:
    from tests.sync.conftest import House


def content() -> dict[str, list[Any]]:
    with open_records(read_only=True) as connection:
        return {
            table.name: connection.execute(f"SELECT * FROM records.{table.name} ORDER BY row_key").fetchall()
            for table in all_tables()
        }


def test_a_rebuild_gives_the_same_rows_and_asks_nobody(house: House) -> None:
    house.night()
    before = content()
    asked = len(house.provider.asked)
    done = house.charthouse("rebuild", "--all", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["people"], said["mapping_version"]) == (1, MAPPING_VERSION)
    assert (
        {each["table"]: each["rewritten"] for each in said["tables"]}["lab_results"] == len(before["lab_results"]) > 0
    )
    assert content() == before
    assert len(house.provider.asked) == asked
    row = dict(zip((column.name for column in all_tables()[3].columns), before["lab_results"][0], strict=True))
    assert row["route"] == "direct"
    assert row["provider"]
    again = house.charthouse("rebuild")
    assert again.stdout.startswith("0 people rebuilt")
