"""Typed frames of rows that break nothing, and of rows changed on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
import pytest

from transforms.auditing import audit_staged
from transforms.tables import table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from transforms.auditing import TableAudit

Audited = tuple["TableAudit", set[tuple[str, str]]]
"""What was said of a table, and the (rule, row key) that were written down."""

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
    "visits": {
        "status": "finished",
        "class_code": "AMB",
        "effective_start": "2020-01-01",
        "effective_start_precision": "day",
    },
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


@pytest.fixture
def audited(tmp_path: Path) -> Callable[..., Audited]:
    """Stage frames of one table, a file each, and audit them."""

    def audit(name: str, *frames: pd.DataFrame) -> Audited:
        folder = tmp_path / "rows" / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames):
            frame.to_parquet(folder / f"{number}.parquet")
        broken = tmp_path / "broken.parquet"
        [found] = [each for each in audit_staged(tmp_path / "rows", broken) if each.table == name]
        return found, {(row["rule"], row["row_key"]) for row in pq.read_table(broken).to_pylist()}

    return audit


def literal(value: Any) -> str:
    """A value as SQL."""
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, bool | int | float) else "'" + value.replace("'", "''") + "'"
