"""The tables beside the ten: reports with contained results, documents, surveys, people, professionals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.tables.staging import helped
from transforms.tables import all_tables, other_tables

if TYPE_CHECKING:
    import duckdb

    from tests.tables.conftest import Build, Stage

ME = {"reference": "Patient/p"}
LOINC = "http://loinc.org"


def coded(code: str, text: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": LOINC, "code": code}]} | ({"text": text} if text else {})


def form(**content: Any) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "q",
        "status": "completed",
        "subject": ME,
        "authored": "2024-02-03T10:00:00+02:00",
        **content,
    }


def report(**content: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "subject": ME,
        "code": coded("58410-2"),
        "effectiveDateTime": "2023-01-02",
        **content,
    }


def test_every_answer_of_a_form_is_a_row_of_its_own(build: Build) -> None:
    why = {"linkId": "why", "text": "Why?", "answer": [{"valueString": "tired"}]}
    interest = {"valueCoding": {"system": LOINC, "code": "LA6569-3", "display": "Several days"}, "item": [why]}
    answers = {
        "valueBoolean": False,
        "valueDecimal": 3.10,
        "valueInteger": 12,
        "valueDate": "2020-05",
        "valueDateTime": "2020-05-01T10:00:00Z",
        "valueTime": "10:00:00",
        "valueUri": "urn:oid:1.2",
        "valueAttachment": {"title": "scan", "url": "https://portal.example/scan", "data": "QUJD"},
        "valueQuantity": {"value": 80.50, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
        "valueReference": {"reference": "Organization/o", "display": "Shore Clinic"},
    }
    others = [{"linkId": name, "text": name, "answer": [{name: value}]} for name, value in answers.items()]
    someone = {"linkId": "who", "answer": [{"valueReference": {"reference": "Patient/p", "display": "Ann Lee"}}]}
    asked = [
        {
            "linkId": "group",
            "text": "Mood",
            "item": [{"linkId": "/44250-9", "text": "Little interest", "answer": [interest]}],
        },
        *others,
        someone,
        {"linkId": "silent", "text": "Anything else?"},
        {"linkId": "both", "text": "Which?", "answer": [{"valueString": "one"}, {"valueString": "two"}]},
    ]
    whole, *rows = sorted(
        build("surveys", form(questionnaire="http://loinc.org/q/44249-1", item=asked)),
        key=lambda row: row["component_number"],
    )
    assert (whole["resource_key"], whole["loinc_code"], whole["has_value"]) == (
        "link/QuestionnaireResponse/q",
        "44249-1",
        False,
    )
    assert {row["effective_start"] for row in rows} == {"2024-02-03T08:00:00"}
    assert [row.get("question_id") for row in rows] == ["/44250-9", "why", *answers, "who", "silent", "both", "both"]
    by_id = {row["question_id"]: row for row in rows}
    first = by_id["/44250-9"]
    assert (first["loinc_code"], first["value_code"], first["value_display"]) == ("44250-9", "LA6569-3", "Several days")
    assert (first["question_group"], by_id["why"]["question_group"]) == ("Mood", "Mood / Little interest")
    said = {name: by_id[name].get("value_text") for name in answers}
    assert said == {
        "valueBoolean": None,
        "valueDecimal": "3.1",
        "valueInteger": "12",
        "valueDate": None,
        "valueDateTime": None,
        "valueTime": "10:00:00",
        "valueUri": "urn:oid:1.2",
        "valueAttachment": "scan",
        "valueQuantity": "80.5",
        "valueReference": "Shore Clinic",
    }
    assert by_id["valueBoolean"]["value_boolean"] is False
    assert by_id["valueDate"]["value_date_precision"] == "month"
    assert by_id["valueQuantity"]["value_unit_code"] == "kg"
    assert by_id["who"]["data_absent_reason_code"] == "masked"
    assert not by_id["silent"]["has_value"]
    assert "Ann" not in str(rows)


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"linkId": "1", "answer": {"valueString": "alone"}}, ["alone"]),
        ([{"linkId": "1", "answer": [{"valueDecimal": "3.10"}]}], ["3.10"]),
        ([{"linkId": "1", "answer": [None, 5, {"valueString": "x"}]}, None, "odd"], ["x"]),
        ("nothing", []),
        ([{"linkId": "1", "answer": [{"valueString": "caf\u00e9 \ud83d\ude00 \ud800"}]}], None),
        ([{"linkId": "1", "answer": [{"valueDecimal": float("nan")}]}], None),
        (None, []),
    ],
)
def test_a_form_in_an_odd_shape_is_read_as_far_as_it_goes(build: Build, item: Any, found: list[str] | None) -> None:
    rows = build("surveys", form(item=item, questionnaire="https://portal.example/Questionnaire/phq-9|2"))
    if found is not None:  # None: no JSON, which the check keeps out; the build is not to stop at it all the same
        assert [row["value_text"] for row in rows if row["component_number"]] == found
        assert rows[0]["code"] == "phq-9"
    assert "portal" not in str(rows)


def test_surveys_take_what_no_category_does(build: Build) -> None:
    def observed(name: str, *categories: str) -> dict[str, Any]:
        system = "http://terminology.hl7.org/CodeSystem/observation-category"
        held = [{"coding": [{"system": system, "code": each}]} for each in categories]
        code = {"code": coded("55758-7"), "status": "final", "subject": ME, "valueInteger": 2}
        return {"resourceType": "Observation", "id": name, "category": held, **code}

    sent = [
        observed("a", "survey"),
        observed("b", "functional-status"),
        observed("c", "survey", "social-history"),
        observed("d", "imaging"),
        observed("e", "survey", "laboratory"),
        {**observed("f"), "category": [{"text": "Screening"}]},
    ]
    assert [row["resource_key"][-1] for row in build("surveys", *sent)] == ["a", "b", "f"]
    assert [row["resource_key"][-1] for row in build("social_history", *sent)] == ["c"]
    assert [row["resource_key"][-1] for row in build("lab_results", *sent)] == ["e"]


def test_results_are_found_wherever_a_report_has_them(build: Build) -> None:
    within = {
        "resourceType": "Observation",
        "id": "hb",
        "status": "final",
        "code": coded("718-7"),
        "valueQuantity": {"value": 14.0, "unit": "g/dL", "system": "http://unitsofmeasure.org", "code": "g/dL"},
    }
    panel = {"resourceType": "Observation", "id": "#cbc", "status": "final", "code": coded("58410-2")}
    panel["hasMember"] = [{"reference": "#hb"}]
    sent = report(
        result=[{"reference": "#hb"}, {"reference": "Observation/o"}, {"display": "words alone"}],
        contained=[within, panel, {"resourceType": "Patient", "id": "me", "name": [{"text": "Ann Lee"}]}],
        presentedForm=[{"contentType": "application/pdf", "data": "QUJD", "url": "https://portal.example/r"}],
        issued="2023-01-03T00:00:00Z",
    )
    (row,) = build("reports", sent)
    assert (row["code"], row["has_results"], row["form_type"]) == ("58410-2", True, "application/pdf")
    assert not {"QUJD", "https://portal.example/r"} & {str(value) for value in row.values()}
    assert [each.get("result_key") for each in build("report_results", sent)] == [
        "link/DiagnosticReport/r#hb",
        "link/Observation/o",
        None,
    ]
    group, alone = build("contained_results", sent)
    assert (group["resource_key"], alone["resource_key"]) == (
        "link/DiagnosticReport/r#cbc",
        "link/DiagnosticReport/r#hb",
    )
    assert (alone["value_text"], alone["value_canonical"], alone["effective_start"]) == (
        "14.0",
        14.0,
        "2023-01-02T00:00:00",
    )
    assert group["members"] == [{"key": "link/DiagnosticReport/r#hb", "display": None}]
    assert "remarks" not in alone
    assert build("lab_results", sent) == []


def test_a_document_is_shown_and_its_contents_are_not(build: Build) -> None:
    (row,) = build(
        "documents",
        {
            "resourceType": "DocumentReference",
            "id": "d",
            "status": "current",
            "docStatus": "entered-in-error",
            "type": coded("34117-2", "H&P"),
            "subject": ME,
            "date": "2023-01-03T00:00:00Z",
            "author": [{"reference": "Patient/p", "display": "Ann Lee"}],
            "content": [
                {"attachment": {"contentType": "text/plain", "url": "https://portal.example/x", "data": "QUJD"}}
            ],
            "context": {"encounter": [{"reference": "Encounter/e"}], "period": {"start": "2023-01-01"}},
        },
    )
    assert (row["code"], row["content_type"], row["has_content"]) == ("34117-2", "text/plain", True)
    assert (row["encounter_key"], row["effective_start_day"].isoformat()) == ("link/Encounter/e", "2023-01-01")
    assert row["is_entered_in_error"]
    assert not [
        value for value in row.values() if "portal" in str(value) or "QUJD" in str(value) or "Ann" in str(value)
    ]


def person(**content: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", **content}


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"birthDate": "1955-12-10", "gender": "female"}, {"birth_year": 1955, "sex": "female"}),
        ({"birthDate": "1955", "gender": "F"}, {"birth_year": 1955, "sex": "female"}),
        ({"birthDate": "12/10/1955", "gender": "Ann Lee"}, {}),
        ({"birthDate": "0055-12-10", "deceasedBoolean": False}, {"is_deceased": False}),
        ({"deceasedDateTime": "2020-02-03T10:00:00Z"}, {"is_deceased": True, "death_year": 2020}),
        ({"address": [{"use": "old", "state": "NY"}, {"state": " massachusetts "}]}, {"state": "MA"}),
        ({"address": [{"state": "NY"}, {"use": "home", "state": "US-VT"}]}, {"state": "VT"}),
        ({"address": [{"state": "MA 02139, 12 Elm Street"}]}, {}),
    ],
)
def test_of_a_person_there_is_a_year_a_sex_and_a_state(
    lake: duckdb.DuckDBPyConnection, stage: Stage, sent: dict[str, Any], found: dict[str, Any]
) -> None:
    stage([person(**sent)])
    (row,) = helped(lake, "demographics", {})
    assert {name: row[name] for name in row if row[name] is not None and name not in {"person_key", "link_id"}} == found


def test_professionals_are_known_by_all_ways_and_relatives_by_none(
    lake: duckdb.DuckDBPyConnection, stage: Stage
) -> None:
    doctor = {"reference": "Practitioner/never-sent", "display": "Dr. Unsent"}
    mother = {"reference": "RelatedPerson/m", "display": "Mother Lee"}
    clinic = {"reference": "Organization/o"}
    vaccine = {"resourceType": "Immunization", "id": "i", "status": "completed", "patient": ME}
    vaccine |= {"vaccineCode": {"text": "flu"}, "manufacturer": {"display": "Serum Works"}}
    npi = [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}]
    contained = {"resourceType": "Practitioner", "id": "in", "name": [{"text": "Dr. Within"}]}
    staged = [
        person(name=[{"text": "Ann Lee"}], contained=[{"resourceType": "Organization", "id": "h", "name": "Lee Home"}]),
        {"resourceType": "Practitioner", "id": "d", "name": [{"given": ["Ada"], "family": "King"}], "identifier": npi},
        {
            "resourceType": "PractitionerRole",
            "id": "role",
            "practitioner": {"reference": "Practitioner/d"},
            "organization": clinic,
            "specialty": [{"text": "Cardiology"}],
        },
        {"resourceType": "Organization", "id": "o", "name": "Shore Clinic", "type": [{"text": "Hospital"}]},
        {
            "resourceType": "Location",
            "id": "l",
            "name": "Ward 3",
            "managingOrganization": {"reference": "Organization/o"},
        },
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "subject": ME,
            "participant": [{"individual": doctor}, {"individual": mother}, {"individual": {"display": "Uncle Lee"}}],
        },
        {
            **vaccine,
            "vaccineCode": {"text": "flu"},
            "contained": [contained],
            "performer": [{"actor": {"reference": "#in"}}],
        },
    ]
    present = stage(staged)
    rows = {}
    for table in (*all_tables(), *other_tables()):
        lake.execute(f"CREATE OR REPLACE TABLE rows_{table.name} AS {table.select_sql(present)}")
        rows[table.name] = f"rows_{table.name}"
    seen = {(row["name"], row["found_as"]): row for row in helped(lake, "practitioners", rows)}
    assert {name for name, _ in seen} == {"Ada King", "Dr. Within", "Dr. Unsent"}
    assert {how for _, how in seen} == {"record", "contained", "reference"}
    role = next(row for row in helped(lake, "practitioners", rows) if row["resource_type"] == "PractitionerRole")
    assert (role["name"], role["specialty"], role["organization_key"]) == (
        "Ada King",
        "Cardiology",
        "link/Organization/o",
    )
    assert [row["npi"] for row in helped(lake, "practitioners", rows) if row["npi"]] == ["1234567893"]
    assert [(row["name"], row["type"], row["found_as"]) for row in helped(lake, "organizations", rows)] == [
        ("Shore Clinic", "Hospital", "record"),
        ("Serum Works", None, "name"),
    ]
    (place,) = helped(lake, "locations", rows)
    assert (place["name"], place["organization_key"]) == ("Ward 3", "link/Organization/o")
