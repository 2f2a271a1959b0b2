"""Where people are sent: to our pages, to the provider, and back to the app, never anywhere that nobody declared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from charthouse.api import MOUNT
from charthouse.errors import ApiError

if TYPE_CHECKING:
    from charthouse.settings import Settings

_PLAIN = re.compile(r"[\x21-\x7e]{1,2000}")
_NEVER = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "view-source"})


def callback_url(public_url: str) -> str:
    """The redirect URI that providers know us by."""
    return f"{public_url.rstrip('/')}{MOUNT}/callback"


def start_url(public_url: str, state: str) -> str:
    """The page where a person begins to sign in."""
    return f"{public_url.rstrip('/')}{MOUNT}/start/{state}"


def verified_url(public_url: str, known_by: str) -> str:
    """Where a verifier sends a person back to."""
    return f"{public_url.rstrip('/')}{MOUNT}/verified/{known_by}"


def checked(return_to: str | None, settings: Settings) -> str | None:
    """`return_to` if people may be sent there.

    Raises:
        ApiError: CH817 for an address at no declared origin and of no declared scheme.
    """
    if return_to is None or is_permitted(return_to, settings):
        return return_to
    raise ApiError("CH817")


def is_permitted(address: str, settings: Settings) -> bool:
    """Whether an address is at a declared origin, or of a declared scheme of an app."""
    if not _PLAIN.fullmatch(address) or "\\" in address:
        return False
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
    except ValueError:
        return False
    if parts.scheme in _NEVER or parts.username is not None or parts.password is not None:
        return False
    for declared in (one.strip() for one in settings.return_origins.split(",")):
        known = urlsplit(declared)
        if declared and known.scheme == parts.scheme:
            if parts.scheme not in ("http", "https"):
                return True
            if host and (host, port) == (known.hostname, known.port):
                return True
    return False


def with_outcome(address: str, link_id: str | None, status: str) -> str:
    """The way back, telling which link it was and what became of it."""
    parts = urlsplit(address)
    told = [("status", status), *([("link_id", link_id)] if link_id else [])]
    return urlunsplit(parts._replace(query=urlencode(parse_qsl(parts.query, keep_blank_values=True) + told)))
