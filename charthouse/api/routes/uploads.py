"""Uploads of phones, in chunks that can be gone on with.

The chunks follow draft-ietf-httpbis-resumable-upload: Upload-Offset, Upload-Complete and Upload-Length, PATCH with
`application/partial-upload`, HEAD for the offset, DELETE to give up; digests are those of RFC 9530. The upload is made
before its first byte, so nobody waits for an interim answer (104), which no server interface in Python can send.
"""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from charthouse.api import MOUNT
from charthouse.api.callers import Calling, reach_link, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import BODY, KEY, Body, LinkId, refusals
from charthouse.errors import ApiError, PhoneError
from charthouse.linking import judging, uploads
from charthouse.linking.upload_files import PIECE
from charthouse.state import session
from transforms.health_connect import LIMITS, MEDICAL_TYPES

if TYPE_CHECKING:
    from charthouse.api.tokens import Caller
    from charthouse.linking.upload_files import Appending
    from charthouse.settings import Settings

router = APIRouter(route_class=Guarded, tags=["phones"])
UploadId = Annotated[str, Path(max_length=200, description="The upload's id.")]
PARTIAL = "application/partial-upload"
EMPTY = sha256(b"").digest()
_OFFSET = re.compile(r"[0-9]{1,15}")
_DIGEST = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?:,|$)")


class UploadWanted(Body):
    """A reading of a data source that is to be uploaded."""

    reading: Annotated[str, StringConstraints(pattern=KEY)] = Field(
        description="A UUID that the app gave this reading: the same again is the same upload."
    )
    mode: Literal["full", "changes"] = Field(
        description="`full`: everything that the phone holds of these types, so that what is missing is gone. "
        "`changes`: what is new, changed or deleted since the last reading."
    )
    types: list[Annotated[str, StringConstraints(pattern=f"^({'|'.join(MEDICAL_TYPES)})$")]] = Field(
        min_length=1, max_length=len(MEDICAL_TYPES), description="The medical types that were read."
    )
    length: int = Field(ge=0, description="Bytes of the whole upload.")
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$")] = Field(description="Of the whole upload.")
    changes_token: str | None = Field(
        default=None, max_length=2000, description="Where the app goes on reading once this upload is accepted."
    )


class Upload(BaseModel):
    """An upload, and what was found in it."""

    upload_id: str
    link_id: str
    reading: str
    mode: str
    types: list[str]
    status: str = Field(
        description="open until the last byte, received until it is judged, accepted or refused, stored after a night."
    )
    code: str | None = Field(default=None, description="Why it was refused: a number of docs/errors.md.")
    offset: int = Field(description="Bytes that came.")
    length: int
    records: dict[str, int] = Field(description="Accepted records by medical type.")
    left_out: dict[str, int] = Field(description="Records that are not kept, by the code that says why.")
    begun_at: datetime
    received_at: datetime | None = None


_UPLOAD_HEADERS = {
    name: {"description": text, "schema": {"type": "string"}}
    for name, text in (
        ("Upload-Offset", "Bytes that came."),
        ("Upload-Complete", "?1 once the last byte came, else ?0."),
        ("Upload-Length", "Bytes of the whole."),
        ("Upload-Limit", "How much may be sent, at once and in all."),
    )
}


@router.post(
    "/links/{link_id}/uploads",
    status_code=201,
    operation_id="beginUpload",
    summary="Begin to upload a reading",
    response_model_exclude_none=True,
    responses={
        200: {"model": Upload, "description": "This reading was begun before."},
        201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Where the chunks go."}}},
        **refusals(404, 409, *BODY),
    },
)
def begin(link_id: LinkId, body: UploadWanted, request: Request, response: Response, caller: Calling) -> Upload:
    """Then PATCH its chunks to the address that Location names."""
    settings = settings_of(request)
    _reach(settings, caller, link_id)
    view, new = uploads.begin(
        link_id,
        reading=body.reading,
        mode=body.mode,
        types=body.types,
        length=body.length,
        sha256=body.sha256,
        changes_token=body.changes_token,
        settings=settings,
    )
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"{MOUNT}/links/{link_id}/uploads/{view.upload_id}"
    response.headers.update(_told(view, settings))
    return shown(view)


@router.get(
    "/links/{link_id}/uploads/{upload_id}",
    operation_id="getUpload",
    summary="How far an upload is, and what was found",
    response_model_exclude_none=True,
    responses={200: {"headers": _UPLOAD_HEADERS}, **refusals(404)},
)
def show(link_id: LinkId, upload_id: UploadId, request: Request, response: Response, caller: Calling) -> Upload:
    """HEAD tells the offset to go on at."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_link(state, caller, link_id)
        view = uploads.get(state, link_id, upload_id, settings)
    if view.status == "open":  # whoever asks has lost a line, and its other end may not know yet
        uploads.settle(upload_id, settings)
        view = _view(settings, link_id, upload_id)
    response.headers.update(_told(view, settings))
    if view.status == "received":
        response.headers["Retry-After"] = "1"
    return shown(view)


@router.patch(
    "/links/{link_id}/uploads/{upload_id}",
    status_code=202,
    operation_id="appendUpload",
    summary="Upload a chunk",
    response_model_exclude_none=True,
    responses={
        202: {"model": Upload, "description": "All of it came. GET tells what was found.", "headers": _UPLOAD_HEADERS},
        204: {"description": "The chunk was kept.", "headers": _UPLOAD_HEADERS},
        **refusals(400, 404, 409, 413, 415),
    },
    openapi_extra={"requestBody": {"content": {PARTIAL: {"schema": {"type": "string", "format": "binary"}}}}},
)  # fmt: skip
async def append(
    link_id: LinkId,
    upload_id: UploadId,
    request: Request,
    caller: Calling,
    upload_offset: Annotated[str | None, Header(description="The byte that the chunk begins at.")] = None,
    upload_complete: Annotated[str | None, Header(description="?1 with the last chunk, else ?0.")] = None,
    content_digest: Annotated[str | None, Header(description="sha-256=:…: of the chunk (RFC 9530).")] = None,
) -> Response:
    """At most 5 MB at once and 35 MB in 15 minutes. What came of a chunk that was cut is kept: HEAD tells how much."""
    settings = settings_of(request)
    await run_in_threadpool(_reach, settings, caller, link_id)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != PARTIAL:
        raise PhoneError("CH989", what="its type is not application/partial-upload")
    if upload_offset is None or not _OFFSET.fullmatch(upload_offset.strip()):
        raise PhoneError("CH989", what="it has no Upload-Offset")
    if upload_complete is None or upload_complete.strip() not in ("?0", "?1"):
        raise PhoneError("CH989", what="it has no Upload-Complete")
    declared = int(request.headers.get("content-length") or 0)
    digest = _digest(content_digest, empty=not declared and "transfer-encoding" not in request.headers)
    end, length = await _append(request, link_id, upload_id, int(upload_offset), declared, digest, settings)
    if upload_complete.strip() == "?0":
        return Response(status_code=204, headers=_headers(end, length, settings, complete=False))
    view = await run_in_threadpool(uploads.end, link_id, upload_id, settings=settings)
    return Response(
        shown(view).model_dump_json(exclude_none=True),
        202,
        headers=_told(view, settings),
        media_type="application/json",
        background=BackgroundTask(judging.judge, upload_id, settings=settings),
    )


@router.delete(
    "/links/{link_id}/uploads/{upload_id}",
    status_code=204,
    operation_id="cancelUpload",
    summary="Give an upload up",
    responses=refusals(404, 409),
)
def cancel(link_id: LinkId, upload_id: UploadId, request: Request, caller: Calling) -> Response:
    """Nothing of it stays. What a night has taken from it already stays with the link."""
    settings = settings_of(request)
    _reach(settings, caller, link_id)
    uploads.cancel(link_id, upload_id, settings=settings)
    return Response(status_code=204)


async def _append(
    request: Request, link_id: str, upload_id: str, begin_at: int, declared: int, digest: bytes, settings: Settings
) -> tuple[int, int]:
    """Take the body to disk, a piece at a time, on threads. A body that is cut leaves what came of it.

    Returns where the upload then ends, and where it will.

    Raises:
        PhoneError: CH978 for more than the upload's length, CH981 where it is not what its digest says; nothing is kept
            then.
    """
    held = uploads.appending(link_id, upload_id, begin_at, declared=declared, settings=settings)
    opened: Appending = await run_in_threadpool(held.__enter__)
    try:
        pieces, size, writing = [], 0, None
        try:
            async for piece in request.stream():
                pieces.append(piece)
                size += len(piece)
                if size >= PIECE:  # one piece is written while the next one comes
                    await _written(writing)
                    writing = asyncio.ensure_future(run_in_threadpool(opened.write, b"".join(pieces)))
                    pieces, size = [], 0
        except (ClientDisconnect, ApiError):  # it was cut, or nothing came any more
            await _written(writing)
            await run_in_threadpool(opened.write, b"".join(pieces))
            raise
        except BaseException:
            with suppress(PhoneError, OSError):
                await _written(writing)
            raise
        await _written(writing)
        await run_in_threadpool(opened.write, b"".join(pieces))
        if opened.sha256 != digest:
            opened.take_back()
            raise PhoneError("CH981")
    except BaseException as error:
        await run_in_threadpool(_leave, held, error)
        raise
    await run_in_threadpool(_leave, held, None)
    return opened.end, opened.most


async def _written(writing: asyncio.Future[None] | None) -> None:
    if writing is not None:
        await writing


def _leave(held: object, error: BaseException | None) -> None:
    """Leave the block, whatever ended it: its own complaints are of what it was told before."""
    kind = None if error is None else type(error)
    held.__exit__(kind, error, None if error is None else error.__traceback__)  # type: ignore[attr-defined]


def _digest(said: str | None, *, empty: bool) -> bytes:
    """The SHA-256 that a chunk is said to have; an empty one need not say it.

    Raises:
        PhoneError: CH980 for none that can be read.
    """
    found = _DIGEST.search(said or "")
    if found is None:
        if said is None and empty:
            return EMPTY
        raise PhoneError("CH980")
    return base64.b64decode(found[1])


def _reach(settings: Settings, caller: Caller, link_id: str) -> None:
    with session(settings, read_only=True) as state:
        reach_link(state, caller, link_id)


def _view(settings: Settings, link_id: str, upload_id: str) -> uploads.UploadView:
    with session(settings, read_only=True) as state:
        return uploads.get(state, link_id, upload_id, settings)


def _told(view: uploads.UploadView, settings: Settings) -> dict[str, str]:
    return _headers(view.offset, view.length, settings, complete=view.status != "open")


def _headers(offset: int, length: int, settings: Settings, *, complete: bool) -> dict[str, str]:
    """The headers of the draft."""
    return {
        "Upload-Offset": str(offset),
        "Upload-Complete": "?1" if complete else "?0",
        "Upload-Length": str(length),
        "Upload-Limit": f"max-size={settings.phone_upload_bytes}, max-append-size={LIMITS.chunk_bytes}",
    }


def shown(view: uploads.UploadView) -> Upload:
    """An upload as its app may see it."""
    return Upload(
        upload_id=view.upload_id,
        link_id=view.link_id,
        reading=view.reading,
        mode=view.mode,
        types=list(view.types),
        status=view.status,
        code=view.code,
        offset=view.offset,
        length=view.length,
        records=dict(view.records),
        left_out=dict(view.left_out),
        begun_at=view.begun_at,
        received_at=view.received_at,
    )
