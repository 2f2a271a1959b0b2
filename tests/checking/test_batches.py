"""Pages in, rows out, and from there into Parquet and back without a byte lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.bundles import PageError
from transforms.checking.batches import (
    CHECKED_SCHEMA,
    QUARANTINED_SCHEMA,
    CheckedRow,
    QuarantinedRow,
    check_pages,
)
from transforms.checking.explain import describe, explain
from transforms.checking.outcomes import issue_counts
from transforms.checking.verdict import Finding

if TYPE_CHECKING:
    from pathlib import Path

    from transforms.checking import Checker, Owner


def page(*resources: bytes) -> bytes:
    return (
        b'{"resourceType":"Bundle","type":"searchset","entry":['
        + b",".join(b'{"resource":' + raw + b"}" for raw in resources)
        + b"]}"
    )


def table(rows: list[Any], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays(
        [pa.array([getattr(row, field.name) for row in rows], type=field.type) for field in schema], schema=schema
    )


def test_rows_hold_what_was_received(
    checker: Checker, owner: Owner, observation: dict[str, Any], tmp_path: Path
) -> None:
    good = json.dumps(observation, indent=1, ensure_ascii=False).replace("Glucose", "Glucosé 5.40").encode()
    remarked = json.dumps(observation | {"id": "o-2", "status": "finall"}).encode()
    other = json.dumps(observation | {"id": "o-3", "subject": {"reference": "Patient/p-9"}}).encode()
    torn = b'{"resourceType":"Observation","id":"o-4","note":"\xff\xfe"}'
    outcome = b'{"resourceType":"OperationOutcome","issue":[]}'
    pages = [page(good, remarked, outcome, other), page(good, torn, torn)]
    rows = list(check_pages(pages, owner, person_key="k-1", link_id="l-1", checker=checker))
    checked = [row for row in rows if isinstance(row, CheckedRow)]
    stopped = [row for row in rows if isinstance(row, QuarantinedRow)]

    assert [(row.resource_type, row.resource_id, row.remarks) for row in checked] == [
        ("Observation", "o-1", []),
        ("Observation", "o-2", ["CH225 Observation.status"]),
    ]
    assert [(row.resource_type, row.resource_id, row.rules) for row in stopped] == [
        ("Observation", "o-3", ["CH207"]),
        ("Observation", "o-4", ["CH201"]),
    ]
    assert {(row.person_key, row.link_id) for row in rows} == {("k-1", "l-1")}

    pq.write_table(table(checked, CHECKED_SCHEMA), tmp_path / "checked.parquet")
    pq.write_table(table(stopped, QUARANTINED_SCHEMA), tmp_path / "quarantined.parquet")
    kept = [text.encode() for text in pq.read_table(tmp_path / "checked.parquet")["resource"].to_pylist()]
    assert kept == [good, remarked]
    assert pq.read_table(tmp_path / "quarantined.parquet")["resource"].to_pylist() == [other, torn]


def test_a_body_that_is_no_page_is_said_to_be_none(checker: Checker, owner: Owner) -> None:
    with pytest.raises(PageError):
        list(check_pages([b"<html>"], owner, person_key="k", link_id="l", checker=checker))


def test_outcomes_are_counted_and_not_quoted() -> None:
    issues = [{"severity": "warning", "diagnostics": "Smith"}, {"severity": "warning"}, {"severity": "Smith"}, 7]
    raw = json.dumps({"resourceType": "OperationOutcome", "issue": issues}).encode()
    assert issue_counts(raw) == {"warning": 2, "unknown": 2}
    assert issue_counts(b'{"issue":{}}') == {}
    assert issue_counts(b"{") == {"unknown": 1}


def test_explanations_are_for_people(observation: dict[str, Any]) -> None:
    del observation["extension"][1]  # the models do not know `_valueString`
    assert explain(json.dumps(observation).encode()) == []
    said = explain(json.dumps(observation | {"issued": "Smith", "code": [], "Smith": 1}).encode())
    assert "Observation.code: does not fit its type" in said
    assert "Observation.issued: Instant value string does not match spec regex." in said
    assert "Observation.*: Extra inputs are not permitted" in said
    assert explain(b"{") == ["It is no readable JSON"]
    assert describe(Finding("CH226", "Observation.issued")) == (
        "Observation.issued: A value does not have the format of its type"
    )
