"""A sandbox that exports, a home whose people are linked there, and nights over copies of that home."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import requests
from joserfc.jwk import ECKey
from sqlalchemy import select

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.bulk_sources import group_level, set_bulk_source
from charthouse.linking.registrations import set_registration
from charthouse.partners import smart
from charthouse.partners.client import Client
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from charthouse.state.models import Watermark
from charthouse.sync import batches, landing, runs
from charthouse.sync.audit import audit_run
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.night import run_id_of
from charthouse.sync.plan import plan_run
from charthouse.sync.publish import publish_run
from charthouse.sync.store import store_batch
from transforms.auditing import audit_staged
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from charthouse.state.report import RunReport
    from charthouse.sync.landing import Manifest

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "charthouse-system"
KEY = ECKey.generate_key("P-384", private=True, parameters={"kid": "one"})
Tables = dict[str, list[str]]
Vault = set[tuple[str, str, str, str]]


@dataclass
class Sandbox:
    """A running sandbox with one provider, of which some people are linked and some are not."""

    base: str
    store: Path

    @property
    def control(self) -> str:
        """Where its operator speaks to it."""
        return self.base.removesuffix("/fhir") + "/sandbox"

    def habits(self, **changed: Any) -> None:
        """Let it export in another way; without arguments, in that of the standard, at once."""
        habits = {"working_polls": 0, "retry_seconds": 0, "resources_per_file": 40} | changed
        requests.post(
            f"{self.control}/profile", json={"name": "standard", "bulk": habits}, timeout=10
        ).raise_for_status()

    def faults(self, *rules: dict[str, Any]) -> None:
        """Let it misbehave, or no longer."""
        requests.delete(f"{self.control}/faults", timeout=10).raise_for_status()
        requests.post(f"{self.control}/faults", json=list(rules), timeout=10).raise_for_status()

    def acted(self) -> list[int]:
        """How often each fault has acted."""
        return [rule["acted"] for rule in requests.get(f"{self.control}/faults", timeout=10).json()]

    def group(self, name: str, patients: list[str]) -> None:
        """Make a group of some of its patients."""
        requests.post(f"{self.control}/groups", json={name: patients}, timeout=10).raise_for_status()

    def people(self) -> list[str]:
        """The ids of its patients."""
        return [one["patient"] for one in requests.get(f"{self.control}/people", timeout=10).json()]

    def exports(self) -> list[dict[str, Any]]:
        """The exports that it keeps."""
        return list(requests.get(f"{self.control}/exports", timeout=10).json())

    def asked(self) -> dict[str, Any]:
        """What was asked of it since this was last called."""
        return dict(requests.delete(f"{self.control}/requests", timeout=10).json())


@contextmanager
def serving(store: Path) -> Iterator[Sandbox]:
    """The sandbox as its own process, with our system client registered."""
    clients = store.with_suffix(".clients.json")
    public = KEY.as_dict(private=False) | {"alg": "ES384"}
    clients.write_text(
        json.dumps(
            [
                {"client_id": SYSTEM, "jwks": {"keys": [public]}},
                {"client_id": "charthouse-test", "redirect_uris": ["http://127.0.0.1/callback"]},
            ]
        )
    )
    command = [sys.executable, "-m", "sandbox", "serve", "--port", "0", "--provider", f"clinic={store}"]
    with subprocess.Popen(
        [*command, "--clients", str(clients)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Sandbox(said["providers"]["clinic"], store)
        process.terminate()


def register(sandbox: Sandbox) -> None:
    """Make the provider known in the home that is entered."""
    with session() as state:
        providers.register_provider(state, slug="clinic", name="Clinic", fhir_base_url=sandbox.base)


def generate(store: Path, people: int, seed: int = 11) -> None:
    """Let the sandbox make people up."""
    command = [sys.executable, "-m", "sandbox", "generate", "--people", str(people), "--seed", str(seed)]
    # Broken ones are filed under another patient than the one that they name: a search has them, an export has not.
    subprocess.run(
        [*command, "--broken-share", "0", "--store", str(store)], cwd=ROOT, check=True, capture_output=True, timeout=120
    )


@dataclass
class House:
    """A home, and its nights walked through step by step, as the DAG does."""

    home: Path
    sandbox: Sandbox
    nights: int = 0

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> House:
        """Make this home the one that the code works on."""
        monkeypatch.setenv("CHARTHOUSE_HOME", str(self.home))
        get_settings.cache_clear()
        return self

    def link(self, patients: list[str], scope: str | None = None) -> None:
        """Let people sign in at the provider."""
        client, redirect = Client("charthouse-test"), "http://127.0.0.1/callback"
        for patient in patients:
            tokens = smart.sign_in_unattended(self.sandbox.base, patient, client, redirect, scope)
            with session() as state:
                person = people.create_person(state)
                link = links.start_link(state, person.person_key, "clinic", "direct", patient_id=patient)
                credentials.store_tokens(state, link.id, tokens)

    def export(self, **options: Any) -> None:
        """Let the provider be exported, by a system client of ours with a key of its own."""
        with session() as state:
            set_registration(state, "clinic-system", SYSTEM, "private_key_jwt", json.dumps(KEY.as_dict(private=True)))
            chosen = {"level": group_level("everyone"), "registration": "clinic-system"} | options
            set_bulk_source(state, "clinic", **chosen)

    def land(self, wait: Callable[..., None] | None = None) -> Vault:
        """A night as far as its verdicts: the accepted resources, as the vault would take them."""
        self.nights += 1
        waiting = {} if wait is None else {"wait": wait}
        found: Vault = set()
        for batch in plan_run([], airflow_run_id=f"night-{self.nights}"):
            checked = batches.read(check_batch(collect_batch(batch, **waiting))).checked
            columns = pq.read_table(checked, columns=["link_id", "resource_type", "resource_id", "content_hash"])
            found.update(zip(*(column.to_pylist() for column in columns.columns), strict=True))
        return found

    def manifests(self) -> list[Manifest]:
        """The markers of the last landing."""
        found = (landing.read_manifest(file) for file in self.home.glob("landing/*/*/*/complete.json"))
        return [manifest for manifest in found if manifest is not None]

    def fetch(self, wait: Callable[..., None] | None = None) -> Vault:
        """A night as far as the vault, of which everything else follows. Returns what it then holds."""
        self.nights += 1
        waiting = {} if wait is None else {"wait": wait}
        for batch in plan_run([], airflow_run_id=f"night-{self.nights}"):
            store_batch(check_batch(collect_batch(batch, **waiting)))
        with session() as state:
            runs.finish_run(state, run_id_of(f"night-{self.nights}"), "complete")
        return self.vault()

    def vault(self) -> Vault:
        """The current resources."""
        with open_vault(read_only=True) as connection:
            return set(
                connection.execute(
                    "SELECT link_id, resource_type, resource_id, content_hash FROM vault.current_resources"
                ).fetchall()
            )

    def marks(self) -> dict[str, set[str]]:
        """How far exports have been read, by label, of whichever link."""
        with session(read_only=True) as state:
            rows = list(state.execute(select(Watermark.label, Watermark.value)))
        found: dict[str, set[str]] = {}
        for label, value in rows:
            found.setdefault(label, set()).add(value)
        return found

    def codes(self) -> set[tuple[str, str | None]]:
        """The outcomes of the last night: number and type."""
        return {(said.code, said.resource_type) for said in self.report().outcomes}

    def night(self, wait: Callable[..., None] | None = None) -> RunReport:
        """A whole night, and its report."""
        self.nights += 1
        name = f"night-{self.nights}"
        waiting = {} if wait is None else {"wait": wait}
        for batch in plan_run([], airflow_run_id=name):
            store_batch(check_batch(collect_batch(batch, **waiting)))
        for group in plan_build(name):
            build_group(group)
        audit_run(name)
        publish_run(name)
        finish_run(name)
        return self.report()

    def report(self) -> RunReport:
        """What the ledger says of the last night."""
        with session(read_only=True) as state:
            return runs.run_report(state, run_id_of(f"night-{self.nights}"))

    def tables(self) -> Tables:
        """All rows of all tables, keys included."""
        with open_records(read_only=True) as connection:
            return {
                name: sorted(map(repr, connection.execute(f"SELECT * FROM records.{name}").fetchall()))
                for name in (declared.name for declared in tables())
            }


@pytest.fixture(autouse=True)
def audited_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The audit is the real one, but in this process: each night would load Great Expectations anew."""
    monkeypatch.setattr(
        "charthouse.sync.auditor.audit", lambda rows, broken: [asdict(audit) for audit in audit_staged(rows, broken)]
    )
    monkeypatch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.02")
    yield
    engine().dispose()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A provider of five people."""
    store = tmp_path_factory.mktemp("sandbox") / "clinic.sqlite"
    generate(store, 5)
    with serving(store) as made:
        yield made


@pytest.fixture(scope="module")
def linked(sandbox: Sandbox, prepared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which three of the five people are linked, and nothing is read."""
    with pytest.MonkeyPatch.context() as patch:
        house = House(tmp_path_factory.mktemp("linked") / "home", sandbox).enter(patch)
        shutil.copytree(prepared_home, house.home)
        register(sandbox)
        house.link(sandbox.people()[:3])
        engine().dispose()
        get_settings.cache_clear()
        return house.home


@pytest.fixture(scope="module")
def crawled(sandbox: Sandbox, linked: Path, tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """What the vault holds after a night of searches."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("crawled") / "home"
        shutil.copytree(linked, home)
        found = House(home, sandbox).enter(patch).fetch()
        engine().dispose()
        get_settings.cache_clear()
        assert {"Observation", "Practitioner", "Organization", "Medication"} <= {row[1] for row in found}
        return found


@pytest.fixture
def house(sandbox: Sandbox, linked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A home of its own with the same people, links and keys."""
    shutil.copytree(linked, tmp_path / "home")
    sandbox.habits()
    sandbox.faults()
    sandbox.asked()
    made = House(tmp_path / "home", sandbox).enter(monkeypatch)
    made.export()
    return made
