"""POST once: the answer to a request with an `Idempotency-Key` is kept, sealed, and given again for a day.

Source: draft-ietf-httpapi-idempotency-key-header. The key is accepted on every POST of the service and required on
none: each of them is safe to repeat anyway, but only the key brings the same answer. Keys are the caller's own: nobody
meets another's. A server's fault (5xx), and what says when to ask again (Retry-After), is not kept, so the next try is
a real one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from charthouse.clock import now
from charthouse.errors import ApiError
from charthouse.state import session
from charthouse.state.requests import IdempotentRequest
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Update

    from charthouse.api.tokens import Caller
    from charthouse.settings import Settings

KEPT = timedelta(hours=24)
LEASE = timedelta(minutes=5)
"""After this long a request that has not been answered is taken for one whose process died."""
_BARE = re.compile(r"[\x21\x23-\x7e]{1,255}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to work on a request, and to keep its answer."""

    key_hash: str
    since: datetime


class InFlightError(ApiError):
    """CH813, and when to ask again."""

    def __init__(self) -> None:
        super().__init__("CH813")
        self.headers = {"Retry-After": "1"}


def key_of(values: list[str]) -> str | None:
    """The key that a request names: a quoted string, as the draft has it, or bare, as most send it.

    Raises:
        ApiError: CH815 for several, and for one that is empty, too long or not made of visible ASCII.
    """
    if not values:
        return None
    value = values[0].strip()
    quoted = _QUOTED.fullmatch(value)
    if len(values) > 1 or not (quoted or _BARE.fullmatch(value)):
        raise ApiError("CH815")
    return re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else value


def begin(settings: Settings, caller: Caller, place: str, key: str, body: bytes) -> Kept | Ticket:
    """Take up a request: a ticket to work on it, or the answer that it was given before.

    Raises:
        ApiError: CH813 while another works on it, CH814 when the key was used for something else.
    """
    key_hash = hashlib.sha256("\n".join((caller.identity, place, key)).encode()).hexdigest()
    request_hash = hashlib.sha256(body).hexdigest()
    at = now()
    with session(settings) as state:
        state.execute(delete(IdempotentRequest).where(IdempotentRequest.created_at < at - KEPT))
        insert = sqlite.insert if state.get_bind().dialect.name == "sqlite" else postgresql.insert
        made = insert(IdempotentRequest).values(key_hash=key_hash, request_hash=request_hash, created_at=at)
        once = made.on_conflict_do_nothing(index_elements=["key_hash"])
        if state.execute(once.returning(IdempotentRequest.key_hash)).first() is not None:
            return Ticket(key_hash, at)
        query = select(IdempotentRequest).where(IdempotentRequest.key_hash == key_hash).with_for_update()
        known = state.scalars(query).one()
        if known.request_hash != request_hash:
            raise ApiError("CH814")
        if known.status is not None and known.sealed_answer is not None:
            return _opened(settings, known)
        if at - known.created_at < LEASE:
            raise InFlightError
        known.created_at = at
        return Ticket(key_hash, at)


def keep(settings: Settings, ticket: Ticket, answer: Kept) -> None:
    """Keep the answer, unless another took the request up meanwhile."""
    told = [answer.headers, base64.b64encode(answer.body).decode()]
    sealed = sealer_of(settings).seal(orjson.dumps(told).decode(), _owner(ticket.key_hash))
    with session(settings) as state:
        state.execute(_of(ticket).values(status=answer.status, sealed_answer=sealed))


def give_up(settings: Settings, ticket: Ticket) -> None:
    """Forget a request that came to no answer: the next one with its key is worked on at once."""
    with session(settings) as state:
        state.execute(
            delete(IdempotentRequest).where(
                IdempotentRequest.key_hash == ticket.key_hash,
                IdempotentRequest.created_at == ticket.since,
                IdempotentRequest.status.is_(None),
            )
        )


def _of(ticket: Ticket) -> Update:
    return update(IdempotentRequest).where(
        IdempotentRequest.key_hash == ticket.key_hash, IdempotentRequest.created_at == ticket.since
    )


def _opened(settings: Settings, known: IdempotentRequest) -> Kept:
    headers, body = orjson.loads(sealer_of(settings).open(known.sealed_answer or b"", _owner(known.key_hash)))
    return Kept(known.status or 200, headers, base64.b64decode(body))


def _owner(key_hash: str) -> str:
    return f"answer of request {key_hash}"
