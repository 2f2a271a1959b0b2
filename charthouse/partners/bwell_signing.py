"""b.well's signature over a request: HMAC-SHA512 over method, path, instant, host, client and content.

Source: its published OpenAPI document "bwell User Data Operations" (scheme HMACAuth), for requests to it. Its webhook
document names a signature (401 "Invalid HMAC signature") and no other form, so messages are taken in this one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from email.utils import format_datetime, parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

SIGNED: Final = "x-bwell-date;host;x-bwell-client-user-token;x-bwell-client-key;x-bwell-content-sha512"
_AUTHORIZATION: Final = re.compile(
    rf"HMAC-SHA512 SignedHeaders={re.escape(SIGNED)}&Signature=([A-Za-z0-9+/=]{{80,100}})", re.IGNORECASE
)
LONGEST: Final = 512
"""Most characters of a header that is looked at."""


def signed_headers(
    method: str, url: str, body: bytes, *, secret: str, client_key: str, user: str, at: datetime
) -> dict[str, str]:
    """The headers of a request that is signed."""
    date, digest = format_datetime(at, usegmt=True), content_digest(body)
    signature = _signature(method, url, date, user, client_key, digest, secret)
    return {
        "Host": urlsplit(url).netloc,
        "x-bwell-date": date,
        "x-bwell-client-user-token": user,
        "x-bwell-client-key": client_key,
        "x-bwell-content-sha512": digest,
        "Authorization": f"HMAC-SHA512 SignedHeaders={SIGNED}&Signature={signature}",
    }


def signed_at(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str], client_key: str
) -> datetime | None:
    """When a request was signed, if one of the secrets signed it for this address; None where none did.

    `headers` have names in lower case. All secrets are tried, in the same time whichever fits.
    """
    date = headers.get("x-bwell-date", "")[:LONGEST]
    user = headers.get("x-bwell-client-user-token", "")[:LONGEST]
    given = _AUTHORIZATION.fullmatch(headers.get("authorization", "")[: 2 * LONGEST])
    digest = content_digest(body)
    fits = given is not None and hmac.compare_digest(
        headers.get("x-bwell-content-sha512", "")[:LONGEST].encode(), digest.encode()
    )
    fits = fits and hmac.compare_digest(headers.get("x-bwell-client-key", "")[:LONGEST].encode(), client_key.encode())
    said = given[1] if given is not None else ""
    known = False
    for secret in secrets:
        wanted = _signature(method, url, date, user, client_key, digest, secret)
        known = hmac.compare_digest(said.encode(), wanted.encode()) or known
    if not (fits and known):
        return None
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo is not None else None


def content_digest(body: bytes) -> str:
    """The SHA-512 of a body, as base64."""
    return base64.b64encode(hashlib.sha512(body).digest()).decode()


def _signature(method: str, url: str, date: str, user: str, client_key: str, digest: str, secret: str) -> str:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    text = f"{method}\n{path}\n{date};{parts.netloc};{user};{client_key};{digest}"
    return base64.b64encode(
        hmac.new(secret.encode(), text.encode("utf-8", "replace"), hashlib.sha512).digest()
    ).decode()
