"""The app's push service: signed webhooks as https://www.standardwebhooks.com describes them.

`webhook-id` is the delivery's own id, the same at every try, so that a receiver knows a copy. `webhook-signature` holds
one signature for each secret in force. Whoever receives decides on age: the timestamp is that of the try.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson
import urllib3
from standardwebhooks import Webhook

from charthouse.clock import now
from charthouse.notify.channels.outcomes import SENT, Fuse, Outcome
from charthouse.partners.pacing import retry_after
from charthouse.partners.transport import bounded_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charthouse.notify.render import Facts, Letter
    from charthouse.settings import Settings

_BUSY: Final = frozenset({408, 409, 425, 429})
_THIS_ONE: Final = frozenset({400, 406, 411, 413, 415, 422, 431})
"""Statuses that speak of this very body: no second try changes it. Others (401, 404 …) tell of a receiver whose
operator has something to mend, which may take a day."""
_GONE_PAUSE: Final = 3600.0
_MAX_ANSWER: Final = 2**16


@dataclass(frozen=True, slots=True)
class Call:
    """One webhook: its id and its body."""

    message_id: str
    body: bytes = field(repr=False)


def body_of(
    facts: Facts, letter: Letter, *, notice_id: str, person_key: str, link_id: str | None, provider: str | None
) -> bytes:
    """The body of a webhook. `provider` is given where the person chose to have it named."""
    data: dict[str, Any] = {
        "notice_id": notice_id,
        "person_key": person_key,
        "link_id": link_id,
        "kind": facts.kind,
        "reason": facts.reason,
        "title": letter.title,
        "text": letter.push,
    }
    if provider:
        data["provider"] = provider
    if "ends_at" in facts.detail:
        data["ends_at"] = facts.detail["ends_at"]
    return orjson.dumps({"type": f"notice.{facts.kind}", "timestamp": facts.created_at.isoformat(), "data": data})


class WebhookChannel:
    """Calls one receiver, over connections that stay open. For all threads of a drain."""

    def __init__(self, settings: Settings, secrets: Sequence[str]) -> None:
        self._url = settings.webhook_url
        self._signers = [Webhook(secret) for secret in secrets]
        self._pool, self._target = bounded_pool(self._url, settings.notice_threads)
        self._timeout = urllib3.Timeout(settings.notice_timeout)
        self.fuse = Fuse()

    def send(self, call: Call) -> Outcome:
        """Call the receiver once."""
        if self.fuse.blown:
            return self.fuse.blown
        outcome = self.fuse.note(self._call(call))
        if outcome.code == "CH713":
            self.fuse.blow(Outcome("later", outcome.code, _GONE_PAUSE))
        return outcome

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def headers(self, call: Call) -> dict[str, str]:
        """The headers that sign a call, made now."""
        at = now()
        text = call.body.decode()
        return {
            "content-type": "application/json",
            "user-agent": "charthouse",
            "webhook-id": call.message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signer.sign(call.message_id, at, text) for signer in self._signers),
        }

    def _call(self, call: Call) -> Outcome:
        try:
            answer = self._pool.urlopen(
                "POST",
                self._target,
                body=call.body,
                headers=self.headers(call),
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            # Read, so that the connection can be used again; a receiver that has much to say is cut short.
            answer.read(_MAX_ANSWER, decode_content=False)
            if answer.read(1, decode_content=False):
                answer.close()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return Outcome("again", "CH710", down=True)
        return _outcome(answer.status, retry_after(answer.headers.get("Retry-After"), answer.headers.get("Date")))


def _outcome(status: int, asked: float | None) -> Outcome:
    if 200 <= status < 300:
        return SENT
    if status in _BUSY or status >= 500:
        return Outcome("again", "CH711", asked, down=True)
    if status == 410:
        return Outcome("undeliverable", "CH713")
    if 300 <= status < 400:
        return Outcome("again", "CH714", down=True)
    if status in _THIS_ONE:
        return Outcome("undeliverable", "CH712")
    return Outcome("again", "CH712", down=True)
