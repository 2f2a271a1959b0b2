"""A SOURCE folder, whatever is in it: every resource is accounted for and served as it came."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.app import ROOT, bodies, loaded, run

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[[str, object], Path]

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def patient(name: str, **more: object) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, **more}


def observation(subject: str, **more: object) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "subject": {"reference": subject}, **more}


def bundle(kind: str, *resources: dict[str, Any], **more: object) -> dict[str, Any]:
    """A Bundle; a transaction's entries are POSTs that are named by `urn:uuid:<id>`."""
    posts = kind in ("transaction", "batch")
    entries = [
        {"fullUrl": f"urn:uuid:{one['id']}", "resource": one, "request": {"method": "POST", "url": one["resourceType"]}}
        if posts and "id" in one
        else {"resource": one} | ({"request": {"method": "POST"}} if posts else {})
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": entries, **more}


def served(folder: Path, resource_type: str) -> list[dict[str, Any]]:
    return [json.loads(body) for body in bodies(folder.with_suffix(".sqlite"), resource_type)]


def test_every_form_of_file_is_read_and_bad_places_are_named(write: Write) -> None:
    write("transaction.json", bundle("transaction", patient("a"), observation("urn:uuid:a", id="o1")))
    write("deep/searchset.json.gz", gzip.compress(json.dumps(bundle("searchset", patient("b"))).encode()))
    write("array.json", [patient("c"), bundle("collection", bundle("document", patient("d")))])
    lines = [json.dumps(patient("e")), "", "\ufeff" + json.dumps(patient("f")), '{"resourceType": "Patient", ', "[]"]
    write("people.ndjson", "\ufeff" + "\n".join([*lines, '{"resourceType":"Nothing"}', '{"a": 1}', "17"]))
    write("single.json", b"\xef\xbb\xbf" + json.dumps(patient("g"), indent=2).encode())
    write("wide.json", json.dumps(patient("h")).encode("utf-16"))
    write("lines-after-all.json", json.dumps(patient("i")) + "\n" + json.dumps(patient("j")))
    write("torn.ndjson.gz", gzip.compress(json.dumps(patient("k")).encode() + b"\n" * 9_000)[:-9])
    write("torn.json", '{"resourceType": "Bundle",\n "entry": [\n')
    write("nothing.json", "")
    write("readme.txt", "not of ours")
    folder = write("empty-bundle.json", bundle("collection"))
    inventory = loaded(folder)

    assert {one["id"] for one in served(folder, "Patient")} == set("abcdefghijk")
    assert inventory["totals"]["read"] == inventory["totals"]["stored"] == 12
    assert {fault["where"]: fault["reason"] for fault in inventory["faults"]} == {
        "nothing.json:1": "the file is empty",
        "people.ndjson:4": "the JSON is cut short",
        "people.ndjson:6": "resourceType is not one of FHIR R4",
        "people.ndjson:7": "resourceType is missing",
        "people.ndjson:8": "this is JSON, but no FHIR resource",
        "torn.json:2": "the JSON is cut short",
        "torn.ndjson.gz:1": "the gzip stream ends too early",
    }
    assert inventory["unreadable"] == len(inventory["faults"])


@pytest.mark.parametrize("indent", [None, 2])
def test_a_bundle_with_an_entry_that_is_no_json_costs_that_entry(write: Write, indent: int | None) -> None:
    results = [observation("Patient/a", id=f"o{number}", valueInteger=number) for number in range(4)]
    text = json.dumps(bundle("collection", patient("a"), *results), indent=indent)
    folder = write("zero.json", text.replace('"valueInteger": 2', '"valueInteger": 02'))
    write("half.json", json.dumps(bundle("collection", patient("b", language="\ud83d"), patient("c"))))
    inventory = loaded(folder)
    assert {one["id"] for one in served(folder, "Observation")} == {"o0", "o1", "o3"}
    assert {one["id"] for one in served(folder, "Patient")} == {"a", "b", "c"}
    (fault,) = inventory["faults"]
    line = '"resource"'.join(text.split('"resource"')[:4]).count("\n") or 1
    assert fault == {"where": f"zero.json:{line} entry 4", "reason": "a Bundle entry is no valid JSON"}


def test_references_become_those_of_a_server(write: Write) -> None:
    npi = "http://hl7.org/fhir/sid/us-npi"
    doctor = {"resourceType": "Practitioner", "id": "dr", "identifier": [{"system": npi, "value": "123"}]}
    place = {"resourceType": "Location", "id": "here", "identifier": [{"system": "urn:x", "value": "a|b"}]}
    asked = observation(
        "urn:uuid:p",
        id="o",
        performer=[
            {"reference": f"Practitioner?identifier={npi}|123"},
            {"reference": "Location?identifier=urn:x%7Ca%7Cb"},
            {"reference": "Practitioner?identifier=nobody|9"},
            {"reference": "urn:uuid:11111111-2222-4333-8444-555555555555"},
            {"reference": "https://elsewhere.example/fhir/Practitioner/1"},
            {"reference": "#inside"},
        ],
        note=[{"text": 'he said "reference": "urn:uuid:p"'}],
        extension=[{"url": "urn:uuid:p", "valueUri": "urn:uuid:p"}],
    )
    # The file that is named is read after the one that names.
    write("1.json", json.dumps(bundle("transaction", patient("p"), asked)).replace("http://hl7", "http:\\/\\/hl7"))
    absolute = {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [
            {"fullUrl": "https://ehr.example/r4/Patient/q", "resource": patient("q")},
            {"resource": observation("https://ehr.example/r4/Patient/q", id="o2")},
        ],
    }
    write("2.json", absolute)
    folder = write("3.json", bundle("batch", doctor, place))
    inventory = loaded(folder)

    first, second = served(folder, "Observation")
    assert first["subject"] == {"reference": "Patient/p"}
    assert [one["reference"] for one in first["performer"]] == [
        "Practitioner/dr",
        "Location/here",
        "Practitioner?identifier=nobody|9",
        "urn:uuid:11111111-2222-4333-8444-555555555555",
        "https://elsewhere.example/fhir/Practitioner/1",
        "#inside",
    ]
    assert first["note"] == asked["note"]
    assert second["subject"] == {"reference": "Patient/q"}
    assert inventory["unresolved_references"] == {"conditional": 1, "urn": 1, "absolute": 1}
    assert inventory["types"]["Observation"]["in_compartments"] == 2


def test_the_same_id_again_is_repeated_or_older_or_another(write: Write) -> None:
    clinic = {"resourceType": "Organization", "id": "org", "name": "North"}
    other = clinic | {"name": "South"}
    doctor = {"resourceType": "PractitionerRole", "id": "r2", "organization": {"reference": "urn:uuid:org"}}
    write("a.json", bundle("transaction", clinic))
    write("b.json", json.dumps(bundle("transaction", clinic), indent=1))
    write("c.json", bundle("transaction", other, doctor))
    older = patient("p", meta={"lastUpdated": "2020-01-01T00:00:00Z"}, gender="male")
    newer = patient("p", meta={"lastUpdated": "2021-01-01T00:00:00Z"}, gender="female")
    folder = write("d.ndjson", "\n".join(json.dumps(one) for one in (newer, older, newer)))
    inventory = loaded(folder)

    assert inventory["types"]["Organization"] | {"in_compartments": 0} == {
        "read": 3, "repeated": 1, "older_versions": 0, "stored": 2, "in_compartments": 0, "others": 2, "without_id": 0,
    }  # fmt: skip
    first, second = served(folder, "Organization")
    assert (first["id"], first["name"], second["name"]) == ("org", "North", "South")
    assert second["id"] != "org"
    assert served(folder, "PractitionerRole")[0]["organization"] == {"reference": f"Organization/{second['id']}"}
    (kept,) = served(folder, "Patient")
    assert kept["gender"] == "female"
    assert inventory["types"]["Patient"]["older_versions"] + inventory["types"]["Patient"]["repeated"] == 2
    for row in inventory["types"].values():
        assert row["read"] == row["stored"] + row["repeated"] + row["older_versions"]


def test_what_has_no_id_gets_one_from_a_transaction_and_stays_so_elsewhere(write: Write) -> None:
    write("t.json", bundle("transaction", patient("p"), observation("urn:uuid:p", valueString="posted")))
    folder = write("n.ndjson", json.dumps(observation("Patient/p", valueString="as it is")))
    inventory = loaded(folder)

    by_text = {one["valueString"]: one for one in served(folder, "Observation")}
    assert by_text["posted"]["id"]
    assert "id" not in by_text["as it is"]
    assert inventory["types"]["Observation"]["in_compartments"] == 2
    assert inventory["types"]["Observation"]["without_id"] == 1


def test_a_second_load_changes_only_what_changed(write: Write) -> None:
    def line(value: str) -> bytes:
        return (
            b'{"resourceType":"Observation","id":"o","subject":{"reference":"Patient/p"},"x":' + value.encode() + b"}"
        )

    dated = json.dumps(patient("dated", meta={"lastUpdated": "2020-05-05T05:05:05.000Z", "profile": ["x"]})).encode()
    write("p.ndjson", json.dumps(patient("p")).encode() + b"\n" + dated)
    folder = write("o.ndjson", line("1.10") + b"\n" + line("2").replace(b'"o"', b'"gone"'))
    store = folder.with_suffix(".sqlite")
    assert loaded(folder)["changes"] == {"added": 4, "changed": 0, "removed": 0, "unchanged": 0}
    before = bodies(store, "Observation")
    assert before[0].endswith(b'"x":1.10}')
    assert [one["meta"]["lastUpdated"] for one in served(folder, "Patient")][1] == "2020-05-05T05:05:05.000Z"

    assert loaded(folder)["changes"] == {"added": 0, "changed": 0, "removed": 0, "unchanged": 4}
    assert bodies(store, "Observation") == before

    write("o.ndjson", line("1.1"))
    write("p.ndjson", json.dumps(patient("p")).encode() + b"\n" + dated.replace(b'"x"', b'"y"'))
    assert loaded(folder)["changes"] == {"added": 0, "changed": 2, "removed": 1, "unchanged": 1}
    (changed,) = served(folder, "Observation")
    was = json.loads(before[0])["meta"]
    assert (was["versionId"], changed["meta"]["versionId"]) == ("1", "2")
    assert changed["meta"]["lastUpdated"] > was["lastUpdated"]
    # A change that brought its old date along is told to clients all the same.
    assert served(folder, "Patient")[1]["meta"]["lastUpdated"] > was["lastUpdated"]


def test_a_killed_load_leaves_nothing_behind_that_stays(write: Write) -> None:
    lines = "\n".join(json.dumps(observation("Patient/p", id=f"o{number}", note="x" * 500)) for number in range(10_000))
    write("p.json", patient("p"))
    folder = write("o.ndjson", lines)
    store = folder.with_suffix(".sqlite")
    command = [sys.executable, "-m", "sandbox", "load", "--source", str(folder), "--store", str(store)]
    process = subprocess.Popen(command, cwd=ROOT)
    while not list(store.parent.glob("*.loading-*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert list(store.parent.glob("*.loading-*"))
    assert loaded(folder)["changes"]["added"] == 10_001
    assert not list(store.parent.glob("*.loading-*"))


def test_nothing_of_a_source_that_cannot_be_used(write: Write, tmp_path: Path) -> None:
    empty = write("notes.json", '{"hello": 1}')
    for source, said in ((empty, "no FHIR resources"), (tmp_path / "nowhere", "cannot be read")):
        done = run("load", "--source", str(source), "--store", str(tmp_path / "s.sqlite"))
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert "Traceback" not in done.stderr


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data folder is not beside the project")
def test_a_source_of_63_people_is_accounted_for(tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    done = run("load", "--source", str(SHARED / "synthea-r4"), "--store", str(store), "--json", "--progress", "json")
    inventory = json.loads(done.stdout)
    assert inventory["people"] == 63
    assert inventory["totals"] | {"in_compartments": 0, "others": 0} == {
        "read": 22_883, "repeated": 94, "older_versions": 0, "stored": 22_789, "in_compartments": 0, "others": 0,
        "without_id": 0,
    }  # fmt: skip
    assert inventory["unresolved_references"] == {"conditional": 0, "urn": 0, "absolute": 0}
    # All that is nobody's are the organizations and practitioners.
    assert {name for name, row in inventory["types"].items() if row["others"]} == {"Organization", "Practitioner"}
    assert json.loads(done.stderr.splitlines()[-1]) == {
        "event": "progress", "what": "files", "done": 63, "of": 63, "resources": 22_883,
    }  # fmt: skip
