"""Whose a line of a person's stream is: each goes to the links whose patient it is about, and nowhere else.

A partner's own bookkeeping (the Person, its subscriptions) is no record. What it tags as hidden, or as restricted, is
left out although it came. A line about a patient of the person's that is no link of theirs (waved away, disconnected)
is passed over, and so is what is of a type that is about nobody; one about anybody else is passed over, and counted
apart: it should not have come. A record that should say whose it is, and does not, came in this person's stream: it is
landed with the first of their links, and the check says what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from charthouse.partners.bulk_manifest import ExportFile
from charthouse.partners.search import compartment_types
from charthouse.sync.bulk_landing import Sorter
from transforms import ndjson
from transforms.bundles import resource_stub

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from charthouse.sync.bulk_landing import ExportFolder, Landed
    from charthouse.sync.bulk_shared import SharedResources

BOOKKEEPING: Final = frozenset({"Person", "Subscription", "SubscriptionStatus", "SubscriptionTopic"})
HIDDEN: Final = ("https://fhir.icanbwell.com/4_0_0/CodeSystem/server-behavior", "hidden")
"""`meta.tag` of what is not to be shown (icanbwell/fhir-server)."""
CONFIDENTIALITY: Final = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
RESTRICTED: Final = frozenset({"R", "V"})
"""`meta.security` of what is restricted, or very restricted (HL7 v3 Confidentiality)."""
_MARKS: Final = (b"server-behavior", b"v3-Confidentiality")
FIRST: Final = 0
LATE: Final = 1
"""Numbers of the files that a link gets: of what is sorted as it comes, and of what is sorted last."""
_ANY: Final = ExportFile("output", "", "", None, needs_token=True)


class StreamSorter:
    """Takes the lines of one person's stream (`everything.Sink`) and lands them for the person's links."""

    def __init__(
        self,
        export: ExportFolder,
        shared: SharedResources,
        base: str,
        elsewhere: Collection[str],
        held_before: Callable[[set[str]], Mapping[str, set[str]]],
        aside: Path,
    ) -> None:
        """`elsewhere` are patients of the person's that are no link of theirs; `aside` is a file for what waits."""
        self._export = export
        self._bases = (base,)
        self._elsewhere = elsewhere
        self._first = min(link_id for links in export.of_patient.values() for link_id in links)
        self._sorter = Sorter(export, shared, _ANY, FIRST, self._bases, held_before)
        self._late = Sorter(export, shared, _ANY, LATE, self._bases, held_before)
        self._aside = aside.open("w+b")
        self.withheld_by_link: dict[str, int] = {}
        self.bookkeeping = self.withheld = self.unlinked = self.foreign = self.nobodys = 0

    def take(self, line: bytes) -> None:
        """Land one resource, if it is of one of the person's links, and may be shown."""
        stub = resource_stub(line)
        kind = stub[0]
        if kind in BOOKKEEPING:
            self.bookkeeping += 1
            return
        if any(mark in line for mark in _MARKS) and is_withheld(line):
            self.withheld += 1
            for link_id in self._links_of(line):
                self.withheld_by_link[link_id] = self.withheld_by_link.get(link_id, 0) + 1
            return
        if kind == ndjson.BY_TARGET:  # whose it is, is known when its targets are there
            self._aside.write(line + b"\n")
            return
        before = self._sorter.left_out
        self._sorter.take(line, stub)
        if self._sorter.left_out > before:
            if self._elsewhere and ndjson.owners(line, self._elsewhere, self._bases):
                self.unlinked += 1
            elif ndjson.is_about_somebody(line, self._bases):
                self.foreign += 1
            elif kind in compartment_types():
                self._sorter.give(self._first, line)
            else:
                self.nobodys += 1

    def finish(self) -> None:
        """Write what is held back, and give the files their names."""
        self._sorter.finish()
        self._aside.seek(0)
        for line in self._aside:
            self._late.take(line[:-1])
        self._late.finish()
        self._aside.close()

    @property
    def links(self) -> dict[str, dict[str, Landed]]:
        """What each link got, by type."""
        found = {link_id: dict(kinds) for link_id, kinds in self._sorter.links.items()}
        for link_id, kinds in self._late.links.items():
            found.setdefault(link_id, {}).update(kinds)
        return found

    @property
    def failed(self) -> set[str]:
        """The types of which a line could not be read; `*` for any."""
        return self._sorter.failed | self._late.failed

    @property
    def torn(self) -> int:
        """Lines that are no JSON."""
        return self._sorter.torn + self._late.torn

    @property
    def not_permitted(self) -> dict[str, set[str]]:
        """The types of which a link's person granted nothing."""
        both = (*self._sorter.withheld.items(), *self._late.withheld.items())
        return {link_id: {kind for one, kinds in both if one == link_id for kind in kinds} for link_id, _ in both}

    @property
    def left_out(self) -> int:
        """Resources that were passed over."""
        return self.withheld + self.unlinked + self.foreign + self.nobodys + self._late.left_out

    def _links_of(self, line: bytes) -> list[str]:
        try:
            patients = ndjson.owners(line, self._export.of_patient, self._bases)
        except ndjson.TornLineError:
            return []
        return [link_id for patient in patients for link_id in self._export.of_patient[patient]]


def is_withheld(line: bytes) -> bool:
    """Whether a resource bears the tag of what is hidden, or restricted."""
    try:
        resource = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    meta = resource.get("meta") if isinstance(resource, dict) else None
    if not isinstance(meta, dict):
        return False
    tags = {(tag.get("system"), tag.get("code")) for tag in _codings(meta.get("tag"))}
    labels = {(label.get("system"), label.get("code")) for label in _codings(meta.get("security"))}
    return HIDDEN in tags or any((CONFIDENTIALITY, code) in labels for code in RESTRICTED)


def _codings(listed: object) -> list[Mapping[str, Any]]:
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
