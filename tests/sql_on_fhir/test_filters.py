"""The parameters of the standard's run operation: patient, group, since, limit, over every kind of source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from transforms.fhir_r4 import r4
from transforms.sql_on_fhir import Filters, SqlRelation, ViewError, describe_view, remarks_of, run_view, write_view
from transforms.sql_on_fhir.compartment import patients_of

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = [{"column": [{"name": "key", "path": "getResourceKey()"}]}]
VIEW = {"resource": "Observation", "select": COLUMNS}


def observed(key: str, subject: str | None, changed: str | None = None, performer: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"resourceType": "Observation", "id": key}
    if subject:
        found["subject"] = {"reference": subject}
    if performer:
        found["performer"] = [{"reference": "Practitioner/d"}, {"reference": performer}]
    if changed:
        found["meta"] = {"lastUpdated": changed}
    return found


def member(reference: str, **more: Any) -> dict[str, Any]:
    return {"entity": {"reference": reference}, **more}


RESOURCES: list[dict[str, Any]] = [
    *({"resourceType": "Patient", "id": key} for key in ("a", "b", "c")),
    {"resourceType": "Group", "id": "g", "member": [member("Patient/a"), member("Patient/c", inactive=True)]},
    {"resourceType": "Group", "id": "h", "member": [member("https://example.org/Patient/b")]},
    {"resourceType": "Group", "id": "none"},
    {"resourceType": "Organization", "id": "o"},
    observed("1", "Patient/a", "2024-01-01T00:00:00Z"),
    observed("2", "https://example.org/fhir/Patient/b", "2024-06-01T12:00:00+02:00"),
    observed("3", "Group/x", performer="Patient/a"),
    observed("4", None, "2024-06-01T10:00:00.001Z"),
]


@pytest.mark.parametrize(
    ("filters", "keys"),
    [
        (Filters(), "1234"),
        (Filters(patients=["Patient/a"]), "13"),
        (Filters(patients=["a", "https://example.org/Patient/b"]), "123"),
        (Filters(groups=["Group/g"]), "13"),
        (Filters(groups=["g", "Group/h"]), "123"),
        (Filters(groups=["none"]), ""),
        (Filters(patients=["b"], groups=["g"]), ""),
        (Filters(since="2024-06-01T10:00:00Z"), "34"),
        (Filters(since="2024-06-01T09:59:59Z", patients=["b"]), "2"),
        (Filters(limit=0), ""),
    ],
)
def test_only_what_is_asked_for_counts(filters: Filters, keys: str, tmp_path: Path) -> None:
    lines = "\n".join(map(json.dumps, RESOURCES))
    (tmp_path / "all.ndjson").write_text(lines)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT unnest(?) AS resource", [list(map(json.dumps, RESOURCES))])
    for source, within in (
        (RESOURCES, None),
        ([{"resourceType": "Bundle", "entry": [{"resource": one} for one in RESOURCES]}], None),
        (tmp_path, None),
        (connection.table("t"), None),
        (SqlRelation("t", resource_type=None), connection),
    ):
        found = run_view(VIEW, source, within, filters=filters)
        assert sorted(row["key"][-1] for row in found.to_pylist()) == list(keys)


def test_a_limit_is_of_rows(tmp_path: Path) -> None:
    assert run_view(VIEW, RESOURCES, filters=Filters(limit=3)).num_rows == 3
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, RESOURCES)))
    assert write_view(VIEW, tmp_path, tmp_path / "o.csv", filters=Filters(limit=2))[0] == 2


def test_a_type_of_no_compartment_stays_and_is_told() -> None:
    table = run_view({"resource": "Organization", "select": COLUMNS}, RESOURCES, filters=Filters(patients=["a"]))
    assert table.num_rows == 1
    assert [remark.code for remark in remarks_of(table)] == ["CH324"]


def test_whom_the_source_does_not_have_is_an_error_without_a_name() -> None:
    for filters in (Filters(patients=["a", "nobody-9"]), Filters(groups=["g", "nobody-9"])):
        with pytest.raises(ViewError, match="CH313") as caught:
            run_view(VIEW, RESOURCES, filters=filters)
        assert "nobody-9" not in str(caught.value)
    alone = [one for one in RESOURCES if one["resourceType"] == "Observation"]
    assert run_view(VIEW, alone, filters=Filters(patients=["a"])).num_rows == 2, "a source of results has no patients"


@pytest.mark.parametrize(
    "given",
    [
        {"patients": ["Group/a"]},
        {"patients": [""]},
        {"patients": ["Patient?x=1"]},
        {"groups": ["Patient/a"]},
        {"since": "2024-01-01"},
        {"since": "2024-02-30T00:00:00Z"},
        {"since": "2024-01-01T00:00:00"},
        {"limit": -1},
    ],
)
def test_a_filter_that_is_none_is_an_error(given: dict[str, Any]) -> None:
    with pytest.raises(ViewError, match="CH314"):
        Filters(**given)


def test_the_compartment_is_of_elements_that_point_at_patients() -> None:
    types = [name for name in sorted(r4().resources) if patients_of(name)]
    assert len(types) == 66
    for name in types:
        path = str(patients_of(name))
        describe_view({"resource": name, "select": [{"column": [{"name": "v", "path": path, "collection": True}]}]})
    assert patients_of("Practitioner") is None
