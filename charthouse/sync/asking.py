"""One query of a link asked to its end: by pages that the server can do, from where a killed fetch was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from charthouse import faults
from charthouse.errors import FetchError
from charthouse.partners import effort
from charthouse.partners.addresses import host_of, origin
from charthouse.partners.http import MAX_BODY, Answer
from charthouse.partners.page_sizes import SMALLEST, count_in, halved
from charthouse.partners.paging import walk
from charthouse.sync.harvest import Harvest
from charthouse.sync.landing import Leftover
from charthouse.sync.link_token import LinkStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime
    from pathlib import Path

    from charthouse.partners.addresses import Origin
    from charthouse.partners.http import HttpClient
    from charthouse.partners.page_sizes import PageSizes
    from charthouse.partners.search import Query
    from charthouse.sync.landing import Begun
    from charthouse.sync.link_token import LinkToken

    Note = Callable[[bytes, Iterable[tuple[str | None, str | None]]], None]

MAX_PAGE: Final = 16 * 2**20
"""Most bytes of a page, unpacked, that can be asked for by a smaller `_count`: several are in memory at once."""
_CURSOR_LOST: Final = frozenset({"CH104", "CH105", "CH106", "CH107", "CH108", "CH111", "CH114"})
"""How servers answer an address of a page that is too old."""


class Asker:
    """Asks the queries of one link, in whatever thread. `note` is told of each page's body, and what is in it."""

    def __init__(
        self,
        base_url: str,
        client: HttpClient,
        token: LinkToken,
        sizes: PageSizes,
        note: Note,
        max_pages: int,
        origins: Collection[Origin] = (),
    ) -> None:
        self._base_url = base_url
        self._client = client
        self._token = token
        self._sizes = sizes
        self._note = note
        self._max_pages = max_pages
        self._origins = origins
        home = origin(base_url)
        self._host = host_of(home) if home is not None else ""

    def ask(self, query: Query, file: Path, *, left: Begun | None, begun: Callable[[datetime | None], None]) -> Harvest:
        """A query to its end. What a killed fetch `left` of it is gone on with; `begun` is called before one lands.

        Raises:
            LinkStoppedError: nothing more can be had of the link; its `harvest` holds what came.
        """
        before = effort.spent()
        try:
            harvest = self._asked(query, file, left, begun)
        except LinkStoppedError as error:
            if error.harvest is not None:
                error.harvest.spent = effort.spent() - before
            raise
        harvest.spent = effort.spent() - before  # of all the ways in which it was asked
        return harvest

    def _asked(self, query: Query, file: Path, left: Begun | None, begun: Callable[[datetime | None], None]) -> Harvest:
        query = query.counted(self._sizes.of(self._host, query.count)) if query.count else query
        harvest = Harvest(query, file, begun, left.as_of if left is not None else None)
        if left is not None:
            self.pour(query, harvest, leftover=Leftover(file))
            if harvest.code in _CURSOR_LOST:
                harvest.drop()
                harvest = Harvest(query, file, begun)
                self.pour(query, harvest)
        else:
            self.pour(query, harvest)
        if harvest.query.incremental and harvest.is_hollow:
            # What bears the watermark itself is newer or the same: it is gone, or this search cannot be believed.
            harvest = self._anew(harvest, harvest.query.whole())
        if harvest.status == "refused":
            harvest = self._by_smaller_pages(harvest) or harvest
        if harvest.status == "refused" and query.can_be_plainer:
            harvest = self._anew(harvest, query.plain())
        while harvest.code == "CH120" and (smaller := harvest.query.smaller()):
            harvest = self._anew(harvest, smaller)
        if harvest.query.anew and harvest.status in {"partial", "failed"}:
            # What breaks within everything may not be among what is new, which cannot wait for it.
            code = harvest.code or ""
            self.pour(harvest.query.news(), harvest)
            harvest.fail(code)
        return harvest

    def pour(
        self,
        query: Query,
        harvest: Harvest,
        most: int | None = None,
        leftover: Leftover | None = None,
        largest: int | None = None,
    ) -> str | None:
        """Land the pages of a query, `most` at most. A fault ends it, is the harvest's, and is returned by its code.

        `largest` is the most bytes of a page, where that is less than usual.

        Raises:
            LinkStoppedError: nothing more can be had of the link; the harvest holds what came.
        """
        left = leftover.pages() if leftover is not None else iter(())
        before = effort.spent()

        def get(url: str) -> Answer:
            body = next(left, None)
            if body is not None and leftover is not None:
                harvest.go_on_after(leftover.end)
                return Answer(body, landed=True)
            return self.get(url, largest)

        try:
            for page in walk(get, self._base_url, query, most or self._max_pages, self._origins):
                harvest.add(page)
                self._note(page.answer.body, ((peek.type, peek.id) for peek in page.resources))
                faults.point("fetch.page")
        except FetchError as error:
            harvest.fail(error.code)
        except LinkStoppedError as error:
            harvest.fail(error.code)
            error.harvest = harvest
            raise
        finally:
            harvest.spent += effort.spent() - before
        return harvest.code

    def _anew(self, before: Harvest, query: Query) -> Harvest:
        """Ask in another way, in place of what came of the way before."""
        before.drop()
        harvest = before.anew(query)
        self.pour(query, harvest)
        return harvest

    def _by_smaller_pages(self, refused: Harvest) -> Harvest | None:
        """Ask by smaller pages, where the host has never served any as large; None where that is refused as well."""
        count = refused.query.count
        while count // 2 >= SMALLEST and not self._sizes.is_served(self._host, count):
            count //= 2
            harvest = self._anew(refused, refused.query.counted(count))
            if harvest.status != "refused":
                self._sizes.helped(self._host, count, sure=True)
                return harvest
        return None

    def get(self, url: str, largest: int | None = None) -> Answer:
        """One page, of `largest` bytes at most. After a failed try half as much is asked for.

        Raises:
            FetchError: as `HttpClient.get`.
            LinkStoppedError: nothing more can be had of the link.
        """
        count = count_in(url)
        asked = url

        def instead() -> str | None:
            nonlocal asked
            asked = halved(asked) or asked
            return asked

        most = largest or (MAX_PAGE if count is not None and count > 1 else MAX_BODY)
        answer = self._token.used(
            lambda token: self._client.get(asked, token=token or None, instead=instead, most=most)
        )
        self._token.opened(asked)
        served = count_in(asked)
        if count is not None and served is not None:
            self._sizes.served(self._host, served)
            if served < count:
                self._sizes.helped(self._host, served, sure=False)
        return answer
