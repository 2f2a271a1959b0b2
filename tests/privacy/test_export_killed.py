"""An export that is killed goes on where it was, in parts; nothing readable is on the disk at any time."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import zipfile
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.clock import now
from charthouse.errors import PrivacyError
from charthouse.privacy import requests
from charthouse.privacy.export import job, store
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.notices import Notice
from charthouse.state.privacy import ExportPart, PrivacyRequest
from tests.conftest import ROOT, Installation, home
from tests.privacy import stocked

__all__ = ["home"]  # an empty one, not that of the canaries

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "Quorvendish-canary"
MEGABYTE = 1_000_000


def much(count: int = 900) -> list[str]:
    """Results, and documents that no compressor makes smaller: some megabytes."""
    noise = random.Random(7)  # noqa: S311
    person: dict[str, Any] = {"resourceType": "Patient", "id": "p1", "name": [{"family": CANARY}]}
    subject = {"subject": {"reference": "Patient/p1"}}
    category = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}
    resources = [person | {"birthDate": "1950-01-01"}]
    for number in range(count):
        said: dict[str, Any] = {"resourceType": "Observation", "id": f"o{number}", "status": "final"} | subject
        said |= {"category": [{"coding": [category]}], "code": {"text": f"{CANARY} {number % 9}"}}
        said |= {"effectiveDateTime": f"2024-01-{number % 28 + 1:02d}", "valueQuantity": {"value": number}}
        resources.append(said)
    for number in range(8):
        data = base64.b64encode(noise.randbytes(350_000)).decode()
        attachment = {"contentType": "application/pdf", "title": "Report", "data": data}
        document = {"resourceType": "DocumentReference", "id": f"d{number}", "status": "current"} | subject
        resources.append(document | {"content": [{"attachment": attachment}]})
    return [json.dumps(resource) for resource in resources]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a megabyte; ask for it before the home."""
    monkeypatch.setenv("CHARTHOUSE_EXPORT_PART_BYTES", str(MEGABYTE))


@pytest.fixture
def person(small_parts: None, home: Path, tmp_path: Path) -> str:
    key, link = stocked.new_person()
    stocked.store(tmp_path / "stock", key, link, much())
    stocked.publish(tmp_path / "stock", key)
    return key


def asked(person: str, **options: Any) -> str:
    with session() as state:
        return requests.ask_export(state, person, options).request_id


def unpacked(request_id: str) -> dict[str, bytes]:
    """Every file of all parts; a name stands in one part only."""
    found: dict[str, bytes] = {}
    for part in store.parts_of(request_id, get_settings()):
        content = b"".join(store.read_part(part, get_settings()))
        assert len(content) == part.size <= MEGABYTE * 1.3
        file = get_settings().home.parent / f"{request_id}-{part.number}.zip"
        file.write_bytes(content)
        with zipfile.ZipFile(file) as archive:
            assert not found.keys() & set(archive.namelist())
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


def same(files: dict[str, bytes]) -> dict[str, bytes]:
    """What must be the same however often a job was killed."""
    joined: dict[str, bytes] = {}
    for name, text in sorted(files.items(), key=lambda each: [part.zfill(6) for part in each[0].split(".")]):
        if name.startswith(("fhir/", "attachments/")):
            stem = name.split(".")[0] if name.startswith("fhir/") and name.endswith(".ndjson") else name
            joined[stem] = joined.get(stem, b"") + text
    return joined


@pytest.mark.crash
def test_a_killed_job_goes_on_behind_its_finished_parts(person: str, home: Path) -> None:
    run = [sys.executable, "-c", "import sys; from charthouse.privacy.export import job; job.run(sys.argv[1])"]
    undisturbed = asked(person)
    job.run(undisturbed)
    whole = unpacked(undisturbed)
    killed = asked(person)
    env = Installation(home).environment() | {"CHARTHOUSE_EXPORT_PART_BYTES": str(MEGABYTE)}
    kept: dict[str, bytes] = {}
    for point in ("export.begun", "export.pages", "export.part", "export.part", "export.written"):
        done = subprocess.run([*run, killed], cwd=ROOT, env=env | {"CHARTHOUSE_CRASH_AT": point}, check=False)
        assert done.returncode == -9, point
        folder = home / "exports" / killed
        with session(read_only=True) as state:
            rows = state.query(ExportPart).filter_by(request_id=killed).all()
            assert state.get_one(PrivacyRequest, killed).status == "running"
            assert state.query(Notice).filter_by(dedupe_key=f"export_ready:{killed}").count() == 0
        assert len(rows) >= len(kept), "no finished part is lost"
        for name, content in kept.items():
            assert (folder / name).read_bytes() == content, "finished parts are kept as they are"
        kept = {row.file: (folder / row.file).read_bytes() for row in rows}
        for file in (file for file in home.rglob("*") if file.is_file() and "exports" in file.parts):
            assert CANARY.encode() not in file.read_bytes()
            assert b"PK\x03\x04" not in file.read_bytes()[:2000]
    assert subprocess.run([*run, killed], cwd=ROOT, env=env, check=False).returncode == 0
    assert len(kept) > 2
    assert same(unpacked(killed)) == same(whole)
    assert {name for name in unpacked(killed) if "/" not in name} == {name for name in whole if "/" not in name}
    files = sorted(home.parent.glob(f"{killed}-*.zip"))
    checked = Installation(home).run("verify", *map(str, files))
    assert checked.returncode == 0, checked.stderr
    without = Installation(home).run("verify", *map(str, files[1:]))
    assert (without.returncode, without.stderr.count("CH93")) == (1, 1)
    assert f"CH938 A part of the export is missing: 'part 1 of {len(files)}'" in without.stderr
    with session(read_only=True) as state:
        assert state.query(Notice).filter_by(dedupe_key=f"export_ready:{killed}").count() == 1
    assert sorted(file.suffix for file in (home / "exports" / killed).iterdir()) == [".age"] * (2 * len(files))


def test_earlier_versions_and_line_breaks_are_kept_to_the_byte(person: str, home: Path, tmp_path: Path) -> None:
    with session(read_only=True) as state:
        from charthouse.linking.links import list_links

        [link] = list_links(state, person_key=person)
    pretty = json.dumps({"resourceType": "Goal", "id": "g1", "lifecycleStatus": "active"}, indent=2)
    newer = json.dumps({"resourceType": "Patient", "id": "p1", "name": [{"family": "New"}], "birthDate": "1950-01-01"})
    broken = b'{"resourceType": "Observation",\r\n "status": \xff}'
    stocked.store(tmp_path / "more", person, link.link_id, [pretty, newer], [(broken, ["CH201"]), (b"[]", ["CH202"])])
    request_id = asked(person)
    job.run(request_id)
    files = unpacked(request_id)
    [as_received] = [text for name, text in files.items() if name.startswith("fhir/as-received/")]
    assert as_received == pretty.encode()
    assert files["fhir/Patient.ndjson"] == newer.encode() + b"\n"
    assert CANARY.encode() in files["fhir/earlier/Patient.ndjson"]
    assert files["quarantine/records.ndjson"] == b"[]\n"
    assert [text for name, text in files.items() if name.startswith("quarantine/as-received/")] == [broken]
    assert b"It is no readable JSON" in files["quarantine/reasons.csv"]
    assert b"It is no readable JSON" in files["pages/quarantine.html"]


def test_what_is_over_is_deleted_and_an_erasure_calls_it_off(
    person: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asked(person)
    job.run(first)
    assert job.expire_exports() == 0
    (home / "exports" / "stray").mkdir()
    later = now() + timedelta(days=get_settings().export_keep_days + 1)
    monkeypatch.setattr(job, "now", lambda: later)
    assert job.expire_exports() > 2
    assert list((home / "exports").iterdir()) == []
    monkeypatch.undo()

    second = asked(person, categories=["vitals"])
    job.run(second)
    third = asked(person)
    calls = []

    def called_off(*_: object) -> None:
        calls.append(1)
        if len(calls) == 2:  # another process, while the job is at work
            with session() as state:
                state.get_one(PrivacyRequest, third).status = "cancelled"

    monkeypatch.setattr("charthouse.faults.point", called_off)
    with pytest.raises(PrivacyError, match="CH943"):
        job.run(third)
    assert not (home / "exports" / third).exists()
    assert job.drop_exports_of(person) == 1
    assert job.drop_exports_of(person) == 0
    assert list((home / "exports").iterdir()) == []
    with session(read_only=True) as state:
        assert state.query(ExportPart).count() == 0


def test_a_full_disk_is_told_and_passes(person: str, home: Path) -> None:
    request_id = asked(person)
    full = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000));"
    full += "from charthouse.operating.cli import main; sys.argv[0] = 'charthouse'; main()"
    command = [sys.executable, "-c", full, "export", person, "--out", str(home.parent / "out")]
    env = Installation(home, {"CHARTHOUSE_EXPORT_PART_BYTES": "100000000"}).environment()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, "CH931" in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr
    with session(read_only=True) as state:
        assert state.get_one(PrivacyRequest, request_id).status == "running"
        assert state.get_one(PrivacyRequest, request_id).code == "CH931"
    assert job.run(request_id), "it goes on when there is space"


def test_nothing_is_exported_too(home: Path) -> None:
    with session() as state:
        from charthouse.linking import people

        nobody = people.create_person(state).person_key
    request_id = asked(nobody)
    job.run(request_id)
    files = unpacked(request_id)
    assert {"index.html", "README.txt", "ips.json", "manifest.json", "account/person.json"} <= files.keys()
    assert b"There are no connections" in files["index.html"]
