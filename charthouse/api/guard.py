"""The routes' gatekeepers: what is asked of a request before the framework reads anything of it.

`Guarded` is a route of the service: a token, the caller's limit, the form of the body, the Idempotency-Key, in this
order. `Open` is one that anybody may ask, within an address's limit; `Signed` one whose requests are signed. `Shown` is
one that answers with pages.
"""

from __future__ import annotations

import email.message
from typing import TYPE_CHECKING, Any

import orjson
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from charthouse.api import idempotency, pages, problems
from charthouse.api.callers import context_of
from charthouse.api.limits import address_of
from charthouse.api.tokens import caller_of
from charthouse.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from charthouse.api.callers import Context
    from charthouse.api.tokens import Caller

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]

REPLAYED = "Idempotent-Replayed"


class Guarded(APIRoute):
    """A route of the service."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        has_body = self.body_field is not None

        async def guarded(request: Request) -> Response:
            context = context_of(request)
            told: dict[str, str] = {}
            try:
                caller = await _caller(request, context)
                request.state.caller = caller
                told = (await context.limits.use("caller", caller.identity)).headers()
                if has_body:
                    await _read_json(request)
                if request.method == "POST":
                    answer = await _once(request, context, caller, handle)
                else:
                    answer = await _answered(request, handle)
            except Exception as error:  # whatever it was, it becomes a problem here
                answer = problems.of_exception(request, error)
            for name, value in told.items():
                answer.headers.setdefault(name, value)
            return answer

        return guarded


class Open(APIRoute):
    """A route that anybody may ask."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def opened(request: Request) -> Response:
            try:
                told = (await context_of(request).limits.use("address", address_of(request))).headers()
                answer = await handle(request)
            except Exception as error:  # whatever it was, it becomes a problem here
                return self.refusal(request, error)
            for name, value in told.items():
                answer.headers.setdefault(name, value)
            return answer

        return opened

    def refusal(self, request: Request, error: Exception) -> Response:
        """How a refusal is told: as a problem."""
        return problems.of_exception(request, error)


class Probed(APIRoute):
    """A route that anybody may ask as often as they like."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def probed(request: Request) -> Response:
            return await _answered(request, handle)

        return probed


class Signed(APIRoute):
    """A route whose requests prove themselves by a signature: only those that are refused count for their address."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def signed(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:  # whatever it was, it becomes a problem here
                try:
                    await context_of(request).limits.use("address", address_of(request))
                except ApiError as limit:
                    return problems.of_exception(request, limit)
                return problems.of_exception(request, error)

        return signed


class Shown(Open):
    """A page for people, refusals included."""

    def refusal(self, request: Request, error: Exception) -> Response:
        """As a page that says the same in plain words."""
        return pages.of_problem(request, problems.of_exception(request, error))


async def _caller(request: Request, context: Context) -> Caller:
    """Who calls. Bad tokens are counted for the address that they come from."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer" or not token.strip():
            raise ApiError("CH801")
        return await run_in_threadpool(_verify, context, token.strip())
    except ApiError:
        await context.limits.use("address", address_of(request))
        raise


def _verify(context: Context, token: str) -> Caller:
    return caller_of(token, settings=context.settings)


async def _read_json(request: Request) -> None:
    """Read the body as strict JSON: what Python's own reader would take besides (NaN, lone surrogates) is refused."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if body and (encoding not in ("", "identity") or not _is_json(request.headers.get("content-type", ""))):
        raise ApiError("CH809")
    if body:
        try:
            request._json = orjson.loads(body)  # where Starlette keeps what it has read
        except orjson.JSONDecodeError:
            raise ApiError("CH810") from None


def _is_json(content_type: str) -> bool:
    message = email.message.Message()
    message["content-type"] = content_type.replace("\n", " ").replace("\r", " ")
    charset = message.get_param("charset", "utf-8")
    kind = message.get_content_subtype()
    known = isinstance(charset, str) and charset.lower() in ("utf-8", "utf8", "us-ascii")
    return bool(content_type) and message.get_content_maintype() == "application" and kind == "json" and known


async def _answered(request: Request, handle: Handler) -> Response:
    try:
        return await handle(request)
    except Exception as error:  # whatever it was, it becomes a problem here
        return problems.of_exception(request, error)


async def _once(request: Request, context: Context, caller: Caller, handle: Handler) -> Response:
    """Answer a POST; where it names a key, once."""
    from starlette.responses import Response

    key = idempotency.key_of(request.headers.getlist("idempotency-key"))
    if key is None:
        return await _answered(request, handle)
    place = f"{request.url.path}?{request.url.query}"
    taken = await run_in_threadpool(idempotency.begin, context.settings, caller, place, key, await request.body())
    if isinstance(taken, idempotency.Kept):
        return Response(taken.body, taken.status, headers={**taken.headers, REPLAYED: "true"})
    finished = False
    try:
        answer = await _answered(request, handle)
        if answer.status_code < 500 and "retry-after" not in answer.headers:  # else: "not now"
            headers = {name: value for name, value in answer.headers.items() if name in ("content-type", "location")}
            kept = idempotency.Kept(answer.status_code, headers, bytes(answer.body))
            await run_in_threadpool(idempotency.keep, context.settings, taken, kept)
            finished = True
        return answer
    finally:
        if not finished:
            await run_in_threadpool(idempotency.give_up, context.settings, taken)
