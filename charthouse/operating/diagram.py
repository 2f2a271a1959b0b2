"""The diagrams and tables of docs/state.md and docs/privacy.md that are drawn from the code.

`python -m charthouse.operating.diagram` draws them anew.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charthouse.linking import states
from charthouse.privacy import registry, retention
from charthouse.settings import PROJECT_ROOT, Settings
from charthouse.state.tables import Base

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

DOCS = PROJECT_ROOT / "docs"


def entities() -> str:
    """All tables as a Mermaid entity-relationship diagram: columns, keys, and what points at what."""
    tables = [Base.metadata.tables[name] for name in sorted(Base.metadata.tables)]
    arrows = sorted(
        f"    {key.column.table.name} ||--o{{ {table.name} : {key.parent.name}"
        for table in tables
        for key in table.foreign_keys
    )
    return "\n".join(["```mermaid", "erDiagram", *(_entity(table) for table in tables), *arrows, "```"])


def places() -> str:
    """Every place of the registry: how it is tied to a person and emptied, or why it holds nothing of one."""
    held = [place for place in registry.PLACES if not place.is_empty]
    nothing: dict[tuple[str, str], list[str]] = {}
    for place in registry.PLACES:
        if place.is_empty:
            nothing.setdefault((place.store, place.why), []).append(place.name.removeprefix(f"{place.store}."))
    return "\n".join(
        [
            "| place | tied to a person by | when a link is deleted, by | emptied by |",
            "|---|---|---|---|",
            *(
                f"| {place.name} | {place.person} | {place.link or 'stays'} | {_EMPTIED[place.eraser]} |"
                for place in held
            ),
            "",
            "| holds nothing of a person | why |",
            "|---|---|",
            *(f"| {store}: {', '.join(names)} | {why} |" for (store, why), names in nothing.items()),
        ]
    )


def kept() -> str:
    """The retention table as it is without settings of one's own."""
    lines = [
        f"| `{entry.name}` | {entry.what} | {_days(entry.days)} | {entry.why} |"
        for entry in retention.table(Settings())
    ]
    return "\n".join(["| entry | what | days | why |", "|---|---|---|---|", *lines])


_EMPTIED: dict[registry.Eraser, str] = {
    "delete": "its rows are deleted",
    "empty": "what names somebody is emptied; the row stays",
    "lake": "rows are deleted, files rewritten, snapshots expired",
    "statistics": "computed anew, and the catalog rewritten",
    "landing": "folders are deleted, files of a run under way rewritten",
    "uploads": "their links' folders deleted once no row names their key",
    "staging": "files are rewritten without the rows",
    "mails": "files are deleted",
    "exports": "files are deleted, their keys before them",
    "mask": "each occurrence is overwritten in place",
    "shelves": "files are deleted",
    "sweep": "files are deleted",
    "rewrite": "checkpoint and VACUUM",
}


def _days(days: int | None) -> str:
    return "for good" if days is None else str(days)


def drawn() -> dict[str, dict[str, str]]:
    """What is drawn, by page and name."""
    return {
        "state.md": {"links": f"{states.diagram()}\n\n{states.table()}", "tables": entities()},
        "privacy.md": {"places": places(), "retention": kept()},
    }


def render(page: str, parts: Mapping[str, str]) -> str:
    """`page` with each part between `<!-- drawn: NAME -->` and `<!-- end -->` drawn anew."""
    for name, text in parts.items():
        pattern = rf"<!-- drawn: {name} -->\n.*?<!-- end -->"
        before, after = re.split(pattern, page, flags=re.DOTALL)
        page = f"{before}<!-- drawn: {name} -->\n{text}\n<!-- end -->{after}"
    return page


def _entity(table: Table) -> str:
    lines = [f"    {table.name} {{"]
    for column in table.columns:
        kind = re.sub(r"\W.*", "", str(column.type).lower())
        marks = [mark for mark, holds in (("PK", column.primary_key), ("FK", bool(column.foreign_keys))) if holds]
        lines.append(f"        {kind} {column.name} {','.join(marks)}".rstrip())
    return "\n".join([*lines, "    }"])


if __name__ == "__main__":
    for each, named in drawn().items():
        file = DOCS / each
        file.write_text(render(file.read_text(encoding="utf-8"), named), encoding="utf-8")
