"""A home with one link to a small provider, and nights walked through step by step, as the DAG does."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url, text

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import credentials, links, people, providers
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
from tests.conftest import Installation
from tests.partners.odd_server import FhirServer
from transforms.auditing import audit_staged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENT = "canary-patient"
LABORATORY = {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}


def observation(number: int) -> dict[str, Any]:
    """A laboratory result that was updated one minute after the one before."""
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"lastUpdated": f"2024-05-01T10:{number:02d}:00Z"},
        "status": "final",
        "category": [{"coding": [LABORATORY]}],
        "subject": {"reference": f"Patient/{PATIENT}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]},
        "effectiveDateTime": f"2024-01-{number + 1:02d}",
        "valueQuantity": {"value": 90 + number, "unit": "mg/dL"},
    }


@dataclass
class House:
    """The home, the provider, and what an operator does with them."""

    home: Path
    provider: FhirServer
    stores: dict[str, str]
    nights: int = 0
    asides: list[str] = field(default_factory=list)

    def charthouse(self, *arguments: str) -> Any:
        """Run `charthouse …` in a process of its own."""
        return Installation(self.home, self.stores).run(*arguments)

    def plan(self) -> list[str]:
        """Begin a night. Returns its batches."""
        self.nights += 1
        return plan_run([], airflow_run_id=f"night-{self.nights}")

    def build(self) -> None:
        """Build and audit what the night stored."""
        for group in plan_build(f"night-{self.nights}"):
            build_group(group)
        audit_run(f"night-{self.nights}")

    def night(self) -> dict[str, Any]:
        """A whole night. Returns what the tables and the vault then hold."""
        for name in self.plan():
            store_batch(check_batch(collect_batch(name)))
        self.build()
        publish_run(f"night-{self.nights}")
        finish_run(f"night-{self.nights}")
        return self.held()

    def held(self) -> dict[str, Any]:
        """The rows of the laboratory results, and the current resources of the vault."""
        with open_records(read_only=True) as connection:
            rows = connection.execute("SELECT * FROM records.lab_results ORDER BY row_key").fetchall()
        with open_vault(read_only=True) as connection:
            resources = connection.execute(
                "SELECT resource_type, resource_id, content_hash FROM vault.current_resources ORDER BY ALL"
            ).fetchall()
        return {"rows": rows, "resources": resources}

    def lose(self, lake: str) -> None:
        """Take a lake away, its catalog and its files, as a lost disk does."""
        self._catalog(f"DROP DATABASE IF EXISTS {self._name(lake)} WITH (FORCE)", f"CREATE DATABASE {self._name(lake)}")
        shutil.rmtree(self.home / lake)

    def back_up(self, lake: str) -> None:
        """Put a copy of a lake aside."""
        self._catalog(f"CREATE DATABASE {self._name(lake)}_aside TEMPLATE {self._name(lake)}")
        if self.stores:
            self.asides.append(f"{self._name(lake)}_aside")
        shutil.copytree(self.home / lake, self.home.parent / f"{lake}-aside")

    def restore(self, lake: str) -> None:
        """Put the copy back in place of the lake."""
        self.lose(lake)
        name = self._name(lake)
        self._catalog(f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {name}_aside")
        shutil.copytree(self.home.parent / f"{lake}-aside", self.home / lake)

    def _name(self, lake: str) -> str:
        return self.stores.get(f"CHARTHOUSE_{lake.upper()}_CATALOG", "").rpartition("dbname=")[2]

    def _catalog(self, *statements: str) -> None:
        if not self.stores:
            return  # the catalog is a file beside the data
        made = create_engine(make_url(self.stores["CHARTHOUSE_STATE_URL"]), isolation_level="AUTOCOMMIT")
        with made.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        made.dispose()

    def clean(self) -> None:
        """Drop the copies."""
        self._catalog(*(f"DROP DATABASE {name} WITH (FORCE)" for name in self.asides))


class Tokens:
    """What the person signed in with."""

    access_token, refresh_token, expires_at, scope, patient = "good", None, None, None, None
    refresh_expires_at = None


BOTH = pytest.mark.parametrize("house", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
"""For a test that is run on SQLite and on PostgreSQL."""


@pytest.fixture
def house(
    request: pytest.FixtureRequest, prepared_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    """One person linked to a provider of three laboratory results.

    The audit is the real one, but here: in a process of its own, each night would load Great Expectations anew.
    """
    monkeypatch.setattr(
        "charthouse.sync.auditor.audit", lambda rows, broken: [asdict(audit) for audit in audit_staged(rows, broken)]
    )
    home = tmp_path / "home"
    monkeypatch.setenv("CHARTHOUSE_HOME", str(home))
    stores: dict[str, str] = {}
    if getattr(request, "param", "") == "postgres":
        stores = request.getfixturevalue("home_on_postgres")
    else:
        shutil.copytree(prepared_home, home)
    for name, address in stores.items():
        monkeypatch.setenv(name, address)
    get_settings.cache_clear()
    resources = [{"resourceType": "Patient", "id": PATIENT}, *(observation(number) for number in range(3))]
    with FhirServer(resources) as provider:
        with session() as state:
            providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url=provider.base)
            person = people.create_person(state)
            link = links.start_link(state, person.person_key, "clinic", "direct", patient_id=PATIENT)
            credentials.store_tokens(state, link.id, Tokens())
        made = House(home, provider, stores)
        yield made
    from charthouse.state.engine import engine

    made.clean()
    engine().dispose()
    get_settings.cache_clear()
