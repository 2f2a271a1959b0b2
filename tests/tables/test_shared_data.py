"""Published resources by the thousand: a row for each, in its category, and none that the audit refuses."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tables.raw import OF_TYPE
from tests.tables.staging import prepared
from transforms.auditing import audit_staged
from transforms.classification import classify
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.shared_data


def examples() -> Iterator[dict[str, Any]]:
    for file in sorted((SHARED / "us-core-examples").glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = content.get("entry", []) if content["resourceType"] == "Bundle" else [{"resource": content}]
        yield from (entry["resource"] for entry in entries if "id" in entry.get("resource", {}))


def people(folder: str, most: int) -> Iterator[dict[str, Any]]:
    for file in sorted((SHARED / folder).glob("*.json.gz"))[:most]:
        yield from (entry["resource"] for entry in json.loads(gzip.decompress(file.read_bytes()))["entry"])


def rows_of(resource: dict[str, Any]) -> int:
    return 1 + len(resource.get("component", []))


def counted(resources: list[dict[str, Any]]) -> Counter[str]:
    rows: Counter[str] = Counter()
    for each in resources:
        if each["resourceType"] == "Observation" and (name := classify(each, "direct").category):
            rows[name] += rows_of(each)
        elif each["resourceType"] in OF_TYPE:
            rows[OF_TYPE[each["resourceType"]]] += 1
    return rows


@pytest.mark.parametrize(
    ("resources", "least", "audited"),
    [
        pytest.param(lambda: examples(), 70, False, id="us-core-examples"),
        pytest.param(lambda: people("synthea-us-core", 4), 2_000, True, id="synthea-us-core"),
    ],
)
def test_rows_are_as_many_as_counted_apart(resources: Any, least: int, audited: bool, tmp_path: Path) -> None:
    found = list({(each["resourceType"], each["id"]): each for each in resources()}.values())
    columns = pa.table(
        {
            "person_key": ["person"] * len(found),
            "link_id": ["link"] * len(found),
            "resource_type": [each["resourceType"] for each in found],
            "resource_id": [each["id"] for each in found],
            "last_updated": pa.array([each.get("meta", {}).get("lastUpdated") for each in found], pa.string()),
            "resource": [json.dumps(each) for each in found],
        }
    )
    rows: Counter[str] = Counter()
    with duckdb.connect(config={"memory_limit": "2GB", "threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("given", columns)
        connection.execute("CREATE TABLE staged AS FROM given")
        present = prepared(connection)
        for each in tables():
            built = connection.execute(each.select_sql(present)).to_arrow_table()
            rows[each.name] = len(built)
            if audited:
                (tmp_path / each.name).mkdir()
                pq.write_table(built, tmp_path / each.name / "all.parquet")
    for said in audit_staged(tmp_path, tmp_path / "broken.parquet"):
        assert not said.held, said.table
        # What points at its Medication by a `urn:` inside the Bundle cannot say which it is.
        assert {rule for rule, _ in said.broken} <= {"medications.says_what"}
    assert +rows == counted(found)
    assert rows.total() >= least
