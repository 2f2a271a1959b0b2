"""Which row of a group is the best, and by what each is better than the next."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transforms.duplicates.facts import Keys, Row

_STANDARD: Final = ("loinc|", "snomed|", "rxnorm|", "cvx|", "icd10|", "cpt|", "ndc|", "icd9|")
_EXACTNESS: Final = {"second": 0, "minute": 1, "day": 2, "month": 3, "year": 4}
BY_KEY: Final = "by-key"
"""Nothing tells the rows apart: the first by key."""
CRITERIA: Final = {
    "served": "Its provider still shows it.",
    "own": "It is its provider's own, and not told by others.",
    "coded": "It has codes of more standard systems.",
    "complete": "It says more: more of the elements that matter in its table are there.",
    "exact": "Its date is more exact.",
    "newer": "It was changed, or else recorded, later.",
    BY_KEY: "Nothing tells them apart: the first by its key.",
}
"""What makes a row better than another, in words."""
_MEASURES: Final[dict[str, Callable[[Row], Any]]] = {
    "served": lambda row: not row.served,
    "own": lambda row: not row.own,
    "coded": lambda row: -sum(1 for system in _STANDARD if any(code.startswith(system) for code in row.concept.codes)),
    "complete": lambda row: -row.filled,
    "exact": lambda row: _EXACTNESS.get(row.precision or "", 9) if row.start is not None else 9,
    "newer": lambda row: -row.updated,
}


def ranked(keys: Keys, rows: Sequence[Row]) -> list[tuple[Row, str | None]]:
    """The rows of a group, the best first, each with the criterion by which it is better than the next."""
    measured = [([_MEASURES[name](row) for name in keys.best], row.record, row.row_key, row) for row in rows]
    measured.sort(key=lambda each: each[:3])
    found: list[tuple[Row, str | None]] = []
    for (first, _, _, row), (second, *_) in pairwise(measured):
        because = (name for name, mine, theirs in zip(keys.best, first, second, strict=True) if mine != theirs)
        found.append((row, next(because, BY_KEY)))
    return [*found, (measured[-1][3], None)]
