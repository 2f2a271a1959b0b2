"""What is known of vendors' servers beside their `/metadata`, as data: a file each, each fact with its source.

A server is recognised by its address, else by what its CapabilityStatement says of its software, publisher or
implementation. A vendor's habit never widens what a server declares; it spares requests that are known to be in vain,
and pages that are known to be cut.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec

if TYPE_CHECKING:
    from charthouse.partners.capability import Capability

Mark = Literal["S", "C", "K", "I"]
"""S: read in the source itself. C: a third party's copy. K: general knowledge. I: inferred."""
UNKNOWN: Final = "unknown"


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something known: why it matters, where it was read, and how sure that is."""

    value: bool | int
    why: str
    source: str
    mark: Mark


class Recognition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Regular expressions, in lower case, of which one is enough. `address` is host and path."""

    address: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
    publisher: tuple[str, ...] = ()
    implementation: tuple[str, ...] = ()


class TypeHabit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one type. `by_parts`: a search for the whole of it is in vain."""

    by_parts: Fact | None = None
    page_size: Fact | None = None
    last_updated: Fact | None = None
    note: Fact | None = None


class Vendor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A vendor's servers. What is absent is not known."""

    name: str
    recognised_by: Recognition
    types: dict[str, TypeHabit] = {}
    requests_per_minute: Fact | None = None
    page_size: Fact | None = None
    include: Fact | None = None
    everything: Fact | None = None
    note: Fact | None = None

    def habit(self, resource_type: str) -> TypeHabit:
        """What is known of a type."""
        return self.types.get(resource_type, _NOTHING)

    def most_on_a_page(self, resource_type: str) -> Fact | None:
        """The most resources of a type that are ever on a page."""
        return self.habit(resource_type).page_size or self.page_size


_NOTHING: Final = TypeHabit()
NOBODY: Final = Vendor("", Recognition())
"""A server of which nothing is known beside its `/metadata`."""


@cache
def vendors() -> dict[str, Vendor]:
    """Every declared vendor, by the name of its file."""
    folder = files("charthouse.partners") / "data" / "vendors"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".json"))
    return {
        name.removesuffix(".json"): msgspec.json.decode((folder / name).read_bytes(), type=Vendor) for name in found
    }


def vendor_of(base_url: str, offer: Capability) -> Vendor:
    """Whose server it is, as far as that can be told; `NOBODY` where it cannot."""
    parts = urlsplit(base_url)
    said = {
        "address": f"{parts.netloc}{parts.path.rstrip('/')}/",
        "software": offer.software,
        "publisher": offer.publisher,
        "implementation": offer.implementation,
    }
    for field, text in said.items():
        for vendor in vendors().values():
            if any(re.search(pattern, text.lower()) for pattern in getattr(vendor.recognised_by, field)):
                return vendor
    return NOBODY
