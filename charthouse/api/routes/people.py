"""People: account holders, by their random keys. What an account tells of its person goes in and never comes out."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from charthouse.api import MOUNT
from charthouse.api.callers import Calling, actor_of, must_be_operator, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import BODY, Body, Country, Day, Name, PersonKey, Text, refusals
from charthouse.lake import shelf
from charthouse.linking import people
from charthouse.linking.identity import Identity, parse_identity
from charthouse.state import session
from charthouse.state.models import Person as Row  # noqa: TC001  # FastAPI reads the annotations

router = APIRouter(route_class=Guarded, tags=["people"])


class NameGiven(Body):
    """A name that a person has or had: by its parts, or as one text."""

    family: Text = Field(default="", examples=["Okafor-Lindqvist"])
    given: list[Name] = Field(default=[], max_length=12, examples=[["Adaeze", "Marie"]])
    prefix: list[Name] = Field(default=[], max_length=12)
    suffix: list[Name] = Field(default=[], max_length=12)
    text: Text = Field(default="", description="The whole name, where its parts are not known.")


class IdentityGiven(Body):
    """Who the account says its person is: compared with the provider's Patient, and with nothing else."""

    names: list[NameGiven] = Field(min_length=1, max_length=10)
    birth_date: Day

    def known(self) -> Identity:
        """As the domain has it.

        Raises:
            LinkError: CH618 when it cannot be used: a name without a word in it, a day that is none.
        """
        return parse_identity(self.model_dump())


class PersonMade(Body):
    """A new account holder."""

    country: Country = "US"
    subject: Name | None = Field(
        default=None,
        description="The back end's own id of the account. Kept as a keyed hash, so that no account is made twice.",
        examples=["account-5e0c"],
    )
    identity: IdentityGiven | None = None
    android_version: int | None = Field(default=None, ge=1, le=99, examples=[15])
    preview_member: bool = True


class PersonChanged(Body):
    """What changes of a person; what is left out stays."""

    country: Country | None = None
    identity: IdentityGiven | None = None
    android_version: int | None = Field(default=None, ge=1, le=99)
    preview_member: bool | None = None
    premium: bool | None = Field(default=None, description="Whether the account has Premium. For operators alone.")


class Person(BaseModel):
    """An account holder, as anyone may see them: no name, no birth date."""

    person_key: str
    country: str
    created_at: datetime
    preview_member: bool
    premium: bool = Field(description="Whether the account has Premium, which the coach takes.")
    android_version: int | None = None
    identity_known: bool = Field(description="Whether the account has told who its person is.")


@router.post(
    "/people",
    status_code=201,
    operation_id="createPerson",
    summary="Make an account holder known",
    response_model_exclude_none=True,
    responses={
        200: {"model": Person, "description": "The account was known already."},
        201: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Where the person is."}}},
        **refusals(403, 409, *BODY),
    },
)
def create(body: PersonMade, request: Request, response: Response, caller: Calling) -> Person:
    """Operators alone. The same `subject` again answers with the person that there is."""
    must_be_operator(caller)
    settings = settings_of(request)
    with session(settings) as state:
        known = people.person_by_subject(state, body.subject, settings=settings) if body.subject is not None else None
        row = known or people.create_person(
            state,
            body.country,
            subject=body.subject,
            identity=body.identity.known() if body.identity else None,
            android_version=body.android_version,
            preview_member=body.preview_member,
            actor=actor_of(caller),
            settings=settings,
        )
    response.status_code = 200 if known else 201
    response.headers["Location"] = f"{MOUNT}/people/{row.person_key}"
    return shown(row)


@router.get(
    "/people/{person_key}",
    operation_id="getPerson",
    summary="A person",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def show(person_key: PersonKey, request: Request, caller: Calling) -> Person:
    """Their key, country and what the app said of their phone; never who they are."""
    with session(settings_of(request), read_only=True) as state:
        return shown(reach_person(state, caller, person_key))


@router.patch(
    "/people/{person_key}",
    operation_id="changePerson",
    summary="Change what the account tells",
    response_model_exclude_none=True,
    responses=refusals(403, 404, 409, *BODY),
)
def change(person_key: PersonKey, body: PersonChanged, request: Request, caller: Calling) -> Person:
    """What is left out stays as it is. A new identity is compared at the next sign-in."""
    changes: dict[str, Any] = {
        name: getattr(body, name) for name in body.model_fields_set if getattr(body, name) is not None
    }
    if body.identity is not None:
        changes["identity"] = body.identity.known()
    if body.premium is not None:
        must_be_operator(caller)
    with session(settings_of(request)) as state:
        reach_person(state, caller, person_key)
        if changes:
            people.update_person(state, person_key, actor=actor_of(caller), **changes)
        state.flush()
        changed = shown(reach_person(state, caller, person_key))
    if not changed.premium:
        shelf.drop([person_key], settings_of(request))
    return changed


def shown(row: Row) -> Person:
    """A row as anyone may see it."""
    return Person(
        person_key=row.person_key,
        country=row.country,
        created_at=row.created_at,
        preview_member=row.preview_member,
        premium=row.premium,
        android_version=row.android_version,
        identity_known=row.sealed_identity is not None,
    )
