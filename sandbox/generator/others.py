"""What belongs to no category: reports, notes, plans, claims, devices, families, and who wrote what."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final

from sandbox.generator.chart import Chart, Visit, decimal
from sandbox.generator.vocabulary import CPT, LOINC, SNOMED, US_CORE, Json, coding, concept, hl7, system

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAB: Final = [{"coding": [{"system": system("v2-0074"), "code": "LAB"}]}]
_NOTE: Final = [{"coding": [coding("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                                   "clinical-note", "Clinical Note")]}]  # fmt: skip


def lab_report(chart: Chart, visit: Visit, results: Sequence[Json], codes: Sequence[Json]) -> Json:
    """The report that binds the results of a visit together, with its specimen and the order."""
    specimen = chart.add(
        "Specimen",
        {
            "status": "available",
            "type": concept(SNOMED, "119297000", "Blood specimen"),
            "subject": chart.patient,
            "collection": {"collectedDateTime": chart.moment(visit.begin)},
        },
    )
    order = chart.add(
        "ServiceRequest",
        {
            "status": "completed",
            "intent": "order",
            "category": [concept(SNOMED, "108252007", "Laboratory procedure")],
            "code": codes[0],
            "subject": chart.patient,
            "encounter": visit.reference,
            "authoredOn": chart.moment(visit.begin),
            "requester": visit.practitioner,
        },
    )
    return chart.add(
        "DiagnosticReport",
        {
            "meta": {"profile": [US_CORE + "us-core-diagnosticreport-lab"]},
            "basedOn": [order],
            "status": "final",
            "category": _LAB,
            "code": codes[0],
            "subject": chart.patient,
            "encounter": visit.reference,
            "effectiveDateTime": chart.moment(visit.begin),
            "issued": chart.moment(visit.end),
            "performer": [chart.clinic.organization],
            "specimen": [specimen],
            "result": list(results),
        },
    )


def note(chart: Chart, visit: Visit) -> Json:
    """The note of a visit, as base64 text."""
    text = f"Seen on {visit.begin:%Y-%m-%d}. History taken, examination unremarkable. Plan: as discussed."
    return chart.add(
        "DocumentReference",
        {
            "meta": {"profile": [US_CORE + "us-core-documentreference"]},
            "status": "current",
            "type": concept(LOINC, "11506-3", "Progress note"),
            "category": _NOTE,
            "subject": chart.patient,
            "date": chart.moment(visit.end),
            "author": [visit.practitioner],
            "custodian": chart.clinic.organization,
            "content": [
                {
                    "attachment": {
                        "contentType": "text/plain; charset=utf-8",
                        "data": b64encode(text.encode()).decode(),
                        "title": "Progress note",
                    },
                    "format": {
                        "system": "http://ihe.net/fhir/ValueSet/IHE.FormatCode.codesystem",
                        "code": "urn:ihe:iti:xds:2017:mimeTypeSufficient",
                    },
                }
            ],
            "context": {"encounter": [visit.reference], "period": {"start": chart.moment(visit.begin)}},
        },
    )


def money(chart: Chart, visit: Visit, coverage: Json) -> None:
    """The bill of a visit and what the insurer said."""
    day = visit.begin.date().isoformat()
    price = {"value": decimal(80 + chart.random.randrange(40_000) / 100, 2), "currency": "USD"}
    item = {
        "sequence": 1,
        "productOrService": {"coding": [{"system": CPT, "code": "99213"}]},
        "encounter": [visit.reference],
        "net": price,
    }
    base: Json = {
        "status": "active",
        "type": hl7("claim-type", "professional"),
        "use": "claim",
        "patient": chart.patient,
        "created": day,
        "provider": chart.clinic.organization,
        "insurance": [{"sequence": 1, "focal": True, "coverage": coverage}],
        "item": [item],
    }
    claim = chart.add("Claim", base | {"priority": hl7("processpriority", "normal"), "total": price})
    paid = {"category": hl7("adjudication", "benefit"), "amount": price}
    chart.add(
        "ExplanationOfBenefit",
        base
        | {
            "insurance": [{"focal": True, "coverage": coverage}],
            "insurer": {"display": "Example Mutual"},
            "claim": claim,
            "outcome": "complete",
            "item": [item | {"adjudication": [paid]}],
            "total": [paid],
        },
    )


def standing(chart: Chart, seen: Sequence[Visit]) -> Json:
    """What stands in a chart once: coverage, team, plan, goal, family, a relative, a device. Returns the coverage."""
    random = chart.random
    coverage = chart.add(
        "Coverage",
        {
            "meta": {"profile": [US_CORE + "us-core-coverage"]},
            "status": "active",
            "type": {"coding": [{"system": "https://nahdo.org/sopt", "code": "512"}], "text": "Commercial PPO"},
            "subscriberId": f"EM{random.randrange(10**8):08}",
            "beneficiary": chart.patient,
            "relationship": hl7("subscriber-relationship", "self"),
            "period": {"start": f"{seen[0].begin.year}"},
            "payor": [{"display": "Example Mutual"}],
        },
    )
    team = chart.add(
        "CareTeam",
        {
            "status": "active",
            "name": "Primary care team",
            "subject": chart.patient,
            "participant": [
                {"role": [concept(SNOMED, "446050000", "Primary care provider")], "member": seen[-1].practitioner},
                {"role": [concept(SNOMED, "116154003", "Patient")], "member": chart.patient},
            ],
        },
    )
    goal = chart.add(
        "Goal",
        {
            "lifecycleStatus": "active",
            "description": {"text": "Walk half an hour each day"},
            "subject": chart.patient,
            "startDate": chart.loosely(seen[-1].begin.date()),
            "target": [{"measure": concept(LOINC, "55423-8", "Number of steps"), "detailInteger": 8000}],
        },
    )
    chart.add(
        "CarePlan",
        {
            "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">Keep moving</div>'},
            "status": "active",
            "intent": "plan",
            "category": [
                {
                    "coding": [
                        {
                            "system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category",
                            "code": "assess-plan",
                        }
                    ]
                }
            ],
            "subject": chart.patient,
            "period": {"start": chart.loosely(seen[-1].begin.date())},
            "careTeam": [team],
            "goal": [goal],
        },
    )
    chart.add(
        "FamilyMemberHistory",
        {
            "status": "completed",
            "patient": chart.patient,
            "date": f"{seen[0].begin.year}",
            "relationship": hl7("v3-RoleCode", random.choice(("MTH", "FTH", "SIS", "BRO"))),
            "condition": [{"code": concept(SNOMED, "44054006", "Diabetes mellitus type 2"), "onsetString": "old age"}],
        },
    )
    if chart.chance(0.3):
        chart.add(
            "RelatedPerson",
            {
                "active": True,
                "patient": chart.patient,
                "relationship": [hl7("v3-RoleCode", "SPS")],
                "telecom": [{"system": "phone", "value": "555-0199"}],
            },
        )
    if chart.chance(0.2):
        chart.add(
            "Device",
            {
                "status": "active",
                "distinctIdentifier": f"D{random.randrange(10**6)}",
                "manufactureDate": f"{seen[0].begin.year}-03",
                "serialNumber": f"{random.getrandbits(48):012x}",
                "type": concept(SNOMED, "72506001", "Implantable defibrillator"),
                "patient": chart.patient,
            },
        )
    return coverage


def questionnaire(chart: Chart, visit: Visit) -> None:
    """Answers to a questionnaire, filled in at a visit."""
    chart.add(
        "QuestionnaireResponse",
        {
            "questionnaire": "http://hl7.org/fhir/us/core/Questionnaire/phq-9-example",
            "status": "completed",
            "subject": chart.patient,
            "authored": chart.moment(visit.begin),
            "author": chart.patient,
            "item": [
                {
                    "linkId": "/44250-9",
                    "text": "Little interest or pleasure in doing things",
                    "answer": [{"valueCoding": coding(LOINC, "LA6568-5", "Not at all")}],
                }
            ],
        },
    )


def provenance(chart: Chart, visit: Visit, targets: Sequence[Json]) -> None:
    """Who wrote down what a visit left behind."""
    chart.add(
        "Provenance",
        {
            "meta": {"profile": [US_CORE + "us-core-provenance"]},
            "target": list(targets),
            "recorded": chart.moment(visit.end),
            "agent": [
                {
                    "type": hl7("provenance-participant-type", "author"),
                    "who": visit.practitioner,
                    "onBehalfOf": chart.clinic.organization,
                }
            ],
        },
    )
