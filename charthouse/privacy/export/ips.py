"""An International Patient Summary (HL7 IPS 2.0.0): one document Bundle of what another doctor asks for first.

A summary: of results, vital signs and social history the newest of each code. Everything else of the export is whole.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from charthouse.privacy.export.references import Key, full_url, led, name_of, targets
from transforms.tables import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from charthouse.privacy.export.holdings import Holdings

PROFILE: Final = "http://hl7.org/fhir/uv/ips/StructureDefinition/"
LOINC: Final = "http://loinc.org"
MOST: Final = 200
"""Entries of one section."""
OMITTED: Final = " (told here alone: the record that came does not keep to FHIR, or is large)"
LARGEST: Final = 1_000_000
"""A larger resource is left to the files beside this one."""
BESIDE: Final = ("Medication", "PractitionerRole", "Practitioner", "Organization")
"""What entries refer to and take along."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section: its LOINC code, and where its entries come from. `each` is how many of one code."""

    code: str
    title: str
    table: str
    date: str
    where: str = "true"
    each: int = 0
    required: bool = False
    negated: str = "false"
    """Whether rows that say that something is not so belong there: "no known allergies" does."""


_PAST = "status IN ('resolved', 'inactive', 'remission')"
_DATE = "coalesce(effective_start, recorded_at)"

SECTIONS: Final = (
    Section("11450-4", "Problems", "conditions", _DATE, f"NOT coalesce({_PAST}, false)", 0, True),
    Section("48765-2", "Allergies and intolerances", "allergies", _DATE, required=True, negated="status IS NOT NULL"),
    Section(
        "10160-0",
        "Medications",
        "medications",
        _DATE,
        "record_type IN ('request', 'statement')",
        required=True,
    ),
    Section("11369-6", "Immunizations", "vaccines", _DATE),
    Section("30954-2", "Results", "lab_results", _DATE, "component_number = 0", 2),
    Section("47519-4", "Procedures", "procedures", _DATE),
    Section("11348-0", "Past illnesses", "conditions", _DATE, f"coalesce({_PAST}, false)"),
    Section("8716-3", "Vital signs", "vitals", _DATE, "component_number = 0", 2),
    Section("29762-2", "Social history", "social_history", _DATE, each=1),  # smoking and alcohol: 0..1 in the profile
    Section("10162-6", "Pregnancies", "pregnancy", _DATE, each=4),
)
PLAN: Final = ("18776-5", "Plan of care", "CarePlan")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a section."""

    key: Key
    line: str


def summary(held: Holdings, request_id: str, at: datetime, service: str) -> bytes:
    """The Bundle as JSON."""
    chosen = [(section, _entries(held, section)) for section in SECTIONS]
    plans = (
        [
            Entry((each.link_id, each.resource_type, each.resource_id), _line(orjson.loads(each.text)))
            for each, _ in zip(held.resources(PLAN[2]), range(MOST), strict=False)
        ]
        if PLAN[2] in held.types()
        else []
    )
    resources = _read(held, [entry.key for _, entries in chosen for entry in entries] + [entry.key for entry in plans])
    patient_key, patient = _patient(held)
    urls = {key: full_url(key) for key in resources}
    who = full_url(patient_key)
    author: Key = ("charthouse", "Device", "author")
    sections = [_section(section.code, section.title, entries, urls, section.required) for section, entries in chosen]
    sections.append(_section(PLAN[0], PLAN[1], plans, urls, required=False))
    composition: Key = (request_id, "Composition", "summary")
    entries = [
        (full_url(composition), _composition(composition, who, full_url(author), at, [s for s in sections if s])),
        (who, led(patient, patient_key, urls, who)),
        (full_url(author), _author(author, service)),
        *((urls[key], led(resource, key, urls, who)) for key, resource in resources.items()),
    ]
    bundle = {
        "resourceType": "Bundle",
        "id": request_id,
        "meta": {"profile": [f"{PROFILE}Bundle-uv-ips"]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{request_id}"},
        "type": "document",
        "timestamp": at.isoformat(timespec="seconds"),
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in entries],
    }
    return orjson.dumps(bundle, option=orjson.OPT_INDENT_2) + b"\n"


def _entries(held: Holdings, section: Section) -> list[Entry]:
    said = table(section.table)
    if not held.count(said):
        return []
    words = "coalesce(text, display, code, '')"
    value = "''"
    if section.table in ("lab_results", "vitals", "social_history", "pregnancy"):
        value = "concat_ws(' ', nullif(concat(value_comparator, coalesce(value_text, value_display)), ''), value_unit)"
    per = "observation_code" if section.each else "resource_key"
    query = f"resource_key, {words}, {section.date}::DATE::VARCHAR, {value}"
    where = f"({section.where}) AND NOT is_entered_in_error AND ({section.negated} OR NOT is_negated)"
    rows = held.sheet(said).newest(query, where, per, section.each, MOST)
    found: dict[Key, Entry] = {}
    for resource_key, name, day, measured in rows:
        link, kind, name_there = resource_key.split("/", 2)
        line = " · ".join(part for part in (name or kind, measured, day) if part)
        found.setdefault((link, kind, name_there), Entry((link, kind, name_there), line))
    return list(found.values())


def _read(held: Holdings, keys: Sequence[Key]) -> dict[Key, dict[str, Any]]:
    """The resources, and those beside them that they refer to. One that keeps not to FHIR is told of in words alone."""
    found: dict[Key, dict[str, Any]] = {}
    wanted = list(dict.fromkeys(keys))
    for _ in range(3):
        for kind in dict.fromkeys(key[1] for key in wanted):
            for each in held.some(kind, [(key[0], key[2]) for key in wanted if key[1] == kind]):
                if len(each.text) <= LARGEST and not each.remarks:
                    found[(each.link_id, kind, each.resource_id)] = orjson.loads(each.text)
        named = {key for known, resource in found.items() for key in targets(resource, known[0])}
        wanted = sorted(key for key in named if key not in found and key[1] in BESIDE)
        if not wanted:
            break
    return found


def _patient(held: Holdings) -> tuple[Key, dict[str, Any]]:
    newest = held.newest_patient()
    if newest is None:
        absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
        unknown = {"resourceType": "Patient", "name": [{"extension": [absent]}], "_birthDate": {"extension": [absent]}}
        return ("charthouse", "Patient", "unknown"), unknown
    said = orjson.loads(newest[1])
    return (newest[0], "Patient", str(said["id"])), said


def _composition(
    key: Key, patient: str, author: str, at: datetime, sections: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    return {
        "resourceType": "Composition",
        "id": name_of(key),
        "meta": {"profile": [f"{PROFILE}Composition-uv-ips"]},
        "text": _narrative(["A summary of records gathered from several providers, put together without a clinician."]),
        "status": "final",
        "type": {"coding": [{"system": LOINC, "code": "60591-5"}], "text": "Patient summary"},
        "subject": {"reference": patient},
        "date": at.isoformat(timespec="seconds"),
        "author": [{"reference": author}],
        "title": f"Patient summary as of {at:%Y-%m-%d}",
        "section": list(sections),
    }


def _author(key: Key, service: str) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": name_of(key),
        "deviceName": [{"name": service, "type": "user-friendly-name"}],
        "type": {"text": "Software that gathers records"},
    }


def _section(
    code: str, title: str, entries: Sequence[Entry], urls: Mapping[Key, str], required: bool
) -> dict[str, Any] | None:
    if not entries and not required:
        return None
    said: dict[str, Any] = {"title": title, "code": {"coding": [{"system": LOINC, "code": code}], "text": title}}
    there = [entry for entry in entries if entry.key in urls]
    lines = [entry.line + ("" if entry.key in urls else OMITTED) for entry in entries]
    if len(entries) >= MOST:
        lines.append(f"The newest {MOST:,}; all are in the files beside this one.")
    said["text"] = _narrative(lines or ["No records of this kind were received."])
    if there:
        said["entry"] = [{"reference": urls[entry.key]} for entry in there]
    else:
        coding = {"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "unavailable"}
        said["emptyReason"] = {"coding": [coding], "text": "No record of this kind that could be put in"}
    return said


def _narrative(lines: Sequence[str]) -> dict[str, str]:
    items = "".join(f"<li>{html.escape(_printable(line))}</li>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><ul>{items}</ul></div>'}


def _printable(text: str) -> str:
    """Without what XML cannot hold."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", " ", text)[:2000]


def _line(resource: Mapping[str, Any]) -> str:
    said = resource.get("title") or resource.get("description")
    if not isinstance(said, str):
        category = resource.get("category")
        first = category[0] if isinstance(category, list) and category and isinstance(category[0], dict) else {}
        said = first.get("text") or "Care plan"
    return said if isinstance(said, str) else "Care plan"
