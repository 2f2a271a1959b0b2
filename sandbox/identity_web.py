"""The verifier's endpoints: sessions, the page that people go through; and those for the operator.

/identity/v1/verification_sessions…   POST begins one, GET tells how it stands; by a project's key
/identity/verify                      where people show who they are, by the session's token
/identity/sandbox/…                   for the operator, on loopback only
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import msgspec
import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from sandbox.identity import OUTCOMES, Habits, Identities, Project, Session, deliver, message
from sandbox.page import document
from sandbox.web import html, json_answer, json_body, operator_only, redirect

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class _Sent(msgspec.Struct, forbid_unknown_fields=True):
    """A message for a project. `ago` is how long ago it happened, `times` how often it is sent."""

    project_id: str
    session: str
    id: str
    event: str = "completed"
    ago: float = 0
    times: int = 1
    secret: str | None = None


class _Reviewed(msgspec.Struct, forbid_unknown_fields=True):
    """A session that somebody decides by hand."""

    session: str
    status: str


def identity_routes(held: Identities) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/identity")

    def project_of(request: Request) -> Project | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        fine = scheme.lower() == "bearer"
        return next((one for one in held.projects.values() if fine and one.api_key == key.strip()), None)

    def refused(project: Project | None) -> Response | None:
        if held.habits.refuses is not None:
            return _error(held.habits.refuses, "internal_error")
        return _error(401, "unauthenticated") if project is None else None

    @router.post("/v1/verification_sessions")
    async def begin(request: Request) -> Response:
        project = project_of(request)
        said: Any = orjson.loads(await json_body(request))
        if (instead := refused(project)) is not None or project is None:
            return instead or _error(401, "unauthenticated")
        if said.get("project_id") != project.project_id:
            return _error(400, "invalid_input")
        return json_answer(held.shown(held.begin(project, said.get("redirect_url"))))

    @router.get("/v1/verification_sessions/{identity}")
    def stands(request: Request, identity: str) -> Response:
        project, session = project_of(request), held.sessions.get(identity)
        if (instead := refused(project)) is not None:
            return instead
        if session is None or session.project is not project:
            return _error(404, "not_found")
        return json_answer(held.shown(session))

    @router.get("/verify")
    def page(token: str = "") -> Response:
        session = held.of_token(token)
        if session is None or session.completed_at is not None:
            return html(document("This page is no longer good", "<h1>This page is no longer good</h1>"), 404)
        return html(document("Verify who you are", _form(token)), leads_to=session.redirect_url)

    @router.post("/verify")
    async def decide(request: Request) -> Response:
        form = {name: said[0].strip() for name, said in parse_qs((await request.body()).decode()).items()}
        session = held.of_token(form.get("token", ""))
        wanted = all(form.get(name) for name in ("first_name", "last_name"))
        if session is None or session.completed_at is not None or form.get("outcome") not in OUTCOMES:
            return html(document("This page is no longer good", "<h1>This page is no longer good</h1>"), 404)
        if not wanted or not _DATE.fullmatch(form.get("birth_date", "")):
            return html(document("Verify who you are", _form(session.token)), 422, leads_to=session.redirect_url)
        await run_in_threadpool(held.decide, session, form["outcome"], form)
        if session.redirect_url is None:
            return html(document("Done", "<h1>Done</h1>"))
        return redirect(session.redirect_url)

    _operators(router, held)
    return router


def _operators(router: APIRouter, held: Identities) -> None:
    @router.post("/sandbox/projects")
    async def projects(request: Request) -> Response:
        operator_only(request)
        project = msgspec.json.decode(await json_body(request), type=Project)
        await run_in_threadpool(held.register, project)
        return json_answer(sorted(held.projects))

    @router.api_route("/sandbox/habits", methods=["GET", "POST"])
    async def habits(request: Request) -> Response:
        operator_only(request)
        if request.method == "POST":
            try:
                held.habits = msgspec.json.decode(await json_body(request), type=Habits)
            except msgspec.DecodeError as error:
                return json_answer({"error": str(error)}, status=400)
        return json_answer(msgspec.to_builtins(held.habits))

    @router.post("/sandbox/messages")
    async def messages(request: Request) -> Response:
        operator_only(request)
        order = msgspec.json.decode(await json_body(request), type=_Sent)
        body = message(order.id, order.event, order.session, time.time() - order.ago)
        project = held.projects[order.project_id]
        statuses = [await run_in_threadpool(deliver, project, body, secret=order.secret) for _ in range(order.times)]
        return json_answer({"statuses": statuses})

    @router.post("/sandbox/reviews")
    async def reviews(request: Request) -> Response:
        operator_only(request)
        order = msgspec.json.decode(await json_body(request), type=_Reviewed)
        session: Session = held.sessions[order.session]
        await run_in_threadpool(held.review, session, order.status)
        return json_answer({"status": session.status})


def _form(token: str) -> str:
    choices = "".join(f"<option value={name}>{name.replace('_', ' ')}</option>" for name in OUTCOMES)
    fields: Mapping[str, str] = {"first_name": "First name", "last_name": "Last name", "birth_date": "Birth date"}
    asked = "".join(
        f"<label class=field>{label}<input type=text name={name} id={name} required></label>"
        for name, label in fields.items()
    )
    return (
        "<h1>Verify who you are</h1><p>This is a made-up verifier: say who you are, and how it shall end.</p>"
        f"<form method=post action=verify><input type=hidden name=token value='{token}'>{asked}"
        f"<label class=field>It ends with <select name=outcome id=outcome>{choices}</select></label>"
        "<div class=deeds><button type=submit id=done>Done</button></div></form>"
    )


def _error(status: int, kind: str) -> Response:
    return json_answer({"error_type": kind, "message": kind.replace("_", " "), "fields": []}, status=status)
