"""Strays: what a provider sent to others though it is about somebody who is gone.

Such a resource is stopped for whom it was sent to (CH207) and waits in quarantine. It is another's, so it goes with the
one whom it names; and it would come back: out of pages that were landed before, and with each answer that repeats it.
A tombstone tells it by a keyed hash of the patient, so nothing has to remember who that was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson
import pyarrow.parquet as pq
from sqlalchemy import select

from charthouse.state import session, tombstones
from charthouse.state.models import Link, Provider
from transforms.checking.ownership import patients_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from charthouse.linking.links import LinkWork
    from charthouse.settings import Settings

RULE: Final = "CH207"
_ROWS: Final = 500


@dataclass(slots=True)
class Whom:
    """Patients of one provider that others may have been sent something about."""

    base_url: str
    patients: set[str] = field(default_factory=set)

    def named_in(self, resource: bytes | str) -> bool:
        """Whether a resource names one of them."""
        return not self.patients.isdisjoint(about(resource, self.base_url))


def looked_for(patients: Iterable[Sequence[str]], settings: Settings | None = None) -> dict[str, Whom]:
    """Whom to look for in what each link of a provider was sent, by link: `patients` are (provider, id)."""
    wanted: dict[str, set[str]] = {}
    for provider, patient in patients:
        wanted.setdefault(provider, set()).add(patient)
    query = select(Link.id, Link.provider, Provider.fhir_base_url).join(Provider, Provider.slug == Link.provider)
    found = {}
    with session(settings, read_only=True) as state:
        for provider, names in wanted.items():
            for link_id, _, base_url in state.execute(query.where(Link.provider == provider)):
                found[link_id] = Whom(base_url, names)
    return found


def about(resource: bytes | str, base_url: str) -> set[str]:
    """The ids of the provider's patients that a resource names; none where it is no JSON."""
    try:
        return patients_named(orjson.loads(resource), base_url)
    except orjson.JSONDecodeError:
        return set()


def of_the_gone(
    quarantined: Path, links: Sequence[LinkWork], settings: Settings | None = None
) -> list[tuple[str, str]]:
    """What of a batch's quarantine is about patients who were erased: (link, content hash).

    To be asked under the lake's hold: an erasure sets its tombstones first, and then takes that hold to delete.

    Raises:
        PrivacyError: CH915 when the tombstones cannot be read.
    """
    known = tombstones.standing(settings)
    if not known:
        return []
    sent_to = {link.link_id: link for link in links}
    found = []
    for link_id, content_hash, resource in _mislaid(quarantined):
        link = sent_to.get(link_id)
        if link is None:
            continue
        keys = [tombstones.patient_key(link.provider, patient) for patient in about(resource, link.fhir_base_url)]
        if known.among("patient", keys):
            found.append((link_id, content_hash))
    return found


def _mislaid(quarantined: Path) -> Iterator[tuple[str, str, bytes]]:
    columns = ["link_id", "content_hash", "rules", "resource"]
    for batch in pq.ParquetFile(quarantined).iter_batches(batch_size=_ROWS, columns=columns):
        for link_id, content_hash, rules, resource in zip(*(batch[name].to_pylist() for name in columns), strict=True):
            if RULE in rules:
                yield link_id, content_hash, resource
