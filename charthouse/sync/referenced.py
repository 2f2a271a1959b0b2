"""What a person's resources point at: read until what came points at nothing new."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from charthouse.clock import now
from charthouse.partners.binaries import BINARY
from charthouse.partners.search import FOLLOWED_TYPES, Query, plan_reference_reads, plan_reference_searches
from charthouse.sync import landing
from charthouse.sync.harvest import Harvest
from transforms.bundles import attachments, references

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from charthouse.partners.capability import Capability
    from charthouse.partners.search import LinkPlan
    from charthouse.sync.asking import Asker


IN_VAIN: Final = 10
"""Documents in a row that were not to be had before no more are asked for."""
_NOT_TO_BE_HAD: Final = frozenset({"CH104", "CH105", "CH106", "CH107", "CH111", "CH120"})
"""Faults of one document."""
_LACKING: Final = frozenset({"CH104", "CH120"})
"""It is not there, or larger than permitted: that will be so tomorrow."""


class Pointers:
    """What was received of the types that belong to nobody, and what the received resources point at among them."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._lock = threading.Lock()
        self.pointed_at: set[str] = set()
        self.received: set[str] = set()

    def note(self, body: bytes, names: Iterable[tuple[str | None, str | None]]) -> None:
        """Remember what a body holds."""
        received = {f"{kind}/{name}" for kind, name in names if kind in FOLLOWED_TYPES or kind == BINARY}
        found = {t for t in references(body, self._base_url) if t.partition("/")[0] in FOLLOWED_TYPES}
        found |= attachments(body, self._base_url)
        with self._lock:
            self.received |= received
            self.pointed_at |= found


class ReferenceFetch:
    """Reads what is pointed at and was not received. `close` takes each type's harvest at the end."""

    def __init__(
        self,
        asker: Asker,
        pointers: Pointers,
        offer: Capability,
        plan: LinkPlan,
        folder: Path,
        page_size: int,
        max_pages: int,
        attachment_bytes: int = 0,
        held: Callable[[], Collection[str]] = frozenset,
        missing: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._asker = asker
        self._attachment_bytes = attachment_bytes
        self._held = held
        self._missing = missing
        self._pointers = pointers
        self._offer = offer
        self._not_requested = plan.not_requested
        self._searched = {entry.type for entry in plan.types}
        self._folder = folder
        self._page_size = page_size
        self._max_pages = max_pages
        self._asked: set[str] = set()
        self._harvests: dict[str, Harvest] = {}
        self._requests = 0
        self.not_offered: set[str] = set()
        self.not_found: set[tuple[str, str]] = set()
        self.lacking: set[str] = set()
        """Ids of documents that the server does not have, or that are too large."""

    def run(self, close: Callable[[Harvest], object]) -> None:
        """Ask until nothing new is pointed at.

        Raises:
            LinkStoppedError: nothing more can be had of the link; what came is closed.
        """
        try:
            while self._round():
                pass
            self._read_attachments()
        finally:
            for kind, harvest in self._harvests.items():
                lacking = self._asked - self._pointers.received - {f"{BINARY}/{name}" for name in self.lacking}
                missing = sum(1 for target in lacking if target.startswith(f"{kind}/"))
                if missing and harvest.code is None:
                    harvest.remarks["CH116"] = missing
                close(harvest)

    def _round(self) -> bool:
        """Ask once for what is known to be missing. Returns whether there was anything to ask for."""
        before = len(self._asked)
        for kind in FOLLOWED_TYPES:
            missing = self._pointers.pointed_at - self._pointers.received - self._asked
            wanted = {target for target in missing if target.startswith(f"{kind}/")}
            # What a search for the patient finds is not there where that search did not find it.
            if not wanted or kind in self._searched or self._not_requested.get(kind) == "not_permitted":
                continue
            offer = self._offer
            if kind not in offer.types or not (offer.has_id(kind) or offer.types[kind].can_read):
                self.not_offered.add(kind)
                continue
            self._asked |= wanted
            if kind not in self._harvests:
                file = self._folder / landing.file_name("referenced", kind)
                self._harvests[kind] = Harvest(Query(kind, f"{kind}?_id", kind, ()), file)
            if self._harvests[kind].code is None:
                self._read(self._harvests[kind], [target.partition("/")[2] for target in wanted])
        return len(self._asked) > before

    def _read_attachments(self) -> None:
        """Read the documents that records show and that are not there yet, one by one: some are large; none changes.

        A server may permit none, or lack what its records show. What is missing, or too large, is a remark, and is not
        asked for again for a while.
        """
        shown = {target for target in self._pointers.pointed_at if target.startswith(f"{BINARY}/")}
        wanted = shown - self._pointers.received
        if not wanted or not self._attachment_bytes or self._not_requested.get(BINARY) == "not_permitted":
            return
        wanted -= set(self._held())
        if not wanted:
            return
        before = {target for target in wanted if target.partition("/")[2] in set(self._missing())}
        wanted -= before
        file = self._folder / landing.file_name("referenced", BINARY)
        harvest = self._harvests[BINARY] = Harvest(Query(BINARY, f"{BINARY}?_id", BINARY, ()), file)
        if before:
            harvest.remarks["CH164"] = len(before)
        self._asked |= wanted
        in_vain = 0
        # In another order each day: those that are not to be had do not stand before the others for ever.
        for target in sorted(wanted, key=lambda name: zlib.crc32(f"{now():%j} {name}".encode())):
            (query,) = plan_reference_reads(BINARY, [target.partition("/")[2]])
            code = self._refer(query, harvest, 1, self._attachment_bytes)
            in_vain = in_vain + 1 if code is not None else 0
            if code in _LACKING:
                self.lacking.add(target.partition("/")[2])
                harvest.remarks["CH164"] = harvest.remarks.get("CH164", 0) + 1
            if code in _NOT_TO_BE_HAD:
                harvest.forgive()
            if harvest.code is not None or in_vain >= IN_VAIN:
                return

    def _read(self, harvest: Harvest, ids: list[str]) -> None:
        """Read some resources of one type: by `_id`, or one by one where the server has no such search."""
        kind = harvest.query.type
        if self._offer.has_id(kind):
            code = None
            for query in plan_reference_searches(kind, ids, self._page_size):
                code = self._refer(query, harvest, len(ids))
                if code is not None:
                    break
            if code not in {"CH103", "CH111"} or not self._offer.types[kind].can_read:
                return
            harvest.forgive()
        wanted = {name for name in ids if f"{kind}/{name}" not in self._pointers.received}
        for query in plan_reference_reads(kind, wanted):
            code = self._refer(query, harvest, 1)
            if code in {"CH104", "CH111"}:
                harvest.forgive()  # this one is not to be had; it counts as missing
            elif code is not None:
                return

    def _refer(self, query: Query, harvest: Harvest, ids: int, largest: int | None = None) -> str | None:
        """One search or read of what is pointed at. Resources may point on and on; our requests have an end."""
        self._requests += 1
        if self._requests > self._max_pages:
            harvest.fail("CH110")
            return harvest.code
        code = self._asker.pour(query, harvest, ids + 1, largest=largest)
        if query.read and code == "CH104":
            self.not_found.add((query.type, unquote(query.path.partition("/")[2])))
        return code
