"""Leaving by the link of a mail: one click, no sign-in (RFC 8058). Looking at the page changes nothing."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from charthouse.api import pages
from charthouse.api.callers import settings_of
from charthouse.api.guard import Shown
from charthouse.api.pages.words import CHANNELS, NOTICES
from charthouse.api.shapes import shown_as_pages
from charthouse.notify.unsubscribing import Leaving, apply_unsubscribe, read_token
from charthouse.state import session

router = APIRouter(route_class=Shown, tags=["pages"])
Token = Annotated[str, Path(max_length=1000, description="The token of the mail's link.")]


@router.get(
    "/unsubscribe/{token}",
    operation_id="askToUnsubscribe",
    summary="The page that asks whether it is meant",
    response_class=pages.Page,
    responses=shown_as_pages(404, 422),
)
def ask(token: Token, request: Request) -> Response:
    """Mail programs and scanners open links of their own accord: nothing happens here."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        leaving = read_token(state, token, settings=settings)
    return pages.page("unsubscribe.html", request, done=False, what=_what(leaving))


@router.post(
    "/unsubscribe/{token}",
    operation_id="unsubscribe",
    summary="Leave",
    response_class=pages.Page,
    responses=shown_as_pages(404, 413, 422),
)
def leave(token: Token, request: Request) -> Response:
    """What the body says (`List-Unsubscribe=One-Click`) is not asked for: the address says all. Safe to repeat."""
    settings = settings_of(request)
    with session(settings) as state:
        leaving = apply_unsubscribe(state, token, settings=settings)
    return pages.page("unsubscribe.html", request, done=True, what=_what(leaving))


def _what(leaving: Leaving) -> dict[str, str]:
    return {"kind": NOTICES.get(leaving.kind, NOTICES["all"]), "channel": CHANNELS[leaving.channel]}
