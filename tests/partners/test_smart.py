"""Signing in, against an authorization server that checks what the standards say and can be told to be odd."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from charthouse.errors import CharthouseError, FetchError, StateError
from charthouse.partners import smart, token_endpoint, transport
from charthouse.partners.client import Client
from charthouse.partners.discovery import read_configuration
from charthouse.partners.scope_request import read_only
from charthouse.settings import get_settings
from tests.partners.odd_server import Asked, OddServer, Reply, as_json

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

REDIRECT = "http://127.0.0.1/charthouse/callback"
APP = Client("app-1")


class Provider(OddServer):
    """An authorization server for one patient. `odd` gives other answers for a path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._route, tls)
        self.odd: dict[str, Reply] = {}
        self.configuration: dict[str, Any] | None = {
            # Relative addresses and nothing that is optional: the leanest that the field shows.
            "authorization_endpoint": "../oauth/authorize",
            "token_endpoint": "/oauth/token",
            "revocation_endpoint": "/oauth/revoke",
        }
        self.granted: dict[str, Any] = {
            "access_token": "canary-access-1",
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": "patient/*.rs",
            "patient": "canary-patient",
            "refresh_token": "canary-refresh-1",
        }
        self.authorized: dict[str, str] = {}

    @property
    def base(self) -> str:
        """Its FHIR base."""
        return f"{self.url}/fhir"

    def _route(self, asked: Asked) -> Reply:
        if asked.path in self.odd:
            return self.odd[asked.path]
        if asked.path == "/fhir/.well-known/smart-configuration":
            return as_json(self.configuration) if self.configuration is not None else Reply(404)
        if asked.path == "/oauth/authorize":
            return self._authorize(asked)
        if asked.path == "/oauth/token":
            return self._token(asked)
        if asked.path == "/oauth/revoke":
            return Reply(200)
        return Reply(404)

    def _authorize(self, asked: Asked) -> Reply:
        self.authorized = {name: values[0] for name, values in asked.query.items()}
        right = self.authorized["login_hint"] == "canary-patient" and self.authorized["prompt"] == "none"
        told = {"code": "canary-code"} if right else {"error": "login_required", "error_description": "canary"}
        back = f"{self.authorized['redirect_uri']}?{urlencode(told | {'state': self.authorized['state']})}"
        return Reply(302, headers={"Location": back})

    def _token(self, asked: Asked) -> Reply:
        form = asked.form
        if asked.method != "POST" or form.get("client_id") != "app-1":
            return as_json({"error": "invalid_client"}, 401)
        if form["grant_type"] == "refresh_token":
            fine = form["refresh_token"] == "canary-refresh-1"
            return as_json(self.granted) if fine else as_json({"error": "invalid_grant"}, 400)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        fine = form["code"] == "canary-code" and form["redirect_uri"] == self.authorized["redirect_uri"]
        return as_json(self.granted) if fine and proof == self.authorized["code_challenge"] else as_json({}, 400)


def test_the_whole_flow(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Provider() as provider:
        tokens = smart.sign_in_unattended(f"{provider.base}/", "canary-patient", APP, REDIRECT)
        asked = provider.authorized
    assert (tokens.access_token, tokens.refresh_token) == ("canary-access-1", "canary-refresh-1")
    assert (tokens.patient, tokens.scope) == ("canary-patient", "patient/*.rs")
    assert tokens.expires_at is not None
    assert abs(tokens.expires_at - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=20)
    assert asked["aud"] == provider.base
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43, "at least 256 bits"
    assert {"launch/patient", "offline_access", "patient/Observation.read"} <= set(asked["scope"].split())
    assert not [scope for scope in asked["scope"].split() if scope.startswith("patient/") and ".write" in scope]
    assert "canary" not in repr(tokens)
    assert "canary" not in caplog.text


def test_every_sign_in_has_its_own_secrets() -> None:
    configuration = smart.SmartConfiguration("https://p.example/authorize?tenant=7", "https://p.example/token")
    first, second = (
        smart.begin_sign_in(configuration, "https://p.example/fhir", APP, redirect_uri=REDIRECT) for _ in range(2)
    )
    assert first.state != second.state
    assert first.code_verifier != second.code_verifier
    assert 43 <= len(first.code_verifier) <= 128
    sent = parse_qs(urlsplit(first.url).query)
    assert sent["tenant"] == ["7"]
    assert "login_hint" not in sent
    assert first.state not in repr(first)


@pytest.mark.parametrize(
    ("path", "reply", "code"),
    [
        ("/oauth/authorize", Reply(200, b"<html>Sign in, canary</html>"), "CH604"),
        ("/oauth/authorize", Reply(302, headers={"Location": "/oauth/authorize"}), "CH604"),
        ("/oauth/token", as_json({"error": "invalid_grant", "error_description": "canary"}, 400), "CH636"),
        ("/oauth/token", as_json({"error": "invalid_client"}, 401), "CH637"),
        ("/oauth/token", as_json({"error": "invalid_request"}, 400), "CH604"),
        ("/oauth/token", as_json({"error": "server_error"}, 400), "CH109"),
        ("/oauth/token", as_json({"token_type": "Bearer"}), "CH604"),
        ("/oauth/token", as_json({"access_token": 7}), "CH604"),
        ("/oauth/token", Reply(200, b"<html>canary</html>"), "CH105"),
        ("/oauth/token", as_json(["canary"]), "CH105"),
        ("/oauth/token", as_json({"access_token": "canary", "more": "canary" * 2**18}), "CH105"),
        ("/oauth/token", Reply(503, b"canary"), "CH109"),
        ("/oauth/token", Reply(307, headers={"Location": "http://127.0.0.1:1/canary"}), "CH121"),
        ("/oauth/token", Reply(200, b"{'canary'", cut=3), "CH101"),
        ("/fhir/.well-known/smart-configuration", as_json({"token_endpoint": 7}), "CH104"),
    ],
)
def test_a_sign_in_that_fails_says_why_and_quotes_nothing(path: str, reply: Reply, code: str) -> None:
    with Provider() as provider:
        provider.odd[path] = reply
        with pytest.raises(CharthouseError) as caught:
            smart.sign_in_unattended(provider.base, "canary-patient", APP, REDIRECT)
    assert caught.value.code == code
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_wrong_person_is_not_signed_in() -> None:
    with Provider() as provider, pytest.raises(StateError, match="login_required"):
        smart.sign_in_unattended(provider.base, "somebody-else", APP, REDIRECT)


def test_refresh_keeps_the_old_token_where_no_new_one_comes() -> None:
    with Provider() as provider:
        provider.granted |= {"access_token": "canary-access-2", "expires_in": 570}
        del provider.granted["refresh_token"]
        tokens = smart.refresh(provider.base, "canary-refresh-1", APP)
        assert (tokens.access_token, tokens.refresh_token) == ("canary-access-2", "canary-refresh-1")
        provider.granted["refresh_token"] = "canary-refresh-2"
        assert smart.refresh(provider.base, "canary-refresh-1", APP).refresh_token == "canary-refresh-2"
        with pytest.raises(FetchError, match=r"CH113.*invalid_grant") as caught:
            smart.refresh(provider.base, "canary-spent", APP)
        assert "canary" not in str(caught.value)
        posts = len([asked for asked in provider.asked if asked.method == "POST"])
        provider.odd["/oauth/token"] = Reply(200, b"{}", cut=1)
        with pytest.raises(FetchError, match="CH101"):
            smart.refresh(provider.base, "canary-refresh-1", APP)
        sent = len([asked for asked in provider.asked if asked.method == "POST"]) - posts
        assert sent == 1, "a refresh token may be spent although the answer is lost"


@pytest.mark.parametrize(
    ("scope", "known", "prompt"),
    [
        ("openid fhirUser offline_access patient/*.rs", [], ["consent"]),
        ("openid fhirUser offline_access patient/*.rs", ["login", "consent"], ["consent"]),
        ("openid fhirUser offline_access patient/*.rs", ["login"], None),
        ("offline_access patient/*.rs", [], None),
        ("openid fhirUser patient/*.rs", [], None),
    ],
)
def test_who_asks_for_lasting_access_asks_for_consent(scope: str, known: list[str], prompt: list[str] | None) -> None:
    """OpenID Connect Core §11: a certified server leaves `offline_access` out, and says nothing, otherwise."""
    endpoints = {"authorization_endpoint": "https://a.example/a", "token_endpoint": "https://a.example/t"}
    said = json.dumps(endpoints | {"prompt_values_supported": known}).encode()
    configuration = read_configuration(said, "https://a.example/fhir")
    assert configuration is not None
    begun = smart.begin_sign_in(configuration, "https://a.example/fhir", APP, redirect_uri=REDIRECT, scope=scope)
    assert parse_qs(urlsplit(begun.url).query).get("prompt") == prompt


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (as_json({"error": "invalid_grant"}, 400), "CH113"),
        (as_json({"error": "invalid_grant"}, 200), "CH113"),
        (as_json({"error": "access_denied"}, 403), "CH113"),
        (as_json({"error": "ConsentRequired"}, 400), "CH113"),
        (as_json({"message": "canary"}, 400), "CH113"),
        # What is wrong between the provider and us is no reason to send people to sign in again.
        (as_json({"error": "invalid_client"}, 401), "CH123"),
        (as_json({"error": "unauthorized_client"}, 400), "CH123"),
        (as_json({"error": "invalid_request"}, 400), "CH123"),
        (as_json({"error": ["canary"]}, 401), "CH123"),
        (as_json({"message": "canary"}, 404), "CH123"),
        (as_json({"error": "temporarily_unavailable"}, 400), "CH109"),
        (Reply(429), "CH109"),
        (Reply(200, b"<html>canary</html>"), "CH105"),
        (as_json({"token_type": "Bearer"}), "CH105"),
        (Reply(raw=[b"HTTP/1.1 200 OK\r\n\r\n", *[b"x"] * 60], drip=0.05), "CH101"),
    ],
)
def test_a_renewal_that_fails_says_whose_fault_it_is(reply: Reply, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 2)
    short = get_settings().model_copy(update={"request_timeout": 0.3, "retry_wait_max": 0.01})
    for module in (smart, token_endpoint):
        monkeypatch.setattr(module, "get_settings", lambda: short)
    with Provider() as provider:
        provider.odd["/oauth/token"] = reply
        with pytest.raises(FetchError) as caught:
            smart.refresh(provider.base, "canary-refresh-1", APP)
    assert caught.value.code == code
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_token_endpoint_is_asked_again(status: int) -> None:
    busy = [Reply(status, headers={"Retry-After": "0"}), Reply(status)]
    with Provider() as provider:
        real = provider.answer
        provider.answer = lambda asked: busy.pop() if busy and asked.method == "POST" else real(asked)
        began = time.monotonic()
        assert smart.refresh(provider.base, "canary-refresh-1", APP).access_token == "canary-access-1"
    assert time.monotonic() - began > 1


def test_a_provider_that_names_no_token_endpoint_tonight_ends_no_grant() -> None:
    with Provider() as provider:
        provider.configuration = {"maintenance": True}
        rest = [{"resource": [{"type": "Patient"}]}]
        provider.odd["/fhir/metadata"] = as_json({"resourceType": "CapabilityStatement", "rest": rest})
        with pytest.raises(FetchError, match="CH123"):
            smart.refresh(provider.base, "canary-refresh-1", APP)


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("3600", 3600),
        (3600.5, 3600),
        ("3600.0", 3600),
        *((odd, None) for odd in (None, "", "canary", 0, -5, [1], 1e12, 1e300, float("nan"), float("inf"))),
    ],
)
def test_an_odd_lifetime_costs_no_token(sent: object, seconds: int | None) -> None:
    with Provider() as provider:
        provider.granted |= {"expires_in": sent, "refresh_token": "canary-refresh-2"}
        tokens = smart.refresh(provider.base, "canary-refresh-1", APP)
    assert tokens.refresh_token == "canary-refresh-2"
    if seconds is None:
        assert tokens.expires_at is None
    else:
        assert tokens.expires_at is not None
        assert abs((tokens.expires_at - datetime.now(UTC)).total_seconds() - seconds) < 20


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/token", "http://[", "javascript:alert(1)", "", 7])
def test_an_endpoint_that_is_no_safe_address_is_none(
    address: object, certificate: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with Provider(tls) as provider:
        assert provider.configuration is not None
        provider.configuration["revocation_endpoint"] = address
        assert smart.discover(provider.base).revocation_endpoint is None
        provider.configuration["token_endpoint"] = address
        with pytest.raises(CharthouseError, match="CH104"):  # and there is no /metadata to ask instead
            smart.discover(provider.base)


def test_revocation() -> None:
    with Provider() as provider:
        assert smart.revoke(provider.base, "canary-refresh-1", APP) is True
        form = provider.asked[-1].form
        assert (form["token"], form["token_type_hint"]) == ("canary-refresh-1", "refresh_token")
        provider.odd["/oauth/revoke"] = Reply(503)
        with pytest.raises(FetchError, match="CH109"):
            smart.revoke(provider.base, "canary-refresh-1", APP)
        assert provider.configuration is not None
        del provider.configuration["revocation_endpoint"]
        assert smart.revoke(provider.base, "canary-refresh-1", APP) is False


def test_endpoints_from_the_capability_statement() -> None:
    named = [{"url": "authorize", "valueUri": "/oauth/authorize"}, {"url": "token", "valueUri": "https://t.example/t"}]
    extension = {"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": named}
    rest = [{"security": {"extension": [extension]}, "resource": [{"type": "Patient"}]}]
    with Provider() as provider:
        provider.configuration = None
        statement = {"resourceType": "CapabilityStatement", "rest": rest}
        provider.odd["/fhir/metadata"] = as_json(statement)
        found = smart.discover(provider.base)
        assert found.authorization_endpoint == f"{provider.url}/oauth/authorize"
        assert found.token_endpoint == "https://t.example/t"
        assert found.revocation_endpoint is None
        provider.odd["/fhir/metadata"] = as_json(statement | {"rest": [{"resource": [{"type": "Patient"}]}]})
        with pytest.raises(StateError, match="CH604"):
            smart.discover(provider.base)


def test_scopes_follow_what_the_provider_knows() -> None:
    def asked(scopes: list[str], *capabilities: str) -> set[str]:
        known = smart.SmartConfiguration("a", "t", None, None, None, frozenset(scopes), frozenset(capabilities))
        return {word for word in smart.scopes_to_request(known).split() if word.startswith("patient/")}

    assert asked(["patient/*.rs", "patient/*.read"]) == {"patient/*.rs"}
    assert asked(["patient/*.read"]) == {"patient/*.read"}
    assert asked(["patient/Observation.rs", "patient/Goal.cruds"]) == {"patient/Observation.rs", "patient/Goal.rs"}
    assert {"patient/Observation.rs", "patient/Organization.rs"} <= asked([], "permission-v2")
    assert {"patient/Observation.read", "patient/Medication.read"} <= asked([])
    assert asked(["patient/*.*"]) == {"patient/*.read"}
    assert asked(["patient/*.*"], "permission-v2") == {"patient/*.rs"}
    assert asked(["patient/Patient.r", "patient/Observation.cruds", "patient/Goal.cud", "user/*.rs"]) == {
        "patient/Patient.r",
        "patient/Observation.rs",
    }
    category = "http://terminology.hl7.org//CodeSystem-observation-category|social-history"
    listed = [
        f"patient/Observation.rs?category={category}",
        "patient/Condition.rs",
        "patient/Condition.rs?category=a|b",
    ]
    assert asked(listed) == {f"patient/Observation.rs?category={category}", "patient/Condition.rs"}
    nobody = smart.SmartConfiguration("a", "t", scopes_supported=frozenset({"patient/*.rs"}))
    assert smart.scopes_to_request(nobody).split() == ["launch/patient", "offline_access", "patient/*.rs"]
    bare = smart.SmartConfiguration("a", "t")
    offered = smart.scopes_to_request(bare, offered={"Patient", "Goal", "Questionnaire"}).split()
    assert offered[-2:] == ["patient/Goal.read", "patient/Patient.read"]


def test_only_reading_is_asked_for_whatever_is_written_down() -> None:
    written = (
        "openid patient/*.cruds patient/Observation.* user/Goal.write patient/Condition.rs?category=a|b system/*.rs"
    )
    kept = "openid patient/*.rs patient/Observation.read patient/Condition.rs?category=a|b"
    assert read_only(f"{written} system/*.rs") == kept
    assert read_only("patient/Patient.c patient/odd.thing offline_access") == "offline_access"
    begun = smart.begin_sign_in(
        smart.SmartConfiguration("https://p.example/a", "https://p.example/t"),
        "https://p.example/fhir",
        APP,
        redirect_uri=REDIRECT,
        scope="patient/*.cruds",
    )
    assert parse_qs(urlsplit(begun.url).query)["scope"] == ["patient/*.rs"]
    assert "nonce" not in begun.url, "nobody is asked who they are"


def test_what_a_token_answer_can_say() -> None:
    with Provider() as provider:
        provider.granted |= {
            "scope": ["patient/*.rs", "openid"],
            "patient": 4711,
            "refresh_expires_in": "86400",
            "refresh_token_expires_in": 7200,
            "access_grant_expiration": "2999-01-01T00:00:00Z",
            "fhirUser": "Patient/4711",
            "id_token": 7,
            "need_patient_banner": True,
        }
        tokens = smart.sign_in_unattended(provider.base, "canary-patient", APP, REDIRECT)
        assert (tokens.scope, tokens.patient, tokens.fhir_user, tokens.id_token) == (
            "patient/*.rs openid",
            "4711",
            "Patient/4711",
            None,
        )
        assert tokens.refresh_expires_at is not None
        assert abs((tokens.refresh_expires_at - datetime.now(UTC)).total_seconds() - 7200) < 20
        # Keycloak says 0 for an offline token that has no end.
        provider.granted = {"access_token": "a", "refresh_expires_in": 0, "access_grant_expiration": "2001-01-01"}
        tokens = smart.refresh(provider.base, "canary-refresh-1", APP)
        assert (tokens.scope, tokens.refresh_expires_at) == (None, None)
        provider.granted = {"access_token": "a", "scope": ""}
        assert smart.sign_in_unattended(provider.base, "canary-patient", APP, REDIRECT).scope == ""
        assert smart.refresh(provider.base, "canary-refresh-1", APP).scope is None, "an empty one takes back nothing"


def test_a_configuration_whole_and_odd() -> None:
    whole = {
        "authorization_endpoint": "authorize",
        "token_endpoint": "https://t.example/token",
        "issuer": "https://i.example/",
        "jwks_uri": "/keys",
        "scopes_supported": "openid patient/*.rs",
        "code_challenge_methods_supported": ["S256", 7],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "authorization_response_iss_parameter_supported": "true",
        "user_access_brand_bundle": "https://b.example/brands.json",
        "associated_endpoints": [{"url": "imaging", "capabilities": ["a", 1]}, {"url": "ftp://x"}, 3],
    }
    found = read_configuration(json.dumps(whole).encode(), "https://p.example/fhir/")
    assert found is not None
    assert found.authorization_endpoint == "https://p.example/fhir/authorize"
    assert found.issuer == "https://i.example/"
    assert found.jwks_uri == "https://p.example/keys"
    assert found.knows_v2
    assert found.code_challenge_methods_supported == {"S256"}
    assert found.authorization_response_iss_parameter_supported is False, "a text is no boolean"
    assert found.user_access_brand_bundle == "https://b.example/brands.json"
    [imaging] = found.associated_endpoints
    assert (imaging.url, imaging.capabilities) == ("https://p.example/fhir/imaging", {"a"})
    for odd in (b"", b"[]", b'"x"', b"{}", b'{"token_endpoint": "/t"}'):
        assert read_configuration(odd, "https://p.example/fhir") is None
