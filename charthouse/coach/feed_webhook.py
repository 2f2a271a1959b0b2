"""The back end told that there is something new in the feed: a signed webhook without content, at least once.

One message is on its way at a time, under one id however often it is tried. What came meanwhile is told by the next.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import orjson

from charthouse import faults
from charthouse.clock import now
from charthouse.notify.channels.webhook import Call, WebhookChannel
from charthouse.notify.schedule import RETRY_AFTER, next_try
from charthouse.notify.secrets import webhook_secrets
from charthouse.settings import Settings, get_settings
from charthouse.state import session
from charthouse.state.base import new_key
from charthouse.state.feed import THE_FEED, CoachFeed, the_feed

if TYPE_CHECKING:
    from charthouse.notify.channels.outcomes import Outcome

KIND: Final = "coach.changed"


def tell(settings: Settings | None = None) -> bool:
    """Call the receiver if there is something that it was not told. Whether it knows of everything now.

    Raises:
        SetupError: CH006 when the key does not open the secrets.
    """
    settings = settings or get_settings()
    if not settings.coach_webhook_url:
        return True
    while (message_id := _due(settings)) is not None:
        faults.point("feed.telling")
        outcome = _call(message_id, settings)
        faults.point("feed.told")
        if not _noted(message_id, outcome, settings):
            return False
    with session(settings, read_only=True) as state:
        feed = state.get(CoachFeed, THE_FEED)
        return feed is None or feed.told_seq == feed.seq


def _due(settings: Settings) -> str | None:
    """The id of the message to send now, if there is one; a new one is made where there is something untold."""
    with session(settings) as state:
        feed = the_feed(state)
        if feed.telling_id is None:
            if feed.told_seq == feed.seq:
                return None
            feed.telling_id, feed.telling_seq, feed.telling_tries = new_key(), feed.seq, 0
            feed.next_telling_at = now()
        if feed.next_telling_at is not None and feed.next_telling_at > now():
            return None
        return feed.telling_id


def _call(message_id: str, settings: Settings) -> Outcome:
    with session(settings) as state:
        secrets = [secret.text for secret in webhook_secrets(state, settings)]
    channel = WebhookChannel(settings.model_copy(update={"webhook_url": settings.coach_webhook_url}), secrets)
    try:
        body = orjson.dumps({"type": KIND, "timestamp": now().isoformat(), "data": {}})
        return channel.send(Call(message_id, body))
    finally:
        channel.close()


def _noted(message_id: str, outcome: Outcome, settings: Settings) -> bool:
    """Note what became of a message; whether it was received. One that was not is tried for ever."""
    with session(settings) as state:
        feed = the_feed(state)
        if feed.telling_id != message_id:  # another process told it
            return True
        if outcome.result == "sent":
            feed.told_seq, feed.telling_code = feed.telling_seq or feed.seq, None
            feed.telling_id = feed.telling_seq = feed.next_telling_at = None
            feed.telling_tries = 0
            return True
        feed.telling_tries += 1
        at = next_try(min(feed.telling_tries, len(RETRY_AFTER)), now(), outcome.asked)
        feed.next_telling_at = at or now() + timedelta(days=1)
        feed.telling_code = outcome.code
        return False
