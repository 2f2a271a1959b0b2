"""The authorization server of a provider: SMART App Launch 2.2, standalone launch of public clients.

Authorization code with PKCE (S256 only), refresh tokens that rotate, revocation (RFC 7009), introspection (RFC 7662).
The store keeps hashes of what it gives out, never the codes and tokens themselves.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

import orjson

from sandbox.scopes import Access, access_of, grantable, narrowed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.store import Store

CODE_SECONDS: Final = 60
GRACE_SECONDS: Final = 60
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9\-_]{43}")


class OAuthError(Exception):
    """An error of RFC 6749 §4.1.2.1 or §5.2: its code and a description."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        self.code = code
        self.description = description
        self.status = status
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds that tokens live; `refresh` None means until revoked."""

    access: float = 3600
    refresh: float | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be shown to a person: client, where to answer, what is asked."""

    client_id: str
    redirect_uri: str
    state: str
    scope: str
    challenge: str
    prompt: str
    login_hint: str

    def answer(self, **parameters: str) -> str:
        """The redirect URI with these parameters and the state."""
        if self.state:
            parameters["state"] = self.state
        joint = "&" if urlsplit(self.redirect_uri).query else "?"
        return self.redirect_uri + joint + urlencode(parameters)


def trusted_redirect(uri: str) -> bool:
    """Whether an address may be sent a code: https, a loopback address, or an app's own scheme; no fragment."""
    parts = urlsplit(uri)
    if not parts.scheme or "#" in uri:
        return False
    if parts.scheme == "http":
        return parts.hostname in ("127.0.0.1", "localhost", "::1")
    return (parts.scheme == "https" and bool(parts.hostname)) or "." in parts.scheme


def read_authorization(parameters: Mapping[str, str]) -> AuthorizationRequest:
    """Read an authorization request as far as it says whom to answer; `refusal` judges the rest.

    Raises:
        OAuthError: the client must not be answered by redirect (RFC 6749 §4.1.2.1).
    """
    client_id, redirect_uri = parameters.get("client_id", ""), parameters.get("redirect_uri", "")
    if not client_id:
        raise OAuthError("invalid_request", "client_id is missing")
    if not trusted_redirect(redirect_uri):
        raise OAuthError("invalid_request", "redirect_uri must be https, a loopback address or an app's own scheme")
    return AuthorizationRequest(
        client_id=client_id,
        redirect_uri=redirect_uri,
        state=parameters.get("state", ""),
        scope=" ".join(grantable(parameters.get("scope", ""))),
        challenge=parameters.get("code_challenge", ""),
        prompt=parameters.get("prompt", ""),
        login_hint=parameters.get("login_hint", ""),
    )


def refusal(parameters: Mapping[str, str], request: AuthorizationRequest, fhir_base: str) -> OAuthError | None:
    """Why a request whose client is known cannot be granted, or None."""
    if parameters.get("response_type") != "code":
        return OAuthError("unsupported_response_type", "response_type must be code")
    if not request.state:
        return OAuthError("invalid_request", "state is required")
    if parameters.get("aud", "").rstrip("/") != fhir_base:
        return OAuthError("invalid_request", "aud must be the FHIR base of this server")
    if parameters.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(request.challenge):
        return OAuthError("invalid_request", "PKCE with S256 is required")
    if not access_of("", request.scope.split()).scopes:
        return OAuthError("invalid_scope", "none of the scopes can be granted")
    return None


def grant_code(store: Store, request: AuthorizationRequest, patient: str, scope: str) -> str:
    """Open a grant for a patient and give out its code, good for a minute and once."""
    code, grant = _fresh(), secrets.token_hex(16)
    now = time.time()
    detail = orjson.dumps({"redirect_uri": request.redirect_uri, "challenge": request.challenge}).decode()
    with store.writing() as db:
        db.execute(
            "INSERT INTO access_grant VALUES (?, ?, ?, ?, ?, NULL)", (grant, request.client_id, patient, scope, now)
        )
        db.execute(
            "INSERT INTO credential VALUES (?, 'code', ?, ?, ?, NULL, ?)",
            (_hash(code), grant, scope, now + CODE_SECONDS, detail),
        )
    return code


def token(store: Store, form: Mapping[str, str], lifetimes: Lifetimes) -> dict[str, Any]:
    """Answer a token request (RFC 6749 §4.1.3, §6).

    Raises:
        OAuthError: `invalid_grant`, `invalid_request`, `invalid_client` or `unsupported_grant_type`.
    """
    kind = form.get("grant_type", "")
    if kind == "authorization_code":
        return _by_code(store, form, lifetimes)
    if kind == "refresh_token":
        return _by_refresh(store, form, lifetimes)
    raise OAuthError("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")


def access_by_token(store: Store, bearer: str) -> Access | None:
    """What a bearer token gives access to; None where it is unknown, expired or revoked."""
    row = store.db.execute(
        "SELECT g.patient, c.scope FROM credential c JOIN access_grant g ON g.id = c.grant_id"
        " WHERE c.hash = ? AND c.kind = 'access' AND c.expires > ? AND g.ended IS NULL",
        (_hash(bearer), time.time()),
    ).fetchone()
    return access_of(row[0], row[1].split()) if row else None


def revoke(store: Store, text: str, client_id: str) -> None:
    """RFC 7009: a refresh token ends its grant, an access token only itself. Unknown ones are no error."""
    row = store.db.execute(
        "SELECT c.kind, c.grant_id FROM credential c JOIN access_grant g ON g.id = c.grant_id"
        " WHERE c.hash = ? AND g.client_id = ?",
        (_hash(text), client_id),
    ).fetchone()
    if row and row[0] == "refresh":
        _end(store, row[1])
    elif row:
        expire(store, text)


def expire(store: Store, bearer: str) -> None:
    """End one access token before its time."""
    with store.writing() as db:
        db.execute("UPDATE credential SET expires = 0 WHERE hash = ?", [_hash(bearer)])


def introspect(store: Store, text: str) -> dict[str, Any]:
    """RFC 7662 §2.2 with SMART's `patient`."""
    row = store.db.execute(
        "SELECT g.client_id, g.patient, c.scope, c.expires FROM credential c JOIN access_grant g ON g.id = c.grant_id"
        " WHERE c.hash = ? AND c.kind IN ('access', 'refresh') AND c.used IS NULL AND g.ended IS NULL"
        " AND (c.expires IS NULL OR c.expires > ?)",
        (_hash(text), time.time()),
    ).fetchone()
    if not row:
        return {"active": False}
    said = {"active": True, "client_id": row[0], "patient": row[1], "scope": row[2], "token_type": "Bearer"}
    return said | ({"exp": int(row[3])} if row[3] is not None else {})


def configuration(origin: str, provider: str) -> dict[str, Any]:
    """The `.well-known/smart-configuration` of a provider."""
    oauth = f"{origin}/{provider}/oauth"
    return {
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "revocation_endpoint": f"{oauth}/revoke",
        "introspection_endpoint": f"{oauth}/introspect",
        "token_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["launch/patient", "offline_access", "patient/*.rs", "patient/*.read"],
        "capabilities": [
            "launch-standalone",
            "client-public",
            "context-standalone-patient",
            "permission-patient",
            "permission-offline",
            "permission-v1",
            "permission-v2",
            "authorize-post",
        ],
    }


def _by_code(store: Store, form: Mapping[str, str], lifetimes: Lifetimes) -> dict[str, Any]:
    code, verifier = form.get("code", ""), form.get("code_verifier", "")
    digest = _hash(code)
    now = time.time()
    with store.writing() as db:
        row = db.execute(
            "SELECT c.grant_id, c.scope, c.expires, c.used, c.detail, g.client_id, g.patient FROM credential c"
            " JOIN access_grant g ON g.id = c.grant_id WHERE c.hash = ? AND c.kind = 'code'",
            [digest],
        ).fetchone()
        db.execute("UPDATE credential SET used = coalesce(used, ?) WHERE hash = ? AND kind = 'code'", (now, digest))
    if not row:
        raise OAuthError("invalid_grant", "the code is not known")
    grant, scope, expires, used, detail, client_id, patient = row
    if used is not None:
        # RFC 6749 §4.1.2: a code that comes twice has been stolen; what it gave is taken back.
        _end(store, grant)
        raise OAuthError("invalid_grant", "the code has been used")
    kept = orjson.loads(detail)
    if expires < now:
        raise OAuthError("invalid_grant", "the code has expired")
    if form.get("client_id") != client_id:
        raise OAuthError("invalid_grant", "the code belongs to another client")
    if form.get("redirect_uri") != kept["redirect_uri"]:
        raise OAuthError("invalid_grant", "redirect_uri is not that of the authorization request")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge(verifier), kept["challenge"]):
        raise OAuthError("invalid_grant", "code_verifier does not fit the challenge")
    refresh = _fresh() if {"offline_access", "online_access"} & set(scope.split()) else None
    return _issue(store, grant, patient, scope, refresh, lifetimes, family=scope)


def _by_refresh(store: Store, form: Mapping[str, str], lifetimes: Lifetimes) -> dict[str, Any]:
    text = form.get("refresh_token", "")
    digest, now = _hash(text), time.time()
    with store.writing() as db:
        row = db.execute(
            "SELECT c.grant_id, c.scope, c.expires, c.used, c.detail, g.client_id, g.patient, g.ended"
            " FROM credential c JOIN access_grant g ON g.id = c.grant_id WHERE c.hash = ? AND c.kind = 'refresh'",
            [digest],
        ).fetchone()
        if row and row[3] is None:
            db.execute("UPDATE credential SET used = ?, detail = ? WHERE hash = ?", (now, detail := _fresh(), digest))
    if not row or row[7] is not None:
        raise OAuthError("invalid_grant", "the refresh token is not known, or its grant has ended")
    grant, scope, expires, used, held, client_id, patient, _ = row
    if form.get("client_id") not in (None, client_id):
        raise OAuthError("invalid_grant", "the refresh token belongs to another client")
    if expires is not None and expires < now:
        raise OAuthError("invalid_grant", "the refresh token has expired")
    if used is not None:
        if now - used > GRACE_SECONDS:
            _end(store, grant)
            raise OAuthError("invalid_grant", "the refresh token has been used before; the grant has ended")
        detail = held
    wanted = form.get("scope")
    granted = narrowed(scope, wanted) if wanted else scope
    if granted is None:
        raise OAuthError("invalid_scope", "a refresh cannot widen the scope")
    # The successor is made from the old token and a stored salt: a client that crashed before it wrote the new one
    # down gets the same one again, and the store still holds nothing that could be used.
    successor = base64.urlsafe_b64encode(hmac.new(text.encode(), detail.encode(), sha256).digest())
    return _issue(store, grant, patient, granted, successor.rstrip(b"=").decode(), lifetimes, family=scope)


def _issue(
    store: Store, grant: str, patient: str, scope: str, refresh: str | None, lifetimes: Lifetimes, *, family: str
) -> dict[str, Any]:
    access, now = _fresh(), time.time()
    with store.writing() as db:
        db.execute("DELETE FROM credential WHERE kind = 'access' AND expires < ?", [now - 86_400])
        db.execute(
            "INSERT INTO credential VALUES (?, 'access', ?, ?, ?, NULL, '')",
            (_hash(access), grant, scope, now + lifetimes.access),
        )
        if refresh:
            ends = None if lifetimes.refresh is None else now + lifetimes.refresh
            db.execute(
                "INSERT OR IGNORE INTO credential VALUES (?, 'refresh', ?, ?, ?, NULL, '')",
                (_hash(refresh), grant, family, ends),
            )
    said = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": int(lifetimes.access),
        "scope": scope,
        "patient": patient,
    }
    return said | ({"refresh_token": refresh} if refresh else {})


def _end(store: Store, grant: str) -> None:
    with store.writing() as db:
        db.execute("UPDATE access_grant SET ended = coalesce(ended, ?) WHERE id = ?", (time.time(), grant))


def _fresh() -> str:
    return secrets.token_urlsafe(32)


def _hash(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
