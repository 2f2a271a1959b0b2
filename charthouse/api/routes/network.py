"""The search for a person's providers by a partner: how it stands, what was found, and the partner's own messages."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from charthouse.api import paging
from charthouse.api.callers import Calling, actor_of, reach_person, settings_of, waiting_outside
from charthouse.api.guard import Guarded, Signed
from charthouse.api.shapes import PersonKey, message_refusals, refusals
from charthouse.errors import ApiError, LinkError
from charthouse.linking import finding, found_providers, network_messages, searching, verifications
from charthouse.linking.refusals import message_for
from charthouse.state import session

router = APIRouter(route_class=Guarded, tags=["network"])
messages = APIRouter(route_class=Signed, tags=["network"])
FoundId = Annotated[str, Path(max_length=200, description="The found provider's id.")]
_NEVER = "none"


class Search(BaseModel):
    """How the search for a person's providers stands."""

    permitted: bool = Field(description="Whether they may be searched for now.")
    code: str | None = Field(default=None, description="Why not, by its number in docs/errors.md.")
    message: str | None = Field(default=None, description="What that means, in words for the person.")
    action: str | None = Field(default=None, description="What the person can do about it.")
    state: str = Field(description="none, ready, running, done, failed, refused or unknown.")
    verified_until: datetime | None = Field(default=None, description="Until when their verified identity holds.")
    searched_at: datetime | None = None
    looked_at: datetime | None = None


class Found(BaseModel):
    """A provider that was found for a person."""

    found_id: str
    provider: str = Field(description="The provider's slug.")
    name: str
    way: str = Field(description="connected (by itself), or sign_in: it waits for the person to sign in there.")
    link_id: str | None = Field(default=None, description="The link by which its records come.")
    link_status: str | None = None
    found_at: datetime
    dismissed_at: datetime | None = None
    status_said: str = Field(description="The partner's own word for the connection.")
    sync_said: str = Field(description="The partner's own word for its data.")


class FoundProviders(paging.Page[Found]):
    """A page of found providers, oldest first."""


class SignIn(BaseModel):
    """Where the person signs in at a found provider."""

    sign_in_url: str = Field(description="Open it in the person's browser: it is theirs, and not to be kept.")


@router.get(
    "/people/{person_key}/search",
    operation_id="getSearch",
    summary="How the search for a person's providers stands",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show_search(person_key: PersonKey, request: Request, caller: Calling) -> Search:
    """Where they may not be searched for, the first reason why not, and what they can do."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        refusal: LinkError | None = None
        try:
            searching.check_may_search(state, person_key, settings=settings)
        except LinkError as error:
            refusal = error
        held = verifications.current(state, person_key, settings=settings)
        standing = next(iter(searching.list_searches(state, person_key)), None)
    told = message_for(refusal.code) if refusal is not None else None
    return Search(
        permitted=refusal is None,
        code=refusal.code if refusal is not None else None,
        message=told.text if told else None,
        action=told.action if told else None,
        state=standing.search if standing is not None else _NEVER,
        verified_until=held.holds_until if held is not None else None,
        searched_at=standing.searched_at if standing is not None else None,
        looked_at=standing.looked_at if standing is not None else None,
    )


@router.post(
    "/people/{person_key}/search",
    status_code=202,
    operation_id="lookSoon",
    summary="Let it be a person's turn to be searched for",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
def look_soon(person_key: PersonKey, request: Request, caller: Calling) -> Search:
    """The next look takes them first. 409 where they may not be searched for. Safe to repeat."""
    settings = settings_of(request)
    with session(settings) as state:
        reach_person(state, caller, person_key)
        searching.check_may_search(state, person_key, settings=settings)
        searching.look_soon(state, person_key)
    return show_search(person_key, request, caller)


@router.get(
    "/people/{person_key}/found-providers",
    operation_id="listFoundProviders",
    summary="What was found for a person",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> FoundProviders:
    """Without those that were dismissed, and those that the partner lists no more."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        found = sorted(found_providers.list_found(state, person_key), key=_mark)
    after = paging.opened(settings, request, cursor)
    page, more = paging.cut(settings, request, paging.behind(found, _mark, after), _mark, limit)
    return FoundProviders(items=[_shown(one) for one in page], next=more)


@router.post(
    "/found-providers/{found_id}/dismiss",
    operation_id="dismissFoundProvider",
    summary="Wave a found provider away",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def dismiss(found_id: FoundId, request: Request, caller: Calling) -> Found:
    """It is told no more, and is not linked by itself; signing in there takes that back. Safe to repeat."""
    with session(settings_of(request)) as state:
        _reach(state, caller, found_id)
        return _shown(found_providers.dismiss(state, found_id, actor=actor_of(caller)))


@router.post(
    "/found-providers/{found_id}/sign-in",
    operation_id="signInAtFoundProvider",
    summary="Where a person signs in at a found provider",
    responses=refusals(404, 409),
)
@waiting_outside
def sign_in(found_id: FoundId, request: Request, caller: Calling) -> SignIn:
    """For one that waits for it, or whose connection has ended. Once they have signed in, the next look connects it."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        _reach(state, caller, found_id)
    return SignIn(sign_in_url=finding.sign_in_url(found_id, actor=actor_of(caller), settings=settings))


@messages.post(
    "/partners/{partner}/messages",
    operation_id="takePartnerMessage",
    summary="A message of a partner's",
    responses=message_refusals("partner", "nobody who is known here"),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def take(
    partner: Annotated[str, Path(max_length=64, description="The partner's slug.")], request: Request
) -> dict[str, Any]:
    """A FHIR message Bundle, signed as the partner signs. The same message again changes nothing."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    settings = settings_of(request)
    try:
        message = await run_in_threadpool(
            network_messages.take, partner, headers, await request.body(), settings=settings
        )
    except LinkError:  # CH624: nobody speaks to such a partner
        raise ApiError("CH806") from None
    coding = {"system": "http://icanbwell.com/event-types", "code": "webhook-payload-received"}
    header = {
        "resourceType": "MessageHeader",
        "eventCoding": coding,
        "source": {"endpoint": settings.public_url or "urn:charthouse"},
        "response": {"identifier": message.message_id, "code": "ok"},
    }
    return {
        "resourceType": "Bundle",
        "type": "message",
        "id": str(uuid.uuid4()),
        "entry": [{"resource": header}],
    }


def _reach(state: Any, caller: Any, found_id: str) -> None:
    """Let those pass whom a found provider is shown to; it is not there for anybody else."""
    try:
        row = found_providers.get_found(state, found_id)
    except LinkError:
        raise ApiError("CH806") from None
    reach_person(state, caller, row.person_key)


def _shown(one: found_providers.FoundView) -> Found:
    return Found(
        found_id=one.found_id,
        provider=one.provider,
        name=one.name,
        way=one.way,
        link_id=one.link_id,
        link_status=one.link_status,
        found_at=one.found_at,
        dismissed_at=one.dismissed_at,
        status_said=one.status_said,
        sync_said=one.sync_said,
    )


def _mark(one: found_providers.FoundView) -> str:
    return f"{one.found_at.isoformat()} {one.found_id}"
