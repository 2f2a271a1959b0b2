"""The pages for people: plain HTML without a script, readable on a phone, by keyboard and by a screen reader.

The one style sheet stands in each page, and the content security policy permits it by its hash and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from charthouse.api.pages import words
from charthouse.linking.refusals import has_message, message_for

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

FOLDER = Path(__file__).parent


class Page(HTMLResponse):
    """An answer in HTML."""


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its source expression for the policy."""
    text = (FOLDER / "style.css").read_text(encoding="utf-8").strip()
    return text, f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(name: str, request: Request | None, *, status: int = 200, leaves: bool = False, **values: Any) -> Page:
    """A page from its template. `leaves` is for one whose form ends at another site.

    Browsers hold `form-action` against every redirect that follows a form, so such a page cannot name it: where the
    provider's own sign-in leads is not known to us.
    """
    style, allowed = _style()
    text = _environment().get_template(name).render(style=style, service=service_of(request), **values)
    action = "" if leaves else " form-action 'self';"
    policy = f"default-src 'none'; style-src {allowed};{action} base-uri 'none'; frame-ancestors 'none'"
    return Page(text, status, headers={"Content-Security-Policy": policy, "X-Frame-Options": "DENY"})


def of_problem(problem: Response) -> Page:
    """A problem as a page: the person's words where it has some, the status and its headers kept."""
    told = orjson.loads(problem.body)
    outcome = words.problem(problem.status_code)
    if has_message(told["code"]):
        said = message_for(told["code"])
        outcome = words.Outcome(said.title, said.text, said.action)
    made = page(
        "told.html", None, status=problem.status_code, outcome=outcome, good=False, code=told["code"], way_back=None
    )
    for name, value in problem.headers.items():
        if name not in ("content-type", "content-length"):
            made.headers[name] = value
    return made


def service_of(request: Request | None) -> str:
    """What people know this service as."""
    settings = request.app.state.context.settings if request is not None else None
    return str(getattr(settings, "service_name", "Charthouse"))
