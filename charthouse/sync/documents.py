"""Documents that records show and that are not to be had: told by the landing, remembered by the state."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from sqlalchemy import and_, delete, insert, select

from charthouse.files import write_whole
from charthouse.state import session
from charthouse.state.base import now
from charthouse.state.documents import MissingDocument

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

FILE: Final = "missing_documents.json"
LONGEST: Final = 512
"""Signs of an id that is remembered; a longer one is asked for each night."""
_IDS: Final = msgspec.json.Decoder(list[str])


def known(link_id: str, days: int) -> set[str]:
    """The ids of a link's documents that were not to be had when they were asked for, within so many days; 0 = ever."""
    with session(read_only=True) as state:
        return set(state.scalars(select(MissingDocument.resource_id).where(*_remembered(link_id, days))))


def write(folder: Path, ids: Iterable[str]) -> None:
    """Leave in a link's folder which documents were not to be had."""
    listed = sorted(name for name in ids if len(name) <= LONGEST)
    if listed:
        write_whole(folder / FILE, msgspec.json.encode(listed))


def note(state: Session, link_id: str, folder: Path, days: int) -> None:
    """Remember what the landing of a link says, and forget what is older than so many days: it was asked for again."""
    state.execute(delete(MissingDocument).where(MissingDocument.link_id == link_id, ~and_(*_remembered(link_id, days))))
    file = folder / FILE
    found = set(_IDS.decode(file.read_bytes())) if file.exists() else set()
    found -= set(state.scalars(select(MissingDocument.resource_id).where(MissingDocument.link_id == link_id)))
    at = now()
    if found:
        rows = [{"link_id": link_id, "resource_id": name, "at": at} for name in sorted(found)]
        state.execute(insert(MissingDocument), rows)


def _remembered(link_id: str, days: int) -> tuple[ColumnElement[bool], ...]:
    own = MissingDocument.link_id == link_id
    return (own, MissingDocument.at > now() - timedelta(days=days)) if days else (own,)
