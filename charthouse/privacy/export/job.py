"""The work on requests of kind `export`: done at once by the command line, or by the DAG `run_exports`.

A job may die at any moment. What it had finished stays, and the next try goes on behind it; what it was writing is the
beginning of an encrypted file, which the next try removes.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, select, update

from charthouse import faults
from charthouse.clock import now
from charthouse.errors import CharthouseError, PrivacyError, StateError
from charthouse.log import get_logger
from charthouse.notify.outbox import tell
from charthouse.privacy import requests
from charthouse.privacy.export import store
from charthouse.privacy.export.account import account_of, links_of
from charthouse.privacy.export.archive import Archive, Finished
from charthouse.privacy.export.contents import Work, write_all
from charthouse.privacy.export.holdings import open_holdings
from charthouse.privacy.export.scope import scope_of
from charthouse.settings import Settings, get_settings
from charthouse.state import audit, session
from charthouse.state.locks import exclusive
from charthouse.state.models import Link, Provider
from charthouse.state.privacy import Download, ExportPart, PrivacyRequest

log = get_logger(__name__)

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG})
DROP_WAIT: Final = 120.0
"""Seconds that an erasure waits for a job which has been called off: it looks every few hundred rows."""


def plan() -> list[str]:
    """The requests that there is work on, those first that are due first."""
    with session(read_only=True) as state:
        return requests.ready(state, "export")


def run(request_id: str, settings: Settings | None = None) -> bool:
    """Make an export, or go on with it. False where there is nothing left to do.

    Raises:
        PrivacyError: CH900 when there is no such request, CH903 when another process works on it, CH943 when it was
            called off, CH931 when the disk takes no more.
        CharthouseError: whatever keeps it from its end. It is noted, and the next try goes on.
    """
    settings = settings or get_settings()
    with requests.working(request_id, settings):
        with session(settings) as state:
            request = requests.begin(state, request_id)
            if request is None:
                return False
            person_key, options = request.person_key or "", dict(request.options)
        try:
            _make(request_id, person_key, options, settings)
        except CharthouseError as error:
            _stumble(request_id, error, settings)
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            told = PrivacyError("CH931", where=str(settings.exports), what=error.strerror or "")
            with session(settings) as state:
                requests.stumble(state, request_id, told.code)  # not final: space comes back
            raise told from None
    return True


def expire_exports(settings: Settings | None = None) -> int:
    """Delete exports whose time is over, links to them that are, and folders that nobody knows. Returns how many."""
    settings = settings or get_settings()
    at = now()
    with session(settings) as state:
        over = set(state.scalars(select(ExportPart.request_id).where(ExportPart.expires_at <= at)))
        still_open = set(requests.ready(state, "export"))
        known = set(state.scalars(select(ExportPart.request_id)))
        state.execute(delete(Download).where(Download.expires_at <= at))
    gone = 0
    for request_id in over - still_open:
        gone += store.forget(request_id, settings)
    if settings.exports.is_dir():
        for folder in settings.exports.iterdir():
            if folder.is_dir() and folder.name not in known | still_open:
                _sweep(folder.name, settings)
    if gone:
        log.info("exports expired", parts=gone)
    return gone


def _sweep(name: str, settings: Settings) -> None:
    """Delete a folder that no export belongs to; one that came about meanwhile stays."""
    with suppress(StateError), exclusive(f"request {name}", settings, wait=0):
        with session(settings, read_only=True) as state:
            request = state.get(PrivacyRequest, name)
            known = state.scalar(select(ExportPart.id).where(ExportPart.request_id == name).limit(1))
        if known is None and (request is None or request.status not in requests.OPEN):
            store.forget(name, settings)


def drop_exports_of(person_key: str, settings: Settings | None = None) -> int:
    """Delete what was exported of a person, and call off what is being exported. Returns the parts that went.

    Safe to repeat. It waits for a job that is at work: after this, no file of an export of theirs comes into being.

    Raises:
        StateError: CH608 when such a job does not stop in time: do it again.
    """
    settings = settings or get_settings()
    with session(settings) as state:
        mine = (PrivacyRequest.person_key == person_key, PrivacyRequest.kind == "export")
        ids = list(state.scalars(select(PrivacyRequest.id).where(*mine)))
        state.execute(
            update(PrivacyRequest)
            .where(*mine, PrivacyRequest.status.in_(requests.OPEN))
            .values(status="cancelled", done_at=now())
        )
    gone = 0
    for request_id in ids:
        with exclusive(f"request {request_id}", settings, wait=DROP_WAIT):
            gone += store.forget(request_id, settings)
    return gone


def _make(request_id: str, person_key: str, options: dict[str, Any], settings: Settings) -> None:
    scope = scope_of(options)
    indexes = store.kept_parts(request_id, settings)
    notes = _Notes.of(indexes[-1].notes) if indexes else _Notes(now(), None)
    with session(settings, read_only=True) as state:
        links = links_of(state, person_key, scope.providers)
        named = select(Link.id, Provider.name).join(Provider, Provider.slug == Link.provider)
        rows = state.execute(named.where(Link.person_key == person_key))
        sources = {row[0]: row[1] for row in rows}
        documents = account_of(state, person_key, scope, settings)

    def finished(part: Finished) -> None:
        store.keep_part(request_id, part, settings)
        log.debug("a part of an export is finished", request=request_id, part=part.index.number, bytes=part.size)

    def alive() -> None:
        with session(settings, read_only=True) as state:
            if state.scalar(select(PrivacyRequest.status).where(PrivacyRequest.id == request_id)) != "running":
                raise PrivacyError("CH943", where=request_id)

    archive = Archive(
        lambda number: store.begin_part(request_id, number, settings),
        finished,
        limit=settings.export_part_bytes,
        at=notes.at,
        indexes=indexes,
    )
    ids = [link.id for link in links]
    try:
        with open_holdings(person_key, scope, ids, until=notes.until, settings=settings) as held:
            archive.notes = {"at": notes.at.isoformat(), "until": held.until}
            faults.point("export.begun")
            write_all(Work(request_id, person_key, scope, notes.at, held, archive, documents, sources, settings, alive))
    except BaseException:
        archive.abandon()
        raise
    faults.point("export.written")
    _close(request_id, person_key, archive.parts, settings)


@dataclass(frozen=True, slots=True)
class _Notes:
    """What a later try takes over: the moment that the export is of, and the vault's head then."""

    at: datetime
    until: int | None

    @classmethod
    def of(cls, notes: dict[str, Any]) -> _Notes:
        return cls(datetime.fromisoformat(notes["at"]), int(notes["until"]))


def _close(request_id: str, person_key: str, parts: int, settings: Settings) -> None:
    """Say that it is ready: one transaction."""
    with session(settings) as state:
        request = state.get(PrivacyRequest, request_id, with_for_update=True)
        if request is None or request.status != "running":
            raise PrivacyError("CH943", where=request_id)
        ends = now() + timedelta(days=settings.export_keep_days)
        state.execute(update(ExportPart).where(ExportPart.request_id == request_id).values(expires_at=ends))
        requests.close(state, request_id)
        audit.record(state, request.actor, "export.made", "person", person_key, {"request": request_id, "parts": parts})
        tell(
            state,
            person_key,
            "export_ready",
            dedupe=f"export_ready:{request_id}",
            detail={"request": request_id, "ends_at": ends.isoformat(timespec="seconds")},
        )


def _stumble(request_id: str, error: CharthouseError, settings: Settings) -> None:
    if error.code == "CH943":
        store.forget(request_id, settings)
        return
    with session(settings) as state:
        request = state.get(PrivacyRequest, request_id)
        if request is not None and request.status == "running":
            requests.stumble(state, request_id, error.code, final=error.code == "CH602")
