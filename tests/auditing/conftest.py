"""Typed frames of rows that break nothing, and of rows changed on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from transforms.tables import table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

KINDS = {
    "allergies": "AllergyIntolerance",
    "conditions": "Condition",
    "medications": "MedicationRequest",
    "procedures": "Procedure",
    "vaccines": "Immunization",
    "visits": "Encounter",
}
SOUND: dict[str, dict[str, Any]] = {
    "allergies": {"status": "active", "code": "1", "type": "allergy", "criticality": "low"},
    "conditions": {
        "status": "active",
        "code": "1",
        "effective_start": "2020-01-01",
        "effective_start_precision": "day",
    },
    "medications": {"status": "active", "record_type": "request", "code": "1", "dose": 2.5, "quantity": 30},
    "procedures": {"status": "completed", "code": "1", "effective_start": "2020-01-01"},
    "vaccines": {"status": "completed", "code": "1", "effective_start": "2020-01-01"},
    "visits": {"status": "finished", "effective_start": "2020-01-01", "effective_start_precision": "day"},
}
OBSERVED = {
    "status": "final",
    "loinc_code": "8867-4",
    "code": "8867-4",
    "component_number": 0,
    "has_value": True,
    "has_members": False,
    "has_components": False,
    "value": 70,
    "value_unit_code": "/min",
    "effective_start": "2020-01-01",
    "effective_start_precision": "day",
}


@pytest.fixture(scope="session")
def rows() -> Callable[..., pd.DataFrame]:
    """A frame of a table: one sound row for each mapping given, changed as it says. Row keys count from 0."""

    def make(name: str, *changes: dict[str, Any]) -> pd.DataFrame:
        kind = KINDS.get(name, "Observation")
        parts = []
        for number, change in enumerate(changes):
            keys = {
                "row_key": f"link/{kind}/{number}/0",
                "person_key": "person",
                "link_id": "link",
                "resource_key": f"link/{kind}/{number}",
            }
            values = {**keys, **SOUND.get(name, OBSERVED), **change}
            columns = ", ".join(
                f'CAST({literal(values.get(column.name))} AS {column.sql_type}) AS "{column.name}"'
                for column in table(name).columns
            )
            parts.append(f"SELECT {columns}")
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(" UNION ALL ".join(parts)).to_arrow_table().to_pandas()

    return make


def literal(value: Any) -> str:
    """A value as SQL."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, bool | int | float) else "'" + value.replace("'", "''") + "'"
