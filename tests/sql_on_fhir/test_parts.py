"""Columns of complex types: a struct of the datatype's parts, every leaf as it was sent."""

from __future__ import annotations

import json
from typing import Any

import duckdb
import pytest

from transforms.sql_on_fhir import SqlRelation, ViewError, describe_view, run_view

SHELL = {"resourceType": "Observation", "id": "o1"}


def view(*columns: tuple[Any, ...], **more: Any) -> dict[str, Any]:
    made = [
        {"name": name, "path": path, "type": kind, **({"collection": True} if many else {})}
        for name, path, kind, many in columns
    ]
    return {
        "resourceType": "ViewDefinition",
        "status": "active",
        "resource": "Observation",
        "select": [{"column": made}],
    } | more


def rows(definition: dict[str, Any], *texts: str) -> list[dict[str, Any]]:
    """The rows out of JSON texts: Python would change numbers."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE given AS SELECT unnest(?) AS resource", [list(texts)])
        return run_view(definition, SqlRelation("given", resource_type=None), connection).to_pylist()


def test_a_quantity_keeps_its_digits_and_a_string_in_their_place() -> None:
    definition = view(("q", "value.ofType(Quantity)", "Quantity", False))
    shell = '{"resourceType":"Observation","valueQuantity":{"value":%s,"comparator":"<","unit":"mg"}}'
    found = rows(definition, *(shell % sent for sent in ("1.10", '"1.80"', "1e999", '{"a": 1}', "null")))
    assert [row["q"]["value"] for row in found] == ["1.10", "1.80", "1e999", '{"a":1}', None]
    assert {row["q"]["comparator"] for row in found} == {"<"}
    exact = view(
        ("q", "value.ofType(Quantity)", "Quantity", False), ("n", "value.ofType(Quantity).value", "decimal", False)
    )
    both = rows(exact, shell % "1.10", shell % '"1.80"')
    assert [row["q"]["value"] for row in both] == ["1.10", "1.80"]
    assert [row["n"] if row["n"] is None else float(row["n"]) for row in both] == [1.1, None]


def test_lists_choices_and_what_stands_beside_a_primitive() -> None:
    definition = view(
        ("codings", "code.coding", "Coding", True),
        ("ranges", "referenceRange", "BackboneElement", True),
        ("parts", "component", "BackboneElement", True),
        ("why", "effective.ofType(dateTime).extension", "Extension", True),
        ("who", "performer", "Reference", True),
    )
    resource = {
        **SHELL,
        "code": {"coding": [{"code": "a", "userSelected": True}, None, {"display": "b"}]},
        "referenceRange": [{"high": {"value": 5}, "appliesTo": [{"text": "women"}]}],
        "component": [{"code": {"text": "x"}, "valueInteger": 3, "referenceRange": [{"text": "3"}]}],
        "_effectiveDateTime": {"extension": [{"url": "u", "valueCode": "unknown"}]},
        "performer": [{"reference": "Patient/1", "identifier": {"value": "MRN"}}],
    }
    (row,) = rows(definition, json.dumps(resource))
    assert [(each["code"], each["display"], each["userSelected"]) for each in row["codings"]] == [
        ("a", None, "true"),
        (None, "b", None),
    ]
    assert (row["ranges"][0]["high"]["value"], row["ranges"][0]["appliesTo"][0]["text"]) == ("5", "women")
    assert (row["parts"][0]["valueInteger"], row["parts"][0]["referenceRange"][0]["text"]) == ("3", "3")
    assert row["why"] == [{"url": "u", "valueCode": "unknown", "valueString": None}]
    assert row["who"] == [{"reference": "Patient/1", "type": None, "display": None}]
    (empty,) = rows(definition, json.dumps(SHELL))
    assert set(map(tuple, empty.values())) == {()}


def test_branches_of_a_union_agree_whatever_else_reads_the_element() -> None:
    column = {"name": "code", "path": "code", "type": "CodeableConcept"}
    definition = view(("id", "id", "id", False), where=[{"path": "code.coding.where(system = 'x').exists()"}])
    definition["select"].append({"unionAll": [{"column": [column]}, {"forEach": "component", "column": [column]}]})
    concept = {"coding": [{"code": "c", "system": "x"}]}
    sent = {**SHELL, "code": concept, "component": [{"code": {"text": "part"}}]}
    found = rows(definition, json.dumps(sent), json.dumps({**SHELL, "code": {"text": "other"}}))
    assert [(row["code"]["text"], [each["code"] for each in row["code"]["coding"] or []]) for row in found] == [
        (None, ["c"]),
        ("part", []),
    ]


def test_a_type_that_ends_in_itself_ends() -> None:
    (column,) = describe_view(view(("e", "extension", "Extension", True)))
    assert column.sql_type == 'STRUCT("url" VARCHAR, "valueCode" VARCHAR, "valueString" VARCHAR)'
    for path, kind in (("code", "Quantity"), ("subject", "CodeableConcept"), ("contained", "Resource")):
        with pytest.raises(ViewError, match="CH304"):
            describe_view(view(("x", path, kind, True)))
