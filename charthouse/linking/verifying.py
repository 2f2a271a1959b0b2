"""A person verifies who they are: a session with a verifier, begun here, followed until its verifier has decided.

Whatever brings the news (the person's browser, a message, the daily job), the verifier is asked, and what it says is
compared with the account by the rules of every link. Looking twice changes nothing; looks may come in any order.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import CharthouseError, FetchError, LinkError
from charthouse.linking import searching, verifications
from charthouse.linking.eligibility import check_person
from charthouse.linking.identity import identity_of
from charthouse.linking.matching import matches
from charthouse.linking.people import get_person
from charthouse.linking.verifiers import client_of
from charthouse.log import get_logger
from charthouse.notify.outbox import tell
from charthouse.partners.identity import SLUG
from charthouse.settings import get_settings
from charthouse.state import audit, tombstones
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.identity import IdentitySession, IdentityVerifier
from charthouse.state.locks import exclusive
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.partners.identity import Standing
    from charthouse.settings import Settings
    from charthouse.state.models import Actor

Status = Literal["open", "verified", "failed", "unfinished"]

RENEWABLE: Final = timedelta(days=30)
"""How long before its end a verification may be repeated without asking for that."""
SOON: Final = timedelta(minutes=5)
LATER: Final = timedelta(hours=20)
GIVEN_UP: Final = timedelta(days=30)
"""How long a session may be pending: a look by hand takes days."""
NOT_THERE: Final = timedelta(hours=1)
UNFINISHED: Final = "CH670"
TOLD: Final[dict[str, str]] = {
    "CH665": "verification_contact",
    "CH666": "verification_region",
    "CH667": "verification_id_expired",
    "CH668": "verification_sources",
    "CH669": "verification_failed",
    "CH671": "verification_differs",
    "CH672": "verification_other_account",
}
"""The reason under which a person is told of it, whoever looks."""
log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class VerificationView:
    """One session. `address` is where its person goes while it is open: theirs alone; it is in no repr."""

    verification_id: str
    person_key: str
    verifier: str
    status: Status
    said: str
    code: str | None
    level: str
    started_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    holds_until: datetime | None
    address: str | None = field(default=None, repr=False)
    return_to: str | None = field(default=None, repr=False)


def start(
    person_key: str,
    *,
    return_url: Callable[[str], str],
    return_to: str | None = None,
    again: bool = False,
    actor: Actor = "person",
    settings: Settings | None = None,
) -> VerificationView:
    """Begin to verify a person; while one session is open, it is that one.

    `return_url` makes our address, to which the verifier sends them back, from the state by which it is known.

    Raises:
        StateError: CH602 when there is no such person.
        LinkError: CH610, CH611, CH616, CH617 as for any link; CH612, CH614 for a region in which nobody searches; CH673
            when a verification holds for longer than a month, without `again`; CH674 where no verifier is set up; CH675
            when it cannot be asked now.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        known = _open(state, person_key)
    if known is not None:  # its person may be through already, and no message has come yet
        look_quietly(known.id, settings=settings)
    with exclusive(f"verification of {person_key}", settings):
        with state_session(settings, read_only=True) as state:
            person = get_person(state, person_key)
            check_person(state, person, settings=settings)
            searching.partner_of(person.country)
            held = verifications.current(state, person_key, settings=settings)
            if held is not None and not again and (held.holds_until is None or held.holds_until > now() + RENEWABLE):
                raise LinkError("CH673", where=f"person {person_key}")
            known = _open(state, person_key)
            if known is not None:
                return _view(state, known, settings, address=True)
        known_by = secrets.token_urlsafe(32)
        client = client_of(SLUG, settings)
        try:
            begun = client.begin(return_url(known_by))
        except FetchError as error:
            raise LinkError("CH675", where=error.where, what=error.code) from None
        finally:
            client.close()
        with state_session(settings) as state:
            get_person(state, person_key, lock=True)
            row = IdentitySession(
                person_key=person_key,
                verifier=SLUG,
                session_id=begun.session_id,
                state_hash=_hashed(known_by),
                sealed_address=sealer_of(settings).seal(begun.address, _owner(begun.session_id)),
                return_to=return_to,
                expires_at=begun.expires_at,
                next_look_at=now() + SOON,
            )
            try:
                with state.begin_nested():
                    state.add(row)
            except IntegrityError:  # a verifier that gives one session to two
                raise LinkError("CH653", where=f"person {person_key}") from None
            audit.record(state, actor, "identity.begun", "person", person_key, {"verifier": SLUG})
            return _view(state, row, settings, address=True)


def returned(known_by: str, *, settings: Settings | None = None) -> VerificationView:
    """What has come of a session, for the browser that comes back from the verifier.

    Raises:
        LinkError: CH679 for a session that nobody knows.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        row = state.scalars(select(IdentitySession).where(IdentitySession.state_hash == _hashed(known_by))).first()
        if row is None:
            raise LinkError("CH679")
        verification_id = row.id
    return look_quietly(verification_id, settings=settings)


def look_quietly(verification_id: str, *, settings: Settings | None = None) -> VerificationView:
    """`look`, or where the verifier cannot be asked now, how the session is known to stand: it is asked again.

    Raises:
        LinkError: CH679 for a session that nobody knows.
    """
    try:
        return look(verification_id, settings=settings)
    except CharthouseError as error:
        if error.code == "CH679":
            raise
        log.warning("a verification is looked at later", code=error.code)
    with state_session(settings, read_only=True) as state:
        return _view(state, _get(state, verification_id), settings)


def look(verification_id: str, *, settings: Settings | None = None) -> VerificationView:
    """Ask the verifier how a session stands, and note what came of it.

    Raises:
        LinkError: CH679 for a session that nobody knows, CH674 where no verifier is set up, CH677 where it does not say
            who was verified.
        FetchError: CH175, CH176, CH177 from the verifier.
    """
    settings = settings or get_settings()
    with state_session(settings) as state:
        row = _get(state, verification_id)
        verifier, session_id = row.verifier, row.session_id
        row.looks += 1
        row.next_look_at = now() + _pause(row)
    client = client_of(verifier, settings)
    try:
        standing = client.session(session_id)
    finally:
        client.close()
    digest = _digest(verifier, standing.subject, settings) if standing.subject is not None else None
    # One at a time for a subject: of two accounts that end at once, the second has to see the first.
    with exclusive(f"verified subject {digest or session_id}", settings), state_session(settings) as state:
        row = _get(state, verification_id)
        get_person(state, row.person_key, lock=True)
        _note(state, row, standing, digest, settings)
        state.flush()
        return _view(state, row, settings)


def look_at_open(*, settings: Settings | None = None, most: int = 10_000) -> int:
    """Look at every session whose turn it is: what no message and no browser brought. Returns how many were over.

    What goes wrong with one stops no other; a verifier that does not take us, or is not there, ends the round.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        if state.scalar(select(IdentityVerifier.verifier).limit(1)) is None:
            return 0
        query = select(IdentitySession.id).where(IdentitySession.next_look_at <= now())
        due = list(state.scalars(query.order_by(IdentitySession.next_look_at).limit(most)))
    over = 0
    for verification_id in due:
        try:
            over += look(verification_id, settings=settings).status != "open"
        except CharthouseError as error:
            log.warning("a verification is looked at later", code=error.code)
            if error.code in {"CH140", "CH141", "CH175", "CH176", "CH674"}:
                break
    return over


def list_views(session: Session, person_key: str, *, settings: Settings | None = None) -> list[VerificationView]:
    """Every session of a person, oldest first, without the addresses."""
    query = select(IdentitySession).where(IdentitySession.person_key == person_key)
    ordered = query.order_by(IdentitySession.started_at, IdentitySession.id)
    return [_view(session, row, settings) for row in session.scalars(ordered)]


def _note(state: Session, row: IdentitySession, standing: Standing, digest: str | None, settings: Settings) -> None:
    """What a session has come to. One that was over may come to something else: people look at them by hand."""
    row.said = standing.said
    gone = standing.state == "over" and not standing.said and now() < row.started_at + NOT_THERE
    if standing.state == "pending" or gone:
        if now() > row.started_at + GIVEN_UP:
            _end(row, UNFINISHED)
        elif row.ended_at is not None:
            row.next_look_at = None
        return
    if standing.state == "over":
        if row.ended_at is None:
            _end(row, UNFINISHED)
        row.next_look_at = None
        return
    code = standing.cause if standing.state == "failed" else _compared(state, row, standing, digest, settings)
    verifications.record(
        state,
        row.person_key,
        verifier=row.verifier,
        session_id=row.session_id,
        outcome="failed" if code else "verified",
        at=standing.at,
        level="" if code else state.get_one(IdentityVerifier, row.verifier).level,
        reason=code or "",
        revised=True,
        settings=settings,
    )
    if code is None:
        row.subject_digest = digest
        searching.look_soon(state, row.person_key)
    else:
        row.subject_digest = None
        reason = TOLD[code]
        tell(state, row.person_key, "action_needed", reason=reason, dedupe=f"verification:{row.id}:{code}")
        log.info("a verification failed", verification_id=row.id, code=code)
    _end(row, code)


def _compared(
    state: Session, row: IdentitySession, standing: Standing, digest: str | None, settings: Settings
) -> str | None:
    """The number of why a person whom the verifier knows is not this account's; None where they are.

    Raises:
        LinkError: CH677 with what is missing: without it, nobody can tell whose identity it is.
    """
    if row.ended_at is not None and row.code is None:
        return None  # as it was found then: the account's own changes are `verifications.lapse`
    identity = identity_of(get_person(state, row.person_key), settings)
    if identity is None:
        return "CH671"
    verdict = matches(identity, standing.patient)
    if digest is None or verdict.reason in {"birth_date_missing", "name_missing"}:
        raise LinkError("CH677", where=f"verifier {row.verifier}", what=verdict.reason if digest else "user_id")
    if not verdict.matched:
        return "CH671"
    others = select(IdentitySession.id).where(
        IdentitySession.verifier == row.verifier,
        IdentitySession.subject_digest == digest,
        IdentitySession.person_key != row.person_key,
    )
    return "CH672" if state.scalars(others.limit(1)).first() is not None else None


def _end(row: IdentitySession, code: str | None) -> None:
    row.code, row.sealed_address, row.next_look_at = code, None, None
    row.ended_at = row.ended_at or now()


def _pause(row: IdentitySession) -> timedelta:
    """How long until the next look: soon while its person is at it, then less than a day, so that each day finds it."""
    return min(SOON * (1 << min(row.looks, 10)), LATER)


def _open(state: Session, person_key: str) -> IdentitySession | None:
    """The session that a person can go on with."""
    query = select(IdentitySession).where(
        IdentitySession.person_key == person_key,
        IdentitySession.verifier == SLUG,
        IdentitySession.ended_at.is_(None),
        IdentitySession.sealed_address.is_not(None),
        IdentitySession.said.in_(("", "awaiting_user_input")),
        IdentitySession.expires_at > now() + SOON,
    )
    return state.scalars(query.order_by(IdentitySession.started_at.desc()).limit(1)).first()


def _get(state: Session, verification_id: str) -> IdentitySession:
    row = state.get(IdentitySession, verification_id, with_for_update=True)
    if row is None:
        raise LinkError("CH679")
    return row


def _view(
    state: Session, row: IdentitySession, settings: Settings | None, *, address: bool = False
) -> VerificationView:
    status: Status = "open" if row.ended_at is None else "verified"
    if row.ended_at is not None and row.code is not None:
        status = "unfinished" if row.code == UNFINISHED else "failed"
    noted = verifications.of_session(state, row.verifier, row.session_id, settings=settings)
    opened = None
    if address and row.sealed_address is not None:
        opened = sealer_of(settings).open(row.sealed_address, _owner(row.session_id))
    return VerificationView(
        verification_id=row.id,
        person_key=row.person_key,
        verifier=row.verifier,
        status=status,
        said=row.said,
        code=row.code,
        level=noted.level if noted is not None else "",
        started_at=row.started_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        holds_until=noted.holds_until if noted is not None else None,
        address=opened,
        return_to=row.return_to,
    )


def _hashed(known_by: str) -> str:
    return hashlib.sha256(f"verification {known_by[:512]}".encode()).hexdigest()


def _digest(verifier: str, subject: str, settings: Settings) -> str:
    """Who was verified, under a key of this installation: the database alone does not tell it."""
    return tombstones.opened(settings).secret(f"verified subject {verifier} {subject}").hex()


def _owner(session_id: str) -> str:
    return f"address of verification {session_id}"
