"""What has been granted: looked up by token, introspected (RFC 7662), revoked (RFC 7009), ended by the person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from sandbox.scopes import Access, access_of
from sandbox.tokens import hashed

if TYPE_CHECKING:
    from sandbox.profiles import Profile
    from sandbox.store import Store

Deed = Literal["end", "suspend", "resume"]


def access_by_token(store: Store, bearer: str, profile: Profile, now: float) -> Access | None:
    """What a bearer token gives access to; None where it is unknown, expired or revoked."""
    row = store.db.execute(
        "SELECT g.patient, c.scope, g.ended, g.suspended, g.ends FROM credential c"
        " JOIN access_grant g ON g.id = c.grant_id WHERE c.hash = ? AND c.kind = 'access' AND c.expires > ?",
        (hashed(bearer), now),
    ).fetchone()
    if not row:
        return None
    is_over = row[2] is not None or row[3] or (row[4] is not None and row[4] < now)
    if is_over and not profile.access_runs_out:
        return None
    if row[0]:
        return access_of(row[0], row[1].split())
    # A system's token is about nobody: it sees everybody, in so far as its scopes go.
    return replace(access_of("", row[1].replace("system/", "patient/").split()), everyone=True)


def patient_of(store: Store, text: str) -> str:
    """Whose a code or token is, whatever has become of it; empty where it is unknown."""
    row = store.db.execute(
        "SELECT g.patient FROM credential c JOIN access_grant g ON g.id = c.grant_id WHERE c.hash = ?", [hashed(text)]
    ).fetchone()
    return str(row[0]) if row else ""


def revoke(store: Store, text: str, client_id: str, now: float) -> None:
    """RFC 7009 §2.1: a refresh token ends its grant, an access token only itself. Unknown ones are no error."""
    row = store.db.execute(
        "SELECT c.kind, c.grant_id FROM credential c JOIN access_grant g ON g.id = c.grant_id"
        " WHERE c.hash = ? AND g.client_id = ?",
        (hashed(text), client_id),
    ).fetchone()
    if row and row[0] == "refresh":
        with store.writing() as db:
            db.execute("UPDATE access_grant SET ended = coalesce(ended, ?) WHERE id = ?", (now, row[1]))
    elif row:
        expire(store, text)


def expire(store: Store, bearer: str) -> None:
    """End one access token before its time."""
    with store.writing() as db:
        db.execute("UPDATE credential SET expires = 0 WHERE hash = ?", [hashed(bearer)])


def introspect(store: Store, text: str, fhir_base: str, profile: Profile, now: float) -> dict[str, Any]:
    """RFC 7662 §2.2 with SMART's `patient` and `fhirUser`, for access and refresh tokens.

    A retired refresh token is inactive. `exp` is the earlier of the token's end and the permission's.
    """
    row = store.db.execute(
        "SELECT g.client_id, g.patient, c.scope, c.expires, g.ends, c.kind, g.ended, g.suspended, c.used"
        " FROM credential c JOIN access_grant g ON g.id = c.grant_id"
        " WHERE c.hash = ? AND c.kind IN ('access', 'refresh')",
        (hashed(text),),
    ).fetchone()
    if not row:
        return {"active": False}
    client_id, patient, scope, expires, permitted_until, kind, ended, suspended, used = row
    is_access = kind == "access"
    runs_out = is_access and profile.access_runs_out
    ends = [moment for moment in (expires, None if runs_out else permitted_until) if moment is not None]
    if used is not None or any(moment <= now for moment in ends) or ((ended is not None or suspended) and not runs_out):
        return {"active": False}
    said = {"active": True, "client_id": client_id, "patient": patient, "scope": scope}
    if is_access:
        said |= {"token_type": "Bearer"}
    if "fhirUser" in scope.split():
        said["fhirUser"] = f"{fhir_base}/Patient/{patient}"
    return said | ({"exp": int(min(ends))} if ends else {})


def listed(store: Store, patient: str | None = None) -> list[dict[str, Any]]:
    """The grants, oldest first, of one patient or of all."""
    rows = store.db.execute(
        "SELECT id, client_id, patient, scope, created, ends, ended, suspended, refreshed FROM access_grant"
        " WHERE ? IS NULL OR patient = ? ORDER BY created, id",
        (patient, patient),
    )
    names = ("grant", "client_id", "patient", "scope", "created", "ends", "ended", "suspended", "refreshed")
    return [dict(zip(names, row, strict=True)) | {"suspended": bool(row[7])} for row in rows]


def do(store: Store, deed: Deed, now: float, *, grant: str | None, patient: str | None, client_id: str | None) -> int:
    """End, pause or resume the grants that fit all that is given and have not ended. Returns how many."""
    change = {"end": "ended = ?1", "suspend": "suspended = 1", "resume": "suspended = 0"}[deed]
    with store.writing() as db:
        done = db.execute(
            f"UPDATE access_grant SET {change} WHERE (?2 IS NULL OR id = ?2) AND (?3 IS NULL OR patient = ?3)"
            " AND (?4 IS NULL OR client_id = ?4) AND ended IS NULL AND ?1 IS NOT NULL",
            (now, grant, patient, client_id),
        )
        return done.rowcount
