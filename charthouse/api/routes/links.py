"""Links: started, looked at, signed in again, asked for records, ended."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from sqlalchemy import select

from charthouse.api import paging
from charthouse.api.callers import Calling, actor_of, context_of, reach_link, reach_person, settings_of, waiting_outside
from charthouse.api.guard import Guarded
from charthouse.api.returning import callback_url, checked, start_url
from charthouse.api.shapes import BODY, Body, Link, LinkId, PersonKey, Slug, refusals
from charthouse.errors import LinkError, StateError
from charthouse.linking import links
from charthouse.linking.disconnect import disconnect as end_link
from charthouse.linking.permissions import permitted
from charthouse.linking.refusals import message_for
from charthouse.linking.sign_in import start_sign_in
from charthouse.linking.troubleshooting import walk
from charthouse.state import session
from charthouse.state.models import Link as Row
from charthouse.state.models import LinkEvent, Provider

router = APIRouter(route_class=Guarded, tags=["links"])
ReturnTo = Field(
    default=None,
    max_length=2000,
    description="Where the last page leads back to: at an origin or of a scheme that the installation declares.",
    examples=["https://app.example/linked"],
)


class LinkWanted(Body):
    """Which provider, and where the person goes afterwards."""

    provider: Slug
    return_to: str | None = ReturnTo


class Reconnected(Body):
    """Where the person goes afterwards."""

    return_to: str | None = ReturnTo


class SignInStarted(BaseModel):
    """A sign-in that waits for its person."""

    link_id: str
    authorize_url: str = Field(
        description="Open it in the person's browser: it is theirs, works once, and not for long."
    )


class Links(paging.Page[Link]):
    """A page of links, oldest first."""


class Event(BaseModel):
    """One move of a link."""

    field: str = Field(description="status, sync_status, or watch (what a deadline found).")
    before: str | None = None
    after: str
    reason: str
    actor: str = Field(description="person, operator, sync or partner.")
    at: datetime


class Events(paging.Page[Event]):
    """A page of events, oldest first."""


class Step(BaseModel):
    """A cause that was looked at."""

    cause: str
    asks: str
    reason: str | None = Field(default=None, description="What was found, a reason or a code; absent: it is not this.")


class Explained(BaseModel):
    """Why nothing comes over a link, and the one thing to do next."""

    link_id: str
    status: str
    sync_status: str
    steps: list[Step] = Field(description="Every cause of the link's route, in the order in which they are looked at.")
    cause: str | None = Field(default=None, description="The first that was found; absent: nothing is wrong.")
    reason: str | None = None
    title: str = Field(description="What that means, in words for the person.")
    message: str
    action: str = Field(description="What the person can do next.")


class Disconnected(BaseModel):
    """A link that ended. What was read stays until it is deleted."""

    link: Link
    revoked: bool = Field(description="Whether the provider has ended the grant too.")
    portal_url: str | None = Field(
        default=None, description="Where the person can end it themselves, where the provider was not told."
    )


@router.post(
    "/people/{person_key}/links",
    status_code=201,
    operation_id="startLink",
    summary="Start a link",
    responses=refusals(404, 409, *BODY),
)
@waiting_outside
def start(person_key: PersonKey, body: LinkWanted, request: Request, caller: Calling) -> SignInStarted:
    """Answers with an address for the person's browser, where they sign in at the provider."""
    context = context_of(request)
    return_to = checked(body.return_to, context.settings)
    with session(context.settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        if state.get(Provider, body.provider) is None:
            raise LinkError("CH613")
    started = start_sign_in(
        person_key,
        body.provider,
        browser=None,
        redirect_uri=callback_url(context.public_url),
        return_to=return_to,
        settings=context.settings,
    )
    return SignInStarted(link_id=started.link_id, authorize_url=start_url(context.public_url, started.state))


@router.get(
    "/people/{person_key}/links",
    operation_id="listLinks",
    summary="A person's links",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> Links:
    """Oldest first; deleted ones are not there."""
    settings = settings_of(request)
    after = paging.opened(settings, request, cursor)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        query = select(Row).where(Row.person_key == person_key, Row.status != "deleted")
        rows = list(state.scalars(query.order_by(Row.created_at, Row.id)))
    page, more = paging.cut(settings, request, paging.behind(rows, _mark, after), _mark, limit)
    return Links(items=[shown(row) for row in page], next=more)


@router.get(
    "/links/{link_id}",
    operation_id="getLink",
    summary="A link",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(link_id: LinkId, request: Request, caller: Calling) -> Link:
    """Its states, and what the person may do."""
    with session(settings_of(request), read_only=True) as state:
        return shown(reach_link(state, caller, link_id))


@router.get(
    "/links/{link_id}/explanation",
    operation_id="explainLink",
    summary="Why nothing comes",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def explain(link_id: LinkId, request: Request, caller: Calling) -> Explained:
    """Looks at every cause that people meet, and ends with the one thing to do next."""
    with session(settings_of(request), read_only=True) as state:
        reach_link(state, caller, link_id)
        walked = walk(state, link_id)
    return Explained(
        link_id=walked.link_id,
        status=walked.status,
        sync_status=walked.sync_status,
        steps=[Step(cause=step.cause, asks=step.asks, reason=step.reason) for step in walked.steps],
        cause=walked.cause,
        reason=walked.reason,
        title=walked.told.title,
        message=walked.told.text,
        action=walked.told.action,
    )


@router.get(
    "/links/{link_id}/events",
    operation_id="listLinkEvents",
    summary="What happened to a link",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def happened(
    link_id: LinkId, request: Request, caller: Calling, limit: paging.Limit = paging.USUAL, cursor: paging.Cursor = None
) -> Events:
    """Every move that it made, oldest first."""
    settings = settings_of(request)
    after = int(paging.opened(settings, request, cursor) or 0)
    with session(settings, read_only=True) as state:
        reach_link(state, caller, link_id)
        query = select(LinkEvent).where(LinkEvent.link_id == link_id, LinkEvent.id > after)
        rows = list(state.scalars(query.order_by(LinkEvent.id).limit(limit + 1)))
    page, more = paging.cut(settings, request, rows, lambda row: str(row.id), limit)
    return Events(
        items=[
            Event(
                field=row.field,
                before=row.from_state,
                after=row.to_state,
                reason=row.reason,
                actor=row.actor,
                at=row.at,
            )
            for row in page
        ],
        next=more,
    )


@router.post(
    "/links/{link_id}/reconnect",
    operation_id="reconnectLink",
    summary="Sign in again",
    responses=refusals(404, 409, *BODY),
)
@waiting_outside
def reconnect(link_id: LinkId, request: Request, caller: Calling, body: Reconnected | None = None) -> SignInStarted:
    """The link keeps its id and what was read; the address is for the person's browser."""
    context = context_of(request)
    return_to = checked(body.return_to if body else None, context.settings)
    with session(context.settings, read_only=True) as state:
        link = reach_link(state, caller, link_id)
    if link.route == "phone":  # nobody signs in: the phone is asked to connect its data source again
        raise LinkError("CH614", where=f"link {link_id}")
    started = start_sign_in(
        link.person_key,
        link.provider,
        link_id=link.id,
        browser=None,
        redirect_uri=callback_url(context.public_url),
        return_to=return_to,
        settings=context.settings,
    )
    return SignInStarted(link_id=started.link_id, authorize_url=start_url(context.public_url, started.state))


@router.post(
    "/links/{link_id}/disconnect",
    operation_id="disconnectLink",
    summary="End a link",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
@waiting_outside
def disconnect(link_id: LinkId, request: Request, caller: Calling) -> Disconnected:
    """Our access ends at once, and the provider is told where it can be. What was read stays. Safe to repeat."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        link = reach_link(state, caller, link_id)
        portal_url = state.get_one(Provider, link.provider).portal_url
    if link.status == "disconnected":
        return Disconnected(link=shown(link), revoked=False, portal_url=portal_url)
    revoked = False
    try:
        ended = end_link(link_id, actor=actor_of(caller), settings=settings)
        revoked, portal_url = ended.revoked, ended.portal_url
    except StateError as error:
        if error.code != "CH601":  # of two requests at once the other one ended it, or it was deleted meanwhile
            raise
    with session(settings, read_only=True) as state:
        link = reach_link(state, caller, link_id)
    return Disconnected(link=shown(link), revoked=revoked, portal_url=portal_url)


@router.post(
    "/links/{link_id}/sync",
    status_code=202,
    operation_id="syncLink",
    summary="Ask for new records",
    response_model_exclude_none=True,
    responses=refusals(404, 409),
)
def sync(link_id: LinkId, request: Request, caller: Calling) -> Link:
    """The next run takes it up."""
    with session(settings_of(request)) as state:
        reach_link(state, caller, link_id)
        links.request_sync(state, link_id)
        return shown(reach_link(state, caller, link_id))


def shown(row: Row) -> Link:
    """A row as its person may see it: no patient id, no scopes."""
    reason = row.failed_reason or ("authorization_ended" if row.status == "expired" else None)
    told = message_for(reason) if reason else None
    return Link(
        link_id=row.id,
        person_key=row.person_key,
        provider=row.provider,
        route=row.route,
        status=row.status,
        reason=reason,
        message=told.text if told else None,
        action=told.action if told else None,
        sync_status=row.sync_status,
        categories=dict(permitted(row.granted_scopes).categories),
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
        last_synced_at=row.last_synced_at,
        sync_requested_at=row.sync_requested_at,
    )


def _mark(row: Row) -> str:
    return f"{row.created_at.isoformat()} {row.id}"
