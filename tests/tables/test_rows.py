"""A rich resource a table: what an analyst finds for what a provider sent."""

from __future__ import annotations

from typing import Any

import pytest

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"


def concept(code: str, display: str, system: str = SNOMED, text: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], **({"text": text} if text else {})}


def category(code: str, kind: str = "observation-category") -> list[dict[str, Any]]:
    return [{"coding": [{"system": f"http://terminology.hl7.org/CodeSystem/{kind}", "code": code}]}]


def having(row: dict[str, Any], names: str) -> dict[str, Any]:
    """Some columns of a row."""
    return {name: row[name] for name in names.split() if name in row}


def test_allergy(build: Any) -> None:
    resource = {
        "resourceType": "AllergyIntolerance",
        "id": "r1",
        "meta": {"lastUpdated": "2024-02-03T04:05:06.789-05:00"},
        "clinicalStatus": concept(
            "active", "Active", "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
        ),
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "type": "allergy",
        "category": ["medication", "food"],
        "criticality": "high",
        "code": {
            "coding": [
                {"system": "urn:oid:1.2.3", "code": "PEN", "display": "Penicillin, local"},
                {"system": RXNORM, "code": "7980", "display": "penicillin G"},
                {"system": SNOMED, "code": "764146007"},
            ],
            "text": "Penicillin",
        },
        "patient": {"reference": "Patient/p"},
        "encounter": {"reference": "https://provider.example/fhir/Encounter/e9/_history/3"},
        "onsetAge": {"value": 7.50, "unit": "years", "system": UCUM, "code": "a"},
        "recordedDate": "2019-05",
        "recorder": {"reference": "Practitioner/d1", "display": "Dr Somebody"},
        "note": [{"text": "kept out"}],
        "lastOccurrence": "2021",
        "reaction": [
            {"manifestation": [concept("271807003", "Skin rash"), {"text": "itching"}], "severity": "mild"},
            {"manifestation": [concept("39579001", "Anaphylaxis")], "severity": "severe", "description": "kept out"},
        ],
    }
    (row,) = build("allergies", resource)
    expected = {
        "row_key": "link/AllergyIntolerance/r1/0",
        "person_key": "person",
        "link_id": "link",
        "provider": "shore",
        "route": "direct",
        "status": "active",
        "code": "764146007",
        "code_system": SNOMED,
        "text": "Penicillin",
        "recorded_at": "2019-05-01T00:00:00",
        "last_updated": "2024-02-03T09:05:06",
        "is_entered_in_error": False,
        "is_negated": False,
        "encounter_key": "link/Encounter/e9",
        "verification_status_code": "confirmed",
        "categories": ["medication", "food"],
        "criticality": "high",
        "snomed_code": "764146007",
        "rxnorm_code": "7980",
        "onset_age": 7.5,
        "onset_age_text": "7.5",
        "onset_age_unit": "years",
        "last_occurrence_precision": "year",
        "recorder_key": "link/Practitioner/d1",
        "recorder_display": "Dr Somebody",
    }
    assert having(row, " ".join(expected)) == expected
    assert "display" not in row  # that of another coding is not this one's
    assert [coding["code"] for coding in row["codings"]] == ["PEN", "7980", "764146007"]
    assert [note["text"] for note in row["notes"]] == ["kept out"]
    assert [each["severity"] for each in row["reactions"]] == ["mild", "severe"]
    first, second = build("allergy_reactions", resource)
    assert (first["parent_key"], first["number"], second["row_key"]) == (row["row_key"], 1, f"{row['row_key']}/2")
    assert [each["display"] or each["text"] for each in first["manifestations"]] == ["Skin rash", "itching"]
    assert (second["severity"], second["manifestation_display"]) == ("severe", "Anaphylaxis")


def test_condition(build: Any) -> None:
    resource = {
        "resourceType": "Condition",
        "id": "r1",
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate",
                "valueDateTime": "2020-03-04T05:06:07+02:00",
            }
        ],
        "clinicalStatus": {"coding": [{"code": "resolved"}]},
        "category": category("problem-list-item", "condition-category")
        + category("encounter-diagnosis", "condition-category"),
        "severity": {"text": "quite severe"},
        "code": {
            "coding": [
                {"system": SNOMED, "code": "44054006", "display": "Type 2 diabetes"},
                {"system": "http://hl7.org/fhir/sid/icd-10", "code": "E11"},
            ]
        },
        "bodySite": [concept("113331007", "Endocrine system")],
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"},
        "onsetPeriod": {"start": "2018-01-02", "end": "2018-02"},
        "abatementDateTime": "2023-07-08T09:10:11Z",
        "recordedDate": "2018-01-03",
        "asserter": {"identifier": {"value": "kept out"}},
        "stage": [{"summary": concept("258215001", "Stage 1")}],
    }
    (row,) = build("conditions", resource)
    expected = {
        "status": "resolved",
        "code": "44054006",
        "display": "Type 2 diabetes",
        "effective_start": "2018-01-02T00:00:00",
        "effective_start_precision": "day",
        "onset_end_precision": "month",
        "effective_end": "2023-07-08T09:10:11",
        "effective_end_precision": "second",
        "recorded_at": "2018-01-03T00:00:00",
        "icd10_code": "E11",
        "severity_text": "quite severe",
        "body_site_code": "113331007",
        "asserted": "2020-03-04T03:06:07",
        "remarks": ["unresolved-reference"],
    }
    assert having(row, " ".join(expected)) == expected
    assert [each["code"] for each in row["categories"]] == ["problem-list-item", "encounter-diagnosis"]
    assert [each["summary_display"] for each in row["stages"]] == ["Stage 1"]
    assert not {"encounter_key", "asserter_key", "asserter_display"} & set(row)


def test_vaccine(build: Any) -> None:
    resource = {
        "resourceType": "Immunization",
        "id": "r1",
        "status": "not-done",
        "statusReason": concept("PATOBJ", "patient objection", "http://terminology.hl7.org/CodeSystem/v3-ActReason"),
        "vaccineCode": concept("208", "COVID-19 mRNA", "http://hl7.org/fhir/sid/cvx", "COVID-19"),
        "patient": {"reference": "Patient/p"},
        "occurrenceString": "in the winter of 2020",
        "primarySource": False,
        "reportOrigin": {"text": "the person"},
        "location": {"reference": "Location/l1"},
        "manufacturer": {"reference": "Organization/o1"},
        "lotNumber": "AB12",
        "expirationDate": "2022-09",
        "site": concept("LA", "left arm", "http://terminology.hl7.org/CodeSystem/v3-ActSite"),
        "doseQuantity": {"value": 0.5, "unit": "mL", "system": UCUM, "code": "mL"},
        "performer": [
            {
                "function": {"coding": [{"code": "OP"}]},
                "actor": {"reference": "Practitioner/d2", "display": "Dr Order"},
            },
            {"function": {"coding": [{"code": "AP"}]}, "actor": {"reference": "Practitioner/d1"}},
        ],
        "isSubpotent": True,
        "protocolApplied": [{"targetDisease": [concept("840539006", "COVID-19")], "doseNumberPositiveInt": 2}],
    }
    nurse = {"resourceType": "Practitioner", "id": "d1", "name": [{"given": ["Nora"], "family": "Needle"}]}
    (row,) = build("vaccines", resource, nurse)
    expected = {
        "status": "not-done",
        "is_negated": True,
        "status_reason_code": "PATOBJ",
        "cvx_code": "208",
        "display": "COVID-19 mRNA",
        "occurrence_text": "in the winter of 2020",
        "primary_source": False,
        "report_origin_text": "the person",
        "lot_number": "AB12",
        "expiration_date_precision": "month",
        "site_display": "left arm",
        "dose": 0.5,
        "dose_unit_code": "mL",
        "dose_number_text": "2",
        "target_disease_code": "840539006",
        "is_subpotent": True,
        "location_key": "link/Location/l1",
        "performer_key": "link/Practitioner/d1",
        "performer_display": "Nora Needle",
        "orderer_key": "link/Practitioner/d2",
        "orderer_display": "Dr Order",
        "manufacturer_key": "link/Organization/o1",
    }
    assert having(row, " ".join(expected)) == expected
    assert "effective_start" not in row


def test_procedure(build: Any) -> None:
    resource = {
        "resourceType": "Procedure",
        "id": "r1",
        "basedOn": [{"reference": "ServiceRequest/s1"}],
        "partOf": [{"reference": "Procedure/r0"}],
        "status": "completed",
        "category": concept("387713003", "Surgical procedure"),
        "code": {
            "coding": [
                {"system": "http://www.ama-assn.org/go/cpt", "code": "44950", "display": "Appendectomy"},
                {"system": SNOMED, "code": "80146002"},
            ]
        },
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/e1"},
        "performedPeriod": {"start": "2020-01-01T22:30:00-05:00", "end": "2020-01-01T23:30:00-05:00"},
        "performer": [{"actor": {"reference": "#doctor"}}],
        "contained": [{"resourceType": "Practitioner", "id": "doctor", "name": [{"text": "kept out"}]}],
        "location": {"reference": "Location?identifier=https://x|1"},
        "reasonCode": [concept("74400008", "Appendicitis")],
        "reasonReference": [{"reference": "Condition/c1"}],
        "bodySite": [concept("66754008", "Appendix")],
        "outcome": {"text": "well"},
        "complication": [concept("131148009", "Bleeding")],
    }
    (row,) = build("procedures", resource)
    expected = {
        "code": "80146002",
        "snomed_code": "80146002",
        "cpt_code": "44950",
        "effective_start": "2020-01-02T03:30:00",
        "effective_start_offset": "-05:00",
        "effective_end": "2020-01-02T04:30:00",
        "reason_display": "Appendicitis",
        "reason_record_key": "link/Condition/c1",
        "body_site_display": "Appendix",
        "outcome_text": "well",
        "complication_code": "131148009",
        "performer_key": "link/Procedure/r1#doctor",
        "performer_display": "kept out",
        "remarks": ["unresolved-reference"],
    }
    assert having(row, " ".join(expected)) == expected
    assert str(row["effective_start_day"]) == "2020-01-01"
    assert "display" not in row
    assert [each["key"] for each in row["part_of"] + row["based_on"]] == [
        "link/Procedure/r0",
        "link/ServiceRequest/s1",
    ]


def test_visit(build: Any) -> None:
    resource = {
        "resourceType": "Encounter",
        "id": "r1",
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP", "display": "inpatient"},
        "type": [{"text": "Surgery stay"}, concept("32485007", "Hospital admission")],
        "serviceType": concept("394609007", "General surgery"),
        "priority": concept("EM", "emergency", "http://terminology.hl7.org/CodeSystem/v3-ActPriority"),
        "participant": [{"period": {"start": "2020"}}, {"individual": {"reference": "Practitioner/d1"}}],
        "period": {"start": "2020-01-01T10:00:00Z", "end": "2020-01-03"},
        "length": {"value": 2, "unit": "days", "system": UCUM, "code": "d"},
        "reasonCode": [concept("21522001", "Abdominal pain", text="pain")],
        "diagnosis": [{"condition": {"reference": "Condition/c1"}}],
        "hospitalization": {
            "admitSource": concept("emd", "From accident/emergency department"),
            "dischargeDisposition": concept("home", "Home"),
        },
        "location": [{"location": {"reference": "Location/l1"}}, {"location": {"reference": "Location/l2"}}],
        "serviceProvider": {"reference": "Organization/o1"},
    }
    ward = {"resourceType": "Location", "id": "l2", "name": "Ward 7"}
    (row,) = build("visits", resource, ward)
    expected = {
        "class_code": "IMP",
        "class_display": "inpatient",
        "code": "32485007",
        "display": "Hospital admission",
        "snomed_code": "32485007",
        "service_type_display": "General surgery",
        "effective_start": "2020-01-01T10:00:00",
        "effective_end_precision": "day",
        "duration": 2.0,
        "duration_unit": "days",
        "reason_display": "Abdominal pain",
        "reason_text": "pain",
        "diagnosis_key": "link/Condition/c1",
        "admit_source_code": "emd",
        "discharge_display": "Home",
        "location_key": "link/Location/l1",
        "organization_key": "link/Organization/o1",
    }
    assert having(row, " ".join(expected)) == expected
    assert "text" not in row  # the words are another type's
    assert [each["text"] for each in row["types"]] == ["Surgery stay", None]
    assert [coding["code"] for coding in row["codings"]] == ["32485007"]
    assert [each["location_display"] for each in row["locations"]] == [None, "Ward 7"]
    assert [each.get("individual_key") for each in build("visit_participants", resource)] == [
        None,
        "link/Practitioner/d1",
    ]
    (diagnosis,) = build("visit_diagnoses", resource)
    assert (diagnosis["parent_key"], diagnosis["condition_key"]) == (row["row_key"], "link/Condition/c1")


def test_lab_result(build: Any) -> None:
    resource = {
        "resourceType": "Observation",
        "id": "r1",
        "status": "final",
        "category": category("laboratory"),
        "code": {
            "coding": [
                {"system": "urn:lab", "code": "K", "display": "Potassium"},
                {"system": LOINC, "code": "2823-3", "display": "Potassium [Moles/volume]"},
            ],
            "text": "Potassium, serum",
        },
        "subject": {"reference": "Patient/p"},
        "encounter": {"reference": "Encounter/e1"},
        "effectiveInstant": "2020-01-01T10:00:00.250Z",
        "issued": "2020-01-01T12:00:00Z",
        "performer": [{"reference": "Organization/o1"}],
        "valueQuantity": {"value": 4.2, "comparator": ">=", "unit": "mmol/l", "system": UCUM, "code": "mmol/L"},
        "interpretation": [concept("H", "High", "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation")],
        "note": [{"text": "kept out"}],
        "method": {"text": "ion-selective electrode"},
        "specimen": {"reference": "Specimen/s1"},
        "referenceRange": [{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.0}, "text": "3.5 to 5"}],
    }
    (row,) = build("lab_results", resource)
    expected = {
        "component_number": 0,
        "code": "2823-3",
        "code_system": LOINC,
        "display": "Potassium [Moles/volume]",
        "text": "Potassium, serum",
        "effective_start": "2020-01-01T10:00:00",
        "recorded_at": "2020-01-01T12:00:00",
        "has_value": True,
        "has_members": False,
        "value": 4.2,
        "value_text": "4.2",
        "value_comparator": ">=",
        "value_unit": "mmol/l",
        "value_unit_code": "mmol/L",
        "value_type": "Quantity",
        "interpretation_code": "H",
        "interpretation_display": "High",
        "method_text": "ion-selective electrode",
        "specimen_key": "link/Specimen/s1",
        "performer_key": "link/Organization/o1",
        "encounter_key": "link/Encounter/e1",
    }
    assert having(row, " ".join(expected)) == expected
    (usual,) = row["reference_ranges"]
    assert having(usual, "low low_unit high high_text text") == {
        "low": 3.5,
        "low_unit": "mmol/L",
        "high": 5.0,
        "high_text": "5.0",
        "text": "3.5 to 5",
    }


def test_blood_pressure_is_one_row_and_a_row_a_component(build: Any) -> None:
    def part(code: str, display: str, **value: Any) -> dict[str, Any]:
        return {"code": concept(code, display, LOINC), **value}

    resource = {
        "resourceType": "Observation",
        "id": "r1",
        "status": "final",
        "category": category("vital-signs"),
        "code": concept("85354-9", "Blood pressure panel", LOINC),
        "effectivePeriod": {"start": "2020-01-01", "end": "2020-01-02"},
        "component": [
            part("8480-6", "Systolic", valueQuantity={"value": 120, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}),
            part("8462-4", "Diastolic", dataAbsentReason={"coding": [{"code": "not-performed"}]}),
        ],
    }
    whole, systolic, diastolic = build("vitals", resource)
    assert having(whole, "component_number code systolic systolic_text systolic_unit diastolic has_value") == {
        "component_number": 0,
        "code": "85354-9",
        "systolic": 120.0,
        "systolic_text": "120",
        "systolic_unit": "mmHg",
        "has_value": False,
    }
    assert having(systolic, "row_key component_number code observation_code value value_unit_code systolic") == {
        "row_key": "link/Observation/r1/1",
        "component_number": 1,
        "code": "8480-6",
        "observation_code": "85354-9",
        "value": 120.0,
        "value_unit_code": "mm[Hg]",
    }
    assert having(diastolic, "code display has_value data_absent_reason_code effective_end") == {
        "code": "8462-4",
        "display": "Diastolic",
        "has_value": False,
        "data_absent_reason_code": "not-performed",
        "effective_end": "2020-01-02T00:00:00",
    }


VALUES = [
    ({"valueInteger": 3}, {"value": 3.0, "value_text": "3"}),
    ({"valueInteger": "3"}, {"value": 3.0, "value_text": "3"}),
    ({"valueString": "Negative"}, {"value_text": "Negative"}),
    ({"valueBoolean": False}, {"value_boolean": False}),
    ({"valueTime": "07:30:00"}, {"value_text": "07:30:00"}),
    ({"valueDateTime": "2021-05"}, {"value_date": "2021-05-01T00:00:00", "value_date_precision": "month"}),
    ({"valuePeriod": {"start": "2021"}}, {"value_start": "2021-01-01T00:00:00", "value_start_precision": "year"}),
    (
        {"valueRange": {"low": {"value": 1.5, "unit": "mg"}, "high": {"value": 2, "comparator": "<"}}},
        {
            "value_low": 1.5,
            "value_low_text": "1.5",
            "value_low_unit": "mg",
            "value_high": 2.0,
            "value_high_text": "2",
            "value_high_comparator": "<",
        },
    ),
    (
        {"valueRatio": {"numerator": {"value": 1, "comparator": ">"}, "denominator": {"value": 64}}},
        {
            "value_numerator": 1.0,
            "value_numerator_text": "1",
            "value_numerator_comparator": ">",
            "value_denominator": 64.0,
            "value_denominator_text": "64",
        },
    ),
    (
        {"valueCodeableConcept": concept("260385009", "Negative", text="neg.")},
        {"value_code": "260385009", "value_system": SNOMED, "value_display": "Negative", "value_text": "neg."},
    ),
]


@pytest.mark.parametrize(("table", "code"), [("pregnancy", "82810-3"), ("social_history", "72166-2")])
def test_every_kind_of_value(build: Any, table: str, code: str) -> None:
    resource = {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": LOINC, "code": code}]}}
    rows = build(table, *({**resource, "id": f"r{nth:02}", **value} for nth, (value, _) in enumerate(VALUES)))
    for row, (value, columns) in zip(rows, VALUES, strict=True):
        ours = {name: each for name, each in row.items() if name.startswith("value")}
        kind = next(iter(value)).removeprefix("value")
        assert ours.pop("value_type").lower() == kind.lower()
        ours.pop("value_codings", None)
        assert ours == columns
        assert row["has_value"]


def test_a_reason_is_shown_wherever_it_is_written(build: Any) -> None:
    absent = {
        "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}]
    }
    ways: list[dict[str, Any]] = [
        {"dataAbsentReason": {"coding": [{"code": "masked"}]}},
        {"valueQuantity": absent},
        {"valueQuantity": {"_value": absent, "unit": "g/dL"}},
        {"_valueString": absent},
        {"_valueBoolean": absent},
        {"valueCodeableConcept": absent},
        {"valueRange": absent},
    ]
    shell = {"resourceType": "Observation", "category": category("laboratory"), "code": {"text": "x"}}
    rows = build("lab_results", *({**shell, "id": f"r{nth}", **way} for nth, way in enumerate(ways)))
    assert [(row.get("data_absent_reason_code"), row["has_value"]) for row in rows] == [("masked", False)] * len(ways)
    (words,) = build("lab_results", {**shell, "id": "w", "dataAbsentReason": {"text": "specimen lost"}})
    assert words["data_absent_reason_text"] == "specimen lost"
    elsewhere = {**shell, "id": "e", "_status": absent, "_effectiveDateTime": absent, "code": absent}
    (row,) = build("lab_results", elsewhere)
    assert {each["element"]: each["reason"] for each in row["absent"]} == dict.fromkeys(
        ("code", "status", "effective", "observation"), "masked"
    )


def test_what_is_not_so_is_marked(build: Any) -> None:
    shell = {"resourceType": "AllergyIntolerance"}
    sent = {
        "code": {"code": {"coding": [{"system": SNOMED, "code": "716186003"}]}},
        "words": {"code": {"text": "No Known Drug Allergies"}},
        "short": {"code": {"text": "NKDA"}},
        "shown": {"code": {"coding": [{"code": "9", "display": "No known animal allergy (situation)"}]}},
        "latex": {"code": {"coding": [{"system": SNOMED, "code": "716184000"}]}},
        "refuted": {"code": {"text": "nuts"}, "verificationStatus": {"coding": [{"code": "refuted"}]}},
        "real": {"code": {"text": "nuts, known since childhood"}},
        "summary": {"code": {"coding": [{"code": "no-known-food-allergies"}]}},
    }
    rows = build("allergies", *({**shell, "id": name, **more} for name, more in sent.items()))
    assert {row["resource_key"].rpartition("/")[2]: row["is_negated"] for row in rows} == {
        name: name != "real" for name in sent
    }


def test_the_person_is_the_person_key_and_never_an_id_of_the_provider(build: Any) -> None:
    own = {"reference": "https://provider.example/fhir/Patient/MRN-4711", "display": "Jane Roe"}
    resource = {
        "resourceType": "AllergyIntolerance",
        "id": "r1",
        "code": {"text": "nuts"},
        "patient": {"reference": "Patient/MRN-4711"},
        "asserter": own,
        "recorder": {"reference": "Patient/MRN-OTHER", "display": "John Roe"},
    }
    (row,) = build("allergies", resource)
    assert row["asserter_key"] == "person"
    assert "recorder_key" not in row
    assert "MRN" not in str(row)
    assert "Roe" not in str(row)
