"""Phones: what Health Connect on them may be read of, and from which data sources."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field, StringConstraints

from charthouse.api.callers import Calling, actor_of, reach_person, settings_of
from charthouse.api.guard import Guarded
from charthouse.api.shapes import BODY, KEY, PLAIN, Body, PersonKey, refusals
from charthouse.linking import phones
from charthouse.partners.phone import Source
from charthouse.state import session
from transforms.health_connect import MEDICAL_TYPES, permission_of, type_of_permission

if TYPE_CHECKING:
    from collections.abc import Iterable

router = APIRouter(route_class=Guarded, tags=["phones"])
DeviceId = Annotated[str, Path(pattern=KEY, description="A random UUID that the app made for itself on this phone.")]
SourceId = Annotated[str, StringConstraints(pattern=KEY)]
ALL = "all"


class DataSource(Body):
    """A data source of the phone, as MedicalDataSource describes it."""

    id: SourceId = Field(description="MedicalDataSource.id.")
    package_name: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=PLAIN)]
    fhir_base_uri: Annotated[str, StringConstraints(min_length=1, max_length=4000, pattern=PLAIN)]
    display_name: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=PLAIN)]
    fhir_version: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,3}){2}$")] = Field(
        description="FhirVersion as text: 4.0.1 (R4) or 4.3.0 (R4B).", examples=["4.0.1"]
    )


class PhoneState(Body):
    """What the phone lets the app read."""

    permissions: list[Annotated[str, StringConstraints(max_length=200)]] = Field(
        max_length=500,
        description="As getGrantedPermissions() gives them, others than for medical data included; or the names of the "
        "medical types, or `all`.",
        examples=[[permission_of("VACCINES"), permission_of("PERSONAL_DETAILS")]],
    )
    data_sources: list[DataSource] = Field(max_length=500, description="As getMedicalDataSources() gives them.")
    reconnect: list[SourceId] = Field(
        default_factory=list, max_length=500, description="Data sources whose ended links the person wants again."
    )
    android_version: int | None = Field(default=None, ge=1, le=99, description="The Android version of the phone.")


class PhoneSource(BaseModel):
    """A data source, and the link that it became."""

    id: str
    link_id: str | None = Field(default=None, description="Absent where it has none.")
    status: str = Field(description="That of its link; `refused` where it cannot have one, `deleted` where it was.")
    code: str | None = Field(default=None, description="Why it has no link: a number of docs/errors.md.")
    display_name: str
    package_name: str
    fhir_version: str
    present: bool = Field(description="Whether the phone had it when it was asked last.")
    changes_token: str | None = Field(
        default=None, description="What the app said last of where it goes on reading; absent: it reads everything."
    )


class Phone(BaseModel):
    """A phone of a person."""

    device_id: str
    permissions: list[str] = Field(description="The medical types that may be read.")
    connected_at: datetime
    seen_at: datetime
    data_sources: list[PhoneSource]


class Phones(BaseModel):
    """A person's phones."""

    items: list[Phone]


class PhoneDisconnected(BaseModel):
    """A phone whose links ended. What was read stays until it is deleted."""

    links_ended: int


@router.put(
    "/people/{person_key}/phones/{device_id}",
    operation_id="putPhone",
    summary="Say what Health Connect lets the app read",
    response_model_exclude_none=True,
    responses=refusals(404, 409, *BODY),
)
def put(person_key: PersonKey, device_id: DeviceId, body: PhoneState, request: Request, caller: Calling) -> Phone:
    """Before every reading. Each new data source becomes a link; a permission that is missing is *not permitted*."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
    view = phones.connect(
        person_key,
        device_id,
        permissions=_types(body.permissions),
        sources=[Source(**source.model_dump()) for source in body.data_sources],
        reconnect=body.reconnect,
        android_version=body.android_version,
        actor=actor_of(caller),
        settings=settings,
    )
    return _shown(view)


@router.get(
    "/people/{person_key}/phones",
    operation_id="listPhones",
    summary="A person's phones",
    response_model_exclude_none=True,
    responses=refusals(404),
)
def listing(person_key: PersonKey, request: Request, caller: Calling) -> Phones:
    """Those that are connected."""
    with session(settings_of(request), read_only=True) as state:
        reach_person(state, caller, person_key)
        return Phones(items=[_shown(view) for view in phones.list_phones(state, person_key)])


@router.get(
    "/people/{person_key}/phones/{device_id}",
    operation_id="getPhone",
    summary="A phone",
    response_model_exclude_none=True,
    responses=refusals(404, 422),
)
def show(person_key: PersonKey, device_id: DeviceId, request: Request, caller: Calling) -> Phone:
    """Its permissions, its data sources and their links."""
    with session(settings_of(request), read_only=True) as state:
        reach_person(state, caller, person_key)
        return _shown(phones.get_phone(state, person_key, device_id))


@router.delete(
    "/people/{person_key}/phones/{device_id}",
    operation_id="disconnectPhone",
    summary="Disconnect a phone",
    responses=refusals(404, 409, 422),
)
def disconnect(person_key: PersonKey, device_id: DeviceId, request: Request, caller: Calling) -> PhoneDisconnected:
    """Its links end and what is on its way goes; links by other ways stay. Another account may connect it then."""
    settings = settings_of(request)
    with session(settings, read_only=True) as state:
        reach_person(state, caller, person_key)
    return PhoneDisconnected(
        links_ended=phones.disconnect(person_key, device_id, actor=actor_of(caller), settings=settings)
    )


def _types(permissions: Iterable[str]) -> set[str]:
    """The medical types that permissions open: apps hold others beside, for steps or sleep."""
    given = set(permissions)
    if ALL in given:
        return set(MEDICAL_TYPES)
    return {name for said in given if (name := type_of_permission(said) or said) in MEDICAL_TYPES}


def _shown(view: phones.PhoneView) -> Phone:
    return Phone(
        device_id=view.device_id,
        permissions=list(view.permissions),
        connected_at=view.connected_at,
        seen_at=view.seen_at,
        data_sources=[
            PhoneSource(
                id=source.source_id,
                link_id=source.link_id,
                status=source.status,
                code=source.code,
                display_name=source.display_name,
                package_name=source.package_name,
                fhir_version=source.fhir_version,
                present=source.present,
                changes_token=source.changes_token,
            )
            for source in view.sources
        ],
    )
