"""Lists of brands taken in: a file or a URL becomes brands, portals and providers (SMART User-access Brands).

A list replaces what the same source said before. Providers are never taken away by one: an endpoint that has vanished
from a list keeps its provider and its links. Addresses that differ in case or trailing slashes are one provider.
"""

from __future__ import annotations

import re
import uuid
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import delete, insert, select

from charthouse.errors import FetchError, LinkError
from charthouse.linking.bundles import read_bundle, web_address
from charthouse.linking.names import plain
from charthouse.linking.places import country_of_places, words_of, words_of_place
from charthouse.linking.providers import address_key, check_region, get_provider
from charthouse.linking.registrations import get_registration
from charthouse.partners.http import MAX_BODY, HttpClient
from charthouse.settings import Settings, get_settings
from charthouse.state import audit
from charthouse.state import session as state_session
from charthouse.state.base import now
from charthouse.state.linking import Brand, BrandBundle, BrandEndpoint
from charthouse.state.models import Provider

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import Session

    from charthouse.linking.bundles import BrandList, FoundBrand
    from charthouse.state.models import Actor

ACCEPT: Final = "application/fhir+json, application/json;q=0.9"
OWN_LIST_KEYS: Final = ("user_access_brand_bundle", "userAccessBrands", "patientAccessBrands")
"""Where a smart-configuration links its own list: the key of SMART 2.2, and those of its drafts, still in use."""
_NAMESPACE: Final = uuid.UUID("5f4c8bb1-6d0a-5a5e-9d5b-2a0f4a3d7c11")
_GZIP: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class BrandsReport:
    """What became of a list. `remarks` counts what was left out or cut; `samples` says where, a few times each."""

    source: str
    unchanged: bool = False
    updated: str | None = None
    brands: int = 0
    portals: int = 0
    providers_new: int = 0
    providers_known: int = 0
    other_versions: int = 0
    vanished: tuple[str, ...] = ()
    remarks: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)


def import_bundle(
    source: str,
    *,
    region: str = "US",
    registration: str | None = None,
    active: bool = True,
    own: str | None = None,
    again: bool = False,
    actor: Actor = "operator",
    settings: Settings | None = None,
) -> BrandsReport:
    """Read a User-access Brands Bundle from a file or an http(s) address and take it in.

    `region` is that of brands which name no country. New providers get `registration`, and are open where `active`.
    `own` is the slug of the provider whose own configuration links to the list. What has not changed is not read
    (`If-None-Match`), unless `again`.

    Raises:
        LinkError: CH621 when it cannot be read, CH620 for an unknown registration.
        FetchError: as `HttpClient.get`.
        StateError: CH602 for an unknown provider.
    """
    settings = settings or get_settings()
    check_region(region)
    if _is_url(source) and web_address(source) is None:
        raise LinkError("CH621", where="the address", what="it is an http(s) address without a login")
    with state_session(settings, read_only=True) as state:
        if registration is not None:
            get_registration(state, registration)
        if own is not None:
            get_provider(state, own)
        source = source if _is_url(source) else str(Path(source).expanduser().resolve())
        known = state.get(BrandBundle, source)
        tag = known.etag if known is not None and not again and own in (None, known.provider) else None
    body, etag = _read(source, tag, settings)
    if body is None:
        return BrandsReport(source, unchanged=True, updated=known.updated if known is not None else None)
    listed = read_bundle(body, _where(source))
    # Brands above others come first: an endpoint that several share is called by the one above them.
    ordered = sorted(listed.brands, key=lambda brand: brand.parent is not None)
    brands = [(brand, _row(source, brand)) for brand in ordered]  # before the database is held: words take their time
    with state_session(settings) as state:
        return _Import(state, source, listed, region, registration, active=active).run(brands, etag, own, actor)


def import_own_bundle(slug: str, *, settings: Settings | None = None, again: bool = False) -> BrandsReport:
    """Take in the list that a provider's own smart-configuration links to. Of that provider it goes before others.

    Raises:
        StateError: CH602 when there is no such provider.
        LinkError: CH621 when it links to none.
        FetchError: as `HttpClient.get`.
    """
    settings = settings or get_settings()
    with state_session(settings, read_only=True) as state:
        provider = get_provider(state, slug)
        base, region, registration = provider.fhir_base_url, provider.region, provider.registration
    with HttpClient(settings) as client:
        found = client.get(f"{base}/.well-known/smart-configuration", accept="application/json").body
    try:
        said = msgspec.json.decode(found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = None
    address = own_list(said)
    if address is None:
        raise LinkError("CH621", where=f"provider {slug}", what="its smart-configuration links to no list of brands")
    return import_bundle(address, region=region, registration=registration, own=slug, again=again, settings=settings)


def own_list(configuration: object) -> str | None:
    """The address of the list of brands that a smart-configuration names, if it names one."""
    if isinstance(configuration, dict):
        for key in OWN_LIST_KEYS:
            address = configuration.get(key)
            if isinstance(address, str) and _is_url(address):
                return address
    return None


class _Import:
    def __init__(
        self, state: Session, source: str, listed: BrandList, region: str, registration: str | None, *, active: bool
    ) -> None:
        self.state, self.source, self.listed = state, source, listed
        self.region, self.registration, self.active = region, registration, active
        rows = state.execute(select(Provider.slug, Provider.fhir_base_url).order_by(Provider.slug)).all()
        self.slugs = {slug for slug, _ in rows}
        self.by_address = {address_key(base): slug for slug, base in reversed(rows)}
        self.made: dict[str, dict[str, Any]] = {}

    def run(
        self, brands: list[tuple[FoundBrand, dict[str, Any]]], etag: str | None, own: str | None, actor: Actor
    ) -> BrandsReport:
        """Replace what the source said before."""
        before = set(
            self.state.scalars(
                select(BrandEndpoint.provider).join(Brand, Brand.id == BrandEndpoint.brand_id).distinct()
                .where(Brand.source == self.source)
            )
        )  # fmt: skip
        kept = self.state.get(BrandBundle, self.source) or BrandBundle(source=self.source)
        kept.etag, kept.updated, kept.read_at, kept.provider = etag, self.listed.updated, now(), own or kept.provider
        self.state.add(kept)
        self.state.execute(delete(Brand).where(Brand.source == self.source))
        ways: dict[tuple[str, str, str], dict[str, Any]] = {}
        for brand, row in brands:
            for portal in brand.portals:
                for base in portal.endpoints:
                    slug = self._provider(base, brand, portal.url)
                    way = {"brand_id": row["id"], "portal_name": portal.name, "portal_url": portal.url}
                    ways.setdefault((row["id"], portal.name, slug), way | {"provider": slug})
        self._insert(Provider, self.made.values())
        self._insert(Brand, [row for _, row in brands])
        self._insert(BrandEndpoint, ways.values())
        used = {slug for _, _, slug in ways}
        counts = {"brands": len(brands), "providers_new": len(self.made)}
        audit.record(self.state, actor, "brands.imported", "brands", sha256(self.source.encode()).hexdigest(), counts)
        return BrandsReport(
            source=self.source,
            updated=self.listed.updated,
            brands=len(brands),
            portals=len({(way["portal_name"], way["portal_url"]) for way in ways.values()}),
            providers_new=len(self.made),
            providers_known=len(used) - len(self.made),
            other_versions=self.listed.other_versions,
            vanished=tuple(sorted(before - used)),
            remarks=dict(self.listed.remarks.counts),
            samples=self.listed.remarks.samples,
        )

    def _provider(self, base: str, brand: FoundBrand, portal_url: str | None) -> str:
        key = address_key(base)
        slug = self.by_address.get(key)
        if slug is None:
            slug = self.by_address[key] = self._slug(brand.name, key)
            self.made[slug] = {
                "slug": slug,
                "name": brand.name,
                "region": country_of_places(brand.places) or self.region,
                "fhir_base_url": base,
                "active": self.active,
                "registration": self.registration,
                "portal_url": portal_url,
                "created_at": now(),
            }
            audit.record(self.state, "operator", "provider.registered", "provider", slug, {"fhir_base_url": base})
        elif slug in self.made and self.made[slug]["portal_url"] is None:
            self.made[slug]["portal_url"] = portal_url
        return slug

    def _slug(self, name: str, key: str) -> str:
        """A slug from a name; with a sign of the address where the name is another's."""
        plainly = re.sub(r"[^a-z0-9]+", "-", " ".join(plain(name))).strip("-")[:50].strip("-") or "provider"
        slug = plainly
        length = 6
        while slug in self.slugs:
            slug = f"{plainly}-{sha256(key.encode()).hexdigest()[:length]}"
            length += 1
        self.slugs.add(slug)
        return slug

    def _insert(self, table: Any, rows: Iterable[dict[str, Any]]) -> None:
        listed = list(rows)
        if listed:
            self.state.flush()
            self.state.execute(insert(table), listed)


def _row(source: str, brand: FoundBrand) -> dict[str, Any]:
    """A brand as it is stored, with the words that it is found by."""
    words = set(words_of(" ".join([brand.name, *brand.aliases])))
    words.update(word for portal in brand.portals for word in words_of(portal.name))
    words.update(*(words_of_place(place) for place in brand.places))
    words.update(words_of(" ".join(_site(brand))))
    return {
        "id": str(uuid.uuid5(_NAMESPACE, f"{source}\n{brand.reference}")),
        "source": source,
        "reference": brand.reference,
        "identifier": brand.identifier,
        "name": brand.name,
        "aliases": list(brand.aliases),
        "categories": list(brand.categories),
        "places": list(brand.places),
        "website": brand.website,
        "parent": brand.parent,
        "search_text": f" {' '.join(sorted(words))} ",
    }


def _site(brand: FoundBrand) -> list[str]:
    """The name in a web site's address: people type `kp.org` or `mercy`."""
    return [
        re.sub(r"^https?://(www\.)?|[/:].*$", "", address)
        for address in (brand.website, brand.identifier)
        if address is not None
    ]


def _read(source: str, tag: str | None, settings: Settings) -> tuple[bytes | None, str | None]:
    """The body and its tag; no body where the tag is still the same. A file's tag is its hash."""
    if _is_url(source):
        with HttpClient(settings) as client:
            answer = client.get(source, accept=ACCEPT, etag=tag)
        return (None if answer.unchanged else answer.body), (answer.etag or "")[:512] or None
    try:
        with Path(source).open("rb") as file:
            body = file.read(MAX_BODY + 1)
    except OSError as error:
        raise LinkError("CH621", where=source, what=error.strerror or type(error).__name__) from None
    etag = sha256(body).hexdigest()
    if body.startswith(_GZIP):
        try:
            body = zlib.decompressobj(wbits=31).decompress(body, MAX_BODY + 1)
        except zlib.error:
            raise LinkError("CH621", where=source, what="it is damaged gzip") from None
    if len(body) > MAX_BODY:
        raise FetchError("CH120", where=source)
    return (None if etag == tag else body), etag


def _is_url(source: str) -> bool:
    return source.lower().startswith(("https://", "http://"))


def _where(source: str) -> str:
    return source.partition("?")[0] if _is_url(source) else Path(source).name
