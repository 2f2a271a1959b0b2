"""Registered clients: exact redirect URIs, and every way to prove who one is (RFC 6749 §2.3, RFC 7523, SMART)."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.app import REDIRECT, App, redirected, run, serving
from tests.sandbox.vendor import Vendor, assertion, error_of, key_set, new_key, publishing

if TYPE_CHECKING:
    from pathlib import Path

REFUSED = (401, "invalid_client")


def test_a_registered_client_is_answered_at_its_own_address_alone(vendor: Vendor, person: str) -> None:
    vendor.register(client_id="known", client_name="The Known App")
    assert "code" in redirected(vendor.authorize(person)[0])
    for changes in ({"client_id": "stranger"}, {"redirect_uri": REDIRECT + "/"}, {"redirect_uri": REDIRECT + "?a=b"}):
        answer, _ = vendor.authorize(person, **changes)
        assert (answer.status_code, "Location" in answer.headers) == (400, False), changes
    assert "The Known App" in vendor.authorize(person, prompt=None)[0].text
    assert vendor.exchange(person).status_code == 200
    assert error_of(vendor.token(grant_type="refresh_token", refresh_token="x", client_id="stranger")) == REFUSED
    vendor.http.delete(f"{vendor.admin}/clients", timeout=10)
    vendor.client_id = "anyone"
    assert vendor.exchange(person).status_code == 200


def test_secrets_go_by_basic_or_form_as_registered(vendor: Vendor, person: str) -> None:
    endpoint = vendor.smart["token_endpoint"]

    def ask(name: str | None = None, secret: str | None = None, **form: str) -> tuple[int, str]:
        headers = {}
        if name is not None:
            said = base64.b64encode(f"{name}:{secret}".encode()).decode()
            headers["Authorization"] = f"Basic {said}"
        form = {"grant_type": "refresh_token", "refresh_token": "unknown", **form}
        answer = vendor.http.post(endpoint, data=form, headers=headers, timeout=10)
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        return error_of(answer)

    passed = (400, "invalid_grant")
    # Both parts are form-encoded before they are joined (RFC 6749 §2.3.1).
    vendor.register(client_id="a b", client_secret="p:%+ä", token_endpoint_auth_method="client_secret_basic")
    assert ask("a+b", "p%3A%25%2B%C3%A4") == passed
    assert ask("a b", "p:%+ä") == ask("a+b", "wrong") == ask("nobody", "x") == REFUSED
    assert ask(client_id="a b", client_secret="p:%+ä") == ask(client_id="a b") == ask() == REFUSED
    assert ask("a+b", "p%3A%25%2B%C3%A4", client_id="another") == REFUSED
    assert ask("a+b", "p%3A%25%2B%C3%A4", client_id="a b", client_secret="p:%+ä") == (400, "invalid_request")
    vendor.register(client_id="form", client_secret="s", token_endpoint_auth_method="client_secret_post")
    assert ask(client_id="form", client_secret="s") == passed
    assert ask("form", "s") == ask(client_id="form", client_secret="t") == REFUSED
    vendor.register(client_id="either", client_secret="s")
    assert ask("either", "s") == ask(client_id="either", client_secret="s") == passed
    granted = vendor.exchange(person, client_secret="s").json()
    assert vendor.refresh(granted["refresh_token"], client_secret="s").status_code == 200
    # Revocation and introspection ask who is there in the same way (RFC 7009 §2.1).
    for endpoint in (vendor.smart["revocation_endpoint"], vendor.smart["introspection_endpoint"]):
        form = {"token": granted["access_token"], "client_id": "either"}
        assert error_of(vendor.http.post(endpoint, data=form, timeout=10)) == REFUSED
        assert vendor.http.post(endpoint, data=form | {"client_secret": "s"}, timeout=10).status_code == 200
    assert '"client_secret":' not in vendor.get(f"{vendor.admin}/clients", None).text


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_signed_assertions_are_used_once_and_soon(vendor: Vendor, person: str, algorithm: str) -> None:
    key = new_key(algorithm)
    vendor.register(client_id="signer", jwks=key_set(key), token_endpoint_auth_method="private_key_jwt")
    endpoint = vendor.smart["token_endpoint"]

    def proof(**changes: object) -> dict[str, str]:
        return assertion(key, "signer", endpoint, **changes)

    granted = vendor.exchange(person, **proof()).json()
    first = proof()
    renewed = vendor.refresh(granted["refresh_token"], **first)
    assert renewed.status_code == 200
    token, now = renewed.json()["refresh_token"], int(time.time())
    stranger = assertion(new_key(algorithm), "signer", endpoint)
    for wrong in (
        first,
        stranger,
        {},
        proof(aud="https://elsewhere.example/token"),
        proof(exp=now + 400),
        proof(exp=now - 60),
        proof(exp=None),
        proof(jti=None),
        proof(sub="another"),
        proof(iss="another"),
        proof(nbf=now + 100),
        {**proof(), "client_assertion": "not.a.jwt"},
    ):
        assert error_of(vendor.refresh(token, **wrong)) == REFUSED, wrong
    if algorithm == "RS384":
        assert error_of(vendor.refresh(token, **proof(alg="RS256"))) == REFUSED
    assert error_of(vendor.refresh(token, **proof() | {"client_assertion_type": "x"})) == (400, "invalid_request")
    assert vendor.refresh(token, **proof(aud=[endpoint])).status_code == 200


def test_keys_at_an_address_may_change(vendor: Vendor, person: str) -> None:
    old, new = new_key("ES384", "old"), new_key("ES384", "new")
    document = key_set(old)
    endpoint = vendor.smart["token_endpoint"]
    with publishing(document) as address:
        vendor.register(client_id="signer", jwks_uri=address)
        assert error_of(vendor.exchange(person, **assertion(new, "signer", endpoint))) == REFUSED
        granted = vendor.exchange(person, **assertion(old, "signer", endpoint)).json()
        document |= key_set(old, new)
        renewed = vendor.refresh(granted["refresh_token"], **assertion(new, "signer", endpoint))
        assert renewed.status_code == 200


def test_clients_are_declared_in_a_file(generated: Path, tmp_path: Path) -> None:
    file = tmp_path / "clients.json"
    known = {"client_id": "known", "redirect_uris": [REDIRECT], "client_secret": "s"}
    file.write_text(json.dumps([known, {"client_id": "elsewhere", "provider": "other"}]))
    with serving("--clients", str(file), house=generated, other=generated) as bases:
        listed = [
            App(base).get(f"{base.removesuffix('/fhir')}/sandbox/clients", None).json() for base in bases.values()
        ]
        assert [[one["client_id"] for one in clients] for clients in listed] == [["known"], ["known", "elsewhere"]]
    file.write_text('{"client_id": "x", "token_endpoint_auth_method": "private_key_jwt"}')
    done = run("serve", "--provider", f"house={generated}", "--clients", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert "jwks" in done.stderr
