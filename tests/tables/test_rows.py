"""One rich resource a table, and its whole row: what an analyst finds for what a provider sent."""

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


def keys(kind: str, number: int = 0) -> dict[str, Any]:
    return {
        "row_key": f"link/{kind}/r1/{number}",
        "person_key": "person",
        "link_id": "link",
        "resource_key": f"link/{kind}/r1",
    }


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
    assert build("allergies", resource) == [
        {
            **keys("AllergyIntolerance"),
            "clinical_status": "active",
            "verification_status": "confirmed",
            "type": "allergy",
            "categories": "medication food",
            "criticality": "high",
            "snomed_code": "764146007",
            "rxnorm_code": "7980",
            "code_system": "urn:oid:1.2.3",
            "code": "PEN",
            "code_display": "Penicillin, local",
            "code_text": "Penicillin",
            "codes": "PEN 7980 764146007",
            "code_systems": f"urn:oid:1.2.3 {RXNORM} {SNOMED}",
            "onset_age": 7.5,
            "onset_age_text": "7.5",
            "onset_age_unit": "years",
            "recorded": "2019-05-01T00:00:00",
            "recorded_precision": "month",
            "last_occurrence": "2021-01-01T00:00:00",
            "last_occurrence_precision": "year",
            "reaction_codes": "271807003 39579001",
            "reaction_displays": "Skin rash; Anaphylaxis",
            "reaction_words": "itching",
            "reaction_severities": "mild severe",
            "encounter_key": "link/Encounter/e9",
            "recorder_key": "link/Practitioner/d1",
            "last_updated": "2024-02-03T09:05:06",
        }
    ]


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
    assert build("conditions", resource) == [
        {
            **keys("Condition"),
            "clinical_status": "resolved",
            "categories": "problem-list-item encounter-diagnosis",
            "snomed_code": "44054006",
            "icd10_code": "E11",
            "code_system": SNOMED,
            "code": "44054006",
            "code_display": "Type 2 diabetes",
            "codes": "44054006 E11",
            "code_systems": f"{SNOMED} http://hl7.org/fhir/sid/icd-10",
            "severity_display": "quite severe",
            "body_site_code": "113331007",
            "body_site_display": "Endocrine system",
            "stage_code": "258215001",
            "stage_display": "Stage 1",
            "onset": "2018-01-02T00:00:00",
            "onset_precision": "day",
            "abatement": "2023-07-08T09:10:11",
            "abatement_precision": "second",
            "asserted": "2020-03-04T03:06:07",
            "asserted_precision": "second",
            "recorded": "2018-01-03T00:00:00",
            "recorded_precision": "day",
        }
    ]


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
        "performer": [{"actor": {"reference": "Practitioner/d1"}}],
        "isSubpotent": True,
        "protocolApplied": [{"targetDisease": [concept("840539006", "COVID-19")], "doseNumberPositiveInt": 2}],
    }
    assert build("vaccines", resource) == [
        {
            **keys("Immunization"),
            "status": "not-done",
            "status_reason_code": "PATOBJ",
            "status_reason_display": "patient objection",
            "cvx_code": "208",
            "code_system": "http://hl7.org/fhir/sid/cvx",
            "code": "208",
            "code_display": "COVID-19 mRNA",
            "code_text": "COVID-19",
            "codes": "208",
            "code_systems": "http://hl7.org/fhir/sid/cvx",
            "occurrence_words": "in the winter of 2020",
            "primary_source": False,
            "report_origin_display": "the person",
            "lot_number": "AB12",
            "expiration": "2022-09-01T00:00:00",
            "expiration_precision": "month",
            "site_code": "LA",
            "site_display": "left arm",
            "dose": 0.5,
            "dose_text": "0.5",
            "dose_unit": "mL",
            "dose_ucum_code": "mL",
            "dose_number": 2,
            "target_diseases": "840539006",
            "is_subpotent": True,
            "location_key": "link/Location/l1",
            "performer_key": "link/Practitioner/d1",
            "manufacturer_key": "link/Organization/o1",
        }
    ]


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
    assert build("procedures", resource) == [
        {
            **keys("Procedure"),
            "status": "completed",
            "category_code": "387713003",
            "category_display": "Surgical procedure",
            "snomed_code": "80146002",
            "cpt_code": "44950",
            "code_system": "http://www.ama-assn.org/go/cpt",
            "code": "44950",
            "code_display": "Appendectomy",
            "codes": "44950 80146002",
            "code_systems": f"http://www.ama-assn.org/go/cpt {SNOMED}",
            "performed": "2020-01-02T03:30:00",
            "performed_precision": "second",
            "performed_end": "2020-01-02T04:30:00",
            "performed_end_precision": "second",
            "reason_code": "74400008",
            "reason_display": "Appendicitis",
            "body_site_code": "66754008",
            "body_site_display": "Appendix",
            "outcome_display": "well",
            "complication_code": "131148009",
            "complication_display": "Bleeding",
            "reason_key": "link/Condition/c1",
            "encounter_key": "link/Encounter/e1",
            "performer_key": "link/Procedure/r1#doctor",
            "part_of_key": "link/Procedure/r0",
            "based_on_key": "link/ServiceRequest/s1",
        }
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
    assert build("visits", resource) == [
        {
            **keys("Encounter"),
            "status": "finished",
            "class_system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
            "class_code": "IMP",
            "class_display": "inpatient",
            "snomed_code": "32485007",
            "code_system": SNOMED,
            "code": "32485007",
            "code_display": "Hospital admission",
            "code_text": "Surgery stay",
            "codes": "32485007",
            "code_systems": SNOMED,
            "service_type_code": "394609007",
            "service_type_display": "General surgery",
            "priority_code": "EM",
            "priority_display": "emergency",
            "period_start": "2020-01-01T10:00:00",
            "period_start_precision": "second",
            "period_end": "2020-01-03T00:00:00",
            "period_end_precision": "day",
            "duration": 2.0,
            "duration_text": "2",
            "duration_unit": "days",
            "reason_code": "21522001",
            "reason_display": "Abdominal pain",
            "diagnosis_key": "link/Condition/c1",
            "admit_source_code": "emd",
            "admit_source_display": "From accident/emergency department",
            "discharge_code": "home",
            "discharge_display": "Home",
            "location_key": "link/Location/l1",
            "practitioner_key": "link/Practitioner/d1",
            "organization_key": "link/Organization/o1",
        }
    ]


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
    assert build("lab_results", resource) == [
        {
            **keys("Observation"),
            "status": "final",
            "categories": "laboratory",
            "observation_loinc_code": "2823-3",
            "observation_code": "K",
            "effective": "2020-01-01T10:00:00",
            "effective_precision": "second",
            "issued": "2020-01-01T12:00:00",
            "issued_precision": "second",
            "has_members": False,
            "method_display": "ion-selective electrode",
            "encounter_key": "link/Encounter/e1",
            "specimen_key": "link/Specimen/s1",
            "performer_key": "link/Organization/o1",
            "component_number": 0,
            "loinc_code": "2823-3",
            "code_system": "urn:lab",
            "code": "K",
            "code_display": "Potassium",
            "code_text": "Potassium, serum",
            "codes": "K 2823-3",
            "code_systems": f"urn:lab {LOINC}",
            "has_value": True,
            "value": 4.2,
            "value_text": "4.2",
            "comparator": ">=",
            "unit": "mmol/l",
            "ucum_code": "mmol/L",
            "interpretation_code": "H",
            "interpretation_display": "High",
            "reference_low": 3.5,
            "reference_low_text": "3.5",
            "reference_high": 5.0,
            "reference_high_text": "5.0",
            "reference_unit": "mmol/L",
            "reference_words": "3.5 to 5",
        }
    ]


def test_blood_pressure_is_a_row_a_component(build: Any) -> None:
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
    both = {
        "person_key": "person",
        "link_id": "link",
        "resource_key": "link/Observation/r1",
        "status": "final",
        "categories": "vital-signs",
        "observation_loinc_code": "85354-9",
        "observation_code": "85354-9",
        "effective": "2020-01-01T00:00:00",
        "effective_precision": "day",
        "effective_end": "2020-01-02T00:00:00",
        "effective_end_precision": "day",
        "has_members": False,
        "code_system": LOINC,
        "code_systems": LOINC,
    }
    systolic = {
        **both,
        "row_key": "link/Observation/r1/1",
        "component_number": 1,
        **dict.fromkeys(("loinc_code", "code", "codes"), "8480-6"),
        "code_display": "Systolic",
        "has_value": True,
        "value": 120.0,
        "value_text": "120",
        "unit": "mmHg",
        "ucum_code": "mm[Hg]",
    }
    diastolic = {
        **both,
        "row_key": "link/Observation/r1/2",
        "component_number": 2,
        **dict.fromkeys(("loinc_code", "code", "codes"), "8462-4"),
        "code_display": "Diastolic",
        "has_value": False,
        "data_absent_reason": "not-performed",
    }
    assert build("vitals", resource) == [systolic, diastolic]
    oximetry = {
        **resource,
        "code": {"coding": [{"system": LOINC, "code": "59408-5"}, {"system": LOINC, "code": "2708-6"}]},
        "valueQuantity": {"value": 95, "unit": "%", "system": UCUM, "code": "%"},
        "component": [part("3151-8", "Flow", valueQuantity={"value": 6, "unit": "L/min"})],
    }
    assert [(row["component_number"], row["codes"], row["value"]) for row in build("vitals", oximetry)] == [
        (0, "59408-5 2708-6", 95.0),
        (1, "3151-8", 6.0),
    ]


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"valueInteger": 3}, {"value": 3.0, "value_text": "3"}),
        ({"valueString": "Negative"}, {"value_string": "Negative"}),
        ({"valueBoolean": False}, {"value_boolean": False}),
        ({"valueDateTime": "2021-05"}, {"value_moment": "2021-05-01T00:00:00", "value_moment_precision": "month"}),
        (
            {"valuePeriod": {"start": "2021"}},
            {"value_moment": "2021-01-01T00:00:00", "value_moment_precision": "year"},
        ),
        (
            {"valueRange": {"low": {"value": 1.5}, "high": {"value": 2}}},
            {"value_low": 1.5, "value_low_text": "1.5", "value_high": 2.0, "value_high_text": "2"},
        ),
        (
            {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 64}}},
            {
                "ratio_numerator": 1.0,
                "ratio_numerator_text": "1",
                "ratio_denominator": 64.0,
                "ratio_denominator_text": "64",
            },
        ),
        (
            {"valueCodeableConcept": concept("260385009", "Negative", text="neg.")},
            {
                "value_snomed_code": "260385009",
                "value_code_system": SNOMED,
                "value_code": "260385009",
                "value_display": "Negative",
                "value_words": "neg.",
            },
        ),
        ({"valueSampledData": {"origin": {"value": 0}, "period": 1, "dimensions": 1, "data": "1 2"}}, {}),
    ],
)
@pytest.mark.parametrize(
    ("table", "code", "kind"),
    [
        ("lab_results", "718-7", "laboratory"),
        ("pregnancy", "82810-3", "survey"),
        ("social_history", "72166-2", "survey"),
    ],
)
def test_every_kind_of_value(build: Any, table: str, code: str, kind: str, value: Any, columns: Any) -> None:
    resource = {"resourceType": "Observation", "id": "r1", "status": "final", "category": category(kind), **value}
    resource["code"] = {"coding": [{"system": LOINC, "code": code}]}
    assert build(table, resource) == [
        {
            **keys("Observation"),
            "status": "final",
            "categories": kind,
            "observation_loinc_code": code,
            "observation_code": code,
            "has_members": False,
            "component_number": 0,
            "loinc_code": code,
            "code_system": LOINC,
            "code": code,
            "codes": code,
            "code_systems": LOINC,
            "has_value": True,
            **columns,
        }
    ]
