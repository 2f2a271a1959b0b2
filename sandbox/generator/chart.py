"""One person's chart while it is being written: who, where, when, and the resources so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

import orjson

from sandbox.generator.vocabulary import UCUM

if TYPE_CHECKING:
    from random import Random

    from sandbox.generator.vocabulary import Json

TODAY: Final = date(2026, 10, 31)
"""The last day of every record: a fixed one, so that the same seed makes the same people on any day."""

_ZONES: Final = ("-08:00", "-07:00", "-06:00", "-05:00")


@dataclass(frozen=True, slots=True)
class Clinic:
    """An organization with its people and places, as references."""

    organization: Json
    practitioners: tuple[Json, ...]
    locations: tuple[Json, ...]
    city: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Visit:
    """One encounter: its reference, when it began and ended, and the kind (`AMB`, `EMER`, `IMP`, `VR`)."""

    reference: Json
    begin: datetime
    end: datetime
    kind: str
    practitioner: Json


@dataclass(slots=True)
class Chart:
    """The state that the writers of each category share."""

    random: Random
    patient_id: str
    sex: str
    birth: date
    clinic: Clinic
    patient: Json
    zone: str
    resources: list[Json] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)

    def add(self, resource_type: str, content: Json) -> Json:
        """Put a resource into the chart, under an id of its own. Returns a reference to it."""
        identity = new_id(self.random)
        self.resources.append({"resourceType": resource_type, "id": identity} | content)
        return {"reference": f"{resource_type}/{identity}"}

    def chance(self, share: float) -> bool:
        """True with this probability."""
        return self.random.random() < share

    def moment(self, when: datetime) -> str:
        """A dateTime in the clinic's own zone."""
        return when.strftime("%Y-%m-%dT%H:%M:%S") + self.zone

    def loosely(self, when: date) -> str:
        """A date as people remember it: often a day, sometimes only a month or a year."""
        spot = self.random.random()
        if spot < 0.12:
            return f"{when.year:04}"
        if spot < 0.27:
            return f"{when.year:04}-{when.month:02}"
        return when.isoformat()

    def born_plus(self, years: float) -> date:
        """The day at which the person was so many years old, not after the record's last."""
        return min(self.birth + timedelta(days=int(years * 365.25)), TODAY)


def new_id(random: Random) -> str:
    """An id that looks like those of servers, from the person's own random numbers."""
    text = f"{random.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def zone_for(random: Random) -> str:
    """A zone of the United States."""
    return random.choice(_ZONES)


@cache
def _number(text: str) -> orjson.Fragment:
    return orjson.Fragment(text.encode())


def decimal(value: float, decimals: int) -> orjson.Fragment:
    """A decimal with exactly so many digits behind the point: FHIR keeps `1.10` apart from `1.1`."""
    return _number(f"{value:.{decimals}f}")


def quantity(value: float, decimals: int, unit: str, code: str) -> Json:
    """A Quantity with a UCUM unit."""
    return {"value": decimal(value, decimals), "unit": unit, "system": UCUM, "code": code}


def at(day: date, hour: int, minute: int) -> datetime:
    """A moment of a day; the zone is added where it is written."""
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)
