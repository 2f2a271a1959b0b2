"""Consents: what a person agreed to, by kind and version of the text, and when they took it back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from charthouse.api import paging
from charthouse.api.callers import Calling, actor_of, reach_person, settings_of, waiting_outside
from charthouse.api.guard import Guarded
from charthouse.api.shapes import BODY, Body, PersonKey, Word, refusals
from charthouse.errors import ApiError
from charthouse.linking import consents
from charthouse.linking.disconnect import withdraw_consent
from charthouse.state import session
from charthouse.state.linking import Consent as Row  # noqa: TC001  # FastAPI reads the annotations

router = APIRouter(route_class=Guarded, tags=["consents"])
Kind = Annotated[str, Path(pattern="^[a-z0-9][a-z0-9._-]{0,63}$", description="What was agreed to, as a word.")]


class ConsentGiven(Body):
    """Which text the person agreed to."""

    version: Word = Field(default="1", description="The version of the text.", examples=["2026-03"])


class Consent(BaseModel):
    """One agreement. It is in force until it is withdrawn."""

    kind: str
    version: str
    given_at: datetime
    withdrawn_at: datetime | None = None


class Consents(paging.Page[Consent]):
    """A page of consents, oldest first."""


@router.get(
    "/people/{person_key}/consents",
    operation_id="listConsents",
    summary="Everything a person agreed to",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def listing(
    person_key: PersonKey,
    request: Request,
    caller: Calling,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> Consents:
    """Oldest first, those withdrawn included."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
        found = sorted(consents.list_consents(state, person_key), key=_mark)
    after = paging.opened(settings, request, cursor)
    page, more = paging.cut(settings, request, paging.behind(found, _mark, after), _mark, limit)
    return Consents(items=[_shown(row) for row in page], next=more)


@router.get(
    "/people/{person_key}/consents/{kind}",
    operation_id="getConsent",
    summary="The consent of a kind that is in force",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def show(person_key: PersonKey, kind: Kind, request: Request, caller: Calling) -> Consent:
    """404 where none is."""
    with session(settings_of(request), read_only=True) as state:
        reach_person(state, caller, person_key)
        held = [row for row in consents.list_consents(state, person_key) if row.kind == kind and not row.withdrawn_at]
        if not held:
            raise ApiError("CH806")
        return _shown(held[-1])


@router.put(
    "/people/{person_key}/consents/{kind}",
    operation_id="giveConsent",
    summary="Note that a person agreed",
    response_model_exclude_none=True,
    responses=refusals(404, 409, *BODY),
)
def give(person_key: PersonKey, kind: Kind, body: ConsentGiven, request: Request, caller: Calling) -> Consent:
    """Safe to repeat: the same version again changes nothing, another one takes the place of what is in force."""
    with session(settings_of(request)) as state:
        reach_person(state, caller, person_key)
        return _shown(consents.give(state, person_key, kind, body.version, actor=actor_of(caller)))


@router.delete(
    "/people/{person_key}/consents/{kind}",
    status_code=204,
    operation_id="withdrawConsent",
    summary="Note that a person took it back",
    responses=refusals(404, 422),
)
@waiting_outside
def withdraw(person_key: PersonKey, kind: Kind, request: Request, caller: Calling) -> None:
    """Safe to repeat. With the consent `sync` all links of the person end, and their providers are told."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
    withdraw_consent(person_key, kind, actor=actor_of(caller), settings=settings)


def _mark(row: consents.ConsentView) -> str:
    return f"{row.given_at.isoformat()} {row.kind}"


def _shown(row: consents.ConsentView | Row) -> Consent:
    return Consent(kind=row.kind, version=row.version, given_at=row.given_at, withdrawn_at=row.withdrawn_at)
