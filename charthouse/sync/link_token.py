"""The access token of one link while its queries run side by side: renewed once for all of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

from charthouse.errors import CharthouseError, FetchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from charthouse.partners.http import HttpClient
    from charthouse.sync.harvest import Harvest
    from charthouse.sync.link_job import TokenSource

TOKEN_AGE: Final = 30.0
"""Seconds for which a token is used before the source is asked whether it is still the one."""
RENEWALS: Final = 5
"""Times that one request is tried with tokens that die in between."""
T = TypeVar("T")


class LinkStoppedError(Exception):
    """Nothing more can be had from this link now. `harvest` is what the query had brought that found it out."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.harvest: Harvest | None = None
        super().__init__(code)


class LinkToken:
    """Asks with a link's token. One that is refused is renewed; one that is good elsewhere costs the query alone.

    A token that was renewed and has opened nothing since is not renewed again: the grant is over.
    """

    def __init__(self, link_id: str, source: TokenSource, client: HttpClient) -> None:
        self._link_id = link_id
        self._source = source
        self._client = client
        self._token = ""
        self._renewals = 0
        self._proven = False
        self._since = float("-inf")
        self._readable: str | None = None
        self._lock = threading.Lock()

    def opened(self, url: str) -> None:
        """The token opened this address, by which it can be tried again."""
        self._readable = self._readable or url
        self._proven = True

    def used(self, ask: Callable[[str], T]) -> T:
        """What `ask` brings with the token. A refused one is renewed, by the first of those who are refused.

        Raises:
            FetchError: as `ask`.
            LinkStoppedError: the token is refused, or cannot be had, or the time has run out.
        """
        for _ in range(RENEWALS):
            token, renewals = self._current()
            try:
                return ask(token)
            except FetchError as error:
                if error.code == "CH124":
                    raise LinkStoppedError(error.code) from None
                if error.code != "CH102":
                    raise
                with self._lock:
                    if renewals != self._renewals:
                        continue  # another query was refused before, and has renewed it
                    if self._is_good_elsewhere():
                        raise
                    if renewals and not self._proven:
                        break
                    self._fresh(renew=True)
        raise LinkStoppedError("CH102")

    def _current(self) -> tuple[str, int]:
        """The token, and how often it has been renewed: a renewal may bring the same one again."""
        with self._lock:
            if time.monotonic() - self._since > TOKEN_AGE:
                self._fresh(renew=False)
            return self._token, self._renewals

    def _fresh(self, *, renew: bool) -> None:
        try:
            self._token = self._source(self._link_id, renew)
        except CharthouseError as error:
            raise LinkStoppedError(error.code) from None
        self._since = time.monotonic()
        self._renewals += renew
        self._proven = self._proven and not renew

    def _is_good_elsewhere(self) -> bool:
        """Whether the token still opens what it opened before."""
        if self._readable is None:
            return False
        try:
            self._client.get(self._readable, token=self._token or None)
        except FetchError as error:
            if error.code == "CH124":
                raise LinkStoppedError(error.code) from None
            if error.code != "CH102":
                raise
            return False
        return True
