"""Types and values: decimals keep their digits, dates their precision, tags choose the SQL type."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from transforms.sql_on_fhir import SqlRelation, ViewError, compile_view, describe_view, run_view

if TYPE_CHECKING:
    from pathlib import Path


def value(resource: dict[str, Any], path: str, kind: str, **more: Any) -> Any:
    """One column over one resource."""
    column = {"name": "v", "path": path, "type": kind, **more}
    view = {"resource": resource["resourceType"], "select": [{"column": [column]}]}
    return run_view(view, [resource]).to_pylist()[0]["v"]


def quantity(text: str) -> dict[str, Any]:
    return {"resourceType": "Observation", "valueQuantity": {"value": Decimal(text)}}


@pytest.mark.parametrize(
    "text",
    ["1.10", "0.0", "100", "-7.500", "0.123456789012345678", "12345678901234567.8", "99999999999999999999", "1E-15",
     "-0.00", "1.5e3", "123.123456789012345", "-999.5", "1696.5", "8.30000000000000004"],
)  # fmt: skip
def test_decimals_keep_their_digits(text: str) -> None:
    path = "value.ofType(Quantity).value"
    assert value(quantity(text), path, "decimal") == Decimal(text)
    assert value(quantity(text), path, "string") == str(Decimal(text))
    assert value(quantity(text), f"{path}.toString()", "string") == str(Decimal(text))
    assert value(quantity(text), path, "decimal", tag=[{"name": "ansi/type", "value": "double precision"}]) == float(
        text
    )


def test_decimals_keep_their_digits_beside_text_that_looks_alike() -> None:
    resource = quantity("1.10") | {"note": [{"text": '"value": 1.10, \\"value": 2.50'}]}
    assert value(resource, "note.text", "string", collection=True) == ['"value": 1.10, \\"value": 2.50']


def test_a_decimal_beyond_38_digits_is_null_but_its_text_is_there() -> None:
    assert value(quantity("1e30"), "value.ofType(Quantity).value", "decimal") is None
    assert value(quantity("1e30"), "value.ofType(Quantity).value", "string") == "1E+30"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0.1 + 0.2", "0.3"), ("1.1 * 1.1", "1.21"), ("7 / 2", "3.5"), ("1 / 0", None), ("7 div 2", "3"),
        ("-7 mod 3", "-1"), ("10.5 mod 3", "1.5"), ("2 * 3 + 4", "10"), ("2 + 3 * 4", "14"), ("-(2 + 3)", "-5"),
        ("9223372036854775807 + 1", None), ("1.587.lowBoundary()", "1.5865"),
        ("1.587.highBoundary()", "1.5875"), ("1.lowBoundary()", "0.5"),
    ],
)  # fmt: skip
def test_arithmetic(expression: str, expected: str | None) -> None:
    got = value({"resourceType": "Patient"}, expression, "decimal")
    assert got == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("born", "expression", "expected"),
    [
        ("1980", "birthDate", "1980"), ("1980-02", "birthDate", "1980-02"),
        ("1980", "birthDate.lowBoundary()", "1980-01-01"), ("1980-02", "birthDate.highBoundary()", "1980-02-29"),
        ("1980-02", "birthDate.precision().toString()", "6"),
    ],
)  # fmt: skip
def test_dates_keep_their_precision(born: str, expression: str, expected: str) -> None:
    assert value({"resourceType": "Patient", "birthDate": born}, expression, "string") == expected


@pytest.mark.parametrize(
    ("given", "low", "high", "precision"),
    [
        ("2015", "2015-01-01T00:00:00.000+14:00", "2015-12-31T23:59:59.999-12:00", 4),
        ("2015-02", "2015-02-01T00:00:00.000+14:00", "2015-02-28T23:59:59.999-12:00", 6),
        ("2015-02-07T13:28:17Z", "2015-02-07T13:28:17.000Z", "2015-02-07T13:28:17.999Z", 14),
        ("2015-02-07T13:28:17.2+02:00", "2015-02-07T13:28:17.200+02:00", "2015-02-07T13:28:17.299+02:00", 15),
        ("2015-02-07T13:28:17.123456Z", "2015-02-07T13:28:17.123456Z", "2015-02-07T13:28:17.123456Z", 20),
    ],
)
def test_boundaries_of_instants(given: str, low: str, high: str, precision: int) -> None:
    resource = {"resourceType": "Observation", "effectiveDateTime": given}
    path = "effective.ofType(dateTime)"
    assert value(resource, path, "dateTime") == given
    assert value(resource, f"{path}.lowBoundary()", "dateTime") == low
    assert value(resource, f"{path}.highBoundary()", "dateTime") == high
    assert value(resource, f"{path}.precision()", "integer") == precision


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("effective.ofType(dateTime) = @2015-02-07T11:28:17Z", True),
        ("effective.ofType(dateTime) < @2015-02-07T11:28:18Z", True),
        ("effective.ofType(dateTime) > @2014", True),
        ("effective.ofType(dateTime) > @2015", None),
        ("effective.ofType(dateTime) = @2015-02-07", None),
        ("effective.ofType(dateTime) = @2016-02-07", False),
        ("effective.ofType(dateTime) != @2015-02-07T11:28:17.000Z", False),
        ("value.ofType(time) < @T12:35", True),
        ("value.ofType(time) = @T12:34:00", True),
        ("value.ofType(time) = @T12:34", None),
        ("effective.ofType(dateTime) in (@2015-02-07T11:28:17Z | @2016-01-01T00:00:00Z)", True),
    ],
)
def test_comparing_times(expression: str, expected: bool | None) -> None:
    resource = {
        "resourceType": "Observation",
        "effectiveDateTime": "2015-02-07T13:28:17+02:00",
        "valueTime": "12:34:00",
    }
    assert value(resource, expression, "boolean") is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("@2015-02-07T13:28Z.lowBoundary()", "2015-02-07T13:28:00.000Z"),
        ("@2015-02-07T13:28Z.highBoundary()", "2015-02-07T13:28:59.999Z"),
        ("@2015-02-07T13+02:00.highBoundary()", "2015-02-07T13:59:59.999+02:00"),
        ("@2015T.highBoundary()", "2015-12-31T23:59:59.999-12:00"),
        ("@T10.lowBoundary()", "10:00:00.000"),
        ("@T10.highBoundary()", "10:59:59.999"),
        ("@T10:30:05.12.highBoundary()", "10:30:05.129"),
        ("@2015-02-07T13:28Z < @2015-02-07T13:29:00Z", "true"),
        ("@2015-02-07T13:28+02:00 < @2015-02-07T11:29:00Z", "true"),
        ("@2015-02-07T13:28Z = @2015-02-07T13:28:00Z", None),
        ("@2015-02-07T13Z >= @2015-02-07T13:59:00Z", None),
        ("@2015T = @2015", "true"),
        ("effective.ofType(Period).lowBoundary()", "2015-02-01T00:00:00.000+14:00"),
        ("effective.ofType(Period).highBoundary()", "2016-12-31T23:59:59.999-12:00"),
        ("issued.lowBoundary()", None),
        ("issued.precision()", None),
        ("issued", "soon"),
    ],
)
def test_times_without_seconds_and_periods(expression: str, expected: str | None) -> None:
    resource = {
        "resourceType": "Observation",
        "effectivePeriod": {"start": "2015-02", "end": "2016"},
        "issued": "soon",
    }
    assert value(resource, expression, "string") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("telecom.rank | 5", ["1", "3", "5"]),
        ("telecom.rank | 3.0", ["1", "3"]),
        ("(1 | 1.0 | 2)", ["1", "2"]),
        ("telecom[-1].rank", []),
        ("telecom[-2].rank", []),
        ("telecom[-2 + 2].rank", ["1"]),
        ("telecom.rank[-1]", []),
        ("telecom[7].rank", []),
        ("telecom.rank.join(id)", ["1p3"]),
        ("telecom.rank.join(language)", ["13"]),
        ("telecom.value.join(id)", [""]),
        ("telecom.where(rank > 1).rank.join(%resource.id & '-')", ["3"]),
        ("'\\ud83d\\ude00'", ["😀"]),
        ("'abcd'.substring(1).substring(1, 1).substring(0)", ["c"]),
    ],
)
def test_collections(expression: str, expected: list[str]) -> None:
    resource = {"resourceType": "Patient", "id": "p", "telecom": [{"rank": 1}, {"rank": 3}]}
    assert value(resource, expression, "string", collection=True) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("telecom.rank + 1", "4"),
        ("1 - telecom.rank", "-2"),
        ("-telecom.rank", "-3"),
        ("telecom.rank * 1.5 / telecom.rank", "1.5"),
        ("telecom.rank mod 2 + telecom.rank div 2", "2"),
        ("name.given[telecom.rank]", "d"),
        ("iif(telecom.rank > 2, telecom.rank + telecom.rank, 0)", "6"),
    ],
)
def test_computing_with_paths_that_may_give_several(expression: str, expected: str, tmp_path: Path) -> None:
    resource = {"resourceType": "Patient", "telecom": [{"rank": 3}], "name": [{"given": ["a", "b", "c", "d"]}]}
    assert value(resource, expression, "string") == expected
    view = {"resource": "Patient", "select": [{"column": [{"name": "v", "path": expression, "type": "string"}]}]}
    file = tmp_path / "patients.ndjson"
    file.write_text(json.dumps(resource))
    assert run_view(view, file)["v"].to_pylist() == [expected]
    with pytest.raises(ViewError, match="CH307"):
        run_view(view, [resource | {"telecom": [{"rank": 1}, {"rank": 2}]}])


def test_quantities_compare_within_a_unit() -> None:
    resource = {"resourceType": "Observation", "valueQuantity": {"value": Decimal("5.0"), "unit": "mg", "code": "mg"}}
    assert value(resource, "value.ofType(Quantity) > 4 'mg'", "boolean") is True
    assert value(resource, "value.ofType(Quantity) = 5 'mg'", "boolean") is True
    assert value(resource, "value.ofType(Quantity) > 4 'kg'", "boolean") is None


@pytest.mark.parametrize(
    ("reference", "any_type", "patient"),
    [
        ("Patient/1", "Patient/1", "Patient/1"),
        ("Patient/1/_history/3", "Patient/1", "Patient/1"),
        ("https://example.org/fhir/Patient/1", "Patient/1", "Patient/1"),
        ("https://example.org/fhir/Patient/1/_history/2", "Patient/1", "Patient/1"),
        ("Group/a-b.c", "Group/a-b.c", None),
        ("Group/a_b", "Group/a_b", None),
        ("Patient/a_b", "Patient/a_b", "Patient/a_b"),
        ("Patient/", None, None),
        ("Patient/1/name", None, None),
        ("https://example.org/fhir/Patient/", None, None),
        ("/Patient/1", None, None),
        ("", None, None),
        ("#p1", None, None),
        ("urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7", None, "Patient/53fefa32-fcbb-4ff8-8a92-55ee120877b7"),
        ("urn:uuid:", None, None),
        ("urn:uuid:a/b", None, None),
        ("urn:other:1", None, None),
        ("Patient?identifier=https://example.org/Patient/1", None, None),
    ],
)
def test_reference_keys(reference: str, any_type: str | None, patient: str | None) -> None:
    resource = {"resourceType": "Observation", "id": "o", "subject": {"reference": reference}}
    assert value(resource, "subject.getReferenceKey()", "string") == any_type
    assert value(resource, "subject.getReferenceKey(Patient)", "string") == patient
    assert value(resource, "subject.getReferenceKey('Patient')", "string") == patient
    assert value(resource, "getResourceKey()", "string") == "Observation/o"


def test_extensions_of_primitives_and_contained_resources() -> None:
    patient = {
        "resourceType": "Patient",
        "name": [{"given": ["a", None], "_given": [None, {"extension": [{"url": "urn:x", "valueString": "y"}]}]}],
        "_birthDate": {"extension": [{"url": "urn:x", "valueString": "z"}]},
        "_deceasedBoolean": {"extension": [{"url": "urn:x", "valueString": "unknown"}]},
        "contained": [
            {"resourceType": "Organization", "name": "o"},
            {"resourceType": "Patient", "name": [{"family": "f"}]},
        ],
    }
    assert value(patient, "name.given", "string", collection=True) == ["a"]
    assert value(patient, "name.given.extension('urn:x').value.ofType(string)", "string") == "y"
    assert value(patient, "birthDate.extension('urn:x').value.ofType(string)", "string") == "z"
    assert value(patient, "deceased.ofType(boolean).extension('urn:x').value.ofType(string)", "string") == "unknown"
    assert value(patient, "contained.ofType(Organization).name", "string") == "o"
    assert value(patient, "contained.ofType(Patient).name.family", "string") == "f"


@pytest.mark.parametrize(
    ("tag", "sql_type"),
    [
        ("DECIMAL(10,2)", "DECIMAL(10, 2)"), ("numeric", "DECIMAL(18, 0)"), ("DATE", "DATE"),
        ("VARCHAR(20)", "VARCHAR"),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE"), ("double precision", "DOUBLE"), ("BIGINT", "BIGINT"),
    ],
)  # fmt: skip
def test_tags_choose_the_sql_type(tag: str, sql_type: str) -> None:
    column = {"name": "v", "path": "birthDate", "type": "string", "tag": [{"name": "ansi/type", "value": tag}]}
    (described,) = describe_view({"resource": "Patient", "select": [{"column": [column]}]})
    assert described.sql_type == sql_type


@pytest.mark.parametrize(
    ("given", "tag", "expected"),
    [
        ("1980-02-03", "DATE", "1980-02-03"),
        ("1980-02", "DATE", "1980-02-01"),
        ("soon", "DATE", "None"),
        ("1980-02-03T04:05:06+02:00", "TIMESTAMP", "1980-02-03 02:05:06"),
        ("1980-02-03T04:05:06.5Z", "TIMESTAMP", "1980-02-03 04:05:06.500000"),
        ("1980", "TIMESTAMP", "1980-01-01 00:00:00"),
    ],
)
def test_a_tagged_date_is_the_earliest_instant_that_it_can_mean(given: str, tag: str, expected: str) -> None:
    tags = [{"name": "ansi/type", "value": tag}]
    resource = {"resourceType": "Observation", "effectiveDateTime": given}
    assert str(value(resource, "effective.ofType(dateTime)", "dateTime", tag=tags)) == expected


def test_a_column_without_a_type_takes_that_of_its_path() -> None:
    columns = [
        {"name": "a", "path": "multipleBirth.ofType(integer)"},
        {"name": "b", "path": "name.given", "collection": True},
    ]
    table = run_view({"resource": "Patient", "select": [{"column": columns}]}, [])
    assert table.schema.types == [pa.int32(), pa.list_(pa.string())]


def test_repeat_has_no_limit_of_depth_and_keeps_the_order_of_the_document() -> None:
    item: dict[str, Any] = {"linkId": "40"}
    for depth in reversed(range(40)):
        item = {"linkId": str(depth), "item": [item, {"linkId": f"{depth}b"}]}
    view = {
        "resource": "QuestionnaireResponse",
        "select": [
            {"repeat": ["item"], "column": [{"name": "id", "path": "linkId"}, {"name": "row", "path": "%rowIndex"}]}
        ],
    }
    rows = run_view(view, [{"resourceType": "QuestionnaireResponse", "item": [item]}]).to_pylist()
    expected = [str(depth) for depth in range(41)] + [f"{depth}b" for depth in reversed(range(40))]
    assert [row["id"] for row in sorted(rows, key=lambda row: row["row"])] == expected
    assert [row["row"] for row in sorted(rows, key=lambda row: row["row"])] == list(range(81))


CODED = {"resourceType": "Observation", "code": {"text": "a", "coding": [{"code": "q"}]}}


@pytest.mark.parametrize(
    ("path", "expected"),
    [("code.where(text = 'a').coding.code", ["q"]), ("code.where(text = 'b').coding.code", []),
     ("code[1].coding.code", []), ("code[0].coding.code", ["q"])],
)  # fmt: skip
def test_what_is_filtered_out_has_no_parts_either(path: str, expected: list[str]) -> None:
    assert value(CODED, path, "code", collection=True) == expected


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ({"birthDate": "1980"}, (True, True)),
        ({"_birthDate": {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]}}, (True, False)),
        ({}, (False, False)),
    ],
    ids=["a value", "an extension alone", "nothing"],
)
def test_a_primitive_may_be_there_without_a_value(patient: dict[str, Any], expected: tuple[bool, bool]) -> None:
    name = {key.replace("birthDate", "given"): [part] for key, part in patient.items()}
    patient = {"resourceType": "Patient", "name": [name], **patient}
    exists, has_value = expected
    assert value(patient, "birthDate.exists()", "boolean") is exists
    assert value(patient, "birthDate.empty()", "boolean") is not exists
    assert value(patient, "birthDate.hasValue()", "boolean") is has_value
    assert value(patient, "birthDate.where($this = @1980).exists()", "boolean") is has_value
    assert value(patient, "name.given.exists()", "boolean") is exists


def test_comparing_dates_of_what_was_filtered_by_dates_stays_short() -> None:
    path = "period.where(start.where($this > @2021).first() = @2022).start.first() < @2023-02-01T00:00:00Z"
    view = {"resource": "Encounter", "select": [{"column": [{"name": "v", "path": path, "type": "boolean"}]}]}
    assert len(compile_view(view, SqlRelation("resources"))) < 20_000
    encounter = {"resourceType": "Encounter", "period": {"start": "2022"}}
    assert value(encounter, path, "boolean") is True
