"""Service tokens: who calls, and for whom. JWTs that live for minutes, signed by a key of ours or of the back end.

Sources: RFC 7519 and RFC 8725 (explicit types, one algorithm, issuer and audience checked), RFC 9068 (`at+jwt`).
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.util import urlsafe_b64decode
from sqlalchemy import or_, select, update

from charthouse.clock import now
from charthouse.errors import ApiError
from charthouse.linking import signing_keys
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, session
from charthouse.state.linking import SigningKey

ISSUER = "charthouse"
PURPOSE: Final = "service_token"
TYPES = ("at+jwt", "application/at+jwt")
OPERATOR = "operator"
LEEWAY = 60
"""Seconds that the clocks of two machines may differ. Ten minutes are refused, and said to be the clock's fault."""
LONGEST = 4096
LATEST = 1e11
"""Seconds since 1970: what is later is no instant but milliseconds, or nonsense."""
_ALGORITHMS: tuple[str, ...] = ("ES256", "ES384", "EdDSA", "Ed25519", "RS256", "PS256")
_OURS: tuple[str, ...] = ("ES256",)
_NAME = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: `name` at `issuer`, for one person; or, where `person` is empty, as operator."""

    issuer: str
    name: str
    person: str | None

    @property
    def identity(self) -> str:
        """One text for one caller in one role, for counting and for keys of requests."""
        return "\n".join((self.issuer, self.name, self.person or OPERATOR))


def issue(
    *,
    person: str | None = None,
    operator: bool = False,
    minutes: int | None = None,
    name: str = "cli",
    settings: Settings | None = None,
) -> str:
    """A token that acts for one person, or as operator. It lives as long as permitted, or shorter.

    Raises:
        ApiError: CH804 for more minutes than permitted.
        ValueError: unless exactly one of `person` and `operator` is said.
    """
    if (person is None) == (not operator):
        raise ValueError("a token acts for one person or as operator")
    settings = settings or get_settings()
    life = settings.api_token_minutes if minutes is None else minutes
    if not 1 <= life <= settings.api_token_minutes:
        raise ApiError("CH804", what=f"between 1 and {settings.api_token_minutes} minutes are permitted")
    kid, key = signing_keys.current(PURPOSE, settings=settings)
    at = int(now().timestamp())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": settings.api_audience,
        "sub": name,
        "iat": at,
        "exp": at + 60 * life,
        "jti": str(uuid.uuid4()),
    }
    claims |= {"scope": OPERATOR} if operator else {"person": person}
    return jwt.encode({"alg": "ES256", "kid": kid, "typ": TYPES[0]}, claims, key, algorithms=list(_OURS))


def rotate(*, at_once: bool = False, settings: Settings | None = None) -> str:
    """Sign with a new key from now on. Returns its id.

    Tokens of older keys are believed until their time is over; with `at_once` no longer, for a key that got about.
    """
    kid = signing_keys.rotate(PURPOSE, settings=settings)
    if at_once:
        with session(settings) as state:
            older = update(SigningKey).where(SigningKey.purpose == PURPOSE, SigningKey.kid != kid)
            state.execute(older.values(ends_at=now()))
            audit.record(state, "operator", "signing_key.ended", "signing_key", kid, {"purpose": PURPOSE})
    return kid


def caller_of(token: str, *, settings: Settings | None = None) -> Caller:
    """Who a token speaks for.

    Raises:
        ApiError: CH802 for a token of another signer, audience, type or shape, CH803 after its time, CH804 before it or
            for one that claims more than the permitted minutes, CH824 when the back end's keys cannot be read.
    """
    settings = settings or get_settings()
    claims = _verified(token, settings)
    if settings.api_audience not in _texts(claims.get("aud")):
        raise ApiError("CH802", what="it is for another audience")
    _in_time(claims, settings)
    name, person, scope = claims.get("sub"), claims.get("person"), claims.get("scope")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ApiError("CH802", what="it does not say who calls (sub)")
    as_operator = isinstance(scope, str) and OPERATOR in scope.split()
    if as_operator == isinstance(person, str):
        raise ApiError("CH802", what="it acts for one person (person) or as operator (scope), and this one is neither")
    return Caller(str(claims["iss"]), name, None if as_operator else str(person))


def _verified(token: str, settings: Settings) -> dict[str, Any]:
    """The claims of a token whose signature holds under a key of the issuer that it names."""
    issuer = _claimed_issuer(token)
    if issuer == ISSUER:
        keys, algorithms = _own_keys(token, settings), _OURS
    elif issuer == settings.api_backend_issuer and settings.api_backend_keys is not None:
        keys, algorithms = _backend_keys(settings), _ALGORITHMS
    else:
        raise ApiError("CH802", what="its issuer is not known")
    try:
        ring = KeySet.import_key_set({"keys": keys["keys"]})
        read = jwt.decode(token, ring, registry=JWSRegistry(algorithms=list(algorithms)))
    except (JoseError, ValueError, TypeError, KeyError):
        raise ApiError("CH802", what="its signature does not hold") from None
    if str(read.header.get("typ", "")).lower() not in TYPES:
        raise ApiError("CH802", what="its type (typ) is not at+jwt")
    return dict(read.claims)


def _claimed_issuer(token: str) -> str:
    """The issuer that a token names, before anything of it is believed: it only chooses the keys."""
    issuer = _part(token, 1).get("iss")
    if not isinstance(issuer, str):
        raise ApiError("CH802", what="it is no JWT that names its issuer")
    return issuer


def _part(token: str, number: int) -> dict[str, Any]:
    try:
        if len(token) > LONGEST:
            raise ValueError
        part = orjson.loads(urlsafe_b64decode(token.encode("ascii").split(b".")[number]))
    except (ValueError, IndexError):
        part = None
    if not isinstance(part, dict):
        raise ApiError("CH802", what="it is no JWT that names its issuer")
    return part


def _in_time(claims: dict[str, Any], settings: Settings) -> None:
    begins, ends = _instant(claims, "iat"), _instant(claims, "exp")
    not_before = _instant(claims, "nbf") if "nbf" in claims else begins
    at = now().timestamp()
    if at >= ends + LEEWAY:
        raise ApiError("CH803")
    if max(begins, not_before) > at + LEEWAY:
        raise ApiError("CH804", what="its time has not begun: the two machines' clocks differ")
    if ends - begins > 60 * settings.api_token_minutes:
        raise ApiError("CH804", what=f"at most {settings.api_token_minutes} minutes are permitted")


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < LATEST:
        raise ApiError("CH802", what="it does not say from when to when it holds (iat, exp)")
    return value


def _texts(value: object) -> list[str]:
    return (
        [value]
        if isinstance(value, str)
        else [one for one in value if isinstance(one, str)]
        if isinstance(value, list)
        else []
    )


def _own_keys(token: str, settings: Settings) -> dict[str, Any]:
    """The one key of ours that a token names, if it is still believed. Asking makes none."""
    kid = _part(token, 0).get("kid")
    query = select(SigningKey.public).where(SigningKey.kid == kid, SigningKey.purpose == PURPOSE)
    query = query.where(or_(SigningKey.ends_at.is_(None), SigningKey.ends_at > now()))
    if not isinstance(kid, str) or not _NAME.fullmatch(kid):
        return {"keys": []}
    with session(settings, read_only=True) as state:
        return {"keys": list(state.scalars(query))}


def _backend_keys(settings: Settings) -> dict[str, Any]:
    try:
        keys = orjson.loads(settings.api_backend_keys.read_bytes())  # type: ignore[union-attr]
        keys["keys"] = [key for key in keys["keys"] if key.get("kty") in ("EC", "OKP", "RSA")]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise ApiError("CH824") from None
    return dict(keys)
