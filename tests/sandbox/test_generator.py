"""Made-up people: the same for the same seed, whole where they should be, broken where it is declared."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from sandbox.generator import Report, generate
from sandbox.generator.broken import KINDS
from tests.sandbox.app import App, loaded, run, serving
from transforms.fhir_r4 import r4

if TYPE_CHECKING:
    from pathlib import Path


def everything(people: int, seed: int, **options: Any) -> list[dict[str, Any]]:
    return [
        json.loads(orjson.dumps(resource)) for resources in generate(people, seed, **options) for resource in resources
    ]


def test_a_seed_makes_the_same_people_and_more_people_change_nobody() -> None:
    few, many = everything(3, 7), everything(5, 7)
    assert few == everything(3, 7)
    assert many[: len(few)] == few
    assert everything(3, 8) != few


def test_every_category_and_form_is_there() -> None:
    resources = everything(40, 1, broken_share=0)
    types = Counter(resource["resourceType"] for resource in resources)
    assert types.keys() <= r4().resources
    assert {
        "Patient", "AllergyIntolerance", "MedicationRequest", "MedicationStatement", "MedicationDispense", "Medication",
        "Immunization", "Observation", "Procedure", "Condition", "Encounter",
        "DiagnosticReport", "DocumentReference", "CarePlan", "CareTeam", "Goal", "Coverage", "Device", "Claim",
        "ExplanationOfBenefit", "Provenance", "ServiceRequest", "QuestionnaireResponse", "FamilyMemberHistory",
        "RelatedPerson", "Specimen", "Practitioner", "PractitionerRole", "Organization", "Location",
    } <= types.keys()  # fmt: skip
    observations = [resource for resource in resources if resource["resourceType"] == "Observation"]
    categories = {one["category"][0]["coding"][0]["code"] for one in observations if "category" in one}
    assert categories == {"laboratory", "vital-signs", "social-history", "survey"}
    codes = Counter(coding["code"] for one in observations if "code" in one for coding in one["code"]["coding"])
    assert {"82810-3", "11778-8", "72166-2", "74013-4", "85354-9", "59408-5", "2708-6", "33914-3"} <= codes.keys()
    values = {name for one in observations for name in one if name.startswith("value")}
    assert values >= {
        "valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange",
        "valueRatio", "valueDateTime",
    }  # fmt: skip
    forms = {
        "medicationCodeableConcept"
        if "medicationCodeableConcept" in one
        else one["medicationReference"]["reference"][:4]
        for one in resources
        if one["resourceType"] == "MedicationRequest"
    }
    assert forms == {"medicationCodeableConcept", "#med", "Medi"}
    onsets = {len(one["onsetDateTime"]) for one in resources if "onsetDateTime" in one}
    assert {4, 7, 10} <= onsets
    assert any("dataAbsentReason" in one for one in observations)
    assert any(one.get("valueQuantity", {}).get("comparator") for one in observations)
    assert sum(set(one) <= {"resourceType", "id", "status", "subject", "meta"} for one in resources) > 4
    ages = {2026 - int(one["birthDate"][:4]) for one in resources if one["resourceType"] == "Patient"}
    assert min(ages) >= 18
    years = {one["period"]["start"][:4] for one in resources if one["resourceType"] == "Encounter"}
    assert len(years) > 5


def test_references_lead_somewhere() -> None:
    resources = everything(10, 2, broken_share=0)
    known = {f"{one['resourceType']}/{one['id']}" for one in resources}
    text = "".join(json.dumps(one) for one in resources)
    pointed = {part.partition('"')[0] for part in text.split('"reference": "')[1:]}
    assert {target for target in pointed if not target.startswith("#")} <= known


def test_broken_resources_are_as_many_as_the_report_says() -> None:
    report = Report()
    broken = everything_of(generate(30, 4, report, broken_share=0.004))
    whole = everything_of(generate(30, 4, broken_share=0))
    assert len(broken) == len(whole)
    different = [(one, other) for one, other in zip(whole, broken, strict=True) if one != other]
    assert len(different) == report.broken.total()
    said = report.listed()["broken"]
    assert said.keys() == KINDS.keys()
    lost = [(one, other) for one, other in different if "id" not in other]
    assert len(lost) == sum(said["no_id"].values())
    moved = [
        other
        for one, other in different
        if any(one.get(name) != other.get(name) for name in ("subject", "patient") if name in other)
    ]
    assert len(moved) == sum(said["other_patient"].values())
    assert sum("code" in one and "code" not in other for one, other in different) == sum(said["no_code"].values())


def everything_of(made: Any) -> list[dict[str, Any]]:
    return [json.loads(orjson.dumps(resource)) for resources in made for resource in resources]


def test_what_is_misfiled_is_found_by_the_wrong_person(tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    done = run("generate", "--people", "3", "--seed", "3", "--store", str(store), "--broken-share", "0.01", "--report")
    report = json.loads(done.stdout)
    found = 0
    with serving(odd=store) as bases:
        app = App(bases["odd"])
        for patient in app.people():
            token = app.link(patient)["access_token"]
            for resource in app.search(f"Observation?patient={patient}&_count=1000", token):
                found += resource.get("subject") not in (None, {"reference": f"Patient/{patient}"})
    assert found == report["broken"]["other_patient"]["Observation"] > 0


def test_files_and_store_hold_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for name in ("out", "again"):
        done = run("generate", "--people", "4", "--seed", "9", "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    files = sorted(path.name for path in folder.iterdir())
    assert [(folder / name).read_bytes() for name in files] == [
        (tmp_path / "again" / name).read_bytes() for name in files
    ]
    lines = sum(gzip.decompress(path.read_bytes()).count(b"\n") for path in folder.iterdir())
    assert lines == len(everything(4, 9))
    assert run("generate", "--people", "4", "--seed", "9", "--store", str(tmp_path / "out.sqlite")).returncode == 0
    changes = loaded(folder)["changes"]
    assert (changes["added"], changes["changed"], changes["removed"]) == (0, 0, 0)


@pytest.mark.parametrize("people", ["0", "-1", "many"])
def test_a_wrong_number_of_people_is_refused(people: str, tmp_path: Path) -> None:
    done = run("generate", "--people", people, "--store", str(tmp_path / "s.sqlite"))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
