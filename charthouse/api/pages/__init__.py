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

from charthouse.api.pages import words
from charthouse.linking.refusals import has_message, message_for
from charthouse.pages import templates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request
    from starlette.responses import Response

FOLDER = Path(__file__).parent


class Page(HTMLResponse):
    """An answer in HTML."""


@cache
def _style() -> tuple[str, str]:
    """The style sheet, and its source expression for the policy."""
    text = (FOLDER / "style.css").read_text(encoding="utf-8").strip()
    return text, f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(name: str, request: Request, *, status: int = 200, leaves: bool = False, **values: Any) -> Page:
    """A page from its template. `leaves` is for one whose form ends at another site.

    Browsers hold `form-action` against every redirect that follows a form, so such a page cannot name it: where the
    provider's own sign-in leads is not known to us.
    """
    style, allowed = _style()
    text = templates(FOLDER).get_template(name).render(style=style, service=_service_of(request), **values)
    action = "" if leaves else " form-action 'self';"
    policy = f"default-src 'none'; style-src {allowed};{action} base-uri 'none'; frame-ancestors 'none'"
    return Page(text, status, headers={"Content-Security-Policy": policy, "X-Frame-Options": "DENY"})


def told(
    request: Request,
    outcome: words.Outcome,
    *,
    status: int = 200,
    code: str | None = None,
    way_back: str | None = None,
    kept_back: Sequence[str] = (),
) -> Page:
    """The page that says what became of something. With a `code`, it came to nothing."""
    return page("told.html", request, status=status, outcome=outcome, code=code, way_back=way_back, kept_back=kept_back)


def of_problem(request: Request, problem: Response) -> Page:
    """A problem as a page: the person's words where it has some, the status and its headers kept."""
    code = orjson.loads(problem.body)["code"]
    outcome = spoken(code) if has_message(code) else words.problem(problem.status_code)
    made = told(request, outcome, status=problem.status_code, code=code)
    for name, value in problem.headers.items():
        if name not in ("content-type", "content-length"):
            made.headers[name] = value
    return made


def spoken(code: str) -> words.Outcome:
    """What a person is told of an error."""
    said = message_for(code)
    return words.Outcome(said.title, said.text, said.action)


def _service_of(request: Request) -> str:
    """What people know this service as."""
    return str(request.app.state.context.settings.service_name)
