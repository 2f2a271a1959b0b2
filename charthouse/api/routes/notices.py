"""Notices: what a person was told, and how each went out."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from charthouse.api import paging
from charthouse.api.callers import Calling, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import PersonKey, refusals
from charthouse.notify import outbox
from charthouse.state import session

router = APIRouter(route_class=Guarded, tags=["notices"])


class Delivery(BaseModel):
    """A notice's way by one channel."""

    channel: str
    status: str = Field(description="waiting, sending, sent, undeliverable or suppressed.")
    sent_at: datetime | None = None
    code: str | None = Field(default=None, description="The last error, by its number in docs/errors.md.")


class Notice(BaseModel):
    """One thing that a person was told."""

    notice_id: str
    kind: str
    link_id: str | None = None
    reason: str = ""
    detail: dict[str, str | int] = Field(description="Codes and slugs, nothing of a person or a record.")
    created_at: datetime
    deliveries: list[Delivery]


class Notices(paging.Page[Notice]):
    """A page of notices, newest first."""


@router.get(
    "/people/{person_key}/notices",
    operation_id="listNotices",
    summary="What a person was told",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> Notices:
    """Newest first."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        after = paging.opened(settings, request, cursor)
        found = outbox.list_notices(state, person_key, after=after, limit=limit + 1)
    page, more = paging.cut(settings, request, found, lambda one: one.notice_id, limit)
    return Notices(items=[_shown(one) for one in page], next=more)


def _shown(one: outbox.NoticeView) -> Notice:
    return Notice(
        notice_id=one.notice_id,
        kind=one.kind,
        link_id=one.link_id,
        reason=one.reason,
        detail=dict(one.detail),
        created_at=one.created_at,
        deliveries=[
            Delivery(channel=way.channel, status=way.status, sent_at=way.sent_at, code=way.code)
            for way in one.deliveries
        ],
    )
