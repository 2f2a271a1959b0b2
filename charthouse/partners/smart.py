"""Signing in at a provider: SMART App Launch 2.2, standalone patient launch, read-only scopes.

Authorization code with PKCE (S256), refresh, revocation (RFC 7009) and introspection (RFC 7662), as whichever client we
are there. Nothing here logs, and no error quotes what a server or a person sent.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session

from charthouse.errors import FetchError, LinkError, StateError
from charthouse.partners.addresses import join
from charthouse.partners.client import Client
from charthouse.partners.discovery import SmartConfiguration, discover, host
from charthouse.partners.pacing import pause
from charthouse.partners.reading import BearerToken, ReadOnlySession
from charthouse.partners.scope_request import read_only, scopes_to_request
from charthouse.partners.token_endpoint import (
    BusyError,
    RefusedError,
    TokenSession,
    TokenSet,
    accepted,
    conversation,
    introducing,
    named,
    sending,
    token_set,
)
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.partners.lines import Lines

__all__ = [
    "Client",
    "Introspection",
    "SignIn",
    "SmartConfiguration",
    "TokenSet",
    "begin_sign_in",
    "discover",
    "exchange_code",
    "introspect",
    "refresh",
    "revoke",
    "scopes_to_request",
    "sign_in_unattended",
]


@dataclass(frozen=True, slots=True)
class SignIn:
    """A sign-in under way: where to send the person's browser, and the secrets that its return must match."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    code_verifier: str = field(repr=False)
    nonce: str | None = field(repr=False)
    scope: str


@dataclass(frozen=True, slots=True)
class Introspection:
    """What a provider says of a token (RFC 7662 §2.2). `expires_at` is aware UTC."""

    active: bool
    expires_at: datetime | None = None
    scope: str | None = None
    patient: str | None = field(default=None, repr=False)
    client_id: str | None = None


def begin_sign_in(
    configuration: SmartConfiguration,
    base_url: str,
    client: Client,
    *,
    redirect_uri: str,
    scope: str | None = None,
    login_hint: str | None = None,
    prompt: str | None = None,
) -> SignIn:
    """Make the address at which a person signs in, with fresh secrets of 256 bits and more.

    A `scope` of the caller's own is asked for as far as it reads.
    """
    state, verifier, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(64), secrets.token_urlsafe(32)
    scope = read_only(scope) if scope else scopes_to_request(configuration)
    prompt = prompt or _consent(configuration, scope)
    asked = {
        "aud": base_url.rstrip("/"),
        "login_hint": login_hint,
        "prompt": prompt,
        "nonce": nonce if "openid" in scope.split() else None,
    }
    session = OAuth2Session(
        client.client_id,
        redirect_uri=redirect_uri,
        scope=scope,
        code_challenge_method="S256",
    )
    url, _ = session.create_authorization_url(
        configuration.authorization_endpoint,
        state=state,
        code_verifier=verifier,
        **{name: value for name, value in asked.items() if value is not None},
    )
    return SignIn(url, state, verifier, asked["nonce"], scope)


def exchange_code(
    configuration: SmartConfiguration, code: str, code_verifier: str, client: Client, *, redirect_uri: str
) -> TokenSet:
    """Trade the code that a person's browser came back with for tokens.

    Raises:
        LinkError: CH636 when the provider refused the code, CH637 when it refused us as a client.
        StateError: CH604 for another refusal.
        FetchError: CH101, CH105, CH109, CH121 when the token endpoint does not answer, or with no OAuth answer.
    """
    endpoint = configuration.token_endpoint
    where = host(endpoint)

    def talk(session: TokenSession) -> TokenSet:
        session.redirect_uri = redirect_uri
        with conversation(session, where):
            issued = session.fetch_token(
                endpoint, grant_type="authorization_code", code=code, code_verifier=code_verifier, **sending(endpoint)
            )
            return token_set(issued)

    try:
        return introducing(client, endpoint, talk)
    except RefusedError as error:
        if error.is_passing:
            raise FetchError("CH109", where=where, what=named(error.error)) from None
        if error.is_the_clients:
            raise LinkError("CH637", where=where, what=named(error.error)) from None
        if error.error == "invalid_grant":
            raise LinkError("CH636", where=where, what=named(error.error)) from None
        raise StateError("CH604", where=where, what=named(error.error)) from None
    except AuthlibBaseError:
        raise StateError("CH604", where=where, what="its answer holds no access token") from None


def refresh(
    base_url: str,
    refresh_token: str,
    client: Client,
    *,
    configuration: SmartConfiguration | None = None,
    lines: Lines | None = None,
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
            return _refresh_once(configuration, client, refresh_token, lines)
        except BusyError as busy:
            if attempt == settings.request_tries:
                raise FetchError(busy.code, where=busy.where, what=busy.what) from None
            time.sleep(min(pause(attempt, busy.status, busy.wait).seconds, settings.retry_wait_max))
            attempt += 1


def revoke(
    base_url: str,
    token: str,
    client: Client,
    *,
    hint: str = "refresh_token",
    configuration: SmartConfiguration | None = None,
) -> bool:
    """Revoke a token at the provider (RFC 7009). False where the provider has no place for it.

    Raises:
        FetchError: CH101, CH109 when the endpoint does not answer; CH111 when it refuses.
        LinkError: CH637 when the registration lacks its secret or key.
        StateError: CH604 when the provider names no endpoints at all.
    """
    configuration = configuration or discover(base_url)
    endpoint = configuration.revocation_endpoint
    if endpoint is None:
        return False
    where = host(endpoint)

    def talk(session: TokenSession) -> None:
        with conversation(session, where):
            accepted(session.revoke_token(endpoint, token=token, token_type_hint=hint, **sending(endpoint)), where)

    try:
        introducing(client, configuration.token_endpoint, talk)
    except RefusedError as error:
        raise FetchError("CH111", where=where, what=f"HTTP {error.status}") from None
    return True


def introspect(
    base_url: str,
    token: str,
    client: Client,
    *,
    hint: str = "access_token",
    bearer: str | None = None,
    configuration: SmartConfiguration | None = None,
) -> Introspection | None:
    """What the provider says of a token (RFC 7662, SMART App Launch 2.2 §introspection); None where it offers none.

    With `bearer`, an access token authorizes the question (RFC 7662 §2.1) in place of the client's own proof: public
    clients have none.

    Raises:
        FetchError: CH101, CH105, CH109 when no usable answer came; CH111 when the provider refuses.
        LinkError: CH637 when the registration lacks its secret or key.
        StateError: CH604 when the provider names no endpoints at all.
    """
    configuration = configuration or discover(base_url)
    endpoint = configuration.introspection_endpoint
    if endpoint is None:
        return None
    where = host(endpoint)

    def talk(session: TokenSession) -> Mapping[str, Any]:
        with conversation(session, where):
            auth = {"auth": BearerToken(bearer)} if bearer is not None else {}
            answer = session.introspect_token(endpoint, token=token, token_type_hint=hint, **auth, **sending(endpoint))
            said: Mapping[str, Any] = accepted(answer, where).json()
            if not isinstance(said.get("active"), bool):
                raise TypeError
            return said

    try:
        said = introducing(client, configuration.token_endpoint, talk)
    except RefusedError as error:
        raise FetchError("CH111", where=where, what=f"HTTP {error.status}") from None
    return _introspection(said)


def sign_in_unattended(
    base_url: str, login_hint: str, client: Client, redirect_uri: str, scope: str | None = None
) -> TokenSet:
    """The whole code flow without a person at a browser, for providers that allow it (`prompt=none`, OIDC Core §3.1.2).

    Raises:
        StateError: CH604 when the provider refuses or wants to show a page.
        LinkError, FetchError: as `exchange_code`.
    """
    configuration = discover(base_url)
    sign_in = begin_sign_in(
        configuration,
        base_url,
        client,
        redirect_uri=redirect_uri,
        scope=scope,
        login_hint=login_hint,
        prompt="none",
    )
    where = host(configuration.token_endpoint)
    callback = _redirected_to(sign_in.url, redirect_uri)
    given = {name: values[0] for name, values in parse_qs(urlsplit(callback).query).items()}
    if not hmac.compare_digest(given.get("state", "").encode(), sign_in.state.encode()):
        raise StateError("CH604", where=where, what="the answer belongs to another sign-in")
    if "code" not in given:
        raise StateError("CH604", where=where, what=named(given.get("error")))
    return exchange_code(configuration, given["code"], sign_in.code_verifier, client, redirect_uri=redirect_uri)


def _consent(configuration: SmartConfiguration, scope: str) -> str | None:
    """What OpenID Connect Core §11 demands of who asks for `offline_access`: certified servers grant none without it.

    Outside OpenID Connect the parameter has no meaning; a server that names the values that it takes may lack this one.
    """
    known = configuration.prompt_values_supported
    asked = {"openid", "offline_access"} <= set(scope.split())
    return "consent" if asked and (not known or "consent" in known) else None


def _refresh_once(
    configuration: SmartConfiguration, client: Client, refresh_token: str, lines: Lines | None
) -> TokenSet:
    endpoint = configuration.token_endpoint
    where = host(endpoint)

    def talk(session: TokenSession) -> TokenSet:
        with conversation(session, where):
            issued = token_set(session.refresh_token(endpoint, refresh_token=refresh_token, **sending(endpoint)))
            return replace(issued, scope=issued.scope or None)  # an empty one takes back nothing

    try:
        return introducing(client, endpoint, talk, lines=lines)
    except RefusedError as error:
        code = "CH109" if error.is_passing else "CH113" if error.is_the_grants else "CH123"
        raise FetchError(code, where=where, what=named(error.error)) from None
    except LinkError as error:
        raise FetchError("CH123", where=where, what=error.what) from None
    except AuthlibBaseError:
        raise FetchError("CH105", where=where) from None


def _introspection(said: Mapping[str, Any]) -> Introspection:
    def text(name: str) -> str | None:
        value = said.get(name)
        return value if isinstance(value, str) and value else None

    ends = said.get("exp")
    try:
        expires_at = datetime.fromtimestamp(float(ends), UTC) if ends else None
    except (TypeError, ValueError, OverflowError, OSError):
        expires_at = None
    return Introspection(
        active=said["active"],
        expires_at=expires_at,
        scope=text("scope"),
        patient=text("patient"),
        client_id=text("client_id"),
    )


def _redirected_to(url: str, redirect_uri: str) -> str:
    """Ask the authorization endpoint as a browser would, and say where it sends the browser: to us, or nowhere."""
    where = host(url)
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
