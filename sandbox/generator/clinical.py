"""Visits, conditions, allergies, procedures and vaccines."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sandbox.generator.chart import TODAY, Chart, Visit, at, quantity
from sandbox.generator.vocabulary import (
    ALLERGIES,
    CONDITIONS,
    CPT,
    CVX,
    DIAGNOSES,
    ICD10,
    NDC,
    PROCEDURES,
    SNOMED,
    US_CORE,
    VACCINES,
    VISITS,
    Json,
    coding,
    concept,
    hl7,
    system,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVE: Final = hl7("condition-clinical", "active")
_RESOLVED: Final = hl7("condition-clinical", "resolved")
_CONFIRMED: Final = hl7("condition-ver-status", "confirmed")
_PROBLEM: Final = [
    {"coding": [coding(system("condition-category"), "problem-list-item", "Problem List Item")], "text": "Problem"}
]
_DIAGNOSIS: Final = [
    {"coding": [coding(system("condition-category"), "encounter-diagnosis", "Encounter Diagnosis")]}
]  # fmt: skip


def visits(chart: Chart) -> list[Visit]:
    """Encounters over three to ten years, in order: mostly in the practice, some by phone, a few in hospital."""
    random = chart.random
    first = max(chart.born_plus(18.1), TODAY - timedelta(days=365 * random.randrange(3, 11)))
    days = max((TODAY - first).days, 30)
    found = []
    for offset in sorted(random.sample(range(days), min(days, max(3, days * random.randrange(2, 5) // 365)))):
        day = first + timedelta(days=offset)
        weight = random.random()
        act, cpt, snomed, name, minutes = VISITS[
            0 if weight < 0.4 else 1 if weight < 0.65 else 2 if weight < 0.82 else 3 if weight < 0.92 else 4
            if weight < 0.98 else 5
        ]  # fmt: skip
        begin = at(day, random.randrange(8, 17), random.randrange(60))
        end = begin + timedelta(minutes=minutes)
        doctor = random.choice(chart.clinic.practitioners)
        content: Json = {
            "meta": {"profile": [US_CORE + "us-core-encounter"]},
            "identifier": [{"system": "urn:oid:2.16.840.1.113883.19.6", "value": f"{random.getrandbits(40):010x}"}],
            "status": "finished",
            "class": {"system": system("v3-ActCode"), "code": act},
            "type": [{"coding": [coding(CPT, cpt, name), coding(SNOMED, snomed, name)], "text": name}],
            "subject": chart.patient,
            "participant": [{"type": [hl7("v3-ParticipationType", "PPRF")], "individual": doctor}],
            "period": {"start": chart.moment(begin), "end": chart.moment(end)},
            "location": [{"location": chart.clinic.locations[1 if act == "EMER" else 0]}],
            "serviceProvider": chart.clinic.organization,
        }
        if act == "IMP":
            content["hospitalization"] = {
                "dischargeDisposition": hl7("discharge-disposition", "home"),
                "admitSource": hl7("admit-source", "emd"),
            }
        if random.random() < 0.02:
            content["status"] = "cancelled"
            del content["period"]["end"]
        elif random.random() < 0.05:
            content["reasonCode"] = [{"text": "Follow-up"}]
        found.append(Visit(chart.add("Encounter", content), begin, end, act, doctor))
    return found


def problems(chart: Chart) -> None:
    """The problem list: long-lasting conditions, whose onset people remember more or less well."""
    random = chart.random
    for snomed, icd10, name, usual in CONDITIONS:
        age = usual + random.gauss(0, 8)
        onset = chart.born_plus(max(age, 18))
        if not chart.chance(0.3) or onset >= TODAY:
            continue
        chart.conditions.append(snomed)
        content: Json = {
            "meta": {"profile": [US_CORE + "us-core-condition-problems-health-concerns"]},
            "clinicalStatus": _ACTIVE,
            "verificationStatus": _CONFIRMED,
            "category": _PROBLEM,
            "code": {"coding": [coding(SNOMED, snomed, name), coding(ICD10, icd10, name)], "text": name},
            "subject": chart.patient,
            "recordedDate": onset.isoformat(),
        }
        form = random.random()
        if form < 0.7:
            content["onsetDateTime"] = chart.loosely(onset)
        elif form < 0.85:
            content["onsetAge"] = quantity(max(age, 18), 0, "years", "a")
        elif form < 0.95:
            content["onsetString"] = random.choice(("in childhood", "a few years ago", "after the accident"))
        else:
            content["_onsetDateTime"] = {
                "extension": [
                    {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
                ]
            }
        if random.random() < 0.15:
            content["clinicalStatus"] = _RESOLVED
            content["abatementDateTime"] = chart.loosely(TODAY - timedelta(days=random.randrange(900)))
        chart.add("Condition", content)


def diagnoses(chart: Chart, visit: Visit) -> None:
    """What a visit found."""
    snomed, icd10, name = chart.random.choice(DIAGNOSES)
    codes = [coding(ICD10, icd10, name), coding(SNOMED, snomed, name)]
    content: Json = {
        "meta": {"profile": [US_CORE + "us-core-condition-encounter-diagnosis"]},
        "clinicalStatus": _RESOLVED,
        "verificationStatus": _CONFIRMED,
        "category": _DIAGNOSIS,
        "severity": concept(SNOMED, "255604002", "Mild"),
        "code": {"coding": codes if chart.chance(0.7) else codes[:1], "text": name},
        "subject": chart.patient,
        "encounter": visit.reference,
        "onsetDateTime": chart.moment(visit.begin),
        "abatementDateTime": (visit.begin + timedelta(days=12)).date().isoformat(),
        "recordedDate": visit.begin.date().isoformat(),
        "recorder": visit.practitioner,
    }
    chart.add("Condition", content)


def allergies(chart: Chart) -> None:
    """Allergies with what they do; or, said outright, that there are none."""
    random = chart.random
    base: Json = {
        "meta": {"profile": [US_CORE + "us-core-allergyintolerance"]},
        "clinicalStatus": hl7("allergyintolerance-clinical", "active"),
        "verificationStatus": hl7("allergyintolerance-verification", "confirmed"),
    }
    if chart.chance(0.4):
        none = {"code": concept(SNOMED, "716186003", "No known allergy"), "patient": chart.patient}
        chart.add("AllergyIntolerance", base | none)
        return
    for link, code, name, category, reaction, symptom in random.sample(ALLERGIES, random.randrange(1, 4)):
        day = chart.born_plus(random.uniform(2, 30))
        content: Json = base | {
            "type": "allergy",
            "category": [category],
            "criticality": random.choice(("low", "high", "unable-to-assess")),
            "code": concept(link, code, name),
            "patient": chart.patient,
            "onsetDateTime": chart.loosely(day),
            "recordedDate": day.isoformat(),
            "recorder": random.choice(chart.clinic.practitioners),
            "reaction": [
                {
                    "substance": concept(link, code, name),
                    "manifestation": [concept(SNOMED, reaction, symptom)],
                    "severity": random.choice(("mild", "moderate", "severe")),
                }
            ],
        }
        if random.random() < 0.1:
            content["clinicalStatus"] = hl7("allergyintolerance-clinical", "resolved")
            content["lastOccurrence"] = chart.loosely(day)
        chart.add("AllergyIntolerance", content)


def procedures(chart: Chart, visit: Visit) -> Json:
    """One procedure at a visit. Returns its reference."""
    snomed, cpt, name, minutes = chart.random.choice(PROCEDURES)
    codes = [coding(SNOMED, snomed, name)] + ([coding(CPT, cpt, name)] if cpt else [])
    content: Json = {
        "meta": {"profile": [US_CORE + "us-core-procedure"]},
        "status": "completed",
        "code": {"coding": codes, "text": name},
        "subject": chart.patient,
        "encounter": visit.reference,
    }
    spot = chart.random.random()
    if spot < 0.04:
        content["status"] = "not-done"
        content["statusReason"] = concept(SNOMED, "105480006", "Refusal of treatment by patient")
    elif spot < 0.5:
        end = visit.begin + timedelta(minutes=minutes)
        content["performedPeriod"] = {"start": chart.moment(visit.begin), "end": chart.moment(end)}
    elif spot < 0.9:
        content["performedDateTime"] = chart.moment(visit.begin)
    else:
        content["performedDateTime"] = chart.loosely(visit.begin.date())
    content["performer"] = [{"actor": visit.practitioner, "onBehalfOf": chart.clinic.organization}]
    content["location"] = chart.clinic.locations[0]
    return chart.add("Procedure", content)


def vaccines(chart: Chart, seen: Sequence[Visit]) -> None:
    """Immunizations at visits, and some told by the person, whose dates are vague."""
    random = chart.random
    last: dict[str, Visit] = {}
    for visit in seen:
        for cvx, ndc, name, since, months in VACCINES:
            before = last.get(cvx)
            due = before is None or (visit.begin - before.begin).days > months * 30
            if not due or visit.begin.year < since or random.random() > 0.35:
                continue
            last[cvx] = visit
            codes = [coding(CVX, cvx, name)] + ([coding(NDC, ndc, name)] if ndc else [])
            content: Json = {
                "meta": {"profile": [US_CORE + "us-core-immunization"]},
                "status": "completed",
                "vaccineCode": {"coding": codes, "text": name},
                "patient": chart.patient,
                "encounter": visit.reference,
                "occurrenceDateTime": chart.moment(visit.begin),
                "primarySource": True,
                "location": chart.clinic.locations[0],
                "lotNumber": f"L{random.randrange(10_000):04}",
                "expirationDate": (visit.begin + timedelta(days=300)).date().isoformat(),
                "site": {"coding": [{"system": system("v3-ActSite"), "code": "LA"}], "text": "left arm"},
                "route": {"coding": [{"system": system("v3-RouteOfAdministration"), "code": "IM"}]},
                "doseQuantity": quantity(0.5, 1, "mL", "mL"),
                "performer": [{"actor": visit.practitioner}],
            }
            if random.random() < 0.3:
                content["protocolApplied"] = [{"doseNumberPositiveInt": 1, "seriesDosesString": "as advised"}]
            chart.add("Immunization", content)
    if chart.chance(0.5):
        told = {"status": "completed", "vaccineCode": concept(CVX, "03", "MMR"), "patient": chart.patient}
        when = chart.born_plus(5)
        loose: Json = (
            {"occurrenceString": "in childhood"} if chart.chance(0.3) else {"occurrenceDateTime": f"{when.year:04}"}
        )
        origin = {"primarySource": False, "reportOrigin": hl7("immunization-origin", "recall")}
        chart.add("Immunization", told | loose | origin)
    if chart.chance(0.2):
        refused = {
            "status": "not-done",
            "statusReason": {"coding": [{"system": system("v3-ActReason"), "code": "PATOBJ"}]},
            "vaccineCode": concept(CVX, "150", "Influenza, injectable, quadrivalent, preservative free"),
            "patient": chart.patient,
            "occurrenceDateTime": seen[-1].begin.date().isoformat(),
        }
        chart.add("Immunization", refused)
