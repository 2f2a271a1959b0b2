"""An export of a real night: what is in it is what came, everything, and nothing that was changed goes unseen."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from fhir.resources.R4B.bundle import Bundle

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Installation

_COUNTS = """
import json, sys
from charthouse.lake.session import open_vault
with open_vault(read_only=True) as c:
    of = {"p": sys.argv[1]}
    counted = "SELECT resource_type, count(*) FROM vault.current_resources WHERE person_key = $p GROUP BY ALL"
    current = c.execute(counted, of)
    print(json.dumps([dict(current.fetchall()),
        c.execute("SELECT count(*) FROM vault.quarantine WHERE person_key = $p", of).fetchone()[0]]))
"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Installation:
    """An installation after a night with three people."""
    made: Installation = new_installation(tmp_path_factory.mktemp("night") / "home")
    done = made.run("nightly", "--people", "3", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@pytest.fixture(scope="module")
def person(night: Installation) -> str:
    """The one with the most records."""
    [most] = night.rows("SELECT person_key FROM vitals GROUP BY ALL ORDER BY count(*) DESC LIMIT 1")
    return str(most["person_key"])


@pytest.fixture(scope="module")
def taken(night: Installation, person: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ZIP of everything."""
    out = tmp_path_factory.mktemp("out")
    done = night.run("export", person, "--out", str(out / "mine"))
    assert done.returncode == 0, done.stderr
    [file] = (out / "mine").iterdir()
    assert str(file) in done.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    return file


@pytest.fixture(scope="module")
def inside(taken: Path) -> dict[str, bytes]:
    """Every file in it by its name."""
    with zipfile.ZipFile(taken) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`charthouse verify` of somebody who has no installation."""
    env = {"PATH": os.environ["PATH"], "CHARTHOUSE_HOME": "/nonexistent/home", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "charthouse", "verify", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def python(night: Installation, code: str, *arguments: str) -> str:
    """What a program of the installation prints."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.check_output(command, cwd=ROOT, env=night.environment(), text=True)


def test_every_line_is_what_the_provider_served(night: Installation, inside: dict[str, bytes]) -> None:
    [store] = (night.home / "sandbox").glob("*.sqlite")
    with sqlite3.connect(store) as served:
        bodies = {bytes(body) for (body,) in served.execute("SELECT CAST(body AS BLOB) FROM body")}
    lines = [line for name, text in inside.items() if name.startswith("fhir/") and name.endswith(".ndjson")
             for line in text.split(b"\n")[:-1]]  # fmt: skip
    lines += inside.get("quarantine/records.ndjson", b"").split(b"\n")[:-1]
    assert len(lines) > 100
    assert set(lines) <= bodies


def test_everything_of_the_vault_and_of_the_tables_is_in_it(
    night: Installation, person: str, inside: dict[str, bytes]
) -> None:
    current, quarantined = json.loads(python(night, _COUNTS, person))
    found = {
        name.split("/")[1].removesuffix(".ndjson"): text.count(b"\n")
        for name, text in inside.items()
        if re.fullmatch(r"fhir/[A-Z]\w+\.ndjson", name)
    }
    assert found == current
    assert inside.get("quarantine/records.ndjson", b"").count(b"\n") == quarantined
    sources = list(csv.DictReader(io.StringIO(inside["fhir/sources.csv"].decode("utf-8-sig"))))
    assert len(sources) == sum(current.values())
    for row in sources[::17]:
        line = inside[row["file"]].split(b"\n")[int(row["line"]) - 1]
        assert sha256(line).hexdigest() == row["sha256"], "sources.csv says which line it is"
        assert json.loads(line)["id"] == row["id"]
    for table in ("lab_results", "vitals", "medications", "visits", "vaccines"):
        rows = night.rows(f"SELECT count(*) AS n FROM {table} WHERE person_key = '{person}'")[0]["n"]
        read = list(csv.DictReader(io.StringIO(inside[f"tables/{table}.csv"].decode("utf-8-sig"))))
        parquet = pq.read_table(io.BytesIO(inside[f"tables/{table}.parquet"]))
        assert len(read) == parquet.num_rows == rows
        assert set(parquet.column("row_key").to_pylist()) == {row["row_key"] for row in read}
        pages = [text for name, text in inside.items() if re.fullmatch(rf"pages/{table}(-\d+)?\.html", name)]
        assert sum(page.count(b"data-row>") for page in pages) == rows
    assert b"## lab_results" in inside["tables/dictionary.md"]


def test_the_account_is_told_without_secrets(inside: dict[str, bytes], night: Installation, person: str) -> None:
    said = {name.split("/")[1]: json.loads(text) for name, text in inside.items() if name.startswith("account/")}
    assert said["person.json"]["person_key"] == person
    [link] = said["links.json"]
    assert {event["to_state"] for event in link["events"] if event["field"] == "status"} >= {"pending", "confirmed"}
    assert link["received"]
    assert link["nights"]
    assert [notice["kind"] for notice in said["notices.json"]] == ["confirmed"]
    assert {event["action"] for event in said["audit.json"]} >= {"export.asked"}
    assert said["requests.json"][0]["status"] == "running"
    everything = b"".join(text for name, text in inside.items() if name.startswith("account/"))
    assert not re.search(rb'sealed|_hash"|"salt|_digest"', everything)


def test_the_summary_is_an_ips_document(inside: dict[str, bytes]) -> None:
    said = json.loads(inside["ips.json"])
    Bundle.model_validate(said)
    composition = said["entry"][0]["resource"]
    assert said["type"] == "document"
    assert composition["type"]["coding"][0]["code"] == "60591-5"
    codes = {section["code"]["coding"][0]["code"]: section for section in composition["section"]}
    assert {"11450-4", "48765-2", "10160-0", "11369-6", "30954-2", "8716-3"} <= codes.keys()
    assert all(("entry" in section) != ("emptyReason" in section) for section in codes.values())
    urls = [entry["fullUrl"] for entry in said["entry"]]
    assert len(urls) == len(set(urls))
    referred = set(re.findall(r'"reference":\s*"([^"#][^"]*)"', inside["ips.json"].decode()))
    assert referred <= set(urls), "each entry is resolvable"
    resources = {entry["fullUrl"]: entry["resource"] for entry in said["entry"]}
    social = [resources[entry["reference"]] for entry in codes["29762-2"]["entry"]]
    of_smoking = [each for each in social if any(coding["code"] == "72166-2" for coding in each["code"]["coding"])]
    assert len(of_smoking) == 1, "the profile of the Composition permits one smoking status"


def test_a_check_needs_the_public_key_alone(taken: Path, tmp_path: Path, inside: dict[str, bytes]) -> None:
    done = verify(taken)
    assert done.returncode == 0, done.stderr
    assert "whole" in done.stdout
    keys = tmp_path / "keys.json"
    keys.write_bytes(inside["keys.json"])
    assert verify(taken, "--keys", keys).returncode == 0
    folder = tmp_path / "unpacked"
    shutil.unpack_archive(taken, folder)
    assert verify(folder).returncode == 0
    other = json.loads(inside["keys.json"])
    other["keys"][0]["x"] = other["keys"][0]["x"][::-1]
    keys.write_text(json.dumps(other))
    assert "CH934" in verify(taken, "--keys", keys).stderr
    keys.write_text("no keys")
    assert "CH939" in verify(taken, "--keys", keys).stderr


def test_what_was_changed_is_named(taken: Path, tmp_path: Path, inside: dict[str, bytes]) -> None:
    def written(files: dict[str, bytes]) -> Path:
        with zipfile.ZipFile(tmp_path / "changed.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return tmp_path / "changed.zip"

    flipped = bytearray(inside["fhir/Patient.ndjson"])
    flipped[len(flipped) // 2] ^= 1
    done = verify(written(inside | {"fhir/Patient.ndjson": bytes(flipped)}))
    assert done.returncode == 1
    assert re.findall(r"CH\d+.*", done.stderr) == ["CH935 A file was changed: 'fhir/Patient.ndjson'"]
    done = verify(written({name: text for name, text in inside.items() if name != "pages/vitals.html"}))
    assert (done.returncode, "CH936 A file is missing: 'pages/vitals.html'" in done.stderr) == (1, True)
    done = verify(written(inside | {"pages/evil.html": b"<script>1</script>"}))
    assert (done.returncode, "CH937 A file was added: 'pages/evil.html'" in done.stderr) == (1, True)
    shorter = inside["manifest.json"].replace(b'"path":"README.txt"', b'"path":"README.md"')
    done = verify(written(inside | {"manifest.json": shorter}))
    assert (done.returncode, "CH934" in done.stderr) == (1, True)
    done = verify(written({name: text for name, text in inside.items() if name != "manifest.jws"}))
    assert (done.returncode, "CH933" in done.stderr) == (1, True)
    content = taken.read_bytes()
    for place in (len(content) // 7, len(content) // 2, len(content) - 400):
        (tmp_path / "bit.zip").write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        done = verify(tmp_path / "bit.zip")
        assert (done.returncode, "CH93" in done.stderr, "Traceback" in done.stderr) == (1, True, False), place
    (tmp_path / "text.zip").write_text("no zip")
    assert "CH933" in verify(tmp_path / "text.zip").stderr
    assert "CH933" in verify(tmp_path / "nowhere.zip").stderr


def test_a_subset_is_a_subset(night: Installation, person: str, tmp_path: Path, inside: dict[str, bytes]) -> None:
    done = night.run("export", person, "--out", str(tmp_path), "--category", "vaccines", "--category", "medications")
    assert done.returncode == 0, done.stderr
    [file] = tmp_path.iterdir()
    assert verify(file).returncode == 0
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        types = {name.split("/")[1].partition(".")[0] for name in names if re.fullmatch(r"fhir/[A-Z].*", name)}
        assert "Immunization" in types
        assert not types & {"Observation", "Encounter", "DocumentReference"}
        assert archive.read("fhir/Immunization.ndjson") == inside["fhir/Immunization.ndjson"]
        assert "tables/vitals.csv" not in names
        assert b"vaccines" in archive.read("index.html")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nobody", "--out", "."], "CH930"),
        (["{person}", "--out", "."], "CH931"),
        (["{person}", "--out", "{tmp}", "--category", "horoscopes"], "CH930"),
        (["{person}", "--out", "{tmp}", "--since", "2026-02-30"], "CH930"),
        (["{person}", "--out", "{tmp}", "--since", "yesterday"], "CH930"),
        (["{person}", "--out", "{tmp}", "--provider", "nowhere"], "CH930"),
    ],
)
def test_bad_input_is_told(night: Installation, person: str, tmp_path: Path, arguments: list[str], code: str) -> None:
    given = [each.format(person=person, tmp=tmp_path) for each in arguments]
    if code == "CH931":
        (tmp_path / "file").write_text("")
        given[-1] = str(tmp_path / "file")
    done = night.run("export", *given)
    assert (done.returncode, done.stderr.startswith(code)) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_the_dag_works_off_requests_and_tells(night: Installation, person: str) -> None:
    ask = (
        "import sys\nfrom charthouse.privacy import requests\nfrom charthouse.state import session\n"
        "with session() as s: print(requests.ask_export(s, sys.argv[1], {'categories': ['visits']}).request_id)"
    )
    request_id = python(night, ask, person).strip()
    done = night.run("airflow", "dags", "test", "run_exports")
    assert done.returncode == 0, done.stdout[-3000:]
    with sqlite3.connect(night.home / "state.sqlite") as state:
        assert state.execute("SELECT status FROM privacy_request WHERE id = ?", [request_id]).fetchone() == ("done",)
        told = "SELECT count(*) FROM notice WHERE dedupe_key = ?"
        assert state.execute(told, [f"export_ready:{request_id}"]).fetchone() == (1,)
    parts = list((night.home / "exports" / request_id).iterdir())
    assert sorted(part.suffix for part in parts) == [".age", ".age"]
    assert all(part.read_bytes().startswith(b"age-encryption.org/v1") for part in parts)
