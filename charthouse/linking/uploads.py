"""Uploads of a phone on their way: begun, gone on with at a byte, ended. What they hold is judged by `judging`.

The file's length is the offset: a kill between two bytes loses none that came before, and nothing has to be repaired.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from charthouse.errors import PhoneError, StateError
from charthouse.linking import links, upload_files
from charthouse.linking.phones import may_sync, source_of
from charthouse.linking.states import DUE
from charthouse.settings import Settings, get_settings
from charthouse.state import session as state_session
from charthouse.state.base import new_key, now
from charthouse.state.locks import exclusive
from charthouse.state.phones import PhoneDevice, PhoneUpload
from charthouse.state.seals import sealer_of
from transforms.health_connect import LIMITS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from sqlalchemy.orm import Session

    from charthouse.state.phones import UploadMode, UploadStatus


ANOTHER_SECONDS: Final = 5.0
"""How long a request waits for another one of the same upload: mostly for one whose line was cut, to notice it."""


@dataclass(frozen=True, slots=True)
class UploadView:
    """An upload: how far it came, and what it was found to be. `left_out` counts records by the code that says why."""

    upload_id: str
    link_id: str
    reading: str
    mode: UploadMode
    types: tuple[str, ...]
    status: UploadStatus
    offset: int
    length: int
    code: str | None
    records: Mapping[str, Any]
    left_out: Mapping[str, Any]
    begun_at: datetime
    received_at: datetime | None


class QuotaError(PhoneError):
    """CH977, and when there is more."""

    def __init__(self, seconds: float) -> None:
        super().__init__("CH977")
        self.headers = {"Retry-After": str(max(1, math.ceil(seconds)))}


class OffsetError(PhoneError):
    """CH979, and where the upload goes on."""

    def __init__(self, offset: int) -> None:
        super().__init__("CH979")
        self.headers = {"Upload-Offset": str(offset), "Upload-Complete": "?0"}


class BusyError(PhoneError):
    """CH983, and when to ask again."""

    def __init__(self) -> None:
        super().__init__("CH983")
        self.headers = {"Retry-After": "1"}


def begin(
    link_id: str,
    *,
    reading: str,
    mode: UploadMode,
    types: Collection[str],
    length: int,
    sha256: str,
    changes_token: str | None = None,
    settings: Settings | None = None,
) -> tuple[UploadView, bool]:
    """Begin the upload of a reading, or take up the one that was begun. Also says whether it is new.

    Raises:
        PhoneError: CH970, CH972, CH973 when nothing may be uploaded; CH975 for a type that the person did not permit,
            CH978 for more bytes than permitted, CH988 for a reading that was begun with other contents.
        LinkError: CH610 to CH617 when the person may not link.
        StateError: CH601 when the link has ended.
    """
    settings = settings or get_settings()
    said = {"mode": mode, "types": " ".join(sorted(set(types))), "length": length, "sha256": sha256.lower()}
    if length > settings.phone_upload_bytes:
        raise PhoneError("CH978")
    upload_id = new_key()
    sealed = sealer_of(settings).seal(upload_files.new_key(), _owner(upload_id))
    with state_session(settings) as state:
        link = links.get_link(state, link_id, lock=True)
        source = source_of(state, link_id)
        device = state.get(PhoneDevice, source.device_id)
        if device is None or device.person_key != link.person_key:
            raise PhoneError("CH970")
        if link.status not in DUE:
            raise StateError("CH601", where=f"link {link_id}", what=f"uploads of a link that is {link.status}")
        may_sync(state, link.person_key, link.provider, settings)
        if not set(types) <= set(device.permissions.split()):
            raise PhoneError("CH975")
        known = state.scalar(select(PhoneUpload).where(PhoneUpload.link_id == link_id, PhoneUpload.reading == reading))
        if known is not None:
            if {name: getattr(known, name) for name in said} != said:
                raise PhoneError("CH988")
            return _view(known, settings), False
        row = PhoneUpload(
            id=upload_id,
            link_id=link_id,
            device_id=device.id,
            reading=reading,
            changes_token=changes_token,
            sealed_key=sealed,
            records={},
            left_out={},
            **said,
        )
        try:
            with state.begin_nested():
                state.add(row)
        except IntegrityError:  # the same reading was begun at the same time
            raise BusyError from None
        return _view(row, settings), True


def get(state: Session, link_id: str, upload_id: str, settings: Settings) -> UploadView:
    """One upload of a link.

    Raises:
        StateError: CH602 when there is none.
    """
    return _view(_row(state, link_id, upload_id), settings)


def settle(upload_id: str, settings: Settings) -> None:
    """Wait a little until nobody is at an upload: its offset is then the one to go on at."""
    with suppress(StateError), exclusive(f"upload {upload_id}", settings, wait=ANOTHER_SECONDS):
        pass


@contextmanager
def appending(
    link_id: str, upload_id: str, begin_at: int, *, declared: int, settings: Settings
) -> Iterator[upload_files.Appending]:
    """Append to an upload, alone. What was appended when the block ends counts against what the phone may send.

    Raises:
        PhoneError: CH977 when the phone may not send so much now, CH978 for more than the upload's length, CH979 at
            another byte, CH983 while another request is at it, CH987 when it is over.
        StateError: CH602 when there is none.
    """
    try:
        held = exclusive(f"upload {upload_id}", settings, wait=ANOTHER_SECONDS)
        held.__enter__()
    except StateError:
        raise BusyError from None
    try:
        with state_session(settings) as state:
            row = _row(state, link_id, upload_id)
            if row.status != "open":
                raise PhoneError("CH987")
            file = upload_files.file_of(link_id, upload_id, settings)
            if upload_files.offset(file) != begin_at:
                raise OffsetError(upload_files.offset(file))
            if begin_at + declared > row.length:
                raise PhoneError("CH978")
            _charge(state, row.device_id, declared, settle=False)
            key, device_id, most = key_of(row, settings), row.device_id, row.length
        with upload_files.Appending(file, key, most=most) as file_open:
            try:
                yield file_open
            finally:
                taken = file_open.end - file_open.begin
        if taken:
            with state_session(settings) as state:
                _charge(state, device_id, taken, settle=True)
    finally:
        held.__exit__(None, None, None)


def end(link_id: str, upload_id: str, *, settings: Settings) -> UploadView:
    """Note that the last byte came. Asked again it says the same.

    Raises:
        PhoneError: CH989 when bytes are missing.
        StateError: CH602 when there is none.
    """
    with state_session(settings) as state:
        row = _row(state, link_id, upload_id)
        if row.status == "open":
            file = upload_files.file_of(link_id, upload_id, settings)
            if upload_files.offset(file) != row.length:
                raise PhoneError("CH989", what="it was called complete, and bytes are missing")
            upload_files.keep(file)
            row.status, row.received_at = "received", now()
            row.changed_at = row.received_at
        return _view(row, settings)


def cancel(link_id: str, upload_id: str, *, settings: Settings) -> None:
    """Give an upload up: nothing of it stays. One that a night has taken is over already.

    Raises:
        PhoneError: CH983 while another request is at it.
        StateError: CH602 when there is none.
    """
    try:
        with exclusive(f"upload {upload_id}", settings, wait=ANOTHER_SECONDS):
            with state_session(settings) as state:
                state.delete(_row(state, link_id, upload_id))
            upload_files.remove(upload_files.file_of(link_id, upload_id, settings))
    except StateError as error:
        if error.code != "CH608":
            raise
        raise BusyError from None


def key_of(row: PhoneUpload, settings: Settings) -> str:
    """The key of an upload's file."""
    return sealer_of(settings).open(row.sealed_key, _owner(row.id))


def _charge(state: Session, device_id: str, size: int, *, settle: bool) -> None:
    """Count bytes against what a phone may send: so many in a window, coming back evenly over it.

    Raises:
        PhoneError: CH970 for a phone that is gone; QuotaError unless `settle`, for more than is left.
    """
    device = state.get(PhoneDevice, device_id, with_for_update=True)
    if device is None:
        if settle:
            return
        raise PhoneError("CH970")
    at = now()
    rate = LIMITS.window_bytes / LIMITS.window_seconds
    passed = max(0.0, (at - device.quota_at).total_seconds())
    left = min(float(LIMITS.window_bytes), device.quota_left + passed * rate)
    if not settle and size > left:
        raise QuotaError((size - left) / rate)
    if settle:
        device.quota_left, device.quota_at = left - size, at


def _row(state: Session, link_id: str, upload_id: str) -> PhoneUpload:
    row = state.get(PhoneUpload, upload_id, populate_existing=True)
    if row is None or row.link_id != link_id:
        raise StateError("CH602", where="upload")
    return row


def _view(row: PhoneUpload, settings: Settings) -> UploadView:
    is_open = row.status == "open"
    came = upload_files.offset(upload_files.file_of(row.link_id, row.id, settings)) if is_open else row.length
    return UploadView(
        upload_id=row.id,
        link_id=row.link_id,
        reading=row.reading,
        mode=row.mode,
        types=tuple(row.types.split()),
        status=row.status,
        offset=came,
        length=row.length,
        code=row.code,
        records=dict(row.records or {}),
        left_out=dict(row.left_out or {}),
        begun_at=row.begun_at,
        received_at=row.received_at,
    )


def _owner(upload_id: str) -> str:
    return f"upload {upload_id}"
