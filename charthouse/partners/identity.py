"""CLEAR, who verifies that somebody is who they say: sessions begun, the page people go to, what came of it, messages.

Sources, each marked where it is used: docs.clearme.com (its OpenAPI document "CLEAR1", "Standard Integration",
"Webhooks", "Identity check reason codes"). Sensitive data is not asked for, and nothing of an answer is quoted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import msgspec

from charthouse.clock import now
from charthouse.errors import FetchError
from charthouse.partners import identity_states
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.discovery import read_object
from charthouse.partners.partner_http import PartnerHttp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from charthouse.partners.identity_states import State
    from charthouse.settings import Settings

SLUG: Final = "clear"
API_URL: Final = "https://verified.clearme.com/v1"
PAGE_URL: Final = "https://verified.clearme.com/verify"
SIGNATURE: Final = "x-clear-hmac-sha256"
AHEAD: Final = timedelta(minutes=5)
"""How far the verifier's clock may be before ours."""
LIVES: Final = timedelta(days=1)
"""How long a session is good for, where the verifier does not say."""
_ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Verifier:
    """How a verifier is reached, opened. Its repr shows no secret. `webhook_secrets` are those in force."""

    slug: str
    api_url: str
    page_url: str
    project_id: str
    level: str
    key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    requests_per_second: float = 10.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that has begun, and the address that its person opens: theirs alone, and never logged."""

    session_id: str
    address: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session stands. `cause` is our number of why it failed, `said` the verifier's own word.

    `patient` and `subject` are who was verified, for a comparison: they are kept nowhere.
    """

    state: State
    said: str
    at: datetime
    cause: str | None = None
    subject: str | None = field(default=None, repr=False)
    patient: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was signed for us: its id, its kind, the session that it is about."""

    message_id: str
    event: str
    session_id: str


class Clear:
    """The client of a verifier. Close it.

    Every method raises `FetchError`: CH175 where the verifier does not take us for its client, CH176 where it does not
    answer sensibly, CH177 where it refuses.
    """

    def __init__(self, verifier: Verifier, settings: Settings) -> None:
        self._verifier = verifier
        self._settings = settings
        self._http = PartnerHttp(settings, verifier.requests_per_second, None)

    def begin(self, return_url: str) -> Begun:
        """Begin a session (`POST /verification_sessions`); they come back to `return_url`. Nothing of them is told."""
        said = self._asked("POST", "", {"project_id": self._verifier.project_id, "redirect_url": return_url})
        session_id, token = said.get("id"), said.get("token")
        fine = isinstance(session_id, str) and _ID.fullmatch(session_id)
        if not fine or not isinstance(token, str) or not token.isprintable() or not 0 < len(token) <= 4096:
            raise self._odd("it gives no session")
        expires = identity_states.instant_of(said.get("expires_at")) or now() + LIVES
        return Begun(str(session_id), f"{self._verifier.page_url}?{urlencode({'token': token})}", expires)

    def session(self, session_id: str) -> Standing:
        """How a session stands (`GET /verification_sessions/{id}`), and nothing sensitive. One that is gone is over."""
        said = self._asked("GET", f"/{quote(session_id, safe='')}")
        if not said:
            return Standing("over", "", now())
        if said.get("id") != session_id:
            raise self._odd("it answers with another session")
        word = identity_states.word_of(said.get("status"))
        state = identity_states.state_of(word)
        at = min(identity_states.instant_of(said.get("completed_at")) or now(), now())
        subject = said.get("user_id")
        return Standing(
            state,
            word,
            at,
            cause=identity_states.cause_of(said, at) if state == "failed" else None,
            subject=subject if isinstance(subject, str) and 0 < len(subject) <= 255 else None,
            patient=identity_states.patient_of(said) if state == "verified" else {},
        )

    def message(self, headers: Mapping[str, str], body: bytes) -> Message:
        """What a message says, once it is signed by a secret in force and not older than its verifier tries (Webhooks).

        The signature is over the body, and the instant in it is when the event happened: a message that is tried again
        for thirty hours is as old as that, so the window is days and the id is what keeps it from counting twice.

        Raises:
            FetchError: CH186 unsigned, CH187 too old or ahead, CH188 no message.
        """
        if not is_signed(headers.get(SIGNATURE, ""), body, self._verifier.webhook_secrets):
            raise FetchError("CH186", where=self._verifier.slug)
        said = read_object(body) or {}
        message_id, event, data = said.get("event_id"), said.get("event_type"), said.get("data")
        session_id = data.get("verification_session_id") if isinstance(data, dict) else None
        at = identity_states.instant_of(said.get("created_at"))
        for what in (message_id, event, session_id):
            if not isinstance(what, str) or not _ID.fullmatch(what):
                raise FetchError("CH188", where=self._verifier.slug, what="it has no id, event or session")
        if at is None:
            raise FetchError("CH188", where=self._verifier.slug, what="it has no instant")
        if at > now() + AHEAD or at < now() - timedelta(hours=self._settings.identity_message_hours):
            raise FetchError("CH187", where=self._verifier.slug)
        return Message(str(message_id), identity_states.word_of(event) or "other", str(session_id))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _asked(self, method: str, path: str, told: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """An answer; an empty one for what is not there."""
        url = f"{self._verifier.api_url}/verification_sessions{path}"
        headers = {"Authorization": f"Bearer {self._verifier.key}", "Content-Type": "application/json"}
        reply = self._http.send(method, url, b"" if told is None else msgspec.json.encode(told), headers)
        if reply.status in {401, 403}:
            raise FetchError("CH175", where=self._where)
        if reply.status == 404 and method == "GET":
            return {}
        if reply.status >= 300:
            raise FetchError("CH177", where=self._where, what=f"it answers {reply.status}")
        if not reply.said:
            raise self._odd("its answer holds nothing")
        return reply.said

    @property
    def _where(self) -> str:
        there = origin(self._verifier.api_url)
        return host_of(there) if there is not None else self._verifier.slug

    def _odd(self, what: str) -> FetchError:
        return FetchError("CH176", where=self._where, what=what)


def is_signed(given: str, body: bytes, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets signed a body: HMAC-SHA256 of its bytes, in hexadecimal.

    All secrets are tried, in the same time whichever fits.
    """
    said = given.strip().lower() if _HEX.fullmatch(given.strip()) else ""
    known = False
    for secret in secrets:
        known = hmac.compare_digest(said, hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()) or known
    return known
