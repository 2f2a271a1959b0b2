"""How a person wants to be told things, and where. Addresses go in whole and come out masked."""

from __future__ import annotations

from datetime import datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from charthouse.api.callers import Calling, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import BODY, PLAIN, Body, LocalTime, PersonKey, refusals
from charthouse.notify import contacts, preferences
from charthouse.state import session
from charthouse.state.notices import Channel, Digest, NoticeKind

router = APIRouter(route_class=Guarded, tags=["preferences"])


class Unwanted(Body):
    """A kind of notice that the person does not want by a channel."""

    channel: Channel
    kind: NoticeKind


class Contact(BaseModel):
    """Where a person is told things."""

    channel: Channel
    address: str = Field(description="Masked: enough for its owner to know it again.", examples=["a***@e***.org"])
    created_at: datetime


class ContactGiven(Body):
    """An address: of mail, or an Apprise URL; none for `push`, which the app's own service delivers."""

    address: Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=PLAIN)] | None = None


class Preferences(BaseModel):
    """How a person wants to be told."""

    language: str
    time_zone: str = Field(description="A name of the IANA database.", examples=["America/New_York"])
    quiet_from: str | None = Field(default=None, examples=["22:00"])
    quiet_until: str | None = Field(default=None, examples=["07:00"])
    digest: Digest
    provider_in_push: bool = Field(description="Whether push texts may name the provider.")
    unsubscribed: list[Unwanted]
    contacts: list[Contact]


class PreferencesChanged(Body):
    """What changes; what is left out stays. Quiet hours go both together, `null` takes them away."""

    language: Annotated[str, StringConstraints(max_length=16, pattern="^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = "en"
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")] = "UTC"
    quiet_from: LocalTime | None = None
    quiet_until: LocalTime | None = None
    digest: Digest = "none"
    provider_in_push: bool = False
    unsubscribed: list[Unwanted] = Field(default=[], max_length=100)


@router.get(
    "/people/{person_key}/preferences",
    operation_id="getPreferences",
    summary="How a person wants to be told",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(person_key: PersonKey, request: Request, caller: Calling) -> Preferences:
    """The defaults where they never said."""
    with session(settings_of(request), read_only=True) as state:
        reach_person(state, caller, person_key)
        return _shown(state, person_key)


@router.patch(
    "/people/{person_key}/preferences",
    operation_id="changePreferences",
    summary="Change how a person wants to be told",
    response_model_exclude_none=True,
    responses=refusals(404, *BODY),
)
def change(person_key: PersonKey, body: PreferencesChanged, request: Request, caller: Calling) -> Preferences:
    """What is left out stays as it is; `unsubscribed` is replaced as a whole."""
    changes: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    for name in ("quiet_from", "quiet_until"):
        if changes.get(name) is not None:
            changes[name] = time.fromisoformat(changes[name])
    if "unsubscribed" in changes:
        changes["unsubscribed"] = frozenset((one.channel, one.kind) for one in body.unsubscribed)
    with session(settings_of(request)) as state:
        reach_person(state, caller, person_key)
        if changes:
            preferences.set_preferences(state, person_key, **changes)
        return _shown(state, person_key)


@router.put(
    "/people/{person_key}/contacts/{channel}",
    operation_id="setContact",
    summary="Tell a person things by a channel",
    response_model_exclude_none=True,
    tags=["preferences"],
    responses=refusals(404, *BODY),
)
def set_contact(
    person_key: PersonKey, channel: Channel, body: ContactGiven, request: Request, caller: Calling
) -> Contact:
    """Takes the place of an older address. It is sealed, and shown masked only."""
    with session(settings_of(request)) as state:
        reach_person(state, caller, person_key)
        made = contacts.set_contact(state, person_key, channel, body.address)
    return Contact(channel=made.channel, address=made.masked, created_at=made.created_at)


@router.delete(
    "/people/{person_key}/contacts/{channel}",
    status_code=204,
    operation_id="removeContact",
    summary="Tell a person nothing by a channel any more",
    responses=refusals(404, 422),
)
def remove_contact(person_key: PersonKey, channel: Channel, request: Request, caller: Calling) -> None:
    """Safe to repeat."""
    with session(settings_of(request)) as state:
        reach_person(state, caller, person_key)
        contacts.remove_contact(state, person_key, channel)


def _shown(state: Any, person_key: str) -> Preferences:
    now = preferences.get_preferences(state, person_key)
    return Preferences(
        language=now.language,
        time_zone=now.time_zone,
        quiet_from=now.quiet_from.strftime("%H:%M:%S") if now.quiet_from else None,
        quiet_until=now.quiet_until.strftime("%H:%M:%S") if now.quiet_until else None,
        digest=now.digest,
        provider_in_push=now.provider_in_push,
        unsubscribed=[Unwanted(channel=channel, kind=kind) for channel, kind in sorted(now.unsubscribed)],
        contacts=[
            Contact(channel=one.channel, address=one.masked, created_at=one.created_at)
            for one in contacts.contacts_of(state, person_key)
        ],
    )
