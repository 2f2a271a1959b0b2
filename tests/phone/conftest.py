"""A person with a phone, the REST API in front of a home, and nights walked through step by step."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.api import tokens
from charthouse.errors import LakeError
from charthouse.lake.session import open_records, open_vault
from charthouse.linking import consents, people
from charthouse.linking.identity import HumanName, Identity
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.sync.audit import audit_run
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.plan import plan_run
from charthouse.sync.publish import publish_run
from charthouse.sync.store import store_batch
from sandbox.phone import App
from sandbox.phone_store import DataSource, HealthConnect
from tests.api.conftest import Api, serving
from transforms.auditing import audit_staged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BORN = "1956-07-19"
BASE = "https://fhir.lakeside.example/r4"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
LOINC = "http://loinc.org"


def patient(
    name: str = "p1", *, family: str = "Quorvendish", given: str = "Zyxwalda", born: str = BORN
) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": name, "name": [{"family": family, "given": [given]}], "birthDate": born}


def vaccine(name: str, of: str = "p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Immunization",
        "id": name,
        "status": "completed",
        "vaccineCode": {"coding": [{"system": "http://hl7.org/fhir/sid/cvx", "code": "140"}]},
        "patient": {"reference": f"Patient/{of}"},
        "occurrenceDateTime": "2024-10-01",
        **more,
    }


def measured(name: str, category: str, code: str, value: float, of: str = "p1") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
        "effectiveDateTime": "2024-03-01T08:00:00Z",
        "valueQuantity": {"value": value, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL"},
    }


def standard_records() -> list[dict[str, Any]]:
    """A small chart: who it is, two vaccines, two results, a pulse."""
    return [
        patient(),
        vaccine("v1"),
        vaccine("v2"),
        measured("l1", "laboratory", "2345-7", 91),
        measured("l2", "laboratory", "2345-7", 92),
        measured("h1", "vital-signs", "8867-4", 64),
    ]


def phone_with(records: list[dict[str, Any]], **source: Any) -> tuple[HealthConnect, DataSource]:
    """Health Connect with one data source."""
    store = HealthConnect()
    made = store.add_source(DataSource("com.example.portal", BASE, "Lakeside", **source))
    for record in records:
        assert store.upsert(made.id, json.dumps(record)) is not None, record["id"]
    return store, made


class House:
    """The home, its API, and what people and operators do."""

    def __init__(self, home: Path, api: Api) -> None:
        self.home, self.api, self.nights = home, api, 0

    def person(self, *, born: str = BORN, family: str = "Quorvendish", agrees: bool = True, android: int = 15) -> str:
        identity = Identity((HumanName(family=family, given=("Zyxwalda",)),), date.fromisoformat(born))
        with session() as state:
            key = people.create_person(state, identity=identity, android_version=android).person_key
            if agrees:
                consents.give(state, key, consents.SYNC)
        return key

    def app(self, person: str, store: HealthConnect, *, device: str | None = None, url: str | None = None) -> App:
        return App(
            url or self.api.url, person, lambda: tokens.issue(person=person), store, device=device or str(uuid.uuid4())
        )

    def night(self, *, tables: bool = True) -> None:
        """A whole night, as the DAG walks it; or what of it fills the vault, without the tables."""
        self.nights += 1
        run = f"night-{self.nights}"
        for name in plan_run([], airflow_run_id=run):
            store_batch(check_batch(collect_batch(name)))
        if not tables:
            with pytest.raises(LakeError, match="CH503"):
                finish_run(run)
            return
        for group in plan_build(run):
            build_group(group)
        audit_run(run)
        publish_run(run)
        finish_run(run)

    def vault(self) -> set[tuple[str, str]]:
        """Type and id of the current resources."""
        with open_vault(read_only=True) as connection:
            found = connection.execute("SELECT resource_type, resource_id FROM vault.current_resources").fetchall()
        return set(found)

    def text_of(self, kind: str, name: str) -> dict[str, Any]:
        """A current resource."""
        with open_vault(read_only=True) as connection:
            query = "SELECT resource FROM vault.current_resources WHERE resource_type = ? AND resource_id = ?"
            [(text,)] = connection.execute(query, [kind, name]).fetchall()
        return dict(json.loads(text))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with open_records(read_only=True) as connection:
            return connection.execute(query).fetchall()

    def uploads(self) -> list[Path]:
        """Files of uploads that are on disk."""
        return sorted(path for path in (self.home / "uploads").rglob("*") if path.is_file())


@pytest.fixture
def house(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(
        "charthouse.sync.auditor.audit", lambda rows, broken: [asdict(audit) for audit in audit_staged(rows, broken)]
    )
    with serving(api_limit="100000/minute") as api:
        yield House(home, api)
    from charthouse.state.engine import engine

    engine().dispose()
    get_settings.cache_clear()
