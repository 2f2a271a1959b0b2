"""The suites of `expectations/<table>.json`, in the JSON form of Great Expectations, read into rules.

Each expectation carries in its `meta` the `rule` (its id, which never changes) and the `level`: `row` or `table`.
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

COLUMN_SET = "expect_table_columns_to_match_ordered_list"
UNIQUE = "expect_column_values_to_be_unique"

_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_TEXT = re.compile(r"\"[^\"]*\"|'[^']*'")


class SuiteError(ValueError):
    """A file in `expectations/` that cannot be a suite. Names the file and the expectation."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One expectation: its id, what breaking it does, and what Great Expectations is told."""

    id: str
    level: Level
    type: str
    kwargs: Mapping[str, Any]

    @property
    def configuration(self) -> dict[str, Any]:
        """As Great Expectations takes it."""
        return {"type": self.type, "kwargs": dict(self.kwargs), "meta": {"rule": self.id, "level": self.level}}

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
    suite = json.loads(file.read_text(encoding="utf-8"))
    rules = []
    for entry in suite["expectations"]:
        meta = entry.get("meta", {})
        if meta.get("level") not in {"row", "table"} or not str(meta.get("rule", "")).startswith(f"{table}."):
            raise SuiteError(f"expectations/{table}.json: {entry['type']}: meta has a rule `{table}.…` and a level")
        rules.append(Rule(meta["rule"], meta["level"], entry["type"], entry["kwargs"]))
    if len({rule.id for rule in rules}) != len(rules):
        raise SuiteError(f"expectations/{table}.json: a rule id is used twice")
    return tuple(rules)
