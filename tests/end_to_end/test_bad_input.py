"""One night against a provider that misbehaves in every way.

Each fault ends as a numbered outcome on the smallest unit, the rest goes through, the run says partial, and nothing
accepted is lost.
"""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING, Any

import pytest
import requests

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import credentials, links, people, providers
from charthouse.operating import airflow_process, report, sandbox_process
from charthouse.state import session
from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from charthouse.sync.runs import RunReport

OBSERVATIONS = 12
FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    # patient: (which requests, what happens)
    "server-error": ({"type": "Condition"}, {"status": 500}),
    "html": ({"type": "Condition"}, {"body": "html"}),
    "invalid-json": ({"type": "Condition"}, {"body": "invalid_json"}),
    "truncated": ({"type": "Condition"}, {"body": "truncate"}),
    "no-entry": ({"type": "Observation", "page": 2}, {"body": "no_entry"}),
    "no-id": ({"type": "Condition"}, {"body": "no_id"}),
    "stranger": ({"type": "Condition"}, {"body": "other_patient"}),
    "loop": ({"type": "Observation", "page": 2}, {"body": "loop"}),
    "not-found": ({"type": "Condition"}, {"status": 404}),
    "forbidden": ({"type": "Condition"}, {"status": 403}),
    "hang-up": ({"type": "Condition"}, {"hang_up": True}),
    "late-error": ({"type": "Observation", "page": 3}, {"status": 500}),
    "unauthorised": ({}, {"status": 401}),
}
BUSY = "busy"  # answers 429 twice, then goes on: no outcome at all
FINE = "fine"


def write_source(folder: Path) -> None:
    """A folder of NDJSON: for each patient a condition and some observations."""
    folder.mkdir()
    names = [*FAULTS, BUSY, FINE]
    with (folder / "all.ndjson").open("w") as out:
        for name in names:
            resources: list[dict[str, Any]] = [
                {"resourceType": "Patient", "id": name, "gender": "unknown", "birthDate": "1980-01-01"},
                {
                    "resourceType": "Condition",
                    "id": f"{name}-c",
                    "subject": {"reference": f"Patient/{name}"},
                    "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
                },
            ]
            resources += [
                {
                    "resourceType": "Observation",
                    "id": f"{name}-o{number}",
                    "status": "final",
                    "category": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                    "code": "laboratory",
                                }
                            ]
                        }
                    ],
                    "subject": {"reference": f"Patient/{name}"},
                    "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
                    "effectiveDateTime": f"2024-01-{number + 1:02d}",
                    "valueQuantity": {"value": 90 + number, "unit": "mg/dL"},
                }
                for number in range(OBSERVATIONS)
            ]
            out.writelines(json.dumps(resource) + "\n" for resource in resources)


@pytest.fixture(scope="module")
def night(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory, migrated_airflow: Callable[[Path], None]
) -> Iterator[RunReport]:
    """The night, run once: every fault belongs to a patient of its own."""
    from charthouse.settings import get_settings

    folder = tmp_path_factory.mktemp("bad-input")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHARTHOUSE_HOME", str(folder / "home"))
        patch.setenv("CHARTHOUSE_PAGE_SIZE", "5")
        patch.setenv("CHARTHOUSE_REQUEST_TRIES", "2")
        patch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.05")
        get_settings.cache_clear()
        shutil.copytree(prepared_home, folder / "home")
        write_source(folder / "source")
        sandbox_process.load(folder / "source", "odd")
        log = folder / "home" / "logs" / "night.log"
        with sandbox_process.serving(["odd"]) as sandbox, OddServer(guarded) as guard:
            sandbox_process.link_everyone(sandbox, "odd")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                link_to("gone", f"http://127.0.0.1:{probe.getsockname()[1]}/fhir", "nobody")
            for patient in ("revoked", "our-client"):
                link_to(patient, f"{guard.url}/{patient}/fhir", patient)
            rules = [{"match": {"patient": name, **match}, "act": act} for name, (match, act) in FAULTS.items()]
            rules.append({"match": {"patient": BUSY, "type": "Condition"}, "times": 1, "act": {"retry_after": 0}})
            requests.post(f"{sandbox.url}/odd/sandbox/faults", json=rules, timeout=10).raise_for_status()
            migrated_airflow(folder / "home")
            with log.open("ab") as out:
                assert airflow_process.dag_test("sync_records", {}, out).wait() == 0, log.read_text()[-3000:]
        yield report.latest()
        get_settings.cache_clear()


def guarded(asked: Asked) -> Reply:
    """A provider that refuses every token, and then the renewal: the person's grant, or us."""
    if asked.path.endswith("/.well-known/smart-configuration"):
        return as_json({"authorization_endpoint": "../authorize", "token_endpoint": "../token"})
    if asked.path == "/revoked/token":
        return as_json({"error": "invalid_grant"}, 400)
    return as_json({"error": "invalid_client"}, 401)


def link_to(slug: str, base: str, patient_id: str) -> None:
    """A link to a provider that is not the sandbox."""

    class Tokens:
        access_token, refresh_token, expires_at, scope, patient = "a", "r", None, "patient/*.rs", patient_id
        refresh_expires_at = None

    with session() as state:
        providers.register_provider(state, slug=slug, name=slug, fhir_base_url=base)
        link = links.start_link(state, people.create_person(state).person_key, slug, "direct", patient_id=patient_id)
        credentials.store_tokens(state, link.id, Tokens())


def link_id_of(patient: str) -> str:
    with session() as state:
        found = [
            link.link_id
            for link in links.work_of(state, [view.link_id for view in links.list_links(state)])
            if link.patient_id == patient
        ]
    return found[0]


def outcomes_of(night: RunReport, patient: str) -> set[tuple[str, str, str | None]]:
    from sqlalchemy import select

    from charthouse.state.ledger import ItemOutcome

    with session() as state:
        rows = state.scalars(
            select(ItemOutcome).where(ItemOutcome.run_id == night.run_id, ItemOutcome.link_id == link_id_of(patient))
        )
        return {(row.code, row.unit, row.resource_type) for row in rows}


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ("server-error", ("CH109", "type", "Condition")),
        ("html", ("CH105", "type", "Condition")),
        ("invalid-json", ("CH106", "type", "Condition")),
        ("truncated", ("CH106", "type", "Condition")),
        ("no-entry", ("CH119", "type", "Observation")),
        ("no-id", ("CH205", "resource", "Condition")),
        ("loop", ("CH108", "type", "Observation")),
        ("not-found", ("CH104", "type", "Condition")),
        ("forbidden", ("CH103", "type", "Condition")),
        ("hang-up", ("CH101", "type", "Condition")),
        ("late-error", ("CH109", "type", "Observation")),
        ("unauthorised", ("CH102", "link", None)),
        ("nobody", ("CH101", "link", None)),
        ("revoked", ("CH113", "link", None)),
        ("our-client", ("CH123", "link", None)),
    ],
)
def test_a_fault_is_one_outcome_on_the_smallest_unit(
    night: RunReport, patient: str, expected: tuple[str, str, str | None]
) -> None:
    assert outcomes_of(night, patient) == {expected}


def test_another_patients_resource_is_quarantined(night: RunReport) -> None:
    [(code, unit, kind)] = outcomes_of(night, "stranger")
    assert (code, unit, kind) == ("CH207", "resource", "Condition")
    with open_vault(read_only=True) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM vault.resources WHERE link_id = ? AND contains(resource, 'Patient/') "
            "AND NOT contains(resource, 'Patient/stranger')",
            [link_id_of("stranger")],
        ).fetchone()
    assert kept == (0,)


def test_the_run_is_partial_and_the_rest_went_through(night: RunReport) -> None:
    assert night.status == "partial"
    assert outcomes_of(night, FINE) == set()
    assert outcomes_of(night, BUSY) == set()
    spared = [name for name, (match, _) in FAULTS.items() if match.get("type") == "Condition"] + [FINE, BUSY]
    with open_records(read_only=True) as connection:
        counted = dict(connection.execute("SELECT link_id, count(*) FROM records.lab_results GROUP BY ALL").fetchall())
    assert {counted[link_id_of(name)] for name in spared} == {OBSERVATIONS}


def test_pages_before_the_fault_are_kept(night: RunReport) -> None:
    with open_records(read_only=True) as connection:
        counted = dict(connection.execute("SELECT link_id, count(*) FROM records.lab_results GROUP BY ALL").fetchall())
    assert counted[link_id_of("loop")] >= 5
    assert counted[link_id_of("late-error")] == 10


def test_links_say_what_became_of_them(night: RunReport) -> None:
    with session() as state:
        views = {view.link_id: view for view in links.list_links(state)}
    assert views[link_id_of("unauthorised")].status == "expired"
    assert views[link_id_of("revoked")].status == "expired"
    for patient in ("nobody", "our-client"):
        assert views[link_id_of(patient)].sync_status == "failed"
        assert views[link_id_of(patient)].status == "pending", "it is no fault of the person's"
    assert views[link_id_of(FINE)].sync_status == "complete"
    assert views[link_id_of(FINE)].status == "confirmed"
    assert views[link_id_of("loop")].sync_status == "partial"
