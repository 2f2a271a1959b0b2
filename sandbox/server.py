"""The sandbox as a web server: several providers in one process (FastAPI on uvicorn).

/<provider>/fhir/…        FHIR R4 and `.well-known/smart-configuration`
/<provider>/oauth/…       authorize, decide, token, revoke, introspect, manage, jwks
/<provider>/brands.json   the provider's Brands Bundle; `/brands.json` is a vendor's list of all
/<provider>/sandbox/…     for the operator, on loopback only
/identity/…               a verifier of identities (`sandbox/identity_web.py`), where one is served
/network/…                a partner network that reaches these providers (`sandbox/network_web.py`), where one is served
"""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from sandbox.brands import brands_bundle, etag, vendor_bundle, written
from sandbox.control import control_routes
from sandbox.identity_web import identity_routes
from sandbox.network_control import network_control
from sandbox.network_web import NetworkWeb, network_routes
from sandbox.oauth import oauth_routes
from sandbox.web import asked_of, json_answer, origin_of, send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from sandbox.identity import Identities
    from sandbox.network import Network
    from sandbox.provider import Answer, Asked, Provider

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOST: Final = re.compile(r"([A-Za-z0-9_.\-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_WORTH_PACKING: Final = 1_000


def make_app(
    providers: Mapping[str, Provider],
    hosts: frozenset[str] = frozenset(),
    network: Network | None = None,
    identities: Identities | None = None,
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application that serves these providers.

    It answers to addresses, to names without a dot (this machine, a container's) and to `hosts`: a web page whose name
    was made to lead here (DNS rebinding) gets nothing.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="Charthouse sandbox")

    if network is not None:
        web = NetworkWeb(network)
        app.include_router(network_routes(web))
        app.include_router(network_control(web))
    if identities is not None:
        app.include_router(identity_routes(identities))

    def chosen(name: str) -> Provider:
        if name not in providers:
            raise HTTPException(404, "there is no such provider")
        return providers[name]

    @app.api_route(
        "/{name}/fhir/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    async def fhir(request: Request, name: str, path: str) -> Response:
        provider = chosen(name)
        asked = await asked_of(request, path)
        return await send(request, await run_in_threadpool(_answered, provider, asked))

    app.include_router(oauth_routes(chosen))
    app.include_router(control_routes(chosen))

    @app.get("/brands.json")
    async def vendor_brands(request: Request) -> Response:
        def made() -> bytes:
            shown = ((provider.name, provider.updated()) for provider in providers.values())
            return written(vendor_bundle(origin_of(request), shown))

        return _bundle(request, await run_in_threadpool(made))

    @app.get("/{name}/brands.json")
    async def brands(request: Request, name: str) -> Response:
        provider = chosen(name)
        if not provider.profile.brands:
            raise HTTPException(404, "there is no such document")
        provider.counts.request("brands")

        def made() -> bytes:
            return written(brands_bundle(origin_of(request), name, provider.updated()))

        held = provider.brands
        return _bundle(request, await run_in_threadpool(made) if held is None else held)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return json_answer({"error": str(error.detail)}, status=error.status_code)

    async def with_line(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["sandbox.line"] = send
            host = Headers(scope=scope).get("host", "")
            if not _is_ours(host, hosts):
                await Response("this server is not known by that name", 421)(scope, receive, send)
                return
        await app(scope, receive, send)

    return with_line


def _bundle(request: Request, body: bytes) -> Response:
    """A Brands Bundle with a weak tag, for any origin (SMART App Launch 2.2 §brands, caching and CORS)."""
    headers = {"ETag": etag(body), "Access-Control-Allow-Origin": "*", "Cache-Control": "no-cache"}
    held = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
    if held & {headers["ETag"], headers["ETag"].removeprefix("W/"), "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, media_type="application/fhir+json")


def _answered(provider: Provider, asked: Asked) -> Answer:
    """The answer, packed for a client that takes gzip."""
    answer = provider.answer(asked)
    if (
        "Content-Encoding" in answer.headers
        or len(answer.body) < _WORTH_PACKING
        or "gzip" not in asked.headers.get("accept-encoding", "")
    ):
        return answer
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    body = packer.compress(answer.body) + packer.flush()
    return replace(answer, body=body, headers={**answer.headers, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"})


def _is_ours(host: str, hosts: frozenset[str]) -> bool:
    match = _HOST.fullmatch(host)
    if not match:
        return False
    name = match[1].strip("[]").lower()
    if "." not in name and ":" not in name:
        return True
    try:
        ip_address(name)
    except ValueError:
        return name in hosts
    return True
