"""Addresses that a server sends: where they lead, as the HTTP library that will go there understands them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import TypeAlias

    from charthouse.settings import Settings

    Origin: TypeAlias = tuple[str, str, int]
    """Scheme, host and port."""
    Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS: Final = {"http": 80, "https": 443}
SANDBOX: Final = "127.0.0.1"
ANY: Final = "any"
LOOPBACK: Final = "loopback"
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""An IPv4 address within IPv6 (RFC 6052 §2.1); a translator makes a private one of it again."""
_LOCAL: Final = ("127.0.0.0/8", "::1/128")


class Reach(NamedTuple):
    """Which addresses may be connected to: public ones, the networks named here, and the ports of the sandbox."""

    networks: tuple[Network, ...] = ()
    everywhere: bool = False
    sandbox: frozenset[int] = frozenset()

    @classmethod
    def of(cls, settings: Settings) -> Reach:
        """As the settings have it; the sandbox of this home, while one runs, has a file that names its port."""
        words = [word.strip() for word in settings.private_addresses.split(",") if word.strip()]
        named = [word for word in words if word not in {ANY, LOOPBACK}] + [*_LOCAL] * (LOOPBACK in words)
        try:
            port = settings.sandbox_address.read_text(encoding="ascii").strip()
        except OSError:
            port = ""
        networks = tuple(ipaddress.ip_network(word, strict=False) for word in named)
        return cls(networks, ANY in words, frozenset({int(port)} if port.isdigit() else ()))

    def permits(self, address: str, port: int) -> bool:
        """Whether a numeric address, as a resolver gives it, may be connected to."""
        if self.everywhere or (address == SANDBOX and port in self.sandbox):
            return True
        try:
            place = _embedded(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if place.is_global and not place.is_multicast:
            return True
        return any(place in network for network in self.networks)


def _embedded(
    place: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, or behind a NAT64; else the address itself."""
    if isinstance(place, ipaddress.IPv4Address):
        return place
    if place in _NAT64:
        return ipaddress.IPv4Address(int(place) & 0xFFFFFFFF)
    return place.ipv4_mapped or place.sixtofour or place


def origin(url: str) -> Origin | None:
    """Scheme, host and port of an http(s) URL (RFC 6454), or None for anything else. User names in it are ignored.

    Read by the parser that opens the connection, and not at all where parsers disagree about the host (`http://a\\@b/`):
    a token must not be promised to the one and sent to the other.
    """
    before_query = url.partition("?")[0]
    if "\\" in before_query:
        return None
    try:
        parts = parse_url(before_query)  # the query says nothing of the host, and costs a step of Python for each sign
    except LocationParseError:
        return None
    scheme = (parts.scheme or "").lower()
    if scheme not in PORTS or not parts.host:
        return None
    return scheme, parts.host.lower(), parts.port or PORTS[scheme]


def origins_in(said: str | None) -> frozenset[Origin]:
    """Origins that are written by commas."""
    return frozenset(found for word in (said or "").split(",") if (found := origin(word.strip())) is not None)


def host_of(home: Origin) -> str:
    """`host:port` of an origin, as errors name it."""
    return f"{home[1]}:{home[2]}"


def join(base: str, reference: str) -> str | None:
    """A reference made absolute (RFC 3986 §5); None for one that cannot be read."""
    try:
        return urljoin(base, reference)
    except ValueError:
        return None


def within(url: str | None, home: Origin | None, others: Collection[Origin] = ()) -> str | None:
    """The URL, if it stays at `home`, or at an origin that was declared beside it; None if it leads elsewhere.

    Servers behind a proxy write `http` where they were asked with `https`: the same host is then asked as before.
    """
    there = origin(url) if url is not None else None
    if url is None or home is None or there is None:
        return None
    if there == home or there in others:
        return url
    if there == ("http", home[1], PORTS["http"]) and home == ("https", home[1], PORTS["https"]):
        parts = urlsplit(url)
        return parts._replace(scheme="https", netloc=home[1]).geturl()
    return None


def proxies_for(url: str) -> dict[str, str] | None:
    """What to tell `requests` of proxies: one of the environment is for the world outside, not for this machine."""
    host = urlsplit(url).hostname or ""
    return {"no_proxy": host} if is_near(host) else None


def is_near(host: str) -> bool:
    """Whether a host is this machine, by its name or address alone: nobody listens on the way to it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
