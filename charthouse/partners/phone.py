"""What the app sends of Health Connect: its data sources, and readings of them as lines of JSON.

A line is one MedicalResource: `{"type": "VACCINES", "data": "{…}"}`, its medical type by Android's name and the text of
its FhirResource; or, in a reading of changes, one that is gone: `{"deleted": {"type": "Immunization", "id": "…"}}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from charthouse.errors import PhoneError
from transforms.health_connect import FHIR_VERSIONS, LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_LINE: Final = 6 * LIMITS.record_bytes + 1_000
"""JSON writes a sign as six at most (`\\u0000`)."""
LONGEST_ID: Final = 64


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A data source as the phone describes it (MedicalDataSource)."""

    id: str
    package_name: str
    fhir_base_uri: str
    display_name: str
    fhir_version: str


class Gone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A resource that the phone no longer holds."""

    type: str
    id: str


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a reading: a record, or the name of one that is gone."""

    type: str | None = None
    data: str | None = None
    deleted: Gone | None = None


_LINE: Final = msgspec.json.Decoder(Line)


def read_line(raw: bytes) -> Line:
    """One line of a reading.

    Raises:
        PhoneError: CH984 for what is none.
    """
    try:
        line = _LINE.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PhoneError("CH984") from None
    is_record = line.type is not None and line.data is not None
    if is_record == (line.deleted is not None) or (line.type is None) != (line.data is None):
        raise PhoneError("CH984")
    if line.data is not None and len(line.data) * 4 > LIMITS.record_bytes and _bytes(line.data) > LIMITS.record_bytes:
        raise PhoneError("CH984", what="a record is larger than a million bytes")
    return line


def _bytes(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:  # half a sign of two (a lone surrogate)
        raise PhoneError("CH984") from None


def check_sources(sources: Iterable[Source]) -> None:
    """Pass if Health Connect could hold these data sources: how many of one app, and how they are called.

    Raises:
        PhoneError: CH976 for the first thing that it could not.
    """
    of_app: dict[str, list[Source]] = {}
    for source in sources:
        of_app.setdefault(source.package_name, []).append(source)
        if len(source.fhir_base_uri) > LIMITS.fhir_base_uri_characters:
            raise PhoneError("CH976", what="an address is too long")
        if not 1 <= len(source.display_name) <= LIMITS.display_name_characters:
            raise PhoneError("CH976", what="a name is too long, or empty")
    for listed in of_app.values():
        if len(listed) > LIMITS.data_sources:
            raise PhoneError("CH976", what="an app has too many")
        if len({source.display_name for source in listed}) < len(listed):
            raise PhoneError("CH976", what="an app has two of one name")
    ids = [source.id for listed in of_app.values() for source in listed]
    if len(set(ids)) < len(ids):
        raise PhoneError("CH976", what="two have one id")


def is_supported(source: Source) -> bool:
    """Whether the FHIR version that a source declares is one of Health Connect's."""
    return source.fhir_version in FHIR_VERSIONS
