"""Views as other people write them: each shape that is published runs, or ends in one error that says what to do."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import pytest

from transforms.sql_on_fhir import ViewError, describe_view, remarks_of, run_view, view_remarks

if TYPE_CHECKING:
    from collections.abc import Iterator

PERSON = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"lastUpdated": "2024-03-01T00:00:00Z", "profile": ["http://example.org/profile"]},
    "name": [{"use": "official", "family": "Family", "given": ["One", "Two"]}],
    "deceasedBoolean": False,
    "multipleBirthInteger": 2,
}
SELECT = [{"column": [{"name": "key", "path": "getResourceKey()"}]}]


def view(**more: Any) -> dict[str, Any]:
    return {"resourceType": "ViewDefinition", "resource": "Patient", "status": "draft", "select": SELECT} | more


def codes(definition: dict[str, Any]) -> list[tuple[str, str]]:
    return [(remark.code, remark.path) for remark in view_remarks(definition)]


@pytest.mark.parametrize(
    "more",
    [
        {"resourceDefinition": "http://hl7.org/fhir/StructureDefinition/ViewDefinition|3.0.0-ballot"},
        *({"resourceType": name} for name in (
            "ViewDefinition",
            "ViewDefinition|2.0.0",
            "https://sql-on-fhir.org/ig/StructureDefinition/ViewDefinition",
            "http://hl7.org/fhir/uv/sql-on-fhir/StructureDefinition/ViewDefinition|2.1.0-pre",
        )),
        *({"fhirVersion": versions} for versions in (["4.0"], ["4.0.1"], "4.0.1", ["5.0.0", "4.3.0"], ["R4"], [])),
        {"text": {"status": "generated"}, "meta": {"profile": ["http://example.org/v"]}, "language": "en"},
        {"contained": [{"resourceType": "Library", "id": "l"}], "extension": [{"url": "http://example.org/e"}]},
        {"identifier": {"value": "2.0 has one"}, "contact": [{"name": "n"}], "jurisdiction": [{"text": "j"}]},
        {"identifier": [{"value": "3.0 has several"}], "useContext": [], "profile": ["http://example.org/p"]},
        {"versionAlgorithmString": "semver", "copyrightLabel": "c", "approvalDate": "2024-01", "author": []},
        {"_status": {"extension": []}, "_name": {"id": "n"}, "fhir_comments": ["c"], "//": "c", "$schema": "s", "#": 1},
        {"status": "active", "name": "n", "title": "t", "url": "u", "version": "1", "date": "2024"},
        {"select": [{"id": "s", "extension": [], "column": [{"id": "c", "_path": {}, **SELECT[0]["column"][0]}]}]},
        {"select": [{"column": [{"name": "key", "path": "id", "type": "http://hl7.org/fhir/StructureDefinition/id"}]}]},
        {"where": [{"path": "name.exists()", "description": "d"}], "constant": [{"name": "c", "valueCode": "x"}]},
    ],
)  # fmt: skip
def test_what_the_standards_own_artifacts_write_is_read_without_a_word(more: dict[str, Any]) -> None:
    table = run_view(view(**more), [PERSON])
    assert table.num_rows == 1
    assert remarks_of(table) == ()


def test_the_type_may_be_left_out() -> None:
    definition = view()
    del definition["resourceType"]
    assert run_view(definition, [PERSON]).num_rows == 1


def test_what_the_standard_does_not_have_is_passed_over_and_told() -> None:
    column = {"name": "key", "path": "id", "ansiType": "TEXT"}
    select = [
        {
            "label": "x",
            "select": [{"column": [column]}],
            "unionAll": [{"column": [{"name": "u", "path": "id"}], "note": 1}],
        }
    ]
    definition = view(owner="me", fhirVersion=["5.0.0", "R6"], where=[{"path": "true", "name": "all"}], select=select)
    expected = [
        ("CH322", "$.owner"),
        ("CH322", "$.where[0].name"),
        ("CH322", "$.select[0].label"),
        ("CH322", "$.select[0].select[0].column[0].ansiType"),
        ("CH322", "$.select[0].unionAll[0].note"),
        ("CH323", "$.fhirVersion"),
    ]
    assert sorted(codes(definition)) == sorted(expected)
    table = run_view(definition, [PERSON])
    assert table.to_pylist() == [{"key": "p", "u": "p"}]
    assert sorted((remark.code, remark.path) for remark in remarks_of(table)) == sorted(expected)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"wheres": []}, "did you mean where?"),
        ({"Where": []}, "did you mean where?"),
        ({"constants": []}, "did you mean constant?"),
        ({"from": {"resourceType": "Patient"}}, "did you mean resource?"),
        ({"filter": "active"}, "did you mean where?"),
        ({"column": []}, "belongs to a select"),
        ({"select": [{"foreach": "name", **SELECT[0]}]}, "did you mean forEach?"),
        ({"select": [{"from": "name", **SELECT[0]}]}, "did you mean forEach?"),
        ({"select": [{"union": [], **SELECT[0]}]}, "did you mean unionAll?"),
        ({"select": [{"where": [], **SELECT[0]}]}, "belongs to the view"),
        ({"select": [{"path": "id", "name": "id"}]}, "belongs to a column"),
        ({"select": [{"column": [{"alias": "id", "path": "id"}]}]}, "did you mean name?"),
        ({"select": [{"column": [{"name": "id", "expr": "id"}]}]}, "did you mean path?"),
        ({"select": [{"column": [{"name": "id", "path": "id", "collections": True}]}]}, "did you mean collection?"),
        ({"select": [{"column": [{"name": "id", "path": "id", "tag": [{"naem": "x"}]}]}]}, "did you mean name?"),
        ({"select": SELECT[0]}, r"put \[ \] around the object"),
        ({"where": {"path": "active"}}, r"put \[ \] around the object"),
        ({"resourceType": "Library"}, "'ViewDefinition' is due"),
        ({"resourceType": "http://example.org/NotAViewDefinitionAtAll"}, "'ViewDefinition' is due"),
    ],
)  # fmt: skip
def test_what_would_change_the_rows_in_vain_is_an_error_that_names_both(more: dict[str, Any], says: str) -> None:
    with pytest.raises(ViewError, match=says) as caught:
        describe_view(view(**more))
    assert caught.value.code == "CH301"


def truths(path: str, *resources: dict[str, Any]) -> list[bool | None]:
    definition = view(select=[{"column": [{"name": "v", "path": path, "type": "boolean"}]}])
    return [
        row["v"] for row in run_view(definition, [{"resourceType": "Patient", **one} for one in resources]).to_pylist()
    ]


DECEASED: tuple[dict[str, Any], ...] = (
    {"deceasedBoolean": True},
    {"deceasedBoolean": False},
    {"deceasedDateTime": "2020"},
    {},
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("deceased.exists()", [True, True, True, False]),
        ("deceased.empty()", [False, False, False, True]),
        ("deceased.not()", [False, True, False, None]),
        ("deceased and true", [True, False, True, None]),
        ("deceased or false", [True, False, True, None]),
        ("false or deceased.exists().not()", [False, False, False, True]),
        ("iif(deceased, true, false)", [True, False, True, False]),
        ("multipleBirth.exists() and deceased", [False] * 4),
        ("deceased.count() = 1", [True, True, True, False]),
        ("deceased is dateTime", [False, False, True, None]),
    ],
)
def test_a_bare_choice_is_read_where_its_being_there_counts(path: str, expected: list[bool | None]) -> None:
    assert truths(path, *DECEASED) == expected


def test_a_bare_choice_filters_rows() -> None:
    keep = view(where=[{"path": "deceased"}])
    people = [{"resourceType": "Patient", "id": str(i), **one} for i, one in enumerate(DECEASED)]
    assert [row["key"] for row in run_view(keep, people).to_pylist()] == ["Patient/0", "Patient/2"]
    onset = {"resource": "Condition", "where": [{"path": "onset"}], "select": SELECT}
    conditions = [
        {"resourceType": "Condition", "id": "a", "onsetString": "young"},
        {"resourceType": "Condition", "id": "b"},
    ]
    assert [row["key"] for row in run_view(onset, conditions).to_pylist()] == ["Condition/a"]


@pytest.mark.parametrize(
    ("resource", "path", "says"),
    [
        ("Patient", "deceased", r"write deceased\.ofType\(boolean\) or deceased\.ofType\(dateTime\)"),
        ("Patient", "deceased = true", r"write deceased\.ofType\(boolean\)"),
        ("Patient", "deceased > @2020", r"deceased\.ofType\(dateTime\)"),
        ("Patient", "deceasedBoolean", r"write deceased\.ofType\(boolean\)"),
        ("Patient", "deceased.toString()", r"write deceased\.ofType\(boolean\)"),
        ("Patient", "deceased | true", r"write deceased\.ofType\(boolean\)"),
        ("Patient", "iif(true, deceased, false)", r"write deceased\.ofType\(boolean\)"),
        ("MedicationRequest", "medication.getReferenceKey(Medication)", r"medication\.ofType\(Reference\)"),
        ("Observation", "value.unit", r"write value\.ofType\(Quantity\)\.unit"),
        ("Observation", "value.coding.code", r"write value\.ofType\(CodeableConcept\)\.coding"),
        ("Observation", "value.where($this.exists())", r"value\.ofType\(Quantity\), "),
        ("Observation", "-value", r"value\.ofType\(Quantity\), "),
        ("Condition", "onset.dateTime", r"write onset\.ofType\(dateTime\)\."),
        ("Condition", "onset.start", r"write onset\.ofType\(Period\)\.start"),
    ],
)
def test_a_bare_choice_of_which_more_is_asked_is_explained(resource: str, path: str, says: str) -> None:
    with pytest.raises(ViewError, match=says) as caught:
        describe_view({"resource": resource, "select": [{"column": [{"name": "v", "path": path}]}]})
    assert caught.value.code in {"CH303", "CH304"}


RICH: dict[str, Any] = {
    "resourceType": "ViewDefinition",
    "resource": "Observation",
    "fhirVersion": ["4.0.1"],
    "constant": [{"name": "system", "valueUri": "http://loinc.org"}],
    "where": [{"path": "code.coding.exists(system = %system)", "description": "d"}],
    "select": [
        {
            "column": [
                {"name": "key", "path": "getResourceKey()", "type": "string", "tag": [{"name": "a", "value": "b"}]}
            ]
        },
        {
            "forEachOrNull": "component",
            "column": [{"name": "nth", "path": "%rowIndex"}, {"name": "has", "path": "value.exists()"}],
            "unionAll": [
                {"forEach": "code.coding", "column": [{"name": "code", "path": "code", "collection": False}]},
                {"column": [{"name": "code", "path": "code.text"}], "select": []},
            ],
        },
    ],
}


def places(part: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        yield part, key
        if isinstance(value, dict | list):
            yield from places(value)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_wrong_with_a_view_is_one_error(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same views on every run
    faults: list[ViewError] = []
    names = ["where", "path", "selec", "forEach", "repeat", "note", "_name", "//", "columns", "from", 7, ""]
    for _ in range(40):
        definition = copy.deepcopy(RICH)
        for _ in range(dice.randint(1, 3)):
            part, key = dice.choice(list(places(definition)))
            odd = copy.deepcopy(dice.choice([None, 5, True, "", "x", "value", "%x", [], {}, ["a"], {"a": 1}, [[]]]))
            match dice.randrange(3):
                case 0:
                    del part[key]
                case 1 if isinstance(part, dict):
                    part[dice.choice(names)] = odd
                case _:
                    part[key] = odd
        try:
            describe_view(definition)
        except ViewError as error:
            faults.append(error)
    assert all(str(fault).startswith(fault.code) for fault in faults)
    assert len(faults) > 10
