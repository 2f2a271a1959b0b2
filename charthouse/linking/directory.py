"""The directory: people find their provider by the names and places that they know.

Every word asked for must be there: in the names of the brand and its portals, or all the rest together in one of its
places. Words may be given in any order, and the beginning of a word is enough. Where nothing is found, one slip of the
pen in each word of five letters and more is overlooked.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, select

from charthouse.errors import StateError
from charthouse.linking.eligibility import HEALTH_CONNECT
from charthouse.linking.places import shown, words_of, words_of_place
from charthouse.linking.regions import region_of
from charthouse.state.linking import Brand, BrandBundle, BrandEndpoint
from charthouse.state.models import Provider

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.orm import Session

MOST: Final = 2_000
"""Brands that are looked at for one question, those whose name begins like it first."""
MOST_WORDS: Final = 12
PLACES_SHOWN: Final = 3
SLIP_FROM: Final = 5


@dataclass(frozen=True, slots=True)
class Found:
    """One way to connect: a brand, a portal of it, and the provider behind. `places` begins with those asked for.

    `linkable` is false where nobody may link (yet); `provider` is empty where the list names no usable endpoint.
    `cursor` stands for this place in the answer (`after`).
    """

    brand: str
    portal: str
    portal_url: str | None
    website: str | None
    places: tuple[str, ...]
    categories: tuple[str, ...]
    provider: str | None
    region: str | None
    linkable: bool
    cursor: str


@dataclass(slots=True)
class _Hit:
    key: tuple[Any, ...]
    found: dict[str, Any]


def search(
    session: Session,
    text: str,
    *,
    place: str | None = None,
    region: str | None = None,
    after: str | None = None,
    limit: int = 20,
) -> list[Found]:
    """The ways to connect that fit, best first. `place` is a city, state or zip code; `after` a `cursor` to go on from.

    Raises:
        StateError: CH607 for an `after` that is no cursor.
    """
    words = words_of(text)[:MOST_WORDS]
    places = words_of(place or "")[:MOST_WORDS]
    hits = _hits(session, words, places, region)
    if not hits and (words or places):
        known = _vocabulary(session)
        words, places = _mended(words, known), _mended(places, known)
        hits = _hits(session, words, places, region)
    begin = None if after is None else _opened(after)
    ordered = sorted((hit for hit in hits if begin is None or hit.key > begin), key=lambda hit: hit.key)
    return [Found(**hit.found, cursor=_closed(hit.key)) for hit in ordered[:limit]]


def _hits(session: Session, words: Sequence[str], places: Sequence[str], region: str | None) -> list[_Hit]:
    own = {
        slug: source
        for source, slug in session.execute(
            select(BrandBundle.source, BrandBundle.provider).where(BrandBundle.provider.is_not(None))
        )
    }
    query = select(Brand)
    for number, word in enumerate([*words, *places]):
        last = number + 1 in (len(words), len(words) + len(places))
        query = query.where(Brand.search_text.like(f"% {word}{'%' if last or len(word) > 2 else ' %'}"))
    begins = Brand.name.ilike(f"{words[0]}%") if words else Brand.name.is_not(None)
    found: dict[tuple[Any, ...], _Hit] = {}
    brands = list(session.scalars(query.order_by(begins.desc(), Brand.name, Brand.id).limit(MOST)))
    ways = _ways(session, [brand.id for brand in brands])
    for brand in brands:
        fit = _fit(brand, [way.portal_name for way, _ in ways.get(brand.id, []) if way is not None], words, places)
        if fit is None:
            continue
        for way, provider in ways.get(brand.id, [(None, None)]):
            if provider is not None and own.get(provider.slug, brand.source) != brand.source:
                continue  # its own list goes before those of others
            if region is not None and (provider is None or provider.region != region):
                continue
            if provider is not None and provider.retired_at is not None:
                continue
            hit = _hit(brand, way, provider, fit)
            same = (provider.slug if provider else None, hit.found["portal_url"] or hit.found["portal"])
            found.setdefault((*same, brand.identifier or " ".join(words_of(brand.name))), hit)
    return [*found.values(), *(_bare(session, words, region) if not places else [])]


def _ways(session: Session, brand_ids: Sequence[str]) -> dict[str, list[tuple[BrandEndpoint | None, Provider | None]]]:
    ways: dict[str, list[tuple[BrandEndpoint | None, Provider | None]]] = {}
    for start in range(0, len(brand_ids), 500):
        query = (
            select(BrandEndpoint, Provider)
            .join(Provider, Provider.slug == BrandEndpoint.provider)
            .where(BrandEndpoint.brand_id.in_(brand_ids[start : start + 500]))
            .order_by(BrandEndpoint.id)
        )
        for way, provider in session.execute(query):
            ways.setdefault(way.brand_id, []).append((way, provider))
    return ways


def _fit(
    brand: Brand, portals: Sequence[str], words: Sequence[str], places: Sequence[str]
) -> tuple[int, list[dict[str, str]]] | None:
    """How well a brand fits (less is better), and its places that were asked for; None where it does not."""
    own = words_of(brand.name)
    named = {*own, *(word for text in (*brand.aliases, *portals, brand.website or "") for word in words_of(text))}
    named.update(words_of((brand.website or "").partition("://")[2].partition("/")[0].removeprefix("www.")))
    rest = [word for word in words if not _begins(word, named)]
    here = list(brand.places)
    if rest or places:
        wanted = [*rest, *places]
        here = [place for place in brand.places if all(_begins(word, words_of_place(place)) for word in wanted)]
        if not here:
            return None
    if list(words) == own:
        rank = 0
    elif own[: len(words)] == list(words):
        rank = 1
    elif all(word in named for word in words):
        rank = 2
    else:
        rank = 3 if not rest else 4
    return rank, here


def _hit(brand: Brand, way: BrandEndpoint | None, provider: Provider | None, fit: tuple[int, list[Any]]) -> _Hit:
    rank, here = fit
    asked = [shown(place) for place in here]
    others = [shown(place) for place in brand.places]
    places = tuple(dict.fromkeys(text for text in [*asked, *others] if text))[:PLACES_SHOWN]
    portal = way.portal_name if way is not None else ""
    linkable = provider is not None and _linkable(provider)
    slug = provider.slug if provider is not None else ""
    return _Hit(
        (0 if linkable else 1, rank, brand.name.casefold(), " ".join(places), portal, slug, brand.id),
        {
            "brand": brand.name,
            "portal": portal,
            "portal_url": way.portal_url if way is not None else None,
            "website": brand.website,
            "places": places,
            "categories": tuple(brand.categories),
            "provider": slug or None,
            "region": provider.region if provider is not None else None,
            "linkable": linkable,
        },
    )


def _bare(session: Session, words: Sequence[str], region: str | None) -> list[_Hit]:
    """Providers that no list names, by the name that an operator gave them."""
    query = select(Provider).where(
        ~exists().where(BrandEndpoint.provider == Provider.slug),
        Provider.retired_at.is_(None),
        ~Provider.slug.startswith(HEALTH_CONNECT),
    )
    if region is not None:
        query = query.where(Provider.region == region)
    hits = []
    for provider in session.scalars(query.order_by(Provider.name, Provider.slug)):
        own = words_of(provider.name)
        if not all(_begins(word, {*own, *words_of(provider.slug)}) for word in words):
            continue
        rank = 0 if list(words) == own else 1 if own[: len(words)] == list(words) else 2
        linkable = _linkable(provider)
        hits.append(
            _Hit(
                (0 if linkable else 1, rank, provider.name.casefold(), "", "", provider.slug, ""),
                {
                    "brand": provider.name,
                    "portal": "",
                    "portal_url": provider.portal_url,
                    "website": None,
                    "places": (),
                    "categories": (),
                    "provider": provider.slug,
                    "region": provider.region,
                    "linkable": linkable,
                },
            )
        )
    return hits


def _linkable(provider: Provider) -> bool:
    region = region_of(provider.region)
    return provider.active and provider.retired_at is None and region is not None and "direct" in region.routes


def _begins(word: str, words: Iterable[str]) -> bool:
    return any(other.startswith(word) for other in words)


def _vocabulary(session: Session) -> set[str]:
    """Every word that a brand or a provider can be found by."""
    known: set[str] = set()
    for text in session.scalars(select(Brand.search_text)):
        known.update(text.split())
    for name in session.scalars(select(Provider.name)):
        known.update(words_of(name))
    return known


def _mended(words: Sequence[str], known: set[str]) -> list[str]:
    """Words with one slip taken back, where the word as it stands begins no known one."""
    mended = []
    for word in words:
        near = word
        if len(word) >= SLIP_FROM and word.isalpha() and not _begins(word, known):
            near = min((other for other in known if _one_slip(word, other)), default=word)
        mended.append(near)
    return mended


def _one_slip(word: str, other: str) -> bool:
    """Whether one letter changed, left out, added, or two neighbours exchanged make the one of the other."""
    if word[0] != other[0] or abs(len(word) - len(other)) > 1:
        return False
    short, long = sorted((word, other), key=len)
    place = next((at for at in range(len(short)) if short[at] != long[at]), len(short))
    if len(short) < len(long):
        return short[place:] == long[place + 1 :]
    if short[place + 1 :] == long[place + 1 :]:
        return True
    swapped = short[:place] + short[place + 1 : place + 2] + short[place : place + 1] + short[place + 2 :]
    return swapped == long


def _closed(key: tuple[Any, ...]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _opened(cursor: str) -> tuple[Any, ...]:
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        linkable, rank, *texts = key
        if len(texts) == 5 and all(isinstance(text, str) for text in texts):
            return int(linkable), int(rank), *texts
    except (ValueError, TypeError, RecursionError):
        pass
    raise StateError("CH607", where="after", what="it is the cursor of an earlier answer")
