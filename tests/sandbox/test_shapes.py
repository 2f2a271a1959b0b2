"""Sources as other writers make them: every shape is read or named, and nobody gets what is another's."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.app import App, loaded, run, serving
from tests.sandbox.test_loading import bundle, observation, patient, served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Write = Callable[[str, object], Path]

SERVER = "https://ehr.example/r4"
PAIR = [patient("a"), patient("b")]
FLAT = [json.dumps(one) for one in PAIR]
SPREAD = [json.dumps(one, indent=2) for one in PAIR]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("capital-suffix.JSON", json.dumps(PAIR)),
        ("capital-suffix.NDJSON.GZ", gzip.compress("\n".join(FLAT).encode())),
        ("no-suffix", "\n".join(FLAT)),
        ("another-suffix.fhir", json.dumps(PAIR)),
        ("utf-16-without-mark.json", json.dumps(PAIR).encode("utf-16-le")),
        ("utf-32.ndjson", "\n".join(FLAT).encode("utf-32")),
        ("spread-over-lines.ndjson", "\n".join(SPREAD)),
        ("opened-on-the-first-line.ndjson", "{ " + SPREAD[0][1:] + "\n" + SPREAD[1]),
        ("array.ndjson", json.dumps(PAIR, indent=2)),
        ("without-indent.json", json.dumps(PAIR, indent=0)),
        ("one-after-another.json", "".join(FLAT)),
        ("old-line-ends.ndjson", "\r".join(FLAT)),
        ("indented-lines.ndjson", "\n  ".join(FLAT)),
        ("windows-line-ends.ndjson", "\r\n".join(FLAT) + "\r\n"),
        ("new\nline \u2028 ' \" [red].json", json.dumps(PAIR)),
        (os.fsdecode(b"\xff\xfe.json"), json.dumps(PAIR)),
    ],
    ids=lambda value: ascii(value)[1:30] if isinstance(value, str) and not value.startswith(("{", "[")) else "",
)
def test_what_a_file_holds_counts_not_its_name(write: Write, name: str, content: str | bytes) -> None:
    inventory = loaded(write(name, content))
    assert inventory["types"]["Patient"]["stored"] == 2
    assert not inventory["faults"]
    assert not inventory["aside"]


def test_what_is_not_read_is_named_or_counted(write: Write) -> None:
    folder = write("p.json", patient("p"))
    write("record.xml", "<Patient xmlns='http://hl7.org/fhir'/>")
    write("export.zip", b"PK\x03\x04...")
    write("log.txt", "[1] began\n[2] ended\n")
    write("page.tpl", "{ not JSON }\n{ at all }")
    write("table.csv", "a,b")
    write(".index.json", "{}")
    write(".git/objects.json", patient("hidden"))
    write("latin.ndjson", json.dumps(patient("q")).encode() + b'\n{"resourceType":"Patient","language":"\xe9"}')
    write("entry.json", {"resourceType": "Bundle", "entry": {"resource": patient("lost")}})
    write("outcome.json", {"resourceType": "OperationOutcome", "issue": []})
    patch = {"resource": {"resourceType": "Binary", "contentType": "application/json-patch+json"}}
    write(
        "patch.json",
        {"resourceType": "Bundle", "entry": [patch | {"request": {"method": "PATCH", "url": "Patient/p"}}]},
    )
    write(os.fsdecode(b"\xff.json"), "{")
    (folder / "again").symlink_to(folder)
    (folder / "nowhere.json").symlink_to("missing")
    os.mkfifo(folder / "pipe.json")
    inventory = loaded(folder)

    assert {one["id"] for one in served(folder, "Patient")} == {"p", "q"}
    assert {fault["where"]: fault["reason"] for fault in inventory["faults"]} == {
        "record.xml:1": "XML is not read, only JSON",
        "export.zip:1": "a zip archive is not read, only JSON",
        "page.tpl:1": "it begins like JSON, but is none",
        "latin.ndjson:2": "the text is not UTF-8",
        "entry.json:1": "the Bundle's entry is not a list",
        "nowhere.json:1": "the link leads nowhere",
        "\\xff.json:1": "the JSON is cut short",
    }
    assert sum(inventory["reasons"].values()) == inventory["unreadable"] == 7
    assert inventory["aside"] == {
        "hidden files and folders": 2,
        "devices, pipes and sockets": 1,
        "folders linked twice": 1,
        "files without JSON": 2,
        "OperationOutcome resources": 1,
        "requests of a Bundle that bring no resource": 1,
    }


def test_one_file_is_a_source_too(tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text(json.dumps(bundle("collection", patient("p"), observation("Patient/p", id="o"))))
    done = run("load", "--source", str(file), "--store", str(tmp_path / "s.sqlite"), "--json")
    assert json.loads(done.stdout)["totals"]["in_compartments"] == 2


def entry(resource: dict[str, Any], full_url: str | None = None, method: str | None = None) -> dict[str, Any]:
    named = {"fullUrl": full_url} if full_url else {}
    return {"resource": resource, **named} | ({"request": {"method": method}} if method else {})


def unnamed(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "id"}


@pytest.mark.parametrize(
    ("entries", "reference"),
    [
        pytest.param([entry(unnamed(patient("-")), f"{SERVER}/Patient/7")], "Patient/7", id="named by its address"),
        pytest.param([entry(unnamed(patient("-")), "urn:oid:1.2.3")], "urn:oid:1.2.3", id="named by an OID"),
        pytest.param([entry(patient("a_b"), None, "POST")], "Patient/a_b", id="created under no proper id"),
        pytest.param([entry(patient("7"), f"{SERVER}/Patient/7")], f"{SERVER}/Patient/7/_history/3", id="one version"),
        pytest.param([entry(patient("7"))], f"{SERVER}/Patient/7", id="the only server that is named"),
        pytest.param([entry(patient("a_b"))], "Patient/a_b", id="an id that FHIR does not permit"),
    ],
)
def test_a_record_finds_its_patient(write: Write, entries: list[dict[str, Any]], reference: str) -> None:
    one = entry(observation(reference, id="o"), None, entries[0].get("request", {}).get("method"))
    folder = write("a.json", {"resourceType": "Bundle", "type": "collection", "entry": [*entries, one]})
    write("b.ndjson", json.dumps(observation(reference, id="p")) if "_b" not in reference else "")
    found = loaded(folder)["types"]["Observation"]
    assert found["in_compartments"] == found["stored"] > 0


def test_another_server_s_patient_is_nobody_here(write: Write) -> None:
    here = entry(patient("1"), f"{SERVER}/Patient/1")
    there = entry(observation("https://other.example/fhir/Patient/1", id="o"), f"{SERVER}/Observation/o")
    folder = write("a.json", {"resourceType": "Bundle", "type": "searchset", "entry": [here, there]})
    inventory = loaded(folder)
    assert inventory["types"]["Observation"]["others"] == 1
    assert inventory["unresolved_references"]["absolute"] == 1
    assert served(folder, "Observation")[0]["subject"]["reference"] == "https://other.example/fhir/Patient/1"


def test_two_people_of_one_id_are_not_made_one(write: Write) -> None:
    for name, born in (("a", "1970-01-01"), ("b", "1999-02-03"), ("c", "1970")):
        content = bundle("collection", patient("1", birthDate=born), observation("Patient/1", id="x", valueString=name))
        folder = write(f"{name}.json", content)
    inventory = loaded(folder)

    born = {one["id"]: one["birthDate"] for one in served(folder, "Patient")}
    said = {
        one["valueString"]: born[one["subject"]["reference"].removeprefix("Patient/")]
        for one in served(folder, "Observation")
    }
    assert said["b"] == "1999-02-03"
    assert said["c"].startswith("1970"), "a date that is less precise does not contradict"
    assert inventory["apart"] == 2
    assert loaded(folder)["changes"]["unchanged"] == 4

    write("d.ndjson", json.dumps(patient("1", birthDate="1955-05-05")))
    assert loaded(folder)["overlaid"] == 1


def test_one_id_for_the_records_of_two_people_makes_two_records(write: Write) -> None:
    people = [patient("p"), patient("q")]
    named = [observation(f"Patient/{one['id']}", id="x", valueString=one["id"]) for one in people]
    moved = [one | {"id": "y", "meta": {"versionId": str(number)}} for number, one in enumerate(named)]
    folder = write("a.ndjson", "\n".join(map(json.dumps, [*people, *named, *moved])))
    inventory = loaded(folder)
    found = [(one["valueString"], one["subject"]["reference"][-1]) for one in served(folder, "Observation")]
    assert sorted(found) == [("p", "p"), ("q", "q"), ("q", "q")], "what says that it is newer has moved"
    assert inventory["apart"] == 1
    assert inventory["types"]["Observation"]["older_versions"] == 1


def test_a_patient_named_by_an_identifier_alone_is_found_if_only_one_has_it(write: Write) -> None:
    number = {"system": "urn:mrn", "value": "7"}
    shared = {"system": "urn:ward", "value": "1"}
    inside = {"resourceType": "Patient", "id": "p", "identifier": [number]}
    records = [
        observation("", id="logical") | {"subject": {"identifier": number}},
        observation("#p", id="contained", contained=[inside]),
        observation("", id="of-either") | {"subject": {"identifier": shared}},
        observation("Patient/b", id="said", performer=[{"identifier": number}]),
    ]
    people = [patient("a", identifier=[number, shared]), patient("b", identifier=[shared])]
    folder = write("a.ndjson", "\n".join(map(json.dumps, [*records, *people])))
    inventory = loaded(folder)
    assert inventory["types"]["Observation"]["in_compartments"] == 3

    write("a.ndjson", "\n".join(map(json.dumps, [*records, people[1] | {"identifier": [number]}])))
    assert loaded(folder)["types"]["Observation"]["in_compartments"] == 3, "whose number it is now"
    write("a.ndjson", "\n".join(map(json.dumps, [*records, people[1]])))
    assert loaded(folder)["types"]["Observation"]["in_compartments"] == 2


def test_large_resources_come_in_pages_of_few(write: Write) -> None:
    note = {"resourceType": "DocumentReference", "status": "current", "subject": {"reference": "Patient/p"}}
    sizes = (11_000_000, 4_000_000, 4_000_000, 4_000_000)
    notes = [
        note | {"id": f"d{number}", "content": [{"attachment": {"data": "A" * size}}]}
        for number, size in enumerate(sizes)
    ]
    folder = write("a.ndjson", "\n".join(map(json.dumps, [patient("p"), *notes])))
    loaded(folder)
    with serving(big=folder.with_suffix(".sqlite")) as bases:
        app = App(bases["big"])
        token = app.link("p")["access_token"]
        pages = list(app.pages("DocumentReference?patient=p&_count=50", token))
    assert [len(page["entry"]) for page in pages] == [1, 2, 1]
