"""`charthouse explain`: from a file, from standard input, from the vault, and of rubbish."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from charthouse.errors import LakeError, SetupError
from charthouse.lake import vault
from charthouse.lake.session import open_vault
from charthouse.linking import links, people, providers
from charthouse.operating.cli import app
from charthouse.operating.home import prepare
from charthouse.privacy.audit_trail import events
from charthouse.settings import get_settings
from charthouse.state import session
from transforms.checking.batches import CHECKED_SCHEMA, QUARANTINED_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAB: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "result-1",
    "status": "final",
    "category": [{"text": "Lab"}],
    "code": {"text": "CANARY"},
    "subject": {"reference": "Patient/p"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, made only where a test prepares it."""
    monkeypatch.setenv("CHARTHOUSE_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield tmp_path
    from charthouse.state.engine import engine

    engine().dispose()
    get_settings.cache_clear()


def said(*arguments: str, sent: bytes | None = None) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["explain", *arguments, "--json"], input=sent, catch_exceptions=False)
    assert done.exit_code == 0
    assert "CANARY" not in done.output
    told: dict[str, Any] = json.loads(done.output)
    return told


def test_of_a_file_and_of_what_is_sent(home: Path) -> None:
    file = home / "lab.json"
    file.write_text(json.dumps(LAB | {"status": "CANARY"}))
    told = said(str(file))
    assert (told["category"], told["rule"], told["tables"]) == ("lab_results", "category/laboratory", ["lab_results"])
    assert told["remarks"] == ["CH225 Observation.status"]
    assert told["findings"][0] == "Observation.status: A code is outside the required value set"
    on_phone = said("-", "--route", "phone", sent=file.read_bytes())
    assert (on_phone["category"], on_phone["rule"]) == (None, "phone/observation")
    shown = CliRunner().invoke(app, ["explain", str(file)]).output
    assert "lab_results" in shown
    assert not (home / "home").exists(), "to look at a file makes no home"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[1]",
        b'"CANARY"',
        b'{"resourceType": "CANARY"}',
        b'{"resourceType": {"a": 1}, "id": 5}',
        b'{"resourceType": "Observation", "id": "x", "code": "CANARY", "category": {"coding": {"code": []}}}',
        b'{"resourceType": "Observation", "id": "x", "category": [[[[1]]], null, {"coding": [null, 1]}]}',
        b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "name": 1e999}}]}',
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
    ],
)
def test_of_rubbish(home: Path, rubbish: bytes) -> None:
    told = said("-", sent=rubbish)
    assert told["category"] is None
    assert told["findings"]


@pytest.mark.parametrize("name", ["nowhere.json", ".", "a\0b", "00000000/Observation/x"])
def test_of_what_cannot_be_read(home: Path, name: str) -> None:
    done = CliRunner().invoke(app, ["explain", name])
    assert isinstance(done.exception, SetupError)
    assert done.exception.code == "CH013"


def test_of_the_vault_which_is_noted_first(home: Path) -> None:
    prepare()
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url="https://clinic.example/fhir")
        person = people.create_person(state).person_key
        link = links.start_link(state, person, "clinic", "direct", patient_id="p").id
    row = {"person_key": person, "link_id": link, "content_hash": "h", "last_updated": None}
    accepted = row | {"resource_type": "Observation", "resource_id": "result-1", "resource": json.dumps(LAB)}
    refused = row | {"resource_type": "Observation", "resource_id": "result-2", "resource": b'{"id": "result-2"}'}
    pq.write_table(
        pa.Table.from_pylist([accepted | {"remarks": ["CH225 Observation.status"]}], schema=CHECKED_SCHEMA),
        home / "checked.parquet",
    )
    pq.write_table(
        pa.Table.from_pylist([refused | {"rules": ["CH203"]}], schema=QUARANTINED_SCHEMA), home / "refused.parquet"
    )
    with open_vault() as connection:
        vault.append(connection, home / "checked.parquet", home / "refused.parquet", "run")
    told = said(f"{link}/Observation/result-1")
    assert (told["route"], told["tables"], told["remarks"]) == ("direct", ["lab_results"], ["CH225 Observation.status"])
    stopped = said(f"{link}/Observation/result-2")
    assert (stopped["quarantined"], stopped["tables"], stopped["remarks"]) == (True, [], ["CH203"])
    assert [event["subject_id"] for event in events(action="records.read")] == [link, link]

    for missing in (f"{link}/Observation/none", f"{person}/Observation/result-1", f"{link}/Patient/result-1"):
        done = CliRunner().invoke(app, ["explain", missing])
        assert isinstance(done.exception, LakeError)
        assert done.exception.code == "CH507"
