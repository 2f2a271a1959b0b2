"""Who signed in, as an ID token says it (OpenID Connect Core §2, §3.1.3.7; SMART's `fhirUser`).

One that is signed wrongly, by nobody, or for somebody else ends the sign-in. One that cannot be judged (its keys cannot
be had, or it lacks the nonce that we sent) says nothing, which is not the same: SMART asks for none of it, and who the
records are about is told by the Patient itself.
"""

from __future__ import annotations

import hmac
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from charthouse.clock import now
from charthouse.errors import FetchError, LinkError
from charthouse.partners.addresses import join, origin
from charthouse.partners.discovery import OPENID_WELL_KNOWN, host, read_object
from charthouse.partners.http import HttpClient
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from joserfc.jwk import Key

    from charthouse.partners.client import Client
    from charthouse.partners.discovery import SmartConfiguration

LEEWAY: Final = timedelta(minutes=11)
"""How far the clocks may differ: a server that is ten minutes off signs people in all the same."""
KEYS_LIVE: Final = 600.0
ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519", "Ed448"),
)
SYMMETRIC: Final = ("HS256", "HS384", "HS512")
"""Signed with the client's secret, which Core §10.1 permits for a client that has one."""
_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}

_held: dict[str, tuple[float, list[dict[str, Any]]]] = {}
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who signed in: their id at the issuer, and the resource that stands for them (`Patient/1`), if it was named."""

    subject: str = field(repr=False)
    fhir_user: str | None = field(repr=False)


class _UnknownError(Exception):
    """The token cannot be judged."""


def check_id_token(
    token: str, configuration: SmartConfiguration, client: Client, *, base_url: str, nonce: str | None
) -> SignedIn | None:
    """Who signed in; None where the token cannot be judged.

    Raises:
        LinkError: CH641 for a token that is not what it should be. What it says is not quoted.
    """
    where = host(configuration.token_endpoint)
    try:
        claims = _signed(token, configuration, client, base_url, where)
        _hold(claims, configuration, client, base_url, where)
        if nonce is not None:
            told = claims.get("nonce")
            if told is None:
                return None
            if not isinstance(told, str) or not hmac.compare_digest(told.encode(), nonce.encode()):
                raise _refused(where, "its nonce is of another sign-in")
    except _UnknownError:
        return None
    named = claims.get("fhirUser") or claims.get("profile")
    subject = claims.get("sub")
    return SignedIn(
        subject=subject if isinstance(subject, str) else "",
        fhir_user=named if isinstance(named, str) else None,
    )


def patient_of(fhir_user: str | None, base_url: str) -> str | None:
    """The id of the Patient that a `fhirUser` names on this FHIR base; None for anybody else, or another server's."""
    if fhir_user is None:
        return None
    words = fhir_user.rstrip("/").split("/")
    if len(words) < 2 or words[-2] != "Patient":
        return None
    base = "/".join(words[:-2])
    return words[-1] if base in ("", base_url.rstrip("/")) else None


def _signed(token: str, configuration: SmartConfiguration, client: Client, base_url: str, where: str) -> dict[str, Any]:
    """The claims, once the signature holds."""
    header = _header(token, where)
    algorithm = header.get("alg")
    if algorithm in SYMMETRIC and client.secret is not None:
        return _decoded(token, jwk.import_key(client.secret, "oct"), algorithm, where)
    if not isinstance(algorithm, str) or algorithm not in ASYMMETRIC:
        raise _refused(where, "it is not signed by an algorithm that we take")
    address = configuration.jwks_uri or _jwks_of_issuer(token, configuration, base_url)
    if address is None:
        raise _UnknownError
    for fresh in (False, True):  # a key that is not known may have come since the set was read
        keys, was_fresh = _key_set(address, fresh=fresh)
        for key in _fitting(keys, header, algorithm):
            try:
                return _decoded(token, key, algorithm, where)
            except LinkError:
                continue
        if was_fresh:
            break
    raise _refused(where, "no key of the provider's has signed it")


def _hold(claims: dict[str, Any], configuration: SmartConfiguration, client: Client, base_url: str, where: str) -> None:
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not is_issuer(issuer, configuration, base_url):
        raise _refused(where, "it is of another issuer")
    named = claims.get("aud")
    audience = named if isinstance(named, list) else [named]
    if client.client_id not in audience or claims.get("azp", client.client_id) != client.client_id:
        raise _refused(where, "it is for another client")
    at, slack = now().timestamp(), LEEWAY.total_seconds()
    ends, begins, made = (_seconds(claims.get(name)) for name in ("exp", "nbf", "iat"))
    if ends is None or ends + slack < at:
        raise _refused(where, "its time is over")
    if any(instant is not None and instant - slack > at for instant in (begins, made)):
        raise _refused(where, "its time is to come")


def is_issuer(issuer: str, configuration: SmartConfiguration, base_url: str) -> bool:
    """Whether an issuer is this provider's: the one that it names, or, where it names none, one of its own origins.

    The last slash may be missing on either side: some write it in one place and not in the other.
    """
    if configuration.issuer is not None:
        return issuer.rstrip("/") == configuration.issuer.rstrip("/")
    home = origin(issuer)
    own = {origin(url) for url in (configuration.token_endpoint, configuration.authorization_endpoint, base_url)}
    return home is not None and home in own


def _jwks_of_issuer(token: str, configuration: SmartConfiguration, base_url: str) -> str | None:
    """Where the issuer publishes its keys, asked of its own metadata (OpenID Connect Discovery §4)."""
    issuer = configuration.issuer
    if issuer is None:
        claimed = _part(token, 1).get("iss")
        if not isinstance(claimed, str) or not is_issuer(claimed, configuration, base_url):
            return None
        issuer = claimed
    try:
        with HttpClient(get_settings()) as http:
            body = http.get(f"{issuer.rstrip('/')}/{OPENID_WELL_KNOWN}", accept="application/json").body
    except FetchError:
        return None
    named = (read_object(body) or {}).get("jwks_uri")
    address = join(f"{issuer}/", named) if isinstance(named, str) else None
    return address if address is not None and not _is_weaker(address, issuer) else None


def _key_set(address: str, *, fresh: bool) -> tuple[list[dict[str, Any]], bool]:
    """A published key set, and whether it was read just now."""
    with _lock:
        held = _held.get(address)
    if held is not None and not fresh and time.monotonic() - held[0] < KEYS_LIVE:
        return held[1], False
    try:
        with HttpClient(get_settings()) as http:
            said = read_object(http.get(address, accept="application/jwk-set+json, application/json").body)
    except FetchError:
        raise _UnknownError from None
    named = said.get("keys") if said is not None else None
    if not isinstance(named, list):
        raise _UnknownError
    keys = [key for key in named if isinstance(key, dict)]
    with _lock:
        if len(_held) > 1_000:
            _held.clear()
        _held[address] = time.monotonic(), keys
    return keys, True


def _fitting(keys: list[dict[str, Any]], header: dict[str, Any], algorithm: str) -> list[Key]:
    """The keys that may have signed: those of the header's `kid`, or all of the kind where it names none."""
    kid, kind = header.get("kid"), _KINDS[algorithm[:2]]
    found = []
    for key in keys:
        if key.get("kty") != kind or key.get("use", "sig") != "sig" or key.get("alg", algorithm) != algorithm:
            continue
        if kid is not None and key.get("kid") is not None and key["kid"] != kid:
            continue
        plain = {name: value for name, value in key.items() if name in {"kty", "n", "e", "crv", "x", "y"}}
        try:
            found.append(jwk.import_key(plain))
        except (JoseError, ValueError, TypeError, KeyError):
            continue  # one odd key must not spoil the others
    return found


def _decoded(token: str, key: Key, algorithm: str, where: str) -> dict[str, Any]:
    try:
        # The library refuses headers that it does not know; providers do send them.
        registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        return dict(jwt.decode(token, key, algorithms=[algorithm], registry=registry).claims)
    except (JoseError, ValueError, TypeError):
        raise _refused(where, "its signature does not hold") from None


def _header(token: str, where: str) -> dict[str, Any]:
    if token.count(".") != 2:
        raise _refused(where, "it is no signed token")
    return _part(token, 0)


def _part(token: str, place: int) -> dict[str, Any]:
    """A part of the token, not yet believed."""
    from base64 import urlsafe_b64decode

    text = token.split(".")[place]
    try:
        said = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_weaker(address: str, than: str) -> bool:
    return origin(address) is None or (urlsplit(than).scheme == "https" and urlsplit(address).scheme != "https")


def _refused(where: str, what: str) -> LinkError:
    return LinkError("CH641", where=where, what=what)
