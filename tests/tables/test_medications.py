"""Four resource types in one table, every step of a dosage, and the Medication, wherever it stands."""

from __future__ import annotations

from typing import Any

SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"


def drug(code: str, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": RXNORM, "code": code, "display": f"drug {code}"}], "text": f"words {code}", **more}


def request(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "MedicationRequest", "id": name, "status": "active", "intent": "order", **more}


def having(row: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: row[name] for name in names.split() if name in row}


FIRST_STEP = {
    "sequence": 1,
    "text": "one to two tablets twice a day",
    "patientInstruction": "with water",
    "timing": {
        "repeat": {
            "boundsPeriod": {"start": "2020-02-04", "end": "2020-03"},
            "frequency": 2,
            "period": 1.0,
            "periodUnit": "d",
            "when": ["ACM", "PCV"],
        },
        "code": {"coding": [{"code": "BID"}]},
    },
    "asNeededCodeableConcept": {"text": "for pain"},
    "route": {"coding": [{"system": SNOMED, "code": "26643006", "display": "Oral"}]},
    "doseAndRate": [{"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}],
    "maxDosePerPeriod": {"numerator": {"value": 8, "unit": "tablet"}, "denominator": {"value": 1, "unit": "d"}},
}


def test_a_request_and_every_step_of_its_dosage(build: Any) -> None:
    resource = request(
        "r1",
        statusReason={"text": "restarted"},
        category=[{"coding": [{"code": "outpatient"}]}, {"coding": [{"code": "discharge"}]}],
        reportedBoolean=False,
        medicationCodeableConcept=drug("1"),
        subject={"reference": "Patient/p"},
        encounter={"reference": "Encounter/e1"},
        authoredOn="2020-02-03",
        requester={"reference": "PractitionerRole/d1"},
        reasonCode=[{"coding": [{"system": SNOMED, "code": "38341003"}]}],
        reasonReference=[{"reference": "Condition/c1"}],
        dosageInstruction=[FIRST_STEP, {"text": "a second one", "asNeededBoolean": False}],
        dispenseRequest={
            "numberOfRepeatsAllowed": 3,
            "quantity": {"value": 60, "unit": "tablet"},
            "expectedSupplyDuration": {"value": 30, "unit": "days", "system": UCUM, "code": "d"},
        },
    )
    role = {
        "resourceType": "PractitionerRole",
        "id": "d1",
        "practitioner": {"reference": "Practitioner/p7"},
        "organization": {"display": "the clinic"},
    }
    doctor = {"resourceType": "Practitioner", "id": "p7", "name": [{"text": "Dr Who"}]}
    problem = {"resourceType": "Condition", "id": "c1", "code": {"text": "high blood pressure"}}
    (row,) = build("medications", resource, role, doctor, problem)
    expected = {
        "record_type": "request",
        "rxnorm_code": "1",
        "display": "drug 1",
        "text": "words 1",
        "effective_start": "2020-02-03T00:00:00",
        "is_negated": False,
        "status_reason_text": "restarted",
        "category_code": "outpatient",
        "reported_boolean": False,
        "requester_key": "link/PractitionerRole/d1",
        "requester_display": "Dr Who",
        "reason_code": "38341003",
        "reason_record_key": "link/Condition/c1",
        "reason_record_display": "high blood pressure",
        "encounter_key": "link/Encounter/e1",
        "quantity": 60.0,
        "supply_unit_code": "d",
        "refills": 3,
        "dosage_text": "one to two tablets twice a day",
        "dosage_route_display": "Oral",
        "dose_low": 1.0,
        "dose_high": 2.0,
        "dose_high_unit": "tablet",
    }
    assert having(row, " ".join(expected)) == expected
    first, second = build("medication_dosages", resource)
    expected = {
        "parent_key": row["row_key"],
        "number": 1,
        "sequence": 1,
        "words": "one to two tablets twice a day",
        "timing_frequency": 2,
        "timing_period": 1.0,
        "timing_period_unit": "d",
        "timing_whens": ["ACM", "PCV"],
        "timing_code": "BID",
        "timing_bounds_start": "2020-02-04T00:00:00",
        "timing_bounds_end_precision": "month",
        "as_needed_text": "for pain",
        "is_as_needed": True,
        "dose_low": 1.0,
        "max_dose_per_period_numerator": 8.0,
        "max_dose_per_period_denominator_unit": "d",
    }
    assert having(first, " ".join(expected)) == expected
    assert having(second, "number words is_as_needed") == {"number": 2, "words": "a second one", "is_as_needed": False}


def test_statement_dispense_and_administration(build: Any) -> None:
    statement = {
        "resourceType": "MedicationStatement",
        "id": "s1",
        "status": "active",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": drug("2"),
        "effectivePeriod": {"start": "2019", "end": "2020"},
        "dateAsserted": "2020-05-06",
        "informationSource": {"reference": "Patient/p"},
        "dosage": [{"text": "daily", "doseAndRate": [{"doseQuantity": {"value": 5, "unit": "mg"}}]}],
    }
    dispense = {
        "resourceType": "MedicationDispense",
        "id": "d1",
        "status": "completed",
        "category": {"coding": [{"code": "community"}]},
        "medicationCodeableConcept": drug("3"),
        "performer": [{"actor": {"reference": "Organization/o1"}}],
        "authorizingPrescription": [{"reference": "MedicationRequest/r1"}],
        "quantity": {"value": 30, "unit": "tablet"},
        "daysSupply": {"value": 30, "unit": "day"},
        "whenPrepared": "2020-02-03T10:00:00Z",
        "whenHandedOver": "2020-02-03T11:00:00Z",
    }
    administration = {
        "resourceType": "MedicationAdministration",
        "id": "a1",
        "status": "completed",
        "medicationCodeableConcept": drug("4"),
        "effectiveDateTime": "2020-02-03T10:00:00Z",
        "request": {"reference": "MedicationRequest/r1"},
        "dosage": {
            "text": "in hospital",
            "dose": {"value": 1, "unit": "mg", "system": UCUM, "code": "mg"},
            "rateQuantity": {"value": 2.5, "unit": "ml/h"},
        },
    }
    given, handed, stated = build("medications", statement, dispense, administration)
    assert having(given, "record_type code effective_start_precision dosage_text dose dose_unit_code request_key") == {
        "record_type": "administration",
        "code": "4",
        "effective_start_precision": "second",
        "dosage_text": "in hospital",
        "dose": 1.0,
        "dose_unit_code": "mg",
        "request_key": "link/MedicationRequest/r1",
    }
    assert having(handed, "record_type use_code effective_start recorded_at quantity supply performer_key") == {
        "record_type": "dispense",
        "use_code": "community",
        "effective_start": "2020-02-03T11:00:00",
        "recorded_at": "2020-02-03T10:00:00",
        "quantity": 30.0,
        "supply": 30.0,
        "performer_key": "link/Organization/o1",
    }
    assert having(stated, "record_type effective_start effective_end_precision dose information_source_key") == {
        "record_type": "statement",
        "effective_start": "2019-01-01T00:00:00",
        "effective_end_precision": "year",
        "dose": 5.0,
        "information_source_key": "person",
    }
    steps = {row["resource_key"].split("/")[1]: row for row in build("medication_dosages", statement, administration)}
    assert having(steps["MedicationAdministration"], "words rate rate_unit dose") == {
        "words": "in hospital",
        "rate": 2.5,
        "rate_unit": "ml/h",
        "dose": 1.0,
    }
    assert steps["MedicationStatement"]["dose_text"] == "5"


def test_a_medication_is_found_wherever_it_stands(build: Any) -> None:
    inside = [{"resourceType": "Medication", "id": f"m{code}", "code": drug(str(code))} for code in (20, 30)]
    mixture = {
        "resourceType": "Medication",
        "id": "mix",
        "ingredient": [
            {"itemCodeableConcept": {"coding": drug("6809")["coding"]}},
            {"itemReference": {"reference": "Substance/s1"}},
            {"itemReference": {"display": "water"}},
        ],
    }
    uuid = "0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
    rows = build(
        "medications",
        {"resourceType": "Medication", "id": "m1", "code": drug("10")},
        {"resourceType": "Medication", "id": uuid, "code": drug("11")},
        {"resourceType": "Substance", "id": "s1", "code": {"text": "starch"}},
        mixture,
        request("absolute", medicationReference={"reference": "https://provider.example/fhir/Medication/m1"}),
        request("apart", medicationReference={"reference": "Medication/m1", "display": "as the record calls it"}),
        request("bundled", medicationReference={"reference": f"urn:uuid:{uuid}"}),
        request("called", medicationReference={"reference": "Medication/mix", "display": "as the pharmacy calls it"}),
        request("hash", contained=[{**inside[0], "id": "#m20"}], medicationReference={"reference": "#m20"}),
        request("inside", contained=inside, medicationReference={"reference": "#m30"}),
        request("missing", medicationReference={"reference": "Medication/m9", "display": "only a name"}),
        request("mixed", medicationReference={"reference": "Medication/mix"}),
        request("nothing", medicationReference={"identifier": {"value": "4711"}}),
        request("twice", contained=[inside[0], inside[0]], medicationReference={"reference": "#m20"}),
    )
    found = {row["resource_key"].rpartition("/")[2]: having(row, "code text medication_key") for row in rows}
    assert found == {
        "absolute": {"code": "10", "text": "words 10", "medication_key": "link/Medication/m1"},
        "apart": {"code": "10", "text": "words 10", "medication_key": "link/Medication/m1"},
        "bundled": {"code": "11", "text": "words 11", "medication_key": f"link/Medication/{uuid}"},
        "called": {"code": "6809", "text": "as the pharmacy calls it", "medication_key": "link/Medication/mix"},
        "hash": {"code": "20", "text": "words 20", "medication_key": "link/MedicationRequest/hash#m20"},
        "inside": {"code": "30", "text": "words 30", "medication_key": "link/MedicationRequest/inside#m30"},
        "missing": {"text": "only a name", "medication_key": "link/Medication/m9"},
        "mixed": {"code": "6809", "text": "drug 6809 / starch / water", "medication_key": "link/Medication/mix"},
        "nothing": {},
        "twice": {"code": "20", "text": "words 20", "medication_key": "link/MedicationRequest/twice#m20"},
    }
    (nothing,) = (row for row in rows if row["resource_key"].endswith("nothing"))
    assert nothing["remarks"] == ["names-nothing", "unresolved-reference"]
    assert "4711" not in str(nothing)


def test_what_must_not_be_given_is_negated(build: Any) -> None:
    rows = build(
        "medications",
        request("never", doNotPerform=True, medicationCodeableConcept=drug("1")),
        request("words", doNotPerform="true", medicationCodeableConcept=drug("1")),
        request("given", doNotPerform=False, medicationCodeableConcept=drug("1")),
        {"resourceType": "MedicationStatement", "id": "not", "status": "not-taken"},
        {"resourceType": "MedicationStatement", "id": "none", "status": "active",
         "medicationCodeableConcept": {"coding": [{"code": "no-known-medications"}]}},
    )  # fmt: skip
    negated = {row["resource_key"].rpartition("/")[2]: row["is_negated"] for row in rows}
    assert negated == {"never": True, "words": True, "given": False, "not": True, "none": True}
