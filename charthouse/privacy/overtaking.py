"""An erasure takes in what else is asked for of its person: everything goes anyhow, and one proof covers it.

What such a request had collected for a proof of its own is looked for by the erasure, and forgotten with the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import or_, select

from charthouse import faults
from charthouse.errors import CharthouseError
from charthouse.log import get_logger
from charthouse.privacy import requests, subjects
from charthouse.state import session as state_session
from charthouse.state.privacy import PrivacyRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from charthouse.privacy.subjects import Subject
    from charthouse.settings import Settings

log = get_logger(__name__)


def take_in(erasures: Sequence[Subject], settings: Settings) -> set[str]:
    """Close the other open deletions and erasures of whom these erasures are about. Returns the requests' ids.

    A request that was proven already is closed with its receipt. Safe to repeat: what is taken over from a request is
    sealed with the erasure in the transaction that closes the request.

    Raises:
        StateError: CH605 when the state database cannot be used.
    """
    people = {subject.person_key: subject for subject in erasures if subject.whole}
    if not people:
        return set()
    taken = set()
    with state_session(settings) as state:
        ours = {subject.request_id for subject in people.values()}
        for request, notes in noted(state, settings):
            erasure = people.get(notes.person_key if notes else str(request.person_key))
            if erasure is None or request.id in ours:
                continue
            if notes is not None:
                erasure.join(notes)
                subjects.save(state, erasure, settings)
            if request.status not in requests.OPEN:
                request.sealed_notes = None
                continue
            if notes is not None and request.step in requests.PROVEN:
                requests.close(state, request.id, receipt_id=notes.receipt_id)
            else:
                requests.overtake(state, request.id)
            taken.add(request.id)
    if taken:
        log.info("an erasure took other requests in", requests=len(taken))
        faults.point("erase.taken_in")
    return taken


def noted(state: Session, settings: Settings) -> Iterator[tuple[PrivacyRequest, Subject | None]]:
    """Deletions and erasures that are open, or keep something, each with what is sealed with it.

    Of some, that alone says whom they are about.
    Notes that no key opens any more are nobody's to read, and None like those that are not there.
    """
    query = select(PrivacyRequest).where(
        PrivacyRequest.kind.in_(requests.ERASING),
        or_(PrivacyRequest.status.in_(requests.OPEN), PrivacyRequest.sealed_notes.is_not(None)),
    )
    for request in list(state.scalars(query.order_by(PrivacyRequest.asked_at, PrivacyRequest.id))):
        try:
            yield request, subjects.load(request, settings)
        except CharthouseError as error:
            if error.code != "CH006":
                raise
            log.warning("notes of a request cannot be opened", request_id=request.id, code=error.code)
            yield request, None
