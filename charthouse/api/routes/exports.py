"""Exports: asked for, looked at, and taken away by links that work once."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Header, Path, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from charthouse.api import MOUNT, paging
from charthouse.api.callers import Calling, actor_of, context_of, reach_person, settings_of
from charthouse.api.guard import Guarded, Open
from charthouse.api.problems import Problem
from charthouse.api.shapes import BODY, Body, Day, PersonKey, Slug, refusals
from charthouse.errors import ApiError, PrivacyError
from charthouse.privacy import requests
from charthouse.privacy.export import downloads, store
from charthouse.privacy.export.account import links_of
from charthouse.privacy.export.scope import MOST_PROVIDERS, scope
from charthouse.state import session

if TYPE_CHECKING:
    from charthouse.settings import Settings
    from charthouse.state.privacy import ExportPart

router = APIRouter(route_class=Guarded, tags=["exports"])
taking = APIRouter(route_class=Open, tags=["exports"])
ExportId = Annotated[str, Path(max_length=200, description="The export's id.")]
_RANGE = re.compile(r"bytes=(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))")


class ExportWanted(Body):
    """What to narrow it to; nothing narrows it to nothing: everything is exported."""

    categories: list[Annotated[str, Field(pattern="^[a-z_]{1,64}$")]] = Field(
        default_factory=list, max_length=20, description="Names of category tables.", examples=[["lab_results"]]
    )
    since: Day | None = Field(default=None, description="Only what came or changed since this day.")
    providers: list[Slug] = Field(
        default_factory=list, max_length=MOST_PROVIDERS, description="Only what came from these providers."
    )


class Part(BaseModel):
    """One ZIP of an export."""

    number: int
    size: int = Field(description="In bytes.")
    sha256: str = Field(description="Of the ZIP as it is downloaded.")


class Export(BaseModel):
    """A person's data, to be taken away."""

    export_id: str
    person_key: str
    status: str = Field(description="waiting, running, done, cancelled or failed.")
    categories: list[str]
    since: str | None = None
    providers: list[str]
    asked_at: datetime
    due_at: datetime = Field(description="When the law wants it done.")
    done_at: datetime | None = None
    expires_at: datetime | None = Field(default=None, description="When its files are deleted.")
    code: str | None = Field(default=None, description="What keeps it from its end: a number of docs/errors.md.")
    parts: list[Part] = Field(description="Empty until it is done, and after it has been deleted.")


class Exports(paging.Page[Export]):
    """A page of exports, oldest first."""


class Link(BaseModel):
    """Where one part can be downloaded: once, by whoever has the address."""

    number: int
    size: int
    sha256: str
    url: str
    expires_at: datetime


class Links(BaseModel):
    """A link to each part."""

    items: list[Link]


@router.post(
    "/people/{person_key}/exports",
    status_code=202,
    operation_id="startExport",
    summary="Ask for an export",
    response_model_exclude_none=True,
    responses=refusals(404, 409, *BODY),
)
def start(person_key: PersonKey, request: Request, caller: Calling, body: ExportWanted | None = None) -> Export:
    """Everything that is held about the person, or a part of it. The same while one is under way gives that one."""
    settings = settings_of(request)
    wanted = body or ExportWanted()
    with session(settings) as state:
        reach_person(state, caller, person_key)
        known = sorted({link.provider for link in links_of(state, person_key)})
        chosen = scope(wanted.categories, wanted.since, wanted.providers, known=known)
        asked = requests.ask_export(state, person_key, chosen.options(), actor=actor_of(caller))
    return _shown(asked, [])


@router.get(
    "/people/{person_key}/exports",
    operation_id="listExports",
    summary="A person's exports",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> Exports:
    """Oldest first, those included whose files are deleted."""
    settings = settings_of(request)
    after = paging.opened(settings, request, cursor)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        found = sorted(requests.list_requests(state, person_key=person_key, kind="export"), key=_mark)
    page, more = paging.cut(settings, request, paging.behind(found, _mark, after), _mark, limit)
    items = [_shown(each, _parts(each, settings)) for each in page]
    return Exports(items=items, next=more)


@router.get(
    "/people/{person_key}/exports/{export_id}",
    operation_id="getExport",
    summary="An export",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(person_key: PersonKey, export_id: ExportId, request: Request, caller: Calling) -> Export:
    """How far it is, and how large its parts are."""
    settings = settings_of(request)
    found = _reach(person_key, export_id, caller, settings)
    return _shown(found, _parts(found, settings))


@router.post(
    "/people/{person_key}/exports/{export_id}/downloads",
    status_code=201,
    operation_id="offerDownloads",
    summary="Links to an export's parts",
    responses=refusals(404, 409),
)
def offer(person_key: PersonKey, export_id: ExportId, request: Request, caller: Calling) -> Links:
    """Each works once and not for long. Give them to the person's own browser and to nobody else."""
    context = context_of(request)
    found = _reach(person_key, export_id, caller, context.settings)
    base = f"{context.public_url}{MOUNT}/downloads/"
    offered = downloads.offer(found.request_id, actor=actor_of(caller), settings=context.settings)
    return Links(
        items=[
            Link(
                number=each.part.number,
                size=each.part.size,
                sha256=each.part.sha256,
                url=base + each.token,
                expires_at=each.expires_at,
            )
            for each in offered
        ]
    )


@taking.get(
    "/downloads/{token}",
    operation_id="takeDownload",
    summary="Download a part of an export",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}, "description": "The ZIP."},
        206: {"content": {"application/zip": {}}, "description": "What the Range asked for."},
        **{
            status: {"model": Problem, "description": told}
            for status, told in (
                (410, "Over, used, or never there."),
                (416, "There is no such range."),
                (422, "It does not fit this document."),
                (429, "Too many requests: see Retry-After."),
                (503, "Not now: see Retry-After."),
            )
        },
    },
)
def take(
    token: Annotated[str, Path(max_length=200, description="What stands in the link.")],
    request: Request,
    range_: Annotated[str | None, Header(alias="Range", max_length=100, description="To go on (RFC 9110).")] = None,
    if_range: Annotated[str | None, Header(max_length=200, description="The ETag of what was begun.")] = None,
) -> Response:
    """No token: the address is the secret. Works once; what was begun can be gone on with by Range until it is over."""
    settings = settings_of(request)
    try:
        taken = downloads.take(token, _ranged(range_), if_range and if_range.strip('"'), settings)
    except PrivacyError as error:
        if error.code == "CH941":
            error.headers = {"Content-Range": error.where}  # type: ignore[attr-defined]
        raise
    part = taken.part
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="charthouse-{part.request_id[:8]}-{part.number}.zip"',
        "Content-Length": str(taken.end - taken.begin),
        "ETag": _etag(part),
        "X-Content-Type-Options": "nosniff",
    }
    if not taken.is_whole:
        headers["Content-Range"] = f"bytes {taken.begin}-{taken.end - 1}/{part.size}"
    return StreamingResponse(
        downloads.read(taken, settings),
        200 if taken.is_whole else 206,
        headers=headers,
        media_type="application/zip",
    )


def _reach(person_key: str, export_id: str, caller: Calling, settings: Settings) -> requests.RequestView:
    """An export that the caller may see.

    Raises:
        ApiError: CH806 for none, and for anybody else's.
    """
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        try:
            found = requests.find(state, export_id)
        except PrivacyError:
            raise ApiError("CH806") from None
    if found.kind != "export" or found.person_key != person_key:
        raise ApiError("CH806")
    return found


def _ranged(said: str | None) -> tuple[int | None, int | None] | None:
    """One range of bytes; what is none, or several, is not looked at, as RFC 9110 has it."""
    match = _RANGE.fullmatch(said.strip()) if said else None
    if match is None:
        return None
    first, last, suffix = (None if each is None else int(each) for each in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return (first, last) if first is not None else (None, suffix)


def _etag(part: ExportPart) -> str:
    return f'"{part.sha256}"'


def _parts(view: requests.RequestView, settings: Settings) -> list[ExportPart]:
    return store.parts_of(view.request_id, settings) if view.status == "done" else []


def _shown(view: requests.RequestView, parts: list[ExportPart]) -> Export:
    return Export(
        export_id=view.request_id,
        person_key=view.person_key or "",
        status=view.status,
        categories=list(view.options.get("categories", ())),
        since=view.options.get("since"),
        providers=list(view.options.get("providers", ())),
        asked_at=view.asked_at,
        due_at=view.due_at,
        done_at=view.done_at,
        expires_at=min((part.expires_at for part in parts), default=None),
        code=view.code,
        parts=[Part(number=part.number, size=part.size, sha256=part.sha256) for part in parts],
    )


def _mark(view: requests.RequestView) -> str:
    return f"{view.asked_at.isoformat()} {view.request_id}"
