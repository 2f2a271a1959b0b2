"""Answers that end: every byte of one must have come within a time, from its status line to its last trailer.

A socket's time-out counts from the last byte. A server that sends one now and then (a header without end, `100
Continue` for ever, trailers after the last chunk) never meets it, so the whole answer has a clock of its own.
"""

from __future__ import annotations

import http.client
import io
import time
from typing import TYPE_CHECKING, Any, Final

import requests
import urllib3
from requests.adapters import DEFAULT_CA_BUNDLE_PATH, HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from charthouse.partners.addresses import proxies_for

if TYPE_CHECKING:
    import socket

    from urllib3 import PoolManager, ProxyManager

PATIENCE: Final = 10
"""An answer may take this many times the socket's time-out in all, as long as its bytes keep coming."""
_CHUNK: Final = 2**14


class AnswerTooLargeError(ValueError):
    """More came than the adapter takes."""


class BoundedAdapter(HTTPAdapter):
    """Connections whose answers end. With `most`, an answer's body is read at once, and no longer than that, unpacked.

    Raises:
        AnswerTooLargeError: from `send`, when the body is longer than `most`.
    """

    def __init__(self, *, most: int | None = None, lines: int = 2) -> None:
        self._most = most
        super().__init__(pool_connections=4, pool_maxsize=lines, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Connect by our own classes."""
        super().init_poolmanager(*args, **kwargs)
        _clock(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> ProxyManager:
        """The same for connections through a proxy."""
        manager: ProxyManager = super().proxy_manager_for(*args, **kwargs)
        _clock(manager)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request; see the class for what becomes of its answer."""
        response = super().send(request, *args, **kwargs)
        if self._most is not None:
            body = b""
            for chunk in response.iter_content(_CHUNK):
                body += chunk
                if len(body) > self._most:
                    response.close()
                    raise AnswerTooLargeError
            response._content = body
        return response


def _clock(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class _Clocked(io.RawIOBase):
    """The bytes of a socket until an instant."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._pause = sock.gettimeout()
        self._ends = None if self._pause is None else time.monotonic() + self._pause * PATIENCE

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        if self._pause is not None and self._ends is not None:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(min(self._pause, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp: Any = io.BufferedReader(_Clocked(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def bounded_pool(url: str, size: int) -> tuple[HTTPConnectionPool, str]:
    """Connections to the host of a URL whose answers end, `size` at once, and what to ask them for.

    They go through the proxy that the environment has for that host.
    """
    session = requests.Session()
    around = session.merge_environment_settings(url, proxies_for(url) or {}, None, None, None)
    proxy = requests.utils.select_proxy(url, around["proxies"])
    certificates = around["verify"] if isinstance(around["verify"], str) else DEFAULT_CA_BUNDLE_PATH
    options: dict[str, Any] = {"num_pools": 2, "maxsize": size, "block": True, "ca_certs": certificates}
    manager = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
    _clock(manager)
    whole = proxy is not None and url.startswith("http:")  # a proxy is asked for the whole URL (RFC 9112 §3.2.2)
    return manager.connection_from_url(url), url if whole else urllib3.util.parse_url(url).request_uri
