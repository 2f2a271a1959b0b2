"""A home in which three canaries live: made once, copied for each test that erases."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from charthouse.clock import now
from charthouse.lake.session import open_records, open_vault
from charthouse.linking import credentials, links, people, providers
from charthouse.linking.identity import parse_identity
from charthouse.notify.contacts import set_contact
from charthouse.notify.drain import drain
from charthouse.settings import get_settings
from charthouse.state import session
from charthouse.state.engine import engine
from charthouse.state.requests import IdempotentRequest
from charthouse.sync.audit import audit_run
from charthouse.sync.build import build_group, plan_build
from charthouse.sync.check import check_batch
from charthouse.sync.collect import collect_batch
from charthouse.sync.finish import finish_run
from charthouse.sync.plan import plan_run
from charthouse.sync.publish import publish_run
from charthouse.sync.store import store_batch
from tests.privacy.clinics import PATIENTS, Clinic, Tokens
from transforms.auditing import audit_staged
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@dataclass
class Home:
    """A home, and who lives in it: keys of people by name, of links by name and clinic."""

    path: Path
    people: dict[str, str] = field(default_factory=dict)
    links: dict[tuple[str, str], str] = field(default_factory=dict)
    clinics: dict[str, Clinic] = field(default_factory=dict)
    nights: int = 0

    def copy(self, to: Path) -> Home:
        """The same home elsewhere."""
        shutil.copytree(self.path, to)
        return Home(to, self.people, self.links, self.clinics, self.nights)

    @contextmanager
    def lived_in(self) -> Iterator[Home]:
        """Work on this home in this process."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CHARTHOUSE_HOME", str(self.path))
            patch.setenv("CHARTHOUSE_SMTP_URL", f"folder://{self.path / 'mail'}")
            patch.setenv("CHARTHOUSE_MAIL_FROM", "Charthouse <house@charthouse.example>")
            patch.setattr(
                "charthouse.sync.auditor.audit",
                lambda rows, broken: [asdict(audit) for audit in audit_staged(rows, broken)],
            )
            get_settings.cache_clear()
            try:
                yield self
            finally:
                engine().dispose()
                get_settings.cache_clear()

    def plan(self) -> list[str]:
        """Begin a night. Returns its batches."""
        self.nights += 1
        return plan_run([], airflow_run_id=f"night-{self.nights}")

    def build(self) -> None:
        """Build and audit what the night stored."""
        for group in plan_build(f"night-{self.nights}"):
            build_group(group)
        audit_run(f"night-{self.nights}")

    def end(self) -> None:
        """Publish what was built, and close the night."""
        publish_run(f"night-{self.nights}")
        finish_run(f"night-{self.nights}")

    def night(self) -> None:
        """A whole night."""
        for name in self.plan():
            store_batch(check_batch(collect_batch(name)))
        self.build()
        self.end()

    def held(self, person: str, *, without: str = "") -> dict[str, list[Any]]:
        """Everything that both lakes hold of somebody, `without` one link."""
        key, found = self.people[person], {}
        with open_vault(read_only=True) as vault:
            for name in ("resources", "quarantine"):
                rows = vault.execute(f"SELECT * FROM vault.{name} WHERE person_key = ?", [key]).fetchall()
                found[name] = sorted(repr(row) for row in rows if not without or without not in row)
        with open_records(read_only=True) as records:
            for table in tables():
                rows = records.execute(f"SELECT * FROM records.{table.name} WHERE person_key = ?", [key]).fetchall()
                found[table.name] = sorted(repr(row) for row in rows if not without or without not in row)
        return found

    def clean_up(self) -> None:
        """Close the clinics."""
        for clinic in self.clinics.values():
            clinic.__exit__(None, None, None)


def stocked(folder: Path) -> Home:
    """A home, which is prepared, in which the three are linked, with what a night brought of them."""
    home = Home(folder)
    home.clinics = {name: Clinic(name) for name in ("north", "south")}
    for clinic in home.clinics.values():
        clinic.__enter__()
    with home.lived_in():
        with session() as state:
            for name, clinic in home.clinics.items():
                providers.register_provider(state, slug=name, name=f"The {name} clinic", fhir_base_url=clinic.base)
            for person in "ABC":
                made = people.create_person(state, subject=f"CANARY-{person}-account")
                home.people[person] = made.person_key
                set_contact(state, made.person_key, "email", f"canary-{person.lower()}-address@people.example")
            for (person, clinic), patient in PATIENTS.items():
                link = links.start_link(state, home.people[person], clinic, "direct", patient_id=patient)
                credentials.store_tokens(state, link.id, Tokens(person))
                home.links[person, clinic] = link.id
        home.night()
        with session() as state:
            for person in "ABC":  # after the night: nobody compares them here
                said = {"names": [{"family": f"CANARY-{person}-surname", "given": [f"CANARY-{person}-first"]}]}
                identity = parse_identity(said | {"birth_date": "1980-02-03"})
                people.update_person(state, home.people[person], identity=identity)
            for link in home.links.values():
                links.get_link(state, link).identity_matched_at = now()
        drain()
        _leave_answers(home)
    return home


def _leave_answers(home: Home) -> None:
    """Answers of the REST API that are kept for a while, which no foreign key ties to anybody."""
    with session() as state:
        for person, key in home.people.items():
            state.add(IdempotentRequest(key_hash=person * 64, request_hash="0" * 64, person_key=key))


def _leak(home: Home, migrated_airflow: Callable[[Path], None]) -> None:
    """What should not happen, and what an erasure mends all the same: somebody's words in logs and in Airflow."""
    log = home.path / "logs" / "some-task.log"
    migrated_airflow(home.path)
    with log.open("a") as lines:
        for person in "ABC":
            lines.write(f"it says CANARY-{person}-north-mrn of link {home.links[person, 'north']}, and goes on\n")
        lines.write(f"link {home.links['A', 'south']} was fetched\n")
    with closing(sqlite3.connect(home.path / "airflow" / "airflow.db")) as airflow:
        for person in "ABC":
            words = f"a stack trace with CANARY-{person}-north-mrn and {home.people[person]} in it"
            airflow.execute("INSERT INTO import_error (filename, stacktrace) VALUES (?, ?)", [person, words])
            airflow.execute('INSERT INTO variable ("key", val, is_encrypted) VALUES (?, ?, 0)', [f"of {person}", words])
        airflow.execute("DELETE FROM variable WHERE \"key\" = 'of B'")  # it lies in a free page now
        airflow.commit()


@pytest.fixture(scope="session")
def canaries(
    prepared_home: Path, tmp_path_factory: pytest.TempPathFactory, migrated_airflow: Callable[[Path], None]
) -> Iterator[Home]:
    """The home of the canaries, as it is after a night; look at it, and copy it to do anything."""
    folder = tmp_path_factory.mktemp("canaries") / "home"
    shutil.copytree(prepared_home, folder)
    home = stocked(folder)
    with home.lived_in():
        _leak(home, migrated_airflow)
    yield home
    home.clean_up()


@pytest.fixture
def home(canaries: Home, tmp_path: Path) -> Iterator[Home]:
    """A copy of the canaries' home, to work on in this process."""
    copied = canaries.copy(tmp_path / "home")
    with copied.lived_in():
        yield copied
    for clinic in copied.clinics.values():
        clinic.later = False
        clinic.rules.clear()


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory, new_installation: Any) -> Any:
    """An installation after a night of Airflow's, with made-up people; a test may erase one of them."""
    installation = new_installation(tmp_path_factory.mktemp("night") / "home")
    done = installation.run("nightly", "--people", "3", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    return installation


def environment(home: Home) -> dict[str, str]:
    """The environment of a process that works on a home."""
    return os.environ | {
        "CHARTHOUSE_HOME": str(home.path),
        "CHARTHOUSE_SMTP_URL": f"folder://{home.path / 'mail'}",
        "CHARTHOUSE_MAIL_FROM": "Charthouse <house@charthouse.example>",
        "NO_COLOR": "1",
    }
