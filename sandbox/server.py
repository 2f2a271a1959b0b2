"""The sandbox as a web server: several providers in one process (FastAPI on uvicorn).

/<provider>/fhir/…       FHIR R4 and `.well-known/smart-configuration`
/<provider>/oauth/…      authorize, decide, token, revoke, introspect
/<provider>/sandbox/…    people, inventory, resources, requests, faults: for the operator, on loopback only
"""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from sandbox import smart
from sandbox.faults import FaultError
from sandbox.inventory import resources as list_resources
from sandbox.page import HEADERS, refusal_page, sign_in_page
from sandbox.provider import Answer, Asked, Provider, bare_fault
from sandbox.scopes import access_of, grantable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HOST: Final = re.compile(r"([A-Za-z0-9_.\-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_MOST_BODY: Final = 1_000_000
_WORTH_PACKING: Final = 1_000


def make_app(
    providers: Mapping[str, Provider], hosts: frozenset[str] = frozenset()
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application that serves these providers.

    It answers to addresses, to names without a dot (this machine, a container's) and to `hosts`: a web page whose name
    was made to lead here (DNS rebinding) gets nothing.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, title="Charthouse sandbox")

    def chosen(name: str) -> Provider:
        if name not in providers:
            raise HTTPException(404, "there is no such provider")
        return providers[name]

    @app.api_route(
        "/{name}/fhir/{path:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False
    )
    async def fhir(request: Request, name: str, path: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, path)
        return await _send(request, await run_in_threadpool(_answered, provider, asked))

    @app.api_route("/{name}/oauth/authorize", methods=["GET", "POST"])
    async def authorize(request: Request, name: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, "oauth/authorize")
        provider.count("authorize", "")
        parameters = _form(asked)
        return await run_in_threadpool(_authorize, provider, asked.origin, parameters)

    @app.post("/{name}/oauth/decide")
    async def decide(request: Request, name: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, "oauth/decide")
        pairs = parse_qsl(asked.form, keep_blank_values=True)
        return await run_in_threadpool(_decide, provider, asked.origin, pairs)

    @app.post("/{name}/oauth/token")
    async def token(request: Request, name: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, "oauth/token")
        provider.count("token", "")
        broken = await _oauth_fault(request, provider, asked)
        if broken:
            return broken
        try:
            said = await run_in_threadpool(
                lambda: smart.token(provider.store, dict(parse_qsl(asked.form)), provider.lifetimes)
            )
        except smart.OAuthError as error:
            return _oauth_error(error)
        return _json(said, headers=_NO_STORE)

    @app.post("/{name}/oauth/revoke")
    async def revoke(request: Request, name: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, "oauth/revoke")
        provider.count("revoke", "")
        broken = await _oauth_fault(request, provider, asked)
        if broken:
            return broken
        form = dict(parse_qsl(asked.form))
        if "token" not in form:
            return _oauth_error(smart.OAuthError("invalid_request", "token is missing"))
        await run_in_threadpool(lambda: smart.revoke(provider.store, form["token"], form.get("client_id", "")))
        return Response(status_code=200, headers=_NO_STORE)

    @app.post("/{name}/oauth/introspect")
    async def introspect(request: Request, name: str) -> Response:
        provider = chosen(name)
        asked = await _asked(request, "oauth/introspect")
        bearer = asked.headers.get("authorization", "").partition(" ")[2]
        known = await run_in_threadpool(lambda: smart.access_by_token(provider.store, bearer))
        if known is None and not _is_local(request):
            return _oauth_error(smart.OAuthError("invalid_client", "an access token is required", status=401))
        text = dict(parse_qsl(asked.form)).get("token", "")
        return _json(await run_in_threadpool(lambda: smart.introspect(provider.store, text)), headers=_NO_STORE)

    @app.get("/{name}/sandbox/people")
    def people(request: Request, name: str) -> Response:
        _operator_only(request)
        return _json([{"patient": identity} for identity in chosen(name).store.people()])

    @app.get("/{name}/sandbox/inventory")
    def inventory(request: Request, name: str) -> Response:
        _operator_only(request)
        return _json(chosen(name).store.inventory())

    @app.get("/{name}/sandbox/resources")
    def resources(request: Request, name: str) -> Response:
        _operator_only(request)
        return _json(list_resources(chosen(name).store))

    @app.api_route("/{name}/sandbox/requests", methods=["GET", "DELETE"])
    def requests(request: Request, name: str) -> Response:
        _operator_only(request)
        return _json(chosen(name).requests(reset=request.method == "DELETE"))

    @app.api_route("/{name}/sandbox/faults", methods=["GET", "POST", "DELETE"])
    async def faults(request: Request, name: str) -> Response:
        _operator_only(request)
        rules = chosen(name).faults
        if request.method == "POST":
            # A form of a foreign web page can be sent here, JSON cannot.
            if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                return _json({"error": "JSON is expected"}, status=415)
            try:
                rules.add(await request.body())
            except FaultError as error:
                return _json({"error": str(error)}, status=400)
        elif request.method == "DELETE":
            rules.clear()
        return _json(rules.listed())

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        return _json({"error": str(error.detail)}, status=error.status_code)

    async def with_line(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["sandbox.line"] = send
            host = Headers(scope=scope).get("host", "")
            if not _is_ours(host, hosts):
                await Response("this server is not known by that name", 421)(scope, receive, send)
                return
        await app(scope, receive, send)

    return with_line


def _authorize(provider: Provider, origin: str, parameters: Mapping[str, str]) -> Response:
    store = provider.store
    try:
        request = smart.read_authorization(parameters)
    except smart.OAuthError as error:
        return _html(refusal_page(error.description), 400)
    refusal = smart.refusal(parameters, request, f"{origin}/{provider.name}/fhir")
    if refusal:
        return _redirect(request.answer(error=refusal.code, error_description=refusal.description))
    if request.prompt == "none":
        if request.login_hint not in store.people():
            return _redirect(request.answer(error="login_required", error_description="login_hint names no patient"))
        return _redirect(request.answer(code=smart.grant_code(store, request, request.login_hint, request.scope)))
    return _html(sign_in_page(store, provider.name, request, parameters))


def _decide(provider: Provider, origin: str, pairs: list[tuple[str, str]]) -> Response:
    store = provider.store
    parameters = dict(pairs)
    try:
        request = smart.read_authorization(parameters)
    except smart.OAuthError as error:
        return _html(refusal_page(error.description), 400)
    refusal = smart.refusal(parameters, request, f"{origin}/{provider.name}/fhir")
    if refusal:
        return _redirect(request.answer(error=refusal.code, error_description=refusal.description))
    ticked = {value for name, value in pairs if name == "granted"}
    scope = " ".join(text for text in grantable(request.scope) if text in ticked)
    if parameters.get("decision") != "allow" or not access_of("", scope.split()).scopes:
        return _redirect(request.answer(error="access_denied", error_description="the person said no"))
    patient = parameters.get("other", "").strip() or parameters.get("patient", "")
    if patient not in store.people():
        return _html(refusal_page("there is no such patient: go back and choose one"), 400)
    return _redirect(request.answer(code=smart.grant_code(store, request, patient, scope)))


async def _asked(request: Request, path: str) -> Asked:
    form = ""
    if request.method == "POST":
        body = await request.body()
        if len(body) > _MOST_BODY:
            raise HTTPException(413, "the body is too long")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/x-www-form-urlencoded":
            raise HTTPException(415, "a form (application/x-www-form-urlencoded) is expected")
        form = body.decode("utf-8", "replace")
    return Asked(
        method=request.method,
        origin=f"{request.url.scheme}://{request.headers['host']}",
        path=path,
        query=request.url.query,
        form=form,
        headers={name.lower(): value for name, value in request.headers.items()},
    )


def _form(asked: Asked) -> dict[str, str]:
    return dict(parse_qsl(asked.query, keep_blank_values=True) + parse_qsl(asked.form, keep_blank_values=True))


async def _oauth_fault(request: Request, provider: Provider, asked: Asked) -> Response | None:
    act = provider.fault_for(asked)
    if act is None:
        return None
    answer = Answer(500, b"", delay=act.slow_seconds, hang_up=True) if act.hang_up else bare_fault(act)
    if act.body == "html":
        answer = Answer(act.status or 200, refusal_page("the sign-in page of a broken server"), "text/html")
    if answer is None:
        await asyncio.sleep(act.slow_seconds)
        return None
    return await _send(request, answer)


async def _send(request: Request, answer: Answer) -> Response:
    if answer.delay:
        await asyncio.sleep(answer.delay)
    if answer.hang_up:
        await _hang_up(request)
    return Response(answer.body, answer.status, dict(answer.headers), media_type=answer.media)


async def _hang_up(request: Request) -> None:
    """Close the connection without an answer: uvicorn's line is reached through the `send` that it handed in."""
    transport = getattr(getattr(request.scope["sandbox.line"], "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0.01)


def _answered(provider: Provider, asked: Asked) -> Answer:
    """The answer, packed for a client that takes gzip."""
    answer = provider.answer(asked)
    if len(answer.body) < _WORTH_PACKING or "gzip" not in asked.headers.get("accept-encoding", ""):
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


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _operator_only(request: Request) -> None:
    if not _is_local(request):
        raise HTTPException(403, "this is for the operator, on loopback only")


def _json(said: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(said), status, headers, media_type="application/json")


def _html(page: bytes, status: int = 200) -> Response:
    return Response(page, status, HEADERS, media_type="text/html; charset=utf-8")


def _redirect(url: str) -> Response:
    return Response(status_code=302, headers={"Location": url, **_NO_STORE})


def _oauth_error(error: smart.OAuthError) -> Response:
    said = {"error": error.code, "error_description": error.description}
    return _json(said, status=error.status, headers=_NO_STORE)
