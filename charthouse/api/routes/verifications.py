"""Verifying who a person is: begun by the app, followed by the verifier's messages, ended on a page of ours."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from charthouse.api import pages
from charthouse.api.callers import Calling, Context, actor_of, context_of, reach_person, settings_of, waiting_outside
from charthouse.api.guard import Guarded, Shown, Signed
from charthouse.api.pages import words
from charthouse.api.returning import checked, is_permitted, verified_url, with_outcome
from charthouse.api.shapes import PersonKey, message_refusals, refusals, shown_as_pages
from charthouse.errors import ApiError, LinkError
from charthouse.linking import verifying, verifying_messages
from charthouse.linking.refusals import message_for
from charthouse.state import session

router = APIRouter(route_class=Guarded, tags=["verifications"])
coming_back = APIRouter(route_class=Shown, tags=["pages"])
messages = APIRouter(route_class=Signed, tags=["verifications"])


class Asked(BaseModel):
    """How a person wants to verify."""

    model_config = ConfigDict(extra="forbid", strict=True)

    return_to: str | None = Field(
        default=None, max_length=2000, description="Where our page leads back to: an address at a declared origin."
    )
    again: bool = Field(default=False, description="Although a verification holds for longer than a month.")


class Verification(BaseModel):
    """One verification of who a person is."""

    verification_id: str
    status: str = Field(description="open, verified, failed or unfinished.")
    code: str | None = Field(default=None, description="Why it failed, by its number in docs/errors.md.")
    message: str | None = Field(default=None, description="What that means, in words for the person.")
    action: str | None = Field(default=None, description="What the person can do about it.")
    level: str | None = Field(default=None, description="The assurance that was reached: IAL1, IAL2 or IAL3.")
    started_at: datetime
    expires_at: datetime = Field(description="Until when it can be gone on with.")
    ended_at: datetime | None = None
    holds_until: datetime | None = Field(default=None, description="Until when it need not be repeated.")
    open_url: str | None = Field(
        default=None, description="Open it in the person's browser: it is theirs, and not to be kept."
    )


class Verifications(BaseModel):
    """All of a person's verifications, oldest first."""

    items: list[Verification]


@router.post(
    "/people/{person_key}/verifications",
    status_code=201,
    operation_id="startVerification",
    summary="Begin to verify who a person is",
    response_model_exclude_none=True,
    responses=refusals(404, 409, 422),
)
@waiting_outside
def begin(person_key: PersonKey, asked: Asked, request: Request, caller: Calling) -> Verification:
    """Open `open_url` in their browser. While one is open, it is that one. 409 where they cannot, or need not."""
    context = context_of(request)
    with session(context.settings, read_only=True) as state:
        reach_person(state, caller, person_key)
    begun = verifying.start(
        person_key,
        return_url=partial(verified_url, context.public_url),
        return_to=checked(asked.return_to, context.settings),
        again=asked.again,
        actor=actor_of(caller),
        settings=context.settings,
    )
    return _shown(begun)


@router.get(
    "/people/{person_key}/verifications",
    operation_id="listVerifications",
    summary="How a person's verifications stand",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def listing(person_key: PersonKey, request: Request, caller: Calling) -> Verifications:
    """What is known here; the verifier's own news bring it up to date."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        return Verifications(items=[_shown(one) for one in verifying.list_views(state, person_key, settings=settings)])


@coming_back.get(
    "/verified/{known_by}",
    operation_id="showVerified",
    summary="Where the verifier sends the person back to",
    response_class=pages.Page,
    responses=shown_as_pages(404),
)
@waiting_outside
def show(
    known_by: Annotated[str, Path(max_length=200, description="The verification, as its return address names it.")],
    request: Request,
) -> Response:
    """Says what came of it, and what comes next. Whoever opens it learns nothing of the person."""
    settings = settings_of(request)
    found = verifying.returned(known_by, settings=settings)
    way_back = None
    if found.return_to and is_permitted(found.return_to, settings):
        way_back = with_outcome(found.return_to, None, found.status)
    if found.code is not None:
        return pages.told(request, pages.spoken(found.code), code=found.code, way_back=way_back)
    return pages.told(request, words.VERIFIED[found.status], way_back=way_back)


@messages.post(
    "/verifiers/{verifier}/messages",
    operation_id="takeVerifierMessage",
    summary="A message of a verifier's",
    responses=message_refusals("verifier", "a session that is not known here"),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def take(
    verifier: Annotated[str, Path(max_length=64, description="The verifier's slug.")], request: Request
) -> Response:
    """An event, its body signed as the verifier signs. It is answered at once; then the verifier is asked."""
    context = context_of(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    body = await request.body()
    try:
        taken = await run_in_threadpool(
            partial(verifying_messages.take, verifier, headers, body, settings=context.settings)
        )
    except LinkError:  # CH674: nobody has set up such a verifier
        raise ApiError("CH806") from None
    after = None if taken is None else BackgroundTask(_look, context, taken)
    return JSONResponse({"status": "taken"}, background=after)


async def _look(context: Context, verification_id: str) -> None:
    """Ask the verifier, on a thread apart from those of all other routes."""
    asked = partial(verifying.look_quietly, verification_id, settings=context.settings)
    await to_thread.run_sync(asked, limiter=context.outside)


def _shown(one: verifying.VerificationView) -> Verification:
    told = message_for(one.code) if one.code else None
    return Verification(
        verification_id=one.verification_id,
        status=one.status,
        code=one.code,
        message=told.text if told else None,
        action=told.action if told else None,
        level=one.level or None,
        started_at=one.started_at,
        expires_at=one.expires_at,
        ended_at=one.ended_at,
        holds_until=one.holds_until,
        open_url=one.address,
    )
