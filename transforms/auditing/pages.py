"""The files of `expectations/`: the suites as JSON, and the page that says which rule does what, and why."""

from __future__ import annotations

import json
from typing import Any

from transforms.auditing.declaration import KINDS, suite_of
from transforms.tables import tables

_DOES = {"warning": "marks the row", "withhold": "withholds the row", "hold": "holds the batch"}
_HEAD = """\
# What rows must satisfy

A Great Expectations suite a table, run on the staged rows of every night before anyone sees them. Written by
`python -m transforms.auditing` from `transforms/auditing/declaration.py`; a test compares it.

A rule that is broken does one of three things:

- it **marks the row** (`severity: warning`): the row is published, with the rule's id in its `remarks`;
- it **withholds the row** (`level: row`, `severity: critical`): it stays out of the table; `withheld_rows` names it;
- it **holds the batch** (`level: table`): nothing of the night is published, and analysts keep the tables of before.

What providers send is often imperfect, and still true: only what would mislead by standing there is withheld. A value
that cannot be true becomes NULL where what was sent stands beside it (`value` beside `value_text`, a date beside its
`_day`). A rule is named `<table>.<rule>`.

| kind | does | why |
|---|---|---|
"""


def written() -> dict[str, str]:
    """Each file's name and text."""
    suites = {table.name: suite_of(table) for table in tables()}
    files = {f"{name}.json": json.dumps(suite, indent=1, ensure_ascii=False) + "\n" for name, suite in suites.items()}
    return files | {"README.md": _page(suites)}


def _page(suites: dict[str, dict[str, Any]]) -> str:
    kinds = "".join(f"| {kind} | {_DOES[does]} | {why} |\n" for kind, (does, why) in KINDS.items())
    told: dict[tuple[str, ...], list[str]] = {}
    for name, suite in suites.items():
        for entry in suite["expectations"]:
            told.setdefault(_said(entry), []).append(name)
    by_kind = sorted(told.items(), key=lambda item: list(KINDS).index(item[0][1]))
    rules = "".join(
        f"| `{rule}` | {'all' if len(names) == len(suites) else ', '.join(names)} | {kind} | {voids} | {asked} |\n"
        for (rule, kind, voids, asked), names in by_kind
    )
    return (
        f"{_HEAD}{kinds}\n## The rules\n\n| rule | tables | kind | makes NULL | asks |\n|---|---|---|---|---|\n{rules}"
    )


def _said(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    """What is told of a rule, whatever its table: its name, kind, what it makes NULL, what it asks."""
    meta = entry["meta"]
    voids = ", ".join(f"`{column}`" for column in meta.get("voids", ()))
    return meta["rule"].split(".", 1)[1], meta["kind"], voids, entry["notes"]
