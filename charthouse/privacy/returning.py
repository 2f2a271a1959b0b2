"""Whoever was erased and is there again, by a restored backup: erased once more, before anything else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from charthouse.errors import LakeError, PrivacyError
from charthouse.lake import vault
from charthouse.lake.session import open_records, open_vault
from charthouse.log import get_logger
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.models import Link, Person
from charthouse.state.privacy import PrivacyRequest
from charthouse.state.tombstones import Tombstones, into_state

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from charthouse.privacy.erase import Erased

log = get_logger(__name__)


def erase_returned(settings: Settings | None = None) -> list[Erased]:
    """Erase again whoever the tombstones know and the home holds all the same. Nobody has come back: nothing is done.

    Raises:
        PrivacyError: CH915 when the tombstones cannot be read; CH910 to CH913 when somebody could not be erased.
    """
    settings = settings or get_settings()
    if not settings.tombstones.exists():
        return []
    stones = Tombstones(settings)
    if not len(stones):
        return []
    with state_session(settings) as state:
        into_state(state, stones.digests)
        request_ids = [*_people(state, stones, settings), *_links(state, stones, settings)]
    if not request_ids:
        return []
    from charthouse.privacy import erase  # half of what preparing a home would import, for what hardly ever happens

    log.warning("a restored home brought back what was erased: it is erased again", requests=len(request_ids))
    ended = erase.run(request_ids, settings)
    for each in ended:
        if not each.done and each.code != "CH912":
            raise PrivacyError(each.code or "CH910", where=each.where)
    return ended


def _people(state: Session, stones: Tombstones, settings: Settings) -> list[str]:
    known = set(state.scalars(select(Person.person_key)))
    open_ones = _open(state, "erase")
    back = stones.among("person", known | {person for person, _ in _held(settings)})
    return [_asked(state, person, None, open_ones.get(person)) for person in sorted(back)]


def _links(state: Session, stones: Tombstones, settings: Settings) -> list[str]:
    rows = state.execute(select(Link.id, Link.person_key).where(Link.status != "deleted"))
    owners = {link_id: person_key for link_id, person_key in rows}  # noqa: C416  # a row is no pair to mypy
    owners |= {link: person for person, link in _held(settings) if link}
    open_ones = _open(state, "delete_link")
    gone = stones.among("person", owners.values())
    back = {link for link in stones.among("link", owners) if owners[link] not in gone}
    there = set(state.scalars(select(Link.id).where(Link.id.in_(back))))
    return [_asked(state, owners[link], link, open_ones.get(link)) for link in sorted(back & there)]


def _held(settings: Settings) -> Iterator[tuple[str, str]]:
    """Whoever the lakes hold anything of: (person, link)."""
    try:
        with open_vault(read_only=True, settings=settings) as connection:
            for table in sorted(vault.HOLDING):
                yield from connection.execute(f"SELECT DISTINCT person_key, link_id FROM vault.{table}").fetchall()
        with open_records(read_only=True, settings=settings) as connection:
            yield from connection.execute("SELECT DISTINCT person_key, '' FROM records.built_people").fetchall()
    except LakeError as error:
        if error.code != "CH501":
            raise


def _open(state: Session, kind: str) -> dict[str, str]:
    """The open requests of a kind, by whom they are about."""
    query = select(PrivacyRequest).where(PrivacyRequest.kind == kind, PrivacyRequest.status.in_(("waiting", "running")))
    return {str(found.link_id or found.person_key): found.id for found in state.scalars(query)}


def _asked(state: Session, person_key: str, link_id: str | None, standing: str | None) -> str:
    if standing is not None:
        return standing
    at = now()
    request = PrivacyRequest(
        kind="delete_link" if link_id else "erase",
        person_key=person_key,
        link_id=link_id,
        options={},
        actor="operator",
        asked_at=at,
        begins_at=at,
        due_at=at,
    )
    state.add(request)
    state.flush()
    audit.record(state, "operator", f"{request.kind}.returned", "request", request.id)
    return request.id
