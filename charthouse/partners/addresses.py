"""Addresses that a server sends: where they lead, as the HTTP library that will go there understands them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

if TYPE_CHECKING:
    from typing import TypeAlias

    Origin: TypeAlias = tuple[str, str, int]
    """Scheme, host and port."""

PORTS: Final = {"http": 80, "https": 443}


def origin(url: str) -> Origin | None:
    """Scheme, host and port of an http(s) URL (RFC 6454), or None for anything else. User names in it are ignored.

    Read by the parser that opens the connection, and not at all where parsers disagree about the host (`http://a\\@b/`):
    a token must not be promised to the one and sent to the other.
    """
    if "\\" in url.partition("?")[0]:
        return None
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    scheme = (parts.scheme or "").lower()
    if scheme not in PORTS or not parts.host:
        return None
    return scheme, parts.host.lower(), parts.port or PORTS[scheme]


def host_of(home: Origin) -> str:
    """`host:port` of an origin, as errors name it."""
    return f"{home[1]}:{home[2]}"


def join(base: str, reference: str) -> str | None:
    """A reference made absolute (RFC 3986 §5); None for one that cannot be read."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return None


def within(url: str | None, home: Origin | None) -> str | None:
    """The URL, if it stays at `home`; None if it leads elsewhere.

    Servers behind a proxy write `http` where they were asked with `https`: the same host is then asked as before.
    """
    there = origin(url) if url is not None else None
    if url is None or home is None or there is None:
        return None
    if there == home:
        return url
    if there == ("http", home[1], PORTS["http"]) and home == ("https", home[1], PORTS["https"]):
        parts = urlsplit(url)
        return parts._replace(scheme="https", netloc=home[1]).geturl()
    return None


def proxies_for(url: str) -> dict[str, str] | None:
    """What to tell `requests` of proxies: one of the environment is for the world outside, not for this machine."""
    host = urlsplit(url).hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    return {"no_proxy": host} if loopback else None
