"""Fetching from the project's own sandbox: the other side of every standard here, written by someone else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from charthouse.errors import FetchError
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.sync import landing
from charthouse.sync.fetch import fetch_batch
from charthouse.sync.link_job import LinkJob
from transforms.bundles import read_page, resource_stub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charthouse.partners.token_endpoint import TokenSet
    from charthouse.settings import Settings
    from charthouse.sync.landing import Manifest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = Client("charthouse-test")
REDIRECT = "http://127.0.0.1/callback"


def person(name: str) -> list[dict[str, Any]]:
    """The records of one person: enough Observations for three pages of fifty."""
    me = {"reference": f"Patient/{name}"}
    category = [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "exam"}]}]
    code = {"text": "a"}
    return [
        {"resourceType": "Patient", "id": name},
        *(
            {
                "resourceType": "Observation",
                "id": f"{name}-o{number}",
                # A writer's own stamps: an hour apart, so that a watermark tells old from new.
                "meta": {"lastUpdated": f"2024-05-{1 + number // 24:02d}T{number % 24:02d}:00:00Z"},
                "status": "final",
                "category": category,
                "code": code,
                "subject": me,
                "performer": [{"reference": "Practitioner/doctor"}],
            }
            for number in range(120)
        ),
        {
            "resourceType": "MedicationRequest",
            "id": f"{name}-m",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": "Medication/drug"},
            "subject": me,
        },
    ]


SHARED: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "doctor"},
    {"resourceType": "Practitioner", "id": "stranger"},
    {"resourceType": "Medication", "id": "drug", "code": {"text": "a"}},
    {"resourceType": "Questionnaire", "id": "q", "status": "active"},
]


@dataclass
class Sandbox:
    """A running sandbox with one provider."""

    base: str

    def fault(self, *rules: dict[str, Any]) -> None:
        """Let it misbehave, or no longer."""
        address = self.base.removesuffix("/fhir") + "/sandbox/faults"
        requests.delete(address, timeout=10).raise_for_status()
        requests.post(address, json=list(rules), timeout=10).raise_for_status()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The sandbox as its own process."""
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "source").mkdir()
    lines = [json.dumps(resource) for resource in [*person("ann"), *person("bob"), *SHARED]]
    (folder / "source" / "all.ndjson").write_text("\n".join(lines))
    command = [sys.executable, "-m", "sandbox"]
    load = ["load", "--source", str(folder / "source"), "--store", str(folder / "store.sqlite")]
    subprocess.run([*command, *load], cwd=ROOT, check=True, capture_output=True, timeout=60)
    serve = ["serve", "--port", "0", "--provider", f"clinic={folder / 'store.sqlite'}"]
    with subprocess.Popen([*command, *serve], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        running = Sandbox(said["providers"]["clinic"])
        yield running
        verbs = requests.get(running.base.removesuffix("/fhir") + "/sandbox/requests", timeout=10).json()["verbs"]
        process.terminate()
        assert set(verbs) == {"GET"}, "whatever went wrong in any test here, the FHIR base was only read"


def sign_in(sandbox: Sandbox, name: str, scope: str | None = None) -> TokenSet:
    return smart.sign_in_unattended(sandbox.base, name, CLIENT, REDIRECT, scope)


def fetch(
    sandbox: Sandbox, tokens: TokenSet, folder: Path, settings: Settings, watermarks: dict[str, str] | None = None
) -> Manifest:
    """Fetch one link with tokens that are renewed when they are refused."""
    held = [tokens]

    def token(_: str, renew: bool) -> str:
        if renew:
            assert held[0].refresh_token is not None
            held[0] = smart.refresh(sandbox.base, held[0].refresh_token, CLIENT)
        return held[0].access_token

    assert tokens.patient is not None
    job = LinkJob("link", sandbox.base, tokens.patient, tokens.scope, watermarks or {})
    fetch_batch([job], folder, token, settings.model_copy(update={"page_size": 50}))
    manifest = landing.read_manifest(folder / "link")
    assert manifest is not None
    return manifest


def landed(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for file in landing.page_files(folder / "link"):
        for body in landing.read_pages(file):
            for entry in read_page(body).entries:
                kind, name, _ = resource_stub(entry.raw)
                found[f"{kind}/{name}"] += 1
    return found


def test_one_person_and_nobody_else(sandbox: Sandbox, tmp_path: Path, quick: Settings) -> None:
    manifest = fetch(sandbox, sign_in(sandbox, "ann"), tmp_path, quick)
    expected = [f"{r['resourceType']}/{r['id']}" for r in person("ann")]
    assert landed(tmp_path) == Counter([*expected, "Practitioner/doctor", "Medication/drug"])
    assert manifest.status == "complete"
    assert manifest.not_requested["Questionnaire"] == "not_in_compartment"
    assert "Medication?_id" not in {query.label for query in manifest.queries}, "it came as an include"


def test_the_second_night_is_incremental(sandbox: Sandbox, tmp_path: Path, quick: Settings) -> None:
    tokens = sign_in(sandbox, "bob")
    first = fetch(sandbox, tokens, tmp_path / "first", quick)
    second = fetch(sandbox, tokens, tmp_path / "second", quick, first.watermarks)
    records = {query.label: query for query in second.queries}
    assert (records["Observation"].mode, records["Observation"].resources) == ("incremental", 1)
    assert records["Observation"].watermark == "2024-05-05T23:00:00Z"


def test_a_person_who_grants_less(sandbox: Sandbox, tmp_path: Path, quick: Settings) -> None:
    tokens = sign_in(sandbox, "ann", "launch/patient patient/Patient.rs patient/MedicationRequest.rs")
    manifest = fetch(sandbox, tokens, tmp_path, quick)
    assert {name.partition("/")[0] for name in landed(tmp_path)} <= {"Patient", "MedicationRequest", "Medication"}
    assert manifest.not_requested["Observation"] == "not_permitted"
    assert manifest.status == "complete"


@pytest.mark.parametrize(
    ("rule", "code", "kept"),
    [
        ({"match": {"type": "Observation"}, "act": {"status": 500}}, "CH109", 0),
        ({"match": {"type": "Observation", "page": 2}, "act": {"status": 500}}, "CH109", 50),
        ({"match": {"type": "Observation", "page": 2}, "act": {"body": "html"}}, "CH105", 50),
        ({"match": {"type": "Observation", "page": 3}, "act": {"body": "invalid_json"}}, "CH106", 100),
        ({"match": {"type": "Observation", "page": 2}, "act": {"body": "loop"}}, "CH108", 100),
        ({"match": {"type": "Observation", "page": 2}, "act": {"hang_up": True}}, "CH101", 50),
        ({"match": {"type": "Observation"}, "act": {"status": 403}}, "CH103", 0),
        ({"match": {"type": "Observation"}, "act": {"status": 404}}, "CH104", 0),
        ({"match": {"type": "Observation", "page": 2}, "act": {"status": 429}, "times": 1}, None, 120),
        ({"match": {"type": "Observation", "page": 2}, "act": {"retry_after": 1}, "times": 1}, None, 120),
        ({"match": {"type": "Observation", "page": 2}, "act": {"hang_up": True}, "times": 1}, None, 120),
        ({"match": {"type": "Observation", "page": 2}, "act": {"expire_token": True}, "times": 1}, None, 120),
        ({"match": {"type": "Observation", "page": 2}, "act": {"body": "no_entry"}}, "CH119", 70),
        ({"match": {"type": "Observation", "page": 2}, "act": {"body": "truncate"}}, "CH106", 50),
    ],
)
def test_every_fault_costs_as_little_as_it_can(
    sandbox: Sandbox, tmp_path: Path, quick: Settings, rule: dict[str, Any], code: str | None, kept: int
) -> None:
    tokens = sign_in(sandbox, "ann")
    sandbox.fault(rule)
    try:
        manifest = fetch(sandbox, tokens, tmp_path, quick)
    finally:
        sandbox.fault()
    record = next(query for query in manifest.queries if query.label == "Observation")
    assert (record.code, record.resources) == (code, kept)
    assert manifest.status == ("complete" if code in {None, "CH103"} else "partial")
    assert landed(tmp_path)["MedicationRequest/ann-m"] == 1


def test_the_sandbox_refuses_a_token_that_was_revoked(sandbox: Sandbox, tmp_path: Path, quick: Settings) -> None:
    tokens = sign_in(sandbox, "ann")
    assert tokens.refresh_token is not None
    renewed = smart.refresh(sandbox.base, tokens.refresh_token, CLIENT)
    assert renewed.refresh_token not in {None, tokens.refresh_token}
    assert renewed.refresh_token is not None
    assert smart.revoke(sandbox.base, renewed.refresh_token, CLIENT)
    with pytest.raises(FetchError, match="CH113"):
        smart.refresh(sandbox.base, renewed.refresh_token, CLIENT)

    def token(_: str, renew: bool) -> str:
        if renew:
            smart.refresh(sandbox.base, renewed.refresh_token or "", CLIENT)
        return renewed.access_token

    fetch_batch([LinkJob("link", sandbox.base, "ann", tokens.scope)], tmp_path, token, quick)
    manifest = landing.read_manifest(tmp_path / "link")
    assert manifest is not None
    assert (manifest.status, [outcome.code for outcome in manifest.outcomes]) == ("failed", ["CH113"])
