"""A sandbox with a partner network over two clinics, homes whose people are verified, and nights over them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from charthouse.lake.session import open_records, open_vault
from charthouse.linking import consents, people, signing_keys, verifications
from charthouse.linking.identity import parse_identity
from charthouse.linking.keys import ensure_key
from charthouse.linking.network_accounts import set_account
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.engine import engine
from charthouse.sync import runs
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

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CLIENT, SECRET, SIGNS = "charthouse-key", "a secret of ours", "what signs messages"


@dataclass
class Partner:
    """A running sandbox whose network reaches `north`, where people are connected, and `south`, where they sign in."""

    url: str
    patients: dict[str, list[dict[str, Any]]]
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def network(self) -> str:
        """Where its network is."""
        return f"{self.url}/network"

    def habits(self, **changed: Any) -> None:
        """Let it behave so; without arguments, as it should."""
        requests.post(f"{self.network}/sandbox/habits", json=changed, timeout=10).raise_for_status()

    def people(self) -> dict[str, dict[str, Any]]:
        """Whom it knows, by our key."""
        said = requests.get(f"{self.network}/sandbox/people", timeout=10).json()
        return {one["key"]: one for one in said["people"]}

    def deleted(self) -> list[str]:
        """Whom it was told to delete."""
        return list(requests.get(f"{self.network}/sandbox/people", timeout=10).json()["deleted"])

    def asked(self) -> dict[str, Any]:
        """What was asked of it since this was last called."""
        return dict(requests.delete(f"{self.network}/sandbox/requests", timeout=10).json())

    def move(self, key: str, organization: str, status: str) -> None:
        """Let a connection be of this status."""
        said = {"key": key, "organization": organization, "status": status}
        requests.post(f"{self.network}/sandbox/connections", json=said, timeout=10).raise_for_status()

    def send(self, key: str, **order: Any) -> dict[str, Any]:
        """Let it send a message about a person."""
        answer = requests.post(f"{self.network}/sandbox/messages", json={"key": key, **order}, timeout=30)
        answer.raise_for_status()
        return dict(answer.json())

    def register(self, webhook_url: str | None = None) -> None:
        """Make the client of the home that is entered known to it."""
        keys = signing_keys.public_jwks("identity_token")
        client = {"client_key": CLIENT, "secret": SECRET, "jwks": keys, "webhook_url": webhook_url}
        said = client | {"webhook_secret": SIGNS}
        requests.post(f"{self.network}/sandbox/clients", json=said, timeout=10).raise_for_status()


@contextmanager
def serving(folder: Path, stores: dict[str, Path], organizations: list[dict[str, Any]]) -> Iterator[Partner]:
    """The sandbox as its own process, with a network over these stores."""
    plan = folder / "network.json"
    plan.write_text(json.dumps(organizations))
    chosen = [part for name, store in stores.items() for part in ("--provider", f"{name}={store}")]
    command = [sys.executable, "-m", "sandbox", "serve", "--port", "0", *chosen, "--network", str(plan)]
    listed = {name: _people(store) for name, store in stores.items()}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        yield Partner(f"http://127.0.0.1:{said['port']}", listed, process)
        process.terminate()


def _people(store: Path) -> list[dict[str, Any]]:
    return list(json.loads(sandbox("people", "--store", str(store))))


def sandbox(*arguments: str) -> str:
    """A command of the sandbox's, and what it said."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120).stdout


UUID = re.compile(r"[0-9a-f]([0-9a-f]{7}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
ORGANIZATIONS = [
    {"id": "north-clinic", "name": "North Clinic", "provider": "north"},
    {"id": "South_Hospital.42", "name": "South Hospital", "provider": "south", "way": "sign_in"},
]


@pytest.fixture(autouse=True)
def audited_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The audit is the real one, but in this process: each night would load Great Expectations anew."""
    monkeypatch.setattr(
        "charthouse.sync.auditor.audit", lambda rows, broken: [asdict(audit) for audit in audit_staged(rows, broken)]
    )
    monkeypatch.setenv("CHARTHOUSE_RETRY_WAIT_MAX", "0.02")
    get_settings.cache_clear()
    yield
    engine().dispose()
    get_settings.cache_clear()


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The stores of the sandbox's clinics, made once."""
    folder = tmp_path_factory.mktemp("network")
    made, south = folder / "made", folder / "south"
    sandbox("generate", "--people", "4", "--seed", "21", "--broken-share", "0", "--out", str(made), "--plain")
    sandbox("load", "--source", str(made), "--store", str(folder / "order.sqlite"))
    last = _people(folder / "order.sqlite")[3]["patient"]
    tag = {"system": "https://charthouse.example/sandbox/filed-under", "code": last}
    said = {
        "resourceType": "Immunization",
        "id": "not-said-whose",
        "meta": {"tag": [tag]},
        "status": "entered-in-error",
    }
    with (made / "Immunization.ndjson").open("a") as lines:
        lines.write(json.dumps(said) + "\n")
    south.mkdir()
    for file in made.iterdir():  # the same people, and other ids: another hospital's
        (south / file.name).write_text(UUID.sub(r"e\1", file.read_text()))
    for name, source in (("north", made), ("south", south)):
        sandbox("load", "--source", str(source), "--store", str(folder / f"{name}.sqlite"))
    return {name: folder / f"{name}.sqlite" for name in ("north", "south")}


@pytest.fixture(scope="session")
def partner_process(stores: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Partner]:
    """The sandbox of all tests. What it knows of people is by their keys, and each test's people are new."""
    with serving(tmp_path_factory.mktemp("plan"), stores, ORGANIZATIONS) as partner:
        yield partner


@pytest.fixture
def partner(partner_process: Partner, home: Path) -> Iterator[Partner]:
    """The sandbox's network, as it should be, and set up in this home."""
    ensure_key()
    connect(partner_process)
    partner_process.habits()
    partner_process.asked()
    yield partner_process
    partner_process.habits()


def connect(partner: Partner, *, webhook_url: str | None = None, rate: float = 500.0, base: str | None = None) -> None:
    """Set the partner up in the home that is entered, and this home there."""
    with session() as state:
        set_account(
            state,
            "bwell",
            api_url=partner.network,
            fhir_base_url=base or f"{partner.network}/fhir/4_0_0",
            users_url=partner.network,
            client_key=CLIENT,
            secret=SECRET,
            webhook_url=webhook_url,
            webhook_secret=SIGNS if webhook_url else None,
            requests_per_second=rate,
        )
    partner.register(webhook_url)


def verified(said: dict[str, Any], *, consent: bool = True, verify: bool = True, android: int = 14) -> str:
    """An account of one of the sandbox's people, verified and agreed. Returns its key."""
    identity = parse_identity({"name": said["name"], "birthDate": said["birthDate"]})
    with session() as state:
        key = people.create_person(state, identity=identity, android_version=android).person_key
        if verify:
            verifications.record(
                state, key, verifier="clear", session_id=f"session-{key}", outcome="verified", at=now(), level="IAL2"
            )
        if consent:
            consents.give(state, key, consents.IMPORT)
    return key


@dataclass
class Night:
    """One night in this process, step by step."""

    name: str

    def run(self) -> str:
        """All of it. Returns the run's id."""
        for batch in self.planned():
            store_batch(check_batch(collect_batch(batch)))
        return self.finished()

    def planned(self) -> list[str]:
        """The batches of the night."""
        return plan_run([], airflow_run_id=self.name)

    def finished(self) -> str:
        """Build, audit, publish, finish."""
        for group in plan_build(self.name):
            build_group(group)
        audit_run(self.name)
        publish_run(self.name)
        finish_run(self.name)
        return run_id_of(self.name)


def report(run_id: str) -> Any:
    """What the ledger says of a run."""
    with session(read_only=True) as state:
        return runs.run_report(state, run_id)


def in_vault(link_id: str) -> set[tuple[str, str]]:
    """Type and id of what came by a link."""
    with open_vault(read_only=True) as connection:
        query = "SELECT resource_type, resource_id FROM vault.resources WHERE link_id = ?"
        return set(connection.execute(query, [link_id]).fetchall())


def rows(table: str, columns: str) -> list[tuple[Any, ...]]:
    """Rows of a category table."""
    with open_records(read_only=True) as connection:
        return connection.execute(f"SELECT {columns} FROM records.{table} ORDER BY ALL").fetchall()
