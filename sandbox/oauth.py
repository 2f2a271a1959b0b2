"""The OAuth endpoints of a provider: authorize, decide, token, revoke, introspect, manage, keys.

What a rule of `faults.py` says happens here too: before the work, instead of it, or after it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from sandbox import grants, tokens
from sandbox.authorization import AuthorizationRequest, read_authorization, refusal
from sandbox.configuration import endpoints, issuer_of, openid_configuration
from sandbox.consent import Offer, lasting, offer
from sandbox.faults import spoil
from sandbox.id_token import id_token, key_set
from sandbox.oauth_error import OAuthError
from sandbox.page import consent_page, grants_page, people_shown, refusal_page
from sandbox.scopes import access_of
from sandbox.web import (
    NO_STORE,
    asked_of,
    hang_up,
    html,
    is_local,
    json_answer,
    oauth_error,
    redirect,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sandbox.clients import Caller
    from sandbox.faults import Act
    from sandbox.provider import Asked, Provider

_PAGES: Final = ("authorize", "decide", "manage")
_CHOSEN: Final = frozenset({"granted", "decision", "patient", "other", "lasting"})
_DEEDS: Final[dict[str, grants.Deed]] = {"end": "end", "suspend": "suspend", "resume": "resume"}


def oauth_routes(chosen: Callable[[str], Provider]) -> APIRouter:
    """The routes; `chosen` finds a provider by its name."""
    router = APIRouter()

    async def answered(request: Request, name: str, path: str, work: Callable[[Provider, Asked], Response]) -> Response:
        provider = chosen(name)
        asked = await asked_of(request, f"oauth/{path}")
        provider.counts.request(path.replace("/", "-"))
        act = provider.fault_for(asked)
        if act is not None:
            await asyncio.sleep(act.slow_seconds)
            if act.hang_up:
                await hang_up(request)
            early = _instead(provider, asked, act, path)
            if early is not None:
                return early
        response = _too_many(provider, path)
        if response is None and path == "token":
            response = await asyncio.get_running_loop().run_in_executor(provider.issuing, work, provider, asked)
        elif response is None:
            response = await run_in_threadpool(work, provider, asked)
        if act is not None and act.lose_answer:
            await hang_up(request)
        if act is not None and act.body is not None and act.body != "html":
            body, _ = spoil(bytes(response.body), act.body, own="")
            return Response(body, act.status or response.status_code, media_type=response.media_type)
        return response

    @router.api_route("/{name}/oauth/authorize", methods=["GET", "POST"])
    async def authorize(request: Request, name: str) -> Response:
        return await answered(request, name, "authorize", _authorize)

    @router.post("/{name}/oauth/decide")
    async def decide(request: Request, name: str) -> Response:
        return await answered(request, name, "decide", _decide)

    # A plain route: FastAPI's reading of parameters would be a seventh of a refresh.
    async def token(request: Request) -> Response:
        return await answered(request, request.path_params["name"], "token", _token)

    router.add_route("/{name}/oauth/token", token, methods=["POST"], include_in_schema=False)

    @router.post("/{name}/oauth/revoke")
    async def revoke(request: Request, name: str) -> Response:
        return await answered(request, name, "revoke", _revoke)

    @router.post("/{name}/oauth/token/revoke")
    async def revoke_below_token(request: Request, name: str) -> Response:
        return await answered(request, name, "token/revoke", _revoke)

    @router.post("/{name}/oauth/introspect")
    async def introspect(request: Request, name: str) -> Response:
        return await answered(request, name, "introspect", partial(_introspect, local=is_local(request)))

    @router.api_route("/{name}/oauth/manage", methods=["GET", "POST"])
    async def manage(request: Request, name: str) -> Response:
        return await answered(request, name, "manage", _manage)

    @router.get("/{name}/oauth/jwks")
    async def keys(request: Request, name: str) -> Response:
        return await answered(request, name, "jwks", lambda provider, _: json_answer(key_set(provider.store)))

    @router.get("/{name}/oauth/.well-known/openid-configuration")
    async def openid(request: Request, name: str) -> Response:
        def said(provider: Provider, asked: Asked) -> Response:
            return json_answer(openid_configuration(asked.origin, provider.name, provider.profile, provider.types()))

        return await answered(request, name, "openid-configuration", said)

    @router.get("/{name}/oauth/errors/{code}")
    async def told(request: Request, name: str, code: str) -> Response:
        page = refusal_page(f"the server said {code[:64]}")
        return await answered(request, name, "errors", lambda *_: html(page))

    return router


def _instead(provider: Provider, asked: Asked, act: Act, path: str) -> Response | None:
    """The answer of a fault that keeps the work from being done."""
    retry = {} if act.retry_after is None else {"Retry-After": str(act.retry_after)}
    status = act.status or (429 if retry else None)
    if act.body == "html":
        response = html(refusal_page("the sign-in page of a broken server"), status or 200)
        response.headers.update(retry)
        return response
    if act.error is not None and path in _PAGES:
        try:
            request = _request(provider, asked.origin, _parameters(asked))
        except OAuthError as error:
            return html(refusal_page(error.description), 400)
        return redirect(request.answer(error=act.error))
    if act.error is None and (status is None or act.body is not None):
        return None
    if path in _PAGES:
        response = html(refusal_page("the server is broken"), status or 500)
    else:
        status = status or 400
        usual = "temporarily_unavailable" if status >= 429 else {401: "invalid_client"}.get(status, "invalid_request")
        response = oauth_error(OAuthError(act.error or usual, "a fault was asked for", status=status))
    response.headers.update(retry)
    return response


def _too_many(provider: Provider, path: str) -> Response | None:
    busy = OAuthError("temporarily_unavailable", "too many requests", status=429)
    if provider.is_too_busy():
        return oauth_error(busy)
    wait = provider.rate.refused_for() if provider.rate and path == "token" else 0
    if wait:
        response = oauth_error(busy)
        response.headers["Retry-After"] = str(wait)
        return response
    return None


def _request(provider: Provider, origin: str, parameters: Mapping[str, str]) -> AuthorizationRequest:
    return read_authorization(parameters, provider.clients, provider.profile, issuer_of(origin, provider.name))


def _offer(provider: Provider, request: AuthorizationRequest) -> Offer:
    types = sorted(provider.types(), key=lambda kind: (kind != "Patient", kind))
    return offer(request.scope, types, provider.profile)


def _authorize(provider: Provider, asked: Asked) -> Response:
    parameters = _parameters(asked)
    try:
        request = _request(provider, asked.origin, parameters)
    except OAuthError as error:
        return html(refusal_page(error.description), 400)
    problem = refusal(parameters, request, _base(provider, asked))
    if problem:
        return redirect(request.refused(problem))
    offered, profile = _offer(provider, request), provider.profile
    if request.prompt == "none":
        if not provider.store.has_person(request.login_hint):
            return redirect(request.refused(OAuthError("login_required", "login_hint names no patient")))
        scope = offered.granted(offered.boxes, profile)
        seconds = profile.lifetimes_offered[-1] if profile.lifetimes_offered else profile.grant_seconds
        return _with_code(provider, request, request.login_hint, scope, seconds)
    page = consent_page(provider.store, provider.name, request, parameters, offered, profile)
    return html(page, leads_to=request.redirect_uri)


def _decide(provider: Provider, asked: Asked) -> Response:
    pairs = parse_qsl(asked.form, keep_blank_values=True)
    parameters = dict(pairs)
    try:
        request = _request(provider, asked.origin, parameters)
    except OAuthError as error:
        return html(refusal_page(error.description), 400)
    problem = refusal(parameters, request, _base(provider, asked))
    if problem:
        return redirect(request.refused(problem))
    offered, profile = _offer(provider, request), provider.profile
    ticked = {value for name, value in pairs if name == "granted"}
    scope = offered.granted(ticked, profile)
    if parameters.get("decision") != "allow" or not access_of("", scope.split()).scopes:
        return redirect(request.refused(OAuthError("access_denied", "the person said no")))
    patient = parameters.get("other", "").strip() or parameters.get("patient", "")
    seconds = _lasting(parameters.get("lasting", ""), profile.lifetimes_offered, profile.grant_seconds)
    if not provider.store.has_person(patient):
        kept = {name: value for name, value in parameters.items() if name not in _CHOSEN}
        said = "Choose who you are." if not patient else "There is no patient of that id: choose who you are."
        page = consent_page(
            provider.store, provider.name, request, kept, offered, profile, ticked=ticked, patient=patient, said=said
        )
        return html(page, 400, leads_to=request.redirect_uri)
    return _with_code(provider, request, patient, scope, seconds)


def _lasting(chosen: str, offered: tuple[float, ...], otherwise: float | None) -> float | None:
    if not offered:
        return otherwise
    return next((seconds for seconds in offered if lasting(seconds) == chosen), offered[-1])


def _with_code(
    provider: Provider, request: AuthorizationRequest, patient: str, scope: str, seconds: float | None
) -> Response:
    now = provider.clock.now()
    return redirect(request.answer(code=tokens.grant_code(provider.store, request, patient, scope, seconds, now)))


def _token(provider: Provider, asked: Asked) -> Response:
    form = dict(parse_qsl(asked.form, keep_blank_values=True))
    kind = form.get("grant_type", "")
    provider.counts.token_request(kind)
    profile, now = provider.profile, provider.clock.now()
    try:
        caller = _caller(provider, asked, form)
        if kind == "authorization_code":
            issued = tokens.by_code(provider.store, form, caller, profile, now)
        elif kind == "refresh_token":
            issued = tokens.by_refresh(provider.store, form, caller, profile, now)
            provider.counts.refresh(issued.grant, issued.patient, issued.client_id, answered=True)
        elif kind == "client_credentials" and profile.bulk.offered and not profile.bulk.open:
            issued = tokens.by_client(provider.store, form, caller, profile, now)
        else:
            raise OAuthError("unsupported_grant_type", "this grant_type is not known here")
    except OAuthError as error:
        if isinstance(error, tokens.RefreshError):
            provider.counts.refresh(error.grant, error.patient, error.client_id, answered=False)
        uri = f"{asked.origin}/{provider.name}/oauth/errors/{error.code}" if profile.error_uri else None
        return oauth_error(error, uri=uri)
    said = issued.said
    if kind == "authorization_code" and "openid" in issued.scope.split():
        issuer = issuer_of(asked.origin, provider.name)
        said["id_token"] = id_token(provider.store, issued, issuer, _base(provider, asked), now)
    return json_answer(said, headers=NO_STORE)


def _revoke(provider: Provider, asked: Asked) -> Response:
    profile = provider.profile
    if not profile.revocation or asked.path != f"oauth/{profile.revocation_path}":
        raise HTTPException(404, "there is no such endpoint")
    form = dict(parse_qsl(asked.form, keep_blank_values=True))
    try:
        caller = _caller(provider, asked, form)
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing")
    except OAuthError as error:
        return oauth_error(error)
    grants.revoke(provider.store, form["token"], caller.client_id or "", provider.clock.now())
    return Response(status_code=200, headers=NO_STORE)


def _introspect(provider: Provider, asked: Asked, *, local: bool) -> Response:
    profile, now = provider.profile, provider.clock.now()
    if not profile.introspection:
        raise HTTPException(404, "there is no such endpoint")
    form = dict(parse_qsl(asked.form, keep_blank_values=True))
    scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() == "bearer":
            if grants.access_by_token(provider.store, bearer.strip(), profile, now) is None and not local:
                raise OAuthError("invalid_token", "the access token is not known", status=401)
        elif not _caller(provider, asked, form).confidential and not local:
            raise OAuthError("invalid_client", "an access token or a client's credentials are required", status=401)
        if "token" not in form:
            raise OAuthError("invalid_request", "token is missing")
    except OAuthError as error:
        return oauth_error(error)
    said = grants.introspect(provider.store, form["token"], _base(provider, asked), profile, now)
    return json_answer(said, headers=NO_STORE)


def _manage(provider: Provider, asked: Asked) -> Response:
    if not provider.profile.management:
        raise HTTPException(404, "there is no such endpoint")
    parameters = _parameters(asked)
    patient = parameters.get("patient", "")
    if asked.method == "POST" and patient:
        deed = _DEEDS.get(parameters.get("act", ""))
        if deed is None:
            return html(refusal_page("this cannot be done with an app"), 400)
        grants.do(
            provider.store,
            deed,
            provider.clock.now(),
            grant=parameters.get("grant", ""),
            patient=patient,
            client_id=None,
        )
    listed = grants.listed(provider.store, patient) if patient else []
    return html(grants_page(provider.name, patient, people_shown(provider.store), listed))


def _caller(provider: Provider, asked: Asked, form: Mapping[str, str]) -> Caller:
    endpoint = endpoints(asked.origin, provider.name, provider.profile)["token_endpoint"]
    authorization = asked.headers.get("authorization", "")
    return provider.clients.authenticate(form, authorization, endpoint, provider.profile, provider.clock.now())


def _base(provider: Provider, asked: Asked) -> str:
    return f"{asked.origin}/{provider.name}/fhir"


def _parameters(asked: Asked) -> dict[str, str]:
    return dict(parse_qsl(asked.query, keep_blank_values=True) + parse_qsl(asked.form, keep_blank_values=True))
