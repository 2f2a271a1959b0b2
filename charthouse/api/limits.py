"""How often somebody may ask: one caller of the service, one address of the pages and of bad tokens.

Counted in the memory of each process, or in Redis for all of them. A counter that cannot be reached limits nobody: a
Redis that is down must not keep people from their records.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from charthouse.errors import ApiError, SetupError
from charthouse.log import get_logger

if TYPE_CHECKING:
    from starlette.requests import Request

    from charthouse.settings import Settings

Policy = Literal["caller", "address"]
_LOG = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit is left, and in how many seconds there is more."""

    policy: Policy
    quota: int
    window: int
    left: int
    seconds: int
    permitted: bool

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers tells it; with Retry-After where nothing is left."""
        told = {
            "RateLimit-Policy": f'"{self.policy}";q={self.quota};w={self.window}',
            "RateLimit": f'"{self.policy}";r={self.left};t={self.seconds}',
        }
        return told if self.permitted else {**told, "Retry-After": str(max(1, self.seconds))}


class TooManyError(ApiError):
    """CH812, with the headers that say how long to wait."""

    def __init__(self, use: Use) -> None:
        super().__init__("CH812")
        self.headers = use.headers()


class Limits:
    """The counters of one app.

    Raises:
        SetupError: CH001 for an address of counters that nobody can use.
    """

    def __init__(self, settings: Settings) -> None:
        url = settings.api_limits_url
        options: dict[str, Any] = {"implementation": "redispy"} if url else {}
        try:
            storage: Any = storage_from_string(f"async+{url or 'memory://'}", **options)
        except Exception as error:  # each storage has its own classes
            what = f"nothing counts there ({type(error).__name__})"
            raise SetupError("CH001", where="CHARTHOUSE_API_LIMITS_URL", what=what) from None
        self._counter = SlidingWindowCounterRateLimiter(storage)
        self._rates = {"caller": parse(settings.api_limit), "address": parse(settings.api_page_limit)}

    async def use(self, policy: Policy, who: str) -> Use:
        """Count one request of `who`.

        Raises:
            TooManyError: CH812 when it is one too many.
        """
        rate = self._rates[policy]
        try:
            permitted = await self._counter.hit(rate, policy, who)
            stats = await self._counter.get_window_stats(rate, policy, who)
        except Exception as error:  # redis has its own classes
            _LOG.warning("requests are not counted", error=type(error).__name__)
            return Use(policy, rate.amount, rate.get_expiry(), rate.amount, rate.get_expiry(), permitted=True)
        seconds = max(0, math.ceil(stats.reset_time - _wall_clock()))
        use = Use(policy, rate.amount, rate.get_expiry(), max(0, stats.remaining), seconds, permitted)
        if not permitted:
            raise TooManyError(use)
        return use


def address_of(request: Request) -> str:
    """Whom a page's request is counted for: an IPv4 address, or the /64 of an IPv6 one, of which everybody has many."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def _wall_clock() -> float:
    import time

    return time.time()  # the counters keep the machine's time, not that of our clock
