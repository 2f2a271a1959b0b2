"""The diagrams of docs/state.md, drawn from the code: `python -m charthouse.operating.diagram` draws them anew."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from charthouse.linking import states
from charthouse.settings import PROJECT_ROOT
from charthouse.state.tables import Base

if TYPE_CHECKING:
    from sqlalchemy import Table

PAGE = PROJECT_ROOT / "docs" / "state.md"


def entities() -> str:
    """All tables as a Mermaid entity-relationship diagram: columns, keys, and what points at what."""
    tables = [Base.metadata.tables[name] for name in sorted(Base.metadata.tables)]
    arrows = sorted(
        f"    {key.column.table.name} ||--o{{ {table.name} : {key.parent.name}"
        for table in tables
        for key in table.foreign_keys
    )
    return "\n".join(["```mermaid", "erDiagram", *(_entity(table) for table in tables), *arrows, "```"])


def render(page: str) -> str:
    """`page` with each part between `<!-- drawn: NAME -->` and `<!-- end -->` drawn anew."""
    for name, text in (("links", f"{states.diagram()}\n\n{states.table()}"), ("tables", entities())):
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
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
