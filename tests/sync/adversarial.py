"""Records of somebody whose name, addresses, numbers and portal stand in every place where senders put them.

What begins with `SECRET` stands where FHIR has a place for it: no table may show it. What begins with `TYPED` stands
where senders write in their own words: wherever it is shown, the column must be declared as free text.
"""

from __future__ import annotations

from itertools import count
from typing import Any

Json = dict[str, Any]
PATIENT = "canary-patient"
PORTAL = "https://portal.SECRETURL.example/mychart"
NAME = "SECRETNAME Lovelace"
_OBSERVATION = "http://terminology.hl7.org/CodeSystem/observation-category"
MAIDEN = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
_numbers = count()


def typed() -> str:
    """Words of a sender that name the person."""
    return f"TYPED{next(_numbers)} as told by Ms Lovelace"


def concept(code: str, system: str = "http://snomed.info/sct") -> Json:
    """A concept whose display and text were typed."""
    return {"coding": [{"system": system, "code": code, "display": typed()}], "text": typed()}


def person() -> Json:
    """A reference to the person, with their name beside it."""
    return {"reference": f"Patient/{PATIENT}", "display": NAME}


def relative() -> Json:
    """A reference to a relative."""
    return {"reference": "RelatedPerson/mother", "display": "SECRETKIN Byron"}


def doctor() -> Json:
    """A reference to a professional, who has a name here."""
    return {"reference": "Practitioner/dr", "display": "TYPEDDOCTOR Somerville"}


def identifiers() -> list[Json]:
    """An MRN and an SSN."""
    mrn = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}], "text": "SECRETMRN"}
    return [
        {"type": mrn, "system": "urn:oid:1.2.3.SECRETOID", "value": "SECRETMRN-0042"},
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "SECRETSSN-078-05-1120"},
    ]


def resource(kind: str, key: str, subject: str | None = "subject", /, **content: Any) -> Json:
    """A resource with narrative, identifiers, a source and notes that tell of the person."""
    made: Json = {
        "resourceType": kind,
        "id": key,
        "meta": {"lastUpdated": "2024-05-01T10:00:00Z", "source": f"{PORTAL}#1", "tag": [{"display": NAME}]},
        "implicitRules": PORTAL,
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{NAME} SECRETSTORY</div>'},
        "identifier": identifiers(),
        "extension": [{"url": f"{PORTAL}/extension", "valueString": "SECRETEXTENSION"}],
    }
    if subject:
        made[subject] = person()
    return {**made, **content}


def observed(name: str, code: str, category: str, **content: Any) -> Json:
    """An Observation."""
    return resource(
        "Observation",
        name,
        status="final",
        category=[{"coding": [{"system": _OBSERVATION, "code": category}], "text": typed()}],
        code=concept(code, "http://loinc.org"),
        effectiveDateTime="2024-01-02",
        **content,
    )


def records() -> list[Json]:
    """All of it: the Patient, then a record or more for every table."""
    note = [{"text": typed(), "authorReference": person()}]
    address = {
        "line": ["SECRETSTREET 12"],
        "city": "SECRETCITY",
        "state": "MA 02139 SECRETSTREET",
        "postalCode": "SECRETZIP",
    }
    contacts = [
        {"system": "phone", "value": "SECRETPHONE-555-0100"},
        {"system": "email", "value": "SECRETMAIL@example.org"},
    ]
    patient = resource(
        "Patient",
        PATIENT,
        None,
        name=[{"text": NAME, "family": "SECRETFAMILY", "given": ["SECRETGIVEN"]}],
        telecom=contacts,
        gender="female",
        birthDate="1955-12-10",
        address=[{"use": "old", "state": "NY"}, address, {"use": "home", **address, "state": "Massachusetts"}],
        maritalStatus={"text": "SECRETMARRIED"},
        contact=[{"name": {"text": "SECRETKIN"}, "telecom": contacts, "address": address}],
        contained=[{"resourceType": "Organization", "id": "home", "name": "SECRETHOUSEHOLD"}],
        extension=[
            {"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": "F"},
            {"url": MAIDEN, "valueString": "SECRETMAIDEN"},
        ],
    )
    medication = {
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept("197361", "http://www.nlm.nih.gov/research/umls/rxnorm"),
        "dosageInstruction": [
            {
                "text": typed(),
                "patientInstruction": typed(),
                "additionalInstruction": [concept("1")],
                "route": concept("26643006"),
                "doseAndRate": [{"doseQuantity": {"value": 1, "unit": typed()}}],
            }
        ],
        "requester": doctor(),
        "reportedReference": relative(),
        "note": note,
    }
    attachment = {"contentType": "application/pdf", "url": f"{PORTAL}/note.pdf", "data": "U0VDUkVU", "title": typed()}
    asked = {"valueReference": person()}
    return [
        patient,
        resource(
            "RelatedPerson",
            "mother",
            "patient",
            name=[{"text": "SECRETKIN Byron"}],
            telecom=contacts,
            address=[address],
        ),
        resource(
            "Practitioner", "dr", None, name=[{"text": "TYPEDDOCTOR Somerville"}], telecom=contacts, address=[address]
        ),
        resource("Organization", "org", None, name=typed(), telecom=contacts, address=[address]),
        resource("Location", "place", None, name=typed(), description=NAME, telecom=contacts, address=address),
        resource("Condition", "in-words", code={"text": typed()}),
        resource("Condition", "c", code=concept("44054006"), onsetString=typed(), note=note, asserter=person()),
        resource(
            "AllergyIntolerance",
            "a",
            "patient",
            code=concept("91936005"),
            reaction=[{"description": typed(), "manifestation": [concept("247472004")], "note": note}],
            recorder=doctor(),
            asserter=relative(),
        ),
        resource(
            "Procedure",
            "p",
            status="completed",
            code=concept("80146002"),
            performedString=typed(),
            note=note,
            performer=[{"actor": person()}, {"actor": doctor()}],
            asserter=relative(),
            outcome={"text": typed()},
            location={"reference": "Location/place"},
        ),
        resource(
            "Immunization",
            "i",
            "patient",
            status="completed",
            vaccineCode=concept("140", "http://hl7.org/fhir/sid/cvx"),
            occurrenceDateTime="2023-10-01",
            lotNumber=typed(),
            manufacturer={"display": typed()},
            note=note,
            performer=[{"actor": doctor()}],
            reasonCode=[{"text": typed()}],
        ),
        resource("MedicationRequest", "m", **medication),
        resource(
            "Encounter",
            "e",
            status="finished",
            **{"class": {"code": "AMB", "display": typed()}},
            type=[concept("185349003")],
            period={"start": "2024-01-02"},
            diagnosis=[{"condition": {"reference": "Condition/c", "display": typed()}}],
            participant=[{"individual": doctor()}, {"individual": relative()}],
            reasonCode=[{"text": typed()}],
            location=[{"location": {"reference": "Location/place", "display": typed()}}],
            serviceProvider={"reference": "Organization/elsewhere", "display": typed()},
        ),
        observed(
            "lab",
            "2345-7",
            "laboratory",
            valueString=typed(),
            note=note,
            performer=[person(), doctor()],
            interpretation=[{"text": typed()}],
            referenceRange=[{"text": typed()}],
        ),
        observed(
            "vital", "8867-4", "vital-signs", valueQuantity={"value": 60, "unit": typed()}, method={"text": typed()}
        ),
        observed("smoking", "72166-2", "social-history", valueCodeableConcept=concept("266919005")),
        observed("survey", "44261-6", "survey", valueString=typed(), derivedFrom=[person()]),
        observed("pregnancy", "82810-3", "social-history", valueCodeableConcept=concept("60001007")),
        observed("picture", "99999-9", "imaging", valueString="SECRETFINDING"),
        resource(
            "DiagnosticReport",
            "r",
            status="final",
            code=concept("58410-2", "http://loinc.org"),
            conclusion=typed(),
            effectiveDateTime="2024-01-02",
            presentedForm=[attachment],
            performer=[doctor()],
            result=[{"reference": "#within", "display": typed()}],
            contained=[
                {
                    "resourceType": "Observation",
                    "id": "within",
                    "status": "final",
                    "subject": person(),
                    "identifier": identifiers(),
                    "code": concept("718-7", "http://loinc.org"),
                    "valueString": typed(),
                },
                {"resourceType": "Patient", "id": "me", "name": [{"text": NAME}]},
            ],
        ),
        resource(
            "DocumentReference",
            "d",
            status="current",
            type=concept("34117-2", "http://loinc.org"),
            description=typed(),
            author=[person(), doctor()],
            custodian={"display": typed()},
            masterIdentifier=identifiers()[0],
            content=[{"attachment": attachment}],
            context={"sourcePatientInfo": person(), "facilityType": {"text": typed()}},
        ),
        resource(
            "QuestionnaireResponse",
            "q",
            status="completed",
            questionnaire=f"{PORTAL}/Questionnaire/phq-9|1",
            authored="2024-01-02",
            author=person(),
            source=relative(),
            item=[
                {"linkId": "1", "text": typed(), "answer": [{"valueString": typed()}, asked]},
                {
                    "linkId": "2",
                    "answer": [
                        {"valueAttachment": attachment},
                        {"valueReference": relative()},
                        {"valueCoding": {"code": "LA1", "display": typed()}},
                    ],
                },
            ],
        ),
        resource("Goal", "g", lifecycleStatus="active", description={"text": NAME}, category=[concept("dietary")]),
        resource("CarePlan", "cp", status="active", intent="plan", title=NAME, category=[concept("assess-plan")]),
        resource("CareTeam", "ct", status="active", name="SECRETNAME and family", participant=[{"member": relative()}]),
        resource("ServiceRequest", "sr", status="active", intent="order", code=concept("1"), patientInstruction=NAME),
        resource(
            "Coverage",
            "cov",
            "beneficiary",
            status="active",
            subscriber=person(),
            subscriberId="SECRETMEMBER",
            payor=[{"display": "Payer"}],
            type={"text": typed()},
        ),
        resource(
            "FamilyMemberHistory",
            "f",
            "patient",
            status="completed",
            name="SECRETKIN Byron",
            relationship=concept("MTH"),
        ),
        resource(
            "Device",
            "dev",
            "patient",
            type=concept("14106009"),
            serialNumber="SECRETSERIAL",
            udiCarrier=[{"carrierHRF": "SECRETUDI"}],
            deviceName=[{"name": "pump", "type": "other"}],
        ),
    ]
