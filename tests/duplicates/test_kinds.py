"""What two providers hold of one person: which of it is one record, and which only looks like it.

Each case is a person with two links; all are built at once. A case names what is sent by the first and by the second
link, and how many pairs are one record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tests.duplicates.conftest import Lake

    Resource = dict[str, Any]

SNOMED, ICD10, LOINC = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm", "http://loinc.org"
RXNORM, NDC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/ndc"
CVX, CPT = "http://hl7.org/fhir/sid/cvx", "http://www.ama-assn.org/go/cpt"
LABORATORY = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]
}
VITAL = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}


def concept(text: str | None, *codings: tuple[str, ...]) -> Resource:
    """A CodeableConcept of (system, code[, display])."""
    named = [dict(zip(("system", "code", "display"), each, strict=False)) for each in codings]
    return {name: value for name, value in (("text", text), ("coding", named)) if value}


def condition(what: Resource, onset: str | None, end: str | None = None, **more: Any) -> Resource:
    """A condition, under way unless it ended."""
    status = {"coding": [{"code": "resolved" if end else "active"}]}
    made = {"resourceType": "Condition", "code": what, "clinicalStatus": status, **more}
    return made | ({"onsetDateTime": onset} if onset else {}) | ({"abatementDateTime": end} if end else {})


def result(what: Resource, when: str, value: Any, unit: str | None = None, **more: Any) -> Resource:
    """A laboratory result."""
    said = {"valueQuantity": {"value": value, "unit": unit, "code": unit}} if unit else {"valueString": value}
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [LABORATORY],
        "code": what,
        "effectiveDateTime": when,
        **said,
        **more,
    }


def shot(what: Resource, when: str, **more: Any) -> Resource:
    """A vaccination."""
    return {
        "resourceType": "Immunization",
        "status": "completed",
        "vaccineCode": what,
        "occurrenceDateTime": when,
        **more,
    }


def order(what: Resource, when: str, **more: Any) -> Resource:
    """A prescription."""
    return {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": what,
        "authoredOn": when,
        **more,
    }


def procedure(what: Resource, when: str, **more: Any) -> Resource:
    """A procedure."""
    return {"resourceType": "Procedure", "status": "completed", "code": what, "performedDateTime": when, **more}


def visit(what: Resource, start: str, end: str | None = None, kind: str = "AMB", **more: Any) -> Resource:
    """A visit."""
    period = {"start": start} | ({"end": end} if end else {})
    return {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": kind},
        "type": [what],
        "period": period,
        **more,
    }


def allergy(what: Resource, **more: Any) -> Resource:
    """An allergy."""
    return {"resourceType": "AllergyIntolerance", "code": what, **more}


def pressure(when: str, systolic: int, diastolic: int) -> Resource:
    """A blood pressure, as a panel."""
    parts = (("8480-6", systolic), ("8462-4", diastolic))
    component = [
        {"code": concept(None, (LOINC, code)), "valueQuantity": {"value": value, "unit": "mmHg", "code": "mm[Hg]"}}
        for code, value in parts
    ]
    panel = {"code": concept(None, (LOINC, "85354-9")), "effectiveDateTime": when, "component": component}
    return {"resourceType": "Observation", "status": "final", "category": [VITAL], **panel}


MORNING = "2020-01-05T08:00:00Z"
DIABETES = concept("Diabetes mellitus type 2 (disorder)", (SNOMED, "44054006", "Diabetes mellitus type 2 (disorder)"))
SINUSITIS = concept(None, (SNOMED, "444814009", "Viral sinusitis (disorder)"))
GLUCOSE = concept(None, (LOINC, "2345-7", "Glucose [Mass/volume] in Serum or Plasma"))
LISINOPRIL = concept(None, (RXNORM, "314076", "lisinopril 10 MG Oral Tablet"))
FLU = concept(None, (CVX, "140", "Influenza, seasonal, injectable, preservative free"))
KNEE = concept("Arthroscopy of knee")

ONE: Final[dict[str, tuple[list[Resource], list[Resource], int]]] = {
    "icd-code-alone": (
        [condition(DIABETES, "2015-03-02")],
        [condition(concept(None, (ICD10, "E11.9")), "2015-03-02")],
        1,
    ),
    "chronic-with-another-onset": (
        [condition(DIABETES, "2015-03-02")],
        [condition(concept("Type II diabetes mellitus without complications"), "2018")],
        1,
    ),
    "word-for-word-in-other-words": (
        [condition(concept("Essential hypertension"), "2015-03-02")],
        [condition(concept("Essential (primary) hypertension", (ICD10, "I10")), None)],
        1,
    ),
    "acute-on-the-same-day": (
        [condition(SINUSITIS, "2016-04-27T10:09:51-04:00", "2016-05-18")],
        [condition(concept("Acute sinusitis, unspecified", (ICD10, "J01.90")), "2016-04-27")],
        1,
    ),
    "converted": (
        [result(GLUCOSE, "2020-01-05T08:13:22-05:00", 97, "mg/dL")],
        [result(concept("GLUCOSE"), "2020-01-05", 5.4, "mmol/L")],
        1,
    ),
    "another-method-in-another-zone": (
        [result(GLUCOSE, "2020-01-05T08:13:22-05:00", 97, "mg/dL")],
        [result(concept(None, (LOINC, "2339-0")), "2020-01-05T08:13:22Z", 97.2, "mg/dL")],
        1,
    ),
    "words-for-a-value": (
        [result(concept("SARS-CoV-2 RNA", (LOINC, "94500-6")), "2020-11-05T08:13:22Z", "Detected")],
        [result(concept(None, (LOINC, "94500-6")), "2020-11-05", "POSITIVE")],
        1,
    ),
    "brand-and-strength": (
        [order(LISINOPRIL, "2020-01-05T08:13:22-05:00")],
        [order(concept("Zestril 10mg tab"), "2020-01-05")],
        1,
    ),
    "ingredient-alone": (
        [order(LISINOPRIL, "2020-01-05")],
        [order(concept(None, (RXNORM, "29046", "lisinopril")), "2020-01-05")],
        1,
    ),
    "label-of-an-ndc": (
        [order(LISINOPRIL, "2020-01-05")],
        [order(concept(None, (NDC, "68180-0980-03", "LISINOPRIL 10MG TABLETS")), "2020-01-05", status="completed")],
        1,
    ),
    "reported-by-the-person": (
        [order(LISINOPRIL, "2020-01-05")],
        [order(LISINOPRIL, "2020-01-05", intent="plan", reportedBoolean=True)],
        1,
    ),
    "statement-of-it": (
        [order(LISINOPRIL, "2020-01-05")],
        [
            {
                "resourceType": "MedicationStatement",
                "status": "active",
                "medicationCodeableConcept": LISINOPRIL,
                "effectiveDateTime": "2020-01-05",
            }
        ],
        1,
    ),
    "product-of-a-vaccine": (
        [shot(FLU, "2021-10-05T09:00:00-05:00", lotNumber="U7001AA")],
        [shot(concept("Fluzone Quadrivalent", (NDC, "49281-0421-50")), "2021-10-06", lotNumber="u7001-aa")],
        1,
    ),
    "unspecified-vaccine": (
        [shot(concept(None, (CVX, "43")), "2021-10-05"), shot(FLU, "2021-10-05")],
        [shot(concept(None, (CVX, "88")), "2021-10-05"), shot(concept(None, (CVX, "045")), "2021-10-05")],
        2,
    ),
    "lot-after-some-days": (
        [shot(FLU, "2021-10-05", lotNumber="AB12")],
        [shot(FLU, "2021-10-09", lotNumber="AB12")],
        1,
    ),
    "month-of-a-vaccine": ([shot(FLU, "2021-10-05")], [shot(FLU, "2021-10")], 1),
    "billed-visit": (
        [
            visit(
                concept("Encounter for problem", (SNOMED, "185347001")),
                "2020-01-05T08:00:00-05:00",
                "2020-01-05T08:30:00-05:00",
            )
        ],
        [visit(concept("Office visit", (CPT, "99213")), "2020-01-05T13:00:00Z", "2020-01-05T13:30:00Z")],
        1,
    ),
    "finding-of-an-allergy": (
        [allergy(concept(None, (SNOMED, "762952008", "Peanut (substance)")))],
        [allergy(concept("Allergy to peanuts"), recordedDate="2019-02-01")],
        1,
    ),
    "brand-of-an-allergy": ([allergy(concept("Aspirin"))], [allergy(concept(None, (RXNORM, "1191")))], 1),
    "side-by-site": (
        [
            procedure(KNEE, "2020-01-05", bodySite=[concept("Left knee")]),
            procedure(KNEE, "2020-01-05", bodySite=[concept("Right knee")]),
        ],
        [
            procedure(concept("Arthroscopy of left knee"), "2020-01-05"),
            procedure(concept("Arthroscopy of right knee"), "2020-01-05"),
        ],
        2,
    ),
    "pressures-of-a-day": (
        [pressure("2020-01-05T08:00:00Z", 120, 80), pressure("2020-01-05T20:00:00Z", 131, 84)],
        [pressure("2020-01-05", 131, 84), pressure("2020-01-05", 120, 80)],
        6,
    ),
    "alike-pressures-of-a-day": (
        [pressure("2020-01-05T08:00:00Z", 120, 80), pressure("2020-01-05T20:00:00Z", 120, 80)],
        [pressure("2020-01-05T08:00:00Z", 120, 80), pressure("2020-01-05T20:00:00Z", 120, 80)],
        6,
    ),
}
"""Copies: (first link, second link, pairs of rows)."""
ONE |= {
    "systems-as-oids": (
        [shot(concept("Flu", (CVX, "140")), "2021-10-05")],
        [shot(concept(None, ("urn:oid:2.16.840.1.113883.12.292", "158")), "2021-10-05")],
        1,
    ),
    "rounded-with-a-zero": (
        [result(GLUCOSE, "2020-01-05T08:13:22-05:00", 187.7, "mg/dL")],
        [result(GLUCOSE, "2020-01-05T08:13:22-05:00", 188.0, "mg/dL")],
        1,
    ),
    "specimen-left-out": (
        [result(concept(None, (LOINC, "20454-5", "Protein [Presence] in Urine by Test strip")), MORNING, "Negative")],
        [result(concept("PROTEIN"), MORNING, "negative")],
        1,
    ),
    "a-day-too-late": (
        [order(LISINOPRIL, "2020-01-05T08:13:22-05:00")],
        [order(LISINOPRIL, "2020-01-06T08:13:22-05:00")],
        1,
    ),
    "code-of-nobody-with-the-same-times": (
        [condition(concept("Medication review due"), "2020-01-05T08:13:22-05:00", "2020-02-01T08:13:22-05:00")],
        [condition(concept(None, (ICD10, "Z79.899")), "2020-01-05", "2020-02-01")],
        1,
    ),
    "recorded-at-one-moment-of-another-onset": (
        [condition(SINUSITIS, "2016-04-27", "2016-05-18", recordedDate="2016-04-27T10:09:51-04:00")],
        [condition(SINUSITIS, "2016-07-01", "2016-07-20", recordedDate="2016-04-27T10:09:51-04:00")],
        1,
    ),
}
NOT_ONE: Final[dict[str, tuple[list[Resource], list[Resource]]]] = {
    "type-1-and-type-2": (
        [condition(concept("Type 1 diabetes mellitus"), "2015")],
        [condition(concept("Type 2 diabetes mellitus"), "2015")],
    ),
    "stages": (
        [condition(concept("Chronic kidney disease stage 2"), "2015")],
        [condition(concept("Chronic kidney disease, stage 3"), "2015")],
    ),
    "two-colds": (
        [condition(SINUSITIS, "2016-04-27", "2016-05-18")],
        [condition(SINUSITIS, "2018-02-01", "2018-02-11")],
    ),
    "refuted": (
        [condition(DIABETES, "2015-03-02")],
        [condition(DIABETES, "2015-03-02", verificationStatus={"coding": [{"code": "refuted"}]})],
    ),
    "history-of-it": (
        [condition(concept("Myocardial infarction"), "2015")],
        [condition(concept("History of myocardial infarction"), "2015")],
    ),
    "entered-in-error": (
        [condition(DIABETES, "2015-03-02")],
        [condition(DIABETES, "2015-03-02", verificationStatus={"coding": [{"code": "entered-in-error"}]})],
    ),
    "glucoses-of-a-day": (
        [result(GLUCOSE, "2020-01-05T08:00:00Z", 97, "mg/dL")],
        [result(GLUCOSE, "2020-01-05T12:00:00Z", 143, "mg/dL")],
    ),
    "specimens": (
        [result(GLUCOSE, "2020-01-05T08:00:00Z", 97, "mg/dL")],
        [result(concept("Glucose in urine"), "2020-01-05T08:00:00Z", 97, "mg/dL")],
    ),
    "fractions": (
        [result(concept("HDL Cholesterol"), "2020-01-05", 97, "mg/dL")],
        [result(concept("LDL Cholesterol"), "2020-01-05", 97, "mg/dL")],
    ),
    "bound-and-value": (
        [result(GLUCOSE, "2020-01-05", 40, "mg/dL")],
        [result(GLUCOSE, "2020-01-05", "<40 mg/dL")],
    ),
    "strengths": ([order(LISINOPRIL, "2020-01-05")], [order(concept("lisinopril 20 MG Oral Tablet"), "2020-01-05")]),
    "refill": ([order(LISINOPRIL, "2020-01-05")], [order(LISINOPRIL, "2020-02-05")]),
    "combination": (
        [order(concept("amoxicillin 250 MG Oral Tablet"), "2020-01-05")],
        [order(concept("Augmentin 250 MG / 125 MG"), "2020-01-05")],
    ),
    "order-and-dispense": (
        [order(LISINOPRIL, "2020-01-05")],
        [
            {
                "resourceType": "MedicationDispense",
                "status": "completed",
                "medicationCodeableConcept": LISINOPRIL,
                "whenHandedOver": "2020-01-05",
            }
        ],
    ),
    "not-to-be-given": ([order(LISINOPRIL, "2020-01-05")], [order(LISINOPRIL, "2020-01-05", doNotPerform=True)]),
    "two-vaccines-of-a-day": (
        [shot(FLU, "2021-10-05")],
        [shot(concept("COVID-19 Pfizer", (CVX, "208")), "2021-10-05")],
    ),
    "combined-vaccine": (
        [shot(concept("Pediarix", (CVX, "110")), "2021-10-05")],
        [shot(concept("DTaP", (CVX, "20")), "2021-10-05")],
    ),
    "next-dose": (
        [shot(concept(None, (CVX, "208")), "2021-03-01", lotNumber="EN6201")],
        [shot(concept(None, (CVX, "208")), "2021-03-22", lotNumber="ER8730")],
    ),
    "refused-vaccine": ([shot(FLU, "2021-10-05")], [shot(FLU, "2021-10-05", status="not-done")]),
    "sides": (
        [procedure(KNEE, "2020-01-05", bodySite=[concept("Left knee")])],
        [procedure(KNEE, "2020-01-05", bodySite=[concept("Right knee")])],
    ),
    "visits-of-a-day": (
        [visit(concept("Dental check-up", (SNOMED, "1")), "2020-01-05T09:00:00Z", "2020-01-05T09:30:00Z")],
        [visit(concept("Physiotherapy", (CPT, "97110")), "2020-01-05T14:10:00Z", "2020-01-05T15:10:00Z")],
    ),
    "emergency-then-ward": (
        [visit(concept("Emergency department visit"), "2020-01-05", kind="EMER")],
        [visit(concept("Hospital admission"), "2020-01-05", kind="IMP")],
    ),
    "above-and-below": (
        [procedure(concept(None, (SNOMED, "1260010008", "Removal of subgingival plaque from all teeth")), MORNING)],
        [procedure(concept(None, (SNOMED, "1260009003", "Removal of supragingival plaque from all teeth")), MORNING)],
    ),
    "wider-and-narrower": (
        [condition(concept(None, (SNOMED, "82423001", "Chronic pain")), MORNING)],
        [condition(concept(None, (SNOMED, "278860009", "Chronic low back pain")), MORNING)],
    ),
    "potassiums": (
        [result(concept("Potassium"), MORNING, 5.0, "mmol/L")],
        [result(concept("Potassium"), MORNING, 5.4, "mmol/L")],
    ),
    "daily-at-eight": ([order(LISINOPRIL, "2020-01-05T08:00:00Z")], [order(LISINOPRIL, "2020-01-06T08:00:00Z")]),
    "allergies-alike": ([allergy(concept("Shellfish"))], [allergy(concept("Fish"))]),
    "nuts": ([allergy(concept("Peanut"))], [allergy(concept("Tree nut"))]),
}
"""What looks alike, and is not."""


def test_copies_are_found_and_likenesses_left_alone(lake: Lake) -> None:
    for name, (first, second, _) in ONE.items():
        lake.send(name, 1, *first)
        lake.send(name, 2, *second)
    for name, (first, second) in NOT_ONE.items():
        lake.send(name, 1, *first)
        lake.send(name, 2, *second)
    lake.find()
    found = {name: len(lake.groups(name)) for name in (*ONE, *NOT_ONE)}
    expected = {name: pairs for name, (*_, pairs) in ONE.items()} | dict.fromkeys(NOT_ONE, 0)
    assert {name: number for name, number in found.items() if number != expected[name]} == {}
    for name in ONE:
        for group in lake.groups(name):
            assert sorted(key[0] for key in group) == ["1", "2"], (name, group)
    sites = lake.rows(
        "SELECT count(DISTINCT duplicate_group) FROM procedures JOIN duplicates USING (row_key)"
        " WHERE procedures.person_key = 'side-by-site' AND concat(body_site_text, procedures.text) ILIKE '%left%'"
    )
    assert sites == [(1,)]
