"""The SMART authorization server over real HTTP: codes, tokens, rotation, scopes, the page."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.app import REDIRECT, App, redirected, serving

if TYPE_CHECKING:
    from pathlib import Path

    import requests


@pytest.fixture(scope="module")
def patient(app: App) -> str:
    return app.people()[2]


def error_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_the_configuration_is_complete(app: App) -> None:
    assert {"S256"} == set(app.smart["code_challenge_methods_supported"])
    assert {"launch-standalone", "client-public", "permission-v1", "permission-v2"} <= set(app.smart["capabilities"])
    uris = app.get("metadata", None).json()["rest"][0]["security"]["extension"][0]["extension"]
    assert {uri["url"]: uri["valueUri"] for uri in uris}["token"] == app.smart["token_endpoint"]


def test_a_code_needs_its_own_verifier_client_and_address_and_works_once(app: App, patient: str) -> None:
    def exchange(code: str, verifier: str, **changes: str) -> requests.Response:
        form = {"code": code, "code_verifier": verifier, "redirect_uri": REDIRECT, **changes}
        return app.token(grant_type="authorization_code", **form)

    def fresh() -> tuple[str, str]:
        answer, verifier = app.authorize(patient)
        said = redirected(answer)
        assert said["state"] == "a-state-of-sufficient-length"
        return said["code"], verifier

    for changes in ({"code_verifier": "x" * 50}, {"redirect_uri": REDIRECT + "2"}, {"client_id": "other"}):
        assert error_of(exchange(*fresh(), **changes)) == (400, "invalid_grant")
    assert error_of(exchange("made-up", "x" * 50)) == (400, "invalid_grant")
    code, verifier = fresh()
    granted = exchange(code, verifier)
    said = granted.json()
    assert granted.headers["Cache-Control"] == "no-store"
    assert (said["token_type"], said["patient"], said["expires_in"]) == ("Bearer", patient, 3600)
    assert app.get(f"Patient/{patient}", said["access_token"]).status_code == 200
    # A code that comes twice was stolen: what it gave is taken back.
    assert error_of(exchange(code, verifier)) == (400, "invalid_grant")
    assert app.get(f"Patient/{patient}", said["access_token"]).status_code == 401
    assert error_of(app.token(grant_type="refresh_token", refresh_token=said["refresh_token"]))[1] == "invalid_grant"
    assert error_of(app.token(grant_type="password")) == (400, "unsupported_grant_type")


def test_requests_that_are_not_safe_are_refused(app: App, patient: str) -> None:
    for changes, error in (
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"aud": "https://evil.example/fhir"}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "patient/Observation.write user/Patient.read"}, "invalid_scope"),
        ({"login_hint": "nobody"}, "login_required"),
    ):
        answer, _ = app.authorize(patient, **changes)
        assert redirected(answer)["error"] == error, changes
    for address in ("http://evil.example/x", "javascript:alert(1)", "https://a.example/#x", ""):
        answer, _ = app.authorize(patient, redirect_uri=address)
        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_refresh_tokens_rotate_and_forgive_a_crash_but_no_thief(app: App, patient: str, generated: Path) -> None:
    first = app.link(patient)

    def refresh(token: str, **more: str) -> requests.Response:
        return app.token(grant_type="refresh_token", refresh_token=token, **more)

    second = refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert app.get(f"Patient/{patient}", second["access_token"]).status_code == 200
    # The client crashed before it wrote the answer down, and asks again.
    again = refresh(first["refresh_token"]).json()
    assert again["refresh_token"] == second["refresh_token"]
    narrow = refresh(second["refresh_token"], scope="patient/Patient.rs")
    assert error_of(narrow) == (400, "invalid_scope")
    third = refresh(second["refresh_token"]).json()
    with sqlite3.connect(generated) as store:
        store.execute("UPDATE credential SET used = used - 61 WHERE used IS NOT NULL AND kind = 'refresh'")
    assert error_of(refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error_of(refresh(third["refresh_token"])) == (400, "invalid_grant")
    assert app.get(f"Patient/{patient}", third["access_token"]).status_code == 401


def test_revocation_and_introspection(app: App, patient: str) -> None:
    granted = app.link(patient)

    def introspect(token: str) -> dict[str, object]:
        return app.http.post(app.smart["introspection_endpoint"], data={"token": token}, timeout=10).json()

    def revoke(token: str, client: str = "an-app") -> int:
        form = {"token": token, "client_id": client}
        return app.http.post(app.smart["revocation_endpoint"], data=form, timeout=10).status_code

    said = introspect(granted["access_token"])
    assert (said["active"], said["patient"], said["scope"]) == (True, patient, granted["scope"])
    assert revoke(granted["access_token"], "somebody-else") == 200
    assert introspect(granted["access_token"])["active"] is True
    assert revoke(granted["refresh_token"]) == revoke("made-up") == 200
    assert introspect(granted["access_token"]) == introspect(granted["refresh_token"]) == {"active": False}


def test_scopes_of_both_versions_are_enforced_by_type(app: App, patient: str) -> None:
    scope = (
        "launch/patient patient/Condition.read patient/Patient.r patient/Goal.s patient/Device.cruds patient/*.write "
        "patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"
    )
    granted = app.link(patient, scope)
    assert granted["scope"].split() == [
        "launch/patient",
        "patient/Condition.read",
        "patient/Patient.r",
        "patient/Goal.s",
        "patient/Device.rs",
        scope.split()[-1],
    ]
    assert "refresh_token" not in granted
    token = granted["access_token"]

    def status(path: str) -> int:
        return app.get(path, token).status_code

    assert [status(f"{kind}?patient={patient}") for kind in ("Condition", "Device", "Goal")] == [200, 200, 200]
    assert (status(f"Patient/{patient}"), status("Patient")) == (200, 403)
    refused = app.get(f"Immunization?patient={patient}", token)
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]
    (goal, *_) = app.search(f"Goal?patient={patient}", token)
    assert status(f"Goal/{goal['id']}") == 403
    labs = app.search(f"Observation?patient={patient}&_count=1000", token)
    assert {one["category"][0]["coding"][0]["code"] for one in labs} == {"laboratory"}
    whole = app.link(patient, "launch/patient patient/*.rs")["access_token"]
    vital = app.search(f"Observation?patient={patient}&category=vital-signs&_count=1", whole)[0]["id"]
    assert (status(f"Observation/{vital}"), status(f"Observation/{labs[0]['id']}")) == (404, 200)


def test_a_person_at_the_page_chooses_and_may_say_no(app: App, patient: str) -> None:
    asked, verifier = app.authorize(patient, "launch/patient patient/Goal.rs patient/Condition.rs", prompt=None)
    assert asked.status_code == 200
    assert asked.headers["Content-Security-Policy"].startswith("default-src 'none'")
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', asked.text))
    form = {name: unescape(value) for name, value in hidden.items()}
    assert patient in asked.text

    def decide(**choice: object) -> requests.Response:
        url = app.smart["authorization_endpoint"].replace("authorize", "decide")
        return app.http.post(url, data={**form, **choice}, allow_redirects=False, timeout=10)

    assert redirected(decide(decision="deny", patient=patient))["error"] == "access_denied"
    assert decide(decision="allow", patient="nobody", granted=["patient/Goal.rs"]).status_code == 400
    code = redirected(decide(decision="allow", patient=patient, granted=["patient/Goal.rs", "patient/*.rs"]))["code"]
    granted = app.token(grant_type="authorization_code", code=code, redirect_uri=REDIRECT, code_verifier=verifier)
    assert granted.json()["scope"] == "launch/patient patient/Goal.rs"


def test_nothing_on_the_page_is_markup_of_strangers(app: App, patient: str) -> None:
    asked, _ = app.authorize(patient, prompt=None, client_id='"><script>alert(1)</script>')
    assert asked.status_code == 200
    assert "<script" not in asked.text


def test_grants_outlive_the_server_and_tokens_expire(generated: Path, tmp_path: Path) -> None:
    store = tmp_path / "copy.sqlite"
    with sqlite3.connect(generated) as source, sqlite3.connect(store) as copy:
        source.backup(copy)
    with serving("--access-seconds", "0.4", copy=store) as bases:
        app = App(bases["copy"])
        patient = app.people()[0]
        granted = app.link(patient)
        assert app.get(f"Patient/{patient}", granted["access_token"]).status_code == 200
        time.sleep(0.5)
        late = app.get(f"Patient/{patient}", granted["access_token"])
        assert (late.status_code, 'error="invalid_token"' in late.headers["WWW-Authenticate"]) == (401, True)
    with serving(copy=store) as bases:
        app = App(bases["copy"])
        renewed = app.token(grant_type="refresh_token", refresh_token=granted["refresh_token"]).json()
        assert app.get(f"Patient/{patient}", renewed["access_token"]).status_code == 200
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for text in (granted["access_token"], granted["refresh_token"], renewed["access_token"], renewed["refresh_token"]):
        assert text.encode() not in held


def test_a_store_of_the_last_version_is_taken_along(generated: Path, tmp_path: Path) -> None:
    store = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(generated)) as source, closing(sqlite3.connect(store)) as copy:
        source.backup(copy)
        for column in ("ends", "refreshed", "suspended"):
            copy.execute(f"ALTER TABLE access_grant DROP COLUMN {column}")
        copy.execute("PRAGMA user_version = 1")
        copy.commit()
    with serving(old=store) as bases:
        app = App(bases["old"])
        granted = app.link(app.people()[0])
        assert app.token(grant_type="refresh_token", refresh_token=granted["refresh_token"]).status_code == 200


def test_the_client_sees_the_address_it_used(app: App, patient: str) -> None:
    port = urlsplit(app.base).port
    base = f"http://localhost:{port}/house/fhir"
    elsewhere = App(base)
    assert elsewhere.smart["token_endpoint"].startswith(f"http://localhost:{port}/")
    token = elsewhere.link(patient)["access_token"]
    first = next(elsewhere.pages(f"Observation?patient={patient}&_count=2", token))
    assert all(link["url"].startswith(base) for link in first["link"])
    assert dict(parse_qsl(urlsplit(first["link"][0]["url"]).query))["patient"] == patient
