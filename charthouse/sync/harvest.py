"""What one query brings while it runs: a file of pages that grows, and the counts that its record will hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from charthouse.partners import effort
from charthouse.sync.landing import PageWriter, QueryRecord, QueryStatus, is_reference

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from charthouse.partners.paging import ReceivedPage
    from charthouse.partners.search import Query

AHEAD: Final = timedelta(days=1)
"""How far a server's clock may be before ours."""
LONGEST_INSTANT: Final = 64
_FIRST_ANSWER: Final[dict[str, QueryStatus]] = {"CH103": "not_permitted", "CH111": "refused"}


class Harvest:
    """What one query brings while it runs: a file that grows, and the counts of its record.

    `begun` is called before the first page lands: a fetch that is killed then finds it again.
    """

    def __init__(self, query: Query, file: Path, begun: Callable[[], None] = lambda: None) -> None:
        self.query = query
        self._begun = begun
        self._after = 0
        self.code: str | None = None
        self.remarks: dict[str, int] = {}
        self.spent = effort.NONE
        self._file = file
        self._writer: PageWriter | None = None
        self._pages = 0
        self._resources = 0
        self._bytes = 0
        self._torn = 0
        self._matches = 0
        self._total: int | None = None
        self._latest: tuple[datetime, str] | None = None
        self._seen: str | None = None

    @property
    def status(self) -> QueryStatus:
        """How the query stands, or ended."""
        if self.code is None:
            return "complete"
        if self._pages:
            return "partial"
        return _FIRST_ANSWER.get(self.code, "failed")

    @property
    def is_hollow(self) -> bool:
        """Whether it went well, and brought nothing."""
        return self.code is None and self._pages > 0 and not self._resources

    def add(self, page: ReceivedPage) -> None:
        """Land one page; one that brings no resource is only counted."""
        if page.resources and not page.answer.landed:
            if self._writer is None:
                self._begun()
                self._writer = PageWriter(self._file, after=self._after)
            self._writer.add(page.answer.body, page.answer.frame)
        self._pages += 1
        self._resources += len(page.resources)
        self._bytes += len(page.answer.body)
        if page.broken:
            self.code = "CH115"  # an error among the results: they may not be all
        elif page.warnings:
            self._remark("CH115", page.warnings)
        self._torn += page.torn
        self._total = page.total if page.total is not None else self._total
        self._matches += sum(peek.match for peek in page.resources)
        if page.skipped:
            self._remark("CH125", page.skipped)
        for peek in page.resources:
            if peek.match and peek.last_updated is not None:
                self._see(peek.last_updated)

    def go_on_after(self, end: int) -> None:
        """The pages up to this byte of the scratch were landed by a fetch that was killed."""
        self._after = end

    def drop(self) -> None:
        """Give up what landed: the query is asked anew."""
        if self._writer is not None or self._after:
            (self._writer or PageWriter(self._file, after=self._after)).drop()
            self._writer, self._after = None, 0

    def anew(self, query: Query) -> Harvest:
        """A harvest for another way to ask the same, into the same file."""
        return Harvest(query, self._file, self._begun)

    def fail(self, code: str) -> None:
        """End with a fault."""
        self.code = code

    def forgive(self) -> None:
        """Take a fault back: there is another way."""
        self.code = None

    def close(self) -> QueryRecord:
        """Give the file its name, if any resource came, and account for the query."""
        if self._writer is None and self._resources:
            self._writer = PageWriter(self._file, after=self._after)  # all of it had landed before the kill
        if self._writer is not None:
            self._writer.finish()
        query = self.query
        record = QueryRecord(
            label=query.label,
            type=query.type,
            file=self._file.name if self._resources else None,
            mode="incremental" if query.incremental else "full",
            status=self.status,
            code=self.code,
            pages=self._pages,
            resources=self._resources,
            bytes=self._bytes,
            watermark=query.watermark,
            remarks=self.remarks,
            requests=self.spent.requests,
            retries=self.spent.retries,
            waited=round(self.spent.waited, 3),
        )
        # No watermark moves past a hole: what cannot be read tonight is asked for again.
        whole = record.status == "complete" and "CH125" not in self.remarks and not self._torn
        if not whole or is_reference(record):
            return record
        # Of what a server holds back (a warning, fewer than it counted) nobody knows whether it is still there.
        held_back = "CH115" in self.remarks or (self._total is not None and self._total > self._matches)
        record = msgspec.structs.replace(record, exhaustive=not query.incremental and not held_back)
        return record if self._latest is None else msgspec.structs.replace(record, watermark=self._latest[1])

    def _remark(self, code: str, count: int) -> None:
        self.remarks[code] = self.remarks.get(code, 0) + count

    def _see(self, sent: str) -> None:
        """Keep the latest instant as it was sent; servers mix time zones, so text does not compare.

        One that lies ahead is a mistake of the server's: everything that changes until then would be missed.
        """
        if sent == self._seen or len(sent) > LONGEST_INSTANT:
            return
        self._seen = sent
        try:
            moment = datetime.fromisoformat(sent)
        except ValueError:
            return
        if moment.tzinfo is None or moment > datetime.now(UTC) + AHEAD:
            return
        if self._latest is None or moment > self._latest[0]:
            self._latest = moment, sent
