"""Codes and tokens: given out, renewed, retired (RFC 6749 §4.1.3 and §6, RFC 7636 §4.6, RFC 9700 §4.14.2).

The store keeps hashes of what it gives out, never the codes and tokens themselves.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from sandbox.oauth_error import OAuthError
from sandbox.scopes import narrowed, system_scopes

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from sandbox.authorization import AuthorizationRequest
    from sandbox.clients import Caller
    from sandbox.profiles import Profile
    from sandbox.store import Store

CODE_SECONDS: Final = 60
SYSTEM_SECONDS: Final = 300
"""What a system's token says that it lives: SMART recommends no more."""
_PURGE_EVERY: Final = 1_000
_VERIFIER: Final = re.compile(r"[A-Za-z0-9\-._~]{43,128}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A token answer, and what it was made of."""

    said: dict[str, Any]
    grant: str
    client_id: str
    patient: str
    scope: str
    nonce: str = ""


class RefreshError(OAuthError):
    """A refresh refused; `grant` is its family where the token is known."""

    grant: str | None = None
    patient: str = ""
    client_id: str = ""


def grant_code(
    store: Store, request: AuthorizationRequest, patient: str, scope: str, seconds: float | None, now: float
) -> str:
    """Open a grant for a patient, `seconds` long, and give out its code, good for a minute and once."""
    code, grant = fresh(), secrets.token_hex(16)
    kept = {"redirect_uri": request.redirect_uri, "challenge": request.challenge, "nonce": request.nonce}
    with store.writing() as db:
        db.execute(
            "INSERT INTO access_grant (id, client_id, patient, scope, created, ends) VALUES (?, ?, ?, ?, ?, ?)",
            (grant, request.client_id, patient, scope, now, None if seconds is None else now + seconds),
        )
        db.execute(
            "INSERT INTO credential VALUES (?, 'code', ?, ?, ?, NULL, ?)",
            (hashed(code), grant, scope, now + CODE_SECONDS, orjson.dumps(kept).decode()),
        )
    return code


def by_code(store: Store, form: Mapping[str, str], caller: Caller, profile: Profile, now: float) -> Issued:
    """Trade a code for tokens.

    Raises:
        OAuthError: `invalid_grant`.
    """
    digest = hashed(form.get("code", ""))
    with store.writing() as db:
        row = db.execute(
            "SELECT c.grant_id, c.scope, c.expires, c.used, c.detail, g.client_id, g.patient, g.ends FROM credential c"
            " JOIN access_grant g ON g.id = c.grant_id WHERE c.hash = ? AND c.kind = 'code'",
            [digest],
        ).fetchone()
        if not row:
            raise OAuthError("invalid_grant", "the code is not known")
        grant, scope, expires, used, detail, client_id, patient, ends = row
        kept = orjson.loads(detail)
        problem = _code_problem(form, caller, kept, client_id, expires, used, now)
        db.execute("UPDATE credential SET used = coalesce(used, ?) WHERE hash = ?", (now, digest))
        if used is not None:
            # RFC 6749 §4.1.2: a code that comes twice has been stolen; what it gave is taken back.
            db.execute("UPDATE access_grant SET ended = coalesce(ended, ?) WHERE id = ?", (now, grant))
        if problem is None:
            refresh = fresh() if _gets_refresh(scope, caller, profile) else None
            if refresh is None or profile.hides_offline_access:
                scope = " ".join(word for word in scope.split() if word != "offline_access")
            said = _issue(db, grant, patient, scope, profile, now, ends)
            if refresh:
                _keep_refresh(db, refresh, grant, scope, profile, now)
                said["refresh_token"] = refresh
    if problem:
        raise OAuthError("invalid_grant", problem)
    return Issued(said, grant, client_id, patient, scope, kept["nonce"])


def _code_problem(
    form: Mapping[str, str],
    caller: Caller,
    kept: dict[str, str],
    client_id: str,
    expires: float,
    used: float | None,
    now: float,
) -> str | None:
    if used is not None:
        return "the code has been used"
    if expires < now:
        return "the code has expired"
    if caller.client_id != client_id:
        return "the code belongs to another client"
    if form.get("redirect_uri") != kept["redirect_uri"]:
        return "redirect_uri is not that of the authorization request"
    verifier = form.get("code_verifier", "")
    if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_challenge(verifier), kept["challenge"]):
        return "code_verifier does not fit the challenge"
    return None


def _gets_refresh(scope: str, caller: Caller, profile: Profile) -> bool:
    if profile.refresh == "none" or (profile.refresh == "confidential" and not caller.confidential):
        return False
    if caller.client is not None and not caller.client.persistent_access:
        return False
    return profile.refresh_unasked or bool({"offline_access", "online_access"} & set(scope.split()))


def by_client(store: Store, form: Mapping[str, str], caller: Caller, profile: Profile, now: float) -> Issued:
    """A token for a client itself (SMART Backend Services): no person, no refresh token.

    Raises:
        OAuthError: it has not proved who it is, or asks for no scope that a system may have.
    """
    if not caller.confidential or caller.client_id is None:
        raise OAuthError("invalid_client", "a registered client with a key is required", status=401)
    scope = " ".join(system_scopes(form.get("scope", ""), profile))
    if not scope:
        raise OAuthError(profile.bad_scope_error, "no system scope that can be granted was asked for")
    grant = secrets.token_hex(16)
    with store.writing() as db:
        db.execute(
            "INSERT INTO access_grant (id, client_id, patient, scope, created) VALUES (?, ?, '', ?, ?)",
            (grant, caller.client_id, scope, now),
        )
        said = _issue(db, grant, "", scope, profile, now, None)
    del said["patient"]
    said["expires_in"] = min(int(profile.access_seconds), SYSTEM_SECONDS)
    return Issued(said, grant, caller.client_id, "", scope)


def by_refresh(store: Store, form: Mapping[str, str], caller: Caller, profile: Profile, now: float) -> Issued:
    """Renew an access token, all in one transaction: a client whose second task comes at the same time waits for it.

    Raises:
        RefreshError: `invalid_grant` and what else the profile says.
    """
    text = form.get("refresh_token", "")
    digest = hashed(text)
    with store.writing() as db:
        row = db.execute(
            "SELECT c.grant_id, c.scope, c.expires, c.used, c.detail, g.client_id, g.patient, g.ended, g.ends,"
            " g.refreshed, g.suspended FROM credential c JOIN access_grant g ON g.id = c.grant_id"
            " WHERE c.hash = ? AND c.kind = 'refresh'",
            [digest],
        ).fetchone()
        if not row:
            raise RefreshError("invalid_grant", "the refresh token is not known")
        grant, scope, expires, used, held, client_id, patient, ended, ends, refreshed, suspended = row
        granted = narrowed(scope, form["scope"], profile) if "scope" in form else scope
        problem: RefreshError | None = None
        if ended is not None or suspended:
            problem = RefreshError("invalid_grant", "the grant has ended")
        elif caller.client_id not in (None, client_id):
            problem = RefreshError("invalid_grant", "the refresh token belongs to another client")
        elif (expires is not None and expires < now) or (ends is not None and ends < now):
            problem = RefreshError(profile.expired_refresh_error, profile.expired_refresh_description)
        elif used is not None and now - used > profile.grace_seconds:
            db.execute("UPDATE access_grant SET ended = ? WHERE id = ?", (now, grant))
            problem = RefreshError("invalid_grant", "the refresh token has been used before; the grant has ended")
        elif refreshed is not None and now - refreshed < profile.refresh_min_seconds:
            problem = RefreshError("temporarily_unavailable", "refreshed a moment ago", status=429)
        elif granted is None:
            problem = RefreshError(profile.bad_scope_error, "the scope cannot be read, or is wider than what is held")
        if problem is None:
            # What the client may ask for later is the family's scope, not the narrower one of this answer.
            said = _issue(db, grant, patient, granted or "", profile, now, ends)
            db.execute("UPDATE access_grant SET refreshed = ? WHERE id = ?", (now, grant))
            if profile.rotation:
                detail = held if used is not None else fresh()
                if used is None:
                    db.execute("UPDATE credential SET used = ?, detail = ? WHERE hash = ?", (now, detail, digest))
                said["refresh_token"] = successor = _successor(text, detail)
                _keep_refresh(db, successor, grant, scope, profile, now)
            else:
                if profile.refresh_seconds is not None:
                    db.execute(
                        "UPDATE credential SET expires = ? WHERE hash = ?", (now + profile.refresh_seconds, digest)
                    )
                if profile.repeats_refresh_token:
                    said["refresh_token"] = text
    if problem:
        problem.grant, problem.patient, problem.client_id = grant, patient, client_id
        raise problem
    return Issued(said, grant, client_id, patient, granted or "")


def _successor(text: str, salt: str) -> str:
    """The next refresh token, made from the old one and a stored salt: a client that crashed before it wrote the new
    one down gets the same one again, and the store still holds nothing that could be used."""
    made = base64.urlsafe_b64encode(hmac.new(text.encode(), salt.encode(), sha256).digest())
    return made.rstrip(b"=").decode()


def _issue(
    db: sqlite3.Connection, grant: str, patient: str, scope: str, profile: Profile, now: float, ends: float | None
) -> dict[str, Any]:
    access = fresh()
    if secrets.randbelow(_PURGE_EVERY) == 0:
        db.execute("DELETE FROM credential WHERE kind = 'access' AND expires < ?", [now - 86_400])
    db.execute(
        "INSERT INTO credential VALUES (?, 'access', ?, ?, ?, NULL, '')",
        (hashed(access), grant, scope, now + profile.access_seconds),
    )
    lives = int(profile.access_seconds)
    said: dict[str, Any] = {
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": str(lives) if profile.expires_in_text else lives,
        "scope": scope,
        "patient": patient,
    }
    if profile.answers_grant_expiration:
        said["access_grant_expiration"] = (
            "" if ends is None else datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        )
    if profile.answers_refresh_expires_in:
        said["refresh_expires_in"] = int(profile.refresh_seconds or 0)
    return said


def _keep_refresh(db: sqlite3.Connection, refresh: str, grant: str, scope: str, profile: Profile, now: float) -> None:
    ends = None if profile.refresh_seconds is None else now + profile.refresh_seconds
    db.execute(
        "INSERT OR IGNORE INTO credential VALUES (?, 'refresh', ?, ?, ?, NULL, '')",
        (hashed(refresh), grant, scope, ends),
    )


def fresh() -> str:
    """A secret of 256 bits."""
    return secrets.token_urlsafe(32)


def hashed(text: str) -> bytes:
    """What the store keeps of a secret."""
    return sha256(text.encode()).digest()


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
