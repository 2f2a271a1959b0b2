"""The waits between tries: as a server asks for, or doubling."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

FIRST_WAIT = 0.5
_EPOCH = 10**9
"""From here on a Retry-After is no span, which would be of thirty years, but a moment since 1970."""


def backoff(attempt: int) -> float:
    """Seconds before the try after `attempt` (1, 2, …): doubling, with jitter so that threads do not march in step."""
    return float(FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.75, 1.25))  # noqa: S311 - no secret


class Pause(NamedTuple):
    """A wait before the next try; `all` where the host wants everybody to wait."""

    seconds: float
    all: bool


def pause(attempt: int, status: int | None, asked: float | None) -> Pause:
    """The wait after try `attempt` (1, 2, …), which ended with `status`, None for no answer, and a Retry-After."""
    if asked is None and status == 429 and attempt > 1:
        asked = next_minute()
    if asked is None:
        return Pause(backoff(attempt), all=False)
    return Pause(max(asked, backoff(attempt)), all=True)


def next_minute() -> float:
    """Seconds to the next full minute: where the quotas end of servers that answer 429 and say no more."""
    return 60 - time.time() % 60


def retry_after(header: str | None, date: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, None if it says nothing.

    It is a number or an HTTP-date (RFC 9110 §10.2.3). A date is compared with the `date` at which the server says it
    answered, for its clock need not be ours; without one, with ours. Some write the date as a number, in seconds or
    milliseconds since 1970: the SMART reference bulk server does both.
    """
    text = (header or "").strip()
    moment = _instant(text)
    if text.isascii() and text.isdigit():
        number = int(text[:13])
        if number < _EPOCH:
            return float(number)
        moment = datetime.fromtimestamp(number / (1000 if number >= _EPOCH * 1000 else 1), UTC)
    if moment is None:
        return None
    ahead = (moment - (_instant(date or "") or datetime.now(UTC))).total_seconds()
    return max(0.0, min(ahead, _EPOCH - 1.0))


def asked_at(date: str | None, seconds: float) -> datetime | None:
    """When a server was asked at the earliest, by its own clock: its Date header, less the `seconds` that it took.

    None where it sent no Date. Dates are whole seconds, cut off.
    """
    theirs = _instant(date or "")
    try:
        return theirs - timedelta(seconds=seconds) if theirs is not None else None
    except OverflowError:
        return None


def ahead_of(ours: datetime, date: str | None) -> timedelta:
    """How far a server's clock is ahead of ours, by the Date header of an answer; nothing where it sent none."""
    theirs = _instant(date or "")
    return theirs - ours if theirs is not None else timedelta(0)


def _instant(http_date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
