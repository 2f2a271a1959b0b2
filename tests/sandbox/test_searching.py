"""FHIR search and read over real HTTP."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.sandbox.app import App, bodies, loaded, serving

if TYPE_CHECKING:
    from pathlib import Path

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LOINC = "http://loinc.org"


@pytest.fixture(scope="module")
def person(app: App) -> tuple[str, str]:
    """A patient and a token for all of their records."""
    patient = app.people()[0]
    return patient, app.link(patient)["access_token"]


def test_a_person_gets_all_of_their_own_and_nothing_else(app: App, generated: Path) -> None:
    statement = app.get("metadata", None).json()
    assert (statement["resourceType"], statement["fhirVersion"]) == ("CapabilityStatement", "4.0.1")
    rest = statement["rest"][0]
    searchable = {
        entry["type"]: {parameter["name"] for parameter in entry["searchParam"]} for entry in rest["resource"]
    }
    inventory = app.get(f"{app.admin}/inventory", None).json()["types"]
    found: Counter[str] = Counter()
    for patient in app.people():
        token = app.link(patient)["access_token"]
        for kind, parameters in searchable.items():
            query = f"{kind}?patient={patient}" if "patient" in parameters else f"{kind}?_id={patient}"
            if kind != "Patient" and "patient" not in parameters:
                continue
            resources = app.search(query, token)
            found[kind] += len(resources)
            for resource in resources:
                owner = resource.get("subject") or resource.get("patient") or resource.get("beneficiary")
                if kind not in ("Provenance", "Patient") and resource.get("status") != "entered-in-error":
                    assert owner == {"reference": f"Patient/{patient}"}
    assert {kind: row["in_compartments"] for kind, row in inventory.items() if row["in_compartments"]} == {
        kind: number for kind, number in found.items() if number
    }
    assert {"Observation", "Provenance", "Claim", "Device", "MedicationDispense"} <= found.keys()


def test_pages_hold_every_resource_once_byte_for_byte(app: App, person: tuple[str, str], generated: Path) -> None:
    patient, token = person
    pages = list(app.pages(f"Observation?patient={patient}&_count=7", token))
    resources = [entry["resource"]["id"] for page in pages for entry in page["entry"]]
    assert len(pages) > 3
    assert all(len(page["entry"]) == 7 for page in pages[:-1])
    assert len(set(resources)) == len(resources) == pages[0]["total"] == pages[-1]["total"]
    assert all(page["link"][0]["relation"] == "self" for page in pages)
    assert {entry["search"]["mode"] for page in pages for entry in page["entry"]} == {"match"}
    whole = app.get(f"Observation?patient={patient}&_count=1000", token)
    assert all(body in whole.content for body in bodies(generated, "Observation") if patient.encode() in body)
    # The same page again is the same, and nobody can write such a link.
    following = pages[0]["link"][1]["url"]
    assert app.get(following, token).json()["entry"] == app.get(following, token).json()["entry"] == pages[1]["entry"]
    assert app.get(following[:-3] + "AAA", token).status_code == 400
    assert app.get(following.replace("/Observation?", "/Condition?"), token).status_code == 400
    stranger = app.link(app.people()[1])["access_token"]
    assert app.get(following, stranger).status_code == 403


def codes(resource: dict[str, Any]) -> set[tuple[str, str]]:
    concepts = [resource["code"], *resource["category"]]
    return {(coding.get("system", ""), coding["code"]) for concept in concepts for coding in concept["coding"]}


def test_tokens_find_by_system_and_code(app: App, person: tuple[str, str]) -> None:
    patient, token = person
    everything = app.search(f"Observation?patient={patient}&_count=1000", token)

    def found(query: str) -> set[str]:
        return {one["id"] for one in app.search(f"Observation?patient={patient}&{query}&_count=1000", token)}

    def having(*wanted: tuple[str, str]) -> set[str]:
        return {one["id"] for one in everything if codes(one) & set(wanted)}

    labs = having((CATEGORY, "laboratory"))
    assert 0 < len(labs) < len(everything)
    assert found("category=laboratory") == found(f"category={quote(CATEGORY)}|laboratory") == labs
    assert found("category=|laboratory") == found("category=http://elsewhere|laboratory") == set()
    heart, oxygen = (LOINC, "8867-4"), (LOINC, "2708-6")
    assert found("code=8867-4,2708-6") == having(heart, oxygen)
    assert found(f"code={quote(LOINC)}|") == {
        one["id"] for one in everything if any(system == LOINC for system, _ in codes(one))
    }
    assert found("code=8867-4&code=2708-6") == set()
    assert found("category=vital-signs&code=8867-4") == having(heart)
    one, two, *_ = sorted(labs)
    assert found(f"_id={one},{two},nobody") == {one, two}
    form = {"patient": patient, "category": "laboratory", "_count": "1000"}
    headers = {"Authorization": f"Bearer {token}"}
    posted = app.http.post(f"{app.base}/Observation/_search", data=form, headers=headers, timeout=10).json()
    assert {entry["resource"]["id"] for entry in posted["entry"]} == labs


def test_last_updated_follows_the_precision_that_was_asked(tmp_path: Path) -> None:
    folder = tmp_path / "dated"
    folder.mkdir()
    stamps = [
        "2024-01-01T00:00:00.000Z",
        "2024-01-01T12:30:15.250Z",
        "2024-02-29T23:59:59.999Z",
        "2025-01-01T05:00:00Z",
    ]
    lines = [{"resourceType": "Patient", "id": "p", "meta": {"lastUpdated": stamps[0]}}]
    lines += [
        {"resourceType": "Flag", "id": str(number), "subject": {"reference": "Patient/p"}, "meta": {"lastUpdated": at}}
        for number, at in enumerate(stamps)
    ]
    (folder / "all.ndjson").write_text("\n".join(json.dumps(line) for line in lines))
    loaded(folder)
    with serving(dated=folder.with_suffix(".sqlite")) as bases:
        app = App(bases["dated"])
        token = app.link("p")["access_token"]
        for query, wanted in {
            "2024": "012",
            "eq2024-01-01": "01",
            "ne2024-01-01": "23",
            "ge2024-01-01T12:30:15.250Z": "123",
            "gt2024-01-01T12:30:15.250Z": "23",
            "gt2024-01-01T12:30:15Z": "23",
            "gt2024-01": "23",
            "le2024-01": "01",
            "lt2024-02-29": "01",
            "2024-02": "2",
            "2024-01-01T12:30": "1",
            "2025-01-01T00:00:00-05:00": "3",
            "2025-01-01T01:00:00%2B01:00": "",
            "ge2024-01-01&_lastUpdated=lt2024-02": "01",
            "2024-02,2025": "23",
        }.items():
            found = app.search(f"Flag?patient=p&_lastUpdated={query}", token)
            assert "".join(one["id"] for one in found) == wanted, query
        assert app.get("Flag?patient=p&_lastUpdated=yesterday", token).status_code == 400
        assert app.get("Flag?patient=p&_lastUpdated=2024-13-01", token).status_code == 400
        page = app.get("Flag?patient=p&_lastUpdated=gt2099", token).json()
        assert page["total"] == 0
        assert "entry" not in page
        assert page["meta"]["lastUpdated"] > stamps[-1]


def test_medications_and_provenance_come_along(app: App) -> None:
    included = pointed = 0
    for patient in app.people():
        token = app.link(patient)["access_token"]
        page = app.get(
            f"MedicationRequest?patient={patient}&_count=1000&_include=MedicationRequest:medication", token
        ).json()
        by_mode: dict[str, list[dict[str, Any]]] = {"match": [], "include": []}
        for entry in page.get("entry", ()):
            by_mode[entry["search"]["mode"]].append(entry["resource"])
        targets = {one.get("medicationReference", {}).get("reference") for one in by_mode["match"]} - {None, "#med"}
        assert {f"Medication/{one['id']}" for one in by_mode["include"]} == targets
        assert page["total"] == len(by_mode["match"])
        included += len(targets)
        bound = app.search(f"Procedure?patient={patient}&_revinclude=Provenance:target&_count=1000", token)
        pointed += sum(one["resourceType"] == "Provenance" for one in bound)
        narrow = app.link(patient, "launch/patient patient/MedicationRequest.rs")["access_token"]
        kept = app.search(f"MedicationRequest?patient={patient}&_include=MedicationRequest:medication", narrow)
        assert {one["resourceType"] for one in kept} <= {"MedicationRequest"}
    assert included
    assert pointed


def test_reads(app: App, person: tuple[str, str], generated: Path) -> None:
    patient, token = person
    answer = app.get(f"Patient/{patient}", token)
    assert answer.status_code == 200
    assert answer.content in bodies(generated, "Patient")
    assert answer.headers["ETag"] == f'W/"{answer.json()["meta"]["versionId"]}"'
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert app.get(f"Patient/{patient}", token, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
    plain = app.get(f"Observation?patient={patient}", token, headers={"Accept-Encoding": "identity"})
    packed = app.get(f"Observation?patient={patient}", token, headers={"Accept-Encoding": "gzip"})
    assert (plain.headers.get("Content-Encoding"), packed.headers["Content-Encoding"]) == (None, "gzip")
    assert plain.json()["entry"] == packed.json()["entry"]
    for kind in ("Practitioner", "Organization", "Location"):
        identity = json.loads(bodies(generated, kind)[0])["id"]
        assert app.get(f"{kind}/{identity}", token).status_code == 200
        assert [one["id"] for one in app.search(f"{kind}?_id={identity}", token)] == [identity]


def test_what_is_refused_says_why(app: App, person: tuple[str, str], generated: Path) -> None:
    patient, token = person
    other = app.people()[1]
    foreign = next(body for body in bodies(generated, "Observation") if other.encode() in body)
    foreign_id = json.loads(foreign)["id"]

    def refused(path: str, bearer: str | None = token, **options: Any) -> tuple[int, str]:
        answer = app.get(path, bearer, **options)
        said = answer.json()
        assert said["resourceType"] == "OperationOutcome"
        assert answer.headers["Content-Type"].startswith("application/fhir+json")
        return answer.status_code, said["issue"][0]["code"]

    strict = {"Prefer": "handling=strict"}
    assert refused(f"Observation?patient={patient}", None) == (401, "login")
    assert refused(f"Observation?patient={patient}", "made-up") == (401, "login")
    assert refused(f"Observation?patient={other}") == (403, "forbidden")
    assert refused(f"Observation/{foreign_id}") == (404, "not-found")
    assert refused(f"Patient/{other}") == (404, "not-found")
    assert app.search(f"Observation?_id={foreign_id}", token) == []
    assert [one["id"] for one in app.search("Patient", token)] == [patient]
    assert refused("Observation?_count=many") == (400, "value")
    assert refused("Observation?code:below=1") == (400, "not-supported")
    assert refused("Observation?colour=red", headers=strict) == (400, "not-supported")
    assert app.get("Observation?colour=red", token).status_code == 200
    assert refused("Observation?_format=xml") == (406, "not-supported")
    assert refused("Nonsense?patient=1") == (404, "not-supported")
    assert refused(f"Observation/{foreign_id}/_history") == (404, "not-supported")
    for method in ("PUT", "DELETE", "POST", "PATCH"):
        headers = {"Authorization": f"Bearer {token}"}
        answer = app.http.request(method, f"{app.base}/Patient/{patient}", headers=headers, timeout=10)
        assert answer.status_code == 405
    assert app.get(f"Observation?patient={patient}&_count=0", token).json()["total"] > 0


def test_what_was_removed_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    goal = {"resourceType": "Goal", "id": "g", "subject": {"reference": "Patient/p"}}
    (folder / "p.json").write_text('{"resourceType": "Patient", "id": "p"}')
    (folder / "g.json").write_text(json.dumps(goal))
    loaded(folder)
    with serving(small=folder.with_suffix(".sqlite")) as bases:
        app = App(bases["small"])
        token = app.link("p")["access_token"]
        before = app.get("Goal?patient=p", token).json()
        # The provider's data changes while it serves.
        (folder / "g.json").unlink()
        (folder / "new.json").write_text(json.dumps(goal | {"id": "h"}))
        loaded(folder)
        assert app.get("Goal/g", token).status_code == 410
        since = app.search(f"Goal?patient=p&_lastUpdated=gt{before['meta']['lastUpdated']}", token)
        assert [one["id"] for one in since] == ["h"]


def test_notes_are_read_by_those_whose_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    lines: list[dict[str, Any]] = []
    for name in ("a", "b"):
        lines.append({"resourceType": "Patient", "id": name})
        lines.append({"resourceType": "Binary", "id": f"text-{name}", "contentType": "text/plain", "data": "AA=="})
        attachment = {"attachment": {"url": f"Binary/text-{name}"}}
        subject = {"reference": f"Patient/{name}"}
        lines.append(
            {"resourceType": "DocumentReference", "id": f"d-{name}", "subject": subject, "content": [attachment]}
        )
        target = [{"reference": f"DocumentReference/d-{name}"}]
        lines.append({"resourceType": "Provenance", "id": f"v-{name}", "target": target})
    (folder / "all.ndjson").write_text("\n".join(json.dumps(line) for line in lines))
    loaded(folder)
    with serving(notes=folder.with_suffix(".sqlite")) as bases:
        app = App(bases["notes"])
        token = app.link("a")["access_token"]
        assert app.get("Binary/text-a", token).status_code == 200
        assert app.get("Binary/text-b", token).status_code == 404
        assert [one["id"] for one in app.search("Provenance?patient=a", token)] == ["v-a"]
        assert app.get("Provenance/v-b", token).status_code == 404
