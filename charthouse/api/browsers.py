"""The browser that a sign-in belongs to, known by a cookie that says nothing.

`__Host-` (RFC 6265bis) keeps neighbouring hosts from planting one; browsers take it over https only. `Lax`, because the
provider sends people back by a link from its own site.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from charthouse.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SECONDS = 3600
_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def cookie_name(public_url: str) -> str:
    """What the cookie is called at this address."""
    return "__Host-charthouse" if _is_https(public_url) else "charthouse"


def browser_of(request: Request, public_url: str) -> str | None:
    """The browser that asks; None for one that we have not met."""
    value = request.cookies.get(cookie_name(public_url), "")
    return value if _VALUE.fullmatch(value) else None


def new_browser() -> str:
    """A browser's random id, of 256 bits."""
    return secrets.token_urlsafe(32)


def remember(response: Response, browser: str, public_url: str) -> None:
    """Let the browser show its id to our pages for as long as a sign-in may take."""
    response.set_cookie(
        cookie_name(public_url),
        browser,
        max_age=SECONDS,
        path="/",
        secure=_is_https(public_url),
        httponly=True,
        samesite="lax",
    )


def must_be_same_site(request: Request) -> None:
    """Refuse a form that another site sent: browsers say where it came from.

    Raises:
        ApiError: CH821 for a form of another site.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ApiError("CH821")


def _is_https(public_url: str) -> bool:
    return urlsplit(public_url).scheme == "https"
