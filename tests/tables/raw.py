"""What a row must say, picked from the raw JSON by paths written out by hand: plain Python, nothing of the project's.

Numbers are read as the texts that were sent (`Sent`), so that `140.0` stays what it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]

LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
RXNORM, CVX = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/cvx"
NDC, ICD10, CPT = "http://hl7.org/fhir/sid/ndc", "http://hl7.org/fhir/sid/icd-10-cm", "http://www.ama-assn.org/go/cpt"
GENERAL = (LOINC, SNOMED, RXNORM, CVX, ICD10, CPT)

# Health Connect's lists of codes, as Android's documentation has them, in the order of its rules.
PREGNANCY = {
    "82810-3", "11636-8", "11637-6", "11638-4", "11639-2", "11640-0", "11612-9", "11613-7", "11614-5", "33065-4",
    "11778-8", "11779-6", "11780-4",
}  # fmt: skip
SOCIAL = {"74013-4", "72166-2"}
VITAL = {
    "85353-1", "9279-1", "8867-4", "2708-6", "8310-5", "8302-2", "9843-4", "29463-7", "39156-5", "85354-9", "8480-6",
    "8462-4",
}  # fmt: skip
OF_TYPE = {
    "AllergyIntolerance": "allergies",
    "Condition": "conditions",
    "Encounter": "visits",
    "Immunization": "vaccines",
    "MedicationAdministration": "medications",
    "MedicationDispense": "medications",
    "MedicationRequest": "medications",
    "MedicationStatement": "medications",
    "Procedure": "procedures",
}
RECORD_TYPES = {
    "MedicationRequest": "request",
    "MedicationStatement": "statement",
    "MedicationDispense": "dispense",
    "MedicationAdministration": "administration",
}
NOTHING_KNOWN = {"716186003", "409137002", "429625007", "428607008", "160244002", "716184000"}


class Sent(str):
    """A number as it was written."""

    __slots__ = ()


def read(body: bytes) -> list[Json]:
    """The resources of a Bundle, or the one that it is."""
    content = json.loads(body, parse_float=Sent, parse_int=Sent)
    entries = content.get("entry", []) if content["resourceType"] == "Bundle" else [{"resource": content}]
    return [entry["resource"] for entry in entries if "id" in entry.get("resource", {})]


def table_of(resource: Json) -> str | None:
    """The table that a resource is a row of."""
    if resource["resourceType"] != "Observation":
        return OF_TYPE.get(resource["resourceType"])
    codes = {each["code"] for each in resource["code"].get("coding", []) if each.get("system") == LOINC}
    groups = {each["code"] for group in resource.get("category", []) for each in group.get("coding", [])}
    for table, known, names in (
        ("pregnancy", PREGNANCY, set()),
        ("social_history", SOCIAL, {"social-history"}),
        ("vitals", VITAL, {"vital-signs"}),
        ("lab_results", set(), {"laboratory"}),
    ):
        if codes & known or groups & names:
            return table
    return "social_history" if "sdoh" in groups else None


def rows_of(resource: Json) -> Iterator[tuple[str, int]]:
    """Each row that a resource makes: its table, and the number behind the resource's key."""
    table = table_of(resource)
    if table is None:
        return
    for number in range(1 + len(resource.get("component", [])) if resource["resourceType"] == "Observation" else 1):
        yield table, number
    steps = resource.get("dosageInstruction") or resource.get("dosage") or []
    children = {
        "allergy_reactions": resource.get("reaction", []) if table == "allergies" else [],
        "medication_dosages": (steps if isinstance(steps, list) else [steps]) if table == "medications" else [],
        "visit_participants": resource.get("participant", []) if table == "visits" else [],
        "visit_diagnoses": resource.get("diagnosis", []) if table == "visits" else [],
    }
    for child, items in children.items():
        for number in range(1, 1 + len(items)):
            yield child, number


SURVEYS = {
    "survey", "functional-status", "disability-status", "cognitive-status", "treatment-intervention-preference",
    "care-experience-preference",
}  # fmt: skip
CODED_BY = {"Immunization": "vaccineCode", "Encounter": "type", "DocumentReference": "type"}


def beside_of(resource: Json) -> Iterator[tuple[str, int]]:
    """Each table beside the ten in which a resource has rows, and how many."""
    kind = resource["resourceType"]
    if kind == "DiagnosticReport":
        yield "reports", 1
        yield "report_results", len(resource.get("result", []))
        within = [each for each in resource.get("contained", []) if each["resourceType"] == "Observation"]
        yield "contained_results", sum(1 + len(each.get("component", [])) for each in within)
    elif kind == "DocumentReference":
        yield "documents", 1
    elif kind == "QuestionnaireResponse":
        yield "surveys", 1 + answers_of(resource)
    elif kind == "Observation" and table_of(resource) is None:
        groups = {each["code"] for group in resource.get("category", []) for each in group.get("coding", [])}
        if groups & SURVEYS:
            yield "surveys", 1 + len(resource.get("component", []))


def answers_of(item: Json) -> int:
    """The answers below an item, and the questions without one."""
    answers, within = item.get("answer", []), item.get("item", [])
    alone = int("linkId" in item and not answers and not within)
    return alone + len(answers) + sum(map(answers_of, [*within, *answers]))


def codes_of(link: Link, resource: Json) -> Iterator[tuple[str, str, str]]:
    """Each coding of what each row is about: the table, the system, the code."""
    kind, tables = resource["resourceType"], {name for name, _ in beside_of(resource)}
    table = table_of(resource) or next(iter(tables & {"reports", "documents", "surveys"}), None)
    if table is None or kind == "QuestionnaireResponse":
        return
    held = resource.get(CODED_BY.get(kind, "code"), [])
    if table == "medications":
        pointed = resource.get("medicationReference", {}).get("reference", "")
        key = f"{link.link_id}/Medication/{pointed.rpartition('/')[2].rpartition(':')[2]}"
        held = resource.get("medicationCodeableConcept") or link.concepts.get(key, {})
    for concept in [*(held if isinstance(held, list) else [held]), *(e["code"] for e in resource.get("component", []))]:
        for coding in concept.get("coding", []):
            yield table, coding["system"], coding["code"]


def told_of(patient: Json) -> dict[str, Any]:
    """What may be known of a person."""
    died, state = patient.get("deceasedDateTime"), patient["address"][0]["state"]
    return {
        "birth_year": int(patient["birthDate"][:4]),
        "sex": patient["gender"],
        "is_deceased": True if died else patient.get("deceasedBoolean"),
        "death_year": int(died[:4]) if died else None,
        "state": {"Massachusetts": "MA"}.get(state, state),
    }


@dataclass
class Link:
    """What the resources of one link say of each other: their types, what they are called, when visits began."""

    person_key: str
    link_id: str
    provider: str
    types: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    concepts: dict[str, Json] = field(default_factory=dict)
    starts: dict[str, str] = field(default_factory=dict)
    mixtures: set[str] = field(default_factory=set)

    def learn(self, resource: Json, within: str = "") -> None:
        """Remember what others may point at."""
        kind, name = resource["resourceType"], resource["id"]
        key = f"{within}#{name}" if within else f"{self.link_id}/{kind}/{name}"
        if not within:
            self.types[name] = kind
            for each in resource.get("contained", []):
                self.learn(each, key)
        parts = [each.get("itemCodeableConcept") for each in resource.get("ingredient", [])]
        if kind == "Medication" and "code" not in resource and parts and all(parts):
            self.names[key] = " / ".join(called(each) for each in parts)
            if len(parts) > 1 and any("coding" in each for each in parts):
                self.mixtures.add(key)
        if kind in {"Condition", "Procedure", "Medication"} and "code" in resource:
            self.names[key] = called(resource["code"])
            self.concepts[key] = resource["code"]
        elif kind in {"Organization", "Location"} and "name" in resource:
            self.names[key] = resource["name"]
        elif kind == "Practitioner" and "name" in resource:
            person = resource["name"][0]
            self.names[key] = person.get("text") or f"{person['given'][0]} {person['family']}"
        elif kind == "PractitionerRole":
            self.names[key] = resource.get("practitioner", resource.get("organization", {})).get("display")
        elif kind == "Specimen" and "type" in resource:
            self.names[key] = resource["type"].get("text") or resource["type"]["coding"][0].get("display")
        elif kind == "Encounter" and "period" in resource:
            self.starts[key] = resource["period"]["start"]


def called(concept: Json) -> str:
    """What a concept is called."""
    first = concept.get("coding", [{}])[0]
    return str(concept.get("text") or first.get("display") or first.get("code"))


def moment(text: str | None) -> tuple[datetime | None, str | None, date | None, str | None]:
    """A date as its earliest instant, how exact it is, the sender's own day, and the offset as sent."""
    if text is None:
        return None, None, None, None
    filled = text + {4: "-01-01T00:00:00", 7: "-01T00:00:00", 10: "T00:00:00"}.get(len(text), "")
    zone = re.search(r"T.*(Z|[+-]\d\d:\d\d)$", text)
    at = datetime.fromisoformat(filled if zone else filled + "+00:00").astimezone(UTC)
    precision = {4: "year", 7: "month", 10: "day"}.get(len(text), "second")
    return at, precision, date.fromisoformat(text[:10]) if len(text) > 7 else None, zone[1] if zone else None


def best(concept: Json | None, prefer: Sequence[str]) -> Json:
    """The coding to show: of the first system that is preferred, else the first."""
    codings = [each for each in (concept or {}).get("coding", []) if each.get("code")]
    ranked = sorted(codings, key=lambda each: prefer.index(each["system"]) if each.get("system") in prefer else 99)
    return ranked[0] if ranked else {}


def codings(concept: Json | None) -> list[Json] | None:
    """All codings of a concept."""
    names = ("system", "version", "code", "display")
    found = (concept or {}).get("coding")
    return None if found is None else [{name: each.get(name) for name in names} for each in found]


def says_whom(reference: Json) -> bool:
    """Whether a reference means a record: one that has no more than a name in words means none."""
    return "reference" in reference or "display" not in reference


class Row:
    """One row as it must be. `expected` is filled in by its methods, each of which writes the columns of an element."""

    def __init__(self, link: Link, resource: Json, table: str, number: int) -> None:
        self.link, self.resource, self.table, self.number = link, resource, table, number
        self.key = f"{link.link_id}/{resource['resourceType']}/{resource['id']}"
        self.expected: dict[str, Any] = {}
        self.unresolved = False
        self.begin()
        getattr(self, table if table not in OBSERVED else "observation")()
        remarks = {
            "unresolved-reference": self.unresolved,
            "names-nothing": self.names_nothing(),
            "code-of-one-ingredient": table == "medications" and self.is_mixture(),
        }
        self.expected["remarks"] = sorted(rule for rule, there in remarks.items() if there)

    def is_mixture(self) -> bool:
        """Whether the drug is pointed at and is what its ingredients are."""
        return self.target(self.resource.get("medicationReference")) in self.link.mixtures

    def names_nothing(self) -> bool:
        """Whether the row does not say what it is about. A visit need not."""
        named = [self.expected.get(name, "") for name in ("code", "display", "text")]
        return self.table != "visits" and named == [None, None, None]

    # -- elements -----------------------------------------------------------------------------------------------------

    def date(self, name: str, text: str | None) -> None:
        parts = ("", "_precision", "_day", "_offset")
        self.expected |= {name + part: value for part, value in zip(parts, moment(text), strict=True)}

    def concept(self, name: str, concept: Json | None, prefer: Sequence[str] = GENERAL) -> None:
        self.expected |= self.flat(name, concept, prefer) | {f"{name}_codings": codings(concept)}

    def flat(self, name: str, concept: Json | None, prefer: Sequence[str] = GENERAL) -> Json:
        shown, under = best(concept, prefer), f"{name}_" if name else ""
        found = {f"{under}{part}": shown.get(part) for part in ("code", "system", "display")}
        return found | {f"{under}text": (concept or {}).get("text")}

    def concepts(self, name: str, several: str, concepts: list[Json] | None) -> None:
        given = concepts or []
        coded = [each for each in given if each.get("coding")]
        self.expected |= self.flat(name, (coded or given or [None])[0])
        self.expected[several] = [self.flat("", each) | {"codings": codings(each)} for each in given]

    def coding(self, name: str, coding: Json | None) -> None:
        self.expected |= {f"{name}_{part}": (coding or {}).get(part) for part in ("code", "system", "display")}

    def quantity(self, name: str, quantity: Json | None) -> None:
        given = quantity or {}
        value = given.get("value")
        self.expected |= {
            name: None if value is None else float(value),
            f"{name}_text": value,
            f"{name}_comparator": given.get("comparator"),
            f"{name}_unit": given.get("unit"),
            f"{name}_unit_code": given.get("code"),
            f"{name}_unit_system": given.get("system"),
        }

    def target(self, reference: Json | None) -> str | None:
        """The key of what a reference points at."""
        text = (reference or {}).get("reference")
        if text is None:
            return None
        if text == self.subject().get("reference"):
            return self.link.person_key
        if text.startswith("#"):
            return self.key + text
        if text.startswith("urn:uuid:"):
            kind = self.link.types.get(text[9:])
            return kind and f"{self.link.link_id}/{kind}/{text[9:]}"
        found = re.fullmatch(r"(?:.*/)?([A-Z][A-Za-z]+)/([A-Za-z0-9.-]+)(?:/_history/.*)?", text)
        return None if not found or found[1] == "Patient" else f"{self.link.link_id}/{found[1]}/{found[2]}"

    def subject(self) -> Json:
        found: Json = self.resource.get("subject") or self.resource.get("patient") or {}
        return found

    def named(self, reference: Json | None) -> Json:
        """The key of what a reference points at, and what that is called; never what the person is called."""
        key = self.target(reference)
        shown = (reference or {}).get("display") or self.link.names.get(key or "")
        is_person = key == self.link.person_key or "RelatedPerson/" in (reference or {}).get("reference", "")
        return {"key": key, "display": None if is_person else shown}

    def points(self, name: str, reference: Json | None) -> None:
        found = self.named(reference)
        self.unresolved |= reference is not None and found["key"] is None and says_whom(reference)
        self.expected |= {f"{name}_{part}": value for part, value in found.items()}

    def point(self, name: str, several: str, references: list[Json] | None) -> None:
        given = references or []
        self.points(name, given[0] if given else None)
        self.expected[several] = [self.named(each) for each in given]

    def codes(self, concept: Json | None, **systems: str) -> None:
        for name, system in systems.items():
            found = [each["code"] for each in (concept or {}).get("coding", []) if each.get("system") == system]
            self.expected[f"{name}_code"] = found[0] if found else None

    def notes(self) -> None:
        given = self.resource.get("note", [])
        self.expected["notes"] = [{"text": each["text"], "time": moment(each.get("time"))[0]} for each in given]

    # -- what all tables begin with -----------------------------------------------------------------------------------

    def begin(self) -> None:
        link, child = self.link, self.table in CHILDREN
        row = f"{self.key}/0/{self.number}" if child else f"{self.key}/{self.number}"
        self.expected |= {"row_key": row, "person_key": link.person_key, "link_id": link.link_id}
        self.expected |= {"resource_key": self.key}
        if child:
            self.expected |= {"parent_key": f"{self.key}/0", "number": self.number}
            return
        updated = self.resource.get("meta", {}).get("lastUpdated")
        self.expected |= {"provider": link.provider, "route": "direct", "last_updated": moment(updated)[0]}

    def common(
        self,
        concept: Json | None,
        *,
        prefer: Sequence[str],
        status: str | None,
        start: str | None,
        end: str | None = None,
        recorded: str | None = None,
        visit: Json | None = None,
        denied: bool = False,
    ) -> None:
        shown = best(concept, prefer)
        sure = best(self.resource.get("verificationStatus"), ()).get("code")
        at, precision, day, offset = moment(start)
        ended, ended_precision, _, _ = moment(end)
        key = self.target(visit)
        self.unresolved |= visit is not None and key is None and says_whom(visit)
        known = {each.get("code") for each in (concept or {}).get("coding", [])}
        self.expected |= {
            "status": status,
            "code": shown.get("code"),
            "code_system": shown.get("system"),
            "display": shown.get("display"),
            "text": (concept or {}).get("text"),
            "codings": codings(concept),
            "effective_start": at,
            "effective_start_precision": precision,
            "effective_start_day": day,
            "effective_start_offset": offset,
            "effective_end": ended,
            "effective_end_precision": ended_precision,
            "recorded_at": moment(recorded)[0],
            "is_entered_in_error": "entered-in-error" in {status, sure},
            "is_negated": denied or sure == "refuted" or bool(known & NOTHING_KNOWN),
            "encounter_key": key,
            "encounter_start": moment(self.link.starts.get(key or ""))[0],
        }

    # -- the tables ---------------------------------------------------------------------------------------------------

    def allergies(self) -> None:
        given, code = self.resource, self.resource.get("code")
        self.common(
            code,
            prefer=(SNOMED, RXNORM, NDC, CVX),
            status=best(given.get("clinicalStatus"), ()).get("code"),
            start=given.get("onsetDateTime"),
            recorded=given.get("recordedDate"),
            visit=given.get("encounter"),
        )
        self.codes(code, snomed=SNOMED, rxnorm=RXNORM)
        self.concept("verification_status", given.get("verificationStatus"))
        self.expected |= {name: given.get(name) for name in ("type", "criticality")}
        self.expected["categories"] = given.get("category", [])
        self.date("last_occurrence", given.get("lastOccurrence"))
        self.expected["onset_text"] = given.get("onsetString")
        self.expected["reactions"] = [
            {
                "severity": each.get("severity"),
                "description": each.get("description"),
                **self.flat("substance", each.get("substance")),
                **self.flat("manifestation", each["manifestation"][0]),
                "manifestations": [self.flat("", one) | {"codings": codings(one)} for one in each["manifestation"]],
            }
            for each in given.get("reaction", [])
        ]
        self.points("recorder", given.get("recorder"))
        self.points("asserter", given.get("asserter"))
        self.notes()

    def allergy_reactions(self) -> None:
        given = self.resource["reaction"][self.number - 1]
        self.concept("substance", given.get("substance"))
        self.concepts("manifestation", "manifestations", given.get("manifestation"))
        self.date("onset", given.get("onset"))
        self.expected |= {name: given.get(name) for name in ("description", "severity")}
        self.concept("exposure_route", given.get("exposureRoute"))

    def conditions(self) -> None:
        given = self.resource
        onset, abated = given.get("onsetPeriod", {}), given.get("abatementPeriod", {})
        self.common(
            given.get("code"),
            prefer=(SNOMED, ICD10),
            status=best(given.get("clinicalStatus"), ()).get("code"),
            start=given.get("onsetDateTime", onset.get("start")),
            end=given.get("abatementDateTime", abated.get("end")),
            recorded=given.get("recordedDate"),
            visit=given.get("encounter"),
        )
        self.codes(given.get("code"), snomed=SNOMED, icd10=ICD10)
        self.date("onset_end", onset.get("end"))
        self.date("abatement_start", abated.get("start"))
        self.expected |= {"onset_text": given.get("onsetString"), "abatement_text": given.get("abatementString")}
        self.concept("verification_status", given.get("verificationStatus"))
        self.concepts("category", "categories", given.get("category"))
        self.concept("severity", given.get("severity"))
        self.concepts("body_site", "body_sites", given.get("bodySite"))
        asserted = [
            each["valueDateTime"]
            for each in given.get("extension", [])
            if each["url"].endswith("condition-assertedDate")
        ]
        self.date("asserted", asserted[0] if asserted else None)
        self.points("recorder", given.get("recorder"))
        self.points("asserter", given.get("asserter"))
        self.notes()

    def observation(self) -> None:
        given = self.resource
        part = given["component"][self.number - 1] if self.number else given
        period = given.get("effectivePeriod", {})
        self.common(
            part.get("code"),
            prefer=(LOINC, SNOMED),
            status=given.get("status"),
            start=given.get("effectiveDateTime", period.get("start")),
            end=period.get("end"),
            recorded=given.get("issued"),
            visit=given.get("encounter"),
        )
        self.expected |= {
            "component_number": self.number,
            "has_components": "component" in given,
            "has_members": "hasMember" in given,
        }
        self.codes(part.get("code"), loinc=LOINC, snomed=SNOMED)
        self.concepts("category", "categories", given.get("category"))
        self.concept("observation", given.get("code"))
        self.concept("method", given.get("method"))
        self.concept("body_site", given.get("bodySite"))
        self.point("performer", "performers", given.get("performer"))
        self.point("based_on", "based_on", given.get("basedOn"))
        self.point("member", "members", given.get("hasMember"))
        self.point("derived_from", "derived_from", given.get("derivedFrom"))
        self.points("specimen", given.get("specimen"))
        self.points("device", given.get("device"))
        self.notes()
        self.value(part)
        self.concepts("interpretation", "interpretations", part.get("interpretation"))
        self.expected["reference_ranges"] = [
            {
                "text": each.get("text"),
                "low_text": each.get("low", {}).get("value"),
                "low_unit": each.get("low", {}).get("unit"),
                "high_text": each.get("high", {}).get("value"),
                "high_unit_code": each.get("high", {}).get("code"),
                **self.flat("type", each.get("type")),
            }
            for each in part.get("referenceRange", [])
        ]
        if self.table == "vitals":
            for name, code in (("systolic", "8480-6"), ("diastolic", "8462-4")):
                found = [
                    each["valueQuantity"]
                    for each in given.get("component", [])
                    if code in {one["code"] for one in each["code"]["coding"]} and "valueQuantity" in each
                ]
                self.quantity(name, found[0] if found and not self.number else None)

    def value(self, part: Json) -> None:
        kinds = [name.removeprefix("value") for name in part if name.startswith("value")]
        kind = kinds[0] if kinds else None
        self.expected |= {
            "value_type": {"String": "string", "Boolean": "boolean", "DateTime": "dateTime"}.get(kind or "", kind)
        }
        self.expected["has_value"] = bool(kinds)
        if kind != "String":  # a result in words is read as a number too, where it is one: other tests look at that
            self.quantity("value", part.get("valueQuantity"))
        self.expected["value_boolean"] = part.get("valueBoolean")
        concept = part.get("valueCodeableConcept")
        self.coding("value", best(concept, GENERAL))
        self.expected["value_codings"] = codings(concept)
        if kind in {"String", "CodeableConcept"}:
            self.expected["value_text"] = part["valueString"] if kind == "String" else concept.get("text")
        absent = part.get("dataAbsentReason")
        if absent or kinds:
            self.concept("data_absent_reason", absent)

    def procedures(self) -> None:
        given, period = self.resource, self.resource.get("performedPeriod", {})
        self.common(
            given.get("code"),
            prefer=(SNOMED, CPT),
            status=given.get("status"),
            start=given.get("performedDateTime", period.get("start")),
            end=period.get("end"),
            visit=given.get("encounter"),
            denied=given.get("status") == "not-done",
        )
        self.codes(given.get("code"), snomed=SNOMED, cpt=CPT)
        self.concept("status_reason", given.get("statusReason"))
        self.concept("category", given.get("category"))
        self.concepts("reason", "reasons", given.get("reasonCode"))
        self.point("reason_record", "reason_records", given.get("reasonReference"))
        self.concepts("body_site", "body_sites", given.get("bodySite"))
        self.concept("outcome", given.get("outcome"))
        self.points("performer", given.get("performer", [{}])[0].get("actor"))
        self.expected["performers"] = [
            {f"actor_{part}": value for part, value in self.named(each.get("actor")).items()}
            for each in given.get("performer", [])
        ]
        self.points("recorder", given.get("recorder"))
        self.points("asserter", given.get("asserter"))
        self.points("location", given.get("location"))
        self.point("part_of", "part_of", given.get("partOf"))
        self.point("based_on", "based_on", given.get("basedOn"))
        self.notes()

    def vaccines(self) -> None:
        given = self.resource
        self.common(
            given.get("vaccineCode"),
            prefer=(CVX, NDC, SNOMED),
            status=given.get("status"),
            start=given.get("occurrenceDateTime"),
            recorded=given.get("recorded"),
            visit=given.get("encounter"),
            denied=given.get("status") == "not-done",
        )
        self.codes(given.get("vaccineCode"), cvx=CVX, ndc=NDC)
        self.expected |= {
            "occurrence_text": given.get("occurrenceString"),
            "primary_source": given.get("primarySource"),
            "lot_number": given.get("lotNumber"),
            "is_subpotent": given.get("isSubpotent"),
        }
        self.concept("status_reason", given.get("statusReason"))
        self.concept("report_origin", given.get("reportOrigin"))
        self.points("manufacturer", given.get("manufacturer"))
        self.date("expiration_date", given.get("expirationDate"))
        self.concept("site", given.get("site"))
        self.concept("administration_route", given.get("route"))
        self.quantity("dose", given.get("doseQuantity"))
        self.concepts("reason", "reasons", given.get("reasonCode"))
        self.points("location", given.get("location"))
        who = {best(each.get("function"), ()).get("code"): each["actor"] for each in given.get("performer", [])}
        self.points("performer", who.get("AP", who.get(None)))
        self.points("orderer", who.get("OP"))
        self.notes()

    def medications(self) -> None:
        given, kind = self.resource, self.resource["resourceType"]
        pointed = given.get("medicationReference")
        concept = given.get("medicationCodeableConcept")
        if pointed is not None:
            concept = self.link.concepts.get(self.target(pointed) or "")
        period = given.get("effectivePeriod", {})
        effective = given.get("effectiveDateTime", period.get("start"))
        start, recorded = {
            "MedicationRequest": (given.get("authoredOn"), given.get("authoredOn")),
            "MedicationStatement": (effective, given.get("dateAsserted")),
            "MedicationDispense": (given.get("whenHandedOver", given.get("whenPrepared")), given.get("whenPrepared")),
            "MedicationAdministration": (effective, None),
        }[kind]
        self.common(
            concept,
            prefer=(RXNORM, NDC, SNOMED, CVX),
            status=given.get("status"),
            start=start,
            end=period.get("end"),
            recorded=recorded,
            visit=given.get("encounter", given.get("context")),
            denied=given.get("status") in {"not-done", "not-taken"} or given.get("doNotPerform", False),
        )
        if pointed is not None and self.expected["text"] is None:
            self.expected["text"] = pointed.get("display") or self.link.names.get(self.target(pointed) or "")
        self.points("medication", pointed)
        if pointed is None or concept is not None:
            self.codes(concept, rxnorm=RXNORM, ndc=NDC, snomed=SNOMED)
        else:  # it is named by what is in it, if by anything; other tests look at the codes of that
            for name in ("code", "code_system", "display", "codings"):
                del self.expected[name]
        self.expected |= {
            "record_type": RECORD_TYPES[kind],
            "intent": given.get("intent"),
            "do_not_perform": given.get("doNotPerform"),
            "priority": given.get("priority"),
            "reported_boolean": given.get("reportedBoolean"),
        }
        if kind == "MedicationRequest":
            self.concept("status_reason", given.get("statusReason"))
            self.concepts("category", "categories", given.get("category"))
        self.concepts("reason", "reasons", given.get("reasonCode"))
        self.point("reason_record", "reason_records", given.get("reasonReference"))
        for name in ("requester", "recorder"):
            self.points(name, given.get(name))
        self.points("information_source", given.get("informationSource"))
        supply = given.get("dispenseRequest", {})
        self.quantity("quantity", supply.get("quantity", given.get("quantity")))
        self.quantity("supply", supply.get("expectedSupplyDuration", given.get("daysSupply")))
        refills = supply.get("numberOfRepeatsAllowed")
        self.expected["refills"] = None if refills is None else int(refills)
        self.date("validity_start", supply.get("validityPeriod", {}).get("start"))
        steps = given.get("dosageInstruction") or given.get("dosage") or [{}]
        first = steps[0] if isinstance(steps, list) else steps
        self.expected["dosage_text"] = first.get("text")
        self.concept("dosage_route", first.get("route"))
        self.quantity("dose", first.get("dose", first.get("doseAndRate", [{}])[0].get("doseQuantity")))
        self.notes()

    def medication_dosages(self) -> None:
        steps = self.resource.get("dosageInstruction") or self.resource.get("dosage")
        given = steps[self.number - 1] if isinstance(steps, list) else steps
        rated = given.get("doseAndRate", [{}])[0]
        sequence = given.get("sequence")
        self.expected["sequence"] = None if sequence is None else int(sequence)
        self.expected["words"] = given.get("text")
        self.concepts("additional_instruction", "additional_instructions", given.get("additionalInstruction"))
        self.expected["patient_instruction"] = given.get("patientInstruction")
        repeat = given.get("timing", {}).get("repeat", {})
        for name in ("frequency", "count"):
            self.expected[f"timing_{name}"] = None if repeat.get(name) is None else int(repeat[name])
        self.expected |= {
            "timing_period": None if repeat.get("period") is None else float(repeat["period"]),
            "timing_period_text": repeat.get("period"),
            "timing_period_unit": repeat.get("periodUnit"),
            "timing_bounds_start": moment(repeat.get("boundsPeriod", {}).get("start"))[0],
            "is_as_needed": given.get("asNeededBoolean", True if "asNeededCodeableConcept" in given else None),
        }
        self.concept("site", given.get("site"))
        self.concept("route", given.get("route"))
        self.concept("method", given.get("method"))
        self.quantity("dose", given.get("dose", rated.get("doseQuantity")))
        self.quantity("rate", given.get("rateQuantity", rated.get("rateQuantity")))
        self.expected["doses_and_rates"] = [
            {"dose_text": each.get("doseQuantity", {}).get("value"), **self.flat("type", each.get("type"))}
            for each in given.get("doseAndRate", [])
        ]

    def visits(self) -> None:
        given, period = self.resource, self.resource.get("period", {})
        types = given.get("type", [])
        coded = [each for each in types if each.get("coding")]
        self.common(
            (coded or types or [None])[0],
            prefer=(SNOMED, CPT),
            status=given.get("status"),
            start=period.get("start"),
            end=period.get("end"),
        )
        self.expected["codings"] = [one for each in types for one in codings(each) or []]
        self.codes({"coding": [one for each in types for one in each.get("coding", [])]}, snomed=SNOMED, cpt=CPT)
        self.coding("class", given.get("class"))
        self.concepts("type", "types", types)
        self.concept("service_type", given.get("serviceType"))
        self.concept("priority", given.get("priority"))
        self.quantity("duration", given.get("length"))
        self.concepts("reason", "reasons", given.get("reasonCode"))
        stay = given.get("hospitalization", {})
        self.concept("admit_source", stay.get("admitSource"))
        self.concept("discharge", stay.get("dischargeDisposition"))
        places = [each["location"] for each in given.get("location", [])]
        self.points("location", places[0] if places else None)
        self.expected["locations"] = [
            {f"location_{part}": value for part, value in self.named(each).items()} for each in places
        ]
        self.points("practitioner", given.get("participant", [{}])[0].get("individual"))
        self.points("organization", given.get("serviceProvider"))
        self.points("diagnosis", given.get("diagnosis", [{}])[0].get("condition"))
        self.points("part_of", given.get("partOf"))

    def visit_participants(self) -> None:
        given = self.resource["participant"][self.number - 1]
        self.concepts("type", "types", given.get("type"))
        self.date("period_start", given.get("period", {}).get("start"))
        self.date("period_end", given.get("period", {}).get("end"))
        self.points("individual", given.get("individual"))

    def visit_diagnoses(self) -> None:
        given = self.resource["diagnosis"][self.number - 1]
        self.points("condition", given["condition"])
        self.concept("use", given.get("use"))


OBSERVED = frozenset({"lab_results", "pregnancy", "social_history", "vitals"})
CHILDREN = frozenset({"allergy_reactions", "medication_dosages", "visit_participants", "visit_diagnoses"})


def secrets_of(patient: Json) -> set[str]:
    """What of a raw Patient must never be read in a table: whole names, addresses, numbers to call, identifiers."""
    found = {patient["id"]} | {each["value"] for each in patient.get("identifier", [])}
    found |= {each["value"] for each in patient.get("telecom", []) if "value" in each}
    for name in patient.get("name", []):
        given, family = name.get("given", []), name["family"]
        found |= {f"{each} {family}" for each in given} | {f"{' '.join(given)} {family}", f"{family}, {given[0]}"}
    for address in patient.get("address", []):
        found |= set(address.get("line", []))
    for extension in patient.get("extension", []):
        if extension["url"].endswith("patient-mothersMaidenName"):
            found.add(extension["valueString"])
    return {each for each in found if len(each) > 4}
