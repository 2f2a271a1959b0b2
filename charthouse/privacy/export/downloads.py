"""Handing an export over: links that work once and not for long, found by a hash of what is in them.

A download that was begun may be gone on with (a Range that does not begin at the front) until the link is over.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from charthouse.clock import now
from charthouse.errors import PrivacyError
from charthouse.privacy.export import store
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, session
from charthouse.state.privacy import Download, ExportPart, PrivacyRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charthouse.state.models import Actor

BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Offered:
    """A link to one part. `token` is told once and kept nowhere."""

    part: ExportPart
    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """A part that is being taken away, from the byte `begin` up to the byte before `end`."""

    part: ExportPart
    begin: int
    end: int
    is_whole: bool


def offer(request_id: str, *, actor: Actor = "person", settings: Settings | None = None) -> list[Offered]:
    """New links to all parts of a finished export.

    Raises:
        PrivacyError: CH900 when there is no such request, CH932 when it has no files (yet, or any more).
    """
    settings = settings or get_settings()
    at = now()
    parts = store.parts_of(request_id, settings)
    with session(settings) as state:
        request = state.get(PrivacyRequest, request_id)
        if request is None:
            raise PrivacyError("CH900", where=request_id)
        if request.status != "done" or not parts:
            raise PrivacyError("CH932", where=request_id)
        offered = []
        for part in parts:
            token = secrets.token_urlsafe(BYTES)
            ends = min(at + timedelta(minutes=settings.download_minutes), part.expires_at)
            state.add(Download(token_hash=_hashed(token), part_id=part.id, created_at=at, expires_at=ends))
            offered.append(Offered(part, token, ends))
        detail: dict[str, str | int] = {"request": request_id, "parts": len(parts)}
        audit.record(state, actor, "export.offered", "person", request.person_key or "", detail)
    return offered


def take(
    token: str, ranged: tuple[int | None, int | None] | None, of: str | None = None, settings: Settings | None = None
) -> Taken:
    """Use a link. `ranged` is what the Range header asks for: (first, last), as RFC 9110 has it; None for everything.

    Where `of` (If-Range) is not the part's hash, everything is meant.

    Raises:
        PrivacyError: CH940 for a link that is over, was used, or never was; CH941 for a range that there is not.
    """
    settings = settings or get_settings()
    with session(settings) as state:
        download = state.get(Download, _hashed(token), with_for_update=True)
        part = state.get(ExportPart, download.part_id) if download else None
        if download is None or part is None or download.expires_at <= now() or part.expires_at <= now():
            raise PrivacyError("CH940")
        if of is not None and of != part.sha256:
            ranged = None
        begin, end = _span(ranged, part.size)
        if download.used_at is not None and begin == 0:
            raise PrivacyError("CH940")
        if begin >= end:
            raise PrivacyError("CH941", where=f"bytes */{part.size}")
        if download.used_at is None:
            download.used_at = now()
            request = state.get_one(PrivacyRequest, part.request_id)
            detail: dict[str, str | int] = {"request": part.request_id, "part": part.number}
            audit.record(state, request.actor, "export.taken", "person", request.person_key or "", detail)
    if not (settings.exports / part.request_id / part.file).exists():
        raise PrivacyError("CH940")
    return Taken(part, begin, end, is_whole=ranged is None)


def read(taken: Taken, settings: Settings | None = None) -> Iterator[bytes]:
    """The bytes of it.

    Raises:
        PrivacyError: CH942 when the file is not as it was written.
    """
    left = taken.end - taken.begin
    for piece in store.read_part(taken.part, settings or get_settings(), taken.begin):
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return


def _span(ranged: tuple[int | None, int | None] | None, size: int) -> tuple[int, int]:
    if ranged is None:
        return 0, size
    first, last = ranged
    if first is None:  # the last so many bytes
        return max(0, size - (last or 0)), size
    return first, min(size, size if last is None else last + 1)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
