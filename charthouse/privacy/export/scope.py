"""What an export is asked for: everything, or what is of some categories, since a day, from some providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from charthouse.errors import PrivacyError
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_PROVIDERS = 100


@dataclass(frozen=True, slots=True)
class Scope:
    """Narrowed by what is not empty. `since` is the day on which a provider changed a record last, or we got it."""

    categories: tuple[str, ...] = ()
    since: date | None = None
    providers: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether everything is meant."""
        return not (self.categories or self.since or self.providers)

    def options(self) -> dict[str, Any]:
        """As a request keeps it: the same choice is the same document."""
        said: dict[str, Any] = {}
        if self.categories:
            said["categories"] = list(self.categories)
        if self.since:
            said["since"] = self.since.isoformat()
        if self.providers:
            said["providers"] = list(self.providers)
        return said


def scope(
    categories: Sequence[str] = (),
    since: str | None = None,
    providers: Sequence[str] = (),
    *,
    known: Sequence[str] = (),
) -> Scope:
    """A choice, checked. `known` are the slugs of the providers that the person has links to.

    Raises:
        PrivacyError: CH930 for a category, a day or a provider that there is not.
    """
    names = [table.name for table in tables()]
    for category in categories:
        if category not in names:
            raise PrivacyError("CH930", where="category", what=f"it is one of {', '.join(names)}")
    for provider in providers:
        if provider not in known:
            raise PrivacyError("CH930", where="provider", what="the person has no link to it")
    return Scope(tuple(sorted(set(categories))), _day(since), tuple(sorted(set(providers))))


def scope_of(options: Mapping[str, Any]) -> Scope:
    """The choice that a request keeps."""
    return Scope(tuple(options.get("categories", ())), _day(options.get("since")), tuple(options.get("providers", ())))


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise PrivacyError("CH930", where="since", what="it is a day such as 2026-01-31") from None
