"""A night by export ends with the tables that a night of searches makes, whatever goes wrong on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.bulk.conftest import House, Tables


def test_a_night_by_export_makes_the_tables_of_a_night_of_searches(house: House, crawled: Tables) -> None:
    report = house.night()
    print(report)
    assert house.tables() == crawled
    assert house.sandbox.exports() == [], "the job is deleted when its files are read"
