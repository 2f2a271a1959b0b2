"""What the sandbox's counterparties may take the place of: nothing but an earlier sandbox."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from charthouse.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_a_real_one(addresses: Iterable[str], what: str) -> None:
    """Refuse a home whose partner or verifier is somewhere else than on this machine: its people are real.

    Raises:
        SetupError: CH990.
    """
    if not all(_is_here(urlsplit(address).hostname or "") for address in addresses):
        raise SetupError("CH990", where=what)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
