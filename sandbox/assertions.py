"""Signed assertions of clients: SMART App Launch 2.2 §client-confidential-asymmetric, RFC 7523 §3."""

from __future__ import annotations

import threading
from typing import Any, Final

import orjson
import requests
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from sandbox.oauth_error import OAuthError

TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS: Final = ("RS384", "ES384")
MOST_SECONDS: Final = 300
_SKEW_SECONDS: Final = 5
_KEYS_SECONDS: Final = 300


def issuer_of(assertion: str) -> str | None:
    """Whom an assertion names as its issuer, unproved; None where it is no JWT."""
    try:
        claims = orjson.loads(jws.extract_compact(assertion.encode()).payload)
        return str(claims["iss"])
    except (JoseError, ValueError, KeyError, TypeError):
        return None


class Assertions:
    """Checks assertions, and remembers which have been used and the keys that were fetched."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], float] = {}
        self._fetched: dict[str, tuple[float, dict[str, Any]]] = {}

    def check(
        self,
        assertion: str,
        client_id: str,
        keys: dict[str, Any] | None,
        keys_uri: str | None,
        audience: str,
        now: float,
    ) -> None:
        """Check one: signature, issuer and subject, audience, at most five minutes to live, never seen before.

        Raises:
            OAuthError: `invalid_client`.
        """
        claims = self._claims(assertion, keys, keys_uri, now)
        said = claims.get("aud")
        audiences = said if isinstance(said, list) else [said]
        expires, identity = claims.get("exp"), claims.get("jti")
        if claims.get("iss") != client_id or claims.get("sub") != client_id:
            raise _refused("iss and sub must be the client_id")
        if audience not in audiences:
            raise _refused("aud must be the token endpoint")
        if not isinstance(expires, int | float) or isinstance(expires, bool) or expires <= now - _SKEW_SECONDS:
            raise _refused("the assertion has expired")
        if expires > now + MOST_SECONDS + _SKEW_SECONDS:
            raise _refused("exp must be no more than five minutes ahead")
        starts = claims.get("nbf", 0)
        if not isinstance(starts, int | float) or starts > now + _SKEW_SECONDS:
            raise _refused("the assertion is not valid yet")
        if not isinstance(identity, str) or not identity:
            raise _refused("jti is missing")
        with self._lock:
            self._used = {known: until for known, until in self._used.items() if until > now - _SKEW_SECONDS}
            if (client_id, identity) in self._used:
                raise _refused("the assertion has been used before")
            self._used[client_id, identity] = float(expires)

    def _claims(self, assertion: str, keys: dict[str, Any] | None, keys_uri: str | None, now: float) -> dict[str, Any]:
        try:
            header = jws.extract_compact(assertion.encode()).headers()
            name = header.get("kid")
            if not name:
                raise _refused("the header has no kid")
            found = keys if keys is not None else self._fetch(keys_uri or "", str(name), now)
            mine = [key for key in found.get("keys", ()) if key.get("kid") == name]
            if len(mine) != 1:
                raise _refused("no key of the client has this kid")
            return dict(jwt.decode(assertion, jwk.import_key(mine[0]), algorithms=list(ALGORITHMS)).claims)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError):
            raise _refused("the assertion is not signed by a key of the client with RS384 or ES384") from None

    def _fetch(self, uri: str, name: str, now: float) -> dict[str, Any]:
        """The client's key set; fetched anew when it is old, or does not know the key (a client changes its keys)."""
        held = self._fetched.get(uri)
        if held and held[0] > now - _KEYS_SECONDS and any(key.get("kid") == name for key in held[1].get("keys", ())):
            return held[1]
        try:
            answer = requests.get(uri, timeout=5, headers={"Accept": "application/json"})
            answer.raise_for_status()
            keys = answer.json()
        except (requests.RequestException, ValueError):
            raise _refused("the client's keys cannot be fetched") from None
        if not isinstance(keys, dict):
            raise _refused("the client's keys are no key set")
        self._fetched[uri] = (now, keys)
        return keys


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, status=401)
