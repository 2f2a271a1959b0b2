"""Regions and countries as data (`data/regions.json`): where providers may be linked, by which ways and partner, and
the age at which a country's people may link.

A new region is a row. `routes` are the ways it is open to; `partner` connects us to its providers beside the direct
sign-in. The time zone of a country is its westernmost: there a birthday comes last.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import msgspec

from charthouse.clock import now
from charthouse.state.models import Partner, Route

if TYPE_CHECKING:
    from datetime import date

    from sqlalchemy.orm import Session


class RegionPartner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who connects us to the providers of a region."""

    slug: str
    name: str


class Region(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A country whose providers may be linked. `country` is ISO 3166-1 alpha-2."""

    country: str
    name: str
    routes: tuple[Route, ...]
    partner: RegionPartner | None = None


class _Country(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    age: int | None = None
    time_zone: str | None = None


class _Default(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    age: int
    time_zone: str


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    regions: list[Region]
    default: _Default
    countries: dict[str, _Country]


@dataclass(frozen=True, slots=True)
class Country:
    """What counts for the people of a country."""

    age: int
    time_zone: str


def regions() -> list[Region]:
    """Every supported region, by country."""
    return sorted(_table().regions, key=lambda region: region.country)


def region_of(country: str) -> Region | None:
    """The region of a country, or None where it is not supported."""
    return next((region for region in _table().regions if region.country == country), None)


def age_rule(code: str) -> Country:
    """What counts for a country's people; the default where the table does not name it."""
    table = _table()
    row = table.countries.get(code, _Country())
    return Country(row.age or table.default.age, row.time_zone or table.default.time_zone)


def today_in(code: str) -> date:
    """The date in a country: where it has several, that of its westernmost zone."""
    return now().astimezone(ZoneInfo(age_rule(code).time_zone)).date()


def ensure_partner(session: Session, slug: str) -> None:
    """Write down the partner of that slug where the table names it and the state does not know it yet."""
    if session.get(Partner, slug) is not None:
        return
    for region in _table().regions:
        if region.partner is not None and region.partner.slug == slug:
            session.add(Partner(slug=slug, name=region.partner.name, region=region.country))
            session.flush()
            return


@cache
def _table() -> _Table:
    return msgspec.json.decode(files("charthouse.linking.data").joinpath("regions.json").read_bytes(), type=_Table)
