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
from charthouse.state.models import Link
from charthouse.state.requests import IdempotentRequest
from charthouse.state.seals import sealer_of

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Update
    from sqlalchemy.orm import Session

    from charthouse.api.tokens import Caller
    from charthouse.settings import Settings

KEPT = timedelta(hours=24)
LEASE = timedelta(minutes=5)
"""After this long a request that has not been answered is taken for one whose process died."""
_BARE = re.compile(r"[\x21\x23-\x7e]{1,255}")
_PERSON, _LINK = (re.compile(f"/{kind}/([0-9a-f-]{{36}})(/|$)") for kind in ("people", "links"))
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
        about = {"key_hash": key_hash, "request_hash": request_hash, "person_key": _person(state, caller, place)}
        made = insert(IdempotentRequest).values(**about, created_at=at)
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
    values = {"status": answer.status, "sealed_answer": sealed}
    made = _made(answer.body)
    if made is not None:
        values["person_key"] = made
    with session(settings) as state:
        state.execute(_of(ticket).values(values))


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


def _person(state: Session, caller: Caller, place: str) -> str | None:
    """Whom a request is about, so that its answer goes with that person; None where its path does not say."""
    if caller.person is not None:
        return caller.person
    person, link = _PERSON.search(place), _LINK.search(place)
    if person is not None:
        return person[1]
    return state.scalar(select(Link.person_key).where(Link.id == link[1])) if link is not None else None


def _made(body: bytes) -> str | None:
    """The person whom an answer is about, where it says so: the path of a request that makes one does not."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    key = said.get("person_key") if isinstance(said, dict) else None
    return key if isinstance(key, str) and len(key) == 36 else None


def _of(ticket: Ticket) -> Update:
    return update(IdempotentRequest).where(
        IdempotentRequest.key_hash == ticket.key_hash, IdempotentRequest.created_at == ticket.since
    )


def _opened(settings: Settings, known: IdempotentRequest) -> Kept:
    headers, body = orjson.loads(sealer_of(settings).open(known.sealed_answer or b"", _owner(known.key_hash)))
    return Kept(known.status or 200, headers, base64.b64decode(body))


def _owner(key_hash: str) -> str:
    return f"answer of request {key_hash}"
