"""Four resource types in one table, and the Medication that they point at, wherever it stands."""

from __future__ import annotations

from typing import Any

SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
UCUM = "http://unitsofmeasure.org"


def drug(code: str, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": RXNORM, "code": code, "display": f"drug {code}"}], "text": f"words {code}", **more}


def coded(code: str) -> dict[str, Any]:
    return {
        "rxnorm_code": code,
        "code_system": RXNORM,
        "code": code,
        "code_display": f"drug {code}",
        "code_text": f"words {code}",
        "codes": code,
        "code_systems": RXNORM,
    }


def keys(kind: str, name: str) -> dict[str, Any]:
    return {
        "row_key": f"link/{kind}/{name}/0",
        "person_key": "person",
        "link_id": "link",
        "resource_key": f"link/{kind}/{name}",
    }


def request(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "MedicationRequest", "id": name, "status": "active", "intent": "order", **more}


def test_a_request_in_full(build: Any) -> None:
    resource = request(
        "r1",
        statusReason={"text": "restarted"},
        category=[{"coding": [{"code": "outpatient"}]}, {"coding": [{"code": "discharge"}]}],
        reportedBoolean=False,
        medicationCodeableConcept=drug("1"),
        subject={"reference": "Patient/p"},
        encounter={"reference": "Encounter/e1"},
        authoredOn="2020-02-03",
        requester={"reference": "Practitioner/d1"},
        reasonCode=[{"coding": [{"system": SNOMED, "code": "38341003"}]}],
        reasonReference=[{"reference": "Condition/c1"}],
        note=[{"text": "kept out"}],
        dosageInstruction=[
            {
                "text": "one to two tablets twice a day",
                "patientInstruction": "kept out",
                "timing": {
                    "repeat": {
                        "boundsPeriod": {"start": "2020-02-04", "end": "2020-03"},
                        "frequency": 2,
                        "period": 1,
                        "periodUnit": "d",
                    },
                    "code": {"coding": [{"code": "BID"}]},
                },
                "asNeededBoolean": True,
                "route": {"coding": [{"system": SNOMED, "code": "26643006", "display": "Oral"}]},
                "doseAndRate": [
                    {"doseRange": {"low": {"value": 1, "unit": "tablet"}, "high": {"value": 2, "unit": "tablet"}}}
                ],
            },
            {"text": "a second one"},
        ],
        dispenseRequest={
            "numberOfRepeatsAllowed": 3,
            "quantity": {"value": 60, "unit": "tablet"},
            "expectedSupplyDuration": {"value": 30, "unit": "days", "system": UCUM, "code": "d"},
        },
        priorPrescription={"reference": "MedicationRequest/r0"},
    )
    assert build("medications", resource) == [
        {
            **keys("MedicationRequest", "r1"),
            "record_type": "request",
            "status": "active",
            "status_reason_display": "restarted",
            "intent": "order",
            "categories": "outpatient discharge",
            **coded("1"),
            "authored": "2020-02-03T00:00:00",
            "authored_precision": "day",
            "effective": "2020-02-04T00:00:00",
            "effective_precision": "day",
            "effective_end": "2020-03-01T00:00:00",
            "effective_end_precision": "month",
            "is_reported": False,
            "dosage_words": "one to two tablets twice a day",
            "route_code": "26643006",
            "route_display": "Oral",
            "as_needed": True,
            "dose": 1.0,
            "dose_text": "1",
            "dose_high": 2.0,
            "dose_high_text": "2",
            "timing_code": "BID",
            "timing_frequency": 2,
            "timing_period": 1.0,
            "timing_period_text": "1",
            "timing_period_unit": "d",
            "quantity": 60.0,
            "quantity_text": "60",
            "quantity_unit": "tablet",
            "supply": 30.0,
            "supply_text": "30",
            "supply_unit": "days",
            "refills": 3,
            "reason_code": "38341003",
            "reason_key": "link/Condition/c1",
            "encounter_key": "link/Encounter/e1",
            "author_key": "link/Practitioner/d1",
            "request_key": "link/MedicationRequest/r0",
        }
    ]


def test_statement_dispense_and_administration(build: Any) -> None:
    statement = {
        "resourceType": "MedicationStatement",
        "id": "s1",
        "status": "active",
        "medicationCodeableConcept": drug("2"),
        "effectivePeriod": {"start": "2019", "end": "2020"},
        "dateAsserted": "2020-05-06",
        "informationSource": {"reference": "Patient/p"},
        "basedOn": [{"reference": "MedicationRequest/r1"}],
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
    assert build("medications", statement, dispense, administration) == [
        {
            **keys("MedicationAdministration", "a1"),
            "record_type": "administration",
            "status": "completed",
            **coded("4"),
            "effective": "2020-02-03T10:00:00",
            "effective_precision": "second",
            "dosage_words": "in hospital",
            "dose": 1.0,
            "dose_text": "1",
            "dose_unit": "mg",
            "dose_ucum_code": "mg",
            "rate": 2.5,
            "rate_text": "2.5",
            "rate_unit": "ml/h",
            "request_key": "link/MedicationRequest/r1",
        },
        {
            **keys("MedicationDispense", "d1"),
            "record_type": "dispense",
            "status": "completed",
            "categories": "community",
            **coded("3"),
            "effective": "2020-02-03T11:00:00",
            "effective_precision": "second",
            "prepared": "2020-02-03T10:00:00",
            "prepared_precision": "second",
            "quantity": 30.0,
            "quantity_text": "30",
            "quantity_unit": "tablet",
            "supply": 30.0,
            "supply_text": "30",
            "supply_unit": "day",
            "author_key": "link/Organization/o1",
            "request_key": "link/MedicationRequest/r1",
        },
        {
            **keys("MedicationStatement", "s1"),
            "record_type": "statement",
            "status": "active",
            **coded("2"),
            "authored": "2020-05-06T00:00:00",
            "authored_precision": "day",
            "effective": "2019-01-01T00:00:00",
            "effective_precision": "year",
            "effective_end": "2020-01-01T00:00:00",
            "effective_end_precision": "year",
            "dosage_words": "daily",
            "dose": 5.0,
            "dose_text": "5",
            "dose_unit": "mg",
            "author_key": "link/Patient/p",
            "request_key": "link/MedicationRequest/r1",
        },
    ]


def test_a_medication_is_found_wherever_it_stands(build: Any) -> None:
    apart = {"resourceType": "Medication", "id": "m1", "code": drug("10")}
    inside = [{"resourceType": "Medication", "id": f"m{code}", "code": drug(str(code))} for code in (20, 30)]
    found = build(
        "medications",
        apart,
        {"resourceType": "Medication", "id": "m2", "code": drug("11")},
        request("absolute", medicationReference={"reference": "https://provider.example/fhir/Medication/m1"}),
        request("apart", medicationReference={"reference": "Medication/m1", "display": "as the record calls it"}),
        request("inside", contained=inside, medicationReference={"reference": "#m30"}),
        request("missing", medicationReference={"reference": "Medication/m9", "display": "only a name"}),
        request("other", contained=[{**inside[0], "id": "m30"}], medicationReference={"reference": "#m30"}),
        request("twice", contained=[inside[0], inside[0]], medicationReference={"reference": "#m20"}),
        {
            "resourceType": "MedicationDispense",
            "id": "dispense",
            "status": "completed",
            "contained": inside[:1],
            "medicationReference": {"reference": "#m20"},
        },
    )
    common = {"record_type": "request", "status": "active", "intent": "order"}
    sent = {
        "absolute": {"medication_key": "link/Medication/m1", **coded("10")},
        "apart": {
            "medication_key": "link/Medication/m1",
            "medication_display": "as the record calls it",
            **coded("10"),
        },
        "inside": {"medication_key": "link/MedicationRequest/inside#m30", **coded("30")},
        "missing": {"medication_key": "link/Medication/m9", "medication_display": "only a name"},
        "other": {"medication_key": "link/MedicationRequest/other#m30", **coded("20")},
        "twice": {"medication_key": "link/MedicationRequest/twice#m20", **coded("20")},
    }
    assert found == [
        {
            **keys("MedicationDispense", "dispense"),
            "record_type": "dispense",
            "status": "completed",
            "medication_key": "link/MedicationDispense/dispense#m20",
            **coded("20"),
        },
        *({**keys("MedicationRequest", name), **common, **columns} for name, columns in sent.items()),
    ]
