"""What is known of a server beside its offer: whose it is, and what asking it has shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from charthouse.clock import now
from charthouse.partners.vendors import NOBODY, Vendor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charthouse.partners.capability import Capability


class Learnt(msgspec.Struct, frozen=True):
    """What asking a server has shown.

    `last_updated` says of a type whether a search for what changed in the far future is empty, as it must be where the
    parameter is worked on and not passed over. `by_parts` are types whose whole was refused, and had by its parts, and
    when that was (seconds since the epoch).
    """

    last_updated: dict[str, bool] = {}
    by_parts: dict[str, float] = {}

    def with_last_updated(self, resource_type: str, works: bool) -> Learnt:
        """The same with the outcome of a probe."""
        return msgspec.structs.replace(self, last_updated=self.last_updated | {resource_type: works})

    def doubting(self, types: Mapping[str, bool]) -> Learnt:
        """The same with outcomes for some more types."""
        return msgspec.structs.replace(self, last_updated=self.last_updated | dict(types))

    def with_parts(self, resource_type: str) -> Learnt:
        """The same with one more type that is asked for by its parts."""
        return msgspec.structs.replace(self, by_parts=self.by_parts | {resource_type: now().timestamp()})


NOTHING_LEARNT: Final = Learnt()
TRIED_AGAIN_AFTER: Final = 7 * 86_400.0
"""Seconds after which a whole that was refused is tried again: its parts miss what no category names."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a plan may rest on beside the offer."""

    vendor: Vendor = NOBODY
    learnt: Learnt = field(default=NOTHING_LEARNT)

    def filters_by_date(self, resource_type: str) -> bool | None:
        """Whether `_lastUpdated` does what it says for a type; None where nobody knows yet."""
        habit = self.vendor.habit(resource_type).last_updated
        if habit is not None and not habit.value:
            return False
        return self.learnt.last_updated.get(resource_type)

    def splits(self, resource_type: str) -> bool:
        """Whether a search for the whole of a type is known to be in vain."""
        refused_at = self.learnt.by_parts.get(resource_type)
        lately = refused_at is not None and now().timestamp() - refused_at < TRIED_AGAIN_AFTER
        return lately or self.vendor.habit(resource_type).by_parts is not None

    def page_size(self, resource_type: str, asked: int) -> int:
        """How many resources to ask for on a page."""
        most = self.vendor.most_on_a_page(resource_type)
        return asked if most is None else min(asked, int(most.value))

    def includes(self) -> bool:
        """Whether `_include` may be asked for where it is declared."""
        return self.vendor.include is None or bool(self.vendor.include.value)


NOTHING_KNOWN: Final = Knowledge()


def digest_of(offer: Capability) -> str:
    """A hash of everything in an offer that a plan rests on. Statements differ in their date alone each time."""
    types = [
        [name, *(sorted(part) for part in (kind.interactions, kind.search_params, kind.includes))]
        for name, kind in sorted(offer.types.items())
    ]
    said = [types, sorted(offer.search_params), offer.software, offer.publisher]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()
