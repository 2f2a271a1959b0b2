"""What a caller may reach: everything as operator, one person's things otherwise.

What is not there and what is somebody else's are told alike, after the same work: nobody can find out who exists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import partial, wraps
from typing import TYPE_CHECKING, Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request

from charthouse.api.tokens import Caller
from charthouse.errors import ApiError
from charthouse.state.models import Link, Person

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from charthouse.api.limits import Limits
    from charthouse.settings import Settings
    from charthouse.state.models import Actor

_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


OUTSIDE = 40
"""Requests at once that wait for somebody outside: a provider that does not answer must not hold up the others."""


@dataclass(frozen=True, slots=True)
class Context:
    """What the routes of one app share. `outside` counts the threads that wait for providers."""

    settings: Settings
    limits: Limits
    outside: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(OUTSIDE))

    @property
    def public_url(self) -> str:
        """Where people's browsers reach this app's server.

        Raises:
            ApiError: CH823 when nobody has said it.
        """
        if not self.settings.public_url:
            raise ApiError("CH823")
        return self.settings.public_url.rstrip("/")


def context_of(request: Request) -> Context:
    """The context of the app that a request came to."""
    context: Context = request.app.state.context
    return context


def waiting_outside(route: Callable[..., Any]) -> Callable[..., Any]:
    """A route that asks providers, on threads apart from those of all other routes. It has a parameter `request`."""

    @wraps(route)
    async def run(**given: Any) -> Any:
        return await to_thread.run_sync(partial(route, **given), limiter=context_of(given["request"]).outside)

    return run


def settings_of(request: Request) -> Settings:
    """The settings of the app that a request came to."""
    return context_of(request).settings


def _caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Calling = Annotated[Caller, Depends(_caller_of)]
"""The caller that the guard found, for a route to take as a parameter."""


def must_be_operator(caller: Caller) -> None:
    """Let operators pass.

    Raises:
        ApiError: CH805 for a token that acts for one person.
    """
    if caller.person is not None:
        raise ApiError("CH805")


def actor_of(caller: Caller) -> Actor:
    """Whose deed it is in events and in the audit trail."""
    return "operator" if caller.person is None else "person"


def reach_person(state: Session, caller: Caller, person_key: str) -> Person:
    """A person that the caller may see.

    Raises:
        ApiError: CH806 for nobody, and for anybody else.
    """
    person = state.get(Person, person_key if _KEY.fullmatch(person_key) else "")
    if person is None or caller.person not in (None, person.person_key):
        raise ApiError("CH806")
    return person


def reach_link(state: Session, caller: Caller, link_id: str) -> Link:
    """A link that the caller may see; not one that was deleted.

    Raises:
        ApiError: CH806 for none, and for anybody else's.
    """
    link = state.get(Link, link_id if _KEY.fullmatch(link_id) else "")
    if link is None or caller.person not in (None, link.person_key) or link.status == "deleted":
        raise ApiError("CH806")
    return link
