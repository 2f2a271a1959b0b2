"""Connections that lead where they may, and answers that end.

Every byte of an answer must have come within a time, from its status line to its last trailer. A socket's time-out
counts from the last byte: a server that sends one now and then (a header without end, `100 Continue` for ever, trailers
after the last chunk) never meets it, so the whole answer has a clock of its own.

Where a name leads is looked at when it is connected to, address by address: a name may lead to this machine or into its
network, be it written as a number, or change between one look and the next.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from charthouse.partners.addresses import PORTS, Reach, proxies_for
from charthouse.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from urllib3 import PoolManager, ProxyManager

    from charthouse.partners.addresses import Origin

PATIENCE: Final = 10
"""Where nobody says how long an answer may take in all: this many times the socket's time-out."""
_CHUNK: Final = 2**14


class AnswerTooLargeError(ValueError):
    """More came than the adapter takes."""


class PrivateAddressError(requests.exceptions.InvalidURL):
    """The address leads into a private network, and no setting permits that."""


class ReadOnlyError(RuntimeError):
    """Somebody tried to send something else than a GET to a FHIR server. It is a fault of ours, not an outcome."""


class NotReachedError(Exception):
    """Nothing that the host's name leads to may be connected to. No kind of error that urllib3 would wrap."""


class BoundedAdapter(HTTPAdapter):
    """Connections whose answers end. With `most`, an answer's body is read at once, and no longer than that, unpacked.

    `whole` is in seconds, for one answer from its first byte to its last. `reach` says where connections may lead, by
    default as the settings do.

    Raises:
        AnswerTooLargeError: from `send`, when the body is longer than `most`.
        PrivateAddressError: from `send`, when the address is out of reach; nothing has been sent then.
    """

    def __init__(
        self, *, most: int | None = None, lines: int = 2, whole: float | None = None, reach: Reach | None = None
    ) -> None:
        self._most = most
        self._whole = whole
        self._reach = Reach.of(get_settings()) if reach is None else reach
        super().__init__(pool_connections=4, pool_maxsize=lines, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connect by our own classes."""
        super().init_poolmanager(*args, **kwargs)
        _bind(self.poolmanager, self._whole, self._reach)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """The same for connections through a proxy, which may be anywhere: the operator named it."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _bind(manager, self._whole, None)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; see the class for what becomes of its answer."""
        if requests.utils.select_proxy(request.url or "", kwargs.get("proxies")) and not _may_name(
            request.url or "", self._reach
        ):
            raise PrivateAddressError
        try:
            response = super().send(request, *args, **kwargs)
        except NotReachedError:
            raise PrivateAddressError from None
        if self._most is not None:
            body = b""
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > self._most:
                    response.close()
                    raise AnswerTooLargeError
            response._content = body
        return response


def _may_name(url: str, reach: Reach) -> bool:
    """Whether a proxy may be asked for this host. It looks names up itself; here only numbers can be told."""
    address = urllib3.util.parse_url(url)
    try:
        found = socket.getaddrinfo((address.host or "").strip("[]"), None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return True
    port = address.port or PORTS[address.scheme or "http"]
    return all(reach.permits(str(place[0]), port) for *_, place in found)


def _bind(manager: PoolManager, whole: float | None, reach: Reach | None, *, read_only: bool = False) -> None:
    manager.pool_classes_by_scheme = _pools(whole, reach, read_only=read_only)


class _Clocked(io.RawIOBase):
    """The bytes of a socket until an instant."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, whole: float | None) -> None:
        self._raw = raw
        self._sock = sock
        self._pause = sock.gettimeout()
        if whole is None and self._pause is not None:
            whole = self._pause * PATIENCE
        self._ends = None if whole is None else time.monotonic() + whole

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        if self._pause is not None and self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if left < self._pause:  # a call a read, which most answers never need
                self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, whole: float | None = None, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_Clocked(self.fp.detach(), sock, whole))


class _Bounded(HTTPConnection):
    """A connection to an address within reach; `reach` None goes anywhere."""

    reach: Reach | None = None

    def _new_conn(self) -> socket.socket:
        """Connect to the first address of the host that is within reach and answers."""
        if self.reach is None or self.reach.everywhere:
            return super()._new_conn()
        try:
            found = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NameResolutionError(self.host, self, socket.gaierror(str(error))) from None
        places = list(dict.fromkeys(str(place[0]) for *_, place in found))
        within = [place for place in places if self.reach.permits(place, self.port)]
        if not within:
            raise NotReachedError
        for place in within:
            try:
                return create_connection(
                    (place, self.port), self.timeout, self.source_address, socket_options=self.socket_options
                )
            except TimeoutError:
                fault: Exception = ConnectTimeoutError(self, "the connection timed out")
            except OSError:
                fault = NewConnectionError(self, "no connection")
        raise fault


@cache
def _pools(whole: float | None, reach: Reach | None, *, read_only: bool) -> dict[str, type[HTTPConnectionPool]]:
    """Pools of connections that are bound so. urllib3 hands nothing of ours to a connection: its class has to know."""
    answers: Any = staticmethod(partial(_Response, whole=whole))
    bound = {"response_class": answers, "reach": reach}
    clear = type("_Connection", (_Bounded,), bound)
    secret = type("_TlsConnection", (_BoundedTls,), bound)
    first = (_ReadOnly,) if read_only else ()
    return {
        "http": type("_Pool", (*first, HTTPConnectionPool), {"ConnectionCls": clear}),
        "https": type("_TlsPool", (*first, HTTPSConnectionPool), {"ConnectionCls": secret}),
    }


class _ReadOnly(HTTPConnectionPool):
    """Connections that send GET without a body."""

    def urlopen(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Send a GET.

        Raises:
            ReadOnlyError: the request is no GET, or has a body.
        """
        if method != "GET" or body is not None:
            raise ReadOnlyError("providers are only read: a FHIR base is sent nothing but GET")
        return super().urlopen(method, url, body, *args, **kwargs)


class _BoundedTls(_Bounded, HTTPSConnection):
    """The same, encrypted."""


def surroundings(url: str) -> dict[str, Any]:
    """Proxies and certificates for a URL, as the environment names them. Nothing is sent by the session that knows."""
    with requests.Session() as session:
        return dict(session.merge_environment_settings(url, proxies_for(url) or {}, None, None, None))


def bounded_pool(
    url: str, size: int, *, whole: float | None = None, reach: Reach | None = None, read_only: bool = False
) -> tuple[HTTPConnectionPool, str]:
    """Connections to the host of a URL whose answers end, `size` at once, and what to ask them for.

    They go through the proxy that the environment has for that host. With `read_only` they send GET and nothing else,
    and where more than `size` are needed at once, more are made.

    Raises:
        PrivateAddressError: a proxy would be asked for an address out of `reach`.
    """
    around = surroundings(url)
    proxy = requests.utils.select_proxy(url, around["proxies"])
    if proxy and reach is not None and not _may_name(url, reach):
        raise PrivateAddressError
    certificates = around["verify"] if isinstance(around["verify"], str) else DEFAULT_CA_BUNDLE_PATH
    options: dict[str, Any] = {"num_pools": 2, "maxsize": size, "block": not read_only, "ca_certs": certificates}
    manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    _bind(manager, whole, None if proxy else reach, read_only=read_only)
    return manager.connection_from_url(url), target_in(url, proxied=proxy is not None)


def target_in(url: str, *, proxied: bool) -> str:
    """What to ask a connection for: a proxy is asked for the whole URL (RFC 9112 §3.2.2)."""
    if proxied and url.startswith("http:"):
        return url
    place, mark, query = url.partition("#")[0].partition("?")
    return f"{urllib3.util.parse_url(place).request_uri}{mark}{query}"  # the pool escapes what the query may not hold


class ReadOnlyLines:
    """The connections of one client, by origin, kept until it closes. Safe between threads."""

    def __init__(self, size: int, *, whole: float, reach: Reach) -> None:
        self._size = size
        self._whole = whole
        self._reach = reach
        self._pools: dict[Origin, tuple[HTTPConnectionPool, bool]] = {}
        self._lock = threading.Lock()

    def ask(
        self, url: str, there: Origin, headers: Mapping[str, str], timeout: urllib3.Timeout
    ) -> urllib3.BaseHTTPResponse:
        """GET a URL of an origin, once: nobody is followed, and the body is not read.

        Raises:
            NotReachedError, PrivateAddressError: where nothing may be reached.
            urllib3.exceptions.HTTPError, http.client.HTTPException, OSError: no answer came.
            urllib3.exceptions.LocationValueError, UnicodeError: it is no URL.
        """
        with self._lock:
            known = self._pools.get(there)
            if known is None:
                pool, target = bounded_pool(url, self._size, whole=self._whole, reach=self._reach, read_only=True)
                known = self._pools[there] = pool, target == url
        pool, proxied = known
        return pool.urlopen(
            "GET",
            target_in(url, proxied=proxied),
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            assert_same_host=False,
        )

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for pool, _ in self._pools.values():
                pool.close()
            self._pools.clear()
