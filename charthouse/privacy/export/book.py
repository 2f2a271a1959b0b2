"""The pages of an export, put into its archive: a page or several a category, and the overview that leads to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import orjson

from charthouse.privacy.export import flat
from charthouse.privacy.export.charts import charts
from charthouse.privacy.export.render import data_block, day, render, shown
from charthouse.privacy.export.rows import Row, rows_of
from transforms.checking.rules import RULES
from transforms.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from charthouse.privacy.export.archive import Archive
    from charthouse.privacy.export.attachments import Attached
    from charthouse.privacy.export.holdings import Held, Holdings
    from charthouse.privacy.export.sheets import Sheet
    from transforms.tables import Table

PER_PAGE: Final = 400
FOUND_MOST: Final = 20_000
"""Things that the search over everything knows: the newest of each category."""
HTML: Final = "text/html"
HEADS: Final = ("When", "What", "Result and details", "From")
CONTENTS: Final = (
    ("pages", "These pages: one or more for each category."),
    (
        "tables",
        "The categories as CSV for spreadsheets and as Parquet, with dictionary.md, which explains each column.",
    ),
    ("fhir", "Every record exactly as your providers sent it: one a line in a file for each type (FHIR R4, NDJSON)."),
    ("fhir/earlier", "Versions of records that providers have replaced since."),
    ("quarantine", "Records that could not be used, exactly as they came, with the reasons."),
    ("attachments", "Documents and pictures that were inside records, as files."),
    ("ips.json", "A summary for another doctor: an International Patient Summary (HL7 FHIR)."),
    ("account", "What this service itself knows: connections, consents, messages, requests, and its log about you."),
    ("manifest.json", "Every file with its SHA-256; manifest.jws is its signature. README.txt says how to check it."),
)


@dataclass(slots=True)
class Tile:
    """A category on the overview."""

    title: str
    count: int
    note: str
    page: str = ""


@dataclass(slots=True)
class Book:
    """The pages while they are written. `base` is what all of them are rendered with."""

    archive: Archive
    base: Mapping[str, Any]
    sources: Mapping[str, str]
    tiles: list[Tile] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    things: list[tuple[str, str, int, str, int]] = field(default_factory=list)

    def category(self, said: Table, sheet: Sheet, count: int) -> None:
        """The pages of a category."""
        drawn = charts(sheet, said.name)
        rows = rows_of(sheet, said.name, self.sources)
        first, last = self._rows(said.name, said.title, said.description, count, rows, drawn)
        span = "" if not last else last if first == last else f"{first} – {last}"
        self.tiles.append(Tile(said.title, count, span or said.description, said.name))

    def documents(self, attached: Sequence[Attached]) -> None:
        """The page of attachments."""
        if not attached:
            return
        title, description = "Documents and pictures", "What was inside records as a file of its own."
        newest = sorted(attached, key=lambda each: each.date, reverse=True)
        rows = (
            Row(
                number,
                _date(each.date),
                shown(each.title, 300),
                f"{_size(each.size)} · {each.media_type} · ",
                "",
                (),
                self.sources.get(each.link_id, ""),
                file="../" + quote(each.path),
                file_name=each.path.rpartition("/")[2],
            )
            for number, each in enumerate(newest, 1)
        )
        self._rows("documents", title, description, len(attached), rows, [])
        self.tiles.append(Tile(title, len(attached), description, "documents"))

    def others(self, held: Holdings) -> None:
        """The pages of everything that is in no category, a type each; the Patient first."""
        counts = held.unplaced()
        for kind in sorted(counts, key=lambda name: (name != "Patient", name)):
            title = "About you" if kind == "Patient" else flat._words(kind)
            description = f"FHIR {kind}: as received in fhir/{kind}.ndjson."
            stem = f"other-{kind}"
            things = (self._thing(number, each) for number, each in enumerate(held.others(kind), 1))
            self._things(stem, title, description, counts[kind], things)
            self.tiles.append(Tile(title, counts[kind], "" if kind == "Patient" else kind, stem))

    def quarantine(self, held: Holdings) -> None:
        """The page of what could not be used."""
        count = held.quarantined()
        if not count:
            return
        title = "Could not be used"
        description = "These records came and could not be used. They are kept exactly as they came, in quarantine/."

        def things() -> Iterator[dict[str, Any]]:
            both = chain(held.quarantine(content=False), held.quarantine(content=False, broken=True))
            for number, each in enumerate(both, 1):
                reasons = [("Reason", f"{rule}: {RULES[rule].title if rule in RULES else ''}") for rule in each.rules]
                name = f"{each.resource_type or 'Unknown type'} {each.resource_id}".strip()
                note = f"{self.sources.get(each.link_id, '')} · received {each.stored_at[:10]}"
                yield {"number": number, "name": shown(name, 200), "note": note, "lines": reasons}

        self._things("quarantine", title, description, count, things())
        self.tiles.append(Tile(title, count, "With the reasons", "quarantine"))

    def account(self, documents: Mapping[str, Any]) -> None:
        """The page of what the service itself knows."""

        def things() -> Iterator[dict[str, Any]]:
            for number, (name, document) in enumerate(documents.items(), 1):
                entries = document if isinstance(document, list) else [document]
                lines = flat.lines(document, 400) if entries else [("", "None.")]
                yield {"number": number, "name": flat._words(name), "note": f"account/{name}.json", "lines": lines}

        title = "Your account"
        self._things("account", title, "What the service itself knows about you.", len(documents), things(), find=False)
        self.tiles.append(Tile(title, len(documents), "Connections, consents, messages, requests, log", "account"))

    def overview(self, links: Sequence[Mapping[str, Any]], narrowed: str) -> None:
        """`index.html`."""
        shown_links = [
            {
                "name": shown(link["provider_name"], 200),
                "since": day(link["created_at"], "day"),
                "read": day(link["last_synced_at"], "day"),
                "status": link["status"],
            }
            for link in links
        ]
        self.archive.file(
            "index.html",
            HTML,
            render(
                "index.html",
                **self.base,
                up=False,
                narrowed=narrowed,
                tiles=self.tiles,
                links=shown_links,
                contents=CONTENTS,
                things=data_block({"titles": self.titles, "things": self.things}),
            ),
        )

    def _rows(
        self, stem: str, title: str, description: str, count: int, rows: Iterable[Row], drawn: Sequence[Any]
    ) -> tuple[str, str]:
        """Write the pages of rows. Returns the oldest and the newest date as shown."""
        first = last = ""
        pages = max(1, -(-count // PER_PAGE))
        for page, some in enumerate(_groups(rows, PER_PAGE), 1):
            name = stem if page == 1 else f"{stem}-{page}"
            caption = f"{title}: {count:,}, newest first" + (f"; page {page} of {pages}" if pages > 1 else "")
            for row in some:
                self._found(title, row.what, row.when, name, row.number)
                if row.when:
                    first, last = row.day, last or row.day
            self._page(
                name,
                "category.html",
                title=title,
                description=description,
                charts=drawn if page == 1 else (),
                caption=caption,
                heads=HEADS,
                rows=some,
                stem=stem,
                page=page,
                pages=pages,
            )
        return first, last

    def _things(
        self,
        stem: str,
        title: str,
        description: str,
        count: int,
        things: Iterable[dict[str, Any]],
        *,
        find: bool = True,
    ) -> None:
        per = PER_PAGE // 4
        pages = max(1, -(-count // per))
        for page, some in enumerate(_groups(things, per), 1):
            name = stem if page == 1 else f"{stem}-{page}"
            if find:
                for thing in some:
                    self._found(title, thing["name"], "", name, thing["number"])
            self._page(
                name,
                "things.html",
                title=title,
                description=description,
                things=some,
                stem=stem,
                page=page,
                pages=pages,
            )

    def _page(self, name: str, template: str, **values: Any) -> None:
        path = f"pages/{name}.html"
        if not self.archive.has(path):
            self.archive.file(path, HTML, render(template, **self.base, up=True, **values))

    def _found(self, title: str, name: str, when: str, page: str, row: int) -> None:
        if len(self.things) >= FOUND_MOST:
            return
        if title not in self.titles:
            self.titles.append(title)
        self.things.append((name[:120], when, self.titles.index(title), page, row))

    def _thing(self, number: int, each: Held) -> dict[str, Any]:
        try:
            resource = orjson.loads(each.text)
        except orjson.JSONDecodeError:  # cut, because it is very large
            resource = {"note": "It is large: see the file."}
        source = self.sources.get(each.link_id, "")
        name = flat.title_of(resource) or each.resource_type
        return {"number": number, "name": name, "note": source, "lines": flat.lines(resource)}


def write_pages(
    book: Book, held: Holdings, attached: Sequence[Attached], documents: Mapping[str, Any], narrowed: str
) -> None:
    """All pages: categories, documents, everything else, quarantine, the account, and the overview last."""
    for said in tables():
        count = held.count(said)
        if count:
            book.category(said, held.sheet(said), count)
    book.documents(attached)
    book.others(held)
    book.quarantine(held)
    book.account(documents)
    book.overview(documents["links"], narrowed)


def base_of(service: str, made: datetime) -> dict[str, Any]:
    """What every page is rendered with."""
    return {"service": service, "made": day(made, "day")}


def _groups(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    some: list[Any] = []
    for item in items:
        some.append(item)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some


def _date(said: str) -> str:
    """The record's own date, as the other pages have it; as it stands where it is none."""
    try:
        return day(datetime.fromisoformat(said[:10]), "day")
    except ValueError:
        return shown(said, 10)


def _size(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:,.1f} {unit}"
        size = size / 1000  # type: ignore[assignment]
    return f"{size:,.1f} GB"
