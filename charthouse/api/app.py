"""The app: routes, shields and the document in one place. It stands at `/charthouse/v1` wherever it is served."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.routing import Match, Route

from charthouse.api import MOUNT, document, mcp, problems
from charthouse.api.callers import Context
from charthouse.api.limits import Limits
from charthouse.api.routes import (
    about,
    coach,
    consents,
    exports,
    feed,
    links,
    network,
    notices,
    people,
    phones,
    preferences,
    providers,
    requests,
    signing_in,
    unsubscribe,
    uploads,
    verifications,
)
from charthouse.api.shields import BodyLimit, Shield, once_only
from charthouse.errors import ApiError
from charthouse.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

ROUTERS = (
    people, consents, coach, providers, links, phones, uploads, verifications, network, requests, exports, feed,
    notices, preferences, signing_in, unsubscribe, about,
)  # fmt: skip


def make_app(settings: Settings | None = None) -> ASGIApp:
    """The API, to be mounted at `/charthouse/v1`. Whatever it is mounted in asks for nothing: each route guards itself.

    Raises:
        SetupError: CH001 when requests cannot be counted where the settings say.
    """
    settings = settings or get_settings()
    app = FastAPI(
        title="Charthouse", docs_url=None, redoc_url=None, openapi_url="/openapi.json", redirect_slashes=False
    )
    app.state.context = Context(settings, Limits(settings))
    app.root_path_in_servers = False
    for module in ROUTERS:
        app.include_router(module.router)
    door = mcp.McpDoor(app.state.context)
    app.router.routes.append(Route(mcp.PATH, door, name="mcp"))
    app.router.routes.append(Route(f"{mcp.METADATA}{mcp.PATH}", door.describe, methods=["GET"], name="mcp described"))
    app.include_router(about.probes)
    app.include_router(exports.taking)
    app.include_router(network.messages)
    app.include_router(verifications.messages)
    app.include_router(verifications.coming_back)
    problems.install(app)
    app.add_exception_handler(HTTPStatus.METHOD_NOT_ALLOWED, _not_allowed)
    _set(app, "openapi", lambda: document.describe(app))
    return Shield(BodyLimit(app), settings.public_url)


def make_server_app(settings: Settings | None = None) -> ASGIApp:
    """The API at its path, for a server of its own; everything beside it is a problem, too."""
    settings = settings or get_settings()
    made = make_app(settings)

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await problems.answer(Request(scope), ApiError("CH806"))(scope, receive, send)

    beside = Shield(elsewhere, settings.public_url)

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        # Not Starlette's Mount, which does not know of line breaks in paths.
        inside = scope["type"] == "http" and f"{scope['path']}/".startswith(f"{MOUNT}/")
        if inside:
            scope["root_path"] = scope.get("root_path", "") + MOUNT
        await (made if inside else beside)(scope, receive, send)

    return server


async def _not_allowed(request: Request, _error: Exception) -> Response:
    """What an address takes, of all the routes that share it; told at once to whoever asks with OPTIONS."""
    methods = set()
    for route in request.app.routes:
        match, _ = route.matches(dict(request.scope))
        if match != Match.NONE:
            methods |= set(route.methods or ())
    if "GET" in methods and not once_only(request.url.path):
        methods.add("HEAD")
    allow = {"Allow": ", ".join(sorted({*methods, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    return problems.answer(request, ApiError("CH807"), headers=allow)


def _set(app: FastAPI, name: str, value: Callable[[], dict[str, Any]]) -> None:
    setattr(app, name, value)  # FastAPI's own way to replace its document
