"""SMART Backend Services: access tokens for ourselves, by the client credentials grant (SMART App Launch 2.2).

There is no person and no refresh token: a token that has ended is asked for anew, with a fresh signed assertion.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from authlib.common.errors import AuthlibBaseError
from joserfc import jwk
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from charthouse.clock import now
from charthouse.errors import FetchError, LinkError
from charthouse.partners.addresses import join, origin
from charthouse.partners.capability import fetch_capability
from charthouse.partners.client import Client
from charthouse.partners.client_auth import assertion_signer
from charthouse.partners.discovery import WELL_KNOWN, host, read_object
from charthouse.partners.http import HttpClient
from charthouse.partners.pacing import backoff
from charthouse.partners.token_endpoint import (
    BusyError,
    RefusedError,
    conversation,
    introducing,
    named,
    sending,
    token_set,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.partners.token_endpoint import TokenSet
    from charthouse.settings import Settings

V2, V1 = "system/*.rs", "system/*.read"
LEFT: Final = timedelta(seconds=30)
"""A token with less life than this is not used any more."""
UNKNOWN_LIFE: Final = timedelta(seconds=300)
"""What a token lives that does not say: SMART recommends no more."""
_CURVE: Final = "P-384"


def client_with_key(client_id: str, key: str, *, algorithm: str | None = None) -> Client:
    """A client that signs with a private key of its own: a JWK, a JWK set or a PEM.

    `algorithm` is RS384 or ES384; where it is left out, whichever fits the key. A key without a `kid` has its
    thumbprint (RFC 7638) for one.

    Raises:
        FetchError: CH163 when there is no such key in it. Nothing of the key is quoted.
    """
    for private in _keys(key):
        signs = "RS384" if isinstance(private, RSAKey) else "ES384"
        if algorithm in (None, signs):
            name = private.kid or private.thumbprint()
            signer = assertion_signer(client_id, private.as_dict(private=True), kid=name, algorithm=signs)
            return Client(client_id, "private_key_jwt", signer=signer)
    raise FetchError("CH163")


def _keys(text: str) -> list[RSAKey | ECKey]:
    """The private keys of a text that can sign, in their order."""
    said = read_object(text.encode())
    made: list[Any]
    try:
        if said is None:
            made = [_from_pem(text)]
        elif isinstance(said.get("keys"), list):
            # A set as providers' tools make it has the public halves beside the private ones.
            made = list(KeySet.import_key_set({"keys": [key for key in said["keys"] if "d" in key]}).keys)
        else:
            made = [jwk.import_key(said)]
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise FetchError("CH163") from None
    return [
        key
        for key in made
        if key.is_private and (isinstance(key, RSAKey) or (isinstance(key, ECKey) and key.curve_name == _CURVE))
    ]


def _from_pem(text: str) -> RSAKey | ECKey:
    try:
        return RSAKey.import_key(text)
    except (JoseError, ValueError, TypeError):
        return ECKey.import_key(text)


class SystemTokens:
    """Access tokens of one client at one provider. Safe between threads.

    The token endpoint is the one that the base's smart-configuration names, else its CapabilityStatement.
    """

    def __init__(self, settings: Settings, base_url: str, client: Client, scope: str | None = None) -> None:
        self._settings = settings
        self._base_url = base_url.rstrip("/")
        self._client = client
        self._scope = scope
        self._lock = threading.Lock()
        self._endpoint: str | None = None
        self._held: TokenSet | None = None
        self._ends = now()

    def token(self, refused: str | None = None) -> str:
        """An access token that lasts a while; a new one where it is the `refused` one.

        Raises:
            FetchError: CH150 when the endpoint does not take us, or there is none; CH101, CH105, CH109 as it answers.
        """
        with self._lock:
            if self._held is None or self._ends <= now() or self._held.access_token == refused:
                asked_at = now()
                self._held = self._ask()
                lives = self._held.expires_at - asked_at if self._held.expires_at is not None else UNKNOWN_LIFE
                self._ends = asked_at + lives - min(LEFT, lives / 2)
            return self._held.access_token

    def _ask(self) -> TokenSet:
        if self._endpoint is None:
            self._endpoint, offered = self._discover()
            if self._scope is None:
                self._scope = V1 if V1 in offered and not any(scope.endswith(".rs") for scope in offered) else V2
        try:
            return self._granted(self._endpoint, self._scope or V2)
        except RefusedError as refused:
            if refused.error == "invalid_scope" and self._scope == V2:
                self._scope = V1
                return self._ask()
            raise FetchError("CH150", where=host(self._endpoint), what=named(refused.error)) from None
        except AuthlibBaseError:
            raise FetchError("CH150", where=host(self._endpoint), what="it issued no access token") from None
        except LinkError as error:
            raise FetchError("CH150", where=host(self._endpoint), what=error.code) from None

    def _granted(self, endpoint: str, scope: str) -> TokenSet:
        where = host(endpoint)

        def talk(session: Any) -> TokenSet:
            with conversation(session, where):
                issued = session.fetch_token(
                    endpoint, grant_type="client_credentials", scope=scope, **sending(endpoint)
                )
                return token_set(issued)

        for attempt in range(1, self._settings.request_tries + 1):
            try:
                return introducing(self._client, endpoint, talk)
            except BusyError as busy:
                if attempt == self._settings.request_tries:
                    raise
                wait = backoff(attempt) if busy.wait is None else busy.wait
            except FetchError as error:
                if error.code != "CH101" or attempt == self._settings.request_tries:
                    raise
                wait = backoff(attempt)
            time.sleep(min(wait, self._settings.retry_wait_max))
        raise AssertionError("the last try returns or raises")

    def _discover(self) -> tuple[str, frozenset[str]]:
        """The token endpoint, and the scopes that the configuration lists. A backend's need no place to sign in."""
        with HttpClient(self._settings) as client:
            said: Mapping[str, Any] = {}
            try:
                body = client.get(f"{self._base_url}/{WELL_KNOWN}", accept="application/json").body
                said = read_object(body) or {}
            except FetchError as error:
                if error.code in {"CH101", "CH109"}:
                    raise
            named_there = said.get("token_endpoint")
            if not isinstance(named_there, str):
                named_there = fetch_capability(client, self._base_url).oauth.get("token")
        endpoint = join(f"{self._base_url}/", named_there) if named_there else None
        home, there = origin(self._base_url), origin(endpoint) if endpoint else None
        if endpoint is None or there is None or (home is not None and home[0] == "https" and there[0] != "https"):
            raise FetchError("CH150", where=host(self._base_url), what="it names no token endpoint")
        listed = said.get("scopes_supported")
        words = listed if isinstance(listed, list) else []
        return endpoint, frozenset(word for word in words if isinstance(word, str))
