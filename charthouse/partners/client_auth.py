"""How a request to an authorization server carries the proof of who we are (RFC 6749 §2.3.1, RFC 7521 §4.2, RFC 7523).

A secret in HTTP Basic is form-urlencoded first, as RFC 6749 §2.3.1 says. Servers exist that do not decode it; a secret
that the encoding changes is therefore sent once more as it is, where the first is refused as `invalid_client`.

An assertion says who we are. SMART leaves `client_id` out beside it; RFC 7521 §4.2 permits it, and Spring's server
takes no request without. One that is refused is therefore sent once more with it, made by the server's clock where that
differs from ours: nobody takes an assertion that has ended, or that is to come.
"""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus

from authlib.common.urls import add_params_to_qs
from joserfc import jwk, jwt

from charthouse.clock import now
from charthouse.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from charthouse.partners.client import Client, Signer

    Prepare = Callable[[Any, str, str, MutableMapping[str, str], Any], tuple[str, MutableMapping[str, str], Any]]
    """As Authlib calls it: client, method, address, headers, body; returns the last three."""

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE: Final = timedelta(minutes=4)
"""SMART App Launch 2.2 (client-confidential-asymmetric) permits five minutes; one is left for clocks that differ."""
DIFFERS: Final = timedelta(seconds=10)
"""Clocks that are less apart are not to blame."""


def proof(client: Client, token_endpoint: str, *, again: bool = False, ahead: timedelta = timedelta(0)) -> Prepare:
    """What puts the proof into a request, for Authlib; `again`, in its other form.

    `ahead` is how far the server's clock is ahead of ours.

    Raises:
        LinkError: CH637 when the registration lacks the secret or the key that its way of proof needs.
    """
    if client.auth == "private_key_jwt":
        if client.signer is None:
            raise LinkError("CH637", what="the registration has no key to sign with")
        sign, off = client.signer, ahead if abs(ahead) >= DIFFERS else timedelta(0)
        beside = {"client_assertion_type": ASSERTION_TYPE} | ({"client_id": client.client_id} if again else {})
        return lambda _client, _method, uri, headers, body: _in_body(
            uri, headers, body, beside | {"client_assertion": sign(token_endpoint, ahead=off)}
        )
    given = {"client_id": client.client_id}
    if client.auth != "none":
        if client.secret is None:
            raise LinkError("CH637", what="the registration has no secret")
        given["client_secret"] = client.secret
    if client.auth != "client_secret_basic":
        return lambda _client, _method, uri, headers, body: _in_body(uri, headers, body, given)
    login = _login(client, encoded=not again)
    return lambda _client, _method, uri, headers, body: (uri, _with(headers, "Authorization", login), body)


def has_another_form(client: Client, error: str | None) -> bool:
    """Whether a proof that was refused with this OAuth error has another form that may do."""
    if client.auth == "private_key_jwt":
        return error in {"invalid_client", "invalid_request"}
    if client.auth != "client_secret_basic" or error != "invalid_client":
        return False
    return _login(client, encoded=True) != _login(client, encoded=False)


def assertion_signer(client_id: str, private_key: Mapping[str, Any], *, kid: str, algorithm: str) -> Signer:
    """Makes client assertions with one private key (a JWK; `algorithm` RS384 or ES384): each for one request.

    Claims are those that SMART requires: iss = sub = client id, aud = token endpoint, jti, exp within five minutes.
    """
    key = jwk.import_key(dict(private_key))

    def sign(token_endpoint: str, *, ahead: timedelta = timedelta(0)) -> str:
        at = now() + ahead
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": token_endpoint,
            "jti": secrets.token_urlsafe(24),
            "iat": int(at.timestamp()),
            "exp": int((at + ASSERTION_LIFE).timestamp()),
        }
        return jwt.encode({"alg": algorithm, "kid": kid, "typ": "JWT"}, claims, key, algorithms=[algorithm])

    return sign


def _in_body(
    uri: str, headers: MutableMapping[str, str], body: str | bytes | None, given: Mapping[str, str]
) -> tuple[str, MutableMapping[str, str], str]:
    text = body.decode() if isinstance(body, bytes) else body or ""
    text = str(add_params_to_qs(text, list(given.items())))
    return uri, _with(headers, "Content-Length", str(len(text))), text


def _with(headers: MutableMapping[str, str], name: str, value: str) -> MutableMapping[str, str]:
    headers[name] = value
    return headers


def _login(client: Client, *, encoded: bool) -> str:
    words = (client.client_id, client.secret or "")
    text = ":".join(quote_plus(word) if encoded else word for word in words)
    return "Basic " + base64.b64encode(text.encode()).decode()
