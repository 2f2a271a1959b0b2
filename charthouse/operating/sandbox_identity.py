"""The sandbox's verifier of identities in a home: set up as ours, and its page gone through by made-up people.

The way is the product's own: a session begun by the REST API, the verifier's page, its messages to us, the way back.
Only the browser is left out: the page's one form is sent as a browser would send it.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import requests

from charthouse.api import tokens
from charthouse.errors import SetupError
from charthouse.linking.verifiers import set_verifier
from charthouse.partners.identity import SLUG
from charthouse.settings import get_settings
from charthouse.state import session

if TYPE_CHECKING:
    from pathlib import Path

    from charthouse.operating.sandbox_process import Sandbox

PROJECT: Final = "project_sandbox"
RATE: Final = 200.0
SECONDS: Final = 60


def known() -> Path:
    """The file in which the sandbox's verifier remembers sessions and people."""
    return get_settings().home / "sandbox" / "identity" / "verifier.known"


def set_up(sandbox: Sandbox, api: str) -> None:
    """Let the running verifier be ours: its project here, ours there. `api` is where it reaches our REST API."""
    verifier, key, secret = f"{sandbox.url}/identity", secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    with session() as state:
        set_verifier(
            state,
            project_id=PROJECT,
            key=key,
            webhook_secret=secret,
            old_webhook_hours=0,
            api_url=f"{verifier}/v1",
            page_url=f"{verifier}/verify",
            requests_per_second=RATE,
        )
    project = {
        "project_id": PROJECT,
        "api_key": key,
        "webhook_url": f"{api}/verifiers/{SLUG}/messages",
        "webhook_secret": secret,
    }
    requests.post(f"{verifier}/sandbox/projects", json=project, timeout=SECONDS).raise_for_status()


def verify(api: str, person_key: str, said: dict[str, Any]) -> None:
    """Let one of the made-up people verify who they are, and come back. `said` has `name`, `birthDate` as in FHIR.

    Raises:
        SetupError: CH991 where they are not verified at the end of it.
    """
    token = {"Authorization": f"Bearer {tokens.issue(person=person_key)}"}
    theirs = f"{api}/people/{person_key}/verifications"
    with requests.Session() as browser:
        begun = browser.post(theirs, json={}, headers=token, timeout=SECONDS)
        if begun.ok:
            page, _, ticket = begun.json()["open_url"].partition("?token=")
            name = next(one for one in said["name"] if one.get("family") and one.get("given"))
            form = {"first_name": name["given"][0], "last_name": name["family"], "birth_date": said["birthDate"]}
            browser.post(page, data=form | {"token": ticket, "outcome": "success"}, timeout=SECONDS)
        stands = browser.get(theirs, headers=token, timeout=SECONDS).json()["items"]
    # 409 at the beginning is CH673: a night that was killed had come as far as this.
    if not stands or stands[-1]["status"] != "verified":
        code = (stands[-1].get("code") if stands else begun.json().get("code")) or ""
        raise SetupError("CH991", where=f"person {person_key}", what=code)
