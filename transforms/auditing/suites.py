"""The suites of `expectations/<table>.json`, in the JSON form of Great Expectations, read into rules.

Each expectation carries in its `meta` the `rule` (its id, which never changes), the `level` (`row` or `table`), the
`kind`, what it `voids`, and the remark of the build that says the same (`same_as`); in `notes`, what it asks. What
breaking it does follows from the level and from Great Expectations' own `severity`: a row rule that is a `warning`
marks the row, a `critical` one withholds it, a table rule holds the batch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Level = Literal["row", "table"]
Severity = Literal["warning", "withhold", "hold"]

COLUMN_SET = "expect_table_columns_to_match_ordered_list"
UNIQUE = "expect_column_values_to_be_unique"

_SEVERITIES: dict[tuple[str, str], Severity] = {
    ("row", "warning"): "warning",
    ("row", "critical"): "withhold",
    ("table", "critical"): "hold",
}
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'")


class SuiteError(ValueError):
    """A file in `expectations/` that cannot be a suite. Names the file and the expectation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation: its id, what breaking it does, and what Great Expectations is told.

    `severity`: `warning` marks the row, `withhold` keeps it out of the table, `hold` keeps the whole batch back.
    `voids` are the columns whose value cannot be true in a row that breaks the rule; `notes` says what the rule asks.
    `same_as` is the remark by which the build says the same of a row: such a row needs no second mark.
    """

    id: str
    severity: Severity
    kind: str
    type: str
    kwargs: Mapping[str, Any]
    voids: tuple[str, ...] = ()
    notes: str = ""
    same_as: str | None = None

    @property
    def level(self) -> Level:
        """What a broken rule stands for: a row, or its table."""
        return "table" if self.severity == "hold" else "row"

    @property
    def configuration(self) -> dict[str, Any]:
        """As Great Expectations takes it."""
        severity = "warning" if self.severity == "warning" else "critical"
        return {"type": self.type, "kwargs": dict(self.kwargs), "severity": severity, "meta": {"rule": self.id}}

    def columns(self, declared: frozenset[str]) -> frozenset[str]:
        """The columns that it reads, of those `declared`; also what a condition on rows names."""
        named = {value for name, value in self.kwargs.items() if name in {"column", "column_A", "column_B"}}
        condition = _TEXT.sub("", self.kwargs.get("row_condition", ""))
        return frozenset(named | set(_WORD.findall(condition))) & declared


@cache
def rules_of(table: str) -> tuple[Rule, ...]:
    """The rules of a table, in the order of its suite.

    Raises:
        SuiteError: for a suite that is missing or does not fit the form above.
    """
    file = files("expectations").joinpath(f"{table}.json")
    if not file.is_file():
        raise SuiteError(f"expectations/{table}.json is missing")
    rules = tuple(_rule(table, entry) for entry in json.loads(file.read_text(encoding="utf-8"))["expectations"])
    if len({rule.id for rule in rules}) != len(rules):
        raise SuiteError(f"expectations/{table}.json: a rule id is used twice")
    return rules


def _rule(table: str, entry: Mapping[str, Any]) -> Rule:
    meta = entry.get("meta", {})
    severity = _SEVERITIES.get((meta.get("level", ""), entry.get("severity", "")))
    if severity is None or not str(meta.get("rule", "")).startswith(f"{table}."):
        said = "meta has a rule `{table}.…` and a level, and its severity fits the level"
        raise SuiteError(f"expectations/{table}.json: {entry['type']}: {said.format(table=table)}")
    return Rule(
        id=meta["rule"],
        severity=severity,
        kind=meta.get("kind", ""),
        type=entry["type"],
        kwargs=entry["kwargs"],
        voids=tuple(meta.get("voids", ())),
        notes=entry.get("notes", ""),
        same_as=meta.get("same_as"),
    )
