"""Refusals as RFC 9457 problems: which status each numbered error has, and how it is told.

A problem never repeats what was sent: `detail` is made of the catalogue's sentences, `errors` names places and rules.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from charthouse.errors import CATALOGUE, ApiError, CharthouseError
from charthouse.linking.refusals import has_message, message_for
from charthouse.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI

CONTENT_TYPE = "application/problem+json"
_LOG = get_logger(__name__)

STATUSES: dict[str, int] = {
    "CH801": 401,
    "CH802": 401,
    "CH803": 401,
    "CH804": 401,
    "CH805": 403,
    "CH806": 404,
    "CH807": 405,
    "CH808": 413,
    "CH809": 415,
    "CH810": 400,
    "CH811": 422,
    "CH812": 429,
    "CH813": 409,
    "CH814": 422,
    "CH815": 400,
    "CH816": 422,
    "CH817": 422,
    "CH818": 500,
    "CH819": 503,
    "CH820": 408,
    "CH821": 403,
    "CH822": 410,
    "CH823": 503,
    # The rooms below. What is not named here is a fault of the installation (5xx), and told as such.
    "CH186": 401,
    "CH187": 401,
    "CH188": 400,
    "CH189": 422,
    "CH601": 409,
    "CH602": 404,
    "CH604": 409,
    "CH606": 409,
    "CH607": 422,
    "CH608": 503,
    "CH618": 422,
    "CH630": 404,
    "CH631": 403,
    "CH632": 410,
    "CH654": 404,
    "CH656": 422,
    "CH674": 409,
    "CH676": 422,
    "CH679": 404,
    "CH680": 403,
    "CH681": 404,
    "CH682": 422,
    "CH691": 403,
    "CH692": 403,
    "CH693": 410,
    "CH694": 422,
    "CH701": 404,
    "CH900": 404,
    "CH901": 409,
    "CH903": 409,
    "CH905": 409,
    "CH930": 422,
    "CH932": 409,
    "CH940": 410,
    "CH941": 416,
    "CH704": 404,
    "CH902": 422,
    "CH970": 404,
    "CH971": 409,
    "CH972": 409,
    "CH973": 409,
    "CH974": 422,
    "CH975": 409,
    "CH976": 422,
    "CH977": 429,
    "CH978": 413,
    "CH979": 409,
    "CH980": 400,
    "CH981": 400,
    "CH983": 409,
    "CH987": 409,
    "CH988": 409,
    "CH989": 400,
}
LINKING = range(610, 680)
"""Refusals of a person, a provider or a sign-in: the request was understood, and what it asks for cannot be (409)."""
NOTICES = range(700, 730)
_OF_STATUS = {401: "CH801", 404: "CH806", 405: "CH807", 408: "CH820", 413: "CH808", 415: "CH809", 429: "CH812"}


class Misfit(BaseModel):
    """One place of the request that does not fit."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or the name of a parameter.")
    rule: str = Field(description="Which rule it breaks, as a word.")
    detail: str = Field(description="The rule as a sentence.")


class Problem(BaseModel):
    """What went wrong (RFC 9457). `message` and `action` may be shown to the person."""

    type: str = Field(description="Which problem it is: `urn:charthouse:error:` and its code.")
    title: str = Field(description="The problem in one sentence, the same for each of its occurrences.")
    status: int = Field(description="The status of the answer.", ge=400, le=599)
    detail: str = Field(description="What to do, and what was found.")
    instance: str = Field(description="This occurrence: the id under which the log knows the request.")
    code: str = Field(description="The number in docs/errors.md.", pattern="^CH[0-9]{3}$")
    message: str | None = Field(default=None, description="What happened, in words for the person.")
    action: str | None = Field(default=None, description="What the person can do.")
    errors: list[Misfit] | None = Field(default=None, description="What does not fit, place by place.")


def status_of(code: str) -> int:
    """The status that a numbered error is answered with."""
    if code in STATUSES:
        return STATUSES[code]
    number = int(code[2:])
    return 409 if number in LINKING else 422 if number in NOTICES else 503


def answer(
    request: Request,
    error: CharthouseError,
    *,
    errors: Sequence[Misfit] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem that tells of `error`."""
    shown = _shown(error)
    status = status_of(shown.code)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.warning("request failed", error=error, request_id=request_id(request))
    spoken = message_for(error.code) if has_message(error.code) and shown.code != "CH806" else None
    problem = Problem(
        type=f"urn:charthouse:error:{shown.code}",
        title=shown.entry.title,
        status=status,
        detail=": ".join(part for part in (shown.where, shown.what) if part and status < 500),
        instance=f"urn:uuid:{request_id(request)}",
        code=shown.code,
        message=spoken.text if spoken else None,
        action=spoken.action if spoken else None,
        errors=list(errors) if errors is not None else None,
    )
    problem.detail = f"{problem.detail}. {shown.entry.mend}" if problem.detail else shown.entry.mend
    extra = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        told = "" if shown.code == "CH801" else f', error="invalid_token", error_description="{shown.entry.title}"'
        extra["WWW-Authenticate"] = f'Bearer realm="charthouse"{told}'
    if status == HTTPStatus.SERVICE_UNAVAILABLE or shown.code in {"CH642", "CH675"}:
        extra.setdefault("Retry-After", "30")
    return Response(orjson.dumps(problem.model_dump(exclude_none=True)), status, headers=extra, media_type=CONTENT_TYPE)


def of_exception(request: Request, error: Exception) -> Response:
    """The problem for whatever a route raised. What nobody foresaw is logged by class and place, and told as CH818."""
    if isinstance(error, CharthouseError):
        return answer(request, error, headers=getattr(error, "headers", None))
    if isinstance(error, RequestValidationError):
        misfits = [misfit_of(found) for found in error.errors()]
        return answer(request, ApiError("CH811"), errors=misfits)
    if isinstance(error, ClientDisconnect):  # nobody hears it
        return answer(request, ApiError("CH820"))
    if isinstance(error, HTTPException):
        code = _OF_STATUS.get(error.status_code, "CH810" if error.status_code < 500 else "CH818")
        return answer(request, ApiError(code), headers=error.headers)
    _LOG.error("request broke", exc_info=_cause(error), request_id=request_id(request))
    return answer(request, ApiError("CH818"))


def misfit_of(found: Mapping[str, Any]) -> Misfit:
    """One of pydantic's findings without the value, and without names that the caller made up."""
    place, *path = found["loc"]
    if found["type"] == "extra_forbidden":
        path = path[:-1]
    pointer = "#" + "".join(f"/{step}" for step in path) if place == "body" else "/".join(str(step) for step in path)
    detail = str(found["msg"]).removeprefix("Value error, ")
    return Misfit(pointer=pointer or str(place), rule=str(found["type"]), detail=detail)


def install(app: FastAPI) -> None:
    """Let every refusal of an app, its framework's included, be a problem."""

    async def handle(request: Request, error: Exception) -> Response:
        return of_exception(request, error)

    for kind in (CharthouseError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)


def request_id(request: Request) -> str:
    """The id of a request, made by the outermost layer."""
    return str(request.scope.get("charthouse.request_id", ""))


def _shown(error: CharthouseError) -> CharthouseError:
    """The error as a caller may see it: faults of the installation are for its operator, what is not there is not."""
    if error.code in ("CH602", "CH900"):
        return ApiError("CH806")
    if status_of(error.code) < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, ApiError):
        return error
    return ApiError("CH819")


def _cause(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error, ResponseValidationError) and error.__cause__ else error  # type: ignore[return-value]


def statuses_of_catalogue() -> dict[str, int]:
    """Every code that the API may answer with, and its status: for the documentation."""
    return {
        code: status_of(code)
        for code in CATALOGUE
        if code in STATUSES or int(code[2:]) in LINKING or int(code[2:]) in NOTICES
    }
