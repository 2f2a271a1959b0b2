"""`charthouse link`, at the project's own sandbox: from the printed address to what became of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from charthouse.linking import links, people, providers
from charthouse.linking.identity import HumanName, Identity
from charthouse.settings import get_settings
from charthouse.state import session
from tests.sandbox.app import ROOT, run, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENTS = {
    "ann-canary": {"name": [{"family": "Canaryfamily", "given": ["Annacanary"]}], "birthDate": "1980-02-29"},
    "bob": {"name": [{"family": "Else", "given": ["Somebody"]}], "birthDate": "1970-01-01"},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The FHIR base of a running sandbox with two people."""
    folder = tmp_path_factory.mktemp("sandbox")
    kinds: list[dict[str, Any]] = [{"resourceType": "Patient", "id": name, **what} for name, what in PATIENTS.items()]
    kinds += [
        {"resourceType": "Immunization", "id": f"i-{name}", "patient": {"reference": f"Patient/{name}"}}
        for name in PATIENTS
    ]
    (folder / "source").mkdir()
    (folder / "source" / "all.ndjson").write_text("\n".join(json.dumps(kind) for kind in kinds))
    done = run("load", "--source", str(folder / "source"), "--store", str(folder / "store.sqlite"))
    assert done.returncode == 0, done.stderr
    with serving(clinic=folder / "store.sqlite") as bases:
        yield bases["clinic"]


@pytest.fixture
def person(home: Path, base: str) -> str:
    """Somebody who may link the sandbox: its Ann."""
    from datetime import date

    identity = Identity((HumanName("Canaryfamily", ("Annacanary",)),), date(1980, 2, 29))
    with session() as state:
        providers.register_provider(state, slug="sandbox", name="Sandbox", fhir_base_url=base)
        return people.create_person(state, identity=identity).person_key


class Command:
    """The command under way, and the browser of the person who uses it."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "charthouse", "link", *arguments, "--no-browser", "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.opened = json.loads(self.process.stdout.readline())

    def callback(self, patient: str, scope: str | None = None) -> str:
        """Sign in and agree. The address that the browser is sent to."""
        url = self.opened["authorize_url"]
        if scope is not None:
            parts = urlsplit(url)
            url = parts._replace(query=urlencode(parse_qs(parts.query) | {"scope": scope}, doseq=True)).geturl()
        url = f"{url}&prompt=none&login_hint={patient}"
        return requests.get(url, allow_redirects=False, timeout=10).headers["Location"]

    def end(self) -> tuple[int, dict[str, Any], str]:
        """Exit code, what was said, standard error."""
        said, noise = self.process.communicate(timeout=60)
        return self.process.returncode, json.loads(said) if said else {}, noise


@pytest.fixture(autouse=True)
def _embedded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHARTHOUSE_HOME", str(home))
    get_settings.cache_clear()


def test_a_link_from_a_terminal(person: str) -> None:
    command = Command(person, "sandbox")
    callback = command.callback("ann-canary")
    elsewhere = requests.get(callback.replace("/callback", "/other"), timeout=10)
    assert elsewhere.status_code == 404
    forged = requests.get(f"{callback.partition('?')[0]}?code=x&state=forged", timeout=10)
    assert (forged.status_code, "CH630" in forged.text) == (400, True)
    twice = requests.get(f"{callback}&state=again", timeout=10)
    assert twice.status_code == 400
    rebound = requests.get(callback, headers={"Host": "evil.example"}, timeout=10)
    assert rebound.status_code == 400
    page = requests.get(callback, timeout=10)
    assert page.status_code == 200
    assert "You are signed in" in page.text
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.headers["Cache-Control"] == "no-store"
    code, said, noise = command.end()
    assert (code, said["status"], said["code"]) == (0, "pending", None)
    assert said["permissions"]["categories"]["vaccines"] == "permitted"
    assert "canary" not in json.dumps(said) + noise
    with session(read_only=True) as state:
        assert links.get_link(state, said["link_id"]).identity_matched_at is not None


def test_somebody_else_and_a_missing_patient_scope(person: str) -> None:
    command = Command(person, "sandbox")
    assert "CH644" in requests.get(command.callback("bob"), timeout=10).text
    code, said, _ = command.end()
    assert (code, said["status"], said["reason"]) == (1, "failed", "identity_not_matched")
    assert said["permissions"] is None, "nothing is read of somebody else's"

    command = Command(person, "sandbox")
    page = requests.get(command.callback("ann-canary", "launch/patient patient/Immunization.rs"), timeout=10)
    assert "CH638" in page.text
    code, said, _ = command.end()
    assert (code, said["status"], said["code"]) == (1, "failed", "CH638")


def test_nobody_comes_or_gives_up(person: str) -> None:
    command = Command(person, "sandbox", "--timeout", "1")
    first = command.opened["link_id"]
    assert command.end()[0] == 3
    command = Command(person, "sandbox")
    assert command.opened["link_id"] == first, "the same link is taken up"
    command.process.send_signal(signal.SIGINT)
    code, _, noise = command.end()
    assert (code, noise) == (130, "")


def test_who_may_not_link_is_told_before_anything_is_opened(person: str) -> None:
    with session() as state:
        unknown = people.create_person(state).person_key
    done = subprocess.run(
        [sys.executable, "-m", "charthouse", "link", unknown, "sandbox", "--no-browser"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("CH610")
