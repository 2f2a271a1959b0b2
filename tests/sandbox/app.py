"""A running sandbox and an app that uses it as any SMART app would: nothing here imports the project's own client."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests

from sandbox.loader import load_folder
from sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
ALL = "launch/patient offline_access patient/*.rs"
REDIRECT = "http://127.0.0.1:1/callback"


@dataclass
class App:
    """A public SMART app at one provider."""

    base: str
    client_id: str = "an-app"

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.smart = self.http.get(f"{self.base}/.well-known/smart-configuration", timeout=10).json()

    @property
    def admin(self) -> str:
        return self.base.removesuffix("/fhir") + "/sandbox"

    def people(self) -> list[str]:
        return [person["patient"] for person in self.http.get(f"{self.admin}/people", timeout=10).json()]

    def authorize(self, patient: str, scope: str = ALL, **changes: str | None) -> tuple[requests.Response, str]:
        """Ask for a code without a page. Returns the answer and the PKCE verifier."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": scope,
            "state": "a-state-of-sufficient-length",
            "aud": self.base,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "prompt": "none",
            "login_hint": patient,
        }
        asked = {name: value for name, value in (asked | changes).items() if value is not None}
        url = self.smart["authorization_endpoint"]
        return self.http.get(url, params=asked, allow_redirects=False, timeout=10), verifier

    def token(self, **form: str) -> requests.Response:
        return self.http.post(self.smart["token_endpoint"], data={"client_id": self.client_id, **form}, timeout=10)

    def link(self, patient: str, scope: str = ALL) -> dict[str, Any]:
        """Sign in as a patient. Returns the token response."""
        answer, verifier = self.authorize(patient, scope)
        code = redirected(answer)["code"]
        granted = self.token(grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=verifier)
        assert granted.status_code == 200, granted.text
        return granted.json()

    def get(self, path: str, token: str | None, **options: Any) -> requests.Response:
        headers = options.pop("headers", {})
        if token:
            headers = {"Authorization": f"Bearer {token}", **headers}
        url = path if path.startswith("http") else f"{self.base}/{path}"
        return self.http.get(url, headers=headers, timeout=10, **options)

    def pages(self, path: str, token: str) -> Iterator[dict[str, Any]]:
        """Every page of a search."""
        url: str | None = path
        while url:
            answer = self.get(url, token)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield page
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)

    def search(self, path: str, token: str) -> list[dict[str, Any]]:
        """Every resource that a search finds, included ones too."""
        return [entry["resource"] for page in self.pages(path, token) for entry in page.get("entry", ())]

    def fault(self, *rules: dict[str, Any]) -> None:
        answer = self.http.post(f"{self.admin}/faults", json=list(rules), timeout=10)
        assert answer.status_code == 200, answer.text

    def mend(self) -> None:
        self.http.delete(f"{self.admin}/faults", timeout=10)


def redirected(answer: requests.Response) -> dict[str, str]:
    """The parameters with which an authorization server sent the browser back."""
    assert answer.status_code == 302, answer.text
    assert answer.headers["Location"].startswith(REDIRECT)
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The sandbox's command line, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def serving(*options: str, **stores: Path) -> Iterator[dict[str, str]]:
    """A real server process. Yields the FHIR base of each provider."""
    chosen = [part for name, path in stores.items() for part in ("--provider", f"{name}={path}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "serve", "--port", "0", *chosen, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        said = json.loads(process.stdout.readline())
        assert said["event"] == "ready"
        yield said["providers"]
    finally:
        process.terminate()
        assert process.wait(10) == 0


def loaded(folder: Path, store: Path | None = None) -> dict[str, Any]:
    """Load a folder into a store beside it. Returns the inventory."""
    opened = Store(store or folder.with_suffix(".sqlite"), create=True)
    try:
        return load_folder(opened, folder)
    finally:
        opened.close()


def bodies(store: Path, resource_type: str) -> list[bytes]:
    """What a store holds of a type, as it would be served."""
    opened = Store(store)
    try:
        rows = opened.db.execute(
            "SELECT body FROM body JOIN resource USING (seq) WHERE type = ? AND gone = 0 ORDER BY seq", [resource_type]
        )
        return [row[0] for row in rows]
    finally:
        opened.close()
