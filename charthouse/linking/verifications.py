"""Verified identities: the outcome of each session with a verifier, and whether it still holds.

Kept are outcome, time, level of assurance and the session's id. Images, documents and numbers never come here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import LinkError
from charthouse.linking.people import get_person
from charthouse.settings import get_settings
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.network import VERIFICATION_OUTCOMES, IdentityVerification

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.settings import Settings
    from charthouse.state.models import Actor
    from charthouse.state.network import VerificationOutcome

LEVELS: Final = ("IAL1", "IAL2", "IAL3")
"""Identity assurance levels of NIST SP 800-63A, the least first."""
AHEAD: Final = timedelta(minutes=5)
"""How far a verifier's clock may be before ours."""
_SESSION: Final = re.compile(r"[\x21-\x7e]{1,255}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification. `holds_until` is empty where it holds for good, or failed."""

    verifier: str
    session_id: str
    outcome: VerificationOutcome
    level: str
    reason: str
    verified_at: datetime
    holds_until: datetime | None
    lapsed_at: datetime | None = None


def record(
    session: Session,
    person_key: str,
    *,
    verifier: str,
    session_id: str,
    outcome: str,
    at: datetime,
    level: str = "",
    reason: str = "",
    actor: Actor = "partner",
    revised: bool = False,
    settings: Settings | None = None,
) -> Verification:
    """Note how a verification ended. The same session again, with the same outcome, changes nothing.

    With `revised`, its verifier has looked at it again (by hand, say), and what it says now holds.

    Raises:
        StateError: CH602 when there is no such person.
        LinkError: CH653 for a session that ended otherwise, or for somebody else; CH656 for one that cannot be used.
    """
    if outcome not in VERIFICATION_OUTCOMES:
        raise LinkError("CH656", where="outcome", what=f"it is one of {', '.join(VERIFICATION_OUTCOMES)}")
    if outcome == "verified" and level not in LEVELS:
        raise LinkError("CH656", where="level", what=f"it is one of {', '.join(LEVELS)}")
    if not _SESSION.fullmatch(session_id) or not _WORD.fullmatch(verifier):
        raise LinkError("CH656", where="session", what="an id has 1 to 255 visible characters, a verifier is a word")
    if reason and not _WORD.fullmatch(reason):
        raise LinkError("CH656", where="reason", what="it is a word or a number")
    if at > now() + AHEAD:
        raise LinkError("CH656", where="time", what="it lies ahead")
    get_person(session, person_key, lock=True)
    known = _of_session(session, verifier, session_id)
    if known is None:
        made = IdentityVerification(
            person_key=person_key,
            verifier=verifier,
            session_id=session_id,
            outcome="verified" if outcome == "verified" else "failed",
            level=level if outcome == "verified" else "",
            reason=reason,
            verified_at=at,
        )
        try:
            with session.begin_nested():
                session.add(made)
        except IntegrityError:  # another process noted the session meanwhile, perhaps for somebody else
            known = _of_session(session, verifier, session_id)
        else:
            detail = {"verifier": verifier, "outcome": outcome, "level": made.level}
            audit.record(session, actor, "identity.verified", "person", person_key, detail)
            return _view(made, settings)
    if known is not None and revised and known.person_key == person_key and known.outcome != outcome:
        known.outcome = "verified" if outcome == "verified" else "failed"
        known.level, known.reason, known.verified_at = (level if outcome == "verified" else ""), reason, at
        audit.record(
            session, actor, "identity.revised", "person", person_key, {"verifier": verifier, "outcome": outcome}
        )
        session.flush()
    if known is None or (known.person_key, known.outcome) != (person_key, outcome):
        raise LinkError("CH653", where=f"person {person_key}")
    return _view(known, settings)


def current(
    session: Session, person_key: str, at: datetime | None = None, *, settings: Settings | None = None
) -> Verification | None:
    """The newest verification that holds at an instant, of the level that is wanted or a higher one; None for none."""
    settings = settings or get_settings()
    at = at or now()
    wanted = LEVELS[LEVELS.index(settings.verification_level) :]
    query = select(IdentityVerification).where(
        IdentityVerification.person_key == person_key,
        IdentityVerification.outcome == "verified",
        IdentityVerification.level.in_(wanted),
        IdentityVerification.lapsed_at.is_(None),
        IdentityVerification.verified_at <= at + AHEAD,
    )
    oldest = holds_from(at, settings)
    if oldest is not None:
        query = query.where(IdentityVerification.verified_at > oldest)
    newest = session.scalars(query.order_by(IdentityVerification.verified_at.desc()).limit(1)).first()
    return None if newest is None else _view(newest, settings)


def holds_from(at: datetime, settings: Settings) -> datetime | None:
    """The instant after which an identity must have been verified to hold at `at`; None where all hold for good."""
    return at - timedelta(days=settings.verification_days) if settings.verification_days else None


def check_verified(session: Session, person_key: str, *, settings: Settings | None = None) -> Verification:
    """The verification that a search by a partner rests on.

    Raises:
        LinkError: CH650 when there is none, CH651 when the last one holds no more.
    """
    found = current(session, person_key, settings=settings)
    if found is None:
        ever = any(one.outcome == "verified" for one in list_verifications(session, person_key, settings=settings))
        raise LinkError("CH651" if ever else "CH650", where=f"person {person_key}")
    return found


def lapse(session: Session, person_key: str, *, actor: Actor) -> int:
    """Let a person's verifications hold no more: their account has become another person's. Returns how many."""
    held = select(IdentityVerification).where(
        IdentityVerification.person_key == person_key,
        IdentityVerification.outcome == "verified",
        IdentityVerification.lapsed_at.is_(None),
    )
    rows = list(session.scalars(held))
    for row in rows:
        row.lapsed_at = now()
    if rows:
        audit.record(session, actor, "identity.lapsed", "person", person_key, {"verifications": len(rows)})
        session.flush()
    return len(rows)


def list_verifications(session: Session, person_key: str, *, settings: Settings | None = None) -> list[Verification]:
    """Every verification of a person, oldest first."""
    query = select(IdentityVerification).where(IdentityVerification.person_key == person_key)
    ordered = query.order_by(IdentityVerification.verified_at, IdentityVerification.id)
    return [_view(one, settings) for one in session.scalars(ordered)]


def of_session(
    session: Session, verifier: str, session_id: str, *, settings: Settings | None = None
) -> Verification | None:
    """What came of a verifier's session; None while nothing has."""
    row = _of_session(session, verifier, session_id)
    return None if row is None else _view(row, settings)


def _of_session(session: Session, verifier: str, session_id: str) -> IdentityVerification | None:
    query = select(IdentityVerification).where(
        IdentityVerification.verifier == verifier, IdentityVerification.session_id == session_id
    )
    return session.scalars(query).first()


def _view(row: IdentityVerification, settings: Settings | None) -> Verification:
    days = (settings or get_settings()).verification_days
    holds = row.outcome == "verified" and row.lapsed_at is None and days > 0
    return Verification(
        verifier=row.verifier,
        session_id=row.session_id,
        outcome=row.outcome,
        level=row.level,
        reason=row.reason,
        verified_at=row.verified_at,
        holds_until=row.verified_at + timedelta(days=days) if holds else None,
        lapsed_at=row.lapsed_at,
    )
