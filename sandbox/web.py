"""Between the web framework and the rest: requests read, answers written, connections cut."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from sandbox.page import headers as page_headers
from sandbox.provider import Answer, Asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sandbox.oauth_error import OAuthError

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_MOST_BODY: Final = 1_000_000


async def asked_of(request: Request, path: str) -> Asked:
    """A request as text. Bodies are forms.

    Raises:
        HTTPException: 413 or 415.
    """
    form = ""
    if request.method == "POST":
        body = await request.body()
        if len(body) > _MOST_BODY:
            raise HTTPException(413, "the body is too long")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        takes_json = path.endswith("$export") and kind in ("application/fhir+json", "application/json")
        if body and kind != "application/x-www-form-urlencoded" and not takes_json:
            raise HTTPException(415, "a form (application/x-www-form-urlencoded) is expected")
        form = body.decode("utf-8", "replace")
    return Asked(
        method=request.method,
        origin=origin_of(request),
        path=path,
        query=request.url.query,
        form=form,
        headers={name.lower(): value for name, value in request.headers.items()},
    )


def origin_of(request: Request) -> str:
    """The address that the client used for this server."""
    return f"{request.url.scheme}://{request.headers['host']}"


async def json_body(request: Request) -> bytes:
    """The body of a request that must be JSON: a form of a foreign web page can be sent here, JSON cannot.

    Raises:
        HTTPException: 415.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "JSON is expected")
    return await request.body()


async def send(request: Request, answer: Answer) -> Response:
    """An answer as the framework wants it, after its delay; or a connection cut."""
    if answer.delay:
        await asyncio.sleep(answer.delay)
    if answer.hang_up:
        await hang_up(request)
    if answer.cut:
        return await _half(request, answer)
    return Response(answer.body, answer.status, dict(answer.headers), media_type=answer.media)


async def _half(request: Request, answer: Answer) -> Response:
    """Half of an answer that promised all of it; then the connection is closed."""

    async def parts() -> AsyncIterator[bytes]:
        yield answer.body[: len(answer.body) // 2]
        await asyncio.sleep(0.05)  # what is written leaves before the line is cut
        await hang_up(request)

    headers = {**answer.headers, "Content-Length": str(len(answer.body))}
    return StreamingResponse(parts(), answer.status, headers, media_type=answer.media)


async def hang_up(request: Request) -> None:
    """Close the connection without an answer: uvicorn's line is reached through the `send` that it handed in."""
    transport = getattr(getattr(request.scope["sandbox.line"], "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0.01)


def is_local(request: Request) -> bool:
    """Whether the request comes from this machine."""
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def operator_only(request: Request) -> None:
    """Let nobody in who is not on this machine.

    Raises:
        HTTPException: 403.
    """
    if not is_local(request):
        raise HTTPException(403, "this is for the operator, on loopback only")


def json_answer(said: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(said), status, headers, media_type="application/json")


def html(page: bytes, status: int = 200, *, leads_to: str | None = None) -> Response:
    """A page; `leads_to` is where its form's answer redirects."""
    return Response(page, status, page_headers(leads_to), media_type="text/html; charset=utf-8")


def redirect(url: str) -> Response:
    """302 to a client."""
    return Response(status_code=302, headers={"Location": url, **NO_STORE})


def oauth_error(error: OAuthError, *, uri: str | None = None) -> Response:
    """An error of the token endpoint and its like (RFC 6749 §5.2); 401 names Basic as the way to authenticate."""
    said = {"error": error.code, "error_description": error.description} | ({"error_uri": uri} if uri else {})
    scheme = "Bearer" if error.code == "invalid_token" else "Basic"
    challenge = {"WWW-Authenticate": f'{scheme} realm="sandbox"'} if error.status == 401 else {}
    return json_answer(said, status=error.status, headers={**NO_STORE, **challenge})
