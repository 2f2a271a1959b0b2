"""What a fetch is told of one link, and where it gets its access tokens from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charthouse.partners.addresses import Origin

TokenSource = Callable[[str, bool], str]
"""(link id, renew) → an access token, empty where the server asks for none. `renew`: the one before was refused. Raises
CharthouseError."""


@dataclass(frozen=True, slots=True)
class LinkJob:
    """One link to fetch. `granted_scopes` None or empty: not known, so everything is asked. Watermarks go by label."""

    link_id: str
    base_url: str
    patient_id: str = field(repr=False)
    granted_scopes: str | None = None
    watermarks: Mapping[str, str] = field(default_factory=dict)
    whole: bool = False
    """Whether everything is asked for, whatever the watermarks. These stay where a query does not end well."""
    owed: Collection[str] = frozenset()
    """Labels of queries that are asked for everything all the same: it did not come when it was asked for before."""
    origins: Collection[Origin] = ()
    """Origins beside the base's at which its pages may go on, as the provider's declaration has them."""
    held: Callable[[], Collection[str]] = frozenset
    """What the vault has of this link and never changes, as `Binary/id`: it is not read again. Asked when needed."""
    missing: Callable[[], Collection[str]] = frozenset
    """Ids of documents that were not to be had before: they are not asked for tonight. Asked when needed."""
