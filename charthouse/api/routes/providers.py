"""Providers: who holds records, as people search for them."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from charthouse.api import paging
from charthouse.api.callers import Calling, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import PLAIN, SLUG, refusals
from charthouse.errors import ApiError
from charthouse.linking import directory
from charthouse.state import session
from charthouse.state.models import Provider as Row

router = APIRouter(route_class=Guarded, tags=["providers"])
LONGEST = 64


class Found(BaseModel):
    """A provider as a person knows it: a brand, one of its portals, and the endpoint behind it."""

    provider: str | None = Field(default=None, description="The slug to link with; missing where there is no way yet.")
    name: str
    portal: str | None = Field(default=None, description="What its portal is called.")
    website: str | None = None
    region: str | None = Field(default=None, description="ISO 3166-1 alpha-2.")
    places: list[str]
    linkable: bool = Field(description="Whether a person may link it now.")


class FoundPage(paging.Page[Found]):
    """A page of providers, the best matches first."""


class Provider(BaseModel):
    """A provider, by its slug."""

    provider: str
    name: str
    region: str
    active: bool
    portal_url: str | None = Field(default=None, description="Where people find the provider's own switch.")


@router.get(
    "/providers",
    operation_id="searchProviders",
    summary="Search providers by name and place",
    response_model_exclude_none=True,
    responses=refusals(422),
)
def search(
    request: Request,
    caller: Calling,  # noqa: ARG001  # a token is asked for, whoever it is for
    search: Annotated[
        str, Query(max_length=200, pattern=PLAIN, description="Words of a name.", examples=["mercy"])
    ] = "",
    place: Annotated[
        str | None, Query(max_length=100, pattern=PLAIN, description="A city, state or postal code.")
    ] = None,
    region: Annotated[str | None, Query(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")] = None,
    limit: paging.Limit = paging.USUAL,
    cursor: paging.Cursor = None,
) -> FoundPage:
    """Brands that share a name are told apart by their portals and places."""
    settings = settings_of(request)
    after = paging.opened(settings, request, cursor)
    with session(settings, read_only=True) as state:
        found = directory.search(state, search, place=place, region=region, after=after, limit=limit + 1)
    page, more = paging.cut(settings, request, found, lambda one: one.cursor, limit)
    return FoundPage(
        items=[
            Found(
                provider=one.provider,
                name=one.brand,
                portal=one.portal or None,
                website=one.website,
                region=one.region,
                places=list(one.places),
                linkable=one.linkable,
            )
            for one in page
        ],
        next=more,
    )


@router.get(
    "/providers/{slug}",
    operation_id="getProvider",
    summary="A provider",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(
    slug: Annotated[str, Path(max_length=200, description="The provider's slug.")],
    request: Request,
    caller: Calling,  # noqa: ARG001  # a token is asked for, whoever it is for
) -> Provider:
    """Its name, region, and whether it can be linked."""
    with session(settings_of(request), read_only=True) as state:
        row = state.get(Row, slug) if len(slug) <= LONGEST and re.fullmatch(SLUG, slug) else None
        if row is None or row.retired_at is not None:
            raise ApiError("CH806")
        return Provider(
            provider=row.slug, name=row.name, region=row.region, active=row.active, portal_url=row.portal_url
        )
