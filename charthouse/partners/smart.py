"""Signing in at a provider: SMART App Launch 2.2, standalone patient launch, read-only scopes.

Authorization code with PKCE (S256), refresh and revocation. Configurations in the field lack fields that the standard
requires, so every address but two is optional. Nothing here logs, and no error quotes what a server or a person sent.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec
import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session

from charthouse.errors import FetchError, StateError
from charthouse.partners.addresses import host_of, join, origin
from charthouse.partners.capability import fetch_capability
from charthouse.partners.http import BearerToken, HttpClient, ReadOnlySession
from charthouse.partners.pacing import pause
from charthouse.partners.search import REFERENCED_TYPES, compartment_types
from charthouse.partners.token_endpoint import (
    BusyError,
    RefusedError,
    TokenSession,
    TokenSet,
    conversation,
    look_at,
    named,
    sending,
    token_set,
)
from charthouse.settings import get_settings

WELL_KNOWN: Final = ".well-known/smart-configuration"
LAUNCH_SCOPES: Final = ("launch/patient", "openid", "fhirUser", "offline_access")


@dataclass(frozen=True, slots=True)
class SmartConfiguration:
    """Where a provider's OAuth endpoints are, absolute, and what it says it supports (SMART App Launch §8)."""

    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    management_endpoint: str | None = None
    scopes_supported: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in under way: where to send the person's browser, and the two secrets that its return must match."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)


def discover(base_url: str) -> SmartConfiguration:
    """Find the OAuth endpoints of a FHIR base: its smart-configuration, else what its CapabilityStatement names.

    Raises:
        FetchError: the base cannot be read at all (CH101, CH109, …).
        StateError: CH604 when it names no place to sign in.
    """
    base = base_url.rstrip("/")
    with HttpClient(get_settings()) as client:
        try:
            found = _configuration(client.get(f"{base}/{WELL_KNOWN}", accept="application/json").body, base)
        except FetchError as error:
            if error.code in {"CH101", "CH109"}:
                raise
            found = None
        if found is not None:
            return found
        oauth = fetch_capability(client, base).oauth
    named = {name: _address(base, value) for name, value in oauth.items()}
    authorization, token = named.get("authorize"), named.get("token")
    if authorization is None or token is None:
        raise StateError("CH604", where=_host(base), what="it names no address at which a person could sign in")
    return SmartConfiguration(
        authorization_endpoint=authorization,
        token_endpoint=token,
        revocation_endpoint=named.get("revoke"),
        introspection_endpoint=named.get("introspect"),
        management_endpoint=named.get("manage"),
    )


def scopes_to_request(configuration: SmartConfiguration) -> str:
    """The read-only scopes to ask for: v2 `.rs` where the provider says it knows them, else v1 `.read`.

    The wildcard where the provider lists it; otherwise type by type, of those it lists if it lists any.
    """
    listed = configuration.scopes_supported
    second = "permission-v2" in configuration.capabilities or any(scope.endswith(".rs") for scope in listed)
    access = "rs" if second else "read"
    if f"patient/*.{access}" in listed:
        return " ".join([*LAUNCH_SCOPES, f"patient/*.{access}"])
    wanted = [f"patient/{kind}.{access}" for kind in sorted({*compartment_types(), *REFERENCED_TYPES})]
    return " ".join([*LAUNCH_SCOPES, *([scope for scope in wanted if scope in listed] or wanted)])


def begin_sign_in(
    configuration: SmartConfiguration,
    base_url: str,
    *,
    client_id: str,
    redirect_uri: str,
    scope: str | None = None,
    login_hint: str | None = None,
    prompt: str | None = None,
) -> SignIn:
    """Make the address at which a person signs in, with fresh secrets of 256 bits and more."""
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(64)
    asked = {"aud": base_url.rstrip("/"), "login_hint": login_hint, "prompt": prompt}
    session = OAuth2Session(
        client_id,
        redirect_uri=redirect_uri,
        scope=scope or scopes_to_request(configuration),
        code_challenge_method="S256",
    )
    url, _ = session.create_authorization_url(
        configuration.authorization_endpoint,
        state=state,
        code_verifier=verifier,
        **{name: value for name, value in asked.items() if value is not None},
    )
    return SignIn(url, state, verifier)


def complete_sign_in(
    configuration: SmartConfiguration,
    sign_in: SignIn,
    callback_url: str,
    *,
    client_id: str,
    redirect_uri: str,
    client_secret: str | None = None,
) -> TokenSet:
    """Trade the code that the person's browser came back with for tokens.

    Raises:
        StateError: CH604 when the provider refused, or the answer is not one to this sign-in.
        FetchError: CH101, CH109 when the token endpoint does not answer.
    """
    where = _host(configuration.token_endpoint)
    given = {name: values[0] for name, values in parse_qs(urlsplit(callback_url).query).items()}
    if not hmac.compare_digest(given.get("state", "").encode(), sign_in.state.encode()):
        raise StateError("CH604", where=where, what="the answer belongs to another sign-in")
    if "code" not in given:
        raise StateError("CH604", where=where, what=named(given.get("error")))
    session = TokenSession(client_id, client_secret, redirect_uri=redirect_uri)
    with conversation(session, where):
        try:
            issued = session.fetch_token(
                configuration.token_endpoint,
                grant_type="authorization_code",
                code=given["code"],
                code_verifier=sign_in.code_verifier,
                **sending(configuration.token_endpoint),
            )
            return token_set(issued)
        except AuthlibBaseError as error:
            raise StateError("CH604", where=where, what=named(error.error)) from None


def refresh(
    base_url: str,
    refresh_token: str,
    *,
    client_id: str,
    client_secret: str | None = None,
    configuration: SmartConfiguration | None = None,
) -> TokenSet:
    """Trade a refresh token for new tokens. One that returns no new refresh token leaves the old one in force.

    An endpoint that is busy is asked again. One that does not answer is not: a provider may spend the token although
    its answer is lost, so trying again is the caller's decision.

    Raises:
        FetchError: CH113 when the person's grant has ended; CH123 when the provider refuses us and not the grant;
            CH101 when no answer came, CH105 for one without tokens, CH109 for 429 and 5xx.
    """
    try:
        configuration = configuration or discover(base_url)
    except StateError as error:
        raise FetchError("CH123", where=error.where, what=error.what) from None
    settings = get_settings()
    attempt = 1
    while True:
        try:
            return _refresh_once(configuration, TokenSession(client_id, client_secret), refresh_token)
        except BusyError as busy:
            if attempt == settings.request_tries:
                raise FetchError(busy.code, where=busy.where, what=busy.what) from None
            time.sleep(min(pause(attempt, busy.status, busy.wait).seconds, settings.retry_wait_max))
            attempt += 1


def revoke(
    base_url: str,
    token: str,
    *,
    client_id: str,
    client_secret: str | None = None,
    hint: str = "refresh_token",
    configuration: SmartConfiguration | None = None,
) -> bool:
    """Revoke a token at the provider (RFC 7009). False where the provider has no place for it.

    Raises:
        FetchError: CH101, CH109 when the endpoint does not answer; CH111 when it refuses.
    """
    configuration = configuration or discover(base_url)
    endpoint = configuration.revocation_endpoint
    if endpoint is None:
        return False
    where = _host(endpoint)
    session = TokenSession(client_id, client_secret)
    with conversation(session, where):
        answer = session.revoke_token(endpoint, token=token, token_type_hint=hint, **sending(endpoint))
        look_at(answer, where)
        if answer.status_code >= 400:
            raise FetchError("CH111", where=where, what=f"HTTP {answer.status_code}")
    return True


def sign_in_unattended(
    base_url: str, login_hint: str, client_id: str, redirect_uri: str, scope: str | None = None
) -> TokenSet:
    """The whole code flow without a person at a browser, for providers that allow it (`prompt=none`, OIDC Core §3.1.2).

    Raises:
        StateError: CH604 when the provider refuses or wants to show a page.
        FetchError: the provider cannot be read.
    """
    configuration = discover(base_url)
    sign_in = begin_sign_in(
        configuration,
        base_url,
        client_id=client_id,
        redirect_uri=redirect_uri,
        scope=scope,
        login_hint=login_hint,
        prompt="none",
    )
    callback = _redirected_to(sign_in.url, redirect_uri)
    return complete_sign_in(configuration, sign_in, callback, client_id=client_id, redirect_uri=redirect_uri)


def _refresh_once(configuration: SmartConfiguration, session: TokenSession, refresh_token: str) -> TokenSet:
    where = _host(configuration.token_endpoint)
    with conversation(session, where):
        try:
            issued = session.refresh_token(
                configuration.token_endpoint, refresh_token=refresh_token, **sending(configuration.token_endpoint)
            )
            return token_set(issued)
        except RefusedError as error:
            code = "CH109" if error.is_passing else "CH113" if error.is_the_grants else "CH123"
            raise FetchError(code, where=where, what=named(error.error)) from None
        except AuthlibBaseError:
            raise FetchError("CH105", where=where) from None


def _configuration(body: bytes, base: str) -> SmartConfiguration | None:
    try:
        said = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None

    def address(name: str) -> str | None:
        return _address(base, said.get(name))

    def words(name: str) -> frozenset[str]:
        value = said.get(name)
        return frozenset(word for word in value if isinstance(word, str)) if isinstance(value, list) else frozenset()

    authorization, token = address("authorization_endpoint"), address("token_endpoint")
    if authorization is None or token is None:
        return None
    return SmartConfiguration(
        authorization_endpoint=authorization,
        token_endpoint=token,
        revocation_endpoint=address("revocation_endpoint"),
        introspection_endpoint=address("introspection_endpoint"),
        management_endpoint=address("management_endpoint"),
        scopes_supported=words("scopes_supported"),
        capabilities=words("capabilities"),
    )


def _address(base: str, named: object) -> str | None:
    """An endpoint made absolute: relative to the FHIR base, as SMART App Launch §8.2 permits; None for no web address.

    Neither is one that would send secrets in clear text although the base is encrypted.
    """
    target = join(f"{base}/", named) if isinstance(named, str) and named else None
    home, there = origin(base), origin(target) if target else None
    if there is None or (home is not None and home[0] == "https" and there[0] != "https"):
        return None
    return target


def _redirected_to(url: str, redirect_uri: str) -> str:
    """Ask the authorization endpoint as a browser would, and say where it sends the browser: to us, or nowhere."""
    where = _host(url)
    with ReadOnlySession() as session:
        for _ in range(5):
            try:
                answer = session.get(url, auth=BearerToken(None), **sending(url))
            except (requests.RequestException, OSError):
                raise FetchError("CH101", where=where) from None
            target = join(url, answer.headers.get("Location", ""))
            if target is None or not 300 <= answer.status_code < 400:
                break
            if target.partition("?")[0] == redirect_uri:
                return target
            url = target
    raise StateError("CH604", where=where, what="it does not sign in without a person")


def _host(url: str) -> str:
    home = origin(url)
    return host_of(home) if home else "no URL"
