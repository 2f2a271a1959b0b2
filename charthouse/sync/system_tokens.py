"""Tokens of our own for links that an operator made at a server where we are registered with a key.

Such links hold the empty token. Where their provider has a registration that signs, they are read by tokens of SMART
Backend Services, one for all of a batch; where it has none, the server is open and asks for no token.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from charthouse.linking.providers import get_provider
from charthouse.linking.registrations import open_registration
from charthouse.partners.backend_services import SystemTokens
from charthouse.state import session

if TYPE_CHECKING:
    from charthouse.settings import Settings


class SystemTokenSource:
    """Where the links of one provider that hold the empty token get theirs. Safe between threads."""

    def __init__(self, provider: str, settings: Settings) -> None:
        self._provider = provider
        self._settings = settings
        self._lock = threading.Lock()
        self._links: set[str] = set()
        self._tokens: SystemTokens | None = None
        self._opened = False
        self._last: str | None = None

    def stands_for(self, link_id: str) -> bool:
        """Whether a link is known to be read by our own tokens."""
        return link_id in self._links

    def token_for(self, link_id: str) -> str:
        """A token for a link that holds the empty one; empty where the server is open.

        Raises:
            CharthouseError: as `token`; CH620, CH163, CH006 where the registration cannot be used.
        """
        with self._lock:
            if not self._opened:
                self._tokens, self._opened = self._open(), True
            if self._tokens is None:
                return ""
            self._links.add(link_id)
        return self.token(renew=False)

    def token(self, *, renew: bool) -> str:
        """A token; with `renew`, another than the one before. Empty where the server is open.

        Raises:
            FetchError: CH150 when the token endpoint does not take us; CH101, CH105, CH109 as it answers.
        """
        if self._tokens is None:
            return ""
        self._last = self._tokens.token(self._last if renew else None)
        return self._last

    def _open(self) -> SystemTokens | None:
        with session(self._settings, read_only=True) as state:
            provider = get_provider(state, self._provider)
            if provider.registration is None:
                return None
            client, scope = open_registration(state, provider.registration, self._settings)
            base = provider.fhir_base_url
        if client.signer is None:
            return None
        system = scope if scope is not None and "system/" in scope else None
        return SystemTokens(self._settings, base, client, system)
