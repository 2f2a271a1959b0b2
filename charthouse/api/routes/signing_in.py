"""The two pages of a sign-in: where it begins in the person's browser, and where the provider sends them back to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request, Response
from starlette.responses import RedirectResponse

from charthouse.api import browsers, pages
from charthouse.api.callers import context_of, waiting_outside
from charthouse.api.guard import Shown
from charthouse.api.pages import words
from charthouse.api.problems import status_of
from charthouse.api.returning import is_permitted, with_outcome
from charthouse.api.shapes import shown_as_pages
from charthouse.api.waiting import waiting_sign_in
from charthouse.clock import now
from charthouse.errors import ApiError, CharthouseError, LinkError
from charthouse.linking.links import get_link
from charthouse.linking.permissions import permitted
from charthouse.linking.sign_in import bind_browser, finish_sign_in
from charthouse.state import session

if TYPE_CHECKING:
    from charthouse.settings import Settings

router = APIRouter(route_class=Shown, tags=["pages"])
State = Annotated[str, Path(max_length=500, description="The sign-in, as `authorize_url` names it.")]
PARAMETERS = ("code", "state", "iss", "error", "error_description", "error_uri")


@router.get(
    "/start/{state}",
    operation_id="showStart",
    summary="The page where a person begins to sign in",
    response_class=pages.Page,
    responses=shown_as_pages(403, 404, 410),
)
def show(state: State, request: Request) -> Response:
    """Says what will be read and of whom. Looking at it does nothing."""
    context = context_of(request)
    waiting = waiting_sign_in(
        state, browser=browsers.browser_of(request, context.public_url), settings=context.settings
    )
    return pages.page(
        "start.html",
        request,
        leaves=True,
        provider=waiting.provider_name,
        categories=words.CATEGORIES,
        terms_url=context.settings.terms_url,
        minutes=max(1, round((waiting.expires_at - now()).total_seconds() / 60)),
    )


@router.post(
    "/start/{state}",
    status_code=303,
    operation_id="beginSignIn",
    summary="Bind the sign-in to this browser, and go to the provider",
    response_class=Response,
    responses={
        303: {
            "description": "On to the provider.",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "The provider's own sign-in."}},
        },
        **shown_as_pages(403, 404, 409, 410),
    },
)
def begin(state: State, request: Request) -> Response:
    """A sign-in belongs to the first browser that begins it."""
    context = context_of(request)
    browsers.must_be_same_site(request)
    browser = browsers.browser_of(request, context.public_url) or browsers.new_browser()
    leaving = RedirectResponse(bind_browser(state, browser, settings=context.settings), 303)
    browsers.remember(leaving, browser, context.public_url)
    return leaving


@router.get(
    "/callback",
    operation_id="finishSignIn",
    summary="Where the provider sends the person back to",
    response_class=pages.Page,
    responses=shown_as_pages(400, 403, 404, 409, 410, 422),
)
@waiting_outside
def finish(request: Request) -> Response:
    """Says what became of the sign-in, and what comes next."""
    context = context_of(request)
    given = request.query_params.multi_items()
    names = [name for name, _ in given if name in PARAMETERS]
    if len(names) != len(set(names)):
        raise ApiError("CH822")  # RFC 6749 §3.1: no parameter twice
    browser = browsers.browser_of(request, context.public_url)
    told = {name: value for name, value in given if name in PARAMETERS}
    try:
        finished = finish_sign_in(told, browser=browser, settings=context.settings)
    except CharthouseError as error:
        if not isinstance(error, LinkError):
            raise
        return pages.told(request, pages.spoken(error.code), status=status_of(error.code), code=error.code)
    way_back = None
    if finished.return_to and is_permitted(finished.return_to, context.settings):
        way_back = with_outcome(finished.return_to, finished.link_id, finished.status)
    if finished.code is not None:
        return pages.told(request, pages.spoken(finished.code), code=finished.code, way_back=way_back)
    outcome = words.GOOD.get(finished.status, words.GOOD["pending"])
    kept_back = _kept_back(finished.link_id, context.settings)
    return pages.told(request, outcome, way_back=way_back, kept_back=kept_back)


def _kept_back(link_id: str, settings: Settings) -> list[str]:
    """The categories that the person's grant leaves out, wholly or in part."""
    with session(settings, read_only=True) as state:
        given = permitted(get_link(state, link_id).granted_scopes)
    return sorted(given.named("not_permitted") + given.named("partly"))
