"""Lines that stay open to a token endpoint, for many refreshes one after the other.

A session for each link would connect anew each time, and the layers of `requests` cost more than the request: here a
request is prepared by hand and given to the adapter. What it says is the same.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import requests
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict

from charthouse.partners.client_auth import proof
from charthouse.partners.token_endpoint import MAX_TOKEN_ANSWER, issued_by
from charthouse.partners.transport import BoundedAdapter, surroundings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from charthouse.partners.client import Client


class Lines:
    """Open lines, as many as there are threads. Used as a context."""

    def __init__(self, threads: int) -> None:
        self._adapter = BoundedAdapter(most=MAX_TOKEN_ANSWER, lines=threads)
        self._ways: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._adapter.close()

    def open_as(
        self, client: Client, token_endpoint: str, *, again: bool = False, ahead: timedelta = timedelta(0)
    ) -> Line:
        """A conversation as a client, in place of a `TokenSession`."""
        return Line(self, proof(client, token_endpoint, again=again, ahead=ahead))

    def post(self, request: requests.PreparedRequest, timeout: float) -> Any:
        """The answer to a request, by the proxy and with the certificates that the environment names."""
        url = request.url or ""
        if url not in self._ways:
            self._ways[url] = surroundings(url)
        return self._adapter.send(request, timeout=timeout, **self._ways[url])


class Line:
    """One conversation: what `conversation` and a refresh need of a session, and no more."""

    def __init__(self, lines: Lines, prove: Callable[..., tuple[str, Any, Any]]) -> None:
        self._lines = lines
        self._prove = prove
        self._hooks: list[Callable[[requests.Response], requests.Response]] = []

    def register_compliance_hook(self, moment: str, hook: Callable[[requests.Response], requests.Response]) -> None:
        """As Authlib's session has it."""
        if moment == "refresh_token_response":
            self._hooks.append(hook)

    def close(self) -> None:
        """The lines stay open."""

    def refresh_token(
        self,
        url: str,
        *,
        refresh_token: str,
        timeout: float,
        allow_redirects: bool = False,  # noqa: ARG002  # an adapter follows none
        proxies: dict[str, str] | None = None,  # noqa: ARG002  # the lines know them
    ) -> dict[str, Any]:
        """As Authlib's session has it: what was issued (RFC 6749 §6)."""
        form = urlencode({"grant_type": "refresh_token", "refresh_token": refresh_token})
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}
        uri, said, body = self._prove(None, "POST", url, headers, form)
        request = requests.PreparedRequest()
        request.method, request.url, request.body = "POST", uri, body.encode()
        request.headers = CaseInsensitiveDict({**said, "Content-Length": str(len(request.body))})
        request.hooks = default_hooks()
        answer = self._lines.post(request, timeout)
        for hook in self._hooks:
            answer = hook(answer)
        return issued_by(answer)
