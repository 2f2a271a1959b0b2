"""MCP over HTTP at `/mcp` (streamable HTTP): the coach's functions for assistants, by the service tokens.

A POST is one message and its answer, as JSON; nothing is kept between two of them, so any process may answer any. The
token says whose records: one that acts for a person reads that person's, and no other can be named. A refusal tells by
`WWW-Authenticate` where the protected resource is described (RFC 9728), as the protocol's authorization asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from charthouse.api import MOUNT, problems
from charthouse.api.limits import address_of
from charthouse.api.tokens import caller_of
from charthouse.coach.assistant import Whose, make_server
from charthouse.errors import ApiError, CoachError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from charthouse.api.callers import Context
    from charthouse.api.tokens import Caller

PATH: Final = "/mcp"
METADATA: Final = "/.well-known/oauth-protected-resource"
_CALLER: Final = "charthouse.caller"


class McpDoor:
    """The endpoint: who calls, within their limit, and then the protocol."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._server = make_server(whose, context.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            if request.method != "POST":
                raise ApiError("CH807")
            self._same_origin(request)
            scope[_CALLER] = await self._caller(request)
            await self._context.limits.use("caller", scope[_CALLER].identity)
        except Exception as error:  # whatever it was, it becomes a problem here
            await self._refusal(request, error)(scope, receive, send)
            return
        # One manager a request: without sessions it keeps nothing, and needs no lifespan of the server that it is in.
        manager = StreamableHTTPSessionManager(self._server, json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    def _same_origin(self, request: Request) -> None:
        """A page of another origin cannot speak through a browser (DNS rebinding): the protocol asks for this look."""
        origin = request.headers.get("origin")
        own = {f"{request.url.scheme}://{request.headers.get('host', '')}", _origin(self._context.settings.public_url)}
        if origin is not None and origin not in own:
            raise CoachError("CH692")

    async def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer" or not token.strip():
                raise ApiError("CH801")
            caller = await run_in_threadpool(caller_of, token.strip(), settings=self._context.settings)
        except ApiError:
            await self._context.limits.use("address", address_of(request))
            raise
        if caller.person is None:
            raise CoachError("CH691")
        return caller

    def _refusal(self, request: Request, error: Exception) -> Response:
        refusal = problems.of_exception(request, error)
        if refusal.status_code == 405:
            refusal.headers["Allow"] = "POST"
        if refusal.status_code == 401 and self._context.settings.public_url:
            where = f"{self._context.public_url}{MOUNT}{METADATA}{PATH}"
            refusal.headers["WWW-Authenticate"] += f', resource_metadata="{where}"'
        return refusal

    async def describe(self, _request: Request) -> Response:
        """What is protected, and how (RFC 9728). No server here gives tokens out: they come from the app's back end."""
        said = {
            "resource": f"{self._context.public_url}{MOUNT}{PATH}",
            "resource_name": "Charthouse: facts of one person's medical records",
            "bearer_methods_supported": ["header"],
        }
        issuer = self._context.settings.mcp_authorization_server
        return JSONResponse(said | ({"authorization_servers": [issuer]} if issuer else {}))


def whose(request: Any) -> Whose:
    """Whose records a call may read: those of the person whom the request's token acts for."""
    caller: Caller = request.scope[_CALLER]
    return Whose(str(caller.person), "person")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
