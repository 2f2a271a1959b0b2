"""The worklists: what could be mapped, how often, and nothing about anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from transforms.tables.systems import every_address
from transforms.values.worklists import CODES_COLUMNS, UNITS_COLUMNS, Source, unmapped_codes, unmapped_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    import duckdb

LOINC = "http://loinc.org"


@pytest.fixture
def published(database: duckdb.DuckDBPyConnection) -> Iterator[list[Source]]:
    """Two published tables, as far as the worklists read them."""
    database.execute(
        "CREATE TEMP TABLE lab (person_key VARCHAR, link_id VARCHAR, code VARCHAR, code_system VARCHAR, value DOUBLE,"
        " value_unit VARCHAR, value_unit_code VARCHAR, effective_start TIMESTAMPTZ)"
    )
    rows = [
        ("a", "2345-7", LOINC, 5, "mg/dL", "mg/dL", "2020-01-01T10:00:00Z"),  # mapped
        ("a", "2345-7", LOINC, 5, "Zorkmids", None, "2020-01-01T10:00:00Z"),
        ("b", "2345-7", f"{LOINC}/", 5, "Zorkmids", None, "2021-06-01T10:00:00Z"),
        ("b", "2345-7", LOINC, 5, None, None, None),
        ("b", "2345-7", LOINC, 5, "kg", "kg", None),
        ("b", "2345-7", LOINC, 5, "mg/dL", "mmol/L", None),
        ("c", "5778-6", LOINC, 5, "mg/dL", None, None),  # the unit is known, the code is not measured
        ("c", "GLU", None, 5, "blorks", None, None),
        ("c", "GLU", "urn:lab", None, None, None, None),
        ("c", None, None, None, None, None, None),
    ]
    database.executemany("INSERT INTO lab VALUES ($1, $1 || '-link', $2, $3, $4, $5, $6, $7)", rows)
    database.execute(
        "CREATE TEMP TABLE visit"
        " (person_key VARCHAR, link_id VARCHAR, code VARCHAR, code_system VARCHAR, effective_start TIMESTAMPTZ)"
    )
    database.execute("INSERT INTO visit VALUES ('a', 'a-link', '99213', 'http://www.ama-assn.org/go/cpt', NULL)")
    yield [Source("lab_results", "lab", value="value"), Source("visits", "visit")]
    database.execute("DROP TABLE lab")
    database.execute("DROP TABLE visit")


def test_units_that_nobody_maps_are_counted(database: duckdb.DuckDBPyConnection, published: list[Source]) -> None:
    found = database.execute(unmapped_units(published))
    assert [column[0] for column in found.description or []] == list(UNITS_COLUMNS)
    listed = {(row[0], row[1], *row[3:6], row[7], row[8]) for row in found.fetchall()}
    assert listed == {
        ("a", "a-link", "Zorkmids", None, "2345-7", "unknown-unit", 1),
        ("b", "b-link", "Zorkmids", None, "2345-7", "unknown-unit", 1),
        ("b", "b-link", None, None, "2345-7", "missing-unit", 1),
        ("b", "b-link", "kg", "kg", "2345-7", "unfit-unit", 1),
        ("b", "b-link", "mg/dL", "mmol/L", "2345-7", "contradicting-units", 1),
        ("c", "c-link", "blorks", None, "GLU", "unknown-unit", 1),
    }


def test_codes_that_nobody_maps_are_counted(database: duckdb.DuckDBPyConnection, published: list[Source]) -> None:
    found = database.execute(unmapped_codes(published, every_address()))
    assert [column[0] for column in found.description or []] == list(CODES_COLUMNS)
    assert {(row[1], *row[2:7]) for row in found.fetchall()} == {
        ("c-link", "lab_results", "5778-6", LOINC, "code-not-measured", 1),
        ("c-link", "lab_results", "GLU", None, "code-without-system", 1),
        ("c-link", "lab_results", "GLU", "urn:lab", "code-of-other-system", 1),
        ("c-link", "lab_results", None, None, "code-missing", 1),
    }


def test_no_table_makes_an_empty_worklist(database: duckdb.DuckDBPyConnection) -> None:
    for sql, columns in ((unmapped_units([]), UNITS_COLUMNS), (unmapped_codes([], ()), CODES_COLUMNS)):
        empty = database.execute(sql)
        assert [column[0] for column in empty.description or []] == list(columns)
        assert empty.fetchall() == []
