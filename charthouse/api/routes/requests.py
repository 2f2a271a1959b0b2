"""What a person asks for about their own data: that a link's data goes, that everything goes; and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from charthouse.api import paging
from charthouse.api.callers import Calling, actor_of, reach_link, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import LinkId, PersonKey, refusals
from charthouse.errors import ApiError
from charthouse.privacy import receipts, requests
from charthouse.state import session
from charthouse.state.privacy import Receipt as ReceiptRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter(route_class=Guarded, tags=["privacy"])
RequestId = Annotated[str, Path(max_length=200, description="The request's id.")]
ReceiptId = Annotated[str, Path(max_length=200, description="The receipt's id.")]


class PrivacyRequest(BaseModel):
    """One request. Once an erasure has ended, it says no more for whom it was."""

    request_id: str
    kind: str = Field(description="export, delete_link or erase.")
    link_id: str | None = Field(default=None, description="The link that goes.")
    status: str = Field(description="waiting, running, done, cancelled or failed.")
    asked_at: datetime
    begins_at: datetime = Field(description="When the work may begin; until then it can be cancelled.")
    due_at: datetime = Field(description="When the law wants it done.")
    done_at: datetime | None = None
    code: str | None = Field(default=None, description="The number of what keeps it from its end.")
    receipt_id: str | None = Field(default=None, description="The receipt of what was done.")


class Asked(PrivacyRequest):
    """A request, and the code with which its receipt is checked."""

    receipt_code: str = Field(
        description="Give this to the person: with it they can check that the receipt is theirs. It is kept nowhere."
    )


class PrivacyRequests(paging.Page[PrivacyRequest]):
    """A page of requests, those that are due first."""


class Receipt(BaseModel):
    """A signed account of what was done, which does not say for whom."""

    receipt_id: str
    issued_at: datetime
    document: str = Field(description="A JSON Web Signature; its keys are at /receipts.jwks.json.")


@router.post(
    "/people/{person_key}/erasures",
    status_code=202,
    operation_id="askErasure",
    summary="Erase everything about a person",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
def erase(person_key: PersonKey, request: Request, caller: Calling) -> Asked:
    """Cannot be undone once it has begun. Asked again, it is the same request. Everybody who got data is told."""
    settings = settings_of(request)
    with session(settings) as state:
        reach_person(state, caller, person_key)
        asked = requests.ask_erasure(state, person_key, actor=actor_of(caller), settings=settings)
    return Asked(**_fields(asked), receipt_code=receipts.code_of(asked.request_id, settings))


@router.post(
    "/links/{link_id}/delete",
    status_code=202,
    operation_id="deleteLink",
    summary="Delete a link and what came by it",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
def delete(link_id: LinkId, request: Request, caller: Calling) -> Asked:
    """The data of the person's other links stays. Cannot be undone; disconnecting keeps the data."""
    settings = settings_of(request)
    with session(settings) as state:
        reach_link(state, caller, link_id)
        asked = requests.ask_deletion(state, link_id, actor=actor_of(caller))
    return Asked(**_fields(asked), receipt_code=receipts.code_of(asked.request_id, settings))


@router.get(
    "/people/{person_key}/requests",
    operation_id="listRequests",
    summary="What a person has asked for",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> PrivacyRequests:
    """Those that are due first."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        found = requests.list_requests(state, person_key=person_key)
    after = paging.opened(settings, request, cursor)
    page, more = paging.cut(settings, request, paging.behind(found, _mark, after), _mark, limit)
    return PrivacyRequests(items=[_shown(row) for row in page], next=more)


@router.get(
    "/requests/{request_id}",
    operation_id="getRequest",
    summary="What became of a request",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(request_id: RequestId, request: Request, caller: Calling) -> PrivacyRequest:
    """Of an erasure that has ended, whoever knows its id may see how it ended: it says no more for whom it was."""
    with session(settings_of(request), read_only=True) as state:
        return _shown(_reach(state, caller, request_id))


@router.post(
    "/requests/{request_id}/cancel",
    operation_id="cancelRequest",
    summary="Take a request back",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
def cancel(request_id: RequestId, request: Request, caller: Calling) -> PrivacyRequest:
    """As long as it has not begun. Safe to repeat."""
    with session(settings_of(request)) as state:
        _reach(state, caller, request_id)
        return _shown(requests.cancel(state, request_id, actor=actor_of(caller)))


@router.get(
    "/receipts/{receipt_id}", operation_id="getReceipt", summary="The receipt of a request", responses=refusals(404)
)
def receipt(receipt_id: ReceiptId, request: Request, caller: Calling) -> Receipt:  # noqa: ARG001
    """For whoever knows its id: it says nothing of anybody."""
    with session(settings_of(request), read_only=True) as state:
        row = state.get(ReceiptRow, receipt_id)
        if row is None:
            raise ApiError("CH806")
        return Receipt(receipt_id=row.id, issued_at=row.issued_at, document=row.document)


def _reach(state: Session, caller: Calling, request_id: str) -> requests.RequestView:
    found = requests.find(state, request_id)
    if found.person_key is not None and caller.person not in (None, found.person_key):
        raise ApiError("CH806")
    return found


def _mark(row: requests.RequestView) -> str:
    return f"{row.due_at.isoformat()} {row.request_id}"


def _fields(row: requests.RequestView) -> dict[str, Any]:
    return _shown(row).model_dump()


def _shown(row: requests.RequestView) -> PrivacyRequest:
    return PrivacyRequest(
        request_id=row.request_id,
        kind=row.kind,
        link_id=row.link_id,
        status=row.status,
        asked_at=row.asked_at,
        begins_at=row.begins_at,
        due_at=row.due_at,
        done_at=row.done_at,
        code=row.code,
        receipt_id=row.receipt_id,
    )
