"""What the sandbox's counterparties may take the place of: nothing but an earlier sandbox."""

from __future__ import annotations

from urllib.parse import urlsplit

from charthouse.errors import SetupError
from charthouse.linking.network_accounts import list_accounts
from charthouse.linking.verifiers import list_verifiers
from charthouse.partners.addresses import is_near
from charthouse.state import session


def refuse_real_ones() -> None:
    """Refuse a home whose partner or verifier is somewhere else than on this machine: its people are real.

    Raises:
        SetupError: CH990.
    """
    with session(read_only=True) as state:
        known = {
            "partner": [row.api_url for row in list_accounts(state)],
            "verifier": [row.api_url for row in list_verifiers(state)],
        }
    for what, addresses in known.items():
        if not all(is_near(urlsplit(address).hostname or "") for address in addresses):
            raise SetupError("CH990", where=what)
