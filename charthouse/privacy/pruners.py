"""Pruners: for each entry of the retention table, what is past its time, and how it goes.

Never what an unfinished run, a watermark or a notice on its way rests on. Each works in slices, so that nobody else
waits for long, and may be cut off anywhere: what is left goes the next time.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.orm import aliased

from charthouse.lake.session import VAULT, open_vault, purge
from charthouse.linking import upload_files
from charthouse.privacy import requests
from charthouse.state import feed, session
from charthouse.state.identity import IdentityMessage, IdentitySession
from charthouse.state.ledger import ItemOutcome, SyncRun, SyncStage
from charthouse.state.linking import OperatorAlarm, Removal, SignIn
from charthouse.state.locks import exclusive
from charthouse.state.models import Credential, Link, LinkEvent, Watermark
from charthouse.state.network import FoundProvider, IdentityVerification, NetworkMessage
from charthouse.state.notices import Delivery, Notice, WebhookSecret
from charthouse.state.phones import PhoneUpload
from charthouse.state.privacy import Download, ExportPart, PrivacyRequest
from charthouse.state.requests import IdempotentRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import ColumnElement

    from charthouse.settings import Settings
    from charthouse.state.base import Base

SLICE: Final = 2000


class Pruner(Protocol):
    """What is past its time: counted, or removed. Both say how many."""

    def due(self, settings: Settings, before: datetime) -> int: ...
    def prune(self, settings: Settings, before: datetime) -> int: ...


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table of the state; `past` is the condition for an instant. What hangs on them goes with them."""

    table: type[Base]
    past: Callable[[datetime], ColumnElement[bool]]

    def due(self, settings: Settings, before: datetime) -> int:
        """How many there are."""
        with session(settings, read_only=True) as state:
            return state.scalar(select(func.count()).select_from(self.table).where(self.past(before))) or 0

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them, a slice a transaction."""
        [key] = self.table.__table__.primary_key.columns  # type: ignore[attr-defined]
        removed = 0
        while True:
            with session(settings) as state:
                some = list(state.scalars(select(key).where(self.past(before)).limit(SLICE)))
                if some:
                    state.execute(delete(self.table).where(key.in_(some)))
            removed += len(some)
            if len(some) < SLICE:
                return removed


@dataclass(frozen=True, slots=True)
class Runs:
    """Folders of runs that have ended, under `landing` or `staging`."""

    folder: str

    def due(self, settings: Settings, before: datetime) -> int:
        """How many folders there are."""
        return sum(1 for _ in self._past(settings, before))

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them."""
        past = list(self._past(settings, before))
        for folder in past:
            shutil.rmtree(folder, ignore_errors=True)
        return len(past)

    def _past(self, settings: Settings, before: datetime) -> Iterator[Path]:
        with session(settings, read_only=True) as state:
            running = set(state.scalars(select(SyncRun.id).where(SyncRun.status == "running")))
        for folder in sorted((settings.home / self.folder).glob("*/")):
            if folder.name not in running and _changed(folder) < before:
                yield folder


@dataclass(frozen=True, slots=True)
class Files:
    """Files under a folder that nobody has written to since."""

    folder: str

    def due(self, settings: Settings, before: datetime) -> int:
        """How many there are."""
        return sum(1 for _ in self._past(settings, before))

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them, and the folders that are empty then."""
        top, emptied = settings.home / self.folder, set()
        past = list(self._past(settings, before))
        for file in past:
            file.unlink(missing_ok=True)
            emptied |= {folder for folder in file.parents if top in folder.parents}
        for folder in sorted(emptied, reverse=True):  # those below first
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        return len(past)

    def _past(self, settings: Settings, before: datetime) -> Iterator[Path]:
        for file in (settings.home / self.folder).rglob("*"):
            with suppress(FileNotFoundError):
                if not file.is_dir() and _changed(file) < before:
                    yield file


class Exports:
    """Parts of exports past their own end: their keys first, then their files; and what no part vouches for."""

    def due(self, settings: Settings, before: datetime) -> int:
        """How many parts there are."""
        return self._parts().due(settings, before)

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them."""
        removed = self._parts().prune(settings, before)
        standing = list(settings.exports.glob("*/"))  # before the rows: a request is there before its folder
        with session(settings, read_only=True) as state:
            kept = set(state.scalars(select(ExportPart.request_id)))
            kept |= set(state.scalars(select(PrivacyRequest.id).where(PrivacyRequest.status.in_(requests.OPEN))))
        for folder in standing:
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _parts(self) -> Rows:
        return Rows(ExportPart, lambda before: ExportPart.expires_at < before)


class Uploads:
    """Uploads of phones that nobody went on with, or that are over; then the bytes that no upload stands for."""

    def due(self, settings: Settings, before: datetime) -> int:
        """How many uploads there are."""
        return self._rows().due(settings, before)

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them. One that was accepted waits for its night, however long that takes."""
        removed = self._rows().prune(settings, before)
        standing = list(settings.uploads.glob("*/*.sealed"))  # before the rows: an upload is there before its file
        with session(settings, read_only=True) as state:
            kept = set(state.scalars(select(PhoneUpload.id).where(PhoneUpload.status.not_in(("refused", "stored")))))
        for file in standing:
            if file.stem not in kept:
                upload_files.remove(file)
        return removed

    def _rows(self) -> Rows:
        over = PhoneUpload.status.in_(("open", "refused", "stored"))
        return Rows(PhoneUpload, lambda before: and_(over, PhoneUpload.changed_at < before))


@dataclass(frozen=True, slots=True)
class OfVault:
    """Rows of a table of the vault. `kept` asks, in SQL with `$deposits`, which of them stay whatever their age."""

    table: str
    kept: str = "false"

    def due(self, settings: Settings, before: datetime) -> int:
        """How many there are."""
        with open_vault(read_only=True, settings=settings) as connection:
            row = connection.execute(*self._query("SELECT count(*)", settings, before)).fetchone()
            return int(row[0]) if row else 0

    def prune(self, settings: Settings, before: datetime) -> int:
        """Remove them, so that no file holds them; nothing where there are none."""
        if not self.due(settings, before):
            return 0
        with exclusive(f"lake {VAULT}", settings), open_vault(settings=settings) as connection:
            row = connection.execute(*self._query("DELETE", settings, before)).fetchone()
            purge(connection, VAULT)
            return int(row[0]) if row else 0

    def _query(self, deed: str, settings: Settings, before: datetime) -> tuple[str, dict[str, Any]]:
        values: dict[str, Any] = {"before": before}
        if "$deposits" in self.kept:
            with session(settings, read_only=True) as state:
                values["deposits"] = [
                    deposit for deposit in state.scalars(select(Watermark.deposit).distinct()) if deposit
                ]
        return f"{deed} FROM vault.{self.table} WHERE stored_at < $before AND NOT ({self.kept})", values


class CoachFeed:
    """Whom the coach's feed told to be gone. Readers that have not come so far since are told to start again."""

    def due(self, settings: Settings, before: datetime) -> int:
        """How many tombstones there are."""
        return self._rows().due(settings, before)

    def prune(self, settings: Settings, before: datetime) -> int:
        """Forget them: first it is said that they are forgotten."""
        with session(settings) as state:
            feed.forget(state, before)
        return self._rows().prune(settings, before)

    def _rows(self) -> Rows:
        # By whole days, as the feed's horizon goes.
        return Rows(feed.CoachFeedEntry, lambda before: feed.CoachFeedEntry.gone_at < _midnight(before))


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.lstat().st_mtime, UTC)


def _runs(before: datetime) -> ColumnElement[bool]:
    """Runs that ended, but the last of each scope and the one that compacted last."""
    later, compacted = aliased(SyncRun), select(SyncStage.run_id).where(SyncStage.stage == "compact")
    return and_(
        SyncRun.status != "running",
        SyncRun.finished_at < before,
        exists().where(later.scope == SyncRun.scope, later.started_at > SyncRun.started_at),
        SyncRun.id.not_in(compacted.order_by(SyncStage.started_at.desc()).limit(1).scalar_subquery()),
    )


def _outcomes(before: datetime) -> ColumnElement[bool]:
    ended = select(SyncRun.id).where(SyncRun.status != "running", SyncRun.finished_at < before)
    return ItemOutcome.run_id.in_(ended)


def _events(before: datetime, *, nights: bool) -> ColumnElement[bool]:
    """Events that a later one of their field has followed, and on which nothing of the present state rests."""
    later = aliased(LinkEvent)
    followed = exists().where(
        later.link_id == LinkEvent.link_id, later.field == LinkEvent.field, later.id > LinkEvent.id
    )
    if nights:
        return and_(LinkEvent.field == "sync_status", LinkEvent.at < before, followed)
    present = exists().where(Link.id == LinkEvent.link_id, Link.status_at <= LinkEvent.at)
    granted = exists().where(Credential.link_id == LinkEvent.link_id, Credential.granted_at <= LinkEvent.at)
    return and_(LinkEvent.field != "sync_status", LinkEvent.at < before, followed, ~present, ~granted)


def _notices(before: datetime) -> ColumnElement[bool]:
    on_its_way = exists().where(Delivery.notice_id == Notice.id, Delivery.status.in_(("waiting", "sending")))
    return and_(Notice.created_at < before, Notice.planned_at.is_not(None), ~on_its_way)


PRUNERS: Final[dict[str, tuple[Pruner, ...]]] = {
    "landing": (Runs("landing"),),
    "uploads": (Uploads(),),
    "staging": (Runs("staging"),),
    "exports": (Exports(),),
    "downloads": (Rows(Download, lambda before: Download.expires_at < before),),
    "quarantine": (OfVault("quarantine"),),
    "logs": (Files("logs"),),
    "mails": (Files("mail"),),
    "outcomes": (Rows(ItemOutcome, _outcomes),),
    "ledger": (Rows(SyncRun, _runs),),
    "sync_events": (Rows(LinkEvent, lambda before: _events(before, nights=True)),),
    "link_events": (Rows(LinkEvent, lambda before: _events(before, nights=False)),),
    # The greatest number stays as well: the vault counts on from it.
    "deposits": (
        OfVault(
            "deposits",
            "deposit IN (SELECT unnest($deposits)) OR stored_seq = (SELECT max(stored_seq) FROM vault.deposits)",
        ),
    ),
    "notices": (Rows(Notice, _notices),),
    "sign_ins": (Rows(SignIn, lambda before: SignIn.expires_at < before),),
    "idempotent_requests": (Rows(IdempotentRequest, lambda before: IdempotentRequest.created_at < before),),
    "removals": (Rows(Removal, lambda before: Removal.done_at < before),),
    "alarms": (Rows(OperatorAlarm, lambda before: OperatorAlarm.closed_at < before),),
    "requests": (Rows(PrivacyRequest, lambda before: PrivacyRequest.done_at < before),),
    "webhook_secrets": (Rows(WebhookSecret, lambda before: WebhookSecret.ends_at < before),),
    "partner_messages": (
        Rows(NetworkMessage, lambda before: NetworkMessage.received_at < before),
        Rows(IdentityMessage, lambda before: IdentityMessage.received_at < before),
    ),
    "verifications": (
        Rows(IdentityVerification, lambda before: IdentityVerification.verified_at < before),
        # One that nobody follows any more, because its verifier is gone, never ended.
        Rows(
            IdentitySession, lambda before: func.coalesce(IdentitySession.ended_at, IdentitySession.expires_at) < before
        ),
    ),
    "coach_feed": (CoachFeed(),),
    "found_providers": (
        Rows(FoundProvider, lambda before: and_(FoundProvider.gone_at < before, FoundProvider.link_id.is_(None))),
    ),
}
