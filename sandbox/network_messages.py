"""Signatures of the network: over requests that it takes (HMACAuth of b.well's OpenAPI document), over messages.

HMAC-SHA512 of the method, the path with its query, and the instant, host, user, client and digest of the content.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from email.utils import formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson
import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.network import Client

_HEADERS: Final = "x-bwell-date;host;x-bwell-client-user-token;x-bwell-client-key;x-bwell-content-sha512"
_GIVEN: Final = re.compile(rf"HMAC-SHA512 SignedHeaders={_HEADERS}&Signature=(\S+)")
LATE: Final = 300


def sign(method: str, url: str, body: bytes, key: str, user: str, secret: str, at: float) -> dict[str, str]:
    """The headers of a signed request."""
    parts = urlsplit(url)
    date, digest = formatdate(at, usegmt=True), base64.b64encode(hashlib.sha512(body).digest()).decode()
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    text = f"{method}\n{path}\n{date};{parts.netloc};{user};{key};{digest}"
    signature = base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha512).digest()).decode()
    return {
        "x-bwell-date": date,
        "x-bwell-client-user-token": user,
        "x-bwell-client-key": key,
        "x-bwell-content-sha512": digest,
        "Authorization": f"HMAC-SHA512 SignedHeaders={_HEADERS}&Signature={signature}",
    }


def is_signed(method: str, url: str, body: bytes, headers: Mapping[str, str], client: Client, now: float) -> bool:
    """Whether a request to the network is signed by a client, and lately."""
    given = _GIVEN.fullmatch(headers.get("authorization", ""))
    try:
        at = parsedate_to_datetime(headers.get("x-bwell-date", "")).timestamp()
    except (ValueError, TypeError):
        return False
    if given is None or abs(now - at) > LATE:
        return False
    user = headers.get("x-bwell-client-user-token", "")
    wanted = sign(method, url, body, client.client_key, user, client.secret, at)
    return hmac.compare_digest(wanted["Authorization"], headers["authorization"])


def message(identity: str, event: str, person_id: str, key: str, endpoint: str) -> bytes:
    """A message Bundle about a person (Client Webhook API)."""
    header: dict[str, Any] = {
        "resourceType": "MessageHeader",
        "eventCoding": {"system": "http://icanbwell.com/event-types", "code": event},
        "source": {"endpoint": "https://icanbwell.com"},
        "destination": [{"endpoint": endpoint}],
        "focus": [{"reference": f"Person/{person_id}"}],
    }
    identifier = {"use": "official", "system": "urn:client:identifier", "value": key}
    person = {"resourceType": "Person", "id": person_id, "identifier": [identifier]}
    return orjson.dumps(
        {
            "resourceType": "Bundle",
            "type": "message",
            "id": identity,
            "entry": [
                {"resource": header},
                {"fullUrl": f"https://icanbwell.com/fhir/Person/{person_id}", "resource": person},
            ],
        }
    )


def deliver(client: Client, body: bytes, user: str, at: float, *, secret: str | None = None) -> int:
    """Send a message to a client; the status of its answer. `secret` signs in place of the client's own."""
    url = str(client.webhook_url)
    headers = sign("POST", url, body, client.client_key, user, secret or str(client.webhook_secret), at)
    answer = requests.post(url, data=body, headers={"Content-Type": "application/json", **headers}, timeout=30)
    return answer.status_code
