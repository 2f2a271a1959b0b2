"""Data that has to go before its person may start over: what was read under a link of a minor, or of somebody else.

Asked for in the transaction that ends the link; worked off by the hourly DAG (`charthouse.sync.removal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from charthouse.linking.links import clear_watermarks, get_link
from charthouse.state import audit
from charthouse.state.base import now
from charthouse.state.linking import Removal

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from charthouse.state.models import Actor


@dataclass(frozen=True, slots=True)
class OpenRemoval:
    """A removal that is still to be worked off."""

    removal_id: str
    person_key: str
    link_id: str


def ask_removal(session: Session, link_id: str, reason: str, *, actor: Actor = "sync") -> str:
    """Have everything removed that was read under a link. Asked twice, it is one removal. Returns its id.

    Raises:
        StateError: CH602 when there is no such link.
    """
    link = get_link(session, link_id)
    standing = session.scalars(select(Removal).where(Removal.link_id == link_id, Removal.done_at.is_(None))).first()
    if standing is not None:
        return standing.id
    removal = Removal(person_key=link.person_key, link_id=link_id, reason=reason)
    session.add(removal)
    session.flush()
    audit.record(session, actor, "removal.asked", "link", link_id, {"reason": reason})
    return removal.id


def open_removals(session: Session, person_key: str | None = None) -> list[OpenRemoval]:
    """What is still to be removed, of a person or of everybody, oldest first."""
    query = select(Removal).where(Removal.done_at.is_(None)).order_by(Removal.asked_at, Removal.id)
    if person_key is not None:
        query = query.where(Removal.person_key == person_key)
    return [OpenRemoval(found.id, found.person_key, found.link_id) for found in session.scalars(query)]


def close_removals(session: Session, removals: list[OpenRemoval], counts: dict[str, int]) -> None:
    """Note that removals are done. The link also forgets how far it had been read, and whose records it was about."""
    for removal in removals:
        link = get_link(session, removal.link_id, lock=True)
        clear_watermarks(session, link.id)
        link.patient_id = link.granted_scopes = link.identity_matched_at = link.last_synced_at = None
        audit.record(session, "sync", "removal.done", "link", link.id, counts)
    ids = [removal.removal_id for removal in removals]
    session.execute(update(Removal).where(Removal.id.in_(ids)).values(done_at=now()))
