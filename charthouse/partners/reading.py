"""A session of `requests` that can only read, for what a browser would ask where nobody sits before one."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.auth import AuthBase

from charthouse.partners.transport import BoundedAdapter, ReadOnlyError


class BearerToken(AuthBase):
    """The access token of a request; None keeps the library from looking for a login in `.netrc`."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class ReadOnlySession(requests.Session):
    """A session that sends GET without a body and refuses anything else. It keeps no cookies and follows nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, BoundedAdapter())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a GET.

        Raises:
            ReadOnlyError: the request is no GET, or has a body.
        """
        if request.method != "GET" or request.body:
            raise ReadOnlyError("nothing but GET is sent here")
        return super().send(request, **kwargs)

    def get_redirect_target(self, _response: requests.Response) -> str | None:
        """Nowhere. The library reads a redirect's whole body, however long, even where it is not to follow."""
        return None
